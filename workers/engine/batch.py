"""One batch under attack: clean pass, target, restarts, verdict. All tensors are on the model's device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workers.attacks import least_likely
from workers.engine.plan import Recipe
from workers.engine.pursuit import Clean, Finished, Judged, Pursuit, checked, look
from workers.engine.seeds import generators, random_targets
from workers.failures import Rejected
from workers.goals import Model, Targeted, Untargeted
from workers.threats import TOLERANCE, Ball


@dataclass(frozen=True, kw_only=True)
class Batch:
    """N samples to attack, and what their random numbers are keyed by."""

    x: Tensor  # (N, ...) float32 in [0, 1]
    y: Tensor  # (N,) int64
    sample_ids: Tensor  # (N,) int64, on the CPU
    seed: int
    tick: Callable[[int], None]  # told before every gradient how many have been asked for


class Found:
    """The best point of each sample over all restarts, how the model sees it, and what the search for it cost."""

    def __init__(self, x: Tensor, clean: Tensor) -> None:
        self.points = x.clone()  # (N, ...)
        self.logits = clean.detach().clone()  # (N, K)
        self.score = x.new_full((len(x),), -torch.inf)  # (N,) as in `Judged`
        self.zero_gradient = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.forwards = torch.ones_like(self.zero_gradient, dtype=torch.int64)  # the clean pass
        self.backwards = torch.zeros_like(self.forwards)

    def enter(self, rows: Tensor, run: Pursuit, judged: Judged) -> None:
        """Keep what one run over some of the samples has bettered, and charge them for it."""
        better = (judged.score > self.score[rows]).nonzero().squeeze(1)
        bettered = rows[better]
        for kept, new in zip((self.points, self.logits, self.score), judged, strict=True):
            kept[bettered] = new[better]
        self.zero_gradient[rows] |= run.zero_gradient
        self.forwards[rows] += run.forwards
        self.backwards[rows] += run.backwards


def attack_batch(model: Model, batch: Batch, recipe: Recipe) -> dict[str, Tensor]:
    """Attack N samples; returns every tensor of `AttackResult` by its name, and `violation` (N,) bool."""
    x, y = batch.x, batch.y
    point = x.detach().requires_grad_(recipe.starts_clean)
    clean = checked(model(point).float(), x) if recipe.starts_clean else look(model, x)
    if int(y.max()) >= clean.shape[1]:
        raise Rejected("LABEL_OUT_OF_RANGE", f"label {int(y.max())}, but the model has {clean.shape[1]} classes")
    target = _target(recipe, clean, batch)
    aim = Untargeted(y, recipe.loss) if target is None else Targeted(target, recipe.loss)
    attacked = clean.argmax(dim=1) == y if target is None else target != y
    # A sample that answers its target already is a success as it is.
    rows = (attacked & ~aim.reached(clean)).nonzero().squeeze(1)
    found = _search(model, batch, recipe, aim, Clean(point, clean, rows))
    clean_confidence, clean_prediction = clean.detach().softmax(dim=1).max(dim=1)
    confidence, prediction = found.logits.softmax(dim=1).max(dim=1)
    distance = recipe.ball.distance(found.points, x)
    violation = _violates(found.points, distance, recipe.ball)
    return {
        "x_adv": found.points,
        "clean_prediction": clean_prediction,
        "clean_confidence": clean_confidence,
        "prediction": prediction,
        "confidence": confidence,
        "success": attacked & aim.reached(found.logits) & ~violation,
        "attacked": attacked,
        "zero_gradient": found.zero_gradient,
        "distance": distance,
        "target": torch.full_like(y, -1) if target is None else target,
        "forwards": found.forwards,
        "backwards": found.backwards,
        "violation": violation,
    }


def _search(model: Model, batch: Batch, recipe: Recipe, aim: Untargeted | Targeted, clean: Clean) -> Found:
    """Run the attack once per restart, on the samples that are still to be broken."""
    found, rows = Found(batch.x, clean.logits), clean.rows
    for restart in range(recipe.restarts):
        if len(rows) == 0:
            break
        run = Pursuit(
            aim.select(rows),
            batch.x[rows],
            batch.tick,
            calls=restart * recipe.calls,
            survivors_only=recipe.survivors_only,
            clean=clean if recipe.starts_clean else None,
        )
        try:
            last = recipe.entry.run(model, run.x, run, recipe.ball, **_keywords(batch, recipe, rows, restart))
        except Finished:
            last = None
        judged = run.judge(model, last)
        found.enter(rows, run, judged)
        if recipe.survivors_only:
            rows = rows[judged.score < torch.inf]
    if recipe.restarts > 1:
        # What was found first was judged long ago; a randomised model must not profit from many tries.
        found.logits = look(model, found.points)
        found.forwards += 1
    return found


def _keywords(batch: Batch, recipe: Recipe, rows: Tensor, restart: int) -> dict[str, Any]:
    if not recipe.entry.random:
        return dict(recipe.keywords)
    streams = generators(batch.seed, batch.sample_ids[rows.cpu()], restart)
    return {**recipe.keywords, "generator": streams}


def _target(recipe: Recipe, clean: Tensor, batch: Batch) -> Tensor | None:
    """Return the class that each sample is to be turned into, (N,); None without a target."""
    classes = clean.shape[1]
    match recipe.goal.kind:
        case "untargeted":
            return None
        case "least_likely":
            return least_likely(clean)
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
    slack = TOLERANCE * max(1.0, ball.epsilon)
    # Every comparison with NaN is false.
    return ~((distance <= ball.epsilon + slack) & (low >= -TOLERANCE) & (high <= 1 + TOLERANCE))
