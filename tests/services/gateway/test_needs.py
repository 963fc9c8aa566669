"""Jobs that ask for a class of device or for memory, through a real gateway."""

from __future__ import annotations

import grpc
import pytest
from sparring.v1 import attacks_pb2, catalog_pb2, datasets_pb2, jobs_pb2

from services.gateway import needs, reuse
from services.jobs.needs import Need, Offer
from services.jobs.record import WorkerRecord

GIB = 1 << 30
WAITING = jobs_pb2.Waiting
ASKED = {"device_class": "h100", "min_device_memory_gib": 40}


def requests(**asked):
    """One request of each kind that asks so."""
    data = datasets_pb2.DataSelection(dataset="mnist10k", count=100)
    fgsm = attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm())
    execution = jobs_pb2.Execution(**asked)
    attack = jobs_pb2.AttackSpec(model="m", data=data, attack=fgsm, execution=execution)
    evaluation = jobs_pb2.EvaluationSpec(models=["m"], data=data, attacks=[fgsm], execution=execution)
    training = jobs_pb2.TrainingSpec(architecture="wong_cnn", data=data, **asked)
    return {
        "attack": jobs_pb2.CreateJobRequest(attack=attack),
        "evaluation": jobs_pb2.CreateJobRequest(evaluation=evaluation),
        "training": jobs_pb2.CreateJobRequest(training=training),
        "poisoning": jobs_pb2.CreateJobRequest(
            poisoning=jobs_pb2.PoisoningSpec(architecture="mlp", data=data, **asked)
        ),
    }


def announce(store, name, lane="gpu", **device):
    store.announce(WorkerRecord(id=name, lane=lane, device_name="GPU", unit=None, last_seen_ms=0, **device), 15.0)


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("kind", ["attack", "evaluation", "training"])
async def test_what_a_job_asks_is_kept_with_it_and_only_a_device_that_has_it_is_given_its_units(stubs, job_store, kind):
    job = await stubs.jobs.CreateJob(requests(**ASKED)[kind])
    spec = getattr(job, kind)
    asked = spec if kind == "training" else spec.execution
    assert (asked.device_class, asked.min_device_memory_gib) == ("h100", 40)
    assert job_store.claim("1", "w", "gpu", 15_000, device_class="h100", memory_bytes=40 * GIB - 1) is None
    assert job_store.claim("2", "w", "gpu", 15_000, device_class="a100", memory_bytes=80 * GIB) is None
    assert job_store.claim("3", "w", "gpu", 15_000, device_class="h100", memory_bytes=40 * GIB) is not None


@pytest.mark.usefixtures("model")
async def test_a_job_that_nobody_fits_is_taken_and_says_what_there_is(stubs, job_store):
    request = requests(min_device_memory_gib=40)["attack"]
    request.attack.execution.device = jobs_pb2.DEVICE_GPU
    job = await stubs.jobs.CreateJob(request)
    assert job.waiting.message == (
        "no GPU worker has been heard of in the last 15 seconds; start one, or look at the workers' log"
    )
    for name in ("a", "b"):
        announce(job_store, name, memory_bytes=24 * GIB)
    job = await stubs.jobs.GetJob(jobs_pb2.GetJobRequest(name=job.name))
    assert (job.waiting.reason, job.waiting.workers_listening) == (WAITING.REASON_NO_WORKER, 0)
    assert job.waiting.message == (
        "no GPU worker has a device with 40 GiB or more; there are 2 GPU workers with 24 GiB; "
        "start one that has, or cancel the job and ask for less"
    )
    announce(job_store, "c", memory_bytes=80 * GIB)
    job = await stubs.jobs.GetJob(jobs_pb2.GetJobRequest(name=job.name))
    assert (job.waiting.reason, job.waiting.workers_listening) == (WAITING.REASON_STARTING, 1)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"device_class": "h100:80"}, "device_class"),
        ({"device_class": "a/b"}, "device_class"),
        ({"device_class": "h" * 64}, "device_class"),
        ({"min_device_memory_gib": 0}, "min_device_memory_gib"),
        ({"min_device_memory_gib": 1025}, "min_device_memory_gib"),
    ],
)
@pytest.mark.parametrize("kind", ["attack", "evaluation", "training", "poisoning"])
@pytest.mark.usefixtures("model")
async def test_what_no_device_can_have_is_refused_by_the_name_of_its_field(stubs, kind, asked, field):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stubs.jobs.CreateJob(requests(**asked)[kind])
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"{kind}.{'' if kind in {'training', 'poisoning'} else 'execution.'}{field}" in refused.value.details()


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("kind", ["attack", "evaluation", "training"])
async def test_what_is_asked_of_a_device_changes_neither_the_plan_nor_the_content(stubs, kind):
    plain, asking = requests()[kind], requests(**ASKED)[kind]
    plain.validate_only = asking.validate_only = True
    plain, asking = [await stubs.jobs.CreateJob(request) for request in (plain, asking)]
    assert plain != asking
    assert reuse.content(plain) == reuse.content(asking) != ""
    assert plain.resolution == asking.resolution
    needs.forget(asking)
    assert plain.SerializeToString(deterministic=True) == asking.SerializeToString(deterministic=True)


async def test_the_list_of_workers_tells_of_their_devices(stubs, job_store):
    announce(job_store, "a", device_class="h100", memory_bytes=79 * GIB)
    announce(job_store, "b", "cpu")
    info = await stubs.catalog.GetServerInfo(catalog_pb2.GetServerInfoRequest())
    told = {one.id: (one.device, one.device_name, one.device_class, one.memory_bytes) for one in info.workers}
    assert told == {"a": ("gpu", "GPU", "h100", 79 * GIB), "b": ("cpu", "GPU", "", 0)}


def test_why_nothing_fits_is_said_in_words():
    offers = [
        Offer(lane="gpu", device_class="a100", memory_gib=39, workers=1),
        Offer(lane="cpu", device_class="", memory_gib=0, workers=3),
    ]
    said = needs.unmet(Need(device_class="h100", memory_gib=40), "", offers)
    assert said == (
        "no worker has a device of class h100 with 40 GiB or more; there are 3 CPU workers with memory that is not "
        "known, 1 GPU worker of class a100 with 39 GiB; start one that has, or cancel the job and ask for less"
    )
    assert needs.unmet(Need(device_class="h100"), "GPU ", offers[:1]).startswith(
        "no GPU worker has a device of class h100; there is 1 GPU worker of class a100 with 39 GiB; "
    )
