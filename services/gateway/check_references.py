"""The checks of a request that need to know its models and datasets; whatever was not found is passed over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sparring.v1 import attacks_pb2, datasets_pb2, jobs_pb2, models_pb2

from services.errors import Violation
from services.gateway import catalog, fitting, poisoning
from services.gateway.check_attacks import check_attack_on
from services.gateway.check_signature import check_channels
from services.gateway.components import check_code, of_defense, weights_bytes
from services.gateway.references import References, models_of, selections_of
from services.gateway.selections import check_selection_of

# Selections that are learned from, and so begin in the training split.
TAUGHT = frozenset({"training.data", "poisoning.data"})


def check_references(request: jobs_pb2.CreateJobRequest, found: References, *, max_samples: int) -> Iterator[Violation]:
    """Check selections, shapes, classes and labels of a request against what its names stand for."""
    for path, selection in selections_of(request).items():
        dataset = found.datasets.get(selection.dataset)
        if dataset is not None and dataset.splits:
            wanted = "train" if path in TAUGHT else "test"
            yield from check_selection_of(selection, dataset, path, wanted=wanted, max_samples=max_samples)
    yield from _check_fit(request, found)
    yield from _check_once(request, found)
    for path, attack in _attacks_of(request).items():
        for classes in sorted({model.signature.classes for model in found.models.values()}):
            yield from check_attack_on(attack, classes, path)
    if request.WhichOneof("spec") == "training":
        yield from _check_training(request.training, found)
    if request.WhichOneof("spec") == "poisoning":
        yield from _check_poisoning(request.poisoning, found)


def _check_fit(request: jobs_pb2.CreateJobRequest, found: References) -> Iterator[Violation]:
    """Check that models and data have one input shape and one number of classes; the first that is known sets them."""
    signatures = [
        (path, f"model {name!r}", found.models[name].signature)
        for path, name in models_of(request).items()
        if name in found.models
    ]
    # A dataset that is being checked has no shape yet.
    datasets = [
        (f"{path}.dataset", f"dataset {selection.dataset!r}", found.datasets[selection.dataset])
        for path, selection in selections_of(request).items()
        if selection.dataset in found.datasets and found.datasets[selection.dataset].input_shape
    ]
    parts: list[tuple[str, str, models_pb2.ModelSignature | datasets_pb2.Dataset]] = [*datasets, *signatures]
    for path, what, part in parts[1:]:
        _, reference, first = parts[0]
        if list(part.input_shape) != list(first.input_shape):
            yield Violation(
                path,
                f"{what} has inputs of {_shape(part.input_shape)}, {reference} of {_shape(first.input_shape)}",
            )
        if part.classes != first.classes:
            yield Violation(path, f"{what} has {part.classes} classes, {reference} has {first.classes}")


def _check_once(request: jobs_pb2.CreateJobRequest, found: References) -> Iterator[Violation]:
    """Check that no model is judged twice, by two names perhaps: the rows of a result are told apart by their model."""
    first: dict[str, str] = {}
    for path, name in models_of(request).items():
        if name in found.models:
            earlier = first.setdefault(found.models[name].name, path)
            if earlier != path:
                yield Violation(path, f"{name!r} is {found.models[name].name}, as {earlier} is; leave one of them out")


def _check_training(spec: jobs_pb2.TrainingSpec, found: References) -> Iterator[Violation]:
    """Check what only a training has: where it starts, and its normalisation."""
    model = found.models.get(spec.initial_model)
    yield from _check_component(spec, model, found.datasets.get(spec.data.dataset))
    if model is not None and spec.architecture and spec.architecture != model.signature.architecture:
        yield Violation(
            "training.architecture",
            f"the initial model is a {model.signature.architecture}, not a {spec.architecture}; leave one of them out",
        )
    if model is not None and catalog.architectures()[model.signature.architecture].fitted:
        what = model.signature.architecture
        yield Violation("training.initial_model", f"a {what} is fitted to samples alone, and can't go on from a model")
    if spec.initial_model:
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            if values:
                yield Violation(f"training.{name}", "the initial model brings its own; leave it empty")
        return
    dataset = found.datasets.get(spec.data.dataset)
    if dataset is not None and dataset.input_shape:
        yield from check_channels(spec.mean, spec.std, dataset.input_shape[0], "training")
        yield from fitting.check_samples(spec, dataset)


def check_name(spec: jobs_pb2.TrainingSpec, found: References) -> Iterator[Violation]:
    """Check that the id is free under which a training would register its model."""
    if found.id_taken:
        yield Violation("training.model_id", f"there is a model {spec.model_id!r} already; choose another id")


def _check_component(
    spec: jobs_pb2.TrainingSpec, model: models_pb2.Model | None, dataset: datasets_pb2.Dataset | None
) -> Iterator[Violation]:
    """Check that what the defense builds around the network fits to the classes, and is what an initial model has."""
    component = of_defense(spec.defense)
    if component is None:
        return
    path = f"training.defense.{spec.defense.WhichOneof('kind')}"
    if model is not None and model.signature.component != component:
        yield Violation(path, "the initial model has no such component, or one of other settings; start from no model")
    if dataset is not None:
        yield from check_code(component, dataset.classes, f"{path}.bits")


def _check_poisoning(spec: jobs_pb2.PoisoningSpec, found: References) -> Iterator[Violation]:
    """Check what only a poisoning has, where its dataset is known."""
    dataset = found.datasets.get(spec.data.dataset)
    if dataset is not None and dataset.input_shape:
        yield from poisoning.check_data(spec, dataset)


def check_weights(request: jobs_pb2.CreateJobRequest, found: References, *, max_bytes: int) -> Iterator[Violation]:
    """Check that the weights of the model that a training makes fit into an artifact of `max_bytes`."""
    spec = request.training
    architecture = catalog.architectures().get(spec.architecture)
    dataset = found.datasets.get(spec.data.dataset)
    if architecture is None or dataset is None or len(dataset.input_shape) != 3:
        return
    made = models_pb2.ModelSignature(
        architecture=spec.architecture,
        input_shape=dataset.input_shape,
        classes=dataset.classes,
        component=of_defense(spec.defense),
    )
    size_bytes = weights_bytes(made)
    if size_bytes > max_bytes:
        yield Violation(
            "training.architecture",
            f"its weights for inputs of {_shape(dataset.input_shape)} and {dataset.classes} classes take about "
            f"{size_bytes} bytes, an artifact has at most {max_bytes}; choose a smaller one",
        )


def _attacks_of(request: jobs_pb2.CreateJobRequest) -> dict[str, attacks_pb2.Attack]:
    """Return every attack of a request, by its path."""
    match request.WhichOneof("spec"):
        case "attack":
            return {"attack.attack": request.attack.attack}
        case "evaluation":
            table = {f"evaluation.attacks[{i}]": attack for i, attack in enumerate(request.evaluation.attacks)}
            curves = {f"evaluation.curves[{i}].attack": c.attack for i, c in enumerate(request.evaluation.curves)}
            return table | curves
    return {}


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
