"""The defenses that train on adversarial examples, judged by the whole AutoAttack ensemble.

    python examples/adversarial_training.py [--out out/adversarial_training] [--only PGD TRADES] [--quick]

On mnist10k at epsilon 0.3: FGSM with random start, Free, PGD, TRADES, MART and AWP, each trained once on the 8,000
training digits, and judged on the 2,000 test digits clean, under PGD-40 and under the standard AutoAttack ensemble.
What they cost is counted in propagations (forward, backward to the input and gradient by the weights are 1 each) and
in seconds of the processor.

Where SPARRING_DATA_ROOT names a folder that holds `mnist` or `cifar10` in torchvision's layout, the same command trains
on them as well, with the settings that the papers published; that is work for a GPU. Networks are kept in the output
folder and not trained again, results neither.

The bars below were written before the run, from the order in the literature; each is printed as OK or MISSED, and a
missed one ends with 1. `--quick` trains on 500 digits for two epochs, attacks 50 and judges nothing.
Measured: see docs/adversarial-training.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from adversarial_settings import SETTINGS, Setting, Training
from showing import judge
from sparring.values import prefix

from services.gateway import training_cost
from workers.data import Dataset, builtin, mounted, scan
from workers.defenses import DEFENSES
from workers.engine.attack import AttackPlan, run_attack
from workers.engine.fastest import fastest
from workers.engine.memory import keep_memory
from workers.engine.train import train
from workers.models import Classifier, Signature, build, load, save
from workers.recipe import Recipe

SEED, AT_ONCE = 1, 256
STAGES = ("APGD-CE", "APGD-T", "FAB-T", "Square")
# What the ensemble has to leave on mnist10k, of all 2,000 test digits. From the literature's figures on full MNIST
# (Wong's net with FGSM-RS 0.829, Madry's with PGD 0.885, TRADES 0.928), less what seven eighths fewer digits cost.
LEFT = {"FGSM-RS": 0.72, "Free": 0.72, "PGD": 0.82, "TRADES": 0.84, "MART": 0.82, "AWP": 0.84}
BEST, CLEAN = 0.85, 0.97
QUICK_DIGITS, QUICK_TESTED = 500, 50
Row = dict[str, Any]


def main() -> int:
    """Train, attack, print the tables, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/adversarial_training"))
    parser.add_argument("--only", nargs="+", help="names of trainings; the bars are not judged then")
    parser.add_argument("--quick", action="store_true", help="few digits, few epochs, no judgement")
    arguments = parser.parse_args()
    keep_memory()
    rows: dict[str, dict[str, Row]] = {}
    for name, learned, test in datasets(quick=arguments.quick):
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        ε = SETTINGS[name].epsilon
        print(f"\n{name}: {len(learned)} samples learned from, {len(test)} attacked at epsilon {ε:.3g}")
        rows[name] = {}
        for title, training in SETTINGS[name].trainings.items():
            if arguments.only and title not in arguments.only:
                continue
            kept = Kept(folder, title, shortened(training) if arguments.quick else training, len(learned))
            rows[name][title] = row(kept, SETTINGS[name], learned, test)
            print(line(title, rows[name][title]), flush=True)
        if not arguments.only:
            (folder / "results.json").write_text(json.dumps(rows[name], indent=1) + "\n")
    return 0 if arguments.quick or arguments.only else judge(bars(rows["mnist10k"]))


def datasets(*, quick: bool) -> Iterator[tuple[str, Dataset, Dataset]]:
    """What there is to learn from, and to attack: the digits that ship with Sparring, and what is mounted."""
    learned, test = builtin("mnist10k", "train"), builtin("mnist10k", "test")
    if quick:
        yield "mnist10k", learned.select(0, QUICK_DIGITS), test.select(0, QUICK_TESTED)
        return
    yield "mnist10k", learned, test
    root = os.environ.get("SPARRING_DATA_ROOT")
    found = [] if root is None else [info.name for info in scan(root)]
    for name in SETTINGS:
        if root is not None and name in found:
            yield name, mounted(root, name, "train"), mounted(root, name, "test")


@dataclass(frozen=True)
class Kept:
    """Where a training is kept: its files have its name and a digest of its settings."""

    folder: Path
    title: str
    training: Training
    count: int

    def path(self, ending: str) -> Path:
        """E.g. out/adversarial_training/mnist10k/PGD-1b2c3d4e.json."""
        digest = hashlib.sha256(f"{self.training} {self.count} {SEED}".encode()).hexdigest()[:8]
        return self.folder / f"{self.title}-{digest}.{ending}"


def row(kept: Kept, setting: Setting, learned: Dataset, test: Dataset) -> Row:
    """The figures of one training, or those of the last time."""
    path = kept.path("json")
    if path.exists():
        found: Row = json.loads(path.read_text())
        return found
    net, cost = trained(kept, learned)
    figures = cost | attacked(net, setting, test)
    path.write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def trained(kept: Kept, learned: Dataset) -> tuple[Classifier, Row]:
    """The network with what it cost, or the one of the last time."""
    weights, cost, training = kept.path("safetensors"), kept.path("cost.json"), kept.training
    signature = Signature(training.architecture, learned.input_shape, learned.classes)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if not weights.exists():
        started = time.process_time()
        result = train(
            build(signature, seed=SEED).to(device),
            learned,
            training.defense,
            training.optimization,
            validation=training.validation,
            seed=SEED,
        )
        spent = {
            "training_seconds": time.process_time() - started,
            "units": units(training.defense),
            "propagations": propagations(training, len(learned)),
            "rollbacks": sum(probe.rolled_back for probe in result.probes),
        }
        cost.write_text(json.dumps(spent) + "\n")
        weights.write_bytes(save(result.model))
    return load(weights.read_bytes(), signature).to(device), json.loads(cost.read_text())


def units(defense: Recipe) -> float:
    """What one step costs for each sample of its batch, by the contract's formula."""
    (kind,) = (name for name, known in DEFENSES.items() if known is type(defense))
    message = training_cost.at_defaults(kind)
    for field in message.DESCRIPTOR.fields:
        value = getattr(defense, field.name)
        if field.enum_type is not None:
            value = field.enum_type.values_by_name[f"{prefix(field.enum_type)}{value.upper()}"].number
        setattr(message, field.name, value)
    return training_cost.units(message)


def propagations(training: Training, count: int) -> float:
    """Propagations of single samples in the whole training."""
    passes = sum(round_.epochs for round_ in training.defense.rounds(training.optimization.epochs))
    return units(training.defense) * passes * training.defense.replays * count


def attacked(net: Classifier, setting: Setting, test: Dataset) -> Row:
    """Accuracy clean and under every attack of the ladder, and what the ensemble left after each of its stages."""
    x, y = test.pixels(slice(None)), test.y
    figures: Row = {"attacked": len(y)}
    for title, (name, parameters) in setting.ladder.items():
        started = time.process_time()
        plan = AttackPlan(name=name, epsilon=setting.epsilon, parameters=parameters)
        ids = torch.arange(len(y))
        result = run_attack(net, x, y, plan, sample_ids=ids, seed=SEED, batch_size=AT_ONCE, propagator=fastest(net))
        figures["clean"] = float((result.clean_prediction == y).float().mean())
        figures[title] = float((result.prediction == y).float().mean())
        figures[f"{title} seconds"] = time.process_time() - started
        figures["violations"] = figures.get("violations", 0) + result.violations
        if name == "auto_attack":
            broken = [float((result.stage == stage).float().mean()) for stage in range(len(STAGES))]
            left = [figures["clean"] - sum(broken[: stage + 1]) for stage in range(len(STAGES))]
            figures["stages"] = dict(zip(STAGES, left, strict=True))
    return figures


def shortened(training: Training) -> Training:
    """Two epochs of it."""
    return replace(training, optimization=replace(training.optimization, epochs=2))


def line(title: str, figures: Row) -> str:
    """One training in one line."""
    pgd = next(name for name in figures if name.startswith("PGD-"))
    attacking = figures[f"{pgd} seconds"] + figures["ensemble seconds"]
    return (
        f"{title:<14} clean {figures['clean']:.4f}   {pgd} {figures[pgd]:.4f}   ensemble {figures['ensemble']:.4f}   "
        f"{figures['units']:4.0f} units a step, {figures['propagations'] / 1e6:6.1f} M propagations, "
        f"{figures['training_seconds']:5.0f} s; attacks {attacking:5.0f} s"
    )


def bars(rows: Mapping[str, Row]) -> dict[str, bool]:
    """What has to come out on mnist10k."""
    left = {title: figures["ensemble"] for title, figures in rows.items()}
    best = max(left, key=lambda title: left[title])
    held = {f"{title} leaves {least:.2f} or more": left[title] >= least for title, least in LEFT.items()}
    return held | {
        "FGSM-RS is below PGD": left["FGSM-RS"] < left["PGD"],
        "PGD is below the better one of TRADES and AWP": left["PGD"] < max(left["TRADES"], left["AWP"]),
        f"the best leaves {BEST:.2f} or more": left[best] >= BEST,
        f"and reads {CLEAN:.2f} of the clean digits or more": rows[best]["clean"] >= CLEAN,
        "no example is outside ball or box": all(figures["violations"] == 0 for figures in rows.values()),
    }


if __name__ == "__main__":
    sys.exit(main())
