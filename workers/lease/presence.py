"""The thread that tells the store, every few seconds, that this worker is there."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.errors import SparringError
from services.jobs.record import WorkerRecord
from services.jobs.store import JobStore

logger = logging.getLogger(__name__)

ANNOUNCE_S = 5.0
AGAIN_S = 0.5
HEARD_OF_S = 15.0


@dataclass
class Presence:
    """Announces one worker, and touches a file that a container's health check looks at."""

    store: JobStore
    record: WorkerRecord
    heartbeat_file: Path | None = None
    _unit: str | None = None
    _tenant: str | None = None
    _news: threading.Event = field(default_factory=threading.Event)
    _left: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Announce from a thread, at once and every few seconds."""
        self._thread = threading.Thread(target=self._keep, name="presence", daemon=True)
        self._thread.start()

    def holds(self, unit: str | None, tenant: str | None = None) -> None:
        """Say what the worker holds now, and whose it is; None for nothing.

        Whether it is busy is told at once: bells depend on it.
        """
        turned = (self._unit is None) != (unit is None)
        self._unit, self._tenant = unit, tenant
        if turned:
            self._news.set()

    def stop(self) -> None:
        """Stop announcing, and have the worker forgotten at once rather than after 15 s."""
        self._left.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self.store.forget_worker(self.record.id)
        except SparringError as error:
            logger.warning("could not say goodbye: %s", error)

    def _keep(self) -> None:
        while not self._left.is_set():
            heard = self._announce()
            self._news.wait(ANNOUNCE_S if heard else AGAIN_S)
            self._news.clear()

    def _announce(self) -> bool:
        # The file first: a worker whose Redis is away for a while is not to be restarted for it.
        if self.heartbeat_file is not None:
            self.heartbeat_file.touch()
        try:
            self.store.announce(replace(self.record, unit=self._unit, tenant=self._tenant), HEARD_OF_S)
        except SparringError as error:
            logger.warning("could not announce this worker: %s", error)
            return False
        return True
