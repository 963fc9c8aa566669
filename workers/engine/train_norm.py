"""Batch normalisation over a batch that several processes share."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def share_statistics(network: nn.Module) -> None:
    """Let every batch normalisation take mean and variance over the parts of all processes, and learn from all.

    As torch's SyncBatchNorm does, on any device. The method is put on the instance: names and weights stay.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.forward = MethodType(_forward, module)  # type: ignore[method-assign]


class _Sum(torch.autograd.Function):
    """The sum over all processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        """Add up; every process gets the sum."""
        del ctx
        return _added(part)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Add up what each process's loss says of the sum."""
        del ctx
        return _added(gradients[0])


def _sum(part: Tensor) -> Tensor:
    whole: Tensor = _Sum.apply(part)  # type: ignore[no-untyped-call]
    return whole


def _added(part: Tensor) -> Tensor:
    whole = part.contiguous().clone()
    dist.all_reduce(whole)
    return whole


def _forward(self: Any, x: Tensor) -> Tensor:
    """Normalise x (N, C, ...) in training mode by the statistics of all processes, else as the module itself does."""
    if not (self.training or self.running_mean is None):
        normal: Tensor = type(self).forward(self, x)
        return normal
    dims = [0, *range(2, x.ndim)]
    shape = (1, -1, *[1] * (x.ndim - 2))
    count = _sum(x.new_full((), x.numel() / x.shape[1]))
    mean = _sum(x.sum(dims)) / count
    centred = x - mean.view(shape)
    variance = _sum(centred.square().sum(dims)) / count
    if self.training and self.track_running_stats:
        _learn(self, mean.detach(), variance.detach() * (count / (count - 1)))
    y: Tensor = centred * (variance + self.eps).rsqrt().view(shape)
    if self.affine:
        y = y * self.weight.view(shape) + self.bias.view(shape)
    return y


@torch.no_grad()
def _learn(module: Any, mean: Tensor, variance: Tensor) -> None:
    """Take the statistics of one batch into the running ones."""
    module.num_batches_tracked.add_(1)
    part = module.momentum
    if part is None:
        part = 1.0 / float(module.num_batches_tracked)
    module.running_mean.lerp_(mean, part)
    module.running_var.lerp_(variance, part)
