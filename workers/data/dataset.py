"""Samples in memory, and what is known of a dataset without reading it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workers.failures import Rejected


@dataclass(frozen=True, eq=False)
class Dataset:
    """N pictures and their labels; nobody changes the tensors, as built-in data are shared."""

    x: Tensor  # (N, C, H, W): uint8 in [0, 255], or float32 in [0, 1]
    y: Tensor  # (N,) int64 in [0, classes)
    classes: int

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.y)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        _, channels, height, width = self.x.shape
        return channels, height, width

    def select(self, offset: int, count: int = 0) -> Dataset:
        """`count` samples from number `offset` on; 0 means all of them."""
        end = offset + count if count else len(self)
        if not 0 <= offset < end <= len(self):
            raise Rejected("SELECTION_OUT_OF_RANGE", f"samples {offset} to {end} of a split of {len(self)}")
        return replace(self, x=self.x[offset:end], y=self.y[offset:end])

    def pixels(self, index: Tensor | slice) -> Tensor:
        """The chosen pictures as float32 in [0, 1], (n, C, H, W)."""
        chosen = self.x[index]
        return chosen.float().div_(255) if chosen.dtype == torch.uint8 else chosen

    def class_counts(self) -> tuple[int, ...]:
        """Samples of each class, in the order of the labels."""
        return tuple(torch.bincount(self.y, minlength=self.classes).tolist())

    def to(self, device: torch.device) -> Dataset:
        """The same samples on `device`."""
        return replace(self, x=self.x.to(device), y=self.y.to(device))


@dataclass(frozen=True)
class SplitInfo:
    """A part of a dataset: its samples, and those of each class in the order of the labels."""

    count: int
    class_counts: tuple[int, ...]


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a dataset; mirrors `sparring.v1.Dataset`."""

    name: str
    input_shape: tuple[int, int, int]
    classes: int
    splits: Mapping[str, SplitInfo]
    digest: str = ""
    description: str = ""
    licence: str = ""
