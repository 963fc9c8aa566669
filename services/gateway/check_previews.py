"""What is wrong with the requests of previews: by themselves, and with what their names stand for."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence

from sparring.v1 import attacks_pb2, datasets_pb2, models_pb2, preview_pb2

from services.errors import Violation
from services.gateway import components, estimate
from services.gateway.check_attacks import check_attack, check_attack_on
from services.gateway.checks import check_selection
from services.gateway.names import ID_RULE, bare, shown
from services.gateway.ranges import check_parameters
from services.gateway.selections import check_selection_of

ATTACKS = ("fgsm", "bim", "iterative_least_likely", "pgd", "fooling_gradient")
MAX_MODELS = 2
MAX_STEPS = 50
MAX_VALUES = 3 * 256 * 256
# What a core does in a few seconds: ten steps on ResNet-18 with pictures of 224 x 224.
MAX_GIGA_OPS = 60.0
MAX_WEIGHTS_BYTES = 128 << 20
# Rather more samples than any dataset has.
ANY_NUMBER = 1 << 40


def selection_of(
    request: preview_pb2.PreviewAttackRequest | preview_pb2.ListSamplesRequest, count: int
) -> datasets_pb2.DataSelection:
    """Return the samples that a request is about."""
    if isinstance(request, preview_pb2.ListSamplesRequest):
        first, place = request, request.offset
        return datasets_pb2.DataSelection(dataset=first.dataset, split=first.split, offset=place, count=count)
    sample = request.sample
    return datasets_pb2.DataSelection(dataset=sample.dataset, split=sample.split, offset=sample.index, count=count)


def check_samples(request: preview_pb2.ListSamplesRequest) -> Iterator[Violation]:
    """Check what samples are asked for, before the dataset is known."""
    yield from _unprefixed(check_selection(selection_of(request, 1), "", ANY_NUMBER))
    yield from check_parameters(request, "")


def check_attack_request(request: preview_pb2.PreviewAttackRequest) -> Iterator[Violation]:
    """Check a preview of an attack, before its models and its dataset are known."""
    if not 1 <= len(request.models) <= MAX_MODELS:
        yield Violation("models", f"must hold 1 to {MAX_MODELS}, not {len(request.models)}")
    for index, name in enumerate(request.models[:MAX_MODELS]):
        if bare(name, "models") is None:
            yield Violation(f"models[{index}]", f"must be `models/{{model}}` ({ID_RULE}), not {shown(name)}")
    match request.WhichOneof("picture"):
        case "sample":
            yield from _of_sample(check_selection(selection_of(request, 1), "", ANY_NUMBER))
            if request.HasField("label"):
                yield Violation("label", "must be unset for a sample, which has its own; or send its picture as drawn")
        case "drawn":
            yield from _check_picture(request.drawn, "drawn")
        case None:
            yield Violation("picture", "exactly one of sample, drawn must be set")
    if request.HasField("attack"):
        yield from _check_attack(request.attack, "attack")


def _unprefixed(violations: Iterator[Violation]) -> Iterator[Violation]:
    for violation in violations:
        yield Violation(violation.field.removeprefix("."), violation.description)


def _of_sample(violations: Iterator[Violation]) -> Iterator[Violation]:
    """Give the fields of a selection the names that they have in `SampleName`."""
    for violation in violations:
        name = violation.field.removeprefix(".").replace("offset", "index")
        yield Violation(f"sample.{name}", violation.description)


def _check_picture(picture: preview_pb2.Picture, path: str) -> Iterator[Violation]:
    """Check that a picture has the values of its shape, each in [0, 1]."""
    shape, size = list(picture.shape), math.prod(picture.shape)
    if len(shape) != 3 or not 1 <= size <= MAX_VALUES:
        what = f"must be channels, height, width, {MAX_VALUES} values at most, not {shape[:8]}"
        yield Violation(f"{path}.shape", what)
        return
    kind = picture.WhichOneof("pixels")
    if kind is None:
        yield Violation(path, "exactly one of float32, uint8 must be set")
        return
    raw: bytes = getattr(picture, kind)
    expected = size * (4 if kind == "float32" else 1)
    if len(raw) != expected:
        yield Violation(f"{path}.{kind}", f"must have {expected} bytes for the shape {shape}, not {len(raw)}")
    elif kind == "float32":
        wrong = next((value for value in struct.unpack(f"<{size}f", raw) if not 0 <= value <= 1), None)
        if wrong is not None:
            yield Violation(f"{path}.{kind}", f"every value must be in [0, 1], not {wrong:g}")


def _check_attack(attack: attacks_pb2.Attack, path: str) -> Iterator[Violation]:
    """Check the attack as a job's, and that it is one of those that previews take."""
    kind = attack.WhichOneof("kind")
    if kind is not None and kind not in ATTACKS:
        yield Violation(path, f"a preview takes {', '.join(ATTACKS)}, not {kind}; ask for a job")
    else:
        yield from check_attack(attack, path)


def check_length(attack: attacks_pb2.Attack) -> Iterator[Violation]:
    """Check that an attack with every default filled in takes no more steps than a preview may."""
    kind = attack.WhichOneof("kind")
    method = None if kind is None else getattr(attack, kind)
    steps = getattr(method, "steps", 0) * getattr(method, "restarts", 1)
    if steps > MAX_STEPS:
        what = f"{steps} steps in all, a preview takes {MAX_STEPS} at most; set fewer, or ask for a job"
        yield Violation(f"attack.{kind}.steps", what)


def check_dataset(
    request: preview_pb2.PreviewAttackRequest | preview_pb2.ListSamplesRequest, dataset: datasets_pb2.Dataset
) -> Iterator[Violation]:
    """Check that the dataset has the samples."""
    found = check_selection_of(selection_of(request, 1), dataset, "", wanted="test", max_samples=ANY_NUMBER)
    is_list = isinstance(request, preview_pb2.ListSamplesRequest)
    yield from _unprefixed(found) if is_list else _of_sample(found)


def check_fit(
    request: preview_pb2.PreviewAttackRequest,
    models: Sequence[models_pb2.Model],
    dataset: datasets_pb2.Dataset | None,
) -> Iterator[Violation]:
    """Check that models and picture fit together, and that a resolved preview is not too much for one."""
    shape = list(models[0].signature.input_shape) if dataset is None else list(dataset.input_shape)
    classes = models[0].signature.classes if dataset is None else dataset.classes
    what = models[0].name if dataset is None else dataset.name
    for index, model in enumerate(models):
        its = model.signature
        if list(its.input_shape) != shape or its.classes != classes:
            have = f"{list(its.input_shape)} and {its.classes} classes, {what} {shape} and {classes}"
            yield Violation(f"models[{index}]", f"{model.name} has inputs of {have}; take what fits together")
        size = components.weights_bytes(its)
        if size > MAX_WEIGHTS_BYTES:
            most = f"{size >> 20} MiB of weights, a preview takes {MAX_WEIGHTS_BYTES >> 20} at most"
            yield Violation(f"models[{index}]", f"{model.name} has about {most}; ask for a job")
    if request.HasField("drawn") and list(request.drawn.shape) != shape:
        yield Violation("drawn.shape", f"{models[0].name} takes {shape}, not {list(request.drawn.shape)}")
    if request.HasField("label") and request.label >= classes:
        yield Violation("label", f"must be below the number of classes, {classes}, not {request.label}")
    if request.HasField("attack"):
        yield from check_attack_on(request.attack, classes, "attack")
    cost = sum(_passes(request, model) * components.giga_ops(model.signature) for model in models)
    if cost > MAX_GIGA_OPS:
        much = f"{cost:.0f} billion operations, {MAX_GIGA_OPS:.0f} are the most"
        yield Violation("attack", f"on these models it takes about {much}; take fewer steps, or ask for a job")


def _passes(request: preview_pb2.PreviewAttackRequest, model: models_pb2.Model) -> int:
    """Return the forward passes that a preview is worth on one model."""
    if not request.HasField("attack"):
        return 1
    scale = estimate.Scale(classes=model.signature.classes, values=math.prod(model.signature.input_shape))
    return estimate.attack_passes(request.attack, scale)
