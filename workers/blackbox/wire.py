"""Pictures into the protocol's tensors, and the protocol's tensors into answers.

Legend: n samples of one call, K classes.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.blackbox import oip_pb2
from workers.blackbox.options import EndpointOptions
from workers.failures import Rejected

# The protocol's names of types: how they lie in memory, and which field holds them element by element.
_TYPES: Final[dict[str, tuple[str, str]]] = {
    "BOOL": ("?", "bool_contents"),
    "INT8": ("<i1", "int_contents"),
    "INT16": ("<i2", "int_contents"),
    "INT32": ("<i4", "int_contents"),
    "INT64": ("<i8", "int64_contents"),
    "UINT8": ("<u1", "uint_contents"),
    "UINT16": ("<u2", "uint_contents"),
    "UINT32": ("<u4", "uint_contents"),
    "UINT64": ("<u8", "uint64_contents"),
    "FP16": ("<f2", ""),
    "FP32": ("<f4", "fp32_contents"),
    "FP64": ("<f8", "fp64_contents"),
}
# How far probabilities may be from summing to 1: the server may have rounded them to half precision.
_SUM_SLACK: Final = 0.02
# Instead of log 0.
_LEAST: Final = 1e-30

Array = NDArray[Any]
Holder = oip_pb2.ModelInferRequest.InferInputTensor | oip_pb2.ModelInferResponse.InferOutputTensor


class Scores(NamedTuple):
    """What a call taught: scores as the module returns them, and as the server gave them."""

    returned: Tensor  # (n, K) float32: logits, or log-probabilities, or one-hot
    label: Tensor  # (n,) int64
    top: Tensor | None  # (n,) the largest score as the server gave it; None where only labels are asked for


def pixels(x: Tensor, options: EndpointOptions) -> Array:
    """Lay out pictures (n, C, H, W) in [0, 1] as the server wants them."""
    array = x.detach().cpu().float().numpy()
    if options.pixel_max != 1:
        array = array * np.float32(options.pixel_max)
    if options.datatype == "UINT8":
        array = np.clip(np.rint(array), 0, 255)
    if options.layout == "NHWC":
        array = array.transpose(0, 2, 3, 1)
    elif options.layout == "FLAT":
        array = array.reshape(len(array), -1)
    return np.ascontiguousarray(array, dtype=_TYPES[options.datatype][0])


def request(array: Array, options: EndpointOptions) -> oip_pb2.ModelInferRequest:
    """Ask about the samples of `array`."""
    asked = oip_pb2.ModelInferRequest(model_name=options.model, model_version=options.version)
    tensor = asked.inputs.add(name=options.input_name, datatype=options.datatype, shape=array.shape)
    if options.output_name is not None:
        asked.outputs.add(name=options.output_name)
    if options.raw_input:
        asked.raw_input_contents.append(array.tobytes())
    else:
        put(tensor, array)
    return asked


def put(tensor: Holder, array: Array) -> None:
    """Set the elements of a tensor in the field of its datatype."""
    getattr(tensor.contents, _TYPES[tensor.datatype][1]).extend(array.ravel().tolist())


def elements(tensor: Holder, raw: bytes | None) -> Array:
    """Return the elements of a tensor in its shape, from its raw bytes where there are some. Raises ValueError."""
    if tensor.datatype not in _TYPES:
        raise ValueError(f"tensor {tensor.name!r} has datatype {tensor.datatype!r}, which is none of {list(_TYPES)}")
    kind, place = _TYPES[tensor.datatype]
    if raw is not None:
        if len(raw) % np.dtype(kind).itemsize:
            raise ValueError(f"tensor {tensor.name!r} has {len(raw)} bytes, which are no whole {tensor.datatype}")
        flat = np.frombuffer(raw, dtype=kind)
    elif place:
        flat = np.array(getattr(tensor.contents, place), dtype=kind)
    else:
        raise ValueError(f"tensor {tensor.name!r}: {tensor.datatype} travels as raw bytes only")
    shape = tuple(tensor.shape)
    if min(shape, default=0) < 0 or math.prod(shape) != len(flat):
        raise ValueError(f"tensor {tensor.name!r} of shape {list(shape)} came with {len(flat)} elements")
    return flat.reshape(shape)


def scores(response: oip_pb2.ModelInferResponse, options: EndpointOptions, n: int) -> Scores:
    """Read the answer about n samples. Raises `Rejected` (BAD_ANSWER) for one that can't be right."""
    try:
        array = _output(response, options)
        return _labels(array, options, n) if options.output == "labels" else _scores(array, options, n)
    except ValueError as error:
        raise Rejected("BAD_ANSWER", f"{options.address}, model {options.model!r}: {error}") from None


def _output(response: oip_pb2.ModelInferResponse, options: EndpointOptions) -> Array:
    names = [tensor.name for tensor in response.outputs]
    if options.output_name is None and len(names) != 1:
        raise ValueError(f"it has the outputs {names}; say which one in output_name")
    name = names[0] if options.output_name is None else options.output_name
    if name not in names:
        raise ValueError(f"it has the outputs {names}, and no {name!r}")
    place, raw = names.index(name), response.raw_output_contents
    if raw and len(raw) != len(names):
        raise ValueError(f"it has {len(names)} outputs, and raw bytes of {len(raw)}")
    return elements(response.outputs[place], raw[place] if raw else None)


def _scores(array: Array, options: EndpointOptions, n: int) -> Scores:
    if array.shape[:1] != (n,) or array.size != n * options.classes:
        raise ValueError(f"it answers {n} samples with shape {list(array.shape)}, not [{n}, {options.classes}]")
    given = torch.from_numpy(array.reshape(n, -1).astype(np.float32))
    if not bool(given.isfinite().all()):
        raise ValueError("some scores are NaN or infinite")
    top, label = given.max(dim=1)
    if options.output == "logits":
        return Scores(given, label, top)
    if float(given.min()) < 0 or float((given.sum(dim=1) - 1).abs().max()) > _SUM_SLACK:
        raise ValueError('its scores are no probabilities: set output to "logits"')
    return Scores(given.clamp_min(_LEAST).log(), label, top)


def _labels(array: Array, options: EndpointOptions, n: int) -> Scores:
    if array.shape[:1] != (n,) or array.size not in (n, n * options.classes):
        raise ValueError(f"it answers {n} samples with shape {list(array.shape)}, not [{n}] labels")
    if array.size == n:
        label = array.reshape(n)
        if not np.all((label >= 0) & (label < options.classes) & (label == np.rint(label))):  # false for NaN
            raise ValueError(f"some labels are none of 0, 1, ..., {options.classes - 1}")
    else:
        if not np.isfinite(array).all():
            raise ValueError("some scores are NaN or infinite")
        label = array.reshape(n, -1).argmax(axis=1)
    named = torch.from_numpy(label.astype(np.int64))
    return Scores(torch.nn.functional.one_hot(named, options.classes).float(), named, None)
