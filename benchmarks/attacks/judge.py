"""One ruler for everybody's results: box, ball, and the label of a fresh float32 forward in evaluation mode."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

SLACK = 1e-6  # times epsilon where that is above 1
STRIDE = 250


@dataclass(frozen=True, eq=False)
class Verdict:
    """What became of N samples."""

    broken: Tensor  # (N,) bool: valid, right before, and wrong now (or the target's)
    attacked: Tensor  # (N,) bool: right on the clean sample; with a target, of another class
    distance: Tensor  # (N,) float32 in the case's norm
    robust_accuracy: float  # part that is right before and was not broken
    success_rate: float  # broken / attacked
    mean_distance: float | None  # of those that broke; None where none did
    violations: int  # outside box or ball, or not finite: never a success

    def figures(self) -> dict[str, float | int | None]:
        """The numbers that go into the results."""
        return {name: value for name, value in asdict(self).items() if not isinstance(value, Tensor)}


@torch.no_grad()
def judge(
    model: nn.Module, x: Tensor, y: Tensor, x_adv: Tensor, *, norm: str, epsilon: float, target: int | None
) -> Verdict:
    """Judge x_adv (N, ...) against x (N, ...), y (N,); the slack of ball and box is 1e-6."""
    model.eval()
    clean, now = predictions(model, x), predictions(model, x_adv.to(x))
    distance = distances(x_adv.to(x), x, norm)
    low, high = x_adv.to(x).flatten(1).aminmax(dim=1)
    # Comparisons with NaN are false.
    valid = (distance <= epsilon + SLACK * max(1.0, epsilon)) & (low >= -SLACK) & (high <= 1 + SLACK)
    attacked = clean == y if target is None else y != target
    broken = attacked & valid & (now != y if target is None else now == target)
    return Verdict(
        broken=broken,
        attacked=attacked,
        distance=distance,
        robust_accuracy=float(((clean == y) & ~broken).float().mean()),
        success_rate=float(broken.sum() / attacked.sum().clamp(min=1)),
        mean_distance=float(distance[broken].mean()) if bool(broken.any()) else None,
        violations=int((~valid).sum()),
    )


def predictions(model: nn.Module, x: Tensor) -> Tensor:
    """The label of each sample, (N,); 250 at a time."""
    return torch.cat([model(part.float()).argmax(dim=1) for part in x.split(STRIDE)])


def distances(x_adv: Tensor, x: Tensor, norm: str) -> Tensor:
    """The length of each change, (N,) float32, summed in float64."""
    change = (x_adv.double() - x.double()).flatten(1)
    order = {"linf": torch.inf, "l2": 2, "l1": 1, "l0": 0}[norm]
    length: Tensor = torch.linalg.vector_norm(change, order, dim=1)
    return length.float()
