"""How many workers KEDA is told to have: the chart's own query, answered by Prometheus for figures of an exporter."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .rendering import NAME, NAMESPACE

# Two exporters that tell of the same store, and another release's in another namespace.
SERIES = {
    ("cpu", "running"): 3, ("cpu", "ready"): 8, ("gpu", "running"): 1, ("gpu", "ready"): 0, ("any", "ready"): 4,
}  # fmt: skip


def promtool() -> str:
    binary = shutil.which("promtool", path=f"{os.environ['PATH']}:/usr/local/bin")
    if binary is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    return binary


def figures(counts: dict[tuple[str, str], int]) -> list[dict[str, str]]:
    told = [
        (f'namespace="{where}",instance="{instance}",lane="{lane}",state="{state}"', count * factor)
        for (lane, state), count in counts.items()
        for where, instance, factor in ((NAMESPACE, "one", 1), (NAMESPACE, "two", 1), ("elsewhere", "three", 100))
    ]
    return [{"series": f"sparring_units{{{labels}}}", "values": f"{count}x4"} for labels, count in told]


def answers(query: str, counts: dict[tuple[str, str], int], expected: list[float], folder: Path) -> None:
    """Have promtool compare; it knows JSON, as that is YAML."""
    samples = [{"labels": "{}", "value": value} for value in expected]
    test = {
        "interval": "1m",
        "input_series": figures(counts),
        "promql_expr_test": [{"expr": query, "eval_time": "2m", "exp_samples": samples}],
    }
    (folder / "test.json").write_text(json.dumps({"rule_files": [], "evaluation_interval": "1m", "tests": [test]}))
    command = [promtool(), "test", "rules", str(folder / "test.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def queries(releases) -> dict[str, str]:
    return {
        found["metadata"]["name"].removeprefix(f"{NAME}-worker-"): found["spec"]["triggers"][0]["metadata"]["query"]
        for found in releases["everything"].of("ScaledObject")
    }


@pytest.mark.parametrize(
    ("worker", "expected"),
    # One for each unit that runs; of those that are ready for this lane or for any, one for each 4, or 16.
    [("cpu", 3 + (8 + 4) / 4), ("gpu", 1 + (0 + 4) / 16)],
)
def test_there_is_a_worker_for_each_running_unit_and_some_for_the_ready_ones(queries, worker, expected, tmp_path):
    answers(queries[worker], SERIES, [expected], tmp_path)


def test_nothing_to_do_calls_for_nobody(queries, tmp_path):
    answers(queries["cpu"], dict.fromkeys(SERIES, 0), [0], tmp_path)


def test_no_figures_are_not_taken_for_zero(queries, tmp_path):
    answers(queries["cpu"], {}, [], tmp_path)


def test_a_missing_figure_takes_nobody_away(releases):
    for found in releases["everything"].of("ScaledObject"):
        spec = found["spec"]
        assert spec["triggers"][0]["metadata"]["ignoreNullValues"] == "false"
        assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
        down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
        assert down["stabilizationWindowSeconds"] >= 300
        assert all(policy["type"] == "Pods" and policy["value"] <= 2 for policy in down["policies"])
