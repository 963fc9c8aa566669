"""A client that answers from memory, and an experiment to run on it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save
from sparring.errors import JobFailed
from sparring.v1.jobs_pb2 import Job, JobArtifact, JobResult, ResultRow

from reproductions.experiment import Bar, Experiment
from reproductions.lab import Lab


class FakeJobs:
    """Jobs by the id of the request; each succeeds at once unless its display name is among `fails`."""

    def __init__(self):
        self.by_request, self.created, self.retried, self.fails = {}, [], [], set()

    def create(self, request):
        self.created.append(request)
        if request.request_id not in self.by_request:
            job = Job(name=f"jobs/{len(self.by_request)}", display_name=request.display_name)
            self.by_request[request.request_id] = job
        return self.by_request[request.request_id]

    def retry(self, job):
        self.retried.append(job.name)
        job.state = Job.STATE_QUEUED
        return job

    def wait(self, job, *, check):
        assert check
        if job.display_name in self.fails:
            job.state = Job.STATE_FAILED
            job.error.message = "the pictures are of another shape"
            raise JobFailed(job)
        job.state = Job.STATE_SUCCEEDED
        rows = [ResultRow(attack="clean"), ResultRow(attack="fgsm", n=4)]
        artifacts = [JobArtifact(role="adversarial", artifact="artifacts/examples")]
        job.result.CopyFrom(JobResult(model="models/net", rows=rows, artifacts=artifacts))
        return job

    def artifact(self, job, role):
        return next(held for held in job.result.artifacts if held.role == role)


class FakeArtifacts:
    def read(self, artifact):
        assert artifact.artifact == "artifacts/examples"
        return save({"prediction": np.array([1, 1, 2, 3]), "label": np.array([0, 1, 2, 3])})


class FakeUploads:
    def __init__(self, kind):
        self.kind, self.uploads = kind, []

    def upload(self, *content, **settings):
        self.uploads.append((content, settings))
        return SimpleNamespace(name=f"{self.kind}/{len(self.uploads)}")


class FakeClient:
    def __init__(self):
        self.jobs, self.artifacts = FakeJobs(), FakeArtifacts()
        self.models, self.datasets = FakeUploads("models"), FakeUploads("datasets")


@pytest.fixture
def client():
    return FakeClient()


@pytest.fixture
def said():
    return []


@pytest.fixture
def lab(client, said, tmp_path):
    bars = (Bar(key="high", text="high enough"), Bar(key="long", text="long enough", quick=False))
    return Lab("trial", bars, client, tmp_path, quick=True, seed=3, say=said.append)


def run_of(lab):
    """What the experiment of these tests does: one training, one line, one bar."""
    model = lab.train("net", architecture="mlp")
    lab.row("a net", paper="90 %", ours=f"89 % of {model}", n=10, settings="as said")
    lab.bar("high", True, "89 %")


@pytest.fixture
def experiment():
    return Experiment(
        name="trial",
        title="A trial",
        papers=(("1412.6572", "Goodfellow and others"),),
        data="ten numbers",
        bars=(Bar(key="high", text="high enough"),),
        differs=("It is a trial.",),
        run=run_of,
    )
