"""One batch under attack: clean pass, target, search, verdict. All tensors are on the model's device."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.attacks import least_likely
from workers.engine.looking import answers, checked, look
from workers.engine.plan import Recipe
from workers.engine.propagate import Propagator
from workers.engine.pursuit import Clean
from workers.engine.search import Batch, Search
from workers.engine.seeds import random_targets
from workers.failures import Rejected
from workers.goals import Model, Targeted, Untargeted
from workers.threats import TOLERANCE, Ball

__all__ = ["Batch", "attack_batch"]


def attack_batch(model: Model, batch: Batch, recipe: Recipe, propagator: Propagator) -> dict[str, Tensor]:
    """Attack N samples; returns every tensor of `AttackResult` by its name, and `violation` (N,) bool."""
    x, y = batch.x, batch.y
    point = x.detach().requires_grad_(recipe.starts_clean)
    clean = checked(model(point).float(), x) if recipe.starts_clean else look(model, x)
    if int(y.max()) >= clean.shape[1]:
        raise Rejected("LABEL_OUT_OF_RANGE", f"label {int(y.max())}, but the model has {clean.shape[1]} classes")
    target = _target(recipe, clean, batch)
    attacked = clean.argmax(dim=1) == y if target is None else target != y
    # A sample that answers its target already is a success as it is.
    wanted = attacked if target is None else attacked & (clean.argmax(dim=1) != target)
    if recipe.from_nothing:
        attacked = wanted = torch.ones_like(attacked)
    rows = wanted.nonzero().squeeze(1)
    search = Search(
        model=model,
        batch=batch,
        recipe=recipe,
        target=target,
        clean=Clean(point, clean, rows),
        propagator=propagator,
    )
    found = search.run()
    reached = (Untargeted(y) if target is None else Targeted(target)).reached(found.logits)
    clean_prediction, clean_confidence = answers(clean.detach())
    prediction, confidence = answers(found.logits)
    distance = recipe.ball.distance(found.points, x)
    violation = _violates(found.points, distance, recipe.ball)
    success = attacked & reached & ~violation
    return {
        "x_adv": found.points,
        "clean_prediction": clean_prediction,
        "clean_confidence": clean_confidence,
        "prediction": prediction,
        "confidence": confidence,
        "success": success,
        "stage": found.stage.masked_fill(~success, -1),
        "attacked": attacked,
        "zero_gradient": found.zero_gradient,
        "distance": distance,
        "target": torch.full_like(y, -1) if target is None else target,
        "forwards": found.forwards,
        "backwards": found.backwards,
        "violation": violation,
    }


def _target(recipe: Recipe, clean: Tensor, batch: Batch) -> Tensor | None:
    """Return the class that each sample is to be turned into, (N,); None without a target."""
    classes = clean.shape[1]
    match recipe.goal.kind:
        case "untargeted":
            return None
        case "least_likely":
            return least_likely(clean)
        case "each":
            return (batch.sample_ids % classes).to(batch.y.device)
        case "random":
            return random_targets(batch.seed, batch.sample_ids, batch.y, classes)
        case "label":
            assert recipe.goal.label is not None  # `look_up` saw to it
            if not 0 <= recipe.goal.label < classes:
                raise Rejected(
                    "TARGET_OUT_OF_RANGE", f"target {recipe.goal.label}, but the model has {classes} classes"
                )
            return torch.full_like(batch.y, recipe.goal.label)


def _violates(points: Tensor, distance: Tensor, ball: Ball) -> Tensor:
    """Return where a result is outside its ball or the box, or not finite, (N,) bool."""
    low, high = points.flatten(1).aminmax(dim=1)
    slack = TOLERANCE * torch.as_tensor(ball.epsilon).clamp_min(1).to(distance.device)
    # Every comparison with NaN is false.
    return ~((distance <= ball.epsilon + slack) & (low >= -TOLERANCE) & (high <= 1 + TOLERANCE))
