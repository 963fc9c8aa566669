"""How a unit without a result is handed back to the store; where that fails, its lease runs out by itself."""

from __future__ import annotations

import logging

from services import faultpoints
from services.errors import SparringError
from services.jobs.record import Lease
from services.jobs.store import JobStore
from workers.failures import Interrupted
from workers.lease.interrupts import Cancelled, Draining

logger = logging.getLogger(__name__)


def settle(store: JobStore, lease: Lease, worker: str, stop: type[Interrupted]) -> None:
    """Tell the store that the unit was stopped, as it had been asked for: no attempt is charged."""
    try:
        if stop is Cancelled:
            store.stopped(lease, worker)
        elif stop is Draining:
            faultpoints.reach("worker.releasing")
            store.release(lease, worker)
    except SparringError as error:
        logger.warning("%s/%d could not be given back: %s", lease.job_id, lease.unit, error)


def give_up(store: JobStore, lease: Lease, cause: str) -> None:
    """Tell the store that the unit was lost with all that was done of it; the attempt counts."""
    logger.error("%s/%d is given up: %s", lease.job_id, lease.unit, cause)
    try:
        store.lose(lease.job_id, lease.unit, lease.token, cause)
    except SparringError as error:
        logger.warning("%s/%d could not be given up: %s", lease.job_id, lease.unit, error)
