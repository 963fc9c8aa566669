"""How long a job may take, and how large the model that it makes may be."""

import pytest
from sparring.v1 import datasets_pb2, jobs_pb2

J = jobs_pb2.Job


async def shown(stubs, name):
    return await stubs.jobs.GetJob(jobs_pb2.GetJobRequest(name=name))


async def test_limits_are_kept_and_followed(stubs, attack, job_store, until):
    attack.limits.queue_seconds = 1
    attack.limits.deadline_seconds = 3600.5
    job = await stubs.jobs.CreateJob(attack)
    assert job.limits == attack.limits
    record = job_store.get("default", job.name.removeprefix("jobs/"))
    assert (record.queue_ms, record.deadline_ms) == (1000, 3_600_500)
    assert record.giga_ops == pytest.approx(job.resolution.giga_ops, abs=0.001)

    async def over():
        return (await shown(stubs, job.name)).state == J.STATE_FAILED

    await until(over, 10)
    assert "QUEUE_TIME_EXCEEDED" in str((await shown(stubs, job.name)).error)


async def test_without_limits_there_are_none(stubs, attack, job_store):
    job = await stubs.jobs.CreateJob(attack)
    assert not job.HasField("limits")
    record = job_store.get("default", job.name.removeprefix("jobs/"))
    assert (record.queue_ms, record.deadline_ms) == (0, 0)


@pytest.mark.parametrize("value", [0, 0.5, -1, 31_536_001, float("nan"), float("inf")])
async def test_limits_beyond_their_range_are_refused(stubs, attack, refusal, value):
    attack.limits.deadline_seconds = value
    attack.limits.queue_seconds = value
    found = await refusal(stubs.jobs.CreateJob(attack))
    assert set(found.fields) == {"limits.deadline_seconds", "limits.queue_seconds"}


async def test_a_network_whose_weights_fit_no_artifact_is_refused(stubs, refusal):
    data = datasets_pb2.DataSelection(dataset="mnist10k", count=10)
    request = jobs_pb2.CreateJobRequest(
        training=jobs_pb2.TrainingSpec(architecture="vit_h_14", data=data, evaluation_data=data)
    )
    found = await refusal(stubs.jobs.CreateJob(request))
    assert found.code == "INVALID_ARGUMENT"
    assert "choose a smaller one" in found.fields["training.architecture"]
    request.training.architecture = "vit_l_16"
    assert (await refusal(stubs.jobs.CreateJob(request))).code == "OK"
