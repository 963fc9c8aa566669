"""values.yaml, its schema and its page: what is misspelt is refused, what can't work says why."""

import copy
import json
import re
from typing import Any

import jsonschema
import pytest
import yaml

from tools import chart

from .rendering import CHART, EXAMPLES, NAME, ROOT, container, environment, run_helm

DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
CHECK = jsonschema.Draft202012Validator(SCHEMA)
# Maps whose keys are the user's own.
FREE = ("annotations", "extraEnv", "nodeSelector", "names", "labels", "podMonitorLabels", "requests", "limits")


def leaves(tree: Any, path: tuple[str, ...] = ()):
    """The paths of all values: whatever is no map, and empty maps."""
    if not isinstance(tree, dict) or not tree:
        yield path
        return
    for key, below in tree.items():
        yield from leaves(below, (*path, key))


def checked() -> list[tuple[str, ...]]:
    """The paths whose last part is a word of ours, and not one of the user's."""
    return [path for path in leaves(DEFAULTS) if not any(part in FREE for part in path[:-1])]


def misspelt(path: tuple[str, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(DEFAULTS)
    below = changed
    for part in path[:-1]:
        below = below[part]
    below[f"{path[-1]}x"] = below.pop(path[-1])
    return changed


def test_the_defaults_and_the_examples_are_taken():
    assert CHECK.is_valid(DEFAULTS)
    for example in EXAMPLES.glob("*.yaml"):
        CHECK.validate(yaml.safe_load(example.read_text()))


@pytest.mark.parametrize("path", [path for path in checked() if path != ("workers", "cpu")], ids=".".join)
def test_a_misspelt_value_is_refused(path):
    assert not CHECK.is_valid(misspelt(path))


def test_helm_refuses_it_too_and_names_it(helm):
    done = run_helm(helm, "template", NAME, str(CHART), "--set", "gateway.replica=3")
    assert done.returncode != 0
    assert "replica" in done.stderr
    assert run_helm(helm, "lint", "--strict", str(CHART), "--set", "workers.cpu.lanes=gpu").returncode != 0


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ("redis.enabled=false", "redis.external.url is needed"),
        ("workers.cpu.scaling.enabled=true", "keda.prometheus is needed"),
        ("gateway.drainSeconds=20", "terminationGracePeriodSeconds must be at least"),
        ("workers.gpu.enabled=true,workers.gpu.processes=2", "must be 2"),
        ("workers.cpu.lane=gpu", "workers.cpu: lane gpu takes one GPU"),
        ("console.ingress.enabled=true", "console.hosts must name"),
    ],
)
def test_what_can_t_work_says_why(helm, values, says):
    done = run_helm(helm, "template", NAME, str(CHART), "--set", values)
    assert done.returncode != 0
    assert says in done.stderr


def test_the_page_lists_every_value_once_with_its_default():
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| (.+) \|$", chart.page(), re.MULTILINE)
    listed = {tuple(name.split(".")): yaml.safe_load(text) for name, text, _ in rows}
    assert len(listed) == len(rows)
    assert all(len(comment) > 10 for _, _, comment in rows)
    found: dict[Any, Any] = {}
    for path, value in listed.items():
        below = found
        for part in path[:-1]:
            below = below.setdefault(part, {})
        below[path[-1]] = value
    assert found == DEFAULTS


def test_a_class_of_workers_has_whatever_it_does_not_say_from_the_defaults(releases):
    pods = releases["everything"].pods()
    pairs = container(pods["worker-gpu-pairs"], "worker")
    assert environment(pairs)["SPARRING_PROCESSES"] == "2"
    assert pairs["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in pairs["volumeMounts"]
    assert pods["worker-gpu"]["spec"]["nodeSelector"] == {"accelerator": "h100"}
    assert pods["worker-gpu"]["spec"]["runtimeClassName"] == "nvidia"
    assert "nodeSelector" not in pods["worker-cpu"]["spec"]


def test_our_images_are_found_in_the_registry_that_is_named(helm, releases):
    pods = releases["everything"].pods()
    assert container(pods["gateway"], "gateway")["image"] == "registry.example.org/team/sparring/gateway:1.2.3"
    assert container(pods["redis"], "redis")["image"] == "redis:7.4-bookworm"
    assert pods["gateway"]["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    chosen = "image.registry=r.example.org,gateway.image=localhost:5000/gateway@sha256:0f"
    done = run_helm(helm, "template", NAME, str(CHART), "--set", chosen)
    assert 'image: "localhost:5000/gateway@sha256:0f"' in done.stdout
    assert 'image: "r.example.org/sparring/worker:' in done.stdout


def test_the_chart_has_the_program_s_version():
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'version = "{described["appVersion"]}"' in (ROOT / "pyproject.toml").read_text()


def test_whoever_installs_it_is_told_what_to_do_next(helm):
    done = run_helm(helm, "install", NAME, str(CHART), "--dry-run=client", "--namespace", "robustness")
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    for word in (
        "rollout status",
        "first-key",
        "sparring whoami",
        "port-forward service/demo-console",
        "workers.cpu.replicas=4",
    ):
        assert word in notes
    assert '{{index .data "ca.pem" | base64decode}}' in notes
