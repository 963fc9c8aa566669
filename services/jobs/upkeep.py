"""The part of `store.JobStore` that all processes share: the functions, names, tenants, workers, housekeeping."""

from __future__ import annotations

import builtins
import logging
import uuid
from typing import TypeVar

from services.connection import MemoryGauge, Redis, translated
from services.errors import Unavailable
from services.jobs import calls, functions, registry_calls
from services.jobs.record import Page, Quota, Reaped, Registration, Usage, WorkerRecord
from services.settings import StoreSettings

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Upkeep:
    """See `store.JobStore`."""

    def __init__(self, redis: Redis, settings: StoreSettings | None = None) -> None:
        self._redis = redis
        self._settings = StoreSettings() if settings is None else settings
        self._gauge = MemoryGauge(self._settings)
        self._artifact_ttl_ms = round(self._settings.artifact_ttl_s * 1000)

    def _run(self, call: calls.Call[T]) -> T:
        with translated():
            reply = self._redis.execute_command(*call.command)  # type: ignore[no-untyped-call]
        return call.parse(reply)

    # The functions themselves

    def load_functions(self) -> None:
        """Load the Redis functions unless the server holds these, or those of a later generation."""
        held = self.loaded_version()
        if functions.needs_loading(held):
            self._run(registry_calls.load(functions.library()))
        elif held != functions.version():
            logger.warning(functions.TOO_OLD, held, functions.version())

    def loaded_version(self) -> str | None:
        """The version that the server holds; None where it holds none."""
        try:
            return self._run(registry_calls.version())
        except Unavailable as error:
            if error.reason == "FUNCTIONS_MISSING":
                return None
            raise

    # Names

    def register(self, tenant: str, registration: Registration, owner: str = "") -> str:
        """Make a record known and return its id; `owner` is the job that may rewrite it. AlreadyExists."""
        return self._run(registry_calls.register(tenant, registration, owner, self._artifact_ttl_ms))

    def lookup(self, tenant: str, kind: str, name: str) -> bytes:
        """A record by its id. NotFound."""
        return self._run(registry_calls.lookup(tenant, kind, name))

    def registered(self, tenant: str, kind: str, cursor: int = 0, limit: int = 100) -> Page[bytes]:
        """Records, newest first, from a cursor on."""
        return self._run(registry_calls.registered(tenant, kind, cursor, limit))

    def unregister(self, tenant: str, kind: str, name: str) -> None:
        """Forget a record; its artifacts may lapse. NotFound."""
        self._run(registry_calls.unregister(tenant, kind, name, uuid.uuid4().hex, self._artifact_ttl_ms))

    def announce_mount(self, record: bytes, name: str) -> None:
        """Make a mounted dataset known."""
        self._run(registry_calls.announce_mount(record, name))

    def mounts(self) -> builtins.list[bytes]:
        """The mounted datasets, by name."""
        return self._run(registry_calls.mounts())

    # Tenants

    def set_quota(self, tenant: str, quota: Quota) -> None:
        """Say what a tenant may use from now on; what it has already is left to it. ValueError: a limit below 0."""
        self._run(registry_calls.set_quota(tenant, quota))

    def quota(self, tenant: str) -> Quota:
        """What a tenant may use; no limits where none were set."""
        return self._run(registry_calls.quota(tenant))

    def usage(self, tenant: str) -> Usage:
        """What a tenant uses."""
        return self._run(registry_calls.usage(tenant))

    def audit(self, tenant: str, entry: bytes) -> None:
        """Add an entry to the tenant's audit log, which keeps about the last 10,000."""
        self._run(registry_calls.audit(tenant, uuid.uuid4().hex, entry))

    def audit_entries(self, tenant: str, before: int = 0, limit: int = 100) -> Page[bytes]:
        """Entries of the audit log, newest first, from the cursor `before` on."""
        return self._run(registry_calls.audit_entries(tenant, before, limit))

    # Workers and housekeeping

    def announce(self, worker: WorkerRecord, ttl_s: float) -> None:
        """Say that a worker lives, for `ttl_s`; `last_seen_ms` is set by the server."""
        self._run(registry_calls.announce(worker, round(ttl_s * 1000)))

    def forget_worker(self, worker_id: str) -> None:
        """Say that a worker is gone."""
        self._run(registry_calls.forget_worker(worker_id))

    def workers(self) -> builtins.list[WorkerRecord]:
        """The workers that live."""
        return self._run(registry_calls.workers())

    def ready_units(self, tenant: str) -> int:
        """Units of a tenant that wait for a worker."""
        return self._run(registry_calls.ready_units(tenant))

    def reap(self, limit: int = 100) -> Reaped:
        """Take back at most `limit` leases that were not renewed; how many there were.

        Ends as many jobs whose deadline or queue time is over: FAILED, or CANCELLED where that was under way.
        """
        return self._run(registry_calls.reap(limit))

    def expire(self, limit: int = 100) -> int:
        """Forget ended jobs, artifacts and uploads whose time is over, at most `limit` of each; how many."""
        return self._run(registry_calls.expire(limit, round(self._settings.event_ttl_s * 1000)))

    def ring(self, lane: str) -> int:
        """Ring for ready units of a lane that lack a bell; how often it rang."""
        return self._run(registry_calls.ring(lane))
