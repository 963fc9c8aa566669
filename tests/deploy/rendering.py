"""Helm's output as objects, and the ways to ask it for pods, containers, variables and files."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "sparring"
EXAMPLES = ROOT / "deploy" / "helm" / "examples"
NAME, NAMESPACE = "demo", "robustness"
CASES: dict[str, tuple[str, ...]] = {
    "defaults": (),
    "everything": ("--values", str(EXAMPLES / "everything.yaml")),
    "external": ("--values", str(EXAMPLES / "external-redis.yaml")),
    "gpu": ("--values", str(EXAMPLES / "gpu.yaml")),
}
WITH_PODS = ("Deployment", "StatefulSet", "Job")

Object = dict[str, Any]


@dataclass(frozen=True)
class Release:
    """What one installation of the chart puts into a cluster."""

    objects: list[Object]

    def of(self, kind: str) -> list[Object]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        (found,) = (found for found in self.of(kind) if found["metadata"]["name"] == f"{NAME}-{name}")
        return found

    def with_pods(self) -> list[Object]:
        """Everything that has pods."""
        return [found for kind in WITH_PODS for found in self.of(kind)]

    def pods(self) -> dict[str, Object]:
        """A pod of everything that has pods, by its owner's name without that of the release."""
        return {
            found["metadata"]["name"].removeprefix(f"{NAME}-"): found["spec"]["template"] for found in self.with_pods()
        }


def containers(pod: Object) -> Iterator[Object]:
    """Every container of a pod, those that come first included."""
    yield from pod["spec"].get("initContainers", [])
    yield from pod["spec"]["containers"]


def container(pod: Object, name: str) -> Object:
    (found,) = (found for found in containers(pod) if found["name"] == name)
    return found


def environment(of: Object) -> dict[str, str]:
    """The variables of a container; none may be there twice."""
    given = [(variable["name"], variable["value"]) for variable in of.get("env", [])]
    assert len(dict(given)) == len(given), f"a variable of {of['name']} is set twice"
    return dict(given)


def files(pod: Object, of: Object) -> dict[str, tuple[str, str]]:
    """Every file that a container gets from a Secret by key: its path, the Secret and the key; * for all keys."""
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    found: dict[str, tuple[str, str]] = {}
    for mount in of["volumeMounts"]:
        # What is no volume of the pod is one of a claim that a StatefulSet makes.
        volume = volumes.get(mount["name"], {})
        sources = [source["secret"] for source in volume.get("projected", {}).get("sources", [])]
        for source in [volume["secret"]] if "secret" in volume else sources:
            secret = source.get("secretName", source.get("name"))
            for item in source.get("items", [{"key": "*", "path": "*"}]):
                found[f"{mount['mountPath']}/{item['path']}"] = (secret, item["key"])
    return found


def run_helm(helm: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(helm), *arguments], capture_output=True, text=True, check=False, timeout=120)


def render(helm: Path, *arguments: str) -> Release:
    """Render the chart; what Helm says of a failure is shown."""
    done = run_helm(helm, "template", NAME, str(CHART), "--namespace", NAMESPACE, *arguments)
    assert done.returncode == 0, done.stderr
    return Release([found for found in yaml.safe_load_all(done.stdout) if found is not None])
