"""The training loop; with torchrun, on several workers."""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from infra.training.data.batches import Batch, stacked
from infra.training.data.examples import Composer
from infra.training.data.placing import FULL, Style
from infra.training.data.utterances import Pool
from infra.training.fit.losses import Losses, TensorBatch, losses
from infra.training.fit.muon import Muon
from infra.training.model.network import FrameHeads, Whisper

WARM_UP = 50
SMOOTHING = 0.996
LARGEST_GRADIENT = 1.0


@dataclass(frozen=True)
class Plan:
    """The length and the learning rates of a training.

    The end is after `steps`, or earlier, after `minutes` of a crowded machine.
    `rate` is the highest learning rate: about 2e-3 from nothing, 1e-5 for a real checkpoint.
    `muon` turns the layers' matrices by Muon; off, AdamW takes everything.
    """

    steps: int
    rate: float = 2e-3
    muon: bool = True
    minutes: float = math.inf

    def progress(self, step: int, seconds: float) -> float:
        """From 0 to 1, or a little more."""
        return max(step / self.steps, seconds / 60 / self.minutes)

    def rate_at(self, step: int, progress: float) -> float:
        """A short warm-up, then a decay that slows down towards the end."""
        left = max(0.0, 1 - progress)
        return self.rate * min(1.0, (step + 1) / WARM_UP) * max(0.005, left**1.5)


class Pupil(nn.Module):
    """The model with what only training needs."""

    def __init__(self, whisper: Whisper, heads: FrameHeads) -> None:
        super().__init__()
        self.whisper, self.heads = whisper, heads

    def forward(self, batch: TensorBatch, zero: int) -> Losses:
        output = self.whisper(batch.mel, batch.offset, batch.tokens)
        return losses(output, self.heads, batch, zero)


class Trainer:
    """Takes steps and keeps a running average of the weights, which is what is kept in the end.

    `zero` is the first timestamp's id; `workers` processes share their gradients. `progress` is
    that of the plan, from 0 to 1.
    """

    def __init__(
        self, pupil: Pupil, plan: Plan, zero: int, *, workers: int = 1, device: str = "cpu"
    ) -> None:
        self.pupil, self._plan, self._zero = pupil.to(device), plan, zero
        self._workers, self._device = workers, device
        self._taken, self._began = 0, time.monotonic()
        self.progress = 0.0
        named = list(pupil.named_parameters())
        matrices = [p for n, p in named if plan.muon and p.ndim == 2 and ".layers." in n]
        ours = {id(p) for p in matrices}
        others = [p for _, p in named if id(p) not in ours]
        self._muon = Muon(matrices)
        self._adam = torch.optim.AdamW(
            [
                {"params": [p for p in others if p.ndim > 1], "weight_decay": 0.01},
                {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
            ],
            betas=(0.9, 0.98),
        )
        self.average = {name: value.clone() for name, value in pupil.state_dict().items()}

    def step(self, batch: Batch) -> Losses:
        """Train on one batch. Returns its losses before the step."""
        found = self.pupil(TensorBatch.of(batch, self._device), self._zero)
        self.pupil.zero_grad()
        found.total(self.progress).backward()
        self._share()
        nn.utils.clip_grad_norm_(self.pupil.parameters(), LARGEST_GRADIENT)
        rate = self._plan.rate_at(self._taken, self.progress)
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()
        self._muon.step(rate)
        self._taken += 1
        self._smooth()
        return found

    @torch.no_grad()
    def judge(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Mean losses of the averaged weights on these batches."""
        kept = {name: value.clone() for name, value in self.pupil.state_dict().items()}
        self.pupil.load_state_dict(self.average)
        found = [self.pupil(TensorBatch.of(b, self._device), self._zero) for b in batches]
        self.pupil.load_state_dict(kept)
        return {
            name: sum(getattr(one, name).item() for one in found) / len(found)
            for name in ("text", "time", "right")
        }

    def _share(self) -> None:
        """Average gradients and clocks, so that every worker stays at the same weights."""
        parameters = list(self.pupil.parameters())
        for p in parameters:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        clock = torch.tensor([time.monotonic() - self._began], device=self._device)
        if self._workers > 1:
            shared = torch.cat([*(p.grad.flatten() for p in parameters), clock])
            dist.all_reduce(shared)
            shared /= self._workers
            *pieces, clock = shared.split([*(p.numel() for p in parameters), 1])
            for p, piece in zip(parameters, pieces, strict=True):
                p.grad = piece.view_as(p)
        self.progress = self._plan.progress(self._taken + 1, clock.item())

    @torch.no_grad()
    def _smooth(self) -> None:
        keep = min(SMOOTHING, self._taken / (self._taken + 20))
        for name, value in self.pupil.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)


def exam(composer: Composer, pool: Pool, *, full: bool = False) -> list[Batch]:
    """Two batches of undegraded windows, which are always the same."""
    rng = random.Random(3)
    return [
        stacked(
            [
                composer.example(rng, pool, Style(full=full, utterances=1 + n % 3), augment=False)
                for n in range(8)
            ],
            composer.vocabulary,
            FULL if full else None,
        )
        for _ in range(2)
    ]


def train(
    trainer: Trainer,
    following: Callable[[float], Batch],
    report: Callable[[Losses], None],
    *,
    every: int = 200,
) -> None:
    """Train to the end of the plan; `report` is called every so many steps, and at the end."""
    steps = 0
    while trainer.progress < 1:
        found = trainer.step(following(trainer.progress))
        steps += 1
        if steps % every == 0 or trainer.progress >= 1:
            report(found)
