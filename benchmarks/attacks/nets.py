"""The nets that are attacked and the samples they are attacked on; trained once, kept under out/.

    small_standard   four 3x3 convolutions (32-32-64-64, two poolings), fc200, on 28 x 28 digits; trained on them
    small_robust     the same net, trained on PGD's examples at epsilon 0.3 (engine-fact recipe: epsilon grows from 0)
    resnet18         torchvision's ResNet-18 with its own stem, on the digits at 32 x 32 x 3; trained for one epoch

The digits are `mnist10k`: 8,000 to train on, 2,000 to attack. CIFAR-10 is not there where this runs, so the ResNet sees
digits too: what is measured of it is speed, and the speed of a net does not depend on what the pictures show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workers.data.built_in import builtin
from workers.models import Signature, build

BATCH = 100
INNER_STEPS = 5


class SmallNet(nn.Module):
    """conv32, conv32, pool, conv64, conv64, pool, fc200, fc10, as arXiv:1608.04644 table 1 with one fc200 less."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(64 * 16, 200), nn.ReLU(), nn.Linear(200, 10)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 1, 28, 28) -> logits (N, 10)."""
        logits: Tensor = self.layers(x)
        return logits


@dataclass(frozen=True)
class Recipe:
    """How a net is made: Adam, one cycle up to `rate`, batches of 100; PGD at `epsilon` where that is above 0."""

    make: Callable[[], nn.Module]
    large: bool  # 32 x 32 x 3 instead of 28 x 28 x 1
    epochs: int
    rate: float
    epsilon: float = 0.0


RECIPES = {
    "small_standard": Recipe(SmallNet, large=False, epochs=4, rate=2e-3),
    "small_robust": Recipe(SmallNet, large=False, epochs=12, rate=2e-3, epsilon=0.3),
    "resnet18": Recipe(lambda: build(Signature("resnet18", (3, 32, 32), 10), seed=0), large=True, epochs=1, rate=1e-3),
}


def samples(name: str, count: int, *, split: str = "test") -> tuple[Tensor, Tensor]:
    """The first `count` digits of a split as the net `name` takes them: x (N, C, H, W) float32 in [0, 1], y (N,)."""
    digits = builtin("mnist10k", split)
    x, y = digits.pixels(slice(count)), digits.y[:count].clone()
    if RECIPES[name].large:
        x = F.interpolate(x, size=(32, 32), mode="bilinear", align_corners=False).expand(-1, 3, -1, -1).clamp(0, 1)
    return x.contiguous(), y


def net(name: str, folder: Path, device: torch.device) -> nn.Module:
    """The net in evaluation mode, in torch's ordinary memory layout; trained now if it has never been."""
    path = folder / f"{name}.pt"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = RECIPES[name].make().to(device, memory_format=torch.contiguous_format)
        if not path.exists():
            print(f"training {name}, once", flush=True)
            train(model, name, device)
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(model.state_dict(), path)
    model.load_state_dict(torch.load(path, map_location=device, weights_only=True))
    return model.eval()


def train(model: nn.Module, name: str, device: torch.device) -> None:
    """Train in place; the epsilon of a robust net grows linearly from 0 over the first half."""
    recipe = RECIPES[name]
    x, y = (part.to(device) for part in samples(name, 8000, split="train"))
    steps = recipe.epochs * (len(x) // BATCH)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=recipe.rate, total_steps=steps)
    order = torch.Generator().manual_seed(0)
    model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rows = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        if len(rows) < BATCH:
            rows = torch.randperm(len(x), generator=order)
        batch, rows = rows[:BATCH].to(device), rows[BATCH:]
        epsilon = recipe.epsilon * min(1.0, 2 * step / steps)
        points = x[batch]
        if epsilon > 0:
            points = perturbed(model, points, y[batch], epsilon, steps=INNER_STEPS, step_size=0.4 * epsilon)
        optimizer.zero_grad()
        F.cross_entropy(model(points), y[batch]).backward()
        optimizer.step()
        schedule.step()
    model.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def perturbed(model: nn.Module, x: Tensor, y: Tensor, epsilon: float, *, steps: int, step_size: float) -> Tensor:
    """PGD from a random point, and no more than that: a forward and an input gradient in each step."""
    low, high = (x - epsilon).clamp(min=0), (x + epsilon).clamp(max=1)
    point = (x + epsilon * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
    for _ in range(steps):
        point = point.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(point), y, reduction="sum"), point)
        point = torch.clamp(point.detach() + step_size * gradient.sign(), low, high)
    return point.detach()
