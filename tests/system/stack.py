"""docker-compose.yml of this repository, brought up as a user would, with the means to disturb it."""

import contextlib
import json
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sparring

from .engine import Engine, run
from .images import base_images

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "sparring-system"
# What a person may choose for the tests as well; whatever else is set for a deployment of theirs stays out.
CHOICES = ("SPARRING_PYTHON_IMAGE", "SPARRING_REDIS_IMAGE", "SPARRING_TORCH_INDEX_URL")
BUILD_S = 900.0
UP_S = 180.0


@dataclass(frozen=True)
class Stack:
    """One deployment: redis, a gateway, and any number of workers."""

    engine: Engine
    files: tuple[Path, ...]
    port: int
    # Where the certificate of its authority is put for clients.
    folder: Path

    @property
    def target(self) -> str:
        """Where its gateway listens."""
        return f"127.0.0.1:{self.port}"

    def compose(self, *arguments: str, timeout_s: float = UP_S, check: bool = True) -> str:
        """Run Compose on it."""
        files = [word for file in self.files for word in ("--file", str(file))]
        command = [*self.engine.compose, "--project-name", PROJECT, *files, *arguments]
        return run(command, env=self.engine.env, timeout_s=timeout_s, check=check, cwd=ROOT)

    def secret(self, name: str) -> str:
        """Return what the gateway holds under a name, as deploy/README.md has people fetch it."""
        (gateway,) = self.containers("gateway")
        return self.engine.docker("exec", gateway, "cat", f"/var/lib/sparring/secrets/{name}")

    def connect(self, **options: Any) -> sparring.Client:
        """Return a client with the first key, that trusts the deployment's own authority."""
        authority = self.folder / "ca.pem"
        authority.write_text(self.secret("ca.pem"))
        return sparring.connect(self.target, key=self.secret("first-key").strip(), tls_ca=authority, **options)

    def up(self, workers: int) -> None:
        """Start what does not run, with so many workers; return when the gateway has heard of each of them."""
        self.compose("up", "--detach", "--no-build", "--scale", f"worker={workers}")
        with self.connect(wait_for_ready=True, timeout_s=UP_S) as client:
            wait_until(lambda: len(client.catalog.info().workers) == workers, UP_S, f"{workers} workers listening")

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's running containers."""
        labels = {"project": PROJECT, "service": service}
        filters = [f"--filter=label=com.docker.compose.{key}={value}" for key, value in labels.items()]
        return self.engine.docker("ps", "--quiet", "--no-trunc", *filters).split()

    def inspect(self, container: str) -> dict[str, Any]:
        """Return all that the engine knows of a container or an image."""
        found: list[dict[str, Any]] = json.loads(self.engine.docker("inspect", container))
        return found[0]

    def kill(self, container: str) -> None:
        """Kill a container as a crash would; the engine does not restart what was killed through it."""
        self.engine.docker("kill", "--signal", "KILL", container)

    def save_logs(self, folder: Path) -> None:
        """Write what each container printed, and the engine's view of it."""
        folder.mkdir(parents=True, exist_ok=True)
        listed = self.engine.docker(
            "ps", "--all", f"--filter=label=com.docker.compose.project={PROJECT}", "--format={{.Names}}"
        )
        for name in listed.split():
            (folder / f"{name}.log").write_text(self.engine.docker("logs", "--timestamps", name, check=False))
            (folder / f"{name}.json").write_text(self.engine.docker("inspect", name, check=False))

    def down(self) -> None:
        """Take everything away, volumes too."""
        self.compose("down", "--volumes", "--remove-orphans")


def wait_until(true: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not after {timeout_s:.0f} s: {what}"
        time.sleep(0.3)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def deployment(engine: Engine, failures: Path) -> Iterator[Stack]:
    """Build the images, bring the deployment up with one worker, and take it away in the end."""
    bases = {} if "SPARRING_PYTHON_IMAGE" in engine.env else base_images(engine)
    port = free_port()
    variables = {
        **bases,
        "SPARRING_GATEWAY_IMAGE": "sparring-system/gateway",
        "SPARRING_WORKER_IMAGE": "sparring-system/worker",
        "SPARRING_CONSOLE_IMAGE": "sparring-system/console",
        "SPARRING_PORT": str(port),
        "SPARRING_CONSOLE_PORT": str(free_port()),
        # Nothing here waits for a load balancer to notice.
        "SPARRING_DRAIN_S": "0.5",
    }
    files = [ROOT / "docker-compose.yml", *([Path(__file__).with_name("build.yml")] if bases else [])]
    env = {key: value for key, value in engine.env.items() if key in CHOICES or not key.startswith("SPARRING_")}
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Engine({**env, **variables}, engine.compose), tuple(files), port, Path(folder))
        stack.compose("build", "gateway", "console", "worker", timeout_s=BUILD_S)
        stack.down()
        try:
            stack.up(workers=1)
            yield stack
        except Exception:
            stack.save_logs(failures / "deployment")
            raise
        finally:
            stack.down()
