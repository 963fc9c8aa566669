"""What one tenant's job fetches, puts or leaves in a worker is out of every other tenant's reach."""

from __future__ import annotations

import io

import numpy as np
import pytest
from google.rpc.status_pb2 import Status
from sparring.v1 import datasets_pb2, defenses_pb2, jobs_pb2
from torch import Tensor

from services.errors import NotFound
from services.jobs.states import State
from workers.data import builtin


def ended(bench, job: jobs_pb2.Job, name: str, tenant: str) -> tuple[State, Status]:
    bench.submit(job, name, tenant)
    bench.serve()
    record = bench.store.get(tenant, name)
    return record.state, Status.FromString(record.error)


def uploaded(bench, tenant: str) -> jobs_pb2.ResolvedData:
    """A hundred digits as arrays of this tenant."""
    digits = builtin("digits", "test").select(0, 100)
    arrays = [bench.artifacts.put(tenant, npy(tensor)) for tensor in (digits.x, digits.y)]
    return jobs_pb2.ResolvedData(
        dataset="own",
        source=datasets_pb2.DATASET_SOURCE_UPLOADED,
        images_sha256=arrays[0],
        labels_sha256=arrays[1],
        count=100,
        classes=10,
        input_shape=[1, 8, 8],
    )


def npy(tensor: Tensor) -> bytes:
    file = io.BytesIO()
    np.save(file, tensor.numpy())
    return file.getvalue()


def test_results_lie_with_the_tenant_alone(bench, make) -> None:
    state, error = ended(bench, make.attack(bench.model(tenant="vision")), "job", "vision")
    assert state is State.SUCCEEDED, error
    result = jobs_pb2.JobResult.FromString(bench.store.get("vision", "job").result)
    assert bench.file(result, "adversarial", "vision")
    for artifact in result.artifacts:
        for other in ("default", "speech"):
            with pytest.raises(NotFound):
                bench.artifacts.get(other, artifact.artifact.removeprefix("artifacts/"))


def test_a_model_that_the_worker_still_holds_is_not_lent_to_another_tenant(bench, make) -> None:
    """The digest is all that one would need to know, were it not for the tenant."""
    job = make.attack(bench.model(tenant="vision"))
    assert ended(bench, job, "own", "vision")[0] is State.SUCCEEDED
    state, error = ended(bench, job, "stolen", "speech")
    assert state is State.FAILED
    assert bench.said(error)[0] == "ARTIFACT_MISSING"


def test_samples_that_the_worker_still_holds_are_not_lent_to_another_tenant(bench, make) -> None:
    job = make.attack(bench.model(tenant="vision"))
    bench.model(tenant="speech")
    job.resolution.data.CopyFrom(uploaded(bench, "vision"))
    state, error = ended(bench, job, "own", "vision")
    assert state is State.SUCCEEDED, error
    state, error = ended(bench, job, "stolen", "speech")
    assert state is State.FAILED
    assert "the pictures" in bench.said(error)[1]


def test_a_checkpoint_is_the_tenant_s(bench, make, redis) -> None:
    job = make.training(defenses_pb2.Defense(standard=defenses_pb2.StandardTraining()))
    kept: list[bytes] = []

    def note(heartbeat):
        real = heartbeat.keep_checkpoint
        heartbeat.keep_checkpoint = lambda digest: kept.append(bench.artifacts.get("vision", digest)) or real(digest)
        return heartbeat

    bench.submit(job, "job", "vision")
    bench.serve(note)
    assert bench.store.get("vision", "job").state is State.SUCCEEDED
    assert len(kept) > 1
    assert all(key.startswith(b"{sparring}:a:vision:") for key in redis.keys("{sparring}:a:*"))
    assert bench.store.lookup("vision", "model", "mine")
    with pytest.raises(NotFound):
        bench.store.lookup("default", "model", "mine")
