"""CIFAR-10's "python" layout (https://www.cs.toronto.edu/~kriz/cifar.html): pickled batches of 3x32x32 pictures."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workers.data.dataset import Dataset, SplitInfo
from workers.data.description import Description
from workers.failures import Rejected

_SHAPE = (3, 32, 32)
_CLASSES = 10
_PATTERNS = {"train": "data_batch_*", "test": "test_batch"}
_FOLDER = "cifar-10-batches-py"


def _array(*_: object) -> np.ndarray[Any, Any]:
    """The empty array that a pickled array's own content is then put into."""
    return np.ndarray((0,), np.uint8)


def _bytes(text: str, _: str) -> bytes:
    """Bytes as Python 3 writes them in protocol 2."""
    return text.encode("latin1")


# All that batches refer to: the distributed ones, and those that somebody pickled again.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _bytes,
}


class _Unpickler(pickle.Unpickler):
    """Makes arrays, dictionaries, lists, strings and numbers; nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a batch of pictures") from None


def recognises(path: Path) -> bool:
    """Whether `path` holds batches."""
    return any(_files(path, split) for split in _PATTERNS)


def survey(path: Path, description: Description) -> tuple[tuple[int, int, int], int, Mapping[str, SplitInfo]]:
    """Input shape, number of classes, splits; reads everything, as pictures and labels are one pickle."""
    del description
    splits = {}
    for split in _PATTERNS:
        if _files(path, split):
            data = _split(path, split)
            splits[split] = SplitInfo(len(data), data.class_counts())
    return _SHAPE, _CLASSES, splits


def read(path: Path, description: Description, split: str, offset: int, count: int) -> Dataset:
    """Samples of one split."""
    del description
    if split not in _PATTERNS or not _files(path, split):
        held = ", ".join(name for name in _PATTERNS if _files(path, name))
        raise Rejected("UNKNOWN_SPLIT", f"{path.name} has no split {split!r}; it has {held}")
    return _split(path, split).select(offset, count)


def _files(path: Path, split: str) -> list[Path]:
    """The batches in the folder itself or in the one that the archive unpacks to, in the order of their numbers."""
    for folder in (path, path / _FOLDER):
        files = sorted(folder.glob(_PATTERNS[split]), key=lambda file: (len(file.name), file.name))
        if files:
            return files
    return []


def _split(path: Path, split: str) -> Dataset:
    batches = [_batch(file) for file in _files(path, split)]
    return Dataset(torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]), _CLASSES)


def _batch(file: Path) -> tuple[Tensor, Tensor]:
    """Pictures (n, 3, 32, 32) and labels of one file."""
    try:
        with file.open("rb") as stream:
            content = _Unpickler(stream, encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise Rejected("MALFORMED_BATCH", f"{file.name} can't be read: {error}") from error
    try:
        data, labels = content[b"data"], torch.tensor(content[b"labels"], dtype=torch.int64)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise Rejected("MALFORMED_BATCH", f"{file.name} must hold data and labels: {error!r}") from error
    pictures = isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.shape == (len(labels), 3072)
    if not pictures or not len(labels) or int(labels.min()) < 0 or int(labels.max()) >= _CLASSES:
        raise Rejected("MALFORMED_BATCH", f"{file.name} must hold n x 3072 bytes and n labels from 0 to {_CLASSES - 1}")
    return torch.from_numpy(data.reshape(-1, *_SHAPE).copy()), labels
