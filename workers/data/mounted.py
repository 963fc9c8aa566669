"""Datasets in folders that ops mount: `root/NAME` in one of the layouts that torchvision's datasets have.

    mnist          [NAME/raw/]train-images-idx3-ubyte[.gz], train-labels-..., t10k-images-..., t10k-labels-...
    cifar10        [cifar-10-batches-py/]data_batch_1 ..., test_batch
    image folder   train/CLASS/*.png, test/CLASS/*.png ("val" is taken for "test")

A `dataset.json` beside them may say more; see `description`. The files are read here and not by torchvision, which
wants the files of the original distribution, unpacked, and unpickles what it finds.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from workers.data import cifar, folders, idx
from workers.data.dataset import Dataset, DatasetInfo, SplitInfo
from workers.data.description import Description, describe
from workers.failures import Rejected

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class _Layout:
    """One way to keep a dataset in a folder."""

    recognises: Callable[[Path], bool]
    # The shape of one input, the number of classes and the splits, without reading more pictures than need be.
    survey: Callable[[Path, Description], tuple[tuple[int, int, int], int, Mapping[str, SplitInfo]]]
    # Samples [offset, offset + count) of a split; count 0 means all from `offset` on.
    read: Callable[[Path, Description, str, int, int], Dataset]


_LAYOUTS = tuple(_Layout(layout.recognises, layout.survey, layout.read) for layout in (idx, cifar, folders))


def scan(root: str) -> list[DatasetInfo]:
    """The datasets in the folders of `root`, by name; a folder that can't be used is logged and left out."""
    found = []
    for path in sorted(Path(root).iterdir()):
        if not path.is_dir():
            continue
        try:
            found.append(_survey(path))
        except (Rejected, OSError) as error:
            _LOG.warning("the folder %s is not used as a dataset: %s", path, error)
    return found


def mounted(root: str, name: str, split: str, *, offset: int = 0, count: int = 0) -> Dataset:
    """Samples [offset, offset + count) of a split of the dataset in `root/name`; count 0 means all from `offset` on."""
    path = _folder(root, name)
    return _layout(path).read(path, describe(path), split, offset, count)


def _survey(path: Path) -> DatasetInfo:
    _check_name(path.name)
    description = describe(path)
    input_shape, classes, splits = _layout(path).survey(path, description)
    return DatasetInfo(
        name=path.name,
        input_shape=input_shape,
        classes=classes,
        splits=splits,
        description=description.description,
        licence=description.licence,
    )


def _folder(root: str, name: str) -> Path:
    _check_name(name)
    path = Path(root) / name
    if not path.is_dir():
        raise Rejected("UNKNOWN_DATASET", f"there is no folder {name!r} in this worker's data root")
    return path


def _check_name(name: str) -> None:
    """Nothing that could lead out of the root."""
    if not _NAME.fullmatch(name):
        raise Rejected("BAD_DATASET_NAME", f"{name!r} must be letters, digits, '-', '_' and '.', at most 63")


def _layout(path: Path) -> _Layout:
    for layout in _LAYOUTS:
        if layout.recognises(path):
            return layout
    raise Rejected(
        "UNKNOWN_LAYOUT", f"{path.name} is in none of the layouts MNIST (idx), CIFAR-10 (python), image folder"
    )
