"""Coverage-guided fuzzing of the readers of file headers, as a program: `fuzz_headers.py TARGET [LIBFUZZER FLAGS]`.

    gateway-safetensors   services.artifacts.headers.safetensors, against the safetensors library
    gateway-npy           services.artifacts.headers.npy, against NumPy
    worker-npy            workers.data.npy.read, against NumPy

A reader may raise what it declares and nothing else, and what it accepts the reference accepts with equal shapes.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["services.artifacts.headers", "workers.data.npy"]):
    from services.artifacts import headers

    if sys.argv[1:2] == ["worker-npy"]:
        from workers.data import npy as worker_npy
        from workers.failures import Rejected

import numpy as np
import safetensors

# Bodies are zeros of so many bytes at most: what counts is whether the length fits the header.
BODY_BYTES = 1 << 12
NAMES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "float16": "F16",
    "uint32": "U32",
    "int32": "I32",
    "float32": "F32",
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
}


def whole_file(data: bytes, prefix: Callable[[bytes], bytes]) -> bytes:
    """A file from what the fuzzer gives: as it is, or with a right length and a body of a length that it gives."""
    if len(data) < 3 or data[0] % 4 == 0:
        return data[1:]
    size = int.from_bytes(data[1:3], "little") % BODY_BYTES
    return prefix(data[3:]) + data[3:] + bytes(size)


def gateway_safetensors(data: bytes) -> None:
    """One case."""
    file = whole_file(data, lambda header: len(header).to_bytes(8, "little"))
    try:
        ours = headers.safetensors(file, len(file))
    except ValueError:
        return
    theirs = {name: (tensor["dtype"], tuple(tensor["shape"])) for name, tensor in safetensors.deserialize(file)}
    assert theirs == {name: (tensor.dtype, tensor.shape) for name, tensor in ours.items()}, (ours, theirs)


def gateway_npy(data: bytes) -> None:
    """One case."""
    file = whole_file(data, lambda header: headers.NPY_MAGIC + b"\1\0" + (len(header) % 65536).to_bytes(2, "little"))
    try:
        ours = headers.npy(file, len(file))
    except ValueError:
        return
    theirs = np.load(io.BytesIO(file), allow_pickle=False)
    assert (NAMES[theirs.dtype.name], theirs.shape) == (ours.dtype, ours.shape), (ours, theirs.dtype, theirs.shape)


def worker_npy_read(data: bytes) -> None:
    """One case."""
    file = whole_file(data, lambda header: headers.NPY_MAGIC + b"\1\0" + (len(header) % 65536).to_bytes(2, "little"))
    try:
        ours = worker_npy.read(file)
    except Rejected:
        return
    theirs = np.load(io.BytesIO(file), allow_pickle=False)
    assert tuple(ours.shape) == theirs.shape, (ours.shape, theirs.shape)
    assert ours.dtype.itemsize == theirs.dtype.itemsize


TARGETS = {
    "gateway-safetensors": gateway_safetensors,
    "gateway-npy": gateway_npy,
    "worker-npy": worker_npy_read,
}


def main() -> None:
    """Fuzz until the flags say that it is enough."""
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
