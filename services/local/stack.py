"""Store, gateway and workers as local processes: started, watched, restarted, and stopped in order.

One thread tends them all and lives as long as they do, because a process that is tied to its parent is in truth tied
to the thread that started it.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Self

import grpc
from sparring.v1 import catalog_pb2, catalog_pb2_grpc

from services.local import folder as data
from services.local import valkey
from services.local.errors import StackError
from services.local.program import Program

logger = logging.getLogger(__name__)

GATEWAY = ("-m", "services.gateway")
WORKER = (
    *("-m", "celery", "-A", "workers.app", "worker", "-n", "{name}@%h", "--loglevel", "INFO"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)
TEND_S = 0.1
START_S = 120.0
STOP_S = 35.0
DEATHS_AT_START = 3
RESTART_WAITS_S = (0.5, 2.0, 8.0)


class LocalStack:
    """A whole Sparring on this machine; a context manager. `port` 0 takes a free one."""

    def __init__(
        self,
        workers: int = 2,
        data_dir: str | Path | None = None,
        port: int = 0,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`environment` is added to that of this process, for the gateway and the workers."""
        self.folder = (data.default_folder() if data_dir is None else Path(data_dir)).expanduser().resolve()
        self._wanted, self._port = workers, port
        self._environment = os.environ | (environment if environment is not None else {})
        self._programs: dict[str, Program] = {}
        self._store: valkey.ValkeyServer | None = None
        self._resources = ExitStack()
        self._lock = threading.Lock()
        self._leaving, self._begun = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._tend, name="local-stack", daemon=True)

    @property
    def target(self) -> str:
        """The gateway's address, as `sparring.connect` takes it."""
        return f"127.0.0.1:{self._port}"

    @property
    def logs(self) -> Path:
        """The folder of the log files."""
        return self.folder / "logs"

    @property
    def store_environment(self) -> dict[str, str]:
        """What tells a process, by `StoreSettings.from_env`, where this stack's store is."""
        assert self._store is not None, "the stack has been started"
        return {
            "SPARRING_REDIS_URL": f"redis://127.0.0.1:{self._store.port}/0",
            "SPARRING_REDIS_PASSWORD_FILE": str(self.folder / "redis-password"),
        }

    def start(self) -> Self:
        """Start everything; returns when the gateway answers and every worker has been heard of."""
        self._resources.enter_context(data.held(self.folder))
        try:
            self._port = _free_port(self._port)
            self._thread.start()
            self._begun.wait()
            self._raise_failure()
            self.scale(self._wanted)
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the gateway and the workers, which give back what they hold, and then the store."""
        self._leaving.set()
        if self._thread.is_alive():
            self._thread.join()
        self._resources.close()

    def watch(self) -> None:
        """Wait for as long as the stack lives; raises StackError where its store can't be kept going."""
        self._thread.join()
        self._raise_failure()

    def scale(self, workers: int) -> None:
        """Have so many workers; those that are too many drain and end."""
        with self._lock:
            running = [name for name in self._programs if name != "gateway"]
            surplus = [self._programs.pop(name) for name in running[workers:]]
            for number in range(len(running) + 1, workers + 1):
                self._programs[f"worker-{number}"] = self._worker(f"worker-{number}")
            self._wanted = workers
        _end(surplus)

    def pid(self, name: str) -> int:
        """The process id of "store", "gateway" or "worker-1" and so on; 0 while it is being restarted."""
        if name == "store":
            return 0 if self._store is None else self._store.pid
        return self._programs[name].pid

    def wait_until_ready(self, timeout_s: float = START_S) -> None:
        """Wait until the gateway answers and has heard of every worker."""
        deadline = monotonic() + timeout_s
        with grpc.insecure_channel(self.target) as channel:
            catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
            while not self._heard_of_all(catalog):
                self._raise_failure()
                self._give_up_on_the_dying()
                if monotonic() > deadline:
                    raise StackError(f"not ready after {timeout_s:.0f} s; the logs are in {self.logs}")
                self._leaving.wait(TEND_S)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _heard_of_all(self, catalog: catalog_pb2_grpc.CatalogServiceStub) -> bool:
        try:
            info = catalog.GetServerInfo(catalog_pb2.GetServerInfoRequest(), timeout=5, wait_for_ready=True)
        except grpc.RpcError as error:
            logger.debug("the gateway does not answer yet: %s", error)
            return False
        return len(info.workers) >= self._wanted

    def _give_up_on_the_dying(self) -> None:
        for program in list(self._programs.values()):
            if program.deaths >= DEATHS_AT_START:
                raise StackError(f"{program.name} does not start; {program.log} ends with:\n{program.last_words()}")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # The thread.

    def _tend(self) -> None:
        try:
            self._start_store()
            with self._lock:
                self._programs["gateway"] = self._program("gateway", GATEWAY)
            self._begun.set()
            while not self._leaving.wait(TEND_S):
                self._tend_once()
        except Exception as error:  # noqa: BLE001 - whatever it is, `start` or `watch` raises it
            self._failure = error
        finally:
            self._begun.set()
            with self._lock:
                _end(list(self._programs.values()))
            if self._store is not None:
                self._store.stop()

    def _tend_once(self) -> None:
        if self._store is not None and self._store.process.poll() is not None:
            logger.warning("the store ended with %s; starting it again", self._store.process.returncode)
            self._restart_store()
        with self._lock:
            for program in self._programs.values():
                program.tend()

    def _restart_store(self) -> None:
        """Start the store again; what keeps it from starting may pass, so it is tried a few times."""
        for wait_s in RESTART_WAITS_S:
            try:
                return self._start_store()
            except StackError as error:
                logger.warning("the store does not start: %s", error)
                self._leaving.wait(wait_s)
        return self._start_store()

    def _start_store(self) -> None:
        password = data.secret(self.folder / "redis-password")
        data.secret(self.folder / "page-token-key")
        port = None if self._store is None else self._store.port
        try:
            self._store = valkey.start(self.folder / "store", port=port, password=password, maxmemory=_memory_bytes())
        except valkey.ValkeyError as error:
            raise StackError(str(error)) from error

    def _worker(self, name: str) -> Program:
        return self._program(name, [part.format(name=name) for part in WORKER])

    def _program(self, name: str, arguments: list[str] | tuple[str, ...]) -> Program:
        assert self._store is not None
        environment = self._environment | {
            "SPARRING_REDIS_URL": f"redis://127.0.0.1:{self._store.port}/0",
            "SPARRING_REDIS_PASSWORD_FILE": str(self.folder / "redis-password"),
            "SPARRING_PAGE_TOKEN_KEY_FILE": str(self.folder / "page-token-key"),
            "SPARRING_LISTEN": self.target,
            "SPARRING_LANE": "cpu",
            # No load balancer watches the loopback.
            "SPARRING_DRAIN_S": "0",
            "PYTHONUNBUFFERED": "1",
        }
        return Program(name, arguments, environment, self.logs / f"{name}.log", self.folder)


def _memory_bytes() -> int:
    """A quarter of this machine's memory; the gateway refuses new work above 80 % of that."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


def _end(programs: list[Program]) -> None:
    """Ask all of them at once, then wait for each."""
    for program in programs:
        program.terminate()
    deadline = monotonic() + STOP_S
    for program in programs:
        program.wait(deadline - monotonic())


def _free_port(port: int) -> int:
    """The port, or a free one for 0; refuses one that is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            message = f"port {port} of 127.0.0.1 is taken; if that is Sparring, use it, else choose another port"
            raise StackError(message) from error
        return int(probe.getsockname()[1])
