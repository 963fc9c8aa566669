"""Memory: asking the C library to keep what was freed, and going on with less where there is not enough."""

from __future__ import annotations

import ctypes
import gc
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from workers.failures import words
from workers.goals import Model

logger = logging.getLogger(__name__)

Found = TypeVar("Found")

# mallopt(3) of glibc: parameter numbers, and the largest values that it takes.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGEST_TRIM_BYTES: Final = 2**31 - 1
_LARGEST_MMAP_BYTES: Final = 32 * 2**20

# How a RuntimeError says that there was no memory: torch, C++, oneDNN (which names no cause), cuBLAS, cuDNN.
_NO_MEMORY: Final = (
    "can't allocate memory",
    "not enough memory",
    "std::bad_alloc",
    "could not create a memory",
    "could not create a primitive",
    "could not execute a primitive",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def keep_memory() -> bool:
    """Make this process keep the memory that tensors free; returns whether the C library took it (glibc does).

    By default glibc gives every freed activation of more than 128 KiB to 32 MiB back to the system and gets it again,
    page by page, at the next step: 3,500 page faults per step of BIM on the small net of Wong at N = 256.

    Meant for a process that does nothing but attack and train: it stays as large as it once was.

    Measured: forward and input gradient of that net, 256 x 28 x 28, one thread of an AMD EPYC, torch 2.13.0: 23.4 ms
    before, 13.9 ms after (medians of 7), page faults 3,562 before, 8 after.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {_M_TRIM_THRESHOLD: _LARGEST_TRIM_BYTES, _M_MMAP_THRESHOLD: _LARGEST_MMAP_BYTES}
    return all(mallopt(parameter, value) == 1 for parameter, value in settings.items())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is how a GPU or the main memory says that there is none left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in words(error) for sign in _NO_MEMORY)


class Portion:
    """How many samples go through the model at once: as many as asked for, until that does not fit into memory.

    A batch whose portion is smaller than itself is attacked by the same steps with the same noise, and is charged the
    same propagations; only the model sees it in pieces, whose activations are computed a second time for the gradient.

    Measured (torch 2.13.0, AMD EPYC, one thread, float32, N = 256): the rows of a forward and of an input gradient of
    softmax_regression, mlp, wong_cnn, madry_cnn and (32 x 32, N = 64) resnet18 have the same bytes in pieces of any
    size from 4 on, and others in smaller ones; those of mobilenet_v2 from 16 on. No piece is below 4 as long as `size`
    is 7 or more.
    """

    def __init__(self, asked: int) -> None:
        self.asked = asked
        self.size = asked

    @property
    def halved(self) -> bool:
        """Whether what was asked for did not fit."""
        return self.size < self.asked

    def fit(self, work: Callable[[], Found], rows: int) -> Found:
        """Do work on `rows` samples; where memory runs out, again in half the portion, down to one sample.

        `work` must look at `size` itself and change nothing before it returns. Raises what it raises at one sample.
        """
        while True:
            try:
                return work()
            except Exception as error:
                within = min(self.size, rows)
                if within <= 1 or not is_out_of_memory(error):
                    raise
                logger.warning("out of memory with %d samples at once, going on with half: %s", within, words(error))
            # Only here are the traceback's tensors gone.
            self.size = within // 2
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def through(self, model: Model) -> Model:
        """Return the model as one that never sees more than `size` samples at once, and keeps no activations if fewer.

        Of each piece only the input is kept; the gradient computes the rest again, piece by piece.
        """
        return InPieces(model, self)


@dataclass(frozen=True)
class InPieces:
    """A model that is never shown more samples at once than a portion says.

    `module` is what is underneath, for attacks that must know what kind of model they have before them.
    """

    module: Model
    portion: Portion

    def __call__(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, K)."""
        if len(x) <= self.portion.size:
            return self.module(x)
        # As equal as can be: the kernels for one, two and three rows round otherwise than those for more.
        pieces = x.tensor_split(math.ceil(len(x) / self.portion.size))
        return torch.cat([checkpoint(self.module, piece, use_reentrant=False) for piece in pieces])
