"""One case: everybody trains an epoch in turn, every net goes before one judge."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from benchmarks.attacks import cases as attacks
from benchmarks.attacks import ours as our_attacks
from benchmarks.attacks.compare import ratio, say
from benchmarks.attacks.judge import judge
from benchmarks.attacks.side import Side, SideName
from benchmarks.training.bench import Count
from benchmarks.training.cases import Case
from benchmarks.training.nets import net
from workers.data import builtin
from workers.engine.propagate import Eager
from workers.models import load

Row = dict[str, Any]
JUDGED, JUDGE_STEPS = 1000, 40


class Entrant(NamedTuple):
    """A trainer in one of the processes."""

    name: str
    side: SideName
    trainer: str  # its module


OURS, FLOOR = Entrant("ours", "ours", "ours"), Entrant("bare loop", "ours", "bare")
PEERS = tuple(
    Entrant(name + suffix, side, module)
    for name, module in (("ART", "with_art"), ("torchdefenses", "with_torchdefenses"))
    for suffix, side in (("", "peers"), (", favoured", "favoured"))
)
ENTRANTS = (OURS, FLOOR, *PEERS)


def compare(case: Case, sides: Mapping[SideName, Side], *, clock: str) -> Row:
    """Run the case; `clock` is "cpu_s" or "wall_s"."""
    rows: dict[str, Row] = {}
    for entrant in ENTRANTS:
        rows[entrant.name] = _counted(sides[entrant.side].ask("count", entrant.trainer, case))
        sides[entrant.side].ask("begin", entrant.trainer, case)
    times: dict[str, list[float]] = {entrant.name: [] for entrant in ENTRANTS}
    for number in range(case.epochs):
        for entrant in ENTRANTS if number % 2 == 0 else reversed(ENTRANTS):
            measured = sides[entrant.side].ask("epoch", entrant.trainer, case)
            times[entrant.name].append(getattr(measured, clock))
        say(f"  {case.key}: round {number + 1} of {case.epochs}, {times[OURS.name][-1]:.1f} s of ours")
    for entrant in ENTRANTS:
        row = rows[entrant.name]
        row["seconds"] = statistics.median(times[entrant.name])
        row["ours_takes"] = ratio(times[OURS.name], times[entrant.name])
        if case.judged:
            row |= _judged(case, sides[entrant.side].ask("trained", entrant.trainer, case))
    described = {name: getattr(case, name) for name in ("net", "digits", "epochs", "judged", "steps", "epsilon")}
    return {"case": described | {"floor": case.floor, "batches": case.batches}, "rows": rows}


def _counted(count: Count) -> Row:
    tally = count.tally
    passes = {name: getattr(tally, name) / count.samples for name in ("forwards", "backwards", "weight_gradients")}
    return passes | {"passes": tally.units / count.samples, "peak_bytes": count.peak_bytes}


def _judged(case: Case, weights: bytes) -> Row:
    """Accuracy on test digits, and what PGD leaves of it, by our engine's PGD and the judge of bench-attacks."""
    model = load(weights, net(case.net).signature)
    digits = builtin("mnist10k", "test").select(0, JUDGED)
    x, y = digits.pixels(slice(None)), digits.y
    ruled: dict[str, Any] = {"norm": "linf", "epsilon": case.epsilon}
    pgd = attacks.Case(
        attack="pgd",
        net=case.net,
        count=JUDGED,
        quick_count=JUDGED,
        parameters={
            "steps": JUDGE_STEPS,
            "step_size": 2.5 * case.epsilon / JUDGE_STEPS,
            "random_start": True,
            "restarts": 1,
            "loss": "cross_entropy",
        },
        **ruled,
    )
    run = our_attacks.attack(model, pgd, Eager(), survivors_only=True)
    assert run is not None, "ours has PGD"
    with torch.random.fork_rng(devices=[]):
        verdict = judge(model, x, y, run(x, y), target=None, **ruled)
    return {"accuracy": float(verdict.attacked.float().mean()), "robust_accuracy": verdict.robust_accuracy}
