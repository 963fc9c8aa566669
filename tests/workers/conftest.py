"""A model whose optimum is known, one with all the state that a careless attack disturbs, and a plain one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

torch.set_num_threads(1)

CLASSES, BLOCK, SLOPE = 4, 16, 10.0  # classes, pixels per class, weight of each


class LinearOracle(nn.Module):
    """z_k = SLOPE * (sum of block k's pixels - their value at grey): every class has pixels of its own.

    Changing a block by d per pixel changes its logit alone, by SLOPE * BLOCK * d; so the shortest way to any other
    answer is known exactly, in L-infinity and in L2, for a target and without one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(SLOPE * torch.eye(CLASSES).repeat_interleave(BLOCK, dim=1))  # (K, D)

    def forward(self, x: Tensor) -> Tensor:
        return (x - 0.5).flatten(1) @ self.weight.T


@dataclass(frozen=True)
class Oracle:
    """Samples of the linear model, and the distance of each from any other class."""

    model: LinearOracle
    x: Tensor  # (N, *shape), so far inside the box that no attack below meets it
    y: Tensor  # (N,)
    runner_up: Tensor  # (N,) the second class, which all others are far behind
    logits: Tensor  # (N, K)

    @property
    def ids(self) -> Tensor:
        return torch.arange(len(self.y))

    def distance(self, norm: str, target: Tensor | None = None) -> Tensor:
        """(N,) the length of the shortest perturbation that gives another answer, or the target's."""
        z, own = self.logits.double(), self.logits.double().max(dim=1).values
        if target is None:
            second = z.topk(2, dim=1).values[:, 1]
            gap = own - second
            return (gap / (2 * SLOPE * BLOCK) if norm == "linf" else gap / (SLOPE * math.sqrt(2 * BLOCK))).float()
        goal = z.gather(1, target.unsqueeze(1)).squeeze(1)
        if norm == "linf":
            return ((own - goal) / (2 * SLOPE * BLOCK)).float()
        # Raise the target to a level and push down to it whatever is above: the shortest over all levels.
        level = goal + torch.linspace(0, 1, 20001).unsqueeze(1) * (own - goal)  # (levels, N)
        above = (z.T.unsqueeze(0) - level.unsqueeze(1)).clamp_min(0).square().sum(dim=1)
        shortest = ((level - goal).square() + above).sqrt().amin(dim=0)
        return (shortest / (SLOPE * math.sqrt(BLOCK))).float()


@pytest.fixture
def make_oracle():
    """Build an oracle of `count` samples with inputs of the given rank."""

    def build(count: int, rank: int = 3) -> Oracle:
        generator = torch.Generator().manual_seed(count)
        order = torch.stack([torch.randperm(CLASSES, generator=generator) for _ in range(count)])  # best class first
        behind = torch.tensor([0.0, 3.0, 8.0, 9.0]) + torch.rand(count, CLASSES, generator=generator)
        logits = torch.empty(count, CLASSES).scatter_(1, order, -behind)
        noise = 0.01 * torch.randn(count, CLASSES, BLOCK, generator=generator)
        pixels = 0.5 + logits.unsqueeze(2) / (SLOPE * BLOCK) + noise - noise.mean(dim=2, keepdim=True)
        shape = {1: (64,), 2: (8, 8), 3: (1, 8, 8)}[rank]
        return Oracle(LinearOracle(), pixels.reshape(count, *shape), order[:, 0], order[:, 1], logits)

    return build


class Fussy(nn.Module):
    """A net with all the state that an attack may disturb: two batch norms in different modes, dropout, a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.awake, self.asleep = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4 * 36, 5)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        h = self.drop(torch.relu(self.asleep(self.awake(self.conv(x)))))
        return self.head(torch.nn.functional.dropout(h.flatten(1), 0.01, training=True))


@pytest.fixture
def fussy() -> Fussy:
    """In train mode but for one batch norm, one parameter frozen, one gradient set; 6 x 6 inputs, 5 classes."""
    torch.manual_seed(0)
    model = Fussy().train()
    model.asleep.eval()
    model.asleep.running_mean.normal_()
    model.head.bias.requires_grad_(requires_grad=False)
    model.conv.weight.grad = torch.randn_like(model.conv.weight)
    return model


@pytest.fixture
def small_net() -> nn.Sequential:
    """An untrained convolutional net for (1, 12, 12), 6 classes, eval mode, the same in every test."""
    torch.manual_seed(3)
    features = (nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten())
    return nn.Sequential(*features, nn.Linear(16 * 9, 6)).eval()


@pytest.fixture
def pictures(small_net: nn.Sequential):
    """32 noise pictures (32, 1, 12, 12) and the labels that `small_net` gives them, so that all are attacked."""
    x = torch.rand(32, 1, 12, 12, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return x, small_net(x).argmax(dim=1)
