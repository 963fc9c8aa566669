"""Jobs that come after others, and jobs on models that trainings under way are to make, through a real gateway."""

import pytest
from google.rpc import error_details_pb2
from sparring.v1 import attacks_pb2, datasets_pb2, defenses_pb2, jobs_pb2, models_pb2

from services.gateway.options import Options
from services.gateway.server import Gateway
from services.jobs.record import Registration
from services.settings import GatewaySettings

J = jobs_pb2.Job
WEIGHTS = "f" * 64


def training(model_id="", **fields):
    data = datasets_pb2.DataSelection(dataset="mnist10k", count=100)
    given = {"architecture": "wong_cnn", "data": data, "evaluation_data": data, "model_id": model_id} | fields
    return jobs_pb2.CreateJobRequest(training=jobs_pb2.TrainingSpec(**given))


def attack_on(model, **more):
    spec = jobs_pb2.AttackSpec(
        model=model,
        data=datasets_pb2.DataSelection(dataset="mnist10k", count=600),
        attack=attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm()),
    )
    return jobs_pb2.CreateJobRequest(attack=spec, **more)


def finish_training(worker, model_id):
    """Play the worker of a training to its end; the model has the signature that its spec says."""
    made = Registration(kind="model", id=model_id, record=models_pb2.Model().SerializeToString(), pins=(WEIGHTS,))
    worker.finish_all(jobs_pb2.JobResult(model=f"models/{model_id}"), made)


async def get(stubs, job):
    return await stubs.jobs.GetJob(jobs_pb2.GetJobRequest(name=job.name))


@pytest.mark.parametrize("named_by", ["job", "model_id"])
async def test_a_job_on_a_model_to_be_made_is_planned_at_once_and_pinned_when_it_is_there(stubs, worker, named_by):
    trained = await stubs.jobs.CreateJob(training("hardened", mean=[0.1], std=[0.3]))
    job = await stubs.jobs.CreateJob(attack_on(trained.name if named_by == "job" else "models/hardened"))
    assert (job.state, job.resolution.units, list(job.after)) == (J.STATE_QUEUED, 3, [trained.name])
    assert (job.waiting.reason, list(job.waiting.jobs)) == (jobs_pb2.Waiting.REASON_DEPENDENCY, [trained.name])
    assert trained.name in job.waiting.message
    (model,) = job.resolution.models
    assert (model.name, model.weights_sha256, model.defense) == (trained.name, "", "standard")
    assert (model.signature.architecture, list(model.signature.mean)) == ("wong_cnn", [0.1])
    assert job.resolution.giga_ops > 0

    finish_training(worker, "hardened")
    ready = await get(stubs, job)
    assert ready.waiting.reason == jobs_pb2.Waiting.REASON_NO_WORKER
    (pinned,) = ready.resolution.models
    assert (pinned.name, pinned.weights_sha256) == ("models/hardened", WEIGHTS)
    assert (pinned.signature, pinned.defense) == (model.signature, model.defense)
    seen = J.FromString(worker.claim().spec)
    assert seen.resolution == ready.resolution
    assert (seen.attack, seen.after) == (job.attack, job.after)


async def test_an_evaluation_waits_for_all_that_it_compares_and_a_training_for_where_it_starts(stubs, worker, model):
    one = await stubs.jobs.CreateJob(training())
    two = await stubs.jobs.CreateJob(training(architecture="", initial_model=one.name))
    assert (two.training.architecture, two.resolution.models[0].signature.architecture) == ("wong_cnn", "wong_cnn")
    data = datasets_pb2.DataSelection(dataset="mnist10k", count=100)
    spec = jobs_pb2.EvaluationSpec(models=[two.name, model, one.name], data=data)
    job = await stubs.jobs.CreateJob(jobs_pb2.CreateJobRequest(evaluation=spec))
    assert list(job.after) == [two.name, one.name]
    finish_training(worker, "one")
    assert (await get(stubs, job)).waiting.jobs == [two.name]
    finish_training(worker, "two")
    names = [pinned.name for pinned in (await get(stubs, job)).resolution.models]
    assert names == ["models/two", model, "models/one"]


async def test_what_comes_after_a_job_that_fails_says_where_it_began(stubs, worker, attack):
    first = await stubs.jobs.CreateJob(attack)
    attack.after.append(first.name)
    second = await stubs.jobs.CreateJob(attack)
    attack.after[:] = [second.name, first.name, second.name]
    third = await stubs.jobs.CreateJob(attack)
    assert list(third.after) == [second.name, first.name]
    await stubs.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=first.name))
    for job in (second, third):
        ended, info = await get(stubs, job), error_details_pb2.ErrorInfo()
        assert ended.state == J.STATE_FAILED
        assert ended.error.details[0].Unpack(info)
        assert (info.reason, info.metadata["root"]) == ("DEPENDENCY_FAILED", first.name)


async def test_every_name_of_after_is_checked(stubs, attack, refusal):
    attack.after.extend(["models/m", "jobs/", *(f"jobs/{number}" for number in range(15))])
    found = await refusal(stubs.jobs.CreateJob(attack))
    assert {"after", "after[0]", "after[1]"} <= set(found.fields)
    attack.after[:] = ["jobs/nobody"]
    found = await refusal(stubs.jobs.CreateJob(attack))
    assert (found.code, found.resource) == ("NOT_FOUND", "jobs/nobody")


async def test_nothing_comes_after_what_did_not_succeed(stubs, attack, refusal):
    first = await stubs.jobs.CreateJob(attack)
    await stubs.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=first.name))
    attack.after.append(first.name)
    found = await refusal(stubs.jobs.CreateJob(attack))
    assert (found.code, found.reason) == ("FAILED_PRECONDITION", "DEPENDENCY_FAILED")


async def test_a_repeated_request_is_the_same_job_before_and_after_its_training_ends(stubs, worker):
    trained = await stubs.jobs.CreateJob(training("m1"))
    request = attack_on(trained.name, request_id="8a0b1c4e-0000-4000-8000-000000000001")
    first = await stubs.jobs.CreateJob(request)
    assert (await stubs.jobs.CreateJob(request)).name == first.name
    finish_training(worker, "m1")
    assert (await stubs.jobs.CreateJob(request)).name == first.name
    assert len((await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest())).jobs) == 2


async def test_a_dry_run_of_what_would_wait_is_resolved_and_not_kept(stubs):
    trained = await stubs.jobs.CreateJob(training())
    job = await stubs.jobs.CreateJob(attack_on(trained.name, validate_only=True))
    assert (job.name, list(job.after), job.resolution.units) == ("", [trained.name], 3)


async def test_the_model_that_is_to_be_made_is_checked_like_one_that_is_there(stubs, refusal):
    trained = await stubs.jobs.CreateJob(training(defense=defenses_pb2.Defense(trades=defenses_pb2.Trades())))
    request = attack_on(trained.name)
    request.attack.data.dataset = "digits"
    request.attack.data.count = 10
    assert "inputs of 1x28x28" in (await refusal(stubs.jobs.CreateJob(request))).fields["attack.model"]


async def test_a_gateway_that_comes_in_between_knows_who_waits(stubs, worker, attack, store_settings):
    first = await stubs.jobs.CreateJob(attack)
    attack.after.append(first.name)
    second = await stubs.jobs.CreateJob(attack)
    other = Gateway(GatewaySettings(store_settings, listen="127.0.0.1:0", max_samples=5000), Options(drain_s=0))
    await other.start()
    try:
        assert (await get(stubs, second)).waiting.reason == jobs_pb2.Waiting.REASON_DEPENDENCY
        worker.finish_all()
        assert f"jobs/{worker.claim().job_id}" == second.name
    finally:
        await other.stop()
