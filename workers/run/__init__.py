"""What a worker does with a unit: fetch what it names, compute, put what came out, and say what became of it.

attack, evaluation    one shard a unit; closing: merge, report
training              one unit; closing: judge the model, register it
poisoning             one poisoned fraction a unit; closing: put the table together, report
intake                one unit: check an upload; closing: register it
"""

from __future__ import annotations

from collections.abc import Callable

from sparring.v1 import jobs_pb2

from services import faultpoints
from services.jobs.record import Lease
from services.telemetry import tracing
from services.telemetry.attributes import described
from workers.failures import DeviceLost, Interrupted, words
from workers.lease import Committed, Failed, Finished, Heartbeat, Outcome
from workers.run.closing import close_attack
from workers.run.device import capacity
from workers.run.intake import check, close_intake, rejection
from workers.run.poisoning import close_poisoning, run_poisoning
from workers.run.reasons import explain, is_device_lost
from workers.run.shards import run_shard
from workers.run.training import close_training, run_training
from workers.run.unit import Context, Unit

__all__ = ["Context", "run_unit"]

UNITS: dict[str, Callable[[Unit], Committed]] = {
    "attack": run_shard,
    "evaluation": run_shard,
    "training": run_training,
    "poisoning": run_poisoning,
    "intake": check,
}
CLOSINGS: dict[str, Callable[[Unit], Finished]] = {
    "attack": close_attack,
    "evaluation": close_attack,
    "training": close_training,
    "poisoning": close_poisoning,
    "intake": close_intake,
}


def run_unit(lease: Lease, heartbeat: Heartbeat, context: Context) -> Outcome:
    """Do a unit's work; only an Interrupted or a DeviceLost gets out, all else is an outcome."""
    unit = Unit(lease=lease, job=jobs_pb2.Job.FromString(lease.spec), heartbeat=heartbeat, context=context)
    tracing.annotate(described(unit.job))
    try:
        if not lease.closing:
            return UNITS[lease.kind](unit)
        with tracing.span("report"):
            finished = CLOSINGS[lease.kind](unit)
        faultpoints.reach("worker.finishing")
    except Interrupted:
        raise
    except BaseException as error:  # whatever it is, SystemExit too, the job has to end and say why
        if is_device_lost(error):
            raise DeviceLost(words(error)) from error
        failure = explain(error, unit.job, capacity(context.device))
    else:
        return finished
    return Failed(failure.SerializeToString(deterministic=True), rejection(unit, failure))
