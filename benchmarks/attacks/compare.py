"""One case: every library runs it in turn, every result goes before the same judge."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from benchmarks.attacks.cases import Case
from benchmarks.attacks.judge import Verdict, judge
from benchmarks.attacks.side import OURS, PEERS, Once, Side, samples_of

Row = dict[str, Any]


class Entrant(NamedTuple):
    """A library in one of the processes; `name` is unique."""

    name: str
    side: str
    library: str


def entrants(case: Case, sides: Mapping[str, Side]) -> list[Entrant]:
    """Whoever has the attack, ours first."""
    modes = OURS if case.fixed_steps else OURS[1:]
    asked = [Entrant(mode, "ours", mode) for mode in modes]
    asked += [Entrant(library, "peers", library) for library in PEERS]
    if case.fixed_steps:
        asked += [Entrant(f"{library}, favoured", "favoured", library) for library in PEERS]
    return [entrant for entrant in asked if sides[entrant.side].ask("supports", entrant.library, case)]


def compare(
    case: Case, sides: Mapping[str, Side], ruler: nn.Module, *, quick: bool, clock: str, patience_s: float, warm: bool
) -> Row | None:
    """Run the case; None where ours does not have the attack, or nobody else.

    `clock` is "cpu_s" or "wall_s". No new round begins once the timed ones have taken `patience_s`. `warm`: everybody
    runs once more before the timed rounds, which a GPU needs, for its graphs are captured and its kernels chosen then.
    """
    found = entrants(case, sides)
    if not any(entrant.library in OURS for entrant in found) or all(entrant.library in OURS for entrant in found):
        return None
    ruled = {"norm": case.norm, "epsilon": case.epsilon, "target": case.target}
    x, y = samples_of(case, quick=quick)
    rows: dict[str, Row] = {}
    verdicts: dict[str, Verdict] = {}
    first: dict[str, float] = {}
    for entrant in found:
        try:
            once: Once = sides[entrant.side].ask("once", entrant.library, case, quick=quick)
        except RuntimeError as error:
            rows[entrant.name] = {"failed": str(error)[:300]}
            say(f"  {case.key}: {entrant.name} failed: {error}")
            continue
        first[entrant.name] = getattr(once.measured, clock)
        say(f"  {case.key}: {entrant.name} {first[entrant.name]:.2f} s")
        verdicts[entrant.name] = judge(ruler, x, y, once.measured.result, **ruled)
        rows[entrant.name] = _row(once, verdicts[entrant.name], len(x))
    alive = [entrant for entrant in found if entrant.name in first]
    times, looking = _rounds(case, sides, alive, first, quick=quick, clock=clock, patience_s=patience_s, warm=warm)
    for entrant in alive:
        name = entrant.name
        rows[name] |= {"seconds": statistics.median(times[name]), "rounds": len(times[name])}
        if name not in OURS:
            rows[name] |= {"looking_s": looking[entrant.side]}
            rows[name] |= _beside(name, times, verdicts, looking[entrant.side])
    return {"case": _described(case, len(x)), "rows": rows}


def _rounds(
    case: Case,
    sides: Mapping[str, Side],
    alive: list[Entrant],
    first: Mapping[str, float],
    *,
    quick: bool,
    clock: str,
    patience_s: float,
    warm: bool,
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Time everybody in turn, forwards and backwards; whoever was too slow the first time is not asked again.

    Returns the seconds by name, as many for everybody or the one of the first call, and by side those of two forwards.
    """
    rounds = max(case.rounds, 1) if warm else case.rounds
    asked = [entrant for entrant in alive if first[entrant.name] < patience_s] if rounds else []
    for entrant in asked if warm else ():
        sides[entrant.side].ask("time", entrant.library, case, quick=quick)
    times: dict[str, list[float]] = {entrant.name: [] for entrant in asked}
    looking: dict[str, list[float]] = {entrant.side: [] for entrant in alive}
    begun = time.monotonic()
    for number in range(max(rounds, 1)):
        if number > 0 and time.monotonic() - begun > patience_s:
            break
        for entrant in asked if number % 2 == 0 else reversed(asked):
            measured = sides[entrant.side].ask("time", entrant.library, case, quick=quick)
            times[entrant.name].append(getattr(measured, clock))
        for side, spent in looking.items():
            spent.append(getattr(sides[side].ask("looking", case, quick=quick), clock))
    times |= {name: [seconds] for name, seconds in first.items() if name not in times}
    return times, {side: statistics.median(spent) for side, spent in looking.items()}


def say(line: str) -> None:
    """Tell whoever waits how far it has come."""
    print(line, file=sys.stderr, flush=True)


def _row(once: Once, verdict: Verdict, count: int) -> Row:
    tally = once.tally
    return {
        "forwards": tally.forwards / count,
        "backwards": tally.backwards / count,
        "net_calls": tally.calls,
        "weight_gradients": tally.weight_gradients,
        "peak_bytes": once.peak_bytes,
        **verdict.figures(),
    }


def _beside(name: str, times: Mapping[str, list[float]], verdicts: Mapping[str, Verdict], looking_s: float) -> Row:
    """A peer beside each of ours: how many times as long it takes, and the distances where both broke the sample.

    Ours answers with the labels before and after; `times_ours_looking` adds the peer's two forwards for them.
    """
    row: Row = {"times_ours": {}, "times_ours_looking": {}, "distance_ratio": {}}
    for mode in OURS:
        if mode not in times:
            continue
        row["times_ours"][mode] = ratio(times[name], times[mode])
        row["times_ours_looking"][mode] = ratio([seconds + looking_s for seconds in times[name]], times[mode])
        both = verdicts[name].broken & verdicts[mode].broken
        near, far = (verdicts[which].distance[both].mean() for which in (mode, name))
        row["distance_ratio"][mode] = float(near / far) if bool(both.any()) else None
    return row


def ratio(theirs: list[float], mine: list[float]) -> float:
    """How many times as long theirs takes: the median over the rounds; of medians where one was timed once only."""
    if len(theirs) == len(mine):
        return statistics.median(a / b for a, b in zip(theirs, mine, strict=True))
    return statistics.median(theirs) / statistics.median(mine)


def _described(case: Case, count: int) -> Row:
    kept = ("attack", "net", "norm", "epsilon", "target", "fixed_steps", "minimum")
    return {name: getattr(case, name) for name in kept} | {"count": count, "parameters": dict(case.parameters)}
