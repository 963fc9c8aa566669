"""One attack, from the command to the commit, as one trace; and what all processes wrote meanwhile, without its key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from sparring.v1 import jobs_pb2, jobs_pb2_grpc

from services.local import LocalStack
from services.local.readiness import Probe
from services.telemetry import tree
from services.tenants.keys import hash_key, new_key

pytestmark = [pytest.mark.xdist_group("traced"), pytest.mark.slow]

KEY = new_key("ci")
SECRET = KEY.rpartition("_ci_")[2]
TENANTS = f"""
[tenants.vision]

[[tenants.vision.keys]]
id = "ci"
role = "admin"
sha256 = "{hash_key(KEY)}"
"""


@dataclass
class Traced:
    """A stack whose every process tells what it does, and the command that uses it."""

    stack: LocalStack
    file: Path
    environment: dict[str, str]

    def sparring(self, *words: str) -> str:
        """Run the command; what it said."""
        command = [sys.executable, "-c", "from services.cli import main; main()", *words]
        ran = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def job(self, *words: str) -> dict:
        """Run a command that makes a job and waits for its end; the job."""
        return json.loads(self.sparring(*words, "--wait", "--json"))

    def spans(self, trace: str, last: str) -> list[tree.Line]:
        """The spans of a trace, once the one named `last` is among them."""
        deadline = time.monotonic() + 30
        while True:
            found = [span for span in tree.read(self.file) if span["trace"] == trace]
            if any(span["name"] == last for span in found) and any(span["kind"] == "server" for span in found):
                return found
            assert time.monotonic() < deadline, [span["name"] for span in found]
            time.sleep(0.1)


@pytest.fixture(scope="module")
def traced(fast_folder: Path) -> Iterator[Traced]:
    """One worker, and a gateway that asks for keys."""
    folder = fast_folder / "traced"
    folder.mkdir()
    file, tenants = folder / "spans.jsonl", folder / "tenants.toml"
    tenants.write_text(TENANTS)
    telling = {"SPARRING_TRACES": f"file:{file}", "SPARRING_LOG_FORMAT": "json"}
    asking = {"SPARRING_TENANTS_FILE": str(tenants)}
    with LocalStack(
        1, folder / "stack", environment=telling, gateway_environment=asking, probe=Probe(key=KEY)
    ) as stack:
        mine = {"SPARRING_SERVER": stack.target, "SPARRING_KEY": KEY}
        yield Traced(stack, file, os.environ | telling | mine)


@pytest.fixture(scope="module")
def model(traced: Traced) -> str:
    """A tiny model."""
    data = ("--dataset", "mnist10k", "--count", "300", "--epochs", "1", "--evaluation-count", "100")
    traced.job("train", "standard", "--architecture", "wong_cnn", "--model-id", "net", *data)
    return "net"


@pytest.fixture(scope="module")
def attacked(traced: Traced, model: str) -> dict:
    """An attack of two shards."""
    return traced.job(
        *("attack", "fgsm", "--model", model, "--dataset", "mnist10k", "--epsilon", "0.2"),
        *("--count", "96", "--batch-size", "32", "--shard-size", "64"),
    )


def test_the_trace_of_one_attack_is_one_tree_through_client_gateway_queue_and_worker(
    traced: Traced, attacked: dict
) -> None:
    spans = traced.spans(attacked["trace"], "closing unit")
    (root,) = tree.roots(spans)
    below = {span["span"]: [one for one in spans if one["parent"] == span["span"]] for span in spans}
    assert (root["name"], root["service"]) == ("CreateJob", "sparring")
    (server,) = below[root["span"]]
    assert (server["name"], server["service"]) == ("sparring.v1.JobService/CreateJob", "sparring-gateway")
    hops = sorted(span["name"] for span in below[server["span"]])
    assert hops == ["closing unit", "queue", "queue", "queue", "unit", "unit"]
    for span in below[server["span"]]:
        assert span["service"] == "sparring-worker"
        assert span["attributes"].items() >= {"sparring.tenant": "vision", "sparring.attempt": 1}.items()
        assert span["attributes"]["sparring.job"] == attacked["name"].removeprefix("jobs/")
    parts = [{one["name"] for one in below[span["span"]]} for span in below[server["span"]] if span["name"] == "unit"]
    assert parts == [{"fetch model", "fetch data", "attack", "put artifact", "commit"}] * 2
    (closing,) = [span for span in below[server["span"]] if span["name"] == "closing unit"]
    assert {one["name"] for one in below[closing["span"]]} == {"report", "commit"}
    assert all(span["error"] is None for span in spans)


def test_its_times_fit_together(traced: Traced, attacked: dict) -> None:
    spans = traced.spans(attacked["trace"], "closing unit")
    known = {span["span"]: span for span in spans}
    # The store tells times in whole milliseconds.
    slack_ns = 2_000_000
    for span in spans:
        assert span["start_ns"] <= span["end_ns"]
        if span["parent"] in known:
            assert span["start_ns"] >= known[span["parent"]]["start_ns"] - slack_ns
    units = [span for span in spans if span["name"] in {"unit", "closing unit"}]
    for unit in units:
        (queue,) = [
            span
            for span in spans
            if span["name"] == "queue" and span["attributes"]["sparring.unit"] == unit["attributes"]["sparring.unit"]
        ]
        assert queue["end_ns"] <= unit["start_ns"] + slack_ns, "a unit is claimed before it is worked on"
        inside = [span for span in spans if span["parent"] == unit["span"]]
        assert all(unit["start_ns"] <= span["start_ns"] <= span["end_ns"] <= unit["end_ns"] for span in inside)
    closing = max(units, key=lambda span: span["start_ns"])
    assert closing["name"] == "closing unit"
    assert all(unit["end_ns"] <= closing["end_ns"] for unit in units)


def test_a_job_shows_its_trace(traced: Traced, attacked: dict) -> None:
    shown = traced.sparring("jobs", "get", attacked["name"])
    assert any(line.split() == ["trace", attacked["trace"]] for line in shown.splitlines()), shown


def test_no_process_tells_the_key_whatever_a_client_does_with_it(traced: Traced, attacked: dict) -> None:
    """The key comes as a name, as a filter, as a trace and as a method, and in every call as the key."""
    metadata = (("authorization", f"Bearer {KEY}"), ("traceparent", KEY), ("tracestate", KEY))
    with grpc.insecure_channel(traced.stack.target) as channel:
        jobs = jobs_pb2_grpc.JobServiceStub(channel)
        odd = channel.unary_unary(f"/sparring.v1.JobService/{KEY}", lambda raw: raw, lambda raw: raw)
        for call in (
            lambda: jobs.GetJob(jobs_pb2.GetJobRequest(name=f"jobs/{KEY}"), metadata=metadata),
            lambda: jobs.CancelJob(jobs_pb2.CancelJobRequest(name=KEY), metadata=metadata),
            lambda: jobs.ListJobs(jobs_pb2.ListJobsRequest(filter=KEY), metadata=metadata),
            lambda: jobs.DeleteJob(jobs_pb2.DeleteJobRequest(name="jobs/x"), metadata=[("authorization", KEY)]),
            lambda: odd(b"", metadata=metadata),
        ):
            with pytest.raises(grpc.RpcError):
                call()
    traced.job("attack", "fgsm", "--model", "net", "--dataset", "mnist10k", "--count", "32", "--display-name", KEY)
    written = "".join(path.read_text(errors="replace") for path in traced.stack.logs.iterdir())
    assert attacked["name"].removeprefix("jobs/") in written, "these are the logs"
    assert SECRET not in written
    assert SECRET not in traced.file.read_text()


def test_gateway_and_worker_log_one_object_a_line_that_says_what_it_is_about(traced: Traced, attacked: dict) -> None:
    job, lines = attacked["name"].removeprefix("jobs/"), []
    for path in traced.stack.logs.glob("*.log"):
        for line in path.read_text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                # The one line that tells callers the address, and Celery's warning of an almighty user.
                assert path.name == "worker-1.log" or line.startswith("listening on ")
    about = {line["process"]: line for line in lines if line.get("job") == job}
    assert about["gateway"].items() >= {"tenant": "vision", "trace": attacked["trace"]}.items()
    assert (
        about["worker"].items() >= {"tenant": "vision", "trace": attacked["trace"], "attempt": 1, "lane": "cpu"}.items()
    )
    assert {"unit", "token", "worker"} <= about["worker"].keys()
    assert "worker-parent" in {line["process"] for line in lines}
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
