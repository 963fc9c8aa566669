"""The thread that keeps one lease alive, and tells the computation when it has to stop.

    every `renew_s`      renew the lease (15 s) with the progress made; learn of OK, CANCEL or LOST
    no tick for `stall_s`    give the unit up: a live thread must not hide a computation that hangs
    not renewed by the deadline    the lease counts as lost, whatever the store would say later
    a stop that is not obeyed within `abandon_s`    the process leaves; Celery's parent starts another

The computation sees this as a Monitor: its `tick` raises Cancelled, LeaseLost or Draining. Where it holds the
interpreter's lock this thread hangs with it; then the parent ends the process (`workers.lease.watch`).
"""

from __future__ import annotations

import contextvars
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

from services.errors import LeaseLost as StaleToken
from services.errors import ResourceExhausted, Unavailable
from services.jobs.record import Lease, Verdict
from services.jobs.store import JobStore
from services.telemetry.metrics_worker import MEASURED
from workers.failures import Interrupted
from workers.lease.drain import Drain
from workers.lease.holding import Holding
from workers.lease.interrupts import Cancelled, Draining, LeaseLost
from workers.lease.settling import give_up, settle

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
EX_TEMPFAIL = 75


@dataclass(frozen=True)
class Limits:
    """How long things may take, in seconds; `drain_s` + `abandon_s` stay below the 30 s of a shutdown."""

    lease_s: float = 15.0
    renew_s: float = 0.5
    stall_s: float = 300.0
    drain_s: float = 15.0
    abandon_s: float = 8.0
    retry_s: float = 0.5
    full_s: float = 600.0
    away_s: float = 120.0


class Heartbeat:
    """Holds one unit; a context manager around its computation."""

    def __init__(
        self,
        store: JobStore,
        lease: Lease,
        worker: str,
        *,
        limits: Limits,
        drain: Drain,
        holding: Holding | None = None,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self._store, self._lease, self._worker = store, lease, worker
        self._limits, self._drain, self._leave = limits, drain, leave
        self._holding = Holding() if holding is None else holding
        self._left = threading.Event()
        # Its lines in the log are about the same unit.
        keep = partial(contextvars.copy_context().run, self._keep)
        self._thread = threading.Thread(target=keep, name=f"heartbeat-{lease.job_id}-{lease.unit}", daemon=True)
        self._begun = self._ticked = monotonic()
        self._deadline = self._begun + limits.lease_s
        self._drain_seen: float | None = None
        self._handing_on = False
        self._stop: type[Interrupted] | None = None
        self._stopped_at = 0.0
        self._fraction = 0.0
        self._first_fraction: float | None = None
        self._message = ""
        self._sent: tuple[float, str] | None = None
        self._metrics: deque[tuple[str, float, int]] = deque()
        self._sending = threading.Lock()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop renewing; returns when the thread has ended."""
        self._left.set()
        self._thread.join()

    # What the computation calls.

    def tick(self, fraction: float, message: str = "") -> None:
        """The computation lives and has done `fraction` (0 to 1) of the unit; raises if it has to stop."""
        self._ticked = monotonic()
        if self._first_fraction is None:
            self._first_fraction = fraction
        self._fraction, self._message = fraction, message
        self.check()

    def metric(self, name: str, value: float, step: int) -> None:
        """Note a figure; it is sent with the next renewal."""
        self._metrics.append((name, value, step))

    def check(self) -> None:
        """Raise if the computation has to stop."""
        if self._stop is None and monotonic() >= self._deadline:
            self._order(LeaseLost)
        if self._stop is not None:
            raise self._stop

    def insist(self, call: Callable[[], Result], *, wait_if_full: bool = True) -> Result:
        """Call the store until it answers, as long as the lease is held: an outage must not cost the work done.

        A store that is full is waited for too, unless told otherwise, but for ten minutes only. Where the lease is
        kept and yet something else is away, the unit is given back after two minutes: another worker may reach it.
        """
        begun = monotonic()
        give_up = begun + (self._limits.full_s if wait_if_full else 0.0)
        while True:
            try:
                return call()
            except (Unavailable, ResourceExhausted) as error:
                if isinstance(error, ResourceExhausted) and monotonic() >= give_up:
                    raise
                if isinstance(error, Unavailable) and monotonic() - begun >= self._limits.away_s:
                    self._order(Draining)
                logger.warning("the store does not take it, trying again: %s", error)
            except StaleToken as error:
                self._order(LeaseLost)
                raise LeaseLost from error
            self._left.wait(self._limits.retry_s)
            self._ticked = monotonic()
            self.check()

    def checkpoint_wanted(self) -> bool:
        """Whether this worker shuts down before the training could end, so that another is to go on with it."""
        return self._handing_on

    def keep_checkpoint(self, digest: str) -> None:
        """Note the artifact that another worker would go on from; during a shutdown, the moment to stop."""
        lease_ms = int(self._limits.lease_s * 1000)
        self.insist(lambda: self._store.renew(self._lease, self._worker, lease_ms, checkpoint=digest))
        if self._handing_on:
            self._order(Draining)
            self.check()

    def send_metrics(self) -> None:
        """Send the figures noted so far, in their order."""
        with self._sending:
            while self._metrics:
                name, value, step = self._metrics[0]
                self._store.metric(self._lease, name, value, step)
                self._metrics.popleft()

    # What the thread does.

    def _keep(self) -> None:
        while not self._left.wait(self._limits.renew_s):
            self._holding.touch()
            self._look_for_stall()
            if self._stop is not LeaseLost:
                self._renew()
            self._look_for_drain()
            self._enforce()

    def _look_for_stall(self) -> None:
        if self._stop is None and monotonic() - self._ticked > self._limits.stall_s:
            self._order(LeaseLost)
            give_up(self._store, self._lease, f"no progress for {self._limits.stall_s:g} s")

    def _renew(self) -> None:
        sent_at, progress = monotonic(), (self._fraction, self._message)
        news = {"fraction": progress[0], "message": progress[1]} if progress != self._sent else None
        try:
            self.send_metrics()
            verdict = self._store.renew(self._lease, self._worker, int(self._limits.lease_s * 1000), progress=news)
        except StaleToken:
            verdict = Verdict.LOST
        except (Unavailable, ResourceExhausted) as error:
            logger.warning("lease of %s/%d not renewed: %s", self._lease.job_id, self._lease.unit, error)
            return
        if verdict is Verdict.LOST:
            self._order(LeaseLost)
            return
        self._sent = progress
        planned = self._deadline - self._limits.lease_s + self._limits.renew_s
        MEASURED.heartbeat_late.observe(max(0.0, sent_at - planned))
        self._deadline = sent_at + self._limits.lease_s
        if verdict is Verdict.CANCEL:
            self._order(Cancelled)

    def _look_for_drain(self) -> None:
        if self._drain_seen is None and self._drain.requested():
            self._drain_seen = monotonic()
        if self._drain_seen is None:
            return
        limit = self._drain_seen + self._limits.drain_s
        if not self._ends_by(limit):
            self._handing_on = True
        # A training is asked for a checkpoint first, so that nothing is lost.
        if monotonic() >= limit or (self._handing_on and self._lease.kind != "training"):
            self._order(Draining)

    def _ends_by(self, moment: float) -> bool:
        """Whether the unit, at its speed so far, ends by then; yes while there is no speed to judge by."""
        now = monotonic()
        done = self._fraction - (self._first_fraction if self._first_fraction is not None else 0.0)
        remaining = (1 - self._fraction) * (now - self._begun) / done if done > 0 else 0.0
        return now + remaining < moment

    def _order(self, stop: type[Interrupted]) -> None:
        if self._stop is None or stop is LeaseLost:
            self._stop = stop
            self._stopped_at = monotonic() if self._stopped_at == 0.0 else self._stopped_at

    def _enforce(self) -> None:
        if monotonic() >= self._deadline:
            self._order(LeaseLost)
        if self._stop is None or monotonic() < self._stopped_at + self._limits.abandon_s:
            return
        logger.error("%s/%d does not stop (%s); leaving", self._lease.job_id, self._lease.unit, self._stop.__name__)
        settle(self._store, self._lease, self._worker, self._stop)
        self._leave(EX_TEMPFAIL)
