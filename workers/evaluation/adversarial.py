"""The file of an attack's adversarial examples, written piece by piece: no more than a shard of it is ever in memory.

A safetensors file without metadata, so that equal plans give equal bytes:

    x_adv                                              (N, C, H, W) float32, row i being sample i of the selection
    index, label, clean_prediction, prediction, target (N,) int64
    confidence, distance                               (N,) float32
    success                                            (N,) bool
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

EXAMPLES: Final = "x_adv"

# As safetensors itself lays tensors out: the widest first, then by name.
_KINDS: Final = {torch.int64: (8, "I64"), torch.float32: (4, "F32"), torch.bool: (1, "BOOL")}
# The header is filled up with spaces to whole words.
_WORD: Final = 8


@dataclass(frozen=True)
class AdversarialFile:
    """Everything but the pictures, and how large those are."""

    columns: Mapping[str, Tensor]  # (N,) each
    shape: tuple[int, ...]  # (N, C, H, W)

    @property
    def size_bytes(self) -> int:
        """Of the whole file."""
        return len(self._header()) + sum(size for _, _, size in self._layout())

    def parts(self, pictures: Iterable[Tensor]) -> Iterator[bytes]:
        """Yield the file, given the pictures (n, C, H, W) of one shard after the other.

        Raises ValueError where they are not those of every sample.
        """
        yield self._header()
        for name, dtype, _ in self._layout():
            if name != EXAMPLES:
                yield _bytes(self.columns[name].to(dtype))
                continue
            rows = 0
            for part in pictures:
                if part.shape[1:] != self.shape[1:]:
                    raise ValueError(f"a shard holds pictures of shape {tuple(part.shape[1:])}, not {self.shape[1:]}")
                rows += len(part)
                yield _bytes(part.float())
            if rows != self.shape[0]:
                raise ValueError(f"the shards hold {rows} adversarial examples, not that of every sample")

    def _layout(self) -> list[tuple[str, torch.dtype, int]]:
        """Return name, dtype and size of every tensor in the order of the file."""
        sizes = {name: (tensor.dtype, tensor.numel()) for name, tensor in self.columns.items()}
        sizes[EXAMPLES] = (torch.float32, math.prod(self.shape))
        laid = [(name, dtype, count * _KINDS[dtype][0]) for name, (dtype, count) in sizes.items()]
        return sorted(laid, key=lambda one: (-_KINDS[one[1]][0], one[0]))

    def _header(self) -> bytes:
        entries, offset = {}, 0
        for name, dtype, size in self._layout():
            shape = list(self.shape) if name == EXAMPLES else [len(self.columns[name])]
            entries[name] = {"dtype": _KINDS[dtype][1], "shape": shape, "data_offsets": [offset, offset + size]}
            offset += size
        text = json.dumps(entries, separators=(",", ":")).encode()
        text += b" " * (-len(text) % _WORD)
        return struct.pack("<Q", len(text)) + text


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()
