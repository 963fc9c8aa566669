"""F14: clients that submit everything at once, much of it twice, get each job once; and tenants get their share."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest
from sparring.v1 import jobs_pb2, jobs_pb2_grpc

from services.jobs.record import Lease, NewJob
from services.jobs.store import JobStore

from .net_gateway import Gateway, Served, peak, served
from .net_probe import training
from .net_tenants import bearer, write_tenants
from .results import Row
from .stack import store_binary

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

TENANTS = ("text", "vision")
SUBMITS, CLIENTS, DUPLICATES = 10_000, 64, 0.3
MEMORY_BYTES = 100 << 20
CLAIMS = 1000
SHARD_S = 0.5
LEASE_MS = 600_000
DIGEST = "d" * 64


@pytest.fixture(scope="module")
def herd(store, fast_folder) -> Iterator[tuple[Served, dict[str, str]]]:
    """A gateway that asks for keys, and the keys."""
    folder = fast_folder / f"herd-{store}"
    folder.mkdir()
    keys = write_tenants(folder / "tenants.toml", TENANTS)
    environment = {"SPARRING_TENANTS_FILE": str(folder / "tenants.toml")}
    with served(folder, binary=store_binary(store), environment=environment) as running:
        yield running, keys


def plan(rng: random.Random, count: int) -> list[tuple[str, str]]:
    """A tenant and a request_id for each submit; some ids come again, anywhere after the first time."""
    distinct = [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(round(count * (1 - DUPLICATES)))]
    submits = distinct + [rng.choice(distinct) for _ in range(count - len(distinct))]
    rng.shuffle(submits)
    # The first character of an id says whose it is.
    return [(TENANTS[int(request_id[0], 16) % 2], request_id) for request_id in submits]


async def submit_all(gateway: Gateway, keys: dict[str, str], submits: list[tuple[str, str]]) -> dict[str, set[str]]:
    """Send them by many clients at once; the names of the jobs that each id was answered with."""
    waiting, names = iter(submits), defaultdict(set)

    async def one() -> None:
        # A pool of its own, or all channels of a process to one address would share a connection.
        options = (("grpc.use_local_subchannel_pool", 1),)
        async with grpc.aio.insecure_channel(gateway.target, options=options) as channel:
            stub = jobs_pb2_grpc.JobServiceStub(channel)
            for tenant, request_id in waiting:
                request = jobs_pb2.CreateJobRequest(training=training(), request_id=request_id)
                job = await stub.CreateJob(request, timeout=60, metadata=bearer(keys[tenant]))
                names[request_id].add(job.name)

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return names


async def test_ten_thousand_submits_make_each_job_once(herd, rng, report, scaled, store):
    running, keys = herd
    submits = plan(rng, scaled(SUBMITS))
    began, before = time.monotonic(), running.gateway.memory_bytes
    with peak(running) as highest:
        names = await submit_all(running.gateway, keys, submits)
    seconds = time.monotonic() - began
    repeated = len(submits) - len(names)
    report(Row(fault="F14 herd of submits", store=store, runs=1, injections=repeated, jobs=len(names)))
    print(f"{len(submits)} submits in {seconds:.1f} s, {len(names)} jobs; RSS {before >> 20} -> {highest[0] >> 20} MB")
    assert all(len(found) == 1 for found in names.values()), "an id stands for one job"
    assert len(set.union(*names.values())) == len(names), "and a job for one id"
    held = {tenant: running.redis.zcard(f"{{sparring}}:idx:{tenant}") for tenant in TENANTS}
    assert held == Counter(TENANTS[int(request_id[0], 16) % 2] for request_id in names)
    assert highest[0] - before < MEMORY_BYTES


def do(store: JobStore, lease: Lease, worker: str) -> None:
    """Do a unit as a worker would, without the work."""
    if lease.closing:
        store.finish(lease, worker, b"", None)
    else:
        store.commit(lease, worker, DIGEST, {})


@pytest.fixture
def crowd(herd) -> Served:
    """More jobs of each tenant than are claimed of both."""
    running, _ = herd
    for number in range(CLAIMS):
        for tenant in TENANTS:
            name = f"crowd-{tenant}-{number}"
            running.jobs.submit(NewJob(id=name, tenant=tenant, kind="training", spec=b"", spec_hash=name, units=1))
    return running


def test_two_tenants_that_both_wait_get_the_same_share(crowd):
    running = crowd
    taken: Counter[str] = Counter()
    held: list[Lease] = []
    for number in range(CLAIMS):
        lease = running.jobs.claim(uuid.uuid4().hex, f"w-{number % 8}-a", "cpu", LEASE_MS)
        assert lease is not None, "there is enough for all"
        taken[lease.tenant] += 1
        held.append(lease)
        # Eight workers: each does what it took before it takes more.
        if len(held) == 8:
            do(running.jobs, held.pop(0), f"w-{(number - 7) % 8}-a")
    for number, lease in enumerate(held):
        do(running.jobs, lease, f"w-{number}-a")
    print(dict(taken))
    assert min(taken.values()) >= 0.8 * max(taken.values())
    assert set(taken) == set(TENANTS)


@contextmanager
def busy_workers(running: Served, count: int) -> Iterator[dict[str, float]]:
    """Workers of the test's own that take a shard's time for each unit; when each job was first taken."""
    first: dict[str, float] = {}
    leaving = threading.Event()

    def work(name: str) -> None:
        while not leaving.is_set():
            lease = running.jobs.claim(uuid.uuid4().hex, name, "cpu", LEASE_MS)
            if lease is None:
                leaving.wait(0.01)
                continue
            first.setdefault(lease.job_id, time.monotonic())
            leaving.wait(SHARD_S)
            do(running.jobs, lease, name)

    threads = [threading.Thread(target=work, args=(f"w-{number}-b",)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield first
    finally:
        leaving.set()
        for thread in threads:
            thread.join()


def test_a_thousand_jobs_of_one_tenant_hold_up_no_other(store, fast_folder):
    folder = fast_folder / f"herd-two-{store}"
    folder.mkdir()
    keys = write_tenants(folder / "tenants.toml", TENANTS)
    environment = {"SPARRING_TENANTS_FILE": str(folder / "tenants.toml")}
    many, few = TENANTS
    waited_s = []
    with (
        served(folder, binary=store_binary(store), environment=environment) as running,
        grpc.insecure_channel(running.gateway.target) as channel,
    ):
        stub = jobs_pb2_grpc.JobServiceStub(channel)

        def submit(tenant: str) -> str:
            request = jobs_pb2.CreateJobRequest(training=training())
            return stub.CreateJob(request, timeout=30, metadata=bearer(keys[tenant])).name.removeprefix("jobs/")

        for _ in range(1000):
            submit(many)
        with busy_workers(running, 2) as first:
            time.sleep(2 * SHARD_S)
            for _ in range(5):
                job, began = submit(few), time.monotonic()
                while job not in first and time.monotonic() < began + 20:
                    time.sleep(0.005)
                waited_s.append(first[job] - began)
                # Its next job would rightly wait for the one that it has.
                while running.jobs.get(few, job).ended_ms is None:
                    time.sleep(0.05)
    print([f"{waited:.2f} s" for waited in waited_s])
    assert max(waited_s) <= SHARD_S + 0.3
