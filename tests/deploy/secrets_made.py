"""deploy/cluster_secrets.py on a cluster that is a dictionary."""

import importlib.util
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from .rendering import ROOT, Release, container, environment


def _load() -> Any:
    """The script as a module; it is none of a package, as it stands alone in the image."""
    path = ROOT / "deploy" / "cluster_secrets.py"
    spec = importlib.util.spec_from_file_location("cluster_secrets", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["cluster_secrets"] = module
    spec.loader.exec_module(module)
    return module


script = _load()


@dataclass
class FakeCluster:
    """Secrets in a dictionary, and what was done to them."""

    secrets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def read(self, name: str) -> dict[str, bytes] | None:
        found = self.secrets.get(name)
        return None if found is None else dict(found)

    def create(self, name: str, data: dict[str, bytes]) -> None:
        assert name not in self.secrets
        self.secrets[name] = data
        self.done.append(f"create {name}")

    def change(self, name: str, data: dict[str, bytes]) -> None:
        self.secrets[name].update(data)
        self.done.append(f"change {name}: {' '.join(sorted(data))}")


def keep(cluster: Any, secrets: dict[str, str], hosts: str = "") -> None:
    """Run the script; the `sparring` command is the one beside this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with mock.patch.dict(os.environ, {"PATH": path, "SPARRING_HOSTS": hosts}):
        script.keep(cluster, secrets)


def made_by(release: Release) -> FakeCluster:
    """What the Job of a release makes in an empty cluster."""
    job = container(release.pods()["prepare"], "prepare")
    assert job["args"][:2] == ["python", "/opt/sparring/deploy/cluster_secrets.py"]
    cluster = FakeCluster()
    named = dict(argument.split("=", 1) for argument in job["args"][2:])
    keep(cluster, named, environment(job)["SPARRING_HOSTS"])
    return cluster
