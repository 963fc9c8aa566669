"""deploy/haproxy.cfg, run by a real HAProxy before three gateways: calls pass, and it knows which gateways serve.

What a killed gateway costs clients is in test_several_gateways.py; this is about the file that docker-compose.yml uses.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sparring
from sparring import channel
from sparring.v1.jobs_pb2 import Job

from services.local import LocalStack
from services.local.launch import free_ports

FILE = Path(__file__).resolve().parents[2] / "deploy" / "haproxy.cfg"
BY_NAME = 'server-template gateway 16 "${SPARRING_GATEWAYS-gateway}:50051"'
# As deploy/README.md has it.
DRAIN_S = 3.0


def haproxy() -> str:
    binary = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if binary is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("haproxy is not installed")
    return binary


@dataclass(frozen=True)
class Balancer:
    """A HAProxy that runs, where it listens, and its own view of the gateways."""

    target: str
    socket: Path

    def states(self) -> list[str]:
        """UP or DOWN for each gateway, in the order of the stack's."""
        return [status.split()[0] for status in self._tell("status")]

    def connections(self) -> list[int]:
        """How many connections each gateway has of it."""
        return [int(count) for count in self._tell("scur")]

    def _tell(self, column: str) -> list[str]:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(10)
            asking.connect(str(self.socket))
            asking.sendall(b"show stat\n")
            told = b"".join(iter(lambda: asking.recv(65_536), b"")).decode()
        rows = csv.DictReader(io.StringIO(told.removeprefix("# ")))
        return [row[column] for row in rows if row["pxname"] == "gateways" and row["svname"] != "BACKEND"]

    def become(self, wanted: Callable[[list[str]], bool], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not wanted(self.states()):
            assert time.monotonic() < deadline, self.states()
            time.sleep(0.1)


def all_are(state: str) -> Callable[[list[str]], bool]:
    return lambda states: states == [state] * 3


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[LocalStack]:
    told = {"SPARRING_DRAIN_S": str(DRAIN_S)}
    folder = tmp_path_factory.mktemp("behind")
    with LocalStack(workers=0, data_dir=folder, gateways=3, gateway_environment=told) as running:
        yield running


@pytest.fixture(scope="module")
def balancer(stack, tmp_path_factory) -> Iterator[Balancer]:
    """The file as it is, but for what a name server would tell: where the gateways are, and one port for all."""
    (port,) = free_ports(0, 1)
    folder = tmp_path_factory.mktemp("haproxy")
    text = FILE.read_text()
    servers = [
        f"server gateway{number} {target} port {target.rpartition(':')[2]}"
        for number, target in enumerate(stack.targets, start=1)
    ]
    for old, new in ((BY_NAME, "\n    ".join(servers)), ("bind :50051", f"bind 127.0.0.1:{port}")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    configuration, control = folder / "haproxy.cfg", folder / "control"
    configuration.write_text(f"{text}\nglobal\n    stats socket {control}\n")
    process = subprocess.Popen([haproxy(), "-db", "-f", str(configuration)])
    try:
        running = Balancer(f"127.0.0.1:{port}", control)
        deadline = time.monotonic() + 30
        while not control.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.become(all_are("UP"))
        yield running
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture(autouse=True)
def _connections_of_their_own(monkeypatch) -> None:
    """Clients of one process share a connection; here each has its own, as processes would."""
    monkeypatch.setattr(channel, "OPTIONS", (*channel.OPTIONS, ("grpc.use_local_subchannel_pool", 1)))


def test_haproxy_takes_the_file_as_it_is() -> None:
    done = subprocess.run([haproxy(), "-c", "-f", str(FILE)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()


def test_jobs_events_and_bytes_pass_through_it(balancer) -> None:
    content = random.Random(7).randbytes(9 << 20)
    events: list[int] = []
    with sparring.connect(balancer.target) as one, sparring.connect(balancer.target) as other:
        artifact = one.artifacts.upload(content)
        assert artifact.name == f"artifacts/{hashlib.sha256(content).hexdigest()}"
        assert other.artifacts.read(artifact.name) == content
        job = one.train("mnist10k", "standard", architecture="wong_cnn", seed=1)
        watching = threading.Thread(
            target=lambda: events.extend(found.event_id for found in other.jobs.watch(job.name, timeout_s=60))
        )
        watching.start()
        one.jobs.cancel(job.name)
        watching.join(60)
        ended = other.jobs.get(job.name)
    assert ended.state == Job.STATE_CANCELLED
    assert events == list(range(1, ended.last_event_id + 1))


def test_clients_are_spread_over_all_gateways(balancer) -> None:
    clients = [sparring.connect(balancer.target) for _ in range(9)]
    try:
        for client in clients:
            client.catalog.info()
        assert balancer.connections() == [3, 3, 3]
    finally:
        for client in clients:
            client.close()


def test_a_gateway_that_drains_is_left_before_it_goes(stack, balancer) -> None:
    ended_at: list[float] = []

    def restart() -> None:
        stack.restart("gateway-2")
        ended_at.append(time.monotonic())

    restarting = threading.Thread(target=restart)
    restarting.start()
    balancer.become(lambda states: states == ["UP", "DOWN", "UP"])
    left_at = time.monotonic()
    # It still serves those that it has, and nobody new is sent there.
    with sparring.connect(balancer.target) as client:
        client.catalog.info()
    restarting.join(90)
    assert left_at < ended_at[0], "it was left while it still answered"
    balancer.become(all_are("UP"))
