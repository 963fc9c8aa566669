"""Virtual adversarial training on digits: 100 labels and 7,900 pictures without, 1,000 labels, and all of them.

    python examples/virtual_adversarial.py [--seeds 1 2 3] [--out out/virtual_adversarial] [--quick]

Miyato's experiment (arXiv:1507.00677, section 4) on mnist10k instead of MNIST, with half as wide a net: the supervised
net learns from the labelled digits alone, the other one also from the pictures of all 8,000 training digits. Which
digits keep their labels is the seed's choice; the other labels are not in the training's memory. Both take the same
number of steps with the same optimiser. All 2,000 test digits are judged, clean and under FGSM and PGD at 0.1.

Nets are kept in the output folder and not trained again. The bars below were written before the run; each is printed as
OK or MISSED, and a missed one ends with 1. `--quick` trains one seed for a 200th of the steps, judging nothing.
Measured: see docs/virtual-adversarial.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from showing import judge

from workers.data import Dataset, builtin
from workers.defenses import StandardTraining, VirtualAdversarialTraining
from workers.engine.attack import AttackPlan, run_attack
from workers.engine.feed import labelled_samples
from workers.engine.memory import keep_memory
from workers.engine.train import train
from workers.engine.train_schedule import Optimization
from workers.models import Classifier, Signature, build, load, save
from workers.recipe import Recipe

SIGNATURE = Signature("mlp_bn", (1, 28, 28), 10)
EPSILON = 0.1
XI = 1e-6
ATTACKS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "fgsm": ("fgsm", {}),
    "pgd": ("pgd", {"steps": 20, "step_size": 0.0125, "restarts": 1, "random_start": True, "loss": "cross_entropy"}),
}
# Pictures without labels in a step, and labelled ones.
WITHOUT, WITH = 250, 100
# Of the 32 steps that 8,000 pictures make, by the number of labels.
EPOCHS = {100: 300, 1000: 40}
# Epochs where all 8,000 digits are labelled, 80 steps each.
SUPERVISED_EPOCHS = 20
QUICK = 200
Figures = dict[str, float]


@dataclass(frozen=True)
class Case:
    """A training: how many labels it reads, and the radius of its perturbations, 0 for none."""

    labels: int
    radius: float

    @property
    def name(self) -> str:
        """E.g. "100 labels, VAT 0.3"."""
        return f"{self.labels} labels, " + (f"VAT {self.radius:g}" if self.radius else "supervised")


FEW, FEW_VAT = Case(100, 0.0), Case(100, 0.3)
MORE, MORE_VAT = Case(1000, 0.0), Case(1000, 0.3)
ALL, ALL_VAT = Case(8000, 0.0), Case(8000, 2.1)
CASES = (FEW, FEW_VAT, MORE, MORE_VAT, ALL, ALL_VAT)


def main() -> int:
    """Train or read every net, attack it, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--out", type=Path, default=Path("out/virtual_adversarial"))
    parser.add_argument("--quick", action="store_true", help="one seed, few steps, no judgement")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    keep_memory()
    seeds, shorter = (arguments.seeds[:1], QUICK) if arguments.quick else (arguments.seeds, 1)
    rows: dict[str, dict[int, Figures]] = {}
    for case in CASES:
        rows[case.name] = {}
        for seed in seeds:
            net, seconds = trained(case, seed, arguments.out, shorter)
            rows[case.name][seed] = errors(net) | seconds
            print(line(case, seed, rows[case.name][seed]), flush=True)
    (arguments.out / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if arguments.quick else judge(bars(rows))


def trained(case: Case, seed: int, out: Path, shorter: int) -> tuple[Classifier, Figures]:
    """The net of a case, or the one of the last time; and the seconds if it was trained now."""
    data, recipe, optimization = setting(case, seed)
    optimization = replace(optimization, epochs=max(1, optimization.epochs // shorter))
    path = out / f"{case.labels}-{case.radius:g}-{seed}-{optimization.epochs}.safetensors"
    if path.exists():
        return load(path.read_bytes(), SIGNATURE), {}
    started = time.process_time()
    net = train(build(SIGNATURE, seed=seed), data, recipe, optimization, seed=seed).model
    path.write_bytes(save(net))
    return net, {"seconds": time.process_time() - started}


def setting(case: Case, seed: int) -> tuple[Dataset, Recipe, Optimization]:
    """What a case trains on, and how: with and without VAT the same labels, and as many steps."""
    digits = builtin("mnist10k", "train")
    everything = case.labels == len(digits)
    virtual = VirtualAdversarialTraining(
        radius=case.radius,
        xi=XI,
        power_iterations=1,
        weight=1.0,
        entropy=False,
        labelled=0 if everything else case.labels,
        labelled_batch=WITH,
    )
    if everything:
        recipe = virtual if case.radius else StandardTraining()
        return digits, recipe, Optimization(epochs=SUPERVISED_EPOCHS, batch_size=WITH, learning_rate=2e-3)
    epochs = EPOCHS[case.labels]
    steps = epochs * len(digits) // WITHOUT
    # What the few labels say spreads slowly over the other pictures: a rate that falls stops it on its way.
    optimization = Optimization(
        epochs=epochs, batch_size=WITHOUT, learning_rate=1e-3, schedule="constant", average_decay=0.998
    )
    if case.radius:
        return digits, virtual, optimization
    few = labelled_samples(digits, case.labels, seed)
    own = Dataset(digits.x[few], digits.y[few], digits.classes)
    return own, StandardTraining(), replace(optimization, batch_size=WITH, epochs=steps * WITH // case.labels)


def errors(net: Classifier) -> Figures:
    """The part of the test digits that is misread, clean and under attack."""
    test = builtin("mnist10k", "test")
    x, ids = test.pixels(slice(None)), torch.arange(len(test))
    found: Figures = {}
    for title, (name, parameters) in ATTACKS.items():
        plan = AttackPlan(name=name, epsilon=EPSILON, parameters=parameters)
        result = run_attack(net, x, test.y, plan, sample_ids=ids, seed=0, batch_size=500)
        found["clean"] = float((result.clean_prediction != test.y).float().mean())
        found[title] = float((result.prediction != test.y).float().mean())
    return found


def line(case: Case, seed: int, figures: Figures) -> str:
    """One net in one line."""
    text = f"{case.name:<24} seed {seed}   error {100 * figures['clean']:5.2f} %"
    text += f"   FGSM(.1) {100 * figures['fgsm']:5.1f} %   PGD-20(.1) {100 * figures['pgd']:5.1f} %"
    return text + (f"   {figures['seconds']:5.0f} s" if "seconds" in figures else "")


def bars(rows: Mapping[str, Mapping[int, Figures]]) -> dict[str, bool]:
    """What has to come out; per cent of the 2,000 test digits."""
    few, few_vat, more, more_vat, everything, all_vat = (rows[case.name] for case in CASES)
    return {
        "100 labels: VAT misreads at least 8 points less than the supervised net, for every seed": all(
            few_vat[seed]["clean"] <= few[seed]["clean"] - 0.08 for seed in few
        ),
        "100 labels: VAT misreads at most 10 %, for every seed": all(row["clean"] <= 0.10 for row in few_vat.values()),
        "100 labels: VAT misreads at most half of what the supervised net does, for every seed": all(
            few_vat[seed]["clean"] <= few[seed]["clean"] / 2 for seed in few
        ),
        "100 labels: FGSM(.1) fools the supervised net on 85 % or more": average(few, "fgsm") >= 0.85,
        "100 labels: FGSM(.1) fools VAT's on 45 % or less": average(few_vat, "fgsm") <= 0.45,
        "1,000 labels: VAT misreads less than the supervised net, for every seed": all(
            more_vat[seed]["clean"] < more[seed]["clean"] for seed in more
        ),
        "8,000 labels: VAT misreads less than no regularisation, on average": average(all_vat, "clean")
        < average(everything, "clean"),
        "8,000 labels: FGSM(.1) fools VAT's less than no regularisation": average(all_vat, "fgsm")
        < average(everything, "fgsm"),
    }


def average(rows: Mapping[int, Figures], what: str) -> float:
    """Over the seeds."""
    return mean(row[what] for row in rows.values())


if __name__ == "__main__":
    sys.exit(main())
