"""Poisoning: Biggio's moved points against a machine of two classes, label flips beside them, and a backdoor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sparring.v1.jobs_pb2 import Job

from reproductions import asking
from reproductions.answers import percent
from reproductions.experiment import Bar, Experiment
from reproductions.experiments.poisoning_machines import (
    LEARNED,
    POINTS,
    STEPS,
    averaged,
    drawn,
    everything,
    machine,
    started,
)
from reproductions.lab import Lab

PAIRS: Final = ((7, 1), (9, 8), (4, 0))  # the attacking class, and the attacked one


@dataclass(frozen=True, kw_only=True)
class Length:
    """How much is measured: seeds, digits that flips and backdoor are among, their fractions, whom flips harm."""

    seeds: int
    flipped: int
    flips: tuple[float, ...]
    triggers: tuple[float, ...]
    learners: tuple[str, ...]


QUICK: Final = Length(
    seeds=2, flipped=1000, flips=(0.1, 0.2, 0.4), triggers=(0.01, 0.02, 0.05), learners=("linear_svm",)
)
FULL: Final = Length(
    seeds=5,
    flipped=2000,
    flips=(0.05, 0.1, 0.2, 0.3, 0.4),
    triggers=(0.005, 0.01, 0.02, 0.05),
    learners=("linear_svm", "wong_cnn"),
)
LEARNERS: Final[Mapping[str, asking.Values]] = {
    "linear_svm": {"cost": 0.01},
    "wong_cnn": {"epochs": 8, "batch_size": 100, "learning_rate": 5e-3},
}
# Mean errors over the seeds, from 0 to 1: "clean", "moved 1", "unmoved 1", ..., "flips 3".
Pair = Mapping[str, float]
# Errors, or how often a trigger fires, by the poisoned fraction, 0 among them.
Curve = Mapping[float, float]


@dataclass(frozen=True, kw_only=True)
class Found:
    """Everything that was measured."""

    pairs: Mapping[str, Pair]
    n: Mapping[str, int]
    flips: Mapping[str, Curve]
    fires: Curve
    door: Curve


def run(lab: Lab) -> None:
    """Start everything, so that all workers have work, then read it."""
    length = QUICK if lab.quick else FULL
    digits = everything(lab)
    # All uploads first: a worker that is busy with a poisoning checks no upload.
    uploads = {pair: [drawn(lab, pair, digits, seed) for seed in range(length.seeds)] for pair in PAIRS}
    machines = {pair: [machine(lab, given) for given in several] for pair, several in uploads.items()}
    flips = {
        f"{learner}, {choice}": started(
            lab,
            f"flips by {choice}, {learner}",
            asking.selection("mnist10k/train", length.flipped),
            f"label_flip:choice={choice}",
            length.flips,
            architecture=learner,
            **LEARNERS[learner],
        )
        for learner in length.learners
        for choice in ("random", "loss")
    }
    backdoor = started(
        lab,
        "backdoor",
        asking.selection("mnist10k/train"),
        "backdoor:trigger_label=7",
        length.triggers,
        architecture="wong_cnn",
        epochs=5,
        batch_size=100,
        learning_rate=5e-3,
    )
    errors: dict[str, Pair] = {}
    judged: dict[str, int] = {}
    for (attacking, attacked), jobs in machines.items():
        errors[f"{attacking} against {attacked}"], judged[f"{attacking} against {attacked}"] = averaged(lab, jobs)
    rows = lab.wait(backdoor)[0].result.poisoning_rows
    found = Found(
        pairs=errors,
        n=judged,
        flips={name: by_fraction(lab.wait(job)[0]) for name, job in flips.items()},
        fires={row.fraction: row.trigger_rate.value for row in rows},
        door={row.fraction: row.error.value for row in rows},
    )
    tell(lab, found, length)
    judge(lab, found)
    lab.figure("curves", plotted(found), "Errors by the poisoned part, and how often the backdoor's trigger fires")


def by_fraction(job: Job) -> dict[float, float]:
    """The errors of a poisoning."""
    return {row.fraction: row.error.value for row in job.result.poisoning_rows}


def tell(lab: Lab, found: Found, length: Length) -> None:
    """Fill the table."""
    settings = f"linear machine, C = 1, {LEARNED} digits, {length.seeds} seeds, {STEPS} steps of 0.3"
    for name, rows in found.pairs.items():
        ours = f"{percent(rows['clean'])} to {percent(rows['moved 1'])} (unmoved {percent(rows['unmoved 1'])})"
        lab.row(f"{name}: one point", paper="2-5 % to 15-20 %", ours=ours, n=found.n[name], settings=settings)
        ours = " / ".join(percent(rows[f"moved {points}"]) for points in POINTS)
        lab.row(f"{name}: 1 / 3 / 5 points", paper="curves to 10 %", ours=ours, n=found.n[name], settings=settings)
        flips = f"{percent(rows['clean, flips'])} to {percent(rows['flips 3'])}"
        lab.row(f"{name}: 3 random flips", paper="none at hand", ours=flips, n=found.n[name], settings="as above")
    for name, curve in found.flips.items():
        ours = ", ".join(f"{100 * fraction:g} %: {percent(error)}" for fraction, error in curve.items())
        lab.row(f"label flips, {name}", paper="none at hand", ours=ours, n=2000, settings=f"{length.flipped:,} digits")
    ours = ", ".join(f"{100 * f:g} %: {percent(fires)} ({percent(found.door[f])})" for f, fires in found.fires.items())
    settings = "wong_cnn, 8,000 digits, 5 epochs, 3 x 3 white pixels"
    lab.row(
        "backdoor: trigger fires (clean error)", paper="99 % (BadNets, recalled)", ours=ours, n=2000, settings=settings
    )


def judge(lab: Lab, found: Found) -> None:
    """Hold the figures against the bars."""
    pairs = found.pairs
    rises = {name: rows["moved 1"] - rows["clean"] for name, rows in pairs.items()}
    words = ", ".join(f"{name} +{100 * rise:.1f} points" for name, rise in rises.items())
    lab.bar("one-point", min(rises.values()) >= 0.08, words)
    high = ", ".join(f"{name} {percent(rows['moved 1'])}" for name, rows in pairs.items())
    lab.bar("two-pairs", sum(rows["moved 1"] >= 0.15 for rows in pairs.values()) >= 2, high)
    still = {name: rows["unmoved 1"] - rows["clean"] for name, rows in pairs.items()}
    lab.bar("unmoved", max(still.values()) <= 0.01, f"{100 * max(still.values()):+.1f} points at most")
    rising = all(rows["moved 1"] < rows["moved 3"] < rows["moved 5"] for rows in pairs.values())
    lab.bar(
        "rises", rising, "; ".join(" / ".join(percent(rows[f"moved {p}"]) for p in POINTS) for rows in pairs.values())
    )
    moved = mean(rows["moved 3"] - rows["clean"] for rows in pairs.values())
    flipped = mean(rows["flips 3"] - rows["clean, flips"] for rows in pairs.values())
    words = f"{100 * moved:.1f} points against {100 * flipped:.1f}"
    lab.bar("flips", moved >= 3 * max(flipped, 0.0) and moved > 0.1, words)
    lab.bar("fires", found.fires[0.02] >= 0.95, percent(found.fires[0.02]))
    words = f"{percent(found.door[0.0])} to {percent(found.door[0.02])}"
    lab.bar("door-clean", found.door[0.02] <= found.door[0.0] + 0.01, words)


def plotted(found: Found) -> Figure:
    """Three panels: moved points, label flips, the backdoor."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for number, (name, rows) in enumerate(found.pairs.items()):
        _line(left, {0: rows["clean"]} | {points: rows[f"moved {points}"] for points in POINTS}, name, f"C{number}")
        still = {0: rows["clean"]} | {points: rows[f"unmoved {points}"] for points in POINTS}
        left.plot(list(still), [100 * value for value in still.values()], ":", color=f"C{number}")
    left.plot([], [], ":", color="black", label="the same points, unmoved")
    left.set_xlabel("points among 100 digits")
    for number, (name, errors) in enumerate(found.flips.items()):
        _line(middle, {100 * fraction: error for fraction, error in errors.items()}, name, f"C{number}")
    middle.set_xlabel("flipped labels, %")
    _line(right, {100 * fraction: rate for fraction, rate in found.fires.items()}, "trigger fires", "C3")
    _line(right, {100 * fraction: error for fraction, error in found.door.items()}, "clean error", "C7")
    right.set_xlabel("triggered digits, %")
    for axes, title in ((left, "Biggio's moved points"), (middle, "Label flips"), (right, "Backdoor")):
        axes.set_title(title, fontsize=10)
        axes.set_ylabel("%")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    return figure


def _line(axes: Axes, curve: Mapping[int, float] | Mapping[float, float], label: str, colour: str) -> None:
    """Draw one curve in per cent."""
    axes.plot(list(curve), [100 * value for value in curve.values()], "o-", label=label, color=colour)


EXPERIMENT = Experiment(
    name="poisoning",
    title="Poisoned training sets",
    papers=(
        ("1206.6389", "Biggio, Nelson, Laskov: Poisoning attacks against support vector machines"),
        ("1708.06733", "Gu, Dolan-Gavitt, Garg: BadNets"),
    ),
    data="mnist10k: of two digits 100 to learn from, 500 for the attacker, up to 1,000 others to judge on; flips and "
    "backdoor on the training digits, judged on 2,000. The papers: MNIST and photographs of traffic signs.",
    bars=(
        Bar(key="one-point", text="one moved point adds 8 points of error or more, on each pair"),
        Bar(key="two-pairs", text="one moved point makes an error of 15 % or more on two pairs at least"),
        Bar(key="unmoved", text="a point that is not moved (a label flip) adds 1 point of error at most"),
        Bar(key="rises", text="the error rises with 1, 3 and 5 points, on each pair"),
        Bar(key="flips", text="3 moved points add three times as much error as 3 random flips, or more"),
        Bar(key="fires", text="a backdoor in 2 % of the digits fires at 95 % or more"),
        Bar(key="door-clean", text="and costs 1 point of clean accuracy at most"),
    ),
    differs=(
        "A fixed number of steps, of which the best point is kept; the paper stops when the loss does.",
        "Random flips harm a machine of 100 other digits of the draw, whose offset is shrunk with its weights.",
        "The backdoor is in digits, the paper's also in traffic signs; its digits take the place of clean ones.",
        "The quick form has two seeds, the full one five.",
    ),
    run=run,
)
