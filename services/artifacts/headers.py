"""What a file of tensors says about itself, read without torch or numpy, and without trusting a byte of it.

    safetensors   8 bytes length, a JSON header, and the tensors one after another without gap or overlap
    .npy          magic, version, a header that is a Python dict literal, and one array

Both readers take the first bytes of the file and its whole length, and raise ValueError with a sentence for people.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_HEADER_BYTES = 1 << 20
MAX_TENSORS = 10_000
MAX_DIMENSIONS = 32
LENGTH_BYTES = 8
# As NumPy itself: Python's parser takes seconds, and half a gigabyte, for a megabyte of brackets and commas.
MAX_NPY_HEADER_BYTES = 10_000
NPY_MAGIC = b"\x93NUMPY"

# Bytes of one element.
SAFETENSORS_DTYPES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}
NPY_DTYPES = {
    "|b1": "BOOL",
    "|u1": "U8",
    "|i1": "I8",
    "<u2": "U16",
    "<i2": "I16",
    "<f2": "F16",
    "<u4": "U32",
    "<i4": "I32",
    "<f4": "F32",
    "<u8": "U64",
    "<i8": "I64",
    "<f8": "F64",
}


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """One tensor: its type in safetensors' words, its shape, and where its bytes are in the file's body."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def safetensors_header_bytes(head: bytes) -> int:
    """Bytes before the body, from the first eight of the file."""
    if len(head) < LENGTH_BYTES:
        raise ValueError("the file is too short to be a safetensors file")
    length = int.from_bytes(head[:LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"its header claims {length} bytes, at most {MAX_HEADER_BYTES} are read; is it safetensors?")
    return LENGTH_BYTES + length


def safetensors(head: bytes, size_bytes: int) -> dict[str, TensorInfo]:
    """The tensors of a safetensors file by name; `head` holds the whole header at least."""
    start = safetensors_header_bytes(head)
    if start > min(len(head), size_bytes):
        raise ValueError("the file ends within its header")
    header = _json(head[LENGTH_BYTES:start])
    _check_metadata(header.pop("__metadata__", {}))
    if len(header) > MAX_TENSORS:
        raise ValueError(f"it has {len(header)} tensors, at most {MAX_TENSORS} are allowed")
    tensors = {name: _tensor(name, entry) for name, entry in header.items()}
    _check_ranges(tensors, size_bytes - start)
    return tensors


def _json(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse, parse_int=_integer)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"its header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")  # noqa: TRY004 - the file is wrong, not the caller
    return header


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its __metadata__ is not a JSON object of strings")


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("its header has a name twice")
    return names


def _integer(digits: str) -> int:
    # Whatever has more digits is no offset; and -0, which Python takes for 0, is no whole number to others.
    if len(digits) > 20 or digits == "-0":
        raise ValueError(f"its header holds {digits[:20]}, which is no size")
    return int(digits)


def _refuse(constant: str) -> None:
    raise ValueError(f"its header holds {constant}, which is no JSON")


def _tensor(name: str, entry: Any) -> TensorInfo:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r} does not have dtype, shape and data_offsets")
    dtype, offsets = entry["dtype"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SAFETENSORS_DTYPES:
        raise ValueError(f"tensor {name!r} has type {dtype!r}; allowed are {', '.join(SAFETENSORS_DTYPES)}")
    shape = _shape(f"tensor {name!r}", entry["shape"])
    if not _whole_numbers(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor {name!r} has no pair of data_offsets")
    begin, end = offsets
    if end - begin != math.prod(shape) * SAFETENSORS_DTYPES[dtype]:
        raise ValueError(f"tensor {name!r} has {end - begin} bytes, its shape and type need another number")
    return TensorInfo(dtype=dtype, shape=shape, begin=begin, end=end)


def _shape(what: str, shape: Any) -> tuple[int, ...]:
    if not _whole_numbers(shape) or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"{what} has no shape of at most {MAX_DIMENSIONS} whole numbers")
    return tuple(shape)


def _whole_numbers(value: Any) -> bool:
    """Whether this is a list of whole numbers of at least 0 that an address can hold; True is not one."""
    return isinstance(value, list | tuple) and all(type(n) is int and 0 <= n < 1 << 63 for n in value)


def _check_ranges(tensors: dict[str, TensorInfo], body_bytes: int) -> None:
    """The tensors follow each other and fill the body, so no byte is read twice and none is hidden."""
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != position:
            raise ValueError(f"tensor {name!r} begins at byte {tensor.begin} of the body, {position} was expected")
        position = tensor.end
    if position != body_bytes:
        raise ValueError(f"its tensors have {position} bytes, its body {body_bytes}")


def npy(head: bytes, size_bytes: int) -> TensorInfo:
    """The array of a .npy file; `head` holds the whole header at least."""
    start, text = _npy_header(head, size_bytes)
    try:
        header = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"its header is not a dict of plain values: {error}") from None
    if not isinstance(header, dict) or header.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header does not have descr, fortran_order and shape")
    descr, shape = header["descr"], header["shape"]
    if not isinstance(descr, str) or descr not in NPY_DTYPES:
        raise ValueError(f"its type is {descr!r}; allowed are {', '.join(NPY_DTYPES)} (no objects, no records)")
    if header["fortran_order"] is not False:
        raise ValueError("its array is stored column by column; save it with numpy.ascontiguousarray")
    if not isinstance(shape, tuple):
        raise ValueError("its shape is not a tuple")  # noqa: TRY004 - the file is wrong, not the caller
    dtype, dimensions = NPY_DTYPES[descr], _shape("its array", shape)
    needed = math.prod(dimensions) * SAFETENSORS_DTYPES[dtype]
    if needed != size_bytes - start:
        raise ValueError(f"its array needs {needed} bytes, {size_bytes - start} follow the header")
    return TensorInfo(dtype=dtype, shape=dimensions, begin=0, end=needed)


def _npy_header(head: bytes, size_bytes: int) -> tuple[int, str]:
    """Where the body starts, and the header's text."""
    if len(head) < len(NPY_MAGIC) + 4 or not head.startswith(NPY_MAGIC):
        raise ValueError("the file is not a .npy file")
    major, minor = head[6], head[7]
    if (major, minor) not in {(1, 0), (2, 0), (3, 0)}:
        raise ValueError(f"it is a .npy file of version {major}.{minor}; versions 1.0, 2.0 and 3.0 are read")
    width = 2 if major == 1 else 4
    start = 8 + width + int.from_bytes(head[8 : 8 + width], "little")
    if start > MAX_NPY_HEADER_BYTES:
        raise ValueError(f"its header claims {start} bytes, at most {MAX_NPY_HEADER_BYTES} are read")
    if start > min(len(head), size_bytes):
        raise ValueError("the file ends within its header")
    try:
        return start, head[8 + width : start].decode("latin-1" if major < 3 else "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"its header is not text: {error}") from None
