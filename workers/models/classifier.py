"""The shape that every model of the registry has: normalise, enlarge if need be, then the network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workers.models.signature import Signature


class Normalize(nn.Module):
    """Computes (x - mean) / std per channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """`mean` and `std` have one number per channel."""
        super().__init__()
        # Not persistent: they belong to the signature, and a weights file must not be able to change them.
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W)."""
        return (x - self.mean) / self.std


class Resize(nn.Module):
    """Bilinear resizing, computed as rows @ x @ columns.

    Two products with fixed matrices give what `F.interpolate` gives, and their gradient is a product too: on a GPU
    it is the same in every run, which the gradient of `F.interpolate` is not.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, size: tuple[int, int], to: tuple[int, int]) -> None:
        """`size` and `to` are (height, width)."""
        super().__init__()
        self.register_buffer("rows", _linear(size[0], to[0]).T.contiguous(), persistent=False)
        self.register_buffer("columns", _linear(size[1], to[1]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, h, w) -> (N, C, H, W)."""
        return self.rows @ (x @ self.columns)


def _linear(size: int, to: int) -> Tensor:
    """Linear interpolation from `size` points to `to` points as a matrix (size, to)."""
    return F.interpolate(torch.eye(size)[None], size=to, mode="linear", align_corners=False)[0]


class Classifier(nn.Module):
    """A network with its input side; `forward` takes x in [0, 1] of shape (N, C, H, W) and gives logits (N, K)."""

    def __init__(self, signature: Signature, network: nn.Module, size: tuple[int, int]) -> None:
        """`size` is the (height, width) that `network` takes; inputs of another size are resized to it.

        A network with a component around it takes pixels as they are: the component has classifiers inside.
        """
        super().__init__()
        channels, *given = signature.input_shape
        self.signature = signature
        self.normalize: nn.Module = nn.Identity()
        if signature.component is None and (signature.mean or signature.std):
            self.normalize = Normalize(signature.mean or (0.0,) * channels, signature.std or (1.0,) * channels)
        self.resize: nn.Module = nn.Identity() if tuple(given) == size else Resize((given[0], given[1]), size)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> logits (N, K)."""
        logits: Tensor = self.network(self.resize(self.normalize(x)))
        return logits
