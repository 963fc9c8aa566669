"""PreviewService: what it refuses, whom it asks, and how it says that nobody answered."""

import asyncio
import struct
import threading
from collections.abc import Callable

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from sparring.v1 import attacks_pb2, models_pb2, preview_pb2, preview_pb2_grpc

from services.connection import connect
from services.gateway import previews
from services.gateway.options import Options
from services.gateway.server import Gateway
from services.jobs.previews import PreviewBoard
from services.jobs.record import Registration
from services.settings import GatewaySettings

Request = preview_pb2.PreviewAttackRequest
FGSM = attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm(epsilon=0.1))
GREY = preview_pb2.Picture(shape=[1, 28, 28], uint8=bytes(784))
SEVENTH = preview_pb2.SampleName(dataset="mnist10k", index=7)


class Answering:
    """A worker that answers previews without computing them; keeps the tasks that it was given."""

    def __init__(self, settings, make: Callable[[preview_pb2.PreviewTask], preview_pb2.PreviewAnswer]):
        self.tasks, self._make = [], make
        self._left = threading.Event()
        self._redis, self._blocking = connect(settings), connect(settings, blocking=True)
        self._board = PreviewBoard(self._redis, self._blocking, "w")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._left.is_set():
            posted = self._board.wait_awake(0.2)
            if posted is not None:
                task = preview_pb2.PreviewTask.FromString(posted.task)
                self.tasks.append(task)
                self._board.answer(task.id, task.tenant, self._make(task).SerializeToString())

    def stop(self):
        self._left.set()
        self._thread.join()
        self._redis.close()
        self._blocking.close()


@pytest.fixture
def play(store_settings, worker):
    """Start such a worker."""
    worker.listen()
    running = []

    def start(make):
        running.append(Answering(store_settings, make))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
async def asked(gateway):
    """The service's stub."""
    async with grpc.aio.insecure_channel(gateway) as channel:
        yield preview_pb2_grpc.PreviewServiceStub(channel)


def attacked(task):
    shown = preview_pb2.PreviewAttackResponse(seconds=0.5, attack=task.attack.attack)
    return preview_pb2.PreviewAnswer(attack=shown)


async def test_a_worker_is_handed_pinned_models_data_and_an_attack_with_its_defaults(asked, play, model, twin):
    worker = play(attacked)
    request = Request(models=[model, "twin"], sample=SEVENTH, attack=FGSM, seed=3)
    assert (await asked.PreviewAttack(request)).seconds == 0.5
    (task,) = worker.tasks
    assert (task.tenant, task.attack.seed) == ("default", 3)
    assert [one.name for one in task.models] == [model, twin]
    assert all(len(one.weights_sha256) == 64 for one in task.models)
    assert (task.data.dataset, task.data.split, task.data.offset, task.data.count) == ("mnist10k", "test", 7, 1)
    assert task.attack.attack.fgsm.norm == attacks_pb2.NORM_LINF
    assert task.attack.attack.goal.HasField("untargeted")


async def test_a_drawn_picture_goes_with_the_request_and_no_data(asked, play, model):
    worker = play(attacked)
    await asked.PreviewAttack(Request(models=[model], drawn=GREY, label=3))
    assert worker.tasks[0].attack.drawn == GREY
    assert not worker.tasks[0].HasField("data")


async def test_samples_are_as_many_as_there_are_and_as_go_into_an_answer(asked, play, worker):
    def listed(task):
        return preview_pb2.PreviewAnswer(samples=preview_pb2.ListSamplesResponse())

    hand = play(listed)
    found = await asked.ListSamples(preview_pb2.ListSamplesRequest(dataset="mnist10k"))
    assert (found.split, found.total) == ("test", 2000)
    await asked.ListSamples(preview_pb2.ListSamplesRequest(dataset="mnist10k", offset=1990, count=64))
    await asked.ListSamples(preview_pb2.ListSamplesRequest(dataset="imagenet20", count=20))
    counts = [(task.data.offset, task.data.count) for task in hand.tasks]
    assert counts == [(0, 16), (1990, 10), (0, (2 << 20) // (3 * 224 * 224))]


async def test_every_bad_field_is_named_at_once(asked, refusal):
    floats = struct.pack("<4f", 0, 0.5, float("nan"), 1)
    request = Request(
        models=["jobs/x", "m", "n"],
        drawn=preview_pb2.Picture(shape=[1, 2, 2], float32=floats),
        attack=attacks_pb2.Attack(pgd=attacks_pb2.Pgd(epsilon=2, steps=0)),
    )
    found = await refusal(asked.PreviewAttack(request))
    assert found.code == "INVALID_ARGUMENT"
    assert set(found.fields) == {"models", "models[0]", "drawn.float32", "attack.pgd.epsilon", "attack.pgd.steps"}
    found = await refusal(asked.PreviewAttack(Request(models=["m"], sample={"index": -1}, label=1)))
    assert set(found.fields) == {"sample.dataset", "sample.index", "label"}
    found = await refusal(asked.ListSamples(preview_pb2.ListSamplesRequest(dataset="no such", offset=-1, count=65)))
    assert set(found.fields) == {"dataset", "offset", "count"}


@pytest.mark.parametrize(
    ("drawn", "field"),
    [
        ({"shape": [28, 28], "uint8": bytes(784)}, "drawn.shape"),
        ({"shape": [1, 0, 28], "uint8": b""}, "drawn.shape"),
        ({"shape": [3, 257, 256], "uint8": b""}, "drawn.shape"),
        ({"shape": [1, 28, 28]}, "drawn"),
        ({"shape": [1, 28, 28], "uint8": bytes(783)}, "drawn.uint8"),
        ({"shape": [1, 28, 28], "float32": bytes(784)}, "drawn.float32"),
        ({"shape": [1, 1, 1], "float32": struct.pack("<f", 1.5)}, "drawn.float32"),
        ({"shape": [1, 8, 8], "uint8": bytes(64)}, "drawn.shape"),
    ],
)
async def test_a_picture_that_is_none_is_refused(asked, refusal, model, drawn, field):
    found = await refusal(asked.PreviewAttack(Request(models=[model], drawn=preview_pb2.Picture(**drawn))))
    assert (found.code, list(found.fields)) == ("INVALID_ARGUMENT", [field])


@pytest.mark.parametrize(
    ("attack", "field"),
    [
        (attacks_pb2.Attack(apgd=attacks_pb2.Apgd()), "attack"),
        (attacks_pb2.Attack(), "attack"),
        (attacks_pb2.Attack(bim=attacks_pb2.Bim(steps=51)), "attack.bim.steps"),
        (attacks_pb2.Attack(bim=attacks_pb2.Bim(epsilon=0.5)), "attack.bim.steps"),
        (attacks_pb2.Attack(pgd=attacks_pb2.Pgd(steps=10, restarts=6)), "attack.pgd.steps"),
        (attacks_pb2.Attack(fooling_gradient=attacks_pb2.FoolingGradient(steps=5)), "attack.goal.targeted"),
        (
            attacks_pb2.Attack(fgsm=FGSM.fgsm, goal=attacks_pb2.Goal(targeted=attacks_pb2.Targeted(label=10))),
            "attack.goal.targeted.label",
        ),
    ],
)
async def test_an_attack_that_is_too_much_for_a_preview_is_refused(asked, refusal, model, attack, field):
    found = await refusal(asked.PreviewAttack(Request(models=[model], drawn=GREY, attack=attack)))
    assert (found.code, list(found.fields)) == ("INVALID_ARGUMENT", [field])


def register(job_store, name, tenant="default", state=models_pb2.Model.STATE_READY, **signature):
    given = {"architecture": "wong_cnn", "input_shape": [1, 28, 28], "classes": 10} | signature
    record = models_pb2.Model(
        name=f"models/{name}",
        state=state,
        weights="artifacts/" + "b" * 64,
        signature=models_pb2.ModelSignature(**given),
    )
    job_store.register(tenant, Registration(kind="model", id=name, record=record.SerializeToString()))


async def test_models_that_do_not_fit_or_are_too_large_are_refused(asked, refusal, job_store, model):
    register(job_store, "small", input_shape=[1, 8, 8])
    register(job_store, "huge", architecture="vgg16", input_shape=[3, 224, 224], classes=1000)
    register(job_store, "slow", architecture="resnet50", input_shape=[3, 224, 224], classes=20)
    found = await refusal(asked.PreviewAttack(Request(models=[model, "small"], drawn=GREY)))
    assert list(found.fields) == ["models[1]"]
    found = await refusal(asked.PreviewAttack(Request(models=["small"], sample=SEVENTH)))
    assert list(found.fields) == ["models[0]"]
    big = preview_pb2.Picture(shape=[3, 224, 224], uint8=bytes(3 * 224 * 224))
    found = await refusal(asked.PreviewAttack(Request(models=["huge"], drawn=big)))
    assert list(found.fields) == ["models[0]"]
    assert "weights" in found.message
    bim = attacks_pb2.Attack(bim=attacks_pb2.Bim(epsilon=0.03, steps=30))
    found = await refusal(asked.PreviewAttack(Request(models=["slow"], drawn=big, attack=bim)))
    assert list(found.fields) == ["attack"]
    assert "billion operations" in found.message


async def test_what_is_not_there_or_not_ready_is_said(asked, refusal, job_store, model):
    assert (await refusal(asked.PreviewAttack(Request(models=["other"], drawn=GREY)))).code == "NOT_FOUND"
    nowhere = preview_pb2.SampleName(dataset="mnist", index=1)
    found = await refusal(asked.PreviewAttack(Request(models=[model], sample=nowhere)))
    assert (found.code, "did you mean" in found.message) == ("NOT_FOUND", True)
    found = await refusal(asked.PreviewAttack(Request(models=[model], sample={"dataset": "mnist10k", "index": 2000})))
    assert list(found.fields) == ["sample.index"]
    register(job_store, "theirs", tenant="other")
    assert (await refusal(asked.PreviewAttack(Request(models=["theirs"], drawn=GREY)))).code == "NOT_FOUND"
    register(job_store, "bad", state=models_pb2.Model.STATE_REJECTED)
    found = await refusal(asked.PreviewAttack(Request(models=["bad"], drawn=GREY)))
    assert (found.code, found.reason) == ("FAILED_PRECONDITION", "REJECTED")


async def test_where_no_worker_answers_in_time_it_says_what_to_do(asked, refusal, model, worker):
    found = await refusal(asked.PreviewAttack(Request(models=[model], drawn=GREY)))
    assert (found.code, found.reason) == ("UNAVAILABLE", "NO_WORKER")
    worker.listen()
    started = asyncio.get_running_loop().time()
    found = await refusal(asked.PreviewAttack(Request(models=[model], drawn=GREY), timeout=1.0))
    assert (found.code, found.reason, found.retry) == ("UNAVAILABLE", "PREVIEW_UNANSWERED", True)
    assert "SPARRING_PREVIEWS=0" in found.message
    assert asyncio.get_running_loop().time() - started < 4


async def test_without_a_deadline_of_its_own_a_call_waits_so_long_and_no_longer(
    asked, refusal, model, worker, monkeypatch
):
    monkeypatch.setattr(previews, "PREVIEW_S", 0.3)
    worker.listen()
    found = await refusal(asked.PreviewAttack(Request(models=[model], drawn=GREY)))
    assert (found.reason, "within 0.3 s" in found.message) == ("PREVIEW_UNANSWERED", True)


async def test_more_previews_than_a_tenant_may_have_under_way_are_refused_at_once(
    job_store, store_settings, refusal, model, worker
):
    worker.listen()
    limited = Gateway(GatewaySettings(store_settings, listen="127.0.0.1:0", max_previews=2), Options(drain_s=0))
    async with grpc.aio.insecure_channel(await limited.start()) as channel:
        stub = preview_pb2_grpc.PreviewServiceStub(channel)
        request = Request(models=[model], drawn=GREY)
        found = await asyncio.gather(*(refusal(stub.PreviewAttack(request, timeout=1.5)) for _ in range(3)))
    await limited.stop()
    assert sorted(one.reason for one in found) == ["PREVIEW_UNANSWERED", "PREVIEW_UNANSWERED", "TOO_MANY_PREVIEWS"]
    refused = next(one for one in found if one.reason == "TOO_MANY_PREVIEWS")
    assert (refused.code, refused.retry) == ("RESOURCE_EXHAUSTED", True)


async def test_a_gateway_that_waits_for_very_many_takes_no_more(asked, refusal, model, worker, monkeypatch):
    monkeypatch.setattr(previews, "AT_ONCE", 0)
    found = await refusal(asked.PreviewAttack(Request(models=[model], drawn=GREY)))
    assert (found.code, found.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_PREVIEWS")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("FAILED_PRECONDITION", "FAILED_PRECONDITION"),
        ("INVALID_ARGUMENT", "FAILED_PRECONDITION"),
        ("RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"),
        ("UNAVAILABLE", "UNAVAILABLE"),
        ("INTERNAL", "INTERNAL"),
    ],
)
async def test_what_a_worker_says_of_models_and_data_reaches_the_client(asked, play, refusal, model, *, code, told):
    error = status_pb2.Status(code=code_pb2.Code.Value(code), message="they are gone")
    error.details.add().Pack(error_details_pb2.ErrorInfo(reason="ARTIFACT_MISSING", domain="sparring"))
    play(lambda task: preview_pb2.PreviewAnswer(error=error))
    found = await refusal(asked.PreviewAttack(Request(models=[model], drawn=GREY)))
    assert (found.code, found.reason, found.message) == (told, "ARTIFACT_MISSING", "they are gone")
