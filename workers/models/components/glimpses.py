"""Several glimpses of one picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workers.models.components.kind import Component, Make, mean_answer, require_within

MOST_GLIMPSES = 64
MOST_SHIFT = 64


@dataclass(frozen=True, kw_only=True)
class Glimpses(Component):
    """The network looks at shifted copies of the picture, each of which has one vote.

    z_k = log (1/G) sum_{g <= G} softmax(f(x shifted by s^g))_k

    `glimpses` G in [1, 64]; `shift` in [0, 64], pixels: no s is longer in either direction. What comes in from outside
    the picture is black. `random_glimpses`: every s is drawn anew for each picture, uniformly; otherwise the first is 0
    and the others lie on a circle. In training mode the network looks once, at a random shift, so that it learns what
    it is going to be shown.

    Source: arXiv:1511.06292 (foveation: the network is shown crops of the picture).
    Differs from the paper in: shifts in place of crops that are found by saliency.
    """

    glimpses: int
    shift: int
    random_glimpses: bool

    def __post_init__(self) -> None:
        require_within("glimpses", self.glimpses, 1, MOST_GLIMPSES)
        require_within("shift", self.shift, 0, MOST_SHIFT)

    @property
    def random(self) -> bool:
        """Where the shifts are drawn, and there are any."""
        return self.random_glimpses and self.shift > 0

    def around(self, make: Make, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
        """See `Component`."""
        del input_shape
        return Glimpsing(make(classes), self)


class Glimpsing(nn.Module):
    """A network that sees shifted pictures."""

    fixed: Tensor  # (G, 2) int64, the shifts that are not random

    def __init__(self, inner: nn.Module, settings: Glimpses) -> None:
        super().__init__()
        self.inner, self.settings = inner, settings
        self.register_buffer("fixed", torch.tensor(circle(settings.glimpses, settings.shift)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, K)."""
        if self.training:
            logits: Tensor = self.inner(self._shifted(x, self._drawn(x, 1)).flatten(0, 1))
            return logits
        count = self.settings.glimpses
        shifts = self._drawn(x, count) if self.settings.random_glimpses else self.fixed[:, None].expand(-1, len(x), -1)
        seen = self._shifted(x, shifts)
        return mean_answer(self.inner(seen.flatten(0, 1)).unflatten(0, seen.shape[:2]))

    def _drawn(self, x: Tensor, count: int) -> Tensor:
        """Random shifts (G, N, 2)."""
        furthest = self.settings.shift
        return torch.randint(-furthest, furthest + 1, (count, len(x), 2), device=x.device)

    def _shifted(self, x: Tensor, shifts: Tensor) -> Tensor:
        """Every picture (N, C, H, W) by each of its shifts (G, N, 2): (G, N, C, H, W)."""
        furthest = self.settings.shift
        _, channels, height, width = x.shape
        wide = F.pad(x, [furthest] * 4).expand(len(shifts), -1, -1, -1, -1)
        down, right = (furthest - shifts).unbind(dim=2)  # (G, N) each, where the window begins
        rows = (down[..., None] + torch.arange(height, device=x.device))[:, :, None, :, None]
        columns = (right[..., None] + torch.arange(width, device=x.device))[:, :, None, None, :]
        cut = wide.gather(3, rows.expand(-1, -1, channels, -1, wide.shape[4]))
        return cut.gather(4, columns.expand(-1, -1, channels, height, -1))


def circle(count: int, radius: int) -> list[tuple[int, int]]:
    """No shift at all, and `count` - 1 on a circle of `radius` pixels, evenly spaced and rounded."""
    angles = [2 * math.pi * number / (count - 1) for number in range(count - 1)]
    return [(0, 0), *((round(radius * math.sin(angle)), round(radius * math.cos(angle))) for angle in angles)]
