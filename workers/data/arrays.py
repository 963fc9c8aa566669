"""Uploaded arrays: every pixel and label is checked, and the first bad one named."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from workers.data import npy
from workers.data.dataset import Dataset
from workers.failures import Rejected

_MAX_SIDE = 4096
_MAX_INPUTS = 3 * 1024 * 1024
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_ROWS = 4096  # samples that are checked at once: bounds the memory of the check


def from_arrays(images: bytes, labels: bytes | None, classes: int) -> Dataset:
    """The dataset of an upload.

    `images` and `labels` are each a .npy file, or a safetensors file with a tensor "x" or "y"; without `labels` both
    are in `images`. Pictures: uint8 in [0, 255] or floats in [0, 1], (N, C, H, W) or (N, H, W) for one channel.
    Labels: any integer type, (N,), in [0, classes).

    Raises Rejected: MALFORMED_NPY, MALFORMED_SAFETENSORS, MISSING_TENSOR, WRONG_SHAPE, WRONG_DTYPE, EMPTY_DATASET,
    COUNT_MISMATCH, NOT_FINITE, PIXEL_OUT_OF_RANGE, LABEL_OUT_OF_RANGE.
    """
    x = _pictures(_tensor(images, "x"))
    y = _tensor(images if labels is None else labels, "y")
    if y.ndim != 1:
        raise Rejected("WRONG_SHAPE", f"labels have shape {list(y.shape)}; they must have shape (N,)")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise Rejected("WRONG_DTYPE", f"labels are {_name(y)}; they must be whole numbers of an integer type")
    if len(x) != len(y):
        raise Rejected("COUNT_MISMATCH", f"there are {len(x)} pictures and {len(y)} labels")
    y = y.long()
    _check_labels(y, classes)
    return Dataset(x, y, classes)


def _tensor(data: bytes, name: str) -> Tensor:
    """The array that a file holds under `name`; a .npy file holds just one."""
    if data.startswith(npy.MAGIC):
        return npy.read(data)
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise Rejected("MALFORMED_SAFETENSORS", f"neither a .npy nor a safetensors file: {error}") from error
    if name not in tensors:
        held = ", ".join(sorted(tensors)[:5]) or "none"
        raise Rejected("MISSING_TENSOR", f'the safetensors file must hold a tensor "{name}"; it holds: {held}')
    return tensors[name]


def _pictures(x: Tensor) -> Tensor:
    """Shape (N, C, H, W); uint8 as it is, floats as float32 in [0, 1]."""
    if x.ndim == 3:
        x = x.unsqueeze(1)
    if x.ndim != 4:
        raise Rejected("WRONG_SHAPE", f"pictures have shape {list(x.shape)}; they must be (N, C, H, W) or (N, H, W)")
    if not len(x):
        raise Rejected("EMPTY_DATASET", "there is no picture")
    sides = x.shape[1:]
    if not all(1 <= side <= _MAX_SIDE for side in sides) or math.prod(sides) > _MAX_INPUTS:
        raise Rejected(
            "WRONG_SHAPE",
            f"one picture has shape {list(sides)}; each side must be from 1 to {_MAX_SIDE}, "
            f"their product at most {_MAX_INPUTS}",
        )
    if x.dtype == torch.uint8:
        return x.contiguous()
    if x.dtype not in _FLOATS:
        raise Rejected("WRONG_DTYPE", f"pictures are {_name(x)}; they must be uint8 in [0, 255] or floats in [0, 1]")
    for start in range(0, len(x), _ROWS):
        _check_pixels(x[start : start + _ROWS], start)
    return x.float().contiguous()


def _check_pixels(rows: Tensor, start: int) -> None:
    """Every value in [0, 1]; written so that NaN, for which no comparison holds, is found too."""
    bad = ~((rows >= 0) & (rows <= 1))
    if not bool(bad.any()):
        return
    sample, *place = _first(bad)
    value = float(rows[(sample, *place)])
    where = f"sample {start + sample} holds {value:g} at channel {place[0]}, row {place[1]}, column {place[2]}"
    if not math.isfinite(value):
        raise Rejected("NOT_FINITE", f"{where}; every pixel must be a finite number")
    hint = "; divide by 255, or send uint8" if 1 < value <= 255 else ""
    raise Rejected("PIXEL_OUT_OF_RANGE", f"{where}; every pixel must be in [0, 1]{hint}")


def _check_labels(y: Tensor, classes: int) -> None:
    bad = (y < 0) | (y >= classes)
    if bool(bad.any()):
        (sample,) = _first(bad)
        raise Rejected(
            "LABEL_OUT_OF_RANGE", f"sample {sample} has label {int(y[sample])}; labels must be in [0, {classes})"
        )


def _first(mask: Tensor) -> Sequence[int]:
    """Index of the first true entry."""
    position = int(mask.flatten().to(torch.uint8).argmax())
    return [int(index) for index in np.unravel_index(position, mask.shape)]


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
