"""Claim, run, write down, claim again, until nothing is claimable.

A bell only says that something may be ready; what a worker works on, it claims. So a bell that is lost, or rung twice,
costs nothing.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from services import faultpoints
from services.errors import AlreadyExists, FailedPrecondition, Unavailable
from services.jobs.record import Lease
from services.jobs.store import JobStore
from services.telemetry import tracing
from services.telemetry.metrics_worker import MEASURED
from services.telemetry.tracing import Span
from workers.failures import DeviceLost, Interrupted, account, words
from workers.lease.drain import Drain
from workers.lease.heartbeat import Heartbeat, Limits
from workers.lease.holding import Holding
from workers.lease.outcome import Committed, Failed, Finished, Outcome, status
from workers.lease.presence import Presence
from workers.lease.settling import give_up, settle
from workers.lease.traced import conclude, traced

logger = logging.getLogger(__name__)

Run = Callable[[Lease, Heartbeat], Outcome]


@dataclass(frozen=True)
class Worker:
    """One process that works on one unit at a time."""

    store: JobStore
    presence: Presence
    drain: Drain
    run: Run
    limits: Limits
    holding: Holding = field(default_factory=Holding)

    def serve(self) -> int:
        """Work until nothing is claimable or the worker shuts down; the number of units taken.

        Raises DeviceLost where this process can compute no more; the unit was given up, and counts as an attempt.
        """
        units = 0
        try:
            while not self.drain.requested() and (lease := self._claim()) is not None:
                units += 1
                self.presence.holds(f"{lease.job_id}/{lease.unit}", lease.tenant)
                with MEASURED.busy.working(), traced(lease, self.presence.record, self.limits.lease_s) as span:
                    self._work(lease, span)
        finally:
            self.presence.holds(None)
        return units

    def _claim(self) -> Lease | None:
        """Claim the best ready unit; the id makes a repeated call answer with the same lease."""
        claim_id, record = uuid.uuid4().hex, self.presence.record
        what = (record.id, record.lane, int(self.limits.lease_s * 1000))
        give_up = time.monotonic() + self.limits.lease_s
        while True:
            try:
                return self.store.claim(
                    claim_id, *what, device_class=record.device_class, memory_bytes=record.memory_bytes
                )
            except Unavailable:
                if time.monotonic() >= give_up or self.drain.requested():
                    raise
                time.sleep(self.limits.retry_s)

    def _work(self, lease: Lease, span: Span) -> None:
        worker = self.presence.record.id
        logger.info("%s/%d taken, attempt %d, token %d", lease.job_id, lease.unit, lease.attempt, lease.token)
        started = time.monotonic()
        self.holding.hold(lease, worker)
        try:
            outcome = self._run(lease)
        except Interrupted as stop:
            logger.info("%s/%d stopped: %s", lease.job_id, lease.unit, type(stop).__name__)
            span.fail(type(stop).__name__)
            MEASURED.units.labels(lease.kind, type(stop).__name__.lower()).inc()
            settle(self.store, lease, worker, type(stop))
        except BaseException as error:  # not even SystemExit may take the worker along
            span.fail(tracing.reason_of(error))
            MEASURED.units.labels(lease.kind, "crashed").inc()
            self._disown(lease, error)
            if isinstance(error, DeviceLost):
                raise
        else:
            conclude(span, outcome)
            took = time.monotonic() - started
            word = type(outcome).__name__.lower()
            MEASURED.units.labels(lease.kind, word).inc()
            MEASURED.unit_seconds.labels(lease.kind).observe(took)
            logger.info("%s/%d %s after %.3f s", lease.job_id, lease.unit, word, took)
        finally:
            self.holding.let_go()

    def _run(self, lease: Lease) -> Outcome:
        """Compute under a heartbeat, and write down what came out."""
        faultpoints.reach("worker.claimed")
        worker, limits = self.presence.record.id, self.limits
        with Heartbeat(self.store, lease, worker, limits=limits, drain=self.drain, holding=self.holding) as heartbeat:
            outcome = self.run(lease, heartbeat)
            heartbeat.insist(heartbeat.send_metrics)
            with tracing.span("commit"):
                self._write_down(heartbeat, lease, outcome)
        faultpoints.reach("worker.committed")
        return outcome

    def _disown(self, lease: Lease, error: BaseException) -> None:
        """Part with a unit whose computation raised what no computation should."""
        logger.error("%s/%d raised what nobody foresaw:\n%s", lease.job_id, lease.unit, account(error))
        give_up(self.store, lease, f"raised {words(error)}")

    def _write_down(self, heartbeat: Heartbeat, lease: Lease, outcome: Outcome) -> None:
        """Tell the store; an outcome that it refuses, and for which there is no other, fails the job."""
        try:
            heartbeat.insist(lambda: self._tell(lease, outcome))
        except (AlreadyExists, FailedPrecondition) as error:
            instead: Outcome | None = outcome.otherwise if isinstance(outcome, Finished) else None
            if instead is None:
                instead = Failed(status(error.reason, error.message).SerializeToString())
            self._write_down(heartbeat, lease, instead)

    def _tell(self, lease: Lease, outcome: Outcome) -> None:
        worker = self.presence.record.id
        if isinstance(outcome, Committed):
            self.store.commit(lease, worker, outcome.digest, dict(outcome.stats))
        elif isinstance(outcome, Finished):
            self.store.finish(lease, worker, outcome.result, outcome.registration)
        else:
            self.store.fail(lease, worker, outcome.error, outcome.registration)
