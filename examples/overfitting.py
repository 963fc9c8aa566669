"""Two ways to overfit in adversarial training, seen by the engine's probes: catastrophically, and slowly.

    python examples/overfitting.py [--out out/overfitting] [--quick]

1. FGSM with random start at epsilon 0.3 whose step is rigged, twice epsilon long. The network learns to answer right
   at the end of that one step, and PGD breaks it: accuracy under PGD falls again, which the loss does not show.
   The same training with a probe goes back to the best weights whenever PGD on samples that are learned from falls by
   0.2, and halves the step (arXiv:2001.03994 stops there).
2. PGD training at a constant rate on few digits. Accuracy under PGD on held-out digits rises, and then falls while the
   loss goes on falling (robust overfitting, arXiv:2002.11569): the best epoch against the last.

All 2,000 test digits are attacked with PGD-40 at the end. The bars below were written before the run; each is printed
as OK or MISSED, and a missed one ends with 1. What has been trained is kept in the output folder. `--quick` trains
two epochs of each on 1,000 digits, attacks 200 and judges nothing. Measured: see docs/adversarial-training.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from showing import judge

from workers.data import Dataset, builtin
from workers.defenses import FgsmRandomStart, PgdAdversarialTraining
from workers.engine.attack import AttackPlan, run_attack
from workers.engine.memory import keep_memory
from workers.engine.train import TrainResult, Validation, train
from workers.engine.train_schedule import Optimization
from workers.models import Classifier, Signature, build
from workers.recipe import Recipe

SIGNATURE, EPSILON, SEED = Signature("wong_cnn", (1, 28, 28), 10), 0.3, 1
PGD40 = {"steps": 40, "step_size": 0.01, "random_start": True, "restarts": 1, "loss": "cross_entropy"}
Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One training on the first digits."""

    digits: int
    defense: Recipe
    optimization: Optimization
    validation: Validation
    # Test digits; the figures of the page are those of all of them.
    judged: int = field(default=2000, repr=False)


_RIGGED = Case(
    digits=8000,
    defense=FgsmRandomStart(epsilon=EPSILON, step_size=2 * EPSILON, epsilon_ramp=0.25),
    optimization=Optimization(epochs=20, batch_size=100, learning_rate=5e-3),
    validation=Validation(held_out=0.05, probe_epsilon=EPSILON),
)
CASES = {
    "rigged": _RIGGED,
    "rigged, with the probe": replace(_RIGGED, validation=replace(_RIGGED.validation, overfitting_drop=0.2)),
    "few digits": Case(
        digits=2000,
        defense=PgdAdversarialTraining(epsilon=EPSILON, steps=7, step_size=0.1, epsilon_ramp=0.25),
        optimization=Optimization(epochs=120, batch_size=100, learning_rate=2e-3, schedule="constant"),
        validation=Validation(held_out=0.25, select="robust", probe_epsilon=EPSILON),
    ),
}


def main() -> int:
    """Train each case, attack what came out, draw, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/overfitting"))
    parser.add_argument("--quick", action="store_true", help="few digits and epochs, no judgement")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    keep_memory()
    rows: dict[str, Figures] = {}
    for name, case in CASES.items():
        short = shortened(case) if arguments.quick else case
        rows[name] = kept(short, arguments.out / f"{name}-{hashlib.sha256(repr(short).encode()).hexdigest()[:8]}.json")
        print(line(name, rows[name]), flush=True)
    (arguments.out / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    draw(rows, arguments.out / "overfitting.png")
    return 0 if arguments.quick else judge(bars(rows))


def shortened(case: Case) -> Case:
    """The same for a look at whether it runs."""
    return replace(case, digits=1000, optimization=replace(case.optimization, epochs=2), judged=200)


def kept(case: Case, path: Path) -> Figures:
    """The figures of one training, or those of the last time."""
    if not path.exists():
        path.write_text(json.dumps(run(case), indent=1) + "\n")
    figures: Figures = json.loads(path.read_text())
    return figures


def run(case: Case) -> Figures:
    """One training: what its probes saw, and PGD-40 on the test digits for the result and for the last weights."""
    learned, test = (
        builtin("mnist10k", "train").select(0, case.digits),
        builtin("mnist10k", "test").select(0, case.judged),
    )
    checkpoints = [b""]

    def keep(checkpoint: bytes) -> None:
        checkpoints[0] = checkpoint

    started = time.process_time()
    result = train(
        build(SIGNATURE, seed=SEED),
        learned,
        case.defense,
        case.optimization,
        validation=case.validation,
        seed=SEED,
        save=keep,
    )
    seconds = time.process_time() - started
    return {
        "seconds": seconds,
        "selected": result.selected,
        "loss": result.history,
        "held_out_clean": [probe.held_out_clean for probe in result.probes],
        "held_out_robust": [probe.held_out_robust for probe in result.probes],
        "rolled_back": [probe.epoch for probe in result.probes if probe.rolled_back],
        "test": accuracies(result.model, test),
        "test, last weights": accuracies(last(result, checkpoints[0]), test),
    }


def last(result: TrainResult, checkpoint: bytes) -> Classifier:
    """The network of the last epoch, whichever was selected."""
    tensors = safetensors.torch.load(checkpoint)
    network = build(result.model.signature, seed=SEED)
    own = {name.removeprefix("network/"): value for name, value in tensors.items() if name.startswith("network/")}
    network.network.load_state_dict(own)
    return network


def accuracies(net: Classifier, test: Dataset) -> dict[str, float]:
    """Clean and under PGD-40."""
    plan = AttackPlan(name="pgd", epsilon=EPSILON, parameters=PGD40)
    ids = torch.arange(len(test))
    result = run_attack(net, test.pixels(slice(None)), test.y, plan, sample_ids=ids, seed=SEED, batch_size=250)
    return {
        "clean": float((result.clean_prediction == test.y).float().mean()),
        "PGD-40": float((result.prediction == test.y).float().mean()),
    }


def line(name: str, figures: Figures) -> str:
    """One case in one line."""
    robust = figures["held_out_robust"]
    text = (
        f"{name:<24} held-out PGD-10 {max(robust):.3f} at best, {robust[-1]:.3f} at last   test clean "
        f"{figures['test']['clean']:.3f} PGD-40 {figures['test']['PGD-40']:.3f}   {figures['seconds']:.0f} s"
    )
    if figures["selected"] is not None:
        text += (
            f"\n  epoch {figures['selected']} is kept; the last one has {figures['test, last weights']['PGD-40']:.3f}"
        )
    if figures["rolled_back"]:
        text += f"\n  went back after epochs {', '.join(map(str, figures['rolled_back']))}"
    return text


def draw(rows: Mapping[str, Figures], path: Path) -> None:
    """The curves."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for name in ("rigged", "rigged, with the probe"):
        robust = rows[name]["held_out_robust"]
        left.plot(range(1, len(robust) + 1), robust, label=name.replace("rigged", "step 2 epsilon"))
    for epoch in rows["rigged, with the probe"]["rolled_back"]:
        left.axvline(epoch, color="0.8", linewidth=1, zorder=0)
    left.set(title="FGSM with random start", xlabel="epoch", ylabel="accuracy under PGD-10, held out", ylim=(0, 1))
    left.legend(loc="lower left", frameon=False)
    few = rows["few digits"]
    epochs = range(1, len(few["loss"]) + 1)
    right.plot(epochs, few["held_out_robust"], label="accuracy under PGD-10, held out")
    right.plot(epochs, few["loss"], label="loss on what is learned from", color="0.6")
    right.set(title="PGD training on 1,500 digits", xlabel="epoch", ylim=(0, 1))
    right.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=110)


def bars(rows: Mapping[str, Figures]) -> dict[str, bool]:
    """What has to come out."""
    rigged, probed, few = (rows[name] for name in CASES)
    saved = probed["test"]["PGD-40"] - rigged["test"]["PGD-40"]
    return {
        "rigged: PGD-10 left 0.5 or more of the held-out digits before": max(rigged["held_out_robust"]) >= 0.5,
        "rigged: in the end PGD-40 leaves 0.3 or less of the test digits": rigged["test"]["PGD-40"] <= 0.3,
        "the probe trips": len(probed["rolled_back"]) >= 1,
        "with the probe PGD-40 leaves 0.3 more of them": saved >= 0.3,
        "few digits: the best epoch leaves 0.02 more than the last one": few["test"]["PGD-40"]
        >= few["test, last weights"]["PGD-40"] + 0.02,
    }


if __name__ == "__main__":
    sys.exit(main())
