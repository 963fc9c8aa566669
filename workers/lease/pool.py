"""Celery's pool of one child, with a watch over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from billiard.process import BaseProcess
from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool

from workers.lease.watch import Watch

# How often the pool looks for children that have died: it hears of the first one at once, and of no other.
TEND_S = 0.5


@dataclass(frozen=True)
class _Process:
    """A child of Celery's pool as `Watch` sees it; asking it how it ended would take the answer from the pool."""

    process: BaseProcess

    @property
    def pid(self) -> int | None:
        return None if self.process._popen is None else self.process.pid  # noqa: SLF001 - it has no other door

    @property
    def returncode(self) -> int | None:
        return None if self.process._popen is None else self.process._popen.returncode  # noqa: SLF001 - as above


class _Pool(AsynPool):  # type: ignore[misc]
    """Tells the watch of each process, and replaces dead ones soon."""

    @property
    def timers(self) -> dict[Callable[[], None], float]:
        return {self.maintain_pool: TEND_S}

    def WorkerProcess(self, worker: object) -> BaseProcess:  # noqa: N802 - the name that billiard calls
        process = super().WorkerProcess(worker)
        if WatchedPool.watch is not None:
            WatchedPool.watch.follow(_Process(process))
        return process


class WatchedPool(TaskPool):  # type: ignore[misc]
    """What Celery's `worker_pool` names; `watch` is there before the first child is."""

    Pool = _Pool
    watch: ClassVar[Watch | None] = None
