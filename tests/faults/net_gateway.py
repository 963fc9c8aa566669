"""A gateway and its store as processes without workers, for faults that are about the gateway alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil
from sparring.v1 import catalog_pb2, catalog_pb2_grpc

from services.connection import Redis, connect
from services.jobs.store import JobStore
from services.local.valkey import ValkeyServer, start
from services.settings import StoreSettings

STOP_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Gateway:
    """One gateway process, which may be killed and started again at the same address."""

    redis_url: str
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "gateway.log"

    @property
    def memory_bytes(self) -> int:
        """What the process holds in memory now."""
        assert self.process is not None
        return int(psutil.Process(self.process.pid).memory_info().rss)

    @property
    def descriptors(self) -> int:
        assert self.process is not None
        return psutil.Process(self.process.pid).num_fds()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, timeout_s: float = 60.0) -> None:
        """Start it and wait until it answers."""
        self.launch()
        self.await_answer(timeout_s)

    def launch(self) -> None:
        """Start it and do not wait."""
        key = self.folder / "page-token-key"
        key.write_text("k" * 43, encoding="ascii")
        environment = os.environ | {
            "SPARRING_REDIS_URL": self.redis_url,
            "SPARRING_LISTEN": self.target,
            "SPARRING_PAGE_TOKEN_KEY_FILE": str(key),
            "SPARRING_DRAIN_S": "0",
            "PYTHONUNBUFFERED": "1",
        }
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.gateway"],
                env=environment | dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def await_answer(self, timeout_s: float = 60.0) -> None:
        """Wait until calls are answered, if only by asking who it is."""
        deadline = time.monotonic() + timeout_s
        with grpc.insecure_channel(self.target) as channel:
            stub = catalog_pb2_grpc.CatalogServiceStub(channel)
            while True:
                assert self.alive, f"the gateway ended; its log is {self.log}"
                try:
                    stub.GetServerInfo(catalog_pb2.GetServerInfoRequest(), timeout=5, wait_for_ready=True)
                except grpc.RpcError as error:
                    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                        return
                    failure = error
                else:
                    return
                assert time.monotonic() < deadline, failure
                time.sleep(0.05)

    def await_port(self, timeout_s: float = 60.0) -> None:
        """Wait until connections are taken, or the process is dead."""
        deadline = time.monotonic() + timeout_s
        while self.alive and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that takes too long."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass(frozen=True)
class Served:
    """A store and a gateway on it."""

    gateway: Gateway
    server: ValkeyServer
    redis: Redis
    jobs: JobStore


@contextmanager
def served(
    folder: Path, *, binary: str | None = None, environment: Mapping[str, str] | None = None, maxmemory: int = 0
) -> Iterator[Served]:
    """Both, for a while."""
    folder.mkdir(parents=True, exist_ok=True)
    with start(folder / "store", binary=binary, maxmemory=maxmemory) as server:
        settings = StoreSettings(server.url)
        with connect(settings) as redis:
            gateway = Gateway(server.url, folder, {} if environment is None else environment)
            try:
                gateway.start()
                yield Served(gateway, server, redis, JobStore(redis, settings))
            finally:
                gateway.stop()


@contextmanager
def peak(running: Served) -> Iterator[list[int]]:
    """The most memory that the gateway holds meanwhile, in bytes."""
    highest, leaving = [0], threading.Event()

    def look() -> None:
        while not leaving.wait(0.05):
            highest[0] = max(highest[0], running.gateway.memory_bytes)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield highest
    finally:
        leaving.set()
        thread.join()
