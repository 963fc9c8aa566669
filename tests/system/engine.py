"""The Docker engine of the system tests: the one that runs, or one of their own on a data folder that outlives them."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sparring-system"
# Short, because the path of a Unix socket has at most 107 bytes.
RUN = Path("/run/sparring-system")
START_S = 60.0
STOP_S = 30.0


class UnavailableError(Exception):
    """The system tests can't run here; the message says why."""


@dataclass(frozen=True)
class Engine:
    """A Docker engine and how to reach it."""

    # Kept out of pytest's reports: an environment may hold secrets.
    env: dict[str, str] = field(repr=False)
    compose: tuple[str, ...]

    def docker(self, *arguments: str, timeout_s: float = 60.0, check: bool = True) -> str:
        """Run `docker`; return what it printed."""
        return run(["docker", *arguments], env=self.env, timeout_s=timeout_s, check=check)

    def has_image(self, tag: str) -> bool:
        """Say whether an image is there."""
        return bool(self.docker("images", "--quiet", tag).strip())


def run(
    command: list[str], *, env: dict[str, str], timeout_s: float, check: bool = True, cwd: Path | None = None
) -> str:
    """Run a command; return its output. A failure shows what it printed, which CalledProcessError would not."""
    done = subprocess.run(
        command,
        env=env,
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout_s,
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-8000:]}")
    return done.stdout


def succeeds(command: list[str], env: dict[str, str]) -> bool:
    """Say whether a command ends well."""
    return subprocess.run(command, check=False, env=env, capture_output=True).returncode == 0


def compose_command(env: dict[str, str]) -> tuple[str, ...]:
    """Return how Compose is called here: the plug-in where there is one, else the older program."""
    for command in (("docker", "compose"), ("docker-compose",)):
        if shutil.which(command[0]) and succeeds([*command, "version"], env):
            return command
    raise UnavailableError("Docker Compose is not installed (Debian: apt-get install docker-compose)")


def answers(env: dict[str, str]) -> bool:
    """Say whether an engine answers."""
    return succeeds(["docker", "version"], env)


@contextlib.contextmanager
def own_daemon(env: dict[str, str]) -> Iterator[None]:
    """Run an engine of our own; stop it by its own pid."""
    if os.geteuid() != 0:
        raise UnavailableError("no Docker engine answers, and only root can start one")
    if shutil.which("dockerd") is None:
        raise UnavailableError("no Docker engine is installed (Debian: apt-get install docker.io)")
    CACHE.mkdir(parents=True, exist_ok=True)
    RUN.mkdir(parents=True, exist_ok=True)
    folders = ["--data-root", str(CACHE / "engine"), "--exec-root", str(RUN / "exec"), "--pidfile", str(RUN / "pid")]
    log_path = CACHE / "engine.log"
    with log_path.open("w") as log:
        daemon = subprocess.Popen(["dockerd", *folders, "--host", env["DOCKER_HOST"]], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_S
        while not answers(env):
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise UnavailableError(f"dockerd did not start:\n{log_path.read_text()[-4000:]}")
            time.sleep(0.2)
        yield
    finally:
        daemon.terminate()
        daemon.wait(STOP_S)


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """Yield the engine that runs, or start one for as long as the tests take."""
    if shutil.which("docker") is None:
        raise UnavailableError("Docker is not installed (Debian: apt-get install docker.io docker-compose debootstrap)")
    env = dict(os.environ)
    if answers(env):
        yield Engine(env, compose_command(env))
        return
    env["DOCKER_HOST"] = f"unix://{RUN}/docker.sock"
    with contextlib.nullcontext() if answers(env) else own_daemon(env):
        yield Engine(env, compose_command(env))
