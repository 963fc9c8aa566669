"""The search for an adversarial example of each sample of a batch: stages, runs, and the best of what they found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from workers.engine.books import Standard
from workers.engine.looking import look
from workers.engine.plan import Recipe, Step
from workers.engine.propagate import Propagator
from workers.engine.pursuit import Clean, Finished, Pursuit, Terms
from workers.engine.seeds import generators
from workers.engine.verdict import Judged
from workers.goals import Aim, Model, Steered, Targeted, Untargeted

# The runs of a stage are fewer than two to this power.
_STAGE_BITS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Batch:
    """N samples to attack, and what their random numbers are keyed by."""

    x: Tensor  # (N, ...) float32 in [0, 1]
    y: Tensor  # (N,) int64
    sample_ids: Tensor  # (N,) int64, on the CPU
    seed: int
    tick: Callable[[int], None]  # told before every query how many there have been


@dataclass(frozen=True, kw_only=True)
class _Run:
    """Some runs of one attack, side by side in one batch."""

    step: Step
    stage: int
    rows: Tensor  # (R,) the samples of the batch, those of the first run, of the second, ...
    numbers: Tensor  # (R,) the number of each row's run
    ways: int  # classes that the runs are steered to, one after the other; 0: none
    calls: int  # queries of all runs before

    @property
    def purposes(self) -> list[int]:
        """What the random numbers of each row are for: no two runs of a job share any."""
        purposes: list[int] = (self.numbers + (self.stage << _STAGE_BITS)).tolist()
        return purposes


class Found:
    """The best point of each sample over all runs, how the model sees it, and what the search for it cost."""

    def __init__(self, x: Tensor, clean: Tensor) -> None:
        self.points = x.clone()  # (N, ...)
        self.logits = clean.detach().clone()  # (N, K)
        self.score = torch.full((len(x),), -torch.inf, dtype=torch.float64, device=x.device)  # as in `books`
        self.stage = torch.full((len(x),), -1, dtype=torch.int64, device=x.device)
        self.zero_gradient = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.forwards = torch.ones_like(self.zero_gradient, dtype=torch.int64)  # the clean pass
        self.backwards = torch.zeros_like(self.forwards)
        self.runs = 0

    def enter(self, rows: Tensor, run: _Run, pursuit: Pursuit, judged: Judged) -> None:
        """Keep what the runs over some of the samples have bettered, and charge them for it."""
        for begin in range(0, len(run.rows), len(rows)):  # several runs at once: one after the other, in their order
            part = slice(begin, begin + len(rows))
            better = (judged.score[part] > self.score[rows]).nonzero().squeeze(1)
            bettered = rows[better]
            for kept, new in zip((self.points, self.logits, self.score), judged, strict=True):
                kept[bettered] = new[part][better]
            self.stage[bettered] = run.stage
            self.zero_gradient[rows] |= pursuit.zero_gradient[part] & (run.stage == 0)
            self.forwards[rows] += pursuit.ledger.forwards[part]
            self.backwards[rows] += pursuit.ledger.backwards[part]
            self.runs += 1


@dataclass(frozen=True, kw_only=True)
class Search:
    """One recipe, one batch."""

    model: Model
    batch: Batch
    recipe: Recipe
    target: Tensor | None  # (N,) the class that each sample is to be turned into
    clean: Clean
    propagator: Propagator

    def run(self) -> Found:
        """Run every step of the recipe, as often as it says, on the samples that are still to be broken."""
        batch, clean = self.batch, self.clean
        found, rows, calls = Found(batch.x, clean.logits), clean.rows, 0
        for stage, step in enumerate(self.recipe.steps):
            done, ways = 0, min(step.targets, clean.logits.shape[1] - 1)
            runs = step.restarts * max(1, ways)
            while done < runs and len(rows) > 0:
                # Where few samples are left, several of their runs fill the batch.
                at_once = min(runs - done, max(1, len(batch.x) // len(rows)))
                numbers = torch.arange(done, done + at_once, device=rows.device).repeat_interleave(len(rows))
                run = _Run(step=step, stage=stage, rows=rows.repeat(at_once), numbers=numbers, ways=ways, calls=calls)
                pursuit, judged = self._pursue(run)
                found.enter(rows, run, pursuit, self._comparable(judged, pursuit, stage))
                done += at_once
                calls += at_once * step.calls
                if self.recipe.survivors_only:
                    rows = rows[found.score[rows] < torch.inf]
            calls += (step.runs - done) * step.calls
        if found.runs > 1:
            # What was found first was judged long ago; a randomised model must not profit from many tries.
            found.logits = look(self.model, found.points)
            found.forwards += 1
        return found

    def _aim(self, run: _Run) -> Aim:
        """Return what each row of the runs is after."""
        if self.target is not None:
            return Targeted(self.target[run.rows], run.step.loss)
        label = self.batch.y[run.rows]
        if run.ways == 0:
            return Untargeted(label, run.step.loss)
        # The likeliest other classes of the clean input, one for each run.
        others = self.clean.logits.detach().scatter(1, self.batch.y.unsqueeze(1), -torch.inf)
        likeliest = others.argsort(dim=1, descending=True, stable=True)
        return Steered(label, run.step.loss, way=likeliest[run.rows, run.numbers % run.ways])

    def _pursue(self, run: _Run) -> tuple[Pursuit, Judged]:
        """Run one attack once on each of the rows, and judge what it found."""
        entry, rows, batch, clean = run.step.entry, run.rows, self.batch, self.clean
        assert entry.run is not None, "an ensemble is run by its stages"
        ball = self.recipe.ball.select(rows)
        standard = Standard(aim=self._aim(run), ball=ball, x=batch.x[rows], keeps=entry.keeps, strays=entry.strays)
        terms = Terms(
            model=self.model,
            reads=entry.reads,
            survivors_only=self.recipe.survivors_only,
            tick=batch.tick,
            calls_before=run.calls,
            propagator=self.propagator,
        )
        fresh = run.calls == 0 and self.recipe.starts_clean and len(rows) == len(clean.rows)
        pursuit = Pursuit(standard, clean.logits.detach()[rows], terms, clean if fresh else None)
        keywords: dict[str, object] = dict(run.step.keywords)
        if entry.random:
            keywords["generator"] = generators(batch.seed, batch.sample_ids[rows.cpu()], run.purposes)
        try:
            last = entry.run(self.model, pursuit.x, pursuit, ball, **keywords)
        except Finished:
            last = None
        judged = pursuit.judge(self.model, last)
        return pursuit, self._drawn_back(judged, pursuit) if entry.minimum else judged

    def _drawn_back(self, judged: Judged, pursuit: Pursuit) -> Judged:
        """Draw points that are further away than epsilon back to the ball, and look at them there."""
        standard = pursuit.books.standard
        far = (standard.ball.distance(judged.points, standard.x) > standard.ball.epsilon).nonzero().squeeze(1)
        if len(far) == 0:
            return judged
        points, logits = judged.points.clone(), judged.logits.clone()
        points[far] = standard.ball.select(far).around(standard.x[far]).project(points[far])
        logits[far] = look(self.model, points[far])
        pursuit.ledger.spend(far)
        return Judged(points, logits, standard.score(points, logits))

    def _comparable(self, judged: Judged, pursuit: Pursuit, stage: int) -> Judged:
        """Return the verdict with scores that all stages of an ensemble share: infinity where the goal is reached.

        Of samples that withstand it is the first stage's best try that is kept: objectives of stages do not compare.
        """
        if len(self.recipe.steps) == 1:
            return judged
        reached = pursuit.books.standard.aim.reached(judged.logits)
        rest = judged.score if stage == 0 else torch.full_like(judged.score, -torch.inf)
        return judged._replace(score=rest.masked_fill(reached, torch.inf))
