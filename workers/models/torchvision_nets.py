"""Every classifier of torchvision through one adapter: any number of channels and classes, any input size."""

from __future__ import annotations

from typing import Any

from torch import nn

from workers.models.torchvision_compat import torchvision_models

# The smallest side that each network's strides leave something of; torchvision's own is 32 for most.
_DEFAULT_MINIMUM = 32
_MINIMUM = {"alexnet": 64, "inception_v3": 75}
# Networks with one position code or window per place take exactly one size.
_FIXED = {"maxvit_t": 224, "vit_b_16": 224, "vit_b_32": 224, "vit_h_14": 224, "vit_l_16": 224, "vit_l_32": 224}
# The auxiliary heads serve a training recipe that is not ours; without them these two answer with plain logits.
_OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


def names() -> list[str]:
    """The classifiers that this torchvision has, in alphabetical order."""
    models = torchvision_models()
    return sorted(models.list_models(module=models))


def size(name: str, height: int, width: int) -> tuple[int, int]:
    """The (height, width) at which network `name` sees an input of the given size."""
    if name in _FIXED:
        return _FIXED[name], _FIXED[name]
    minimum = _MINIMUM.get(name, _DEFAULT_MINIMUM)
    return max(height, minimum), max(width, minimum)


def network(name: str, channels: int, classes: int) -> nn.Module:
    """Torchvision's network `name` with fresh weights."""
    net: nn.Module = torchvision_models().get_model(name, weights=None, num_classes=classes, **_OPTIONS.get(name, {}))
    if channels != 3:
        _replace_first_convolution(net, channels)
    return net


def _replace_first_convolution(net: nn.Module, channels: int) -> None:
    """Let `net` take `channels` channels instead of three."""
    path, old = next((path, module) for path, module in net.named_modules() if isinstance(module, nn.Conv2d))
    parent, _, name = path.rpartition(".")
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    setattr(net.get_submodule(parent), name, new)
