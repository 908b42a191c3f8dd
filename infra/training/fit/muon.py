"""Muon: momentum whose update is orthogonalised by five Newton-Schulz steps.

After Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024).
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
DECAY = 0.02


class Muon:
    """For matrices. Those of one shape are orthogonalised together."""

    def __init__(self, matrices: Iterable[nn.Parameter]) -> None:
        self._groups: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
        for matrix in matrices:
            self._groups[matrix.shape].append((matrix, torch.zeros_like(matrix)))

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move all matrices against their gradients."""
        for shape, members in self._groups.items():
            for matrix, momentum in members:
                momentum.mul_(MOMENTUM).add_(matrix.grad)
            ahead = torch.stack([matrix.grad + MOMENTUM * m for matrix, m in members])
            size = -0.2 * rate * max(shape) ** 0.5
            for (matrix, _), update in zip(members, orthogonal(ahead), strict=True):
                matrix.mul_(1 - DECAY * rate).add_(update, alpha=size)


def orthogonal(matrices: Tensor) -> Tensor:
    """Nearly the nearest orthogonal matrix to each, shape (n, rows, columns).

    Nearly is enough, so it is reckoned in half precision.
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.transpose(1, 2) if is_tall else matrices).bfloat16()
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(5):
        a = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.transpose(1, 2) if is_tall else x).to(matrices.dtype)
