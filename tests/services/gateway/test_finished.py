"""What is left of a job that did not succeed."""

import pytest
from sparring.v1 import datasets_pb2, jobs_pb2

J = jobs_pb2.Job


@pytest.fixture
def kept(worker, artifact_store):
    """Commit a unit whose file is there; return its digest."""

    def commit(lease):
        sha = artifact_store.put("default", b"unit %d" % lease.unit)
        worker.store.commit(lease, "w1", sha, {})
        return sha

    return commit


async def shown(stubs, name):
    return await stubs.jobs.GetJob(jobs_pb2.GetJobRequest(name=name))


async def test_finished_units_of_a_cancelled_attack_are_shown(stubs, attack, worker, kept, artifact_store):
    attack.attack.data.offset = 50
    job = await stubs.jobs.CreateJob(attack)
    assert (job.resolution.units, job.attack.execution.shard_size) == (3, 256)
    first, second, third = worker.claim(), worker.claim(), worker.claim()
    digests = [kept(first), kept(third)]
    assert not (await shown(stubs, job.name)).finished_units, "it still runs"
    await stubs.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=job.name))
    worker.store.stopped(second, "w1")
    ended = await shown(stubs, job.name)
    assert ended.state == J.STATE_CANCELLED
    assert [(u.unit, u.model, u.offset, u.count, u.artifact) for u in ended.finished_units] == [
        (0, "models/m", 50, 256, f"artifacts/{digests[0]}"),
        (2, "models/m", 50 + 512, 600 - 512, f"artifacts/{digests[1]}"),
    ]
    artifact_store.delete("default", digests[0])
    assert [u.unit for u in (await shown(stubs, job.name)).finished_units] == [2], "what is gone is not named"
    (listed,) = (await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest())).jobs
    assert not listed.finished_units
    again = await stubs.jobs.RetryJob(jobs_pb2.RetryJobRequest(name=job.name))
    assert not (await shown(stubs, again.name)).finished_units


async def test_finished_units_of_an_evaluation_name_their_models(stubs, model, twin, worker, kept):
    evaluation = jobs_pb2.EvaluationSpec(
        models=[model, twin],
        data=datasets_pb2.DataSelection(dataset="mnist10k", count=300),
        execution=jobs_pb2.Execution(batch_size=100, shard_size=200),
    )
    job = await stubs.jobs.CreateJob(jobs_pb2.CreateJobRequest(evaluation=evaluation))
    assert job.resolution.units == 4
    for _ in range(4):
        kept(worker.claim())
    closing = worker.claim()
    assert closing.closing
    worker.store.fail(closing, "w1", b"")
    ended = await shown(stubs, job.name)
    assert ended.state == J.STATE_FAILED
    assert [(u.unit, u.model, u.offset, u.count) for u in ended.finished_units] == [
        (0, model, 0, 200),
        (1, model, 200, 100),
        (2, twin, 0, 200),
        (3, twin, 200, 100),
    ]


async def test_a_job_that_succeeded_has_its_result_instead(stubs, attack, worker):
    job = await stubs.jobs.CreateJob(attack)
    worker.finish_all()
    assert not (await shown(stubs, job.name)).finished_units
