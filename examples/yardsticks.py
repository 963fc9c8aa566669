"""How strong an attack has to be: one adversarially trained net, from one step of FGSM to the AutoAttack ensemble.

    python examples/yardsticks.py [--digits 1000] [--epochs 40] [--out out/yardsticks] [--quick]

Trains Wong's net on the 8,000 training digits of mnist10k against PGD-7 at epsilon 0.3 (the ramp of epsilon is what
makes that possible), keeps its weights in the output folder, and attacks test digits at epsilon 0.3 with more and more:

    FGSM, PGD-40, PGD-40 with 10 restarts, APGD-CE, APGD-T, the ensemble with what each of its stages still broke

Then the same net with its logits multiplied by 10,000: the gradient of the cross-entropy is 0 in float32, so FGSM and
PGD on it find little, and say why; a loss that does not saturate, and the ensemble, find what they found before.

Writes results.json; the bars at the end are printed as OK or MISSED, and a missed one ends with 1. `--quick` trains one
epoch, attacks ten digits and judges nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from showing import judge
from torch import Tensor, nn

from workers.data import builtin
from workers.defenses import PgdAdversarialTraining
from workers.engine.attack import AttackPlan, AttackResult, run_attack
from workers.engine.fastest import fastest
from workers.engine.memory import keep_memory
from workers.engine.train import train
from workers.engine.train_schedule import Optimization
from workers.models import Classifier, Signature, build

SIGNATURE = Signature("wong_cnn", (1, 28, 28), 10)
EPSILON, SEED, BATCH = 0.3, 1, 256
PGD = {"steps": 40, "step_size": 0.01, "random_start": True, "loss": "cross_entropy"}
APGD = {"steps": 100, "restarts": 1, "rho": 0.75}
LADDER: dict[str, tuple[str, dict[str, Any]]] = {
    "FGSM": ("fgsm", {}),
    "PGD-40": ("pgd", {**PGD, "restarts": 1}),
    "PGD-40, 10 restarts": ("pgd", {**PGD, "restarts": 10}),
    "APGD-CE": ("apgd", {**APGD, "loss": "cross_entropy", "targets": 0}),
    "APGD-T": ("apgd", {**APGD, "loss": "dlr", "targets": 9}),
    "ensemble": ("auto_attack", {"version": "standard", "steps": 100, "queries": 5000, "targets": 9}),
}
STAGES = ("APGD-CE", "APGD-T", "FAB-T", "Square")
MASKED = {
    "FGSM": LADDER["FGSM"],
    "PGD-40": LADDER["PGD-40"],
    "PGD-40, rescaled cross-entropy": ("pgd", {**PGD, "restarts": 1, "loss": "rescaled_cross_entropy"}),
    "ensemble": LADDER["ensemble"],
}
SCALE = 1e4


class Scaled(nn.Module):
    """A net whose logits are multiplied: the same answers, surer of themselves."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) -> (N, 10)."""
        logits: Tensor = SCALE * self.net(x)
        return logits


def main() -> int:
    """Train or read the net, climb the ladder, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", type=int, default=1000, help="test digits that are attacked")
    parser.add_argument("--epochs", type=int, default=40, help="of adversarial training")
    parser.add_argument("--out", type=Path, default=Path("out/yardsticks"))
    parser.add_argument("--quick", action="store_true", help="one epoch, ten digits, no judgement")
    arguments = parser.parse_args()
    epochs, digits = (1, 10) if arguments.quick else (arguments.epochs, arguments.digits)
    arguments.out.mkdir(parents=True, exist_ok=True)
    keep_memory()
    net = hardened(arguments.out / f"wong_cnn-{epochs}.pt", epochs)
    test = builtin("mnist10k", "test").select(0, digits)
    x, y = test.pixels(slice(None)), test.y
    print(f"{digits} test digits, Linf {EPSILON}, accuracy left, of all of them")
    ladder = climb(net, LADDER, x, y)
    masked = climb(Scaled(net), MASKED, x, y)
    report = {"epsilon": EPSILON, "digits": digits, "ladder": ladder, "masked": masked}
    (arguments.out / "results.json").write_text(json.dumps(report, indent=1) + "\n")
    left = {name: row["accuracy"] for name, row in ladder.items()}
    hidden = {name: row["accuracy"] for name, row in masked.items()}
    print(f"PGD-40 alone promises {100 * (left['PGD-40'] - left['ensemble']):.1f} points more than the ensemble leaves")
    bars = {
        "FGSM >= PGD >= APGD-T >= ensemble": left["FGSM"] >= left["PGD-40"] >= left["APGD-T"] >= left["ensemble"],
        "the net is robust: PGD-40 leaves 0.8 or more": left["PGD-40"] >= 0.8,
        "a single PGD run promises more than the ensemble leaves": left["PGD-40"] > left["ensemble"],
        "logits x 1e4: PGD on the cross-entropy is fooled by 5 points or more": hidden["PGD-40"]
        >= left["PGD-40"] + 0.05,
        "logits x 1e4: masking is flagged on most samples": masked["PGD-40"]["zero_gradient"] > 0.5,
        "logits x 1e4: the rescaled loss finds what PGD found, within a point": hidden["PGD-40, rescaled cross-entropy"]
        <= left["PGD-40"] + 0.01,
        "logits x 1e4: the ensemble finds the examples, within half a point": hidden["ensemble"]
        <= left["ensemble"] + 0.005,
    }
    return 0 if arguments.quick else judge(bars)


def hardened(path: Path, epochs: int) -> Classifier:
    """The net, trained with PGD-7 at epsilon 0.3, or read from the last time."""
    net = build(SIGNATURE, seed=SEED)
    if path.exists():
        net.network.load_state_dict(torch.load(path, weights_only=True))
        return net.eval()
    started = time.monotonic()
    defense = PgdAdversarialTraining(epsilon=EPSILON, steps=7, step_size=0.1, epsilon_ramp=0.5)
    optimization = Optimization(epochs=epochs, batch_size=100, learning_rate=2e-3)
    result = train(net, builtin("mnist10k", "train"), defense, optimization, seed=SEED)
    print(f"trained in {time.monotonic() - started:.0f} s")
    torch.save(result.model.network.state_dict(), path)
    return result.model


def climb(
    model: nn.Module, attacks: dict[str, tuple[str, dict[str, Any]]], x: Tensor, y: Tensor
) -> dict[str, dict[str, Any]]:
    """Every attack on every digit: a line each."""
    rows = {}
    for title, (name, parameters) in attacks.items():
        plan = AttackPlan(name=name, epsilon=EPSILON, parameters=parameters)
        result = run_attack(
            model,
            x,
            y,
            plan,
            sample_ids=torch.arange(len(x)),
            seed=SEED,
            batch_size=BATCH,
            propagator=fastest(model),
        )
        rows[title] = row(result, y) | ({"stages": stages(result, y)} if name == "auto_attack" else {})
        print(line(title, rows[title]))
    return rows


def row(result: AttackResult, y: Tensor) -> dict[str, Any]:
    """The figures of one attack."""
    return {
        "accuracy": float((result.prediction == y).float().mean()),
        "zero_gradient": float(result.zero_gradient[result.attacked].float().mean()),
        "forwards": float(result.forwards.float().mean()),
        "backwards": float(result.backwards.float().mean()),
        "seconds": result.seconds,
        "violations": result.violations,
    }


def stages(result: AttackResult, y: Tensor) -> dict[str, float]:
    """The accuracy that is left after each stage of the ensemble."""
    clean = float((result.clean_prediction == y).float().mean())
    broken = [float((result.stage == stage).float().mean()) for stage in range(len(STAGES))]
    return {name: clean - sum(broken[: stage + 1]) for stage, name in enumerate(STAGES)}


def line(title: str, figures: dict[str, Any]) -> str:
    """One attack in one line."""
    text = (
        f"  {title:<32} {figures['accuracy']:.3f}   no gradient {figures['zero_gradient']:.3f}   "
        f"{figures['forwards']:7.0f} F {figures['backwards']:7.0f} B a digit   {figures['seconds']:6.1f} s"
    )
    if "stages" in figures:
        text += "\n" + "".join(f"      after {name:<8} {left:.3f}\n" for name, left in figures["stages"].items())
    return text.rstrip("\n")


if __name__ == "__main__":
    sys.exit(main())
