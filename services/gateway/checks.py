"""What is wrong with a CreateJobRequest by itself, before anything is looked up. Every bad field, not the first one."""

from __future__ import annotations

from collections.abc import Iterator

from sparring.v1 import datasets_pb2, jobs_pb2

from services.errors import Violation
from services.gateway import fitting, needs, poisoning, suites, watching
from services.gateway.check_attacks import check_attack, check_curve, check_method
from services.gateway.check_signature import check_architecture, check_finite_normalisation, check_network
from services.gateway.estimate_training import static_architectures
from services.gateway.names import ID_RULE, bare, is_id, is_uuid, shown
from services.gateway.ranges import check_parameters, or_default
from services.gateway.suites import MAX_ATTACKS, MAX_CURVES

MAX_DISPLAY_NAME = 200
MAX_MODELS = 16
MAX_AFTER = 16


def check_request(request: jobs_pb2.CreateJobRequest, *, max_samples: int) -> Iterator[Violation]:
    """Check a whole request; `max_samples` is the most that one job may take."""
    if request.request_id and not is_uuid(request.request_id):
        yield Violation("request_id", f"must be a UUID, not {shown(request.request_id)}")
    yield from check_display_name(request.display_name, "display_name")
    yield from check_parameters(request.limits, "limits")
    yield from _check_length(len(request.after), 0, MAX_AFTER, "after")
    for index, name in enumerate(request.after):
        if not name.startswith("jobs/") or bare(name, "jobs") is None:
            yield Violation(f"after[{index}]", f"must be `jobs/{{job}}` ({ID_RULE}), not {shown(name)}")
    kind = request.WhichOneof("spec")
    if kind == "attack":
        yield from _check_attack_spec(request.attack, max_samples)
    elif kind == "evaluation":
        yield from _check_evaluation_spec(request.evaluation, max_samples)
    elif kind == "training":
        yield from _check_training_spec(request.training, max_samples)
    elif kind == "poisoning":
        yield from _check_poisoning_spec(request.poisoning, max_samples)
    else:
        yield Violation("spec", "exactly one of attack, training, evaluation, poisoning must be set")


def check_display_name(text: str, path: str) -> Iterator[Violation]:
    """Check the length of a client's own words."""
    if len(text) > MAX_DISPLAY_NAME:
        yield Violation(path, f"must have at most {MAX_DISPLAY_NAME} characters, not {len(text)}")


def check_model_name(name: str, path: str) -> Iterator[Violation]:
    """Check that a text names a model: `models/{model}`, a bare id, or the training that made it."""
    if not name:
        yield Violation(path, "must be set to `models/{model}` or to the `jobs/{job}` of a training")
    elif bare(name, "jobs" if name.startswith("jobs/") else "models") is None:
        yield Violation(path, f"{shown(name)} is no name of a model; ids have {ID_RULE}")


def check_selection(data: datasets_pb2.DataSelection, path: str, max_samples: int) -> Iterator[Violation]:
    """Check a selection of samples, as far as that goes without the dataset."""
    if not data.dataset:
        yield Violation(f"{path}.dataset", "must be set to `datasets/{dataset}`")
    elif bare(data.dataset, "datasets") is None:
        yield Violation(f"{path}.dataset", f"{shown(data.dataset)} is no name of a dataset; ids have {ID_RULE}")
    if data.offset < 0:
        yield Violation(f"{path}.offset", f"must not be negative, not {data.offset}")
    if not 0 <= data.count <= max_samples:
        yield Violation(f"{path}.count", f"must be in [0, {max_samples}], not {data.count}; 0 means all from offset on")


def _check_attack_spec(spec: jobs_pb2.AttackSpec, max_samples: int) -> Iterator[Violation]:
    yield from check_model_name(spec.model, "attack.model")
    yield from check_selection(spec.data, "attack.data", max_samples)
    yield from check_attack(spec.attack, "attack.attack")
    yield from check_parameters(spec.execution, "attack.execution")
    yield from needs.check(spec.execution, "attack.execution")


def _check_evaluation_spec(spec: jobs_pb2.EvaluationSpec, max_samples: int) -> Iterator[Violation]:
    yield from _check_length(len(spec.models), 1, MAX_MODELS, "evaluation.models")
    yield from _check_length(len(spec.attacks), 0, MAX_ATTACKS, "evaluation.attacks")
    yield from _check_length(len(spec.curves), 0, MAX_CURVES, "evaluation.curves")
    for index, model in enumerate(spec.models):
        yield from check_model_name(model, f"evaluation.models[{index}]")
    yield from check_selection(spec.data, "evaluation.data", max_samples)
    for index, attack in enumerate(spec.attacks):
        yield from check_attack(attack, f"evaluation.attacks[{index}]")
    for index, curve in enumerate(spec.curves):
        yield from check_curve(curve, f"evaluation.curves[{index}]")
    yield from suites.check(spec)
    yield from check_parameters(spec.execution, "evaluation.execution")
    yield from needs.check(spec.execution, "evaluation.execution")


def _check_training_spec(spec: jobs_pb2.TrainingSpec, max_samples: int) -> Iterator[Violation]:
    if spec.initial_model:
        yield from check_model_name(spec.initial_model, "training.initial_model")
    if spec.architecture or not spec.initial_model:
        yield from check_architecture(spec.architecture, "training.architecture")
    yield from check_selection(spec.data, "training.data", max_samples)
    if spec.HasField("evaluation_data"):
        yield from check_selection(spec.evaluation_data, "training.evaluation_data", max_samples)
    if spec.HasField("defense"):
        yield from _check_defense(spec)
    yield from check_parameters(spec.optimization, "training.optimization")
    yield from fitting.check(spec)
    yield from watching.check(spec)
    if spec.model_id and not is_id(spec.model_id):
        yield Violation("training.model_id", f"must have {ID_RULE}, not {shown(spec.model_id)}")
    yield from check_finite_normalisation(spec.mean, spec.std, "training")
    yield from check_parameters(spec, "training")
    yield from needs.check(spec, "training")


def _check_poisoning_spec(spec: jobs_pb2.PoisoningSpec, max_samples: int) -> Iterator[Violation]:
    yield from check_selection(spec.data, "poisoning.data", max_samples)
    if spec.HasField("evaluation_data"):
        yield from check_selection(spec.evaluation_data, "poisoning.evaluation_data", max_samples)
    yield from poisoning.check(spec)
    yield from needs.check(spec, "poisoning")


def _check_defense(spec: jobs_pb2.TrainingSpec) -> Iterator[Violation]:
    kind = spec.defense.WhichOneof("kind")
    if kind is None:
        names = ", ".join(field.name for field in spec.defense.DESCRIPTOR.oneofs_by_name["kind"].fields)
        yield Violation("training.defense", f"exactly one of {names} must be set")
    else:
        method, path = getattr(spec.defense, kind), f"training.defense.{kind}"
        yield from check_method(method, path)
        if kind == "distillation" and method.teacher_architecture:
            yield from check_network(method.teacher_architecture, f"{path}.teacher_architecture")
        if kind == "ensemble_adversarial":
            for name in static_architectures(method):
                yield from check_network(name, f"{path}.static_architectures")
        if kind == "virtual_adversarial" and method.labelled > 0:
            yield from _check_labelled_batch(spec, f"{path}.labelled_batch")


def _check_labelled_batch(spec: jobs_pb2.TrainingSpec, path: str) -> Iterator[Violation]:
    """Check that a step has no more samples with labels than without; what it costs is estimated by the others."""
    labelled = or_default(spec.defense.virtual_adversarial, "labelled_batch")
    others = or_default(spec.optimization, "batch_size")
    if labelled > others:
        yield Violation(path, f"must be at most optimization.batch_size, {others:g}, not {labelled:g}")


def _check_length(length: int, least: int, most: int, path: str) -> Iterator[Violation]:
    if not least <= length <= most:
        yield Violation(path, f"must hold {least} to {most}, not {length}")
