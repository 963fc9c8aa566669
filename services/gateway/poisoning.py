"""Poisonings: what may be asked, what it is resolved to, and what it costs.

A poisoning trains one model for each fraction, or several; how, its spec says as a training's does, so the rules of
trainings and fits are asked. Its cost is that of the fits of all fractions, and of

    svm_gradient          N^2 D for each step of each point, N samples and points of D values
    feature_collision     6 passes for each step of each sample, for each target
    judging               1 for each sample that a model is judged on, twice with a sanitizer
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from sparring.v1 import datasets_pb2, jobs_pb2, poisoning_pb2

from services.errors import Violation
from services.gateway import catalog, fitting
from services.gateway.check_attacks import check_method
from services.gateway.check_signature import check_architecture, check_channels, check_finite_normalisation
from services.gateway.defaults import fill
from services.gateway.names import shown
from services.gateway.ranges import check_parameters, fields_of, or_default
from services.gateway.selections import pin, split_named

MAX_FRACTIONS = 32
MOST = 0.5
# What has a gradient of its retrained self.
MACHINES = ("linear_svm", "rbf_svm")
# Fits of one model, at most: by loss one more, trimming six.
FITS = {
    poisoning_pb2.SANITIZER_NONE: 1,
    poisoning_pb2.SANITIZER_LOSS: 2,
    poisoning_pb2.SANITIZER_TRIMMED: 7,
}
COLLISION_PASSES = 6


def as_training(spec: poisoning_pb2.PoisoningSpec) -> jobs_pb2.TrainingSpec:
    """Return the training that one fit of a poisoning is."""
    training = jobs_pb2.TrainingSpec(
        architecture=spec.architecture, data=spec.data, mean=spec.mean, std=spec.std, seed=spec.seed
    )
    training.defense.standard.SetInParent()
    for part in ("optimization", "fitting"):
        if spec.HasField(part):
            getattr(training, part).CopyFrom(getattr(spec, part))
    return training


def check(spec: poisoning_pb2.PoisoningSpec) -> Iterator[Violation]:
    """Check a poisoning by itself, but for its selections."""
    yield from check_architecture(spec.architecture, "poisoning.architecture")
    kind = spec.poison.WhichOneof("kind")
    if kind is None:
        names = ", ".join(field.name for field in spec.poison.DESCRIPTOR.oneofs_by_name["kind"].fields)
        yield Violation("poisoning.poison", f"exactly one of {names} must be set")
    else:
        yield from check_method(getattr(spec.poison, kind), f"poisoning.poison.{kind}")
        yield from _check_victim(spec, kind)
    if not 1 <= len(spec.fractions) <= MAX_FRACTIONS:
        yield Violation("poisoning.fractions", f"must hold 1 to {MAX_FRACTIONS}, not {len(spec.fractions)}")
    for index, fraction in enumerate(spec.fractions):
        if not 0 <= fraction <= MOST:
            yield Violation(f"poisoning.fractions[{index}]", f"must be in [0, {MOST:g}], not {fraction:g}")
    if spec.HasField("dropped_fraction") and spec.sanitizer <= poisoning_pb2.SANITIZER_NONE:
        yield Violation("poisoning.dropped_fraction", "is what a sanitizer drops; set one, or leave it unset")
    yield from check_parameters(spec, "poisoning")
    yield from check_parameters(spec.optimization, "poisoning.optimization")
    yield from check_finite_normalisation(spec.mean, spec.std, "poisoning")
    yield from _ours(fitting.check(as_training(spec)))


def check_data(spec: poisoning_pb2.PoisoningSpec, dataset: datasets_pb2.Dataset) -> Iterator[Violation]:
    """Check a poisoning against its dataset, whose shape is known."""
    kind = spec.poison.WhichOneof("kind")
    for name, label in _labels(spec.poison).items():
        if label >= dataset.classes:
            path = f"poisoning.poison.{kind}.{name}"
            yield Violation(path, f"must be in [0, {dataset.classes - 1}], the classes of the data, not {label:g}")
    sides = min(dataset.input_shape[1:])
    if kind == "backdoor" and or_default(spec.poison.backdoor, "trigger_size") > sides:
        yield Violation(
            "poisoning.poison.backdoor.trigger_size", f"must be at most {sides}, the pictures' shorter side"
        )
    if not spec.HasField("evaluation_data") and split_named(dataset, "test") is None:
        yield Violation("poisoning.evaluation_data", f"must be set, as {dataset.name} has no split 'test'")
    yield from check_channels(spec.mean, spec.std, dataset.input_shape[0], "poisoning")
    yield from _ours(fitting.check_samples(as_training(spec), dataset))


def resolve(job: jobs_pb2.Job, datasets: Mapping[str, datasets_pb2.Dataset]) -> None:
    """Pin the data, fill in every default, and make one unit of each fraction; 0 is the first."""
    spec = job.poisoning
    job.resolution.data.CopyFrom(pin(spec.data, datasets[spec.data.dataset], wanted="train"))
    if not spec.HasField("evaluation_data"):
        spec.evaluation_data.CopyFrom(datasets_pb2.DataSelection(dataset=spec.data.dataset, split="test"))
    pinned = pin(spec.evaluation_data, datasets[spec.evaluation_data.dataset], wanted="test")
    job.resolution.evaluation_data.CopyFrom(pinned)
    training = as_training(spec)
    if fitting.fitted(training):
        fitting.fill_in(training)
        spec.fitting.CopyFrom(training.fitting)
    else:
        fill(spec.optimization)
    kind = spec.poison.WhichOneof("kind")
    assert kind is not None, "the request was checked"
    fill(getattr(spec.poison, kind))
    fill(spec)
    spec.fractions[:] = sorted({0.0, *spec.fractions})
    job.resolution.shards, job.resolution.units = 1, len(spec.fractions)


def fits(spec: poisoning_pb2.PoisoningSpec) -> int:
    """Return how many models a resolved poisoning fits for each fraction, at most."""
    each = FITS[spec.sanitizer]
    if spec.poison.HasField("feature_collision"):
        # One network; that of its last layer alone is charged as if it were all.
        return 1 + spec.poison.feature_collision.targets * each
    return each + (spec.poison.label_flip.choice == poisoning_pb2.FLIP_CHOICE_LOSS)


def crafting(job: jobs_pb2.Job, one: float) -> float:
    """Return the billions of multiply-adds that the poison itself takes; `one` is a pass forward of the model."""
    spec, data, fractions = job.poisoning, job.resolution.data, sum(job.poisoning.fractions)
    if spec.poison.HasField("svm_gradient"):
        method = spec.poison.svm_gradient
        values, samples = math.prod(data.input_shape), method.svm_samples
        one_fit = (2 * samples) ** 2 * values + samples * method.svm_validation * values
        return (method.ascent_steps + 1) * fractions * samples * one_fit / 1e9
    if spec.poison.HasField("feature_collision"):
        collision = spec.poison.feature_collision
        passes = COLLISION_PASSES * collision.collision_steps * collision.targets
        return passes * fractions * data.count * one
    return 0.0


def _labels(poison: poisoning_pb2.Poison) -> dict[str, float]:
    """Return the classes that a poison is about, by the names of its fields, defaults too."""
    kind = poison.WhichOneof("kind")
    if kind is None:
        return {}
    method = getattr(poison, kind)
    return {name: or_default(method, name) for name in fields_of(method) if name.endswith("_label")}


def _check_victim(spec: poisoning_pb2.PoisoningSpec, kind: str) -> Iterator[Violation]:
    """Check that the poison is one for the architecture."""
    architecture = catalog.architectures().get(spec.architecture)
    if architecture is None:
        return
    if kind == "svm_gradient":
        path = "poisoning.poison.svm_gradient"
        if spec.architecture not in MACHINES:
            known = " and ".join(MACHINES)
            yield Violation("poisoning.architecture", f"svm_gradient poisons {known}, not {shown(spec.architecture)}")
        if spec.mean or spec.std:
            yield Violation("poisoning.mean", "svm_gradient moves pixels of a machine without normalisation; leave it")
        method = spec.poison.svm_gradient
        if or_default(method, "attacking_label") == or_default(method, "attacked_label"):
            yield Violation(f"{path}.attacking_label", "must be another class than attacked_label")
    if kind == "feature_collision" and fitting.fitted(as_training(spec)):
        message = f"feature_collision needs the features of a network, a {spec.architecture} is fitted and has none"
        yield Violation("poisoning.architecture", message)


def _ours(violations: Iterable[Violation]) -> Iterator[Violation]:
    """Say of a poisoning what was found in the training that it would be."""
    for violation in violations:
        yield Violation(violation.field.replace("training.", "poisoning.", 1), _renamed(violation.description))


def _renamed(description: str) -> str:
    return description.replace("training.", "poisoning.")
