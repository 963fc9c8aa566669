"""Safetensors files as bytes: which tensors a file holds, and the bytes of some rows of one, without numpy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 2**20
# The format's own cap on its header.
MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """Where a tensor stands in a file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int  # in the file, in bytes
    end: int

    @property
    def rows(self) -> int:
        """Length of the first dimension; 1 for a scalar."""
        return self.shape[0] if self.shape else 1

    @property
    def row_bytes(self) -> int:
        """Length of one row."""
        return (self.end - self.begin) // max(1, self.rows)


class TensorFile:
    """A safetensors file."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError for a file that is not one."""
        self.path = path
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise ValueError(f"{path.name} is no safetensors file")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        self.tensors: Mapping[str, Tensor] = {
            name: Tensor(
                dtype=stated["dtype"],
                shape=tuple(stated["shape"]),
                begin=8 + length + stated["data_offsets"][0],
                end=8 + length + stated["data_offsets"][1],
            )
            for name, stated in header.items()
        }
        if any(not 0 <= tensor.begin <= tensor.end <= size for tensor in self.tensors.values()):
            raise ValueError(f"{path.name} ends before its tensors do")

    def read(self, name: str, first: int, rows: int) -> Iterator[bytes]:
        """The bytes of some rows of a tensor, in pieces of CHUNK_BYTES."""
        tensor = self.tensors[name]
        with self.path.open("rb") as file:
            file.seek(tensor.begin + first * tensor.row_bytes)
            left = rows * tensor.row_bytes
            while left > 0 and (piece := file.read(min(CHUNK_BYTES, left))):
                left -= len(piece)
                yield piece


def differing(one: TensorFile, other: TensorFile, *, first: int = 0, rows: int | None = None) -> list[str]:
    """Names of the tensors whose bytes are not the same in both files.

    `first` and `rows` choose the rows of `one` that are to be all rows of `other`; None: tensors are compared whole,
    but pictures (`x`, `x_adv`) and features, of which a file may hold those of the first few samples only, as far as
    both have them. What was made for a job's other models (`transfer/...`) is compared where both files have it: a job
    of one model has none.
    """
    names = sorted({*one.tensors, *other.tensors})
    return [name for name in names if not _same(one, other, name, first, rows)]


def _same(one: TensorFile, other: TensorFile, name: str, first: int, rows: int | None) -> bool:
    is_picture = rows is None and (name.rpartition("/")[2] in {"x", "x_adv"} or name.startswith("features/"))
    if name not in one.tensors or name not in other.tensors:
        return is_picture or name.startswith("transfer/")
    a, b = one.tensors[name], other.tensors[name]
    if a.dtype != b.dtype or a.shape[1:] != b.shape[1:]:
        return False
    count = rows
    if count is None:
        count = min(a.rows, b.rows)
        if not is_picture and a.rows != b.rows:
            return False
    elif first + count > a.rows or count != b.rows:
        return False
    return all(x == y for x, y in zip(one.read(name, first, count), other.read(name, 0, count), strict=True))
