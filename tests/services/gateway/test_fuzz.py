"""Random requests: whatever comes is refused field by field or becomes a job that is itself a valid request."""

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sparring.v1 import datasets_pb2, jobs_pb2, models_pb2

from services.errors import InvalidArgument
from services.gateway import catalog, files, models, plan
from services.gateway.check_references import check_references
from services.gateway.checks import check_request
from services.gateway.references import References, models_of, selections_of
from services.gateway.resolve import lane, resolve
from services.gateway.status import of_error

MODEL = models_pb2.Model(
    name="models/m",
    weights="artifacts/" + "a" * 64,
    signature=models_pb2.ModelSignature(architecture="mlp", input_shape=[1, 28, 28], classes=10),
)
# Values that often pass are drawn as often as those that hardly ever do.
NUMBERS = {
    FieldDescriptor.TYPE_DOUBLE: st.one_of(st.floats(), st.floats(0, 1), st.sampled_from([0.0, 0.1, 1.0, 1000.0])),
    FieldDescriptor.TYPE_UINT32: st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 20)),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_INT64: st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 300)),
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_STRING: st.one_of(
        st.text(max_size=20), st.sampled_from(["", "models/m", "mnist10k", "mlp", "own"])
    ),
    FieldDescriptor.TYPE_ENUM: st.integers(0, 4),
}


@st.composite
def messages(draw, descriptor):
    """A message with any of its fields set to anything."""
    message = message_factory.GetMessageClass(descriptor)()
    chosen = {}
    for oneof in descriptor.oneofs:
        if len(oneof.fields) > 1:
            chosen[oneof.name] = draw(st.sampled_from([*oneof.fields, None]))
    for field in descriptor.fields:
        if field.containing_oneof is not None and field.containing_oneof.name in chosen:
            if chosen[field.containing_oneof.name] is not field:
                continue
        elif not draw(st.booleans()):
            continue
        kind = messages(field.message_type) if field.message_type is not None else NUMBERS[field.type]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            values = NUMBERS[field.message_type.fields_by_name["value"].type]
            getattr(message, field.name).update(draw(st.dictionaries(st.text("ab_9", max_size=4), values, max_size=3)))
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(kind, max_size=3)))
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(draw(kind))
        else:
            setattr(message, field.name, draw(kind))
    return message


def named(request):
    """A request whose names stand for something, so that the rest of it decides."""
    for selection in selections_of(request).values():
        selection.dataset = "mnist10k"
        selection.split = ""
    kind = request.WhichOneof("spec")
    spec = getattr(request, kind)
    if kind == "attack":
        spec.model = "m"
    elif kind == "evaluation":
        spec.models[:] = ["m"] * max(1, len(spec.models))
    elif kind == "poisoning":
        spec.architecture = "linear_svm" if spec.poison.HasField("svm_gradient") else "mlp"
    else:
        spec.architecture, spec.initial_model, spec.model_id = "mlp", "", ""
    return request


def violations(request):
    found = References(
        models={name: MODEL for name in models_of(request).values() if name == "m"},
        datasets={
            name: catalog.built_in_datasets()[name]
            for name in (selection.dataset for selection in selections_of(request).values())
            if name in catalog.built_in_datasets()
        },
    )
    listed = [*check_request(request, max_samples=10_000), *check_references(request, found, max_samples=10_000)]
    return listed, found


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(messages(jobs_pb2.CreateJobRequest.DESCRIPTOR))
def test_any_request_is_refused_or_resolved(request):
    listed, _ = violations(request)
    for violation in listed:
        assert violation.field
        assert violation.description
    if listed:
        assert of_error(InvalidArgument(listed)).ByteSize() < 6000


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.sampled_from(["attack", "evaluation", "training", "poisoning"]), st.data())
def test_what_passes_resolves_to_a_valid_request(kind, data):
    request = jobs_pb2.CreateJobRequest()
    spec = getattr(request, kind)
    spec.CopyFrom(data.draw(messages(spec.DESCRIPTOR)))
    request = named(request)
    listed, found = violations(request)
    assume(not listed)
    try:
        job = resolve(request, found)
    except InvalidArgument as error:
        fields = [violation.field for violation in error.violations]
        job = None
    if job is None:
        # What only a resolved job can tell: how many units it makes, and how many attacks a suite adds to those given.
        beside = {"evaluation.attacks", "evaluation.curves"} if kind == "evaluation" else set()
        assert all(field.partition("[")[0] in {f"{kind}.execution.shard_size", *beside} for field in fields)
        return
    assert 1 <= job.resolution.units <= plan.MAX_UNITS
    assert lane(job) in {"any", "cpu", "gpu"}
    again = jobs_pb2.CreateJobRequest()
    getattr(again, kind).CopyFrom(getattr(job, kind))
    assert violations(again)[0] == []
    assert resolve(again, found).SerializeToString(deterministic=True) == job.SerializeToString(deterministic=True)


@given(messages(models_pb2.RegisterModelRequest.DESCRIPTOR))
def test_any_registration_is_judged(request):
    assert all(violation.field for violation in models.check_registration(request))


@given(st.binary(max_size=200), st.integers(0, 1000))
def test_a_hostile_file_is_refused_in_words(head, size):
    for start in (b"", b"\x93NUMPY\x01\x00", len(head).to_bytes(8, "little")):
        with pytest.raises(ValueError, match=r"\w+ \w+"):
            files._parse(start + b"{" * 5 + head, size)


def test_selections_may_name_nothing():
    assert violations(jobs_pb2.CreateJobRequest(attack=jobs_pb2.AttackSpec(data=datasets_pb2.DataSelection())))[0]
