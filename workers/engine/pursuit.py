"""One run of an attack over one batch, watched from the only place where every attack passes: its goal's gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from workers.goals import Model, Targeted, Untargeted

# Steps between two looks at who is left; each look waits for the device once.
_STRIDE: Final = 4

# The batch shrinks where at most this part of it is left: a few shapes per run, not one per step.
_WORTHWHILE: Final = 0.75


class Finished(Exception):  # noqa: N818 - not an error: it ends the attack's loop from inside `gradient`
    """Raised where no sample is left to attack; never leaves the engine."""


class Pursuit:
    """A goal that keeps the books while it is pursued.

    The attack sees a `Goal`. Each call of `gradient` ticks the monitor, counts the propagations, and keeps for every
    sample the best point so far: the first one that reaches the goal, or else the one of highest objective. The clean
    input itself is no candidate.

    With `survivors_only`, samples that have reached the goal leave the batch every few steps, after a fresh forward of
    the kept point has confirmed them (one that fails goes on). The model is then asked about the others only; the
    attack still sees the whole batch, with gradient 0 where there is nothing left to do.
    """

    def __init__(
        self,
        aim: Untargeted | Targeted,
        x: Tensor,
        tick: Callable[[int], None],
        survivors_only: bool,  # noqa: FBT001
    ) -> None:
        self.best = x.clone()  # (N, ...)
        self.score = x.new_full((len(x),), -torch.inf)  # (N,) objective of `best`, or infinity once the goal is reached
        self.zero_gradient = torch.zeros_like(self.score, dtype=torch.bool)
        self.forwards = torch.zeros_like(self.score, dtype=torch.int64)
        self.backwards = torch.zeros_like(self.forwards)
        self._aim, self._live_aim = aim, aim
        self.x, self._tick, self._survivors_only = x, tick, survivors_only
        self._live: Tensor | None = None  # rows that the model is still asked about; None: all
        self._calls = 0
        self._uncounted = 0

    def gradient(self, model: Model, x: Tensor) -> Tensor:
        """Return the direction to climb at `x`; see `goals.Goal`."""
        self._tick(self._calls)
        if self._survivors_only and self._calls % _STRIDE == 0 and self._calls > 0:
            self._dismiss(model)
        here = x if self._live is None else x[self._live]
        gradient, logits, objective = self._live_aim.ascent(model, here)
        if self._calls == 0:
            steepness = gradient.abs().flatten(1).amax(dim=1)
            self.zero_gradient = ~((steepness > 0) & (steepness < torch.inf))
        self._calls += 1
        self._uncounted += 1
        if x is not self.x:
            self._record(here, logits, objective)
        return gradient if self._live is None else torch.zeros_like(x).index_copy_(0, self._live, gradient)

    def conclude(self, model: Model, last: Tensor) -> None:
        """Take the attack's last point into account, which no gradient was asked at."""
        here = last if self._live is None else last[self._live]
        logits = model(here)
        self._record(here, logits, self._live_aim.objective(logits))
        self._count(forwards=1)

    def confirm(self, model: Model) -> None:
        """Ask again about the live samples that reached the goal; those that fail are open once more."""
        rows = self._rows()
        turned = rows[self.score[rows] == torch.inf]
        if len(turned):
            reached = self._aim.select(turned).reached(model(self.best[turned]))
            self.score[turned[~reached]] = -torch.inf
            self.forwards[turned] += 1

    def _dismiss(self, model: Model) -> None:
        rows = self._rows()
        left = int((self.score[rows] < torch.inf).sum())
        if left > _WORTHWHILE * len(rows):
            return
        self._count()
        self.confirm(model)
        self._live = rows[self.score[rows] < torch.inf]
        self._live_aim = self._aim.select(self._live)
        if len(self._live) == 0:
            raise Finished

    def _record(self, here: Tensor, logits: Tensor, objective: Tensor) -> None:
        score = objective.masked_fill(self._live_aim.reached(logits), torch.inf)
        rows = slice(None) if self._live is None else self._live
        known = self.score[rows]
        better = score > known
        self.score[rows] = torch.where(better, score, known)
        self.best[rows] = torch.where(better.view(-1, *[1] * (here.ndim - 1)), here, self.best[rows])

    def _rows(self) -> Tensor:
        return torch.arange(len(self.score), device=self.score.device) if self._live is None else self._live

    def _count(self, *, forwards: int = 0) -> None:
        """Charge the live samples for the steps since the last charge, and for `forwards` more."""
        rows = self._rows()
        self.forwards[rows] += self._uncounted + forwards
        self.backwards[rows] += self._uncounted
        self._uncounted = 0
