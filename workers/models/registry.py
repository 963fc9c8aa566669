"""The table of architectures."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from workers.failures import Rejected
from workers.models import efficientnet_lite, small, torchvision_nets, units
from workers.models.classical import FITTED
from workers.models.classifier import Classifier
from workers.models.signature import Signature


@dataclass(frozen=True)
class Architecture:
    """A network by name; what it is and its paper stand in the catalog.

    `network` takes the (channels, height, width) that it sees and the number of classes; `size` says at which
    (height, width) it sees an input of another size.
    """

    name: str
    network: Callable[[tuple[int, int, int], int], nn.Module]
    size: Callable[[int, int], tuple[int, int]]

    def construct(self, signature: Signature) -> Classifier:
        """The classifier of `signature`, its weights drawn from torch's default generator."""
        channels, height, width = signature.input_shape
        if signature.component is not None:
            bare = replace(signature, component=None)
            whole = signature.component.around(
                lambda outputs: self.construct(replace(bare, classes=outputs)), signature.input_shape, signature.classes
            )
            return Classifier(signature, whole, (height, width))
        size = self.size(height, width)
        return Classifier(signature, self.network((channels, *size), signature.classes), size)


def _at_least(minimum: int) -> Callable[[int, int], tuple[int, int]]:
    return lambda height, width: (max(height, minimum), max(width, minimum))


_OWN = (
    Architecture("competing_mlp", units.competing_mlp, _at_least(1)),
    Architecture("dropout_mlp", units.dropout_mlp, _at_least(1)),
    Architecture(
        "efficientnet_lite0",
        efficientnet_lite.efficientnet_lite0,
        lambda _height, _width: (efficientnet_lite.SIDE, efficientnet_lite.SIDE),
    ),
    Architecture("madry_cnn", small.madry_cnn, _at_least(1)),
    Architecture("maxout_mlp", units.maxout_mlp, _at_least(1)),
    Architecture("mlp", small.mlp, _at_least(1)),
    Architecture("mlp_bn", small.mlp_bn, _at_least(1)),
    Architecture("rbf_network", units.rbf_network, _at_least(1)),
    Architecture("sigmoid_mlp", units.sigmoid_mlp, _at_least(1)),
    Architecture("softmax_regression", small.softmax_regression, _at_least(1)),
    Architecture("threshold_cnn", small.threshold_cnn, _at_least(4)),
    Architecture("wong_cnn", small.wong_cnn, _at_least(4)),
)
OWN = {entry.name: entry for entry in _OWN}


def architectures() -> dict[str, Architecture]:
    """Sparring's own, what is fitted, then torchvision's (whose import takes seconds), each in alphabetical order."""
    own = {name: OWN[name] for name in sorted(OWN)}
    others = {name: _of_fitted(name) for name in sorted(FITTED)}
    return own | others | {name: _of_torchvision(name) for name in torchvision_nets.names()}


def architecture(name: str) -> Architecture:
    """The architecture of that name; torchvision is imported only for a name that is not our own."""
    if name in OWN:
        return OWN[name]
    if name in FITTED:
        raise Rejected("NOT_TRAINED", f"a {name} has no fresh weights, as it is fitted to samples")
    known = architectures()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "the catalog lists those there are"
        raise Rejected("UNKNOWN_ARCHITECTURE", f"there is no architecture {name!r}; {hint}")
    return known[name]


def fitted(signature: Signature, tensors: Mapping[str, Tensor]) -> Classifier:
    """The model of an architecture in `FITTED`, whose sizes stand in its tensors; they become the model's.

    Raises Rejected: BAD_SIGNATURE, MODEL_DOES_NOT_FIT, NOT_FINITE.
    """
    if signature.component is not None:
        raise Rejected("BAD_SIGNATURE", f"no component can stand around a {signature.architecture}")
    network = FITTED[signature.architecture](signature.input_shape, signature.classes, tensors)
    return Classifier(signature, network, signature.input_shape[1:]).eval()


def _of_fitted(name: str) -> Architecture:
    def network(shape: tuple[int, int, int], classes: int) -> nn.Module:
        raise Rejected("NOT_TRAINED", f"a {name} for {list(shape)} and {classes} classes is fitted, and not built")

    return Architecture(name, network, _at_least(1))


def _of_torchvision(name: str) -> Architecture:
    return Architecture(
        name,
        network=lambda shape, classes: torchvision_nets.network(name, shape[0], classes),
        size=lambda height, width: torchvision_nets.size(name, height, width),
    )
