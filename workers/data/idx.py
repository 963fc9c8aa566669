"""MNIST's layout: idx files, packed with gzip or not (http://yann.lecun.com/exdb/mnist/)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np
import torch
from torch import Tensor

from workers.data.dataset import Dataset, SplitInfo
from workers.data.description import Description
from workers.failures import Rejected

_SPLITS = {"train": "train", "test": "t10k"}
_UINT8 = 0x08
_MAX_BYTES = 1 << 34


def recognises(path: Path) -> bool:
    """Whether `path` holds the pictures of a split."""
    return any(_find(path, prefix, "images", 3) for prefix in _SPLITS.values())


def survey(path: Path, description: Description) -> tuple[tuple[int, int, int], int, Mapping[str, SplitInfo]]:
    """Input shape, number of classes, splits; reads the labels and the heads of the pictures."""
    del description
    labels = {split: _labels(path, split) for split in _SPLITS if _find(path, _SPLITS[split], "images", 3)}
    shapes = {split: _shape(path, split) for split in labels}
    for split, shape in shapes.items():
        if shape[0] != len(labels[split]):
            raise Rejected("COUNT_MISMATCH", f"{split} has {shape[0]} pictures and {len(labels[split])} labels")
    if len({shape[1:] for shape in shapes.values()}) > 1:
        raise Rejected("WRONG_SHAPE", "the pictures of train and t10k are not of one size")
    classes = _classes(labels)
    splits = {
        split: SplitInfo(len(y), tuple(torch.bincount(y, minlength=classes).tolist())) for split, y in labels.items()
    }
    height, width = next(iter(shapes.values()))[1:]
    return (1, height, width), classes, splits


def read(path: Path, description: Description, split: str, offset: int, count: int) -> Dataset:
    """Samples of one split."""
    _, classes, splits = survey(path, description)
    if split not in splits:
        raise Rejected("UNKNOWN_SPLIT", f"{path.name} has no split {split!r}; it has {', '.join(splits)}")
    x = _array(_need(path, _SPLITS[split], "images", 3), 3).unsqueeze(1)
    return Dataset(x, _labels(path, split), classes).select(offset, count)


def _classes(labels: Mapping[str, Tensor]) -> int:
    return max(2, *(int(y.max()) + 1 for y in labels.values()))


def _labels(path: Path, split: str) -> Tensor:
    return _array(_need(path, _SPLITS[split], "labels", 1), 1).long()


def _find(path: Path, prefix: str, what: str, dims: int) -> Path | None:
    """The file in the folder itself, in `raw`, or in torchvision's `NAME/raw`; the unpacked one if both are there."""
    name = f"{prefix}-{what}-idx{dims}-ubyte"
    for folder in (path, path / "raw", *sorted(path.glob("*/raw"))):
        for file in (folder / name, folder / f"{name}.gz"):
            if file.is_file():
                return file
    return None


def _need(path: Path, prefix: str, what: str, dims: int) -> Path:
    file = _find(path, prefix, what, dims)
    if file is None:
        raise Rejected("MISSING_FILE", f"{path.name} lacks {prefix}-{what}-idx{dims}-ubyte")
    return file


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """The file's content, unpacked on the way."""
    try:
        with cast("IO[bytes]", gzip.open(file)) if file.suffix == ".gz" else file.open("rb") as stream:
            yield stream
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise Rejected("MALFORMED_IDX", f"{file.name} can't be unpacked: {error}") from error


def _head(stream: IO[bytes], file: Path, dims: int) -> tuple[int, ...]:
    """The shape: two zeros, the type, the number of dimensions, then each dimension as four bytes, largest first."""
    head = stream.read(4 + 4 * dims)
    if len(head) < 4 + 4 * dims or head[:4] != bytes([0, 0, _UINT8, dims]):
        raise Rejected("MALFORMED_IDX", f"{file.name} is not an idx file of {dims} dimensions of unsigned bytes")
    shape = struct.unpack(f">{dims}I", head[4:])
    if not 1 <= math.prod(shape) <= _MAX_BYTES:
        raise Rejected("MALFORMED_IDX", f"{file.name} tells of shape {shape}")
    return shape


def _shape(path: Path, split: str) -> tuple[int, ...]:
    file = _need(path, _SPLITS[split], "images", 3)
    with _opened(file) as stream:
        return _head(stream, file, 3)


def _array(file: Path, dims: int) -> Tensor:
    """The whole array; reads no more than the head tells of, whatever a packed file would unfold to."""
    with _opened(file) as stream:
        shape = _head(stream, file, dims)
        size = math.prod(shape)
        body = stream.read(size + 1)
    if len(body) != size:
        held = "more" if len(body) > size else "fewer"
        raise Rejected("MALFORMED_IDX", f"{file.name} tells of {size} bytes and holds {held}")
    return torch.from_numpy(np.frombuffer(bytearray(body), np.uint8).reshape(shape))
