"""Virtual adversarial training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from workers.losses import cross_entropy, kl
from workers.recipe import Recipe, Step
from workers.threats import draw


@dataclass(frozen=True, kw_only=True)
class VirtualAdversarialTraining(Recipe):
    """Cross-entropy where there are labels, and everywhere how far the prediction can be moved within a small ball.

    J(theta, x, y) + weight mean_x' KL(p(x') || p(x' + r)),   r = radius d / ||d||_2
    d ~ N(0, I), then `power_iterations` times   d <- grad_d KL(p(x') || p(x' + xi d / ||d||_2))

    With the true gradient r approaches the direction in which the divergence is most curved, and no label is needed for
    it. No gradient flows through p(x') or r. `radius`, `xi` > 0 in L2 over all values of a picture, pixel units;
    `power_iterations` >= 1; `weight` > 0; with `entropy` the mean entropy of p(x') is added (+EntMin). `labelled` >= 0
    labels are read, 0 for all: then x' is x; else x' are batches of all pictures, beside `labelled_batch` >= 1 of those
    with labels. Batch normalisation works with the statistics of each batch, and learns from x' alone.

    At the xi of the paper's code, 1e-6, float32 rounds most of p(x') - p(x' + xi d) away: r is a direction that moves
    the logits, but a random one among those. With few labels this trains better than the most curved direction, which
    xi = 1e-3 finds (docs/virtual-adversarial.md), and makes a training sensitive to the last bit.

    Source: arXiv:1507.00677, section 2; arXiv:1704.03976, eqs. 5 to 12 and section 4.2 (EntMin).
    Differs from the paper in: batch normalisation learns from all pictures, the paper's from the labelled ones.
    """

    radius: float
    xi: float
    power_iterations: int
    weight: float
    entropy: bool
    # With defaults, or the properties of `Recipe` would stand in the way of fields of these names.
    labelled: int = 0
    labelled_batch: int = 100

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """The loss on labels, the smoothness of the prediction, and its entropy if asked for."""
        pictures = x if step.unlabelled is None else step.unlabelled
        if step.unlabelled is None:
            z = model(x)
            loss = cross_entropy(z, y).mean()
        else:
            with _statistics_kept(model):
                loss = cross_entropy(model(x), y).mean()
            with torch.set_grad_enabled(self.entropy):
                z = model(pictures)
        r = self._direction(model, pictures, z.detach(), step.generator)
        with _statistics_kept(model):
            loss = loss + self.weight * kl(model(pictures + self.radius * r), z.detach()).mean()
        if self.entropy:
            loss = loss - (z.softmax(dim=1) * z.log_softmax(dim=1)).sum(dim=1).mean()
        return loss

    def _direction(self, model: nn.Module, x: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
        """The unit vectors (N, C, H, W) in which KL(z || model(x + d)) grows fastest, by power iteration."""
        d = _unit(draw(torch.randn, x, generator))
        for _ in range(self.power_iterations):
            point = (x + self.xi * d).requires_grad_()
            with _statistics_kept(model):
                (slope,) = torch.autograd.grad(kl(model(point), z).sum(), point)
            d = _unit(slope)
        return d


def _unit(d: Tensor) -> Tensor:
    """Scale each sample to length 1, or leave it 0; by its largest value first, as 1e-30 squared is 0 in float32."""
    tiny = torch.finfo(d.dtype).tiny
    d = d / d.flatten(1).abs().amax(dim=1).clamp_min(tiny).view(-1, 1, 1, 1)
    unit: Tensor = d / d.flatten(1).norm(dim=1).clamp_min(tiny).view(-1, 1, 1, 1)
    return unit


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """Batch normalisation goes on with the batch's own statistics, and neither learns nor counts the batch."""
    learning = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    for module in learning:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in learning:
            module.track_running_stats = True
