"""One run of an attack over one batch, watched from the only place where every attack passes: its goal's gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor

from workers.failures import Rejected
from workers.goals import Ascent, Model, Targeted, Untargeted

# After how many steps to look at what they came to for the first time, and at most how many later; in between their
# points are kept. A look is a dozen small operations and a wait for the device: nothing for a batch, but the time of a
# whole step for a single sample, which therefore goes longer without: 8, 32, 96, 160, ... instead of 4, 8, 16, 24, ...
_FIRST_LOOK, _LONGEST = 4, 8
_FIRST_LOOK_ALONE, _LONGEST_ALONE = 8, 64

# The batch shrinks where at most this part of it is left: a few shapes per run, not one per step.
_WORTHWHILE: Final = 0.75


class Finished(Exception):
    """Raised out of `gradient` where no sample is left to attack: it ends the attack's loop, and is no error."""


class Judged(NamedTuple):
    """What a run came to: a point of each sample, with the logits of a fresh forward of it."""

    points: Tensor  # (N, ...)
    logits: Tensor  # (N, K)
    score: Tensor  # (N,) the objective, or infinity where the goal is reached


class Clean(NamedTuple):
    """A clean pass whose graph is still there, so that the first gradient needs no second one."""

    point: Tensor  # (M, ...) the batch that was passed, requires a gradient
    logits: Tensor  # (M, K)
    rows: Tensor  # (N,) the samples of it that are attacked


def look(model: Model, x: Tensor) -> Tensor:
    """Return the logits (N, K) of one forward without a graph; raises `Rejected` where they can't be judged."""
    with torch.no_grad():
        return checked(model(x.clone()).float(), x)  # a copy, for models that write into their input


def checked(logits: Tensor, x: Tensor) -> Tensor:
    """Return the logits of `x` as they are; raises `Rejected` where they can't be judged."""
    if logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] < 2:
        raise Rejected("BAD_LOGITS", f"the model must return logits (N, classes >= 2), not {tuple(logits.shape)}")
    low, high = (float(bound) for bound in logits.detach().aminmax())  # both NaN where any logit is
    if not (math.isfinite(low) and math.isfinite(high)):
        raise Rejected("LOGITS_NOT_FINITE", "the model returns NaN or infinite logits; check its weights and training")
    return logits


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
        *,
        calls: int,
        survivors_only: bool,
        clean: Clean | None,
    ) -> None:
        self.x = x  # (N, ...) what the attack starts from
        self.zero_gradient = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        # Of this run alone; the clean pass, where it serves as the first forward, is charged to the batch.
        self.forwards = torch.full_like(self.zero_gradient, 0 if clean is None else -1, dtype=torch.int64)
        self.backwards = torch.zeros_like(self.forwards)
        self._best = x.clone()
        self._score = x.new_full((len(x),), -torch.inf)  # of `_best`, as in `Judged`
        self._aim, self._live_aim = aim, aim
        self._live: Tensor | None = None  # rows that the model is still asked about; None: all
        self._tick, self._survivors_only, self._clean = tick, survivors_only, clean
        self._unread: list[tuple[Tensor, Tensor]] = []  # points and logits of the last few steps
        self._calls, self._calls_before = 0, calls  # gradients asked for in this run, and in the runs before
        self._alone = len(x) == 1
        self._next_look = _FIRST_LOOK_ALONE if self._alone else _FIRST_LOOK
        self._charged = 0

    def gradient(self, model: Model, x: Tensor) -> Tensor:
        """Return the direction to climb at `x`; see `goals.Goal`."""
        self._tick(self._calls_before + self._calls)
        if self._calls == self._next_look:
            self._next_look += min(3 * self._calls, _LONGEST_ALONE) if self._alone else min(self._calls, _LONGEST)
            self._read()
            if self._survivors_only:
                self._dismiss(model)
        here = x if self._live is None else x[self._live]
        ascent = self._ascent(model, here)
        if self._calls == 0:
            steepness = torch.linalg.vector_norm(ascent.gradient.flatten(1), torch.inf, dim=1)
            self.zero_gradient = ~((steepness > 0) & (steepness < torch.inf))
        self._calls += 1
        if x is not self.x:
            self._unread.append((here, ascent.logits))
        if self._live is None:
            return ascent.gradient
        return torch.zeros_like(x).index_copy_(0, self._live, ascent.gradient)

    def judge(self, model: Model, last: Tensor | None) -> Judged:
        """Look afresh at where each sample ended: at the goal, at the attack's last point, or at a better one before.

        `last` (N, ...) is what the attack returned; None where it was cut short, every sample being done.
        """
        self._read()
        self._charge(forwards=1)
        turned = self._score == torch.inf
        points = self._best if last is None else torch.where(_over(turned, last), self._best, last)
        logits = look(model, points)
        score = _worth(self._aim, logits)
        regretted = (score < self._score) & ~turned
        if regretted.any():
            rows = regretted.nonzero().squeeze(1)
            points[rows] = self._best[rows]
            logits[rows] = look(model, points[rows])
            score = _worth(self._aim, logits)
            self.forwards[rows] += 1
        return Judged(points, logits, score)

    def _ascent(self, model: Model, here: Tensor) -> Ascent:
        if self._clean is None or here is not self.x:
            return self._live_aim.ascent(model, here)
        point, logits, rows = self._clean
        self._clean = None  # its graph can be used once
        ascent = self._aim.slope(logits[rows], point)
        return ascent._replace(gradient=ascent.gradient[rows])

    def _read(self) -> None:
        """Enter the points of the last steps in the books: the first one at the goal, or the highest."""
        if not self._unread:
            return
        points, logits = zip(*self._unread, strict=True)
        self._unread.clear()
        scores = _worth(self._live_aim.repeat(len(points)), torch.cat(logits)).view(len(points), -1)  # (steps, n)
        scores.nan_to_num_(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)  # max would choose NaN
        score, step = scores.max(dim=0)  # the first of equals
        known = self._score if self._live is None else self._score[self._live]
        rows = (score > known).nonzero().squeeze(1)
        bettered = rows if self._live is None else self._live[rows]
        # One sample needs no stack of points; it has one best step.
        best = points[int(step)][rows] if len(step) == 1 else torch.stack(points)[step[rows], rows]
        self._best.index_copy_(0, bettered, best)
        self._score.index_copy_(0, bettered, score.index_select(0, rows))

    def _dismiss(self, model: Model) -> None:
        """Let the samples go that have reached the goal, if they are many enough and a fresh forward agrees."""
        rows = self._rows()
        done = self._score[rows] == torch.inf
        turned = rows[done]
        if len(rows) - len(turned) > _WORTHWHILE * len(rows):
            return
        self._charge()
        confirmed = self._aim.select(turned).reached(look(model, self._best[turned]))
        self.forwards[turned] += 1
        self._score[turned[~confirmed]] = -torch.inf
        self._live = rows[self._score[rows] < torch.inf]
        self._live_aim = self._aim.select(self._live)
        if len(self._live) == 0:
            raise Finished

    def _rows(self) -> Tensor:
        return torch.arange(len(self.x), device=self.x.device) if self._live is None else self._live

    def _charge(self, *, forwards: int = 0) -> None:
        """Charge the live samples for the steps since the last time; and every sample for more forwards."""
        rows = slice(None) if self._live is None else self._live
        self.forwards[rows] += self._calls - self._charged
        self.backwards[rows] += self._calls - self._charged
        self.forwards += forwards
        self._charged = self._calls


def _worth(aim: Untargeted | Targeted, logits: Tensor) -> Tensor:
    """Return the objective, or infinity where the goal is reached, (N,)."""
    return aim.objective(logits).masked_fill(aim.reached(logits), torch.inf)


def _over(mask: Tensor, like: Tensor) -> Tensor:
    """Shape (N,) so that it broadcasts over (N, ...)."""
    return mask.view(-1, *[1] * (like.ndim - 1))
