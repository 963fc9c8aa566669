"""Models, datasets, artifacts and the catalog as tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from sparring.v1.artifacts_pb2 import Artifact
from sparring.v1.catalog_pb2 import ArchitectureInfo, MethodInfo, ParameterInfo, ServerInfo, WorkerInfo
from sparring.v1.datasets_pb2 import Dataset, DatasetSource, Split
from sparring.v1.models_pb2 import Model

from services.cli import words
from services.cli.tables import bare, facts, table


def _state(thing: Model | Dataset) -> str:
    name = Model.State.Name(thing.state) if isinstance(thing, Model) else Dataset.State.Name(thing.state)
    return name.removeprefix("STATE_").lower()


def _shape(sides: Iterable[int]) -> str:
    return "x".join(map(str, sides))


def models(listed: Iterable[Model]) -> Table:
    """A list of models."""
    made = table("Model", "State", "Architecture", "Input", "Classes", "Defense", right=["Classes"])
    for model in listed:
        signature = model.signature
        made.add_row(
            Text(bare(model.name)),
            _state(model),
            Text(" + ".join(filter(None, (signature.architecture, signature.component.WhichOneof("kind"))))),
            _shape(signature.input_shape),
            str(signature.classes),
            Text(model.defense),
        )
    return made


def model(shown: Model) -> Table:
    """One model."""
    signature = shown.signature
    return facts(
        [
            ("model", shown.name),
            ("state", f"{_state(shown)}: {shown.error.message}" if shown.error.message else _state(shown)),
            ("architecture", signature.architecture),
            ("component", words.component(signature.component)),
            ("input", _shape(signature.input_shape)),
            ("classes", str(signature.classes)),
            ("mean", ", ".join(f"{value:g}" for value in signature.mean)),
            ("std", ", ".join(f"{value:g}" for value in signature.std)),
            ("parameters", f"{shown.parameters:,}" if shown.parameters else ""),
            ("defense", shown.defense),
            ("weights", bare(shown.weights)),
            ("job", shown.job),
        ]
    )


def datasets(listed: Iterable[Dataset]) -> Table:
    """A list of datasets."""
    made = table("Dataset", "State", "Source", "Input", "Classes", "Splits", right=["Classes"])
    for dataset in listed:
        source = DatasetSource.Name(dataset.source).removeprefix("DATASET_SOURCE_")
        made.add_row(
            Text(bare(dataset.name)),
            _state(dataset),
            source.lower().replace("_", "-"),
            _shape(dataset.input_shape),
            str(dataset.classes),
            Text(", ".join(f"{split.name} {split.count}" for split in dataset.splits)),
        )
    return made


def dataset(shown: Dataset) -> Table:
    """One dataset."""
    return facts(
        [
            ("dataset", shown.name),
            ("state", f"{_state(shown)}: {shown.error.message}" if shown.error.message else _state(shown)),
            ("input", _shape(shown.input_shape)),
            ("classes", str(shown.classes)),
            *((f"split {split.name}", _split(split)) for split in shown.splits),
            ("description", shown.description),
            ("licence", shown.licence),
            ("digest", shown.digest),
            ("job", shown.job),
        ]
    )


def _split(split: Split) -> str:
    counts = ", ".join(map(str, split.class_counts))
    return f"{split.count} samples" + (f"; of each class: {counts}" if counts else "")


def artifact(shown: Artifact) -> Table:
    """One artifact."""
    return facts(
        [
            ("artifact", bare(shown.name)),
            ("size", f"{shown.size_bytes:,} bytes"),
            ("media type", shown.media_type),
            ("created", words.moment(shown.create_time)),
            ("expires", words.moment(shown.expire_time) if shown.HasField("expire_time") else "not before deletion"),
        ]
    )


def methods(listed: Iterable[MethodInfo]) -> Table:
    """A list of attacks or defenses."""
    made = table("Name", "What it does", "Paper")
    for method in listed:
        made.add_row(method.name, Text(method.summary), method.paper)
    return made


def method(shown: MethodInfo) -> RenderableType:
    """One attack or defense with its parameters."""
    return Group(
        facts(
            [
                (shown.name, f"{shown.title}. {shown.summary}"),
                ("paper", f"{shown.citation} (arXiv:{shown.paper})" if shown.paper else ""),
                ("formula", shown.formula),
                ("asks for", shown.knowledge),
                (
                    "epsilon",
                    "only the largest perturbation that counts: it looks for the shortest" if shown.minimum else "",
                ),
                ("target", "must be given" if shown.needs_target else ""),
                ("cost", f"{shown.cost} (a training step, where standard training's is 3)" if shown.cost else ""),
                ("measured", shown.measured),
                ("differs", shown.differs),
            ]
        ),
        "",
        facts([(parameter.name, _parameter(parameter)) for parameter in shown.parameters])
        if shown.parameters
        else "It has no parameters.",
    )


def _parameter(parameter: ParameterInfo) -> str:
    """`Number of steps. Range [1, 10000], default 40.`, with the values of an enum in the range's place."""
    sentence = parameter.description.partition(". ")[0].removesuffix(".")
    values = f"One of {parameter.type.replace('|', ', ')}" if "|" in parameter.type else _range(parameter)
    default = f"default {parameter.default_value}" if parameter.default_value else ""
    said = ", ".join(filter(None, (values, default)))
    return f"{sentence}. {said[0].upper()}{said[1:]}." if said else f"{sentence}."


def _range(parameter: ParameterInfo) -> str:
    if not parameter.HasField("minimum") or not parameter.HasField("maximum"):
        return ""
    return f"Range {'(' if parameter.minimum_exclusive else '['}{parameter.minimum:g}, {parameter.maximum:.10g}]"


def architectures(listed: Iterable[ArchitectureInfo]) -> Table:
    """A list of architectures."""
    made = table("Architecture", "What it is", "Paper", "Its fit takes")
    for architecture in listed:
        takes = ", ".join(option.name for option in architecture.fitting)
        made.add_row(architecture.name, Text(architecture.description), Text(architecture.paper), Text(takes))
    return made


def _device(worker: WorkerInfo) -> str:
    """E.g. `gpu (NVIDIA H100 80GB HBM3, 79.2 GiB, class h100)`."""
    memory = words.size(worker.memory_bytes) if worker.memory_bytes else ""
    named = f"class {worker.device_class}" if worker.device_class else ""
    return f"{worker.device} ({', '.join(filter(None, (worker.device_name, memory, named)))})"


def info(shown: ServerInfo) -> RenderableType:
    """The service and its workers."""
    made = table("Worker", "Device", "Doing", "Heard of")
    for worker in shown.workers:
        made.add_row(
            Text(worker.id),
            Text(_device(worker)),
            Text(worker.unit) if worker.unit else "nothing",
            f"{words.duration(worker.last_seen_s)} ago",
        )
    return Group(
        facts(
            [
                ("version", shown.version),
                ("largest artifact", words.size(shown.max_artifact_bytes)),
                ("largest selection", f"{shown.max_samples} samples"),
                ("units waiting", str(shown.ready_units)),
                ("store in use", words.percent(shown.store_used)),
            ]
        ),
        "",
        made if shown.workers else "No worker is listening.",
    )
