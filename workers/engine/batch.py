"""One batch under attack: clean pass, target, restarts, verification. All tensors are on the model's device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from workers.attacks import least_likely
from workers.engine.plan import Recipe
from workers.engine.pursuit import Finished, Pursuit
from workers.engine.seeds import generators, random_targets
from workers.failures import Rejected
from workers.goals import Model, Targeted, Untargeted
from workers.threats import TOLERANCE, Ball


@dataclass(frozen=True, kw_only=True)
class Batch:
    """N samples to attack, and what their random numbers are keyed by."""

    x: Tensor  # (N, ...) float32 in [0, 1]
    y: Tensor  # (N,) int64
    sample_ids: Tensor  # (N,) int64
    seed: int
    tick: Callable[[int, int], None]  # told before every gradient: the restart, and the gradients asked for in it


class Found:
    """The best point of each sample over all restarts, and what the search for it cost."""

    def __init__(self, x: Tensor) -> None:
        self.x_adv = x.clone()  # (N, ...)
        self.score = x.new_full((len(x),), -torch.inf)  # (N,) as in `Pursuit`
        self.zero_gradient = torch.zeros_like(self.score, dtype=torch.bool)
        self.forwards = torch.zeros_like(self.score, dtype=torch.int64)
        self.backwards = torch.zeros_like(self.forwards)

    def absorb(self, rows: Tensor, run: Pursuit) -> None:
        """Enter the outcome of one run over some of the samples."""
        better = run.score > self.score[rows]
        self.x_adv[rows[better]] = run.best[better]
        self.score[rows[better]] = run.score[better]
        self.zero_gradient[rows] |= run.zero_gradient
        self.forwards[rows] += run.forwards
        self.backwards[rows] += run.backwards


def attack_batch(model: Model, batch: Batch, recipe: Recipe) -> dict[str, Tensor]:
    """Attack N samples; returns every tensor of `AttackResult` by its name, and `violation` (N,) bool."""
    x, y = batch.x, batch.y
    clean = look(model, batch.x)
    if int(y.max()) >= clean.shape[1]:
        raise Rejected("LABEL_OUT_OF_RANGE", f"label {int(y.max())}, but the model has {clean.shape[1]} classes")
    target = _target(recipe, clean, batch)
    aim = Untargeted(y, recipe.loss) if target is None else Targeted(target, recipe.loss)
    attacked = clean.argmax(dim=1) == y if target is None else target != y
    # A sample that answers its target already is a success as it is.
    found = _search(model, batch, recipe, aim, attacked & ~aim.reached(clean))
    final = look(model, found.x_adv)
    violation = _violates(found.x_adv, x, recipe.ball)
    clean_confidence, clean_prediction = clean.softmax(dim=1).max(dim=1)
    confidence, prediction = final.softmax(dim=1).max(dim=1)
    return {
        "x_adv": found.x_adv,
        "clean_prediction": clean_prediction,
        "clean_confidence": clean_confidence,
        "prediction": prediction,
        "confidence": confidence,
        "success": attacked & aim.reached(final) & ~violation,
        "attacked": attacked,
        "zero_gradient": found.zero_gradient,
        "distance": recipe.ball.distance(found.x_adv, x),
        "target": torch.full_like(y, -1) if target is None else target,
        "forwards": found.forwards + 2,
        "backwards": found.backwards,
        "violation": violation,
    }


def look(model: Model, x: Tensor) -> Tensor:
    """Return the logits (N, K) of one forward; raises `Rejected` where they can't be judged."""
    logits = model(x)
    if logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] < 2:
        raise Rejected("BAD_LOGITS", f"the model must return logits (N, classes >= 2), not {tuple(logits.shape)}")
    if not torch.isfinite(logits).all():
        raise Rejected("LOGITS_NOT_FINITE", "the model returns NaN or infinite logits; check its weights and training")
    return logits


def _search(model: Model, batch: Batch, recipe: Recipe, aim: Untargeted | Targeted, wanted: Tensor) -> Found:
    """Run the attack on the wanted rows once per restart."""
    found = Found(batch.x)
    rows = wanted.nonzero().squeeze(1)
    for restart in range(recipe.restarts):
        if len(rows) == 0:
            break
        random = {"generator": generators(batch.seed, batch.sample_ids[rows.cpu()], restart)}
        run = Pursuit(aim.select(rows), batch.x[rows], partial(batch.tick, restart), recipe.survivors_only)
        try:
            last = recipe.entry.run(
                model, run.x, run, recipe.ball, **recipe.keywords, **(random if recipe.entry.random else {})
            )
            run.conclude(model, last)
        except Finished:
            pass
        if recipe.survivors_only and restart + 1 < recipe.restarts:
            run.confirm(model)
        found.absorb(rows, run)
        if recipe.survivors_only:
            rows = rows[run.score < torch.inf]
    return found


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


def _violates(x_adv: Tensor, x: Tensor, ball: Ball) -> Tensor:
    """Return where a result is outside its ball or the box, or not finite, (N,) bool."""
    slack = TOLERANCE * max(1.0, ball.epsilon)
    inside = ball.distance(x_adv, x) <= ball.epsilon + slack  # False for NaN
    low, high = x_adv.flatten(1).aminmax(dim=1)
    return ~(inside & (low >= -TOLERANCE) & (high <= 1 + TOLERANCE))
