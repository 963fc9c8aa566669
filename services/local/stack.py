"""Store, gateways and workers as local processes: started, watched, restarted, and stopped in order.

One thread tends them all and lives as long as they do, because a process that is tied to its parent is in truth tied
to the thread that started it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from time import monotonic
from typing import Self

from services.local import folder as data
from services.local import valkey
from services.local.errors import StackError
from services.local.launch import Launch, free_ports
from services.local.program import LONGEST_WAIT_S, Program
from services.local.readiness import Probe, console_fails
from services.settings import StoreSettings

logger = logging.getLogger(__name__)

TEND_S = 0.1
START_S = 120.0
STOP_S = 35.0
DEATHS_AT_START = 3
RESTART_WAITS_S = (0.5, 1.0, 2.0, 4.0)
RESTART_PATIENCE_S = 900.0


class LocalStack:
    """A whole Sparring on this machine; a context manager. `port` 0 takes a free one."""

    def __init__(
        self,
        workers: int = 2,
        data_dir: str | Path | None = None,
        port: int = 0,
        *,
        gateways: int = 1,
        console: bool = False,
        console_port: int = 0,
        environment: Mapping[str, str] | None = None,
        gateway_environment: Mapping[str, str] | None = None,
        worker_environment: Mapping[str, str] | None = None,
        store_binary: str | Path | None = None,
        store_port: int | None = None,
        maxmemory: int | None = None,
        longest_wait_s: float = LONGEST_WAIT_S,
        probe: Probe | None = None,
    ) -> None:
        """Describe a stack; nothing is started yet.

        `environment` is added to that of this process, for gateways and workers; `gateway_environment` and
        `worker_environment` have the last word, even over what the stack itself sets. `store_binary` is a
        redis-server in place of the embedded Valkey, `maxmemory` its bytes (None: a quarter of the machine's, 0: no
        limit), `store_port` its port (None: a free one). `longest_wait_s` bounds the pause before a program that
        keeps dying is started again. `probe` says how the stack itself calls a gateway that asks for keys or TLS.
        Gateways beyond the first listen on free ports, see `targets`. `console`: serve the web console, too, at
        `console_port` (0: a free one), see `console`.
        """
        self.folder = (data.default_folder() if data_dir is None else Path(data_dir)).expanduser().resolve()
        self._launch = Launch(
            folder=self.folder,
            environment={} if environment is None else environment,
            gateway_environment={} if gateway_environment is None else gateway_environment,
            worker_environment={} if worker_environment is None else worker_environment,
            store_binary=store_binary,
            maxmemory=maxmemory,
            longest_wait_s=longest_wait_s,
        )
        self._probe = Probe() if probe is None else probe
        self._wanted, self._gateways, self._ports, self._store_port = workers, gateways, [port], store_port
        self._console_port = console_port if console else None
        self._programs: dict[str, Program] = {}
        self._store: valkey.ValkeyServer | None = None
        self._resources = ExitStack()
        self._lock = threading.Lock()
        self._leaving, self._begun = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._tend, name="local-stack", daemon=True)

    @property
    def target(self) -> str:
        """The (first) gateway's address, as `sparring.connect` takes it."""
        return self.targets[0]

    @property
    def targets(self) -> list[str]:
        """The address of each gateway: "gateway", "gateway-2" and so on."""
        return [f"127.0.0.1:{port}" for port in self._ports]

    @property
    def console(self) -> str:
        """The address of the web console; empty where there is none."""
        return "" if self._console_port is None else f"http://127.0.0.1:{self._console_port}"

    @property
    def logs(self) -> Path:
        """The folder of the log files."""
        return self.folder / "logs"

    @property
    def store_environment(self) -> dict[str, str]:
        """What tells a process, by `StoreSettings.from_env`, where this stack's store is."""
        assert self._store_port is not None, "the stack has been started"
        return self._launch.store_environment(self._store_port)

    def start(self) -> Self:
        """Start everything; returns when the gateways answer and every worker has been heard of."""
        self._resources.enter_context(data.held(self.folder))
        try:
            self._ports = free_ports(self._ports[0], self._gateways)
            if self._console_port is not None:
                (self._console_port,) = free_ports(self._console_port, 1)
            self._thread.start()
            self._begun.wait()
            self._raise_failure()
            self.scale(self._wanted)
            self._wait(START_S, give_up=True)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the gateways and the workers, which give back what they hold, and then the store."""
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
        assert self._store_port is not None, "the stack has been started"
        with self._lock:
            running = [name for name in self._programs if name.startswith("worker")]
            surplus = [self._programs.pop(name) for name in running[workers:]]
            for number in range(len(running) + 1, workers + 1):
                name = f"worker-{number}"
                self._programs[name] = self._launch.worker(name, self._store_port)
            self._wanted = workers
        _end(surplus)

    def pid(self, name: str) -> int:
        """The process id of "store", "gateway", "console", "worker-1" and so on; 0 while it is being restarted."""
        if name == "store":
            return 0 if self._store is None else self._store.pid
        return self._programs[name].pid

    def restart(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """End one program by SIGTERM, as a rolling restart does, and return when it runs again with another pid.

        `environment` is added to the program's from then on (the store takes none). It may not be ready yet.
        """
        before = self.pid(name)
        ended = self._store if name == "store" else self._programs[name]
        assert ended is not None, "the stack has been started"
        if isinstance(ended, Program) and environment is not None:
            ended.environment = {**ended.environment, **environment}
        ended.terminate()
        deadline = monotonic() + STOP_S
        while self.pid(name) in {0, before}:
            self._raise_failure()
            if monotonic() > deadline:
                ended.kill()
            self._leaving.wait(TEND_S / 2)

    def wait_until_ready(self, timeout_s: float = START_S) -> None:
        """Wait until every gateway answers and has heard of every worker, and the console answers."""
        self._wait(timeout_s, give_up=False)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait(self, timeout_s: float, *, give_up: bool) -> None:
        deadline = monotonic() + timeout_s
        checks = [partial(self._probe.fails, target, self._settings(), workers=self._wanted) for target in self.targets]
        if self.console:
            checks.append(partial(console_fails, self.console))
        for check in checks:
            while (why := check()) is not None:
                self._raise_failure()
                if give_up:
                    self._give_up_on_the_dying()
                if monotonic() > deadline:
                    raise StackError(f"not ready after {timeout_s:.0f} s: {why}; the logs are in {self.logs}")
                self._leaving.wait(TEND_S)

    def _settings(self) -> StoreSettings:
        return StoreSettings.from_env(self.store_environment)

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
            store_port = self._start_store()
            with self._lock:
                for number, target in enumerate(self.targets, start=1):
                    name = "gateway" if number == 1 else f"gateway-{number}"
                    self._programs[name] = self._launch.gateway(name, store_port, target)
                if self._console_port is not None:
                    address = self.console.removeprefix("http://")
                    self._programs["console"] = self._launch.console(self.target, address, self._probe.tls_ca)
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

    def _restart_store(self) -> int:
        """Start the store again; what keeps it from starting, a full disk say, may pass or be mended meanwhile."""
        deadline = monotonic() + RESTART_PATIENCE_S
        for wait_s in chain(RESTART_WAITS_S, repeat(RESTART_WAITS_S[-1])):
            try:
                return self._start_store()
            except (StackError, OSError) as error:
                if self._leaving.is_set() or monotonic() > deadline:
                    raise StackError(f"the store can't be kept going: {error}") from error
                logger.warning("the store does not start: %s", error)
                self._leaving.wait(wait_s)
        raise AssertionError("the waits have no end")

    def _start_store(self) -> int:
        self._store = self._launch.store(self._store_port)
        self._store_port = self._store.port
        return self._store_port


def _end(programs: list[Program]) -> None:
    """Ask all of them at once, then wait for each."""
    for program in programs:
        program.terminate()
    deadline = monotonic() + STOP_S
    for program in programs:
        program.wait(deadline - monotonic())
