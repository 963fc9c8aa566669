"""What went wrong, in the words of the contract."""

from __future__ import annotations

import logging
from typing import Final

from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from sparring.v1 import jobs_pb2

from services.errors import SparringError
from services.jobs.needs import BYTES_PER_GIB
from services.telemetry.metrics_worker import MEASURED
from workers.engine.memory import is_out_of_memory
from workers.failures import LONGEST, Rejected, account, words
from workers.lease import status

logger = logging.getLogger(__name__)

MOST_GIB = 1024
# The errors of CUDA after which, as its manual has it, the process must be ended: those of its names that torch writes
# out, and those of cuBLAS and cuDNN for a kernel that failed.
_LOST: Final = (
    "device-side assert triggered",
    "an illegal memory access was encountered",
    "an illegal instruction was encountered",
    "CUDA error: misaligned address",
    "CUDA error: invalid program counter",
    "CUDA error: hardware stack error",
    "CUDA error: unspecified launch failure",
    "the launch timed out and was terminated",
    "uncorrectable ECC error encountered",
    "uncorrectable NVLink error",
    "CUDA error: unknown error",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_EXECUTION_FAILED",
)


def explain(error: BaseException, job: jobs_pb2.Job, memory_bytes: int = 0) -> Status:
    """The status that a job fails with; what nobody foresaw goes into the log with its traceback.

    `memory_bytes`: what the worker's device has, 0 where nobody knows, for the advice where that was not enough.
    """
    if isinstance(error, Rejected):
        return status(error.reason, error.message[:LONGEST], code=code_pb2.INVALID_ARGUMENT)
    if is_out_of_memory(error):
        logger.warning("out of memory: %s", words(error))
        MEASURED.out_of_memory.labels("failed").inc()
        return status(
            "OUT_OF_MEMORY", _what_to_change(job) + _where_to_go(job, memory_bytes), code=code_pb2.RESOURCE_EXHAUSTED
        )
    if isinstance(error, SparringError):
        return status(error.reason, error.message, code=code_pb2.Code.Value(error.code))
    logger.error("a unit failed in a way that nobody foresaw:\n%s", account(error))
    return status("INTERNAL_ERROR", f"{words(error)}; the worker's log has more", code=code_pb2.INTERNAL)


def is_device_lost(error: BaseException) -> bool:
    """Whether this is how CUDA says that the process can use its device no more, whatever it asks from now on."""
    return isinstance(error, RuntimeError) and any(sign in words(error) for sign in _LOST)


def _where_to_go(job: jobs_pb2.Job, memory_bytes: int) -> str:
    """How to ask for a device with more memory; empty where that can't be asked."""
    gib = memory_bytes // BYTES_PER_GIB + 1
    if job.HasField("intake") or memory_bytes <= 0 or gib > MOST_GIB:
        return ""
    return (
        f"; this worker's device has {memory_bytes / BYTES_PER_GIB:.1f} GiB, and min_device_memory_gib {gib} "
        f"(--min-device-memory-gib {gib}) asks for one that has more"
    )


def _what_to_change(job: jobs_pb2.Job) -> str:
    """Which numbers to make smaller."""
    if job.HasField("training") or job.HasField("poisoning"):
        kind = str(job.WhichOneof("spec"))
        spec: jobs_pb2.TrainingSpec | jobs_pb2.PoisoningSpec = getattr(job, kind)
        if spec.HasField("fitting"):
            return f"the {kind} ran out of memory; select fewer samples, or give the workers more memory"
        size = spec.optimization.batch_size
        return (
            f"the {kind} ran out of memory; make optimization.batch_size smaller than {size}, or give the workers "
            "more memory (no worker makes it smaller by itself, as that would be another training)"
        )
    if not (job.HasField("attack") or job.HasField("evaluation")):
        return "the upload does not fit into the worker's memory; give the workers more, or upload less"
    size = (job.attack if job.HasField("attack") else job.evaluation).execution.batch_size
    smaller = f"make execution.batch_size smaller than {size}, " if size > 1 else ""
    return (
        "the worker ran out of memory, and no smaller part of a batch helped; "
        f"{smaller}select fewer samples, take a smaller model, or give the workers more memory"
    )
