"""What one job, event, watcher, artifact and idle worker costs the store and the gateway, and the ceilings that follow.

A cost is processor time of the one process while the thing was done many times, divided by how many: it does not
depend on who else uses the machine's cores, as a rate does. A ceiling is what one core does at that cost.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil
import sparring

from services.connection import Redis, connect
from services.jobs.record import NewJob
from services.jobs.store import JobStore
from services.local import LocalStack
from services.settings import StoreSettings

MIB = 1 << 20
THREADS = 4


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A cost: milliseconds of a core for one, and how many of them a core does in a second."""

    what: str
    process: str
    milliseconds: float
    unit: str = "a second"

    def line(self) -> str:
        """A row of the page's table."""
        each = self.milliseconds
        # Processor time is counted in hundredths of a second; a short run may use less.
        ceiling = f"{1000 / each:,.0f} {self.unit}" if each else "too many to measure"
        return f"| {self.what} | {self.process} | {each:.3f} ms | {ceiling} |"


class Meter:
    """Processor time of gateway and store, more precisely than psutil's hundredths where Linux tells it."""

    def __init__(self, stack: LocalStack) -> None:
        self._pids = {"gateway": stack.pid("gateway"), "Redis": stack.pid("store")}

    def per(self, count: float, work: Callable[[], object]) -> dict[str, float]:
        """Milliseconds of each process for one of `count` things that `work` does."""
        before = {name: cpu_s(pid) for name, pid in self._pids.items()}
        work()
        return {name: 1000 * (cpu_s(pid) - before[name]) / count for name, pid in self._pids.items()}


def cpu_s(pid: int) -> float:
    """Seconds that a process has computed, all of its threads."""
    return float(sum(psutil.Process(pid).cpu_times()[:2]))


def measure(stack: LocalStack, client: sparring.Client, *, quick: bool) -> Iterator[Figure]:
    """Every figure in turn; nothing else uses the stack."""
    meter, scale = Meter(stack), 4 if quick else 1
    settings = StoreSettings.from_env(stack.store_environment)
    with connect(settings) as redis:
        store = JobStore(redis, settings)
        yield from idle(meter, 20 / scale)
        yield from accepted(meter, client, 800 // scale)
        yield from whole_jobs(meter, store, 800 // scale)
        yield from events(meter, store, client, watchers=100, count=400 // scale)
        yield from bytes_kept(meter, client, redis, 256 // scale)


def idle(meter: Meter, seconds: float) -> Iterator[Figure]:
    """Two workers and a gateway that have nothing to do."""
    costs = meter.per(seconds, lambda: time.sleep(seconds))
    half = costs["Redis"] / 2
    yield Figure(what="a second of an idle worker, its share of the gateway's housekeeping included", process="Redis",
                 milliseconds=half, unit="workers")  # fmt: skip


def accepted(meter: Meter, client: sparring.Client, count: int) -> Iterator[Figure]:
    """Jobs that are accepted and wait: they ask for a GPU, and there is none."""

    def create(number: int) -> None:
        client.train("mnist10k", "standard", architecture="wong_cnn", device="gpu", seed=number)

    def work() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(create, range(count)))

    for name, milliseconds in meter.per(count, work).items():
        yield Figure(what="a job accepted (CreateJob)", process=name, milliseconds=milliseconds, unit="jobs a second")


def whole_jobs(meter: Meter, store: JobStore, count: int) -> Iterator[Figure]:
    """The life of a job in the store: accepted, one shard claimed and committed, closed."""

    def live(number: int) -> None:
        name = uuid.uuid4().hex
        store.submit(NewJob(id=name, kind="attack", lane="gpu", spec=b"", spec_hash=name, units=1))
        for step in range(2):
            lease = store.claim(uuid.uuid4().hex, "bench", "gpu", 60_000)
            assert lease is not None
            assert lease.job_id
            if step == 0:
                store.commit(lease, "bench", f"{number:064x}", {})
            else:
                store.finish(lease, "bench", b"", None)

    # Jobs that wait for a GPU would be claimed first.
    while (lease := store.claim(uuid.uuid4().hex, "bench", "gpu", 60_000)) is not None:
        store.fail(lease, "bench", b"")
    milliseconds = meter.per(count, lambda: [live(number) for number in range(count)])["Redis"]
    yield Figure(what="the whole life of a job with one shard", process="Redis", milliseconds=milliseconds,
                 unit="jobs a second")  # fmt: skip


def events(meter: Meter, store: JobStore, client: sparring.Client, *, watchers: int, count: int) -> Iterator[Figure]:
    """One job, so many watchers, so many events."""
    name = uuid.uuid4().hex
    store.submit(NewJob(id=name, kind="attack", lane="gpu", spec=b"", spec_hash=name, units=1))
    lease = store.claim(uuid.uuid4().hex, "bench", "gpu", 120_000)
    assert lease is not None
    heard = threading.Semaphore(0)

    def watch() -> None:
        for _ in client.jobs.watch(f"jobs/{name}", timeout_s=300):
            heard.release()

    threads = [threading.Thread(target=watch, daemon=True) for _ in range(watchers)]
    for thread in threads:
        thread.start()
    for _ in range(2 * watchers):  # queued, then claimed
        heard.acquire(timeout=60)

    def work() -> None:
        for step in range(count):
            store.metric(lease, "loss", 0.5, step)
            time.sleep(0.02)
        for _ in range(count * watchers):
            assert heard.acquire(timeout=120)

    costs = meter.per(count, work)
    store.fail(lease, "bench", b"")
    for thread in threads:
        thread.join(60)
    yield Figure(what="an event written, and read by one gateway", process="Redis", milliseconds=costs["Redis"],
                 unit="events a second")  # fmt: skip
    yield Figure(what="an event delivered to one of 100 watchers", process="gateway",
                 milliseconds=costs["gateway"] / watchers, unit="deliveries a second")  # fmt: skip


def bytes_kept(meter: Meter, client: sparring.Client, redis: Redis, size: int) -> Iterator[Figure]:
    """Artifacts of 32 MiB up and down; and what a byte of them takes of the store's memory."""
    contents = [os.urandom(32 * MIB) for _ in range(max(1, size // 32))]
    before = int(redis.info("memory")["used_memory"])
    names: list[str] = []
    up = meter.per(32 * len(contents), lambda: names.extend(client.artifacts.upload(one).name for one in contents))
    grown = int(redis.info("memory")["used_memory"]) - before
    down = meter.per(32 * len(contents), lambda: [client.artifacts.read(name) for name in names])
    for name in names:
        client.artifacts.delete(name)
    for what, costs in (("uploaded", up), ("downloaded", down)):
        for process in ("gateway", "Redis"):
            yield Figure(what=f"a MiB {what}", process=process, milliseconds=costs[process], unit="MiB a second")
    print(f"a byte of an artifact takes {grown / (32 * MIB * len(contents)):.3f} bytes of the store's memory")
