"""Models that trainings under way make: found by the id that is asked for, and put into the specs of who waits."""

import pytest
from google.protobuf.descriptor import Descriptor
from google.rpc import status_pb2
from sparring.v1 import jobs_pb2, models_pb2

from services.errors import FailedPrecondition
from services.jobs import functions
from services.jobs.record import ModelPart

DIGEST = "d" * 64


def message_of(store, job_id):
    return status_pb2.Status.FromString(store.get("default", job_id).error).message


def resolved(model):
    return jobs_pb2.ResolvedModel(
        name=f"models/{model}", weights_sha256="a" * 64, signature=models_pb2.ModelSignature(classes=300)
    )


def test_a_spec_gets_the_models_that_were_made_meanwhile_in_their_order(store, jobs):
    trainings = [jobs.submit(units=0, kind="training") for _ in range(2)]
    rest = jobs_pb2.Job(display_name="words", resolution=jobs_pb2.Resolution(units=3, giga_ops=0.5))
    unnamed = jobs_pb2.ResolvedModel(signature=models_pb2.ModelSignature(classes=7), defense="trades" * 30)
    parts = (
        ModelPart(message=unnamed.SerializeToString(), made_by=trainings[1]),
        ModelPart(message=resolved("m").SerializeToString(), pin="models/m=x"),
        ModelPart(message=unnamed.SerializeToString(), made_by=trainings[0]),
    )
    waiting = jobs.submit(units=0, after=tuple(trainings), spec=b"", rest=rest.SerializeToString(), models=parts)
    for name, job_id in zip(("one", "two"), trainings, strict=True):
        assert store.get("default", waiting).spec == b""
        jobs.run(job_id, model=name)
    spec = jobs_pb2.Job.FromString(jobs.claim().spec)
    assert (spec.display_name, spec.resolution.units, spec.resolution.giga_ops) == ("words", 3, 0.5)
    one, two = jobs_pb2.ResolvedModel(), jobs_pb2.ResolvedModel()
    for made, name in ((one, "one"), (two, "two")):
        made.CopyFrom(unnamed)
        made.name, made.weights_sha256 = f"models/{name}", DIGEST
    assert list(spec.resolution.models) == [two, resolved("m"), one]


def test_a_training_that_leaves_no_model_fails_who_waits_for_one(store, jobs):
    training = jobs.submit(units=0, kind="training")
    parts = (ModelPart(message=b"", made_by=training),)
    waiting, content = jobs.submit(after=(training,), rest=b"", models=parts), jobs.submit(after=(training,), units=0)
    jobs.run(training)
    assert "succeeded but left no model" in message_of(store, waiting)
    jobs.run(content)
    with pytest.raises(FailedPrecondition, match="left no model"):
        store.retry("default", waiting)


def test_a_training_under_way_is_found_by_the_id_that_it_asks_for(store, jobs):
    first, second = (jobs.submit(units=1, kind="training", makes="wanted") for _ in range(2))
    assert store.making("default", "wanted") == first
    assert store.making("other", "wanted") is None
    store.cancel("default", first)
    assert store.making("default", "wanted") == second
    store.retry("default", first)
    jobs.run(second, model="wanted")
    assert store.making("default", "wanted") == first
    jobs.run(first, model="wanted-2")
    assert store.making("default", "wanted") is None


def test_the_functions_write_the_fields_that_the_contract_numbers():
    def number(message: Descriptor, name: str) -> int:
        return message.fields_by_name[name].number

    wanted = (
        number(jobs_pb2.Job.DESCRIPTOR, "resolution"),
        number(jobs_pb2.Resolution.DESCRIPTOR, "models"),
        number(jobs_pb2.ResolvedModel.DESCRIPTOR, "name"),
        number(jobs_pb2.ResolvedModel.DESCRIPTOR, "weights_sha256"),
    )
    numbers = ", ".join(map(str, wanted))
    assert f"local RESOLUTION, MODELS, NAME, WEIGHTS = {numbers}\n" in functions.library()
