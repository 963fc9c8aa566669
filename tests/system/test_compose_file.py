"""docker-compose.yml and the Dockerfiles, read without an engine."""

import os
import sys

import pytest

from .engine import UnavailableError, compose_command, run
from .stack import ROOT

ENV = {"PATH": os.environ["PATH"]}
EVERY_PROFILE = ["--profile", "gpu", "--profile", "edge", "--file", str(ROOT / "docker-compose.yml")]


def test_compose_accepts_the_file() -> None:
    try:
        compose = compose_command(ENV)
    except UnavailableError as reason:
        pytest.skip(str(reason))
    run([*compose, *EVERY_PROFILE, "config", "--quiet"], env=ENV, timeout_s=60)


def requirements(*extras: str) -> list[str]:
    command = [sys.executable, str(ROOT / "deploy" / "requirements.py"), str(ROOT / "pyproject.toml"), *extras]
    return run(command, env=ENV, timeout_s=60).splitlines()


def test_the_gateways_image_installs_no_mathematics() -> None:
    heavy = ("torch", "numpy", "scikit", "safetensors", "matplotlib", "pillow")
    assert not [line for line in requirements("services", "cli") if line.startswith(heavy)]


def test_the_consoles_image_installs_neither_mathematics_nor_redis() -> None:
    other = ("torch", "numpy", "safetensors", "matplotlib", "pillow", "redis", "celery")
    listed = requirements("console", "tracing")
    assert not [line for line in listed if line.startswith(other)]
    assert any(line.startswith("starlette") for line in listed)


def test_the_workers_image_installs_what_the_extra_names_and_what_that_extra_includes() -> None:
    listed = requirements("worker")
    assert {"torch==2.13.0"} <= set(listed)
    assert any(line.startswith("celery[redis]") for line in listed)
    assert any(line.startswith("grpcio>=") for line in listed)
    assert not [line for line in listed if line.startswith("sparring")]
