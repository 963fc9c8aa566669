"""What a job asks of the devices that it runs on: a class by its name, and memory.

That no worker has it now is no reason to refuse the job: workers come and go. It waits, and its `waiting` says
for what.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sparring.v1 import jobs_pb2

from services.errors import Violation
from services.gateway.names import ID_RULE, is_id, shown
from services.jobs.needs import Need, Offer

Asking = jobs_pb2.Execution | jobs_pb2.TrainingSpec | jobs_pb2.PoisoningSpec


def asking(job: jobs_pb2.Job) -> Asking | None:
    """Return the part of a job's spec that names its device; None for the check of an upload, which any worker does."""
    match job.WhichOneof("spec"):
        case "attack":
            return job.attack.execution
        case "evaluation":
            return job.evaluation.execution
        case "training":
            return job.training
        case "poisoning":
            return job.poisoning
    return None


def need(job: jobs_pb2.Job) -> Need:
    """Return what a job asks, as the store takes it."""
    asked = asking(job)
    if asked is None:
        return Need()
    return Need(device_class=asked.device_class, memory_gib=asked.min_device_memory_gib)


def forget(job: jobs_pb2.Job) -> None:
    """Take what a job asks out of it: what it computes is the same without."""
    asked = asking(job)
    if asked is not None:
        asked.ClearField("device_class")
        asked.ClearField("min_device_memory_gib")


def check(asked: Asking, path: str) -> Iterator[Violation]:
    """Check the name of a class; the range of the memory is the contract's."""
    if asked.device_class and not is_id(asked.device_class):
        rule = f"must be the name of a class of devices ({ID_RULE}), not {shown(asked.device_class)}"
        yield Violation(f"{path}.device_class", rule)


def unmet(asked: Need, lane: str, offers: Sequence[Offer]) -> str:
    """Say what no worker has, what there is, and what would help; `lane` is "", "CPU " or "GPU "."""
    memory = f"{asked.memory_gib} GiB or more" if asked.memory_gib else ""
    device = f"of class {asked.device_class}" if asked.device_class else ""
    wanted = " with ".join(filter(None, (device, memory))) if device else f"with {memory}"
    there = ", ".join(_offer(offer) for offer in sorted(offers, key=lambda offer: (offer.lane, -offer.memory_gib)))
    has = f"; there {'is' if sum(offer.workers for offer in offers) == 1 else 'are'} {there}" if offers else ""
    return f"no {lane}worker has a device {wanted}{has}; start one that has, or cancel the job and ask for less"


def _offer(offer: Offer) -> str:
    """E.g. `2 GPU workers of class a100 with 79 GiB`."""
    workers = f"{offer.workers} {offer.lane.upper()} worker{'' if offer.workers == 1 else 's'}"
    named = f" of class {offer.device_class}" if offer.device_class else ""
    memory = f"{offer.memory_gib} GiB" if offer.memory_gib else "memory that is not known"
    return f"{workers}{named} with {memory}"
