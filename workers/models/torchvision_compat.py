"""Imports torchvision, also beside a torch that its compiled part was not built for.

torchvision's wheel carries compiled operators for one build of torch. Beside another one (say a CPU build of torch)
they can't be loaded; torchvision allows for that, but then describes two of them, `nms` and `qnms`, to torch's shape
inference without having declared them, and its import fails. Declaring those two is enough: classifiers use neither.
"""

from __future__ import annotations

import functools
from types import ModuleType

import torch

_UNDECLARED = "torchvision::nms does not exist"
_SCHEMAS = ("nms", "qnms")


@functools.cache
def torchvision_models() -> ModuleType:
    """`torchvision.models`; the import takes seconds, so it waits until somebody needs it.

    Where torchvision loads by itself nothing else is done.
    """
    try:
        from torchvision import models
    except RuntimeError as error:
        if _UNDECLARED not in str(error):
            raise
        _declare()
        from torchvision import models
    return models  # type: ignore[no-any-return]


@functools.cache
def _declare() -> torch.library.Library:
    """Declare the operators; they stay declared for as long as the library object lives, hence the cache."""
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in _SCHEMAS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    return library
