"""What an attacker does who may change a few of the samples that a model learns from, and what two defenders do.

    python examples/poisoning.py [--out out/poisoning] [--pictures docs/pictures] [--quick]

On the digits of mnist10k:

1. Biggio's attack on a linear support vector machine: 7 against 1, 9 against 8 and 4 against 0, each with 100 digits to
   learn from, 500 for the attacker and 1,000 to judge on, five seeds; 1, 3 and 5 points are added. Beside it the points
   before they were moved, and as many random label flips.
2. Label flips, at random and chosen by loss, of up to 40 % of 2,000 digits: a linear support vector machine, a network.
3. A backdoor: a patch of 3 x 3 pixels in the corner, in up to 5 % of 8,000 digits.
4. Clean-label feature collisions, of up to 3 % of 1,000 digits, against ten targets.

Each without a defender, with one who drops the samples with the largest loss and fits again, and with one who fits to
those that are fitted best; both are told how much is poison, the most that they could know. What was measured is kept
in the output folder, so that a run that was stopped goes on. Writes results.json and pictures; the bars at the end are
printed as OK or MISSED, and a missed one ends with 1. Measured: see docs/poisoning.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from poisoning_bench import SEED, Bench, Case, caught, curve, error, merged
from poisoning_pictures import curves_picture, samples_picture
from showing import judge

from workers.data import Dataset, builtin
from workers.engine.fitting import FitOptions
from workers.engine.monitor import NullMonitor
from workers.engine.train import Optimization
from workers.poisoning import (
    Backdoor,
    FeatureCollision,
    FittedLearner,
    LabelFlip,
    Learner,
    Measurement,
    NetworkLearner,
    Sanitizer,
    SvmGradient,
)

CPU = torch.device("cpu")
PAIRS = ((7, 1), (9, 8), (4, 0))  # the attacking class, and the attacked one
POINTS = (1, 3, 5)
DEFENDERS: tuple[Sanitizer, ...] = ("loss", "trimmed")
FLIPPED = (0.05, 0.1, 0.2, 0.3, 0.4)
TRIGGERED = (0.005, 0.01, 0.02, 0.05)
COLLIDED = (0.001, 0.003, 0.01, 0.03)


def main() -> int:
    """Run everything; 0 if every bar was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/poisoning"), help="folder for results.json")
    parser.add_argument("--pictures", type=Path, default=None, help="folder for the pictures; default: that of --out")
    parser.add_argument("--quick", action="store_true", help="one seed, fewer digits and epochs: bars may be missed")
    arguments = parser.parse_args()
    folder = arguments.out / ("quick" if arguments.quick else "measured")
    folder.mkdir(parents=True, exist_ok=True)
    pictures = arguments.out if arguments.pictures is None else arguments.pictures
    pictures.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    begun = time.monotonic()
    bench = Bench(folder, seeds=range(1 if arguments.quick else 5), quick=arguments.quick)
    results = {
        "machines": machines(bench),
        "flips": flips(bench),
        "backdoor": backdoor(bench),
        "collision": collision(bench),
    }
    met = bars(results)
    results |= {"bars": met, "seconds": round(time.monotonic() - begun, 1)}
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    curves_picture(pictures / "poisoning_curves.png", results)
    samples_picture(pictures / "poisoning_samples.png", samples(bench))
    print(f"\n{results['seconds']} s")
    return judge(met)


def machines(bench: Bench) -> dict[str, Any]:
    """Biggio's attack on each pair: errors averaged over the seeds, by the number of points."""
    print("Linear support vector machine, C = 1, 100 digits, 1,000 judged")
    learner = FittedLearner(architecture="linear_svm", options=FitOptions(cost=1.0), device=CPU)
    found = {}
    for attacking, attacked in PAIRS:
        attack = SvmGradient(attacking_label=attacking, attacked_label=attacked)
        still = replace(attack, ascent_steps=0)
        name = f"{attacking}v{attacked}"
        rows: dict[str, list[float]] = {}
        for seed in bench.seeds:
            data = pair(attacking, attacked, seed)
            scenario = attack.scenario(*data, seed=seed)
            machine = attack.victim(learner, scenario, seed=seed, monitor=NullMonitor())
            moved, unmoved = Case(name, attack, learner, data), Case(f"{name}-unmoved", still, learner, data)
            flipped = Case(f"{name}-flips", LabelFlip(), machine, (scenario.train, scenario.held_out))
            runs = {"clean": bench.measure(moved, 0.0, seed=seed)}
            for points in POINTS:
                runs[f"moved {points}"] = bench.measure(moved, points / 100, seed=seed)
                runs[f"unmoved {points}"] = bench.measure(unmoved, points / 100, seed=seed)
            runs["flips 3"] = bench.measure(flipped, 0.03, seed=seed)
            for what, made in runs.items():
                rows.setdefault(what, []).append(error(made.plain))
            for what, case in (("moved 3", moved), ("flips 3", flipped)):
                for defender in DEFENDERS:
                    made = bench.measure(case, 0.03, defender, seed=seed)
                    rows.setdefault(f"{what}, {defender}", []).append(error(made.sanitized))
                    rows.setdefault(f"{what}, {defender} caught", []).append(caught(made))
        found[name] = {what: mean(values) for what, values in rows.items()}
        print(f"{name}: " + ", ".join(f"{what} {100 * value:.1f}" for what, value in found[name].items()))
    return found


def pair(attacking: int, attacked: int, seed: int) -> tuple[Dataset, Dataset]:
    """600 digits of two classes for learner and attacker, and 1,000 others, drawn from all of mnist10k."""
    train, test = builtin("mnist10k", "train"), builtin("mnist10k", "test")
    x, y = torch.cat([train.x, test.x]), torch.cat([train.y, test.y])
    both = ((y == attacking) | (y == attacked)).nonzero().squeeze(1)
    order = both[torch.randperm(len(both), generator=torch.Generator().manual_seed(seed))]
    parts = order[:600], order[600:1600]
    return Dataset(x[parts[0]], y[parts[0]], classes=10), Dataset(x[parts[1]], y[parts[1]], classes=10)


def network(architecture: str, epochs: int) -> NetworkLearner:
    """A network that learns for so long."""
    optimization = Optimization(epochs=epochs, batch_size=100, learning_rate=5e-3)
    return NetworkLearner(architecture=architecture, optimization=optimization, device=CPU)


def flips(bench: Bench) -> dict[str, Any]:
    """Error against the flipped fraction, for two learners and both choices."""
    print("Label flips, 2,000 digits, 2,000 judged")
    data = builtin("mnist10k", "train").select(0, 500 if bench.quick else 2000), builtin("mnist10k", "test")
    learners: dict[str, Learner] = {
        "linear_svm": FittedLearner(architecture="linear_svm", options=FitOptions(cost=0.01), device=CPU),
        "wong_cnn": network("wong_cnn", 8),
    }
    found: dict[str, Any] = {}
    for who, learner in learners.items():
        for choice in ("random", "loss"):
            case = Case(f"flip-{choice}-{who}", LabelFlip(choice=choice), learner, data)
            found[f"{who} {choice}"] = merged([curve(bench, case, FLIPPED, name) for name in DEFENDERS])
    return found


def backdoor(bench: Bench) -> dict[str, Any]:
    """Error, and how often the trigger fires, against the triggered fraction."""
    print("Backdoor, 8,000 digits, 2,000 judged")
    data = builtin("mnist10k", "train").select(0, 1000 if bench.quick else 8000), builtin("mnist10k", "test")
    case = Case("backdoor", Backdoor(trigger_label=7), network("wong_cnn", 5), data)
    return merged([curve(bench, case, TRIGGERED, name) for name in DEFENDERS])


def collision(bench: Bench) -> dict[str, Any]:
    """Error, and how many of ten targets are misread, against the collided fraction."""
    print("Feature collision, 1,000 digits, 2,000 judged, 10 targets")
    data = builtin("mnist10k", "train").select(0, 1000), builtin("mnist10k", "test")
    poison = FeatureCollision(base_label=1, targets=2 if bench.quick else 10)
    case = Case("collision", poison, network("wong_cnn", 8), data)
    return merged([curve(bench, case, COLLIDED, name) for name in DEFENDERS])


def samples(bench: Bench) -> dict[str, Measurement]:
    """What the pictures show of each poison."""
    key = f"{SEED if SEED in bench.seeds else 0}"
    chosen = {f"{a} against {b}": f"{a}v{b}-0.05-none-{key}" for a, b in PAIRS}
    chosen["backdoor"] = f"backdoor-{TRIGGERED[-1]:g}-loss-{SEED}"
    chosen["collision"] = f"collision-{COLLIDED[-1]:g}-loss-{SEED}"
    return {title: bench.kept[name] for title, name in chosen.items()}


def bars(results: dict[str, Any]) -> dict[str, bool]:
    """What has to hold; stated before any of it was run."""
    pairs, door, met = results["machines"], results["backdoor"], results["collision"]
    rises = {name: rows["moved 1"] - rows["clean"] for name, rows in pairs.items()}
    moved, flipped = (mean(rows[what] - rows["clean"] for rows in pairs.values()) for what in ("moved 3", "flips 3"))
    at = door["fraction"].index(0.02)
    made = {f"{name}: one point adds 8 points of error or more": rise >= 0.08 for name, rise in rises.items()}
    made |= {
        "one point: an error of 15 % or more on two pairs at least": sum(
            rows["moved 1"] >= 0.15 for rows in pairs.values()
        )
        >= 2,
        "a point that is not moved adds 1 point of error at most": all(
            rows["unmoved 1"] <= rows["clean"] + 0.01 for rows in pairs.values()
        ),
        "error rises with 1, 3 and 5 points, on each pair": all(
            rows["moved 1"] < rows["moved 3"] < rows["moved 5"] for rows in pairs.values()
        ),
        "3 % moved points add three times as much error as 3 % random flips, or more": moved >= 3 * max(flipped, 0.0)
        and moved > 0.1,
        "backdoor: 2 % of the digits make the trigger fire at 0.95 or more": door["fires"][at] >= 0.95,
        "backdoor: clean accuracy within 1 point": door["error"][at] <= door["error"][0] + 0.01,
        "flips by loss harm the linear machine more than random ones, at each fraction": all(
            loss > random
            for loss, random in zip(
                results["flips"]["linear_svm loss"]["error"][1:],
                results["flips"]["linear_svm random"]["error"][1:],
                strict=True,
            )
        ),
        "random flips of 20 % and more: both defenders lower the error of both learners": all(
            defended < plain
            for who in ("linear_svm", "wong_cnn")
            for row in [results["flips"][f"{who} random"]]
            for name in DEFENDERS
            for defended, plain in list(zip(row[f"error, {name}"], row["error"], strict=True))[3:]
        ),
        "collision: 3 % of clean-label digits turn half of the targets or more": met["fires"][-1] >= 0.5,
        "collision: clean accuracy within 2 points": met["error"][-1] <= met["error"][0] + 0.02,
    }
    return made


if __name__ == "__main__":
    sys.exit(main())
