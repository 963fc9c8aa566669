"""The attacks that only ask, beside those of foolbox (Rauber et al. 2020) and ART (Nicolae et al. 2018), if installed.

    python benchmarks/queries.py [--samples 50] [--out out/benchmarks/queries.json]

The samples are the first test digits of `mnist10k` that the small convolutional net of Wong gets right, the same number
of each class; the net is that of benchmarks/jsma.py. Untargeted, CPU, one thread. foolbox is given steps, and ours then
as many queries as those came to. A library that is not installed is left out.

Measured (torch 2.13.0, AMD EPYC, one thread, seed 0, 50 samples); median distance of the successes, mean forwards:

    attack                      success   median   forwards     | the peer's
    hop_skip_jump l2             100 %    1.653      1271       | foolbox  100 %   3.720   1272
    hop_skip_jump l2             100 %    1.316      5683       | foolbox  100 %   2.290   5684
    hop_skip_jump linf           100 %    0.1285     1339       | foolbox  100 %   0.1340  1340
    hop_skip_jump linf           100 %    0.0917     5811       | foolbox  100 %   0.0976  5812
    boundary l2                  100 %    3.213      1059       | foolbox  100 %   6.903   1057
    boundary l2                  100 %    1.610      5019       | foolbox  100 %   1.778   5017
    simba l2 pixel, step 0.2     100 %    2.385       314       | ART       84 %   2.293   1247
    simba l2 dct, step 0.2       100 %    1.657       501       | ART       88 %   1.600    995
    nes linf, epsilon 0.1         70 %    -          2981       |
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.jsma import CLASSES, sources, trained
from workers.engine.attack import AttackPlan, run_attack
from workers.models.small import wong_cnn
from workers.threats import BALLS

WALK = {"spherical_step": 0.01, "source_step": 0.01, "step_adaptation": 1.5}
JUMPS = {"initial_evaluations": 100, "max_evaluations": 10000, "gamma": 1.0}
# Ours with fixed budgets; the attacks whose budget is foolbox's are in `against_foolbox`.
OURS: list[tuple[str, str, float, dict[str, float | str]]] = [
    ("simba", "l2", 1000.0, {"queries": 5000, "step": 0.2, "basis": "pixel"}),
    ("simba", "l2", 1000.0, {"queries": 5000, "step": 0.2, "basis": "dct"}),
    ("nes", "linf", 0.1, {"queries": 5000, "samples": 50, "sigma": 0.001, "step_size": 0.005, "momentum": 0.9}),
    ("hop_skip_jump", "l2", 1000.0, {"queries": 1000, **JUMPS}),
    ("hop_skip_jump", "linf", 1.0, {"queries": 1000, **JUMPS}),
    ("boundary", "l2", 1000.0, {"queries": 1000, **WALK}),
]


class Counting(nn.Module):
    """The net as it is, and how many points it has been asked about."""

    def __init__(self, model: nn.Module, *, probabilities: bool = False) -> None:
        super().__init__()
        self.model, self.probabilities, self.asked = model, probabilities, 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += len(x)
        logits: Tensor = self.model(x)
        return logits.softmax(dim=1) if self.probabilities else logits


def row(model: nn.Module, x: Tensor, y: Tensor, points: Tensor, *, norm: str, forwards: float) -> dict[str, float]:
    """What came of it, judged alike for all."""
    with torch.no_grad():
        broken = model(points).argmax(dim=1) != y
    distance = BALLS[norm](1.0).distance(points, x)[broken]
    median = float(distance.median()) if len(distance) > 0 else float("nan")
    return {"success": float(broken.float().mean()), "median": median, "forwards": forwards}


def ours(
    model: nn.Module, x: Tensor, y: Tensor, name: str, *, norm: str, epsilon: float, **parameters: Any
) -> dict[str, float]:
    plan = AttackPlan(name=name, norm=norm, epsilon=epsilon, parameters=parameters)
    result = run_attack(model, x, y, plan, sample_ids=torch.arange(len(x)), seed=0, batch_size=len(x))
    return row(model, x, y, result.x_adv, norm=norm, forwards=float(result.forwards.float().mean()))


def against_foolbox(model: nn.Module, x: Tensor, y: Tensor, note: Callable[[str, dict[str, float]], None]) -> None:
    """foolbox's HopSkipJump and Boundary, then ours with the same queries."""
    import foolbox

    cases = [("hop_skip_jump", norm, steps) for norm in ("l2", "linf") for steps in (6, 18)]
    for name, norm, steps in [*cases, ("boundary", "l2", 900), ("boundary", "l2", 4500)]:
        if name == "boundary":
            attack: Any = foolbox.attacks.BoundaryAttack(steps=steps, tensorboard=False)
        else:
            attack = foolbox.attacks.HopSkipJumpAttack(steps=steps, constraint=norm)
        counting = Counting(model).eval()
        torch.manual_seed(0)
        _, points, _ = attack(foolbox.PyTorchModel(counting, bounds=(0, 1), device="cpu"), x, y, epsilons=None)
        queries = counting.asked // len(x)
        note(f"foolbox {name} {norm}", row(model, x, y, points, norm=norm, forwards=queries))
        own = WALK if name == "boundary" else JUMPS
        epsilon = 1.0 if norm == "linf" else 1000.0
        note(f"ours    {name} {norm}", ours(model, x, y, name, norm=norm, epsilon=epsilon, queries=queries, **own))


def against_art(model: nn.Module, x: Tensor, y: Tensor, note: Callable[[str, dict[str, float]], None]) -> None:
    """ART's SimBA, at most 2,500 directions of one or two queries."""
    from art.attacks.evasion import SimBA
    from art.estimators.classification import PyTorchClassifier

    for kind, options in (("px", {"order": "random"}), ("dct", {"order": "diag", "freq_dim": 4, "stride": 1})):
        counting = Counting(model, probabilities=True).eval()
        shape = tuple(x.shape[1:])
        net = PyTorchClassifier(counting, nn.CrossEntropyLoss(), shape, nb_classes=CLASSES, clip_values=(0, 1))
        attack = SimBA(net, attack=kind, max_iter=2500, epsilon=0.2, verbose=False, batch_size=1, **options)
        found = torch.from_numpy(attack.generate(x.numpy(), torch.eye(CLASSES)[y].numpy()))
        note(f"art     simba l2 {kind}", row(model, x, y, found, norm="l2", forwards=counting.asked / len(x)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks/queries.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = trained(wong_cnn((1, 28, 28), CLASSES))
    x, y = sources(model, arguments.samples)
    rows: list[dict[str, Any]] = []

    def note(label: str, found: dict[str, float]) -> None:
        rows.append({"attack": label, **found})
        print(f"    {label:30} {found['success']:6.1%} {found['median']:8.4f} {found['forwards']:8.0f}", flush=True)

    for name, norm, epsilon, parameters in OURS:
        label = f"ours    {name} {norm} {parameters.get('basis', '')}".rstrip()
        note(label, ours(model, x, y, name, norm=norm, epsilon=epsilon, **parameters))
    if importlib.util.find_spec("foolbox"):
        against_foolbox(model, x, y, note)
    if importlib.util.find_spec("art"):
        against_art(model, x, y, note)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
