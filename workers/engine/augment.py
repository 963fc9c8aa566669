"""Pictures moved and mirrored as they come: whole batches at once, on the device of the pictures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Augmentation:
    """What is done to the pictures of a batch, each by a draw of its own.

    `padding`: they are shifted by up to so many pixels in each direction, uniformly; what comes in is 0, as if they had
    been padded and cropped. `flip`: they are mirrored left to right with probability 1/2.
    """

    padding: int = 0
    flip: bool = False

    def __call__(self, x: Tensor, generator: torch.Generator, rows: slice, count: int) -> Tensor:
        """Return pictures of the shape of `x` (n, C, H, W), which are the `rows` of a batch of `count`.

        As much is drawn as the whole batch takes, so that a picture meets the same whoever has the others.
        """
        if self.padding:
            moves = torch.randint(0, 2 * self.padding + 1, (2, count), generator=generator)
            x = shifted(x, moves[:, rows].to(x.device), self.padding)
        if self.flip:
            mirrored = torch.rand(count, generator=generator)[rows] < 0.5
            x = torch.where(mirrored.to(x.device).view(-1, 1, 1, 1), x.flip(3), x)
        return x


def shifted(x: Tensor, moves: Tensor, padding: int) -> Tensor:
    """Cut each picture (n, C, H, W) out of itself padded with zeros, from row moves[0] and column moves[1] on.

    `moves` (2, n) int64 in [0, 2 padding]: a move of `padding` leaves the picture where it is, one of 0 moves it down
    or to the right by `padding`.
    """
    _, channels, height, width = x.shape
    padded = F.pad(x, (padding,) * 4)
    sample = torch.arange(len(x), device=x.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=x.device).view(1, -1, 1, 1)
    row = (moves[0].view(-1, 1) + torch.arange(height, device=x.device)).view(-1, 1, height, 1)
    column = (moves[1].view(-1, 1) + torch.arange(width, device=x.device)).view(-1, 1, 1, width)
    return padded[sample, channel, row, column]
