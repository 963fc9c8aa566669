"""`reuse`: a request for what has been computed already is answered with the job that did."""

import uuid

import pytest
from sparring.v1 import attacks_pb2, datasets_pb2, jobs_pb2, models_pb2

from services.gateway import reuse
from services.jobs.record import Registration

J = jobs_pb2.Job


@pytest.fixture
def result(artifact_store):
    """A result with one file."""
    sha256 = artifact_store.put("default", b"report")
    return jobs_pb2.JobResult(artifacts=[jobs_pb2.JobArtifact(role="report", artifact=f"artifacts/{sha256}")])


@pytest.fixture
async def done(stubs, attack, worker, result):
    """The job of that attack, done; the request asks for reuse from now on."""
    job = await stubs.jobs.CreateJob(attack)
    worker.finish_all(result)
    attack.reuse = True
    return job.name


async def test_the_same_content_is_the_same_job_at_once(stubs, attack, done):
    attack.display_name = "again, in other words"
    attack.limits.deadline_seconds = 60
    attack.attack.model = "m"
    attack.attack.attack.fgsm.epsilon = 0.25
    job = await stubs.jobs.CreateJob(attack)
    assert (job.name, job.state) == (done, J.STATE_SUCCEEDED)
    assert len((await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest())).jobs) == 1


async def test_without_reuse_it_is_a_new_job(stubs, attack, done):
    attack.reuse = False
    assert (await stubs.jobs.CreateJob(attack)).name != done


CHANGES = {
    "seed": lambda spec: setattr(spec, "seed", 1),
    "epsilon": lambda spec: setattr(spec.attack.fgsm, "epsilon", 0.1),
    "samples": lambda spec: setattr(spec.data, "offset", 1),
    "split": lambda spec: setattr(spec.data, "split", "train"),
    "batch": lambda spec: setattr(spec.execution, "batch_size", 8),
    "shard": lambda spec: setattr(spec.execution, "shard_size", 512),
    "lane": lambda spec: setattr(spec.execution, "device", jobs_pb2.DEVICE_CPU),
    "goal": lambda spec: spec.attack.goal.targeted.random.SetInParent(),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_another_content_is_a_new_job(stubs, attack, done, change):
    CHANGES[change](attack.attack)
    assert (await stubs.jobs.CreateJob(attack)).name != done


async def test_other_weights_under_the_same_name_are_another_content(stubs, attack, done, job_store):
    record = models_pb2.Model.FromString(job_store.lookup("default", "model", "m"))
    job_store.unregister("default", "model", "m")
    record.weights = f"artifacts/{'b' * 64}"
    job_store.register("default", Registration(kind="model", id="m", record=record.SerializeToString()))
    assert (await stubs.jobs.CreateJob(attack)).name != done


async def test_a_result_that_lacks_a_file_is_made_again(stubs, attack, done, artifact_store, result):
    artifact_store.delete("default", result.artifacts[0].artifact.removeprefix("artifacts/"))
    job = await stubs.jobs.CreateJob(attack)
    assert (job.name != done, job.state) == (True, J.STATE_QUEUED)


async def test_a_job_that_was_deleted_is_made_again(stubs, attack, done):
    await stubs.jobs.DeleteJob(jobs_pb2.DeleteJobRequest(name=done))
    assert (await stubs.jobs.CreateJob(attack)).name != done


async def test_what_other_code_computed_is_made_again(stubs, attack, done, monkeypatch):
    monkeypatch.setattr(reuse, "code", lambda: "0.2.0 other sources")
    assert (await stubs.jobs.CreateJob(attack)).name != done


async def test_a_result_by_a_worker_of_another_version_is_made_again(stubs, attack, worker, result):
    result.provenance["sparring"] = "0.0.1"
    first = await stubs.jobs.CreateJob(attack)
    worker.finish_all(result)
    attack.reuse = True
    assert (await stubs.jobs.CreateJob(attack)).name != first.name


async def test_a_training_is_found_although_its_model_has_the_id_that_it_asks_for(stubs, worker, refusal, job_store):
    data = datasets_pb2.DataSelection(dataset="mnist10k", count=100)
    spec = jobs_pb2.TrainingSpec(architecture="mlp", data=data, evaluation_data=data, model_id="hard")
    request = jobs_pb2.CreateJobRequest(training=spec, reuse=True)
    first = await stubs.jobs.CreateJob(request)
    made = Registration(kind="model", id="hard", record=b"", pins=("f" * 64,))
    worker.finish_all(jobs_pb2.JobResult(model="models/hard"), made)
    assert (await stubs.jobs.CreateJob(request)).name == first.name
    request.training.seed = 7
    assert set((await refusal(stubs.jobs.CreateJob(request))).fields) == {"training.model_id"}
    request.training.seed = 0
    job_store.unregister("default", "model", "hard")
    assert (await stubs.jobs.CreateJob(request)).name != first.name


async def test_a_repeated_request_gets_its_own_job_and_not_a_later_one_of_the_same_content(stubs, attack, worker):
    attack.reuse, attack.request_id = True, str(uuid.uuid4())
    mine = await stubs.jobs.CreateJob(attack)
    other = jobs_pb2.CreateJobRequest(attack=attack.attack)
    await stubs.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=mine.name))
    later = await stubs.jobs.CreateJob(other)
    worker.finish_all()
    assert (await stubs.jobs.CreateJob(attack)).name == mine.name
    attack.request_id = str(uuid.uuid4())
    assert (await stubs.jobs.CreateJob(attack)).name == later.name


async def test_what_waits_for_nothing_is_answered_even_where_others_would_be_waited_for(stubs, attack, done):
    slow = await stubs.jobs.CreateJob(jobs_pb2.CreateJobRequest(attack=attack.attack))
    attack.after.append(slow.name)
    assert (await stubs.jobs.CreateJob(attack)).name == done


def resolved(**changes):
    resolution = jobs_pb2.Resolution(data=jobs_pb2.ResolvedData(dataset="d"))
    return jobs_pb2.Job(attack=jobs_pb2.AttackSpec(**changes), resolution=resolution)


def test_plug_ins_and_mounted_folders_have_no_content():
    assert len(reuse.content(resolved())) == 64
    plugin = attacks_pb2.Attack(plugin=attacks_pb2.Plugin(name="own"))
    assert reuse.content(resolved(attack=plugin)) == ""
    curve = jobs_pb2.EpsilonCurve(attack=plugin)
    assert reuse.content(jobs_pb2.Job(evaluation=jobs_pb2.EvaluationSpec(curves=[curve]))) == ""
    for part in ("data", "evaluation_data"):
        mounted = resolved()
        getattr(mounted.resolution, part).source = datasets_pb2.DATASET_SOURCE_MOUNTED
        assert reuse.content(mounted) == ""


def test_the_code_is_the_version_and_the_sources_of_both_packages():
    version, digest = reuse.code().split()
    assert version
    assert len(digest) == 64
