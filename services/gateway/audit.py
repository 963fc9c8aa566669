"""The audit log: who changed what, and who was refused. In the store by tenant, and in the log as one line each.

Nothing here may delay or fail a call: entries wait in a bounded queue for a task of their own, and where the queue is
full they are counted instead. Keys appear by their ids only. A caller whose tenant is not known gets a line in the log,
not more than a few a second, so that nobody fills the disk by knocking.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp
from sparring.v1 import tenants_pb2

from services.errors import ResourceExhausted, SparringError, Unavailable
from services.gateway.identity import Identity
from services.jobs.store import AsyncJobStore
from services.telemetry.metrics_gateway import GatewayMetrics

QUEUED = 10_000
AT_ONCE = 8
PAUSE_S = 1.0
# What stands in the queue when the gateway ends has so long to reach the store.
CLOSING_S = 2.0
# Lines about unknown callers: a burst of so many, then so many a second.
BURST = 20.0
RATE_PER_S = 1.0
MAX_RESOURCE = 200

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Call:
    """One call, from its beginning to what came of it; `rpc` is like "JobService.CancelJob"."""

    rpc: str
    peer: str
    identity: Identity | None = None
    resource: str = ""
    code: str = "OK"
    reason: str = ""
    started: float = field(default_factory=time.monotonic)


class Auditor:
    """Takes calls that are over and sees that they are kept."""

    def __init__(self, metrics: GatewayMetrics | None = None) -> None:
        self._metrics = GatewayMetrics() if metrics is None else metrics
        self._entries: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(QUEUED)
        self._metrics.audit_waiting.set_function(self._entries.qsize)
        self._dropped = 0
        self._allowance, self._counted_at, self._unsaid = BURST, time.monotonic(), 0

    def note(self, call: Call) -> None:
        """Take a call; returns at once."""
        if call.identity is None:
            self._note_stranger(call)
            return
        who = call.identity
        entry = tenants_pb2.AuditEntry(
            time=_now(),
            key=who.key,
            peer=call.peer,
            rpc=call.rpc,
            resource=call.resource[:MAX_RESOURCE],
            code=call.code,
            reason=call.reason,
        )
        log.info(
            "audit tenant=%s key=%s peer=%s rpc=%s resource=%r code=%s reason=%s",
            who.tenant,
            who.key,
            entry.peer,
            entry.rpc,
            entry.resource,
            entry.code,
            entry.reason,
        )
        try:
            self._entries.put_nowait((who.tenant, entry.SerializeToString()))
        except asyncio.QueueFull:
            self._dropped += 1
            self._metrics.audit_dropped.inc()
        else:
            self._metrics.audit_entries.inc()

    async def run(self, store: AsyncJobStore) -> None:
        """Bring the entries to the store until cancelled; while it can't be reached, they wait."""
        while True:
            await self._keep(store, [await self._entries.get()])
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                log.error("%d audit entries were dropped, as the store does not take them fast enough", dropped)

    async def flush(self, store: AsyncJobStore) -> None:
        """Bring what is left to the store, in `CLOSING_S` at most."""
        try:
            async with asyncio.timeout(CLOSING_S):
                while not self._entries.empty():
                    await self._keep(store, [])
        except TimeoutError:
            log.error("%d audit entries did not reach the store before the end", self._entries.qsize())  # noqa: TRY400 - the message says it all

    async def _keep(self, store: AsyncJobStore, entries: list[tuple[str, bytes]]) -> None:
        """Write some entries, and a few of those that wait behind them, at once."""
        while len(entries) < AT_ONCE and not self._entries.empty():
            entries.append(self._entries.get_nowait())
        left = list(entries)

        async def write(entry: tuple[str, bytes]) -> None:
            await self._write(store, *entry)
            left.remove(entry)

        try:
            await asyncio.gather(*map(write, entries))
        except asyncio.CancelledError:
            # Whoever flushes at the end takes them again; twice is better than not at all.
            for entry in left[: QUEUED - self._entries.qsize()]:
                self._entries.put_nowait(entry)
            raise

    async def _write(self, store: AsyncJobStore, tenant: str, entry: bytes) -> None:
        while True:
            try:
                return await store.audit(tenant, entry)
            except (Unavailable, ResourceExhausted):
                await asyncio.sleep(PAUSE_S)
            except SparringError as error:
                log.error("an audit entry of tenant %s was not taken: %s", tenant, error.message)  # noqa: TRY400 - the message says it all
                return None

    def _note_stranger(self, call: Call) -> None:
        self._metrics.strangers.inc()
        now = time.monotonic()
        self._allowance = min(BURST, self._allowance + (now - self._counted_at) * RATE_PER_S)
        self._counted_at = now
        if self._allowance < 1:
            self._unsaid += 1
            return
        self._allowance -= 1
        more, self._unsaid = self._unsaid, 0
        log.warning(
            "refused peer=%s rpc=%s code=%s reason=%s and %d more before it",
            call.peer,
            call.rpc,
            call.code,
            call.reason,
            more,
        )


def _now() -> Timestamp:
    now = Timestamp()
    now.GetCurrentTime()
    return now
