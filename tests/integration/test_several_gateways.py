"""Three gateways of one service, behind one address: one of them dies under its clients, and they notice nothing."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import sparring
from google.rpc import status_pb2
from sparring import caller, channel
from sparring.v1.jobs_pb2 import Job

from services.connection import connect
from services.jobs.record import Lease
from services.jobs.store import JobStore
from services.local import LocalStack
from services.local.launch import free_ports
from services.settings import StoreSettings

JOBS, WATCHERS_OF_EACH, METRICS = 5, 10, 120
UPLOAD_BYTES = 64 << 20
NAMES = ("gateway", "gateway-2", "gateway-3")
BALANCER = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 20m
    timeout server 20m
frontend sparring
    bind 127.0.0.1:{port}
    default_backend gateways
backend gateways
    balance roundrobin
    option redispatch
    retries 3
    default-server check inter 200ms fall 1 rise 1 on-marked-down shutdown-sessions
{servers}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[LocalStack]:
    with LocalStack(workers=0, data_dir=tmp_path_factory.mktemp("three"), gateways=3) as running:
        yield running


@pytest.fixture(autouse=True)
def _connections_of_their_own(monkeypatch) -> None:
    """Clients of one process share a connection; here each stands for a process of its own."""
    monkeypatch.setattr(channel, "OPTIONS", (*channel.OPTIONS, ("grpc.use_local_subchannel_pool", 1)))


@pytest.fixture(params=["a list of addresses", "a balancer"])
def address(request, stack, tmp_path) -> Iterator[str]:
    """What clients are given: all three, or the one address of a load balancer that knows them."""
    if request.param == "a list of addresses":
        yield ",".join(stack.targets)
    else:
        with balancer(stack.targets, tmp_path) as target:
            yield target


@contextmanager
def balancer(targets: list[str], folder: Path) -> Iterator[str]:
    binary = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if binary is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("haproxy is not installed")
    (port,) = free_ports(0, 1)
    servers = "\n".join(f"    server gateway-{number} {target}" for number, target in enumerate(targets, start=1))
    (folder / "haproxy.cfg").write_text(BALANCER.format(port=port, servers=servers))
    process = subprocess.Popen([binary, "-db", "-f", str(folder / "haproxy.cfg")])
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


class Work:
    """Stands in for workers: takes what there is, and writes down figures at a pace."""

    def __init__(self, store: JobStore, leases: list[Lease]) -> None:
        self._store, self._leases = store, leases
        self.half = threading.Event()

    def do(self) -> None:
        for step in range(METRICS):
            for lease in self._leases:
                self._store.metric(lease, "loss", 1.0 / (step + 1), step)
            if step == METRICS // 4:
                self.half.set()
            time.sleep(0.05)
        enough = status_pb2.Status(code=1, message="enough").SerializeToString()
        for lease in self._leases:
            self._store.fail(lease, "stand-in", enough)


class Upload:
    """Sends the second half of its bytes slowly."""

    def __init__(self, address: str, seed: int) -> None:
        self._address, self._content = address, random.Random(seed).randbytes(UPLOAD_BYTES)
        self.under_way = threading.Event()

    def send(self) -> bool:
        """Whether the artifact is what was sent."""
        with sparring.connect(self._address) as client:
            artifact = client.artifacts.upload(self._content, on_progress=self._slow_down)
            digest = hashlib.sha256(self._content).hexdigest()
            return artifact.name == f"artifacts/{digest}" and client.artifacts.read(artifact.name) == self._content

    def _slow_down(self, done: int, _: int) -> None:
        if done > UPLOAD_BYTES // 2:
            self.under_way.set()
            time.sleep(0.25)


@pytest.fixture
def begun_at(monkeypatch) -> list[int]:
    """The offset at which each stream of an upload begins."""
    offsets: list[int] = []

    class Noted(caller.Outgoing):
        def __next__(self):
            message = super().__next__()
            if not getattr(self, "begun", False):
                self.begun = True
                offsets.append(message.offset)
            return message

    monkeypatch.setattr(caller, "Outgoing", Noted)
    return offsets


def cpu_s(stack: LocalStack) -> dict[str, float]:
    """Seconds that each gateway has computed."""
    return {name: sum(psutil.Process(stack.pid(name)).cpu_times()[:2]) for name in NAMES}


def watch(client: sparring.Client, job: str) -> list[int]:
    return [response.event_id for response in client.jobs.watch(job)]


def connections(stack: LocalStack) -> dict[str, int]:
    """Established connections of clients to each gateway."""
    ports = {int(target.rpartition(":")[2]): name for target, name in zip(stack.targets, NAMES, strict=True)}
    found = dict.fromkeys(NAMES, 0)
    for name in NAMES:
        for one in psutil.Process(stack.pid(name)).net_connections():
            if one.status == psutil.CONN_ESTABLISHED and one.laddr.port in ports:
                found[ports[one.laddr.port]] += 1
    return found


@pytest.mark.timeout(240)
def test_a_gateway_killed_under_fifty_watchers_and_an_upload_costs_no_event_and_no_byte(
    stack, address, begun_at
) -> None:
    settings = StoreSettings.from_env(stack.store_environment)
    with connect(settings) as redis, ThreadPoolExecutor(JOBS * WATCHERS_OF_EACH + 2) as pool:
        store = JobStore(redis, settings)
        clients = [sparring.connect(address) for _ in range(WATCHERS_OF_EACH)]
        jobs = [
            clients[0].train("mnist10k", "standard", architecture="wong_cnn", seed=seed).name for seed in range(JOBS)
        ]
        leases = [store.claim(f"{address}-{number}", "stand-in", "cpu", 120_000) for number in range(JOBS)]
        watchers = [(job, pool.submit(watch, client, job)) for client in clients for job in jobs]
        work, upload = Work(store, leases), Upload(address, seed=len(address))
        idle = cpu_s(stack)
        sent = pool.submit(upload.send)
        assert upload.under_way.wait(60)
        # The one that takes the upload, as nothing else goes on; it has checked and passed on half of the bytes.
        victim = max(NAMES, key=lambda name: cpu_s(stack)[name] - idle[name])
        before = stack.pid(victim)
        working = pool.submit(work.do)
        assert work.half.wait(60)
        assert all(connections(stack).values()), "every gateway has clients"
        os.kill(before, signal.SIGKILL)
        working.result(90)
        assert sent.result(90), "what is read back is what was sent"
        last = {job: clients[0].jobs.get(job).last_event_id for job in jobs}
        for job, watcher in watchers:
            assert watcher.result(60) == list(range(1, last[job] + 1)), "every event once, in order, none missing"
        assert all(clients[0].jobs.get(job).state == Job.STATE_FAILED for job in jobs)
        assert all(count > METRICS for count in last.values())
        assert len(begun_at) > 1, "the upload was cut off"
        assert min(begun_at[1:]) >= UPLOAD_BYTES // 4, "and went on, it did not begin anew"
        for client in clients:
            client.close()
    stack.wait_until_ready()
    assert stack.pid(victim) not in {0, before}, "the gateway is there again"
