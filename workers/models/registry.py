"""The table of architectures."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from workers.failures import Rejected
from workers.models import small, torchvision_nets
from workers.models.classifier import Classifier
from workers.models.signature import Signature


@dataclass(frozen=True)
class Architecture:
    """A network by name: `network` takes the shape that it sees and the number of classes, `size` gives that shape."""

    name: str
    description: str
    paper: str
    network: Callable[[tuple[int, int, int], int], nn.Module]
    size: Callable[[int, int], tuple[int, int]]

    def construct(self, signature: Signature) -> Classifier:
        """The classifier of `signature`, its weights drawn from torch's default generator."""
        channels, height, width = signature.input_shape
        size = self.size(height, width)
        return Classifier(signature, self.network((channels, *size), signature.classes), size)


def _at_least(minimum: int) -> Callable[[int, int], tuple[int, int]]:
    return lambda height, width: (max(height, minimum), max(width, minimum))


_OWN = (
    Architecture("softmax_regression", "One linear layer", "1412.6572", small.softmax_regression, _at_least(1)),
    Architecture("mlp", "Two hidden layers of 200 ReLU units", "", small.mlp, _at_least(1)),
    Architecture("madry_cnn", "conv 32, conv 64, fully connected 1024", "1706.06083", small.madry_cnn, _at_least(1)),
    Architecture("wong_cnn", "conv 16, conv 32, fully connected 100", "2001.03994", small.wong_cnn, _at_least(4)),
)
OWN = {entry.name: entry for entry in sorted(_OWN, key=lambda entry: entry.name)}


def architectures() -> dict[str, Architecture]:
    """Sparring's own architectures, then torchvision's (whose import takes seconds), each in alphabetical order."""
    return {name: OWN[name] for name in sorted(OWN)} | {
        name: _of_torchvision(name) for name in torchvision_nets.names()
    }


def architecture(name: str) -> Architecture:
    """The architecture of that name; torchvision is imported only for a name that is not our own."""
    if name in OWN:
        return OWN[name]
    known = architectures()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "the catalog lists those there are"
        raise Rejected("UNKNOWN_ARCHITECTURE", f"there is no architecture {name!r}; {hint}")
    return known[name]


def _of_torchvision(name: str) -> Architecture:
    return Architecture(
        name,
        f"{name} as in torchvision",
        _PAPERS.get(_family(name), ""),
        network=lambda shape, classes: torchvision_nets.network(name, shape[0], classes),
        size=lambda height, width: torchvision_nets.size(name, height, width),
    )


def _family(name: str) -> str:
    return max((family for family in _PAPERS if name.startswith(family)), key=len, default="")


# arXiv ids by the beginning of torchvision's name; the longest that fits counts. AlexNet (2012) is not on arXiv.
_PAPERS = {
    "convnext": "2201.03545",
    "densenet": "1608.06993",
    "efficientnet": "1905.11946",
    "efficientnet_v2": "2104.00298",
    "googlenet": "1409.4842",
    "inception_v3": "1512.00567",
    "maxvit": "2204.01697",
    "mnasnet": "1807.11626",
    "mobilenet_v2": "1801.04381",
    "mobilenet_v3": "1905.02244",
    "regnet": "2003.13678",
    "resnet": "1512.03385",
    "resnext": "1611.05431",
    "shufflenet_v2": "1807.11164",
    "squeezenet": "1602.07360",
    "swin": "2103.14030",
    "swin_v2": "2111.09883",
    "vgg": "1409.1556",
    "vit": "2010.11929",
    "wide_resnet": "1605.07146",
}
