"""A real Prometheus scrapes a real stack that runs jobs: every panel and every alert gets data.

SPARRING_SYSTEM_MUST_RUN=1    fail instead of skip where there is no `prometheus` (.ci/run)
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import sparring
import yaml
from sparring.v1 import jobs_pb2

from services.local import LocalStack
from services.local.launch import free_ports
from services.telemetry.metrics import METRICS, UNITS

from .description import FOLDER, measured, queries, rules

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

# What a second's scrapes leave of Grafana's own variable.
RATE = "20s"


@contextmanager
def program(command: list[str], log: Path, **environment: str) -> Iterator[None]:
    """A process for as long as the block lasts."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


class Prometheus:
    """A Prometheus to ask."""

    def __init__(self, port: int, stack: LocalStack) -> None:
        self._address = f"http://127.0.0.1:{port}/api/v1"
        self.stack = stack

    def get(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self._address}/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]

    def values(self, query: str) -> list[float]:
        return [float(sample["value"][1]) for sample in self.get("query", query=query)["result"]]

    def wait(self, true: Callable[[], bool], what: str, timeout_s: float = 120.0) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if true():
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, f"not after {timeout_s:.0f} s: {what}"
            time.sleep(0.3)


@pytest.fixture(scope="module")
def binary() -> str:
    found = shutil.which("prometheus")
    if found is None and os.environ.get("SPARRING_SYSTEM_MUST_RUN") == "1":
        pytest.fail("the system tests must run, but there is no prometheus (Debian package prometheus)")
    if found is None:
        pytest.skip("there is no prometheus")
    return found


def configuration(folder: Path, targets: dict[str, int]) -> Path:
    """deploy/observability/prometheus.yml with the same jobs at fixed addresses, and a scrape every second."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(FOLDER / "alerts.yml")]
    for job in config["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def prometheus(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that has seen a training, two attacks and an upload, scraping on."""
    folder = tmp_path_factory.mktemp("prometheus")
    *ports, own = free_ports(0, 4)
    targets = dict(zip(("sparring-gateway", "sparring-worker", "sparring-exporter"), ports, strict=True))

    def listen(job: str) -> dict[str, str]:
        return {"SPARRING_METRICS_LISTEN": f"127.0.0.1:{targets[job]}"}

    stack = LocalStack(
        workers=1,
        data_dir=folder / "data",
        gateway_environment=listen("sparring-gateway"),
        worker_environment=listen("sparring-worker"),
    )
    config = configuration(folder, targets)
    scrape = [binary, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    scrape += [f"--web.listen-address=127.0.0.1:{own}", "--storage.tsdb.retention.time=1h"]
    with ExitStack() as running:
        running.enter_context(stack)
        exporter = [sys.executable, "-m", "services.exporter"]
        told = stack.store_environment | listen("sparring-exporter")
        running.enter_context(program(exporter, folder / "exporter.log", **told))
        running.enter_context(program(scrape, folder / "prometheus.log"))
        asked = Prometheus(own, stack)
        asked.wait(lambda: len(asked.values("up == 1")) == 3, "three targets are up")
        work(stack.target)
        seen = 'sum(max by (kind) (sparring_jobs_ended_total{state="SUCCEEDED"})) >= 3'
        asked.wait(lambda: asked.values(seen) != [], "the jobs have been seen")
        # Rates need what came before and after.
        time.sleep(3)
        yield asked


def work(target: str) -> None:
    """A training, an attack, and the same attack again; an upload and a download; a watch."""
    with sparring.connect(target) as client:
        trained = client.train("mnist10k", architecture="softmax_regression", count=600, epochs=2, model_id="net")
        made = client.jobs.wait(trained, timeout_s=120, check=True)
        for epsilon in (0.1, 0.2):
            job = client.attack(made.result.model, "mnist10k", f"fgsm:epsilon={epsilon}")
            done = client.jobs.wait(job, timeout_s=120, check=True)
        assert done.state == jobs_pb2.Job.STATE_SUCCEEDED
        client.artifacts.read(client.jobs.artifact(done, "report").artifact)
        client.artifacts.upload(bytes(3000))


@pytest.mark.parametrize(("title", "query"), queries(), ids=lambda text: text[:60])
def test_every_query_of_every_panel_returns_data(prometheus: Prometheus, title: str, query: str) -> None:
    assert prometheus.values(query.replace("$__rate_interval", RATE)), title


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_has_something_to_compare_with_its_threshold(prometheus: Prometheus, rule: dict[str, Any]) -> None:
    assert prometheus.values(measured(rule))


def test_prometheus_has_taken_every_rule_and_none_fires_on_a_healthy_stack(prometheus: Prometheus) -> None:
    taken = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in taken} == {rule["alert"] for rule in rules()}
    assert {rule["health"] for rule in taken} == {"ok"}
    assert [rule["name"] for rule in taken if rule["state"] == "firing"] == []


def test_the_numbers_are_those_of_what_was_done(prometheus: Prometheus) -> None:
    def of(query: str) -> float:
        (value,) = prometheus.values(query)
        return value

    assert of('sum(sparring_jobs{state="SUCCEEDED"})') == 3
    assert of('sparring_jobs_submitted_total{kind="attack"}') == 2
    assert of('sparring_job_run_seconds_count{kind="training"}') == 1
    assert of(f"sum({UNITS})") == 0
    assert of("sum(sparring_workers)") == of("sum(sparring_worker_info)") == 1
    assert of('sparring_gateway_requests_total{method="JobService.CreateJob", code="OK"}') == 3
    committed = of('sum(sparring_units_ended_total{outcome="committed"})')
    assert of('sum(sparring_worker_units_total{outcome=~"committed|finished"})') == committed
    assert of("sparring_worker_busy_seconds_total") > 0
    assert of("sparring_artifact_bytes") > 10_000


def test_every_series_of_ours_is_in_the_table(prometheus: Prometheus) -> None:
    names = [name for name in prometheus.get("label/__name__/values") if name.startswith("sparring_")]
    bare = set(METRICS) | {f"{name}_{end}" for name in METRICS for end in ("bucket", "count", "sum")}
    assert set(names) <= bare
    assert len(names) > 50


def test_a_worker_whose_child_was_killed_is_asked_again_at_the_same_port(prometheus: Prometheus) -> None:
    started = 'process_start_time_seconds{job="sparring-worker"}'
    (before,) = prometheus.values(started)
    children = psutil.Process(prometheus.stack.pid("worker-1")).children(recursive=True)
    # The one with torch, beside the few helpers that Celery starts.
    max(children, key=lambda child: child.memory_info().rss).kill()
    prometheus.wait(lambda: [value for value in prometheus.values(started) if value > before] != [], "another child")
