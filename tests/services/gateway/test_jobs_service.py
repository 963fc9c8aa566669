"""JobService through a real gateway and a real store."""

import asyncio
import uuid

import pytest
from sparring.v1 import attacks_pb2, datasets_pb2, jobs_pb2

from services.jobs.record import Registration
from services.jobs.states import State

J = jobs_pb2.Job


def named(name, **fields):
    return {"name": name, **fields}


async def test_a_job_from_acceptance_to_result(stubs, attack, worker):
    attack.display_name = "first try"
    job = await stubs.jobs.CreateJob(attack)
    assert job.name.startswith("jobs/")
    assert (job.state, job.display_name, job.resolution.units) == (J.STATE_QUEUED, "first try", 3)
    assert job.attack.attack.fgsm.epsilon == 0.25, "defaults are filled in"
    assert job.waiting.reason == jobs_pb2.Waiting.REASON_NO_WORKER
    assert job.progress.units_total == 4

    worker.listen()
    waiting = (await stubs.jobs.GetJob(jobs_pb2.GetJobRequest(name=job.name))).waiting
    assert (waiting.reason, waiting.workers_listening) == (jobs_pb2.Waiting.REASON_STARTING, 1)

    lease = worker.claim()
    running = await stubs.jobs.GetJob(jobs_pb2.GetJobRequest(name=job.name))
    assert running.state == J.STATE_RUNNING
    assert running.HasField("start_time")
    assert running.etag != job.etag
    assert J.FromString(lease.spec).attack == job.attack, "a worker gets the resolved spec"

    worker.commit(lease)
    worker.finish_all(jobs_pb2.JobResult(rows=[jobs_pb2.ResultRow(n=600)]))
    done = await stubs.jobs.GetJob(jobs_pb2.GetJobRequest(name=job.name))
    assert (done.state, done.result.rows[0].n, done.progress.fraction) == (J.STATE_SUCCEEDED, 600, 1.0)
    assert done.HasField("end_time")


async def test_the_same_request_is_the_same_job(stubs, attack):
    attack.request_id = str(uuid.uuid4())
    first, second = await asyncio.gather(stubs.jobs.CreateJob(attack), stubs.jobs.CreateJob(attack))
    assert first.name == second.name
    assert len((await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest())).jobs) == 1


async def test_without_a_request_id_every_request_is_a_new_job(stubs, attack):
    assert (await stubs.jobs.CreateJob(attack)).name != (await stubs.jobs.CreateJob(attack)).name


async def test_another_request_under_the_same_id_is_refused(stubs, attack, refusal):
    attack.request_id = str(uuid.uuid4())
    await stubs.jobs.CreateJob(attack)
    attack.attack.seed = 5
    found = await refusal(stubs.jobs.CreateJob(attack))
    assert (found.code, found.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert set(found.fields) == {"request_id"}


async def test_a_repeated_request_is_answered_when_its_model_is_gone(stubs, attack, job_store, refusal):
    attack.request_id = str(uuid.uuid4())
    first = await stubs.jobs.CreateJob(attack)
    job_store.unregister("default", "model", "m")
    assert (await stubs.jobs.CreateJob(attack)).name == first.name
    attack.request_id = str(uuid.uuid4())
    found = await refusal(stubs.jobs.CreateJob(attack))
    assert (found.code, found.resource) == ("NOT_FOUND", "models/m")


async def test_a_dry_run_resolves_and_keeps_nothing(stubs, attack):
    attack.validate_only = True
    attack.display_name = "dry"
    job = await stubs.jobs.CreateJob(attack)
    assert (job.name, job.state, job.display_name) == ("", J.STATE_UNSPECIFIED, "dry")
    assert (job.resolution.units, job.attack.data.split) == (3, "test")
    assert not (await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest())).jobs


async def test_every_bad_field_comes_at_once_even_what_is_missing(stubs, attack, refusal):
    attack.attack.model = "models/nobody"
    attack.attack.data.offset = 1_000_000
    attack.attack.attack.fgsm.epsilon = 3
    attack.attack.execution.batch_size = 70_000
    found = await refusal(stubs.jobs.CreateJob(attack))
    assert (found.code, found.reason) == ("INVALID_ARGUMENT", "INVALID_FIELDS")
    assert set(found.fields) == {
        "attack.model",
        "attack.data.offset",
        "attack.attack.fgsm.epsilon",
        "attack.execution.batch_size",
    }


async def test_a_misspelt_dataset_is_guessed(stubs, attack, refusal):
    attack.attack.data.dataset = "datasets/mnist1k"
    found = await refusal(stubs.jobs.CreateJob(attack))
    assert (found.code, found.resource) == ("NOT_FOUND", "datasets/mnist1k")
    assert "did you mean 'mnist10k'" in found.message


async def test_a_training_leads_to_the_model_it_made(stubs, worker, refusal, model):
    training = jobs_pb2.CreateJobRequest(
        training=jobs_pb2.TrainingSpec(
            architecture="wong_cnn",
            data=datasets_pb2.DataSelection(dataset="mnist10k", count=100),
            evaluation_data=datasets_pb2.DataSelection(dataset="mnist10k", count=100),
            model_id="hardened",
        )
    )
    trained = await stubs.jobs.CreateJob(training)
    attack = jobs_pb2.CreateJobRequest(
        attack=jobs_pb2.AttackSpec(
            model=trained.name,
            data=datasets_pb2.DataSelection(dataset="mnist10k", count=100),
            attack=attacks_pb2.Attack(bim=attacks_pb2.Bim()),
        )
    )
    ready = (await stubs.models.GetModel(request_of_model(model))).SerializeToString()
    record = type(await stubs.models.GetModel(request_of_model(model))).FromString(ready)
    record.name = "models/hardened"
    registration = Registration(kind="model", id="hardened", record=record.SerializeToString())
    worker.finish_all(jobs_pb2.JobResult(model="models/hardened"), registration)
    job = await stubs.jobs.CreateJob(attack)
    assert job.resolution.models[0].name == "models/hardened"

    found = await refusal(stubs.jobs.CreateJob(training))
    assert set(found.fields) == {"training.model_id"}
    attack.attack.model = job.name
    found = await refusal(stubs.jobs.CreateJob(attack))
    assert (found.code, found.reason) == ("FAILED_PRECONDITION", "NOT_A_TRAINING")
    training.training.model_id = ""
    other = await stubs.jobs.CreateJob(training)
    await stubs.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=other.name))
    attack.attack.model = other.name
    found = await refusal(stubs.jobs.CreateJob(attack))
    assert (found.code, found.reason) == ("FAILED_PRECONDITION", "MODEL_NOT_READY")


def request_of_model(name):
    from sparring.v1 import models_pb2

    return models_pb2.GetModelRequest(name=name)


async def test_lists_come_newest_first_in_pages_and_filtered(stubs, attack, worker):
    names = [(await stubs.jobs.CreateJob(attack)).name for _ in range(5)]
    worker.claim()
    listed, token, pages = [], "", 0
    while pages == 0 or token:
        page = await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest(page_size=2, page_token=token))
        listed += page.jobs
        token = page.next_page_token
        pages += 1
    assert [job.name for job in listed] == names[::-1]
    assert pages == 3
    assert not any(job.HasField("resolution") for job in listed)
    assert {job.waiting.reason for job in listed[:4]} == {jobs_pb2.Waiting.REASON_NO_WORKER}

    running = await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest(filter="state = RUNNING"))
    assert [job.name for job in running.jobs] == names[:1]
    nothing = await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest(filter='create_time < "2020-01-01T00:00:00Z"'))
    assert not nothing.jobs


async def test_a_page_token_is_good_for_its_own_filter_only(stubs, attack, refusal):
    for _ in range(2):
        await stubs.jobs.CreateJob(attack)
    page = await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest(page_size=1))
    other = jobs_pb2.ListJobsRequest(page_size=1, page_token=page.next_page_token, filter="state = QUEUED")
    found = await refusal(stubs.jobs.ListJobs(other))
    assert (found.code, found.reason) == ("INVALID_ARGUMENT", "BAD_PAGE_TOKEN")


async def test_cancel_ends_a_job_that_waits_and_asks_one_that_runs(stubs, attack, worker, refusal):
    waiting, running = [await stubs.jobs.CreateJob(attack) for _ in range(2)]
    cancelled = await stubs.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=waiting.name))
    assert cancelled.state == J.STATE_CANCELLED
    assert (await stubs.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=waiting.name))).state == J.STATE_CANCELLED

    lease = worker.claim()
    stale = await refusal(stubs.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=running.name, etag=running.etag)))
    assert (stale.code, stale.reason) == ("ABORTED", "ETAG_MISMATCH")
    asked = await stubs.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=running.name))
    assert asked.state == J.STATE_CANCELLING
    worker.store.stopped(lease, "w1")
    assert (await stubs.jobs.GetJob(jobs_pb2.GetJobRequest(name=running.name))).state == J.STATE_CANCELLED


async def test_retry_queues_an_ended_job_again(stubs, attack, worker, refusal):
    job = await stubs.jobs.CreateJob(attack)
    retry = jobs_pb2.RetryJobRequest(name=job.name)
    found = await refusal(stubs.jobs.RetryJob(retry))
    assert (found.code, found.reason) == ("FAILED_PRECONDITION", "WRONG_STATE")
    await stubs.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=job.name))
    assert (await stubs.jobs.RetryJob(retry)).state == J.STATE_QUEUED
    worker.finish_all()
    assert (await refusal(stubs.jobs.RetryJob(retry))).code == "FAILED_PRECONDITION"


async def test_delete_forgets_an_ended_job(stubs, attack, refusal):
    job = await stubs.jobs.CreateJob(attack)
    delete = jobs_pb2.DeleteJobRequest(name=job.name)
    assert (await refusal(stubs.jobs.DeleteJob(delete))).code == "FAILED_PRECONDITION"
    await stubs.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=job.name))
    await stubs.jobs.DeleteJob(delete)
    found = await refusal(stubs.jobs.GetJob(jobs_pb2.GetJobRequest(name=job.name)))
    assert (found.code, found.resource) == ("NOT_FOUND", job.name)


async def test_a_full_store_takes_no_new_work(stubs, attack, redis, refusal):
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] + (100 << 10))
    try:
        await asyncio.sleep(1.1)  # how full it is, is asked once a second
        found = await refusal(stubs.jobs.CreateJob(attack))
    finally:
        redis.config_set("maxmemory", 0)
    assert (found.code, found.reason, found.retry) == ("RESOURCE_EXHAUSTED", "STORE_FULL", True)


async def follow(stubs, name, after=0, limit=None):
    found = []
    call = stubs.jobs.WatchJob(jobs_pb2.WatchJobRequest(name=name, after_event_id=after))
    async for response in call:
        found.append(response)
        if len(found) == limit:
            call.cancel()
            break
    return found


async def test_a_watcher_sees_every_event_once_whenever_it_joins(stubs, attack, worker):
    job = await stubs.jobs.CreateJob(attack)
    watching = asyncio.create_task(follow(stubs, job.name))
    early = await follow(stubs, job.name, limit=1)
    await asyncio.to_thread(worker.finish_all)
    seen = await asyncio.wait_for(watching, 10)
    assert [response.event_id for response in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].state_change.state == J.STATE_SUCCEEDED
    resumed = await follow(stubs, job.name, after=early[-1].event_id)
    assert early + resumed == seen
    assert await follow(stubs, job.name, after=seen[-1].event_id) == []


async def test_a_watcher_sees_the_second_life_of_a_job(stubs, attack, worker):
    job = await stubs.jobs.CreateJob(attack)
    await stubs.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=job.name))
    await stubs.jobs.RetryJob(jobs_pb2.RetryJobRequest(name=job.name))
    watching = asyncio.create_task(follow(stubs, job.name))
    await asyncio.to_thread(worker.finish_all)
    states = [r.state_change.state for r in await asyncio.wait_for(watching, 10) if r.HasField("state_change")]
    assert [State(state) for state in states] == [
        State.QUEUED,
        State.CANCELLED,
        State.QUEUED,
        State.RUNNING,
        State.SUCCEEDED,
    ]


@pytest.mark.parametrize(("after", "code"), [(-1, "INVALID_ARGUMENT"), (99, "OUT_OF_RANGE")])
async def test_a_watch_from_nowhere_is_refused(stubs, attack, refusal, after, code):
    job = await stubs.jobs.CreateJob(attack)
    assert (await refusal(follow(stubs, job.name, after=after))).code == code


async def test_an_intake_is_made_by_registering_only(stubs, refusal):
    assert set((await refusal(stubs.jobs.CreateJob(jobs_pb2.CreateJobRequest()))).fields) == {"spec"}
