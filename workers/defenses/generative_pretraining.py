"""Generative pretraining."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.failures import Rejected
from workers.losses import cross_entropy
from workers.recipe import Recipe, Round, Step


@dataclass(frozen=True, kw_only=True)
class GenerativePretraining(Recipe):
    """Every hidden layer learns to restore its corrupted input, with its own weights turned round; then training.

    first   sum_l |W_l^T r(W_l (m h_l) + b_l) - h_l|^2,   h_l the input of layer l, held constant;  r(a) = max(a, 0)
    then    J(theta, x, y)

    The mask m is 0 in a share `corruption` in [0, 1] of places and 1 elsewhere; `pretraining_epochs` >= 1. Layers are
    the linear ones and the convolutions, the last of them left out: it has nothing to restore.

    Source: Vincent, Larochelle, Bengio, Manzagol 2008, Extracting and composing robust features with denoising
    autoencoders, sections 2.3 and 2.4.
    Differs from the paper in: all layers learn at once, each from what the one before it gives at the time; decoders
    are linear and have no offsets; the error is squared.
    """

    pretraining_epochs: int
    corruption: float

    def rounds(self, epochs: int) -> tuple[Round, ...]:
        """Pretraining, then training of the same network."""
        return Round(self.pretraining_epochs), Round(epochs, fresh=False)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """The sum over layers of the mean squared error, per sample; in the second round, cross-entropy."""
        if step.round == 1:
            return cross_entropy(model(x), y).mean()
        errors = [self._restoring(layer, h, step.generator) for layer, h in _hidden(model, x)]
        return torch.stack(errors).sum()

    def _restoring(self, layer: nn.Module, h: Tensor, generator: torch.Generator) -> Tensor:
        """The mean over samples of |W^T r(W (m h) + b) - h|^2."""
        m = (torch.rand(h.shape, generator=generator) >= self.corruption).to(h.device)
        corrupted = (m * h).requires_grad_()
        a = layer(corrupted)
        # The gradient of <W h, code> by h is W^T code, for a convolution of any stride as well.
        (restored,) = torch.autograd.grad(a, corrupted, a.relu(), create_graph=True)
        return (restored - h).flatten(1).square().sum(dim=1).mean()


def _hidden(model: nn.Module, x: Tensor) -> list[tuple[nn.Module, Tensor]]:
    """The layers but the last, in the order in which they are asked, each with its input, detached."""
    seen: list[tuple[nn.Module, Tensor]] = []
    layers = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs: seen.append((layer, inputs[0].detach())))
        for layer in layers
    ]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    if len(seen) < 2:
        raise Rejected("NO_HIDDEN_LAYERS", "generative pretraining is for networks with hidden layers; this has none")
    return seen[:-1]
