"""Checks of a model's signature and of a training's normalisation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sparring.v1 import models_pb2

from services.errors import Violation
from services.gateway import catalog
from services.gateway.components import check_component
from services.gateway.names import did_you_mean, shown
from services.gateway.ranges import check_finite

MAX_SIDE = 4096
MAX_INPUT_VALUES = 3 * 1024 * 1024
MAX_CLASSES = 100_000


def check_signature(signature: models_pb2.ModelSignature, path: str) -> Iterator[Violation]:
    """Check everything that a signature says about a network."""
    yield from check_architecture(signature.architecture, f"{path}.architecture")
    yield from check_input_shape(signature.input_shape, f"{path}.input_shape")
    yield from check_classes(signature.classes, f"{path}.classes")
    yield from check_finite_normalisation(signature.mean, signature.std, path)
    if len(signature.input_shape) == 3:
        yield from check_channels(signature.mean, signature.std, signature.input_shape[0], path)
    if signature.HasField("component"):
        yield from check_component(signature.component, signature.classes, f"{path}.component")
        known = catalog.architectures().get(signature.architecture)
        if known is not None and known.fitted:
            yield Violation(f"{path}.component", f"a {signature.architecture} is fitted; it takes no component")


def check_architecture(name: str, path: str) -> Iterator[Violation]:
    """Check that the catalog has an architecture of that name."""
    if not name:
        yield Violation(path, "must be set to an architecture of the catalog")
    elif name not in catalog.architectures():
        yield Violation(path, f"there is no architecture {shown(name)}{did_you_mean(name, catalog.architectures())}")


def check_network(name: str, path: str) -> Iterator[Violation]:
    """Check that the catalog has an architecture of that name, and that it is trained."""
    yield from check_architecture(name, path)
    if name in catalog.architectures() and catalog.architectures()[name].fitted:
        yield Violation(path, f"a {name} is fitted; a network is needed here")


def check_input_shape(shape: Sequence[int], path: str) -> Iterator[Violation]:
    """Check channels, height and width of one input."""
    if len(shape) != 3 or not all(1 <= side <= MAX_SIDE for side in shape):
        yield Violation(path, f"must be channels, height, width, each in [1, {MAX_SIDE}], not {list(shape)[:8]}")
    elif math.prod(shape) > MAX_INPUT_VALUES:
        yield Violation(path, f"{math.prod(shape)} values in one input, at most {MAX_INPUT_VALUES} are allowed")


def check_classes(classes: int, path: str) -> Iterator[Violation]:
    """Check the number of classes."""
    if not 2 <= classes <= MAX_CLASSES:
        yield Violation(path, f"must be in [2, {MAX_CLASSES}], not {classes}")


def check_finite_normalisation(mean: Sequence[float], std: Sequence[float], path: str) -> Iterator[Violation]:
    """Check the values of the normalisation layer, whatever the number of channels."""
    yield from check_finite(mean, f"{path}.mean")
    yield from check_finite(std, f"{path}.std")
    for index, value in enumerate(std):
        if value <= 0:
            yield Violation(f"{path}.std[{index}]", f"must be positive, not {value:g}")


def check_channels(mean: Sequence[float], std: Sequence[float], channels: int, path: str) -> Iterator[Violation]:
    """Check that the normalisation layer has one number per channel, or none."""
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (0, channels):
            yield Violation(f"{path}.{name}", f"must hold one number per channel, {channels}, not {len(values)}")
