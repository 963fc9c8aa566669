"""What somebody does who has only the README: its Python quickstart, and a client that knows nothing but reflection."""

from __future__ import annotations

import re
import time
from pathlib import Path

from grpc_requests import Client
from sparring.v1 import jobs_pb2

README = Path(__file__).resolve().parents[2] / "README.md"
SERVICES = {"JobService", "ModelService", "DatasetService", "ArtifactService", "CatalogService"}


def test_a_generic_reflection_client_runs_an_fgsm_job(stack, api) -> None:
    """Given nothing but the address, grpc-requests lists the services and runs a job to its end."""
    trained = api.run(jobs_pb2.TrainingSpec(architecture="softmax_regression", data={"dataset": "digits"}))
    client = Client.get_by_endpoint(stack.target)
    assert {f"sparring.v1.{name}" for name in SERVICES} <= set(client.service_names)
    spec = {"model": trained.name, "data": {"dataset": "digits"}, "attack": {"fgsm": {"epsilon": 0.3}}}
    job = client.request("sparring.v1.JobService", "CreateJob", {"attack": spec})
    deadline = time.monotonic() + 60
    while "end_time" not in job:
        assert time.monotonic() < deadline, job
        time.sleep(0.1)
        job = client.request("sparring.v1.JobService", "GetJob", {"name": job["name"]})
    assert job["state"] == "STATE_SUCCEEDED"
    clean, fgsm = job["result"]["rows"]
    assert fgsm["attack"] == "fgsm"
    assert fgsm.get("robust_accuracy", {}).get("value", 0.0) < clean["clean_accuracy"]["value"]


def test_the_quickstart_in_python_runs_as_written(stack, tmp_path, monkeypatch, capsys) -> None:
    """The README's Python block, with nothing changed but the address."""
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(block.replace("127.0.0.1:50051", stack.target), "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["clean", "fgsm"]
    assert (tmp_path / "adversarial.safetensors").stat().st_size > 2000 * 784 * 4
