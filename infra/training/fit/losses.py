"""The losses of the training: tokens, labels of frames, and guided attention.

Losses that need word or phone times are nothing in a batch without them.
"""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor

from infra.training.data.batches import Batch
from infra.training.data.examples import IGNORE
from infra.training.model.network import FrameHeads, Output

NEAR = {0: 0.5, 1: 0.2, -1: 0.2, 2: 0.05, -2: 0.05}
"""A timestamp's target is spread over its neighbours of 20 ms."""
ALIGNED = (0, 1)
"""Heads of the last decoder layer that show where the next word is: the alignment heads."""


@dataclass(frozen=True)
class TensorBatch:
    """A `Batch` as tensors on one device."""

    mel: Tensor
    offset: Tensor
    tokens: Tensor
    targets: Tensor
    phones: Tensor
    words: Tensor
    now: Tensor
    ahead: Tensor
    even: Tensor

    @classmethod
    def of(cls, batch: Batch, device: str = "cpu") -> "TensorBatch":
        return cls(*(torch.from_numpy(getattr(batch, f.name)).to(device) for f in fields(batch)))


@dataclass(frozen=True)
class Losses:
    """Each a mean. `right` is the share of text tokens that are foreseen, no loss."""

    text: Tensor
    time: Tensor
    phones: Tensor
    words: Tensor
    attention: Tensor
    right: Tensor

    def total(self, progress: float) -> Tensor:
        """Return the sum to minimise; frames count less as `progress` (0 to 1) grows."""
        frames = max(0.15, 0.5 * (1 - progress))
        exact = self.phones + self.words + 0.5 * self.attention
        return self.text + 0.3 * self.time + frames * exact


def losses(output: Output, heads: FrameHeads, batch: TensorBatch, zero: int) -> Losses:
    """All losses of a batch; `zero` is the first timestamp's id."""
    text, time, right = _tokens(output.logits, batch.targets, zero)
    first, last = output.attention[0], output.attention[-1]
    return Losses(
        text,
        time,
        _frames(heads.phones(output.middle), batch.phones),
        _frames(heads.words(output.heard), batch.words),
        on_span(first, batch.now, (0,))
        + on_span(last, batch.ahead, ALIGNED)
        + 0.3 * over_span(last, batch.even, ALIGNED),
        right,
    )


def _tokens(logits: Tensor, targets: Tensor, zero: int) -> tuple[Tensor, Tensor, Tensor]:
    is_scored = targets != IGNORE
    target, log = targets[is_scored], logits[is_scored].log_softmax(-1)
    is_stamp = target >= zero
    said, wanted = log[~is_stamp], target[~is_stamp]
    text = -said.gather(1, wanted[:, None]).mean()
    right = (said.argmax(-1) == wanted).float().mean()
    return text, _times(log[is_stamp], target[is_stamp], zero), right


def _times(log: Tensor, target: Tensor, zero: int) -> Tensor:
    if not len(target):
        return log.sum()
    near = [
        share * log.gather(1, (target + by).clamp(zero, log.shape[1] - 1)[:, None])
        for by, share in NEAR.items()
    ]
    return -torch.stack(near).sum(0).mean()


def _frames(logits: Tensor, labels: Tensor) -> Tensor:
    if not (labels != IGNORE).any():
        return logits.sum() * 0
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)


def on_span(attention: Tensor, spans: Tensor, heads: tuple[int, ...]) -> Tensor:
    """Attention should lie on the known frames."""
    if not len(spans):
        return attention.sum() * 0
    return -torch.log(_sums(attention, spans, heads).clamp_min(1e-5)).mean()


def over_span(attention: Tensor, spans: Tensor, heads: tuple[int, ...]) -> Tensor:
    """Attention should cover the known frames evenly."""
    if not len(spans):
        return attention.sum() * 0
    count = (spans[:, 3] - spans[:, 2]).float()[:, None, None]
    sums = _sums(torch.log(attention + 1e-6), spans, heads)
    return (-sums / count - torch.log(count)).mean()


def _sums(values: Tensor, spans: Tensor, heads: tuple[int, ...]) -> Tensor:
    """Sums over the frames of each span, shape (spans, heads, 1)."""
    running = F.pad(values[:, list(heads)].cumsum(-1), (1, 0))[spans[:, 0], :, spans[:, 1]]
    first, last = (
        running.gather(2, spans[:, column][:, None, None].expand(-1, len(heads), 1))
        for column in (2, 3)
    )
    return last - first
