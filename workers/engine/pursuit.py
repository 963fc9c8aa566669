"""One run of an attack over one batch, watched from the only place where every attack passes: its goal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import torch
from torch import Tensor

from workers.engine.books import Books, Standard
from workers.engine.ledger import Ledger
from workers.engine.looking import look
from workers.engine.propagate import Eager, Propagator
from workers.engine.verdict import Judged, first, nearest
from workers.entries import Reads
from workers.goals import Ascent, Model, jacobian
from workers.losses import Loss

# After how many steps to look at what they came to for the first time, and at most how many later; in between their
# points are kept. A look is a dozen small operations and a wait for the device: nothing for a batch, but the time of a
# whole step for a single sample, which therefore goes longer without: 8, 32, 96, 160, ... instead of 2, 4, 6, 8, ...
# Measured on `small_standard` of benchmarks/attacks, BIM-20 and PGD-40, N = 200, CPU time of all steps over survivors:
# looks at 4, 8, 16, ... and three quarters left 1.68 and 2.11; looks at 2, 4, 6, ... and nine tenths 1.92 and 2.42.
_FIRST_LOOK, _LONGEST = 2, 8
_FIRST_LOOK_ALONE, _LONGEST_ALONE = 8, 64

# The batch shrinks where at most this part of it is left: a few shapes per run, not one per step.
_WORTHWHILE: Final = 0.9

# Points that were asked about by rows are looked at once they are so many times the samples.
_HELD: Final = 8

_LEARNS: Final[dict[Reads, int]] = {"labels": 0, "scores": 1, "gradients": 2}


class Finished(Exception):
    """Raised out of a query where no sample is left to attack: it ends the attack's loop, and is no error."""


class Overreach(RuntimeError):
    """An attack asked for more than its table line says that it reads: a bug of the attack."""


class Clean(NamedTuple):
    """A clean pass whose graph is still there, so that the first gradient needs no second one."""

    point: Tensor  # (M, ...) the batch that was passed, requires a gradient
    logits: Tensor  # (M, K)
    rows: Tensor  # (N,) the samples of it that are attacked


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a run is to be watched; the same for all runs of an attack."""

    # The one by which samples are judged; an attack may ask another, with something before or behind it.
    model: Model
    reads: Reads = "gradients"
    survivors_only: bool = True
    # Told before every query how many there have been.
    tick: Callable[[int], None]
    calls_before: int = 0
    propagator: Propagator = field(default_factory=Eager)


class Pursuit:
    """A goal that keeps the books while it is pursued.

    The attack sees a `Goal`. Each query ticks the monitor, counts the propagations, and enters its points in the books.
    The clean input itself is no candidate.

    With `survivors_only`, and where the first point at the goal is what is kept, samples that have reached it leave the
    batch every few steps, after a fresh forward of the kept point has confirmed them (one that fails goes on). The
    model is then asked about the others only; an attack that asks about the whole batch gets gradient 0, and the logits
    that were last seen, where there is nothing left to do.
    """

    def __init__(self, standard: Standard, clean_logits: Tensor, terms: Terms, clean: Clean | None) -> None:
        x = standard.x
        self.x = x  # (N, ...) what the attack starts from
        self.books = Books(standard)
        self.zero_gradient = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.ledger = Ledger(len(x), x.device)
        self._aim, self._live_aim = standard.aim, standard.aim
        self._live: Tensor | None = None  # rows that the model is still asked about; None: all
        self._terms, self._clean = terms, clean
        self._unread: list[tuple[Tensor, Tensor, Tensor | None]] = []  # points, logits, rows
        self._logits = clean_logits  # (N, K) what was last seen of samples that are done
        self._calls, self._steep = 0, False
        self._alone = len(x) == 1
        self._next_look = _FIRST_LOOK_ALONE if self._alone else _FIRST_LOOK

    # What an attack sees: `goals.Goal`.

    @property
    def label(self) -> Tensor:
        """The label of each sample; see `Goal`."""
        return self._aim.label

    @property
    def targeted(self) -> bool:
        """Whether the label is to be reached; see `Goal`."""
        return self._aim.targeted

    @property
    def towards(self) -> Tensor | None:
        """The class that is to win; see `Goal`."""
        return self._aim.towards

    @property
    def alive(self) -> Tensor:
        """The rows that are still attacked; see `Goal`."""
        return torch.arange(len(self.x), device=self.x.device) if self._live is None else self._live

    def objective(self, logits: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return what is climbed; see `Goal`."""
        return self._aim.objective(logits, rows)

    def hit(self, logits: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return where these logits reach the goal; see `Goal`."""
        return self._aim.hit(logits, rows)

    def gradient(self, model: Model, x: Tensor, rows: Tensor | None = None, *, candidates: bool = True) -> Tensor:
        """Return the direction to climb; see `Goal`."""
        return self.ascent(model, x, rows, candidates=candidates).gradient

    def ascent(
        self,
        model: Model,
        x: Tensor,
        rows: Tensor | None = None,
        *,
        loss: Loss | None = None,
        candidates: bool = True,
    ) -> Ascent:
        """Return gradient, logits and objective; see `Goal`."""
        self._begin("gradients")
        here = x if rows is not None or self._live is None else x[self._live]
        found = self._slope(model, here, rows, loss)
        if not self._steep:
            self._note_steepness(found.gradient, rows)
        self._end(here, found.logits, rows, backwards=1, candidates=candidates and x is not self.x)
        if rows is not None or self._live is None:
            return found
        return Ascent(
            torch.zeros_like(x).index_copy_(0, self._live, found.gradient),
            self._whole(found.logits),
            x.new_zeros(len(x)).index_copy_(0, self._live, found.objective),
        )

    def jacobian(
        self, model: Model, x: Tensor, classes: Tensor | None = None, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of the logits; see `Goal`."""
        self._begin("gradients")
        live = self._live if rows is None else None
        here, wanted = (x, classes) if live is None else (x[live], None if classes is None else classes[live])
        found, logits = jacobian(model, here, wanted)
        self._end(here, logits, rows, backwards=found.shape[1], candidates=x is not self.x)
        if live is None:
            return found, logits
        whole = found.new_zeros(len(x), *found.shape[1:]).index_copy_(0, live, found)
        return whole, self._whole(logits)

    def logits(self, model: Model, x: Tensor, rows: Tensor | None = None, *, candidates: bool = True) -> Tensor:
        """Ask for the scores; see `Goal`."""
        return self._ask(model, x, rows, "scores", candidates=candidates)

    def decide(self, model: Model, x: Tensor, rows: Tensor | None = None, *, candidates: bool = True) -> Tensor:
        """Ask for the label; see `Goal`."""
        return self._aim.hit(self._ask(model, x, rows, "labels", candidates=candidates), rows)

    # What the engine sees.

    def judge(self, model: Model, last: Tensor | None) -> Judged:
        """Look afresh at the best point of each sample, what the attack returned (N, ...) being one of them.

        `last` is None where the attack was cut short, every sample being done.
        """
        self._read()
        self.ledger.charge(self._live)
        verdict = first if self.books.standard.keeps == "first" else nearest
        return verdict(model, self.books, self.ledger, last)

    # What neither needs to know.

    def _begin(self, reads: Reads) -> None:
        """Tick, and let samples go that are done, before a query."""
        if _LEARNS[reads] > _LEARNS[self._terms.reads]:
            raise Overreach(f"the attack reads {self._terms.reads}, and asked for {reads}")
        self._terms.tick(self._terms.calls_before + self._calls)
        if self._calls == self._next_look:
            more = min(max(_FIRST_LOOK, self._calls // 4), _LONGEST)
            self._next_look += min(3 * self._calls, _LONGEST_ALONE) if self._alone else more
            self._read()
            if self._terms.survivors_only and self.books.standard.keeps == "first":
                self._dismiss()

    def _end(self, points: Tensor, logits: Tensor, rows: Tensor | None, *, backwards: int, candidates: bool) -> None:
        """Count, and keep the points for the books, after a query."""
        self._calls += 1
        if rows is None:
            self.ledger.note(backwards=backwards)
        else:
            self.ledger.spend(rows, backwards=backwards)
        if candidates:
            self._unread.append((points, logits, self._live if rows is None else rows))
            if rows is not None and sum(len(p) for p, *_ in self._unread) > _HELD * len(self.x):
                self._read()

    def _ask(self, model: Model, x: Tensor, rows: Tensor | None, reads: Reads, *, candidates: bool) -> Tensor:
        self._begin(reads)
        here = x if rows is not None or self._live is None else x[self._live]
        logits = self._terms.propagator.logits(model, here)
        self._end(here, logits, rows, backwards=0, candidates=candidates and x is not self.x)
        return logits if rows is not None or self._live is None else self._whole(logits)

    def _slope(self, model: Model, here: Tensor, rows: Tensor | None, loss: Loss | None) -> Ascent:
        if self._clean is None or here is not self.x or rows is not None:
            aim = self._live_aim if rows is None else self._aim.select(rows)
            return self._terms.propagator.ascent(aim, model, here, loss)
        point, logits, attacked = self._clean
        self._clean = None  # its graph can be used once
        self.ledger.forwards -= 1  # this one was charged to the batch
        found = self._aim.slope(logits[attacked], point, loss=loss)
        return found._replace(gradient=found.gradient[attacked])

    def _note_steepness(self, gradient: Tensor, rows: Tensor | None) -> None:
        """Remember for which samples the first gradient gave no direction."""
        self._steep = True
        steepness = torch.linalg.vector_norm(gradient.flatten(1), torch.inf, dim=1)
        flat = ~((steepness > 0) & (steepness < torch.inf))
        self.zero_gradient[slice(None) if rows is None else rows] = flat

    def _whole(self, logits: Tensor) -> Tensor:
        """Return logits of all samples: of those that are done, the last ones."""
        assert self._live is not None
        return self._logits.index_copy(0, self._live, logits)

    def _read(self) -> None:
        """Enter the points of the last queries in the books."""
        if not self._unread:
            return
        if len(self._unread) == 1:
            self.books.enter(*self._unread.pop())
            return
        points, logits, rows = zip(*self._unread, strict=True)
        self._unread.clear()
        everyone = torch.arange(len(self.x), device=self.x.device)
        named = [everyone if own is None else own for own in rows]
        self.books.enter(torch.cat(points), torch.cat(logits), torch.cat(named))

    def _dismiss(self) -> None:
        """Let the samples go that have reached the goal, if they are many enough and a fresh forward agrees."""
        rows = self.alive
        done = self.books.turned[rows]
        turned = rows[done]
        if len(rows) - len(turned) > _WORTHWHILE * len(rows):
            return
        self.ledger.charge(self._live)
        logits = look(self._terms.model, self.books.points[turned])
        confirmed = self._aim.select(turned).reached(logits)
        self.ledger.spend(turned)
        self.books.strike(turned[~confirmed])
        self._logits = self._logits.index_copy(0, turned, logits)
        self._live = rows[~self.books.turned[rows]]
        self._live_aim = self._aim.select(self._live)
        if len(self._live) == 0:
            raise Finished
