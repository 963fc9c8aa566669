"""The defenses that train on single steps, or on none, beside PGD training: what FGSM sees of them, and what is there.

    python examples/one_step_defenses.py [--out out/one_step_defenses] [--digits 500] [--quick]

Wong's net on mnist10k for 20 epochs each: standard training, label smoothing, FGSM adversarial training, adversarial
training at scale, ensemble adversarial training, defensive distillation and PGD training. The first test digits are
attacked at epsilon 0.1 and 0.25 with FGSM, and with PGD on the margin from two starts.

The bars below were written before the run: it is no news that a single step teaches a net to fool single steps
(arXiv:1705.07204, section 4), and no bar asks for a defense's success but PGD training's. Each is printed as OK or
MISSED, and a missed one ends with 1. `--quick` trains two epochs on 500 digits, attacks 50 and judges nothing.
Measured: see docs/adversarial-training.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from showing import judge

from workers.data import Dataset, builtin
from workers.defenses import (
    AdversarialTrainingAtScale,
    DefensiveDistillation,
    EnsembleAdversarialTraining,
    FgsmAdversarialTraining,
    LabelSmoothing,
    PgdAdversarialTraining,
    StandardTraining,
)
from workers.engine.attack import AttackPlan, run_attack
from workers.engine.memory import keep_memory
from workers.engine.train import train
from workers.engine.train_schedule import Optimization
from workers.models import Classifier, Signature, build
from workers.recipe import Recipe

SIGNATURE, SEED, RADII = Signature("wong_cnn", (1, 28, 28), 10), 1, (0.1, 0.25)
OPTIMIZATION = Optimization(epochs=20, batch_size=100, learning_rate=2e-3)
PGD = {"steps": 20, "step_size": 0.02, "random_start": True, "restarts": 2, "loss": "margin"}
DEFENSES: Mapping[str, Recipe] = {
    "standard": StandardTraining(),
    "label_smoothing": LabelSmoothing(smoothing=0.1),
    "distillation": DefensiveDistillation(temperature=20.0, teacher_epochs=0),
    "fgsm_adversarial": FgsmAdversarialTraining(epsilon=0.25, alpha=0.5, attack_label="predicted"),
    "adversarial_at_scale": AdversarialTrainingAtScale(
        epsilon=0.25, adversarial_share=0.5, adversarial_weight=0.3, epsilon_drawn=True, attack_label="least_likely"
    ),
    "ensemble_adversarial": EnsembleAdversarialTraining(
        epsilon=0.25, alpha=0.5, attack_label="predicted", static_models=2, static_epochs=5
    ),
    "pgd_adversarial": PgdAdversarialTraining(epsilon=0.25, steps=7, step_size=0.08, epsilon_ramp=0.4),
}
Row = dict[str, float]


def main() -> int:
    """Train, attack, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/one_step_defenses"))
    parser.add_argument("--digits", type=int, default=500, help="test digits that are attacked")
    parser.add_argument("--quick", action="store_true", help="few digits and epochs, no judgement")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    keep_memory()
    few, digits, epochs = (500, 50, 2) if arguments.quick else (0, arguments.digits, OPTIMIZATION.epochs)
    learned, test = builtin("mnist10k", "train").select(0, few), builtin("mnist10k", "test").select(0, digits)
    optimization = replace(OPTIMIZATION, epochs=epochs)
    rows: dict[str, Row] = {}
    for name, defense in DEFENSES.items():
        started = time.process_time()
        net = train(build(SIGNATURE, seed=SEED), learned, defense, optimization, seed=SEED).model
        rows[name] = {"seconds": time.process_time() - started} | attacked(net, test)
        print(line(name, rows[name]), flush=True)
    (arguments.out / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if arguments.quick else judge(bars(rows))


def attacked(net: Classifier, test: Dataset) -> Row:
    """Accuracy clean, and under FGSM and PGD at each radius."""
    x, ids = test.pixels(slice(None)), torch.arange(len(test))
    figures: Row = {}
    parameters: dict[str, dict[str, Any]] = {"fgsm": {}, "pgd": PGD}
    for name, given in parameters.items():
        for epsilon in RADII:
            plan = AttackPlan(name=name, epsilon=epsilon, parameters=given)
            result = run_attack(net, x, test.y, plan, sample_ids=ids, seed=SEED, batch_size=250)
            figures["clean"] = float((result.clean_prediction == test.y).float().mean())
            figures[f"{name} {epsilon:g}"] = float((result.prediction == test.y).float().mean())
    return figures


def line(name: str, row: Row) -> str:
    """One defense in one line."""
    shares = "   ".join(f"{title} {100 * value:5.1f} %" for title, value in row.items() if title != "seconds")
    return f"{name:<21} {shares}   {row['seconds']:4.0f} s"


def bars(rows: Mapping[str, Row]) -> dict[str, bool]:
    """What has to come out; accuracy that is left."""
    single = ("fgsm_adversarial", "adversarial_at_scale", "ensemble_adversarial")
    return {
        "every net reads 95 % of the clean digits or more": all(row["clean"] >= 0.95 for row in rows.values()),
        "standard: PGD(.25) leaves nothing": rows["standard"]["pgd 0.25"] <= 0.01,
        "single steps: FGSM(.25) leaves 70 % or more": all(rows[name]["fgsm 0.25"] >= 0.7 for name in single),
        "single steps: PGD(.25) leaves at most half of what FGSM(.25) does": all(
            rows[name]["pgd 0.25"] <= rows[name]["fgsm 0.25"] / 2 for name in single
        ),
        "label smoothing and distillation: PGD(.25) leaves 5 % or less": all(
            rows[name]["pgd 0.25"] <= 0.05 for name in ("label_smoothing", "distillation")
        ),
        "PGD training: PGD(.25) leaves 80 % or more": rows["pgd_adversarial"]["pgd 0.25"] >= 0.8,
    }


if __name__ == "__main__":
    sys.exit(main())
