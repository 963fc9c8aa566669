"""What went wrong, in the words of the contract."""

from __future__ import annotations

import logging

import torch
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from sparring.v1 import jobs_pb2

from services.errors import SparringError
from workers.failures import Rejected
from workers.lease import status

logger = logging.getLogger(__name__)

LONGEST = 1000
# How torch's allocator of main memory says that there is none left: by a RuntimeError with these words.
NO_MEMORY = ("can't allocate memory", "not enough memory", "std::bad_alloc")


def explain(error: Exception, job: jobs_pb2.Job) -> Status:
    """The status that a job fails with; what nobody foresaw goes into the log with its traceback."""
    if isinstance(error, Rejected):
        return status(error.reason, error.message, code=code_pb2.INVALID_ARGUMENT)
    if _is_out_of_memory(error):
        logger.warning("out of memory: %s", error)
        return status("OUT_OF_MEMORY", _what_to_change(job), code=code_pb2.RESOURCE_EXHAUSTED)
    if isinstance(error, SparringError):
        return status(error.reason, error.message, code=code_pb2.Code.Value(error.code))
    logger.error("a unit failed in a way that nobody foresaw", exc_info=error)
    text = f"{type(error).__name__}: {error}"[:LONGEST]
    return status("INTERNAL_ERROR", f"{text}; the worker's log has more", code=code_pb2.INTERNAL)


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)


def _what_to_change(job: jobs_pb2.Job) -> str:
    """Which number to make smaller."""
    if job.HasField("training"):
        field, size = "optimization.batch_size", job.training.optimization.batch_size
    elif job.HasField("attack") or job.HasField("evaluation"):
        spec = job.attack if job.HasField("attack") else job.evaluation
        field, size = "execution.batch_size", spec.execution.batch_size
    else:
        return "the upload does not fit into the worker's memory; give the workers more, or upload less"
    return f"the worker ran out of memory; make {field} smaller than {size}, or give the workers more memory"
