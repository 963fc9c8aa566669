"""Reads .npy files from strangers: the header is parsed as a literal, and no object is ever unpickled."""

from __future__ import annotations

import io
import math
import tokenize

import numpy as np
import torch
from torch import Tensor

from workers.failures import Rejected

MAGIC = b"\x93NUMPY"
_MAX_HEADER = 10_000
_KINDS = {"u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"}
# What NumPy's parser lets out for one header or another: it reads Python's syntax.
_PARSER_ERRORS = (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)


def read(data: bytes) -> Tensor:
    """The one array of a .npy file, in C order and the machine's byte order.

    Raises Rejected: MALFORMED_NPY where header and length do not fit, WRONG_DTYPE where it does not hold numbers,
    EMPTY_DATASET where it holds nothing.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = reader(file, max_header_size=_MAX_HEADER)
    except KeyError as error:
        raise Rejected("MALFORMED_NPY", f"version {error} of the .npy format is not known; 1.0 and 2.0 are") from error
    except _PARSER_ERRORS as error:
        raise Rejected("MALFORMED_NPY", f"the header of the .npy file can't be read: {error}") from error
    if dtype.str[1:] not in _KINDS:
        raise Rejected("WRONG_DTYPE", f"the .npy file holds {dtype}; it must hold plain numbers")
    if min(shape, default=1) < 1:
        raise Rejected("EMPTY_DATASET", f"the .npy file holds nothing: its shape is {shape}")
    size, body = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
    if size != body:
        raise Rejected("MALFORMED_NPY", f"the .npy header tells of {size} bytes for shape {shape}; there are {body}")
    array = np.frombuffer(data, dtype, offset=file.tell()).reshape(shape, order="F" if fortran else "C")
    return torch.from_numpy(np.array(array, dtype=dtype.newbyteorder("="), order="C"))
