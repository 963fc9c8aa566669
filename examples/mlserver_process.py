"""A real MLServer on this machine, in a process of its own.

Its environment is its own as well (out/environments): it needs an older protobuf than Sparring.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from torch import nn

REQUIREMENT = "mlserver==1.7.1"
ENVIRONMENT = Path(__file__).resolve().parent.parent / "out" / "environments" / REQUIREMENT
RUNTIME = Path(__file__).resolve().with_name("mlserver_runtime.py")


def environment() -> Path:
    """Return the python of an environment that has MLServer; made at the first time. Raises RuntimeError."""
    python, ready = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "ready"
    if ready.exists():
        return python
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    venv.create(ENVIRONMENT, with_pip=True)
    made = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise RuntimeError(f"{REQUIREMENT} can't be installed: {made.stderr.strip()[-500:]}")
    ready.touch()
    return python


def export(network: nn.Module, path: Path) -> None:
    """Write the fully connected layers of a network as the runtime reads them."""
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    arrays = {f"w{i}": layer.weight.detach().numpy().T for i, layer in enumerate(layers)}
    np.savez(path, **arrays, **{f"b{i}": layer.bias.detach().numpy() for i, layer in enumerate(layers)})


@contextmanager
def serving(python: Path, folder: Path, weights: Path, *, model: str, shape: tuple[int, ...]) -> Iterator[str]:
    """Serve the weights on loopback until the block ends; yields HOST:PORT, which may take a while to answer.

    `folder` is where the settings and the server's log (`mlserver.log`) go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(RUNTIME, folder)
    http, grpc, metrics = _free_ports(3)
    settings = {
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "parallel_workers": 0,
        "debug": False,
    }
    described = {
        "name": model,
        "implementation": "mlserver_runtime.FullyConnected",
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, *shape]}],
        "parameters": {"uri": str(weights.resolve())},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(described))
    # No proxy is to be asked for 127.0.0.1.
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with ExitStack() as stack:
        log = stack.enter_context((folder / "mlserver.log").open("wb"))
        command = [str(python.with_name("mlserver")), "start", "."]
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield f"127.0.0.1:{grpc}"
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in sockets]


if __name__ == "__main__":
    sys.exit(f"the environment is ready: {environment()}")
