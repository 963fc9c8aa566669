"""What went wrong, in the words of the contract."""

from __future__ import annotations

import logging

from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from sparring.v1 import jobs_pb2

from services.errors import SparringError
from workers.engine.memory import is_out_of_memory
from workers.failures import LONGEST, Rejected, account, words
from workers.lease import status

logger = logging.getLogger(__name__)


def explain(error: BaseException, job: jobs_pb2.Job) -> Status:
    """The status that a job fails with; what nobody foresaw goes into the log with its traceback."""
    if isinstance(error, Rejected):
        return status(error.reason, error.message[:LONGEST], code=code_pb2.INVALID_ARGUMENT)
    if is_out_of_memory(error):
        logger.warning("out of memory: %s", words(error))
        return status("OUT_OF_MEMORY", _what_to_change(job), code=code_pb2.RESOURCE_EXHAUSTED)
    if isinstance(error, SparringError):
        return status(error.reason, error.message, code=code_pb2.Code.Value(error.code))
    logger.error("a unit failed in a way that nobody foresaw:\n%s", account(error))
    return status("INTERNAL_ERROR", f"{words(error)}; the worker's log has more", code=code_pb2.INTERNAL)


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
