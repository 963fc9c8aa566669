"""A black box is robbed of its labels: Papernot's substitute attack on digits, over the network, with counted queries.

    python examples/black_box.py [--out out/black_box] [--oracle wong_cnn] [--mlserver]

Trains a net on 8,000 digits and serves it in another process by the Open Inference Protocol. The attacker sees labels
only, has 100 other digits and 6,400 queries, trains a substitute, and makes examples on that. Whoever measures asks the
black box through an endpoint of its own. `--mlserver` serves the net (a fully connected one) by a real MLServer, for
which the first run makes an environment in out/environments.

Writes results.json and the two ledgers. The bars at the end must be met, or the program ends with 1.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from black_box_servers import by_mlserver, by_process
from rich.console import Console
from rich.table import Table

from workers import models
from workers.blackbox import (
    Craft,
    Endpoint,
    EndpointOptions,
    Imitation,
    Ledger,
    Round,
    SubstituteOptions,
    Transfer,
    imitate,
    noise,
    transfer,
)
from workers.data import builtin
from workers.defenses.standard import StandardTraining
from workers.engine.attack import AttackPlan
from workers.engine.train import Optimization, train
from workers.failures import Rejected
from workers.models import Classifier, Signature

MODEL, SHAPE, CLASSES, SEED = "digits", (1, 28, 28), 10, 7
SEEDS, BUDGET = 100, 6400
EPSILONS = (0.1, 0.2, 0.3)
SUBSTITUTE = SubstituteOptions(architecture="wong_cnn", augmentations=6, step=0.2, alternate_every=3)
CRAFTS = [Craft(name=f"FGSM {epsilon:g}", plan=AttackPlan(name="fgsm", epsilon=epsilon)) for epsilon in EPSILONS]
JSMA = Craft(
    name="JSMA",
    plan=AttackPlan(
        name="jsma",
        norm="l0",
        epsilon=1e6,
        parameters={"theta": 1.0, "max_fraction": 0.145, "pairs": True, "use_logits": True},
    ),
)
JSMA_SAMPLES = 500
# Misclassification of the black box in percent, with what was asked. R: recalled, not looked up again.
PAPER = [
    {"what": "MetaMind, 6,400 queries, FGSM", "misclassified": 84.24, "source": "arXiv:1602.02697v1, abstract"},
    {"what": "Amazon, logistic regression", "misclassified": 96.19, "source": "arXiv:1602.02697, abstract"},
    {"what": "Google, logistic regression", "misclassified": 88.94, "source": "arXiv:1602.02697, abstract"},
    {"what": "MetaMind, 100 handcrafted digits", "misclassified": 78.7, "source": "R"},
]

console = Console(soft_wrap=True)


def main() -> int:
    """Run the attack; 0 if every bar was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/black_box"), help="folder for results and ledgers")
    parser.add_argument("--oracle", choices=["wong_cnn", "mlp"], default="wong_cnn", help="what the black box is")
    parser.add_argument("--mlserver", action="store_true", help="serve it by a real MLServer (then it is an mlp)")
    given = parser.parse_args()
    started = time.monotonic()
    torch.set_num_threads(1)
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    architecture = "mlp" if given.mlserver else given.oracle
    console.print(f"1. A net that the attacker will not see: {architecture}, trained on 8,000 digits")
    oracle = trained(architecture)
    with by_mlserver(oracle, MODEL, given.out) if given.mlserver else by_process(oracle, MODEL) as address:
        console.print(f"2. It is served at {address}; the attacker asks for labels, {BUDGET} times at most")
        found = attack(address, given.out)
    found |= {"oracle": architecture, "server": "MLServer" if given.mlserver else "serving.py", "paper": PAPER}
    found["seconds"] = round(time.monotonic() - started, 1)
    (given.out / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    show(found)
    console.print(f"Figures and ledgers: {given.out}. Took {found['seconds']:.0f} s.")
    return judge(found)


def trained(architecture: str) -> Classifier:
    """Return the black box."""
    recipe = Optimization(epochs=10, batch_size=100, learning_rate=5e-3)
    fresh = models.build(Signature(architecture, SHAPE, CLASSES), seed=SEED)
    return train(fresh, builtin("mnist10k", "train"), StandardTraining(), recipe, seed=SEED).model


def attack(address: str, out: Path) -> dict[str, Any]:
    """Imitate, make examples, measure; the figures."""
    test = builtin("mnist10k", "test")
    x, y = test.pixels(slice(SEEDS, None)), test.y[SEEDS:]
    with (
        endpoint(address, out / "attack.jsonl", budget=BUDGET) as black_box,
        endpoint(address, out / "measurement.jsonl", budget=None) as referee,
    ):
        clean = referee(x).argmax(dim=1)
        stolen = imitate(
            black_box,
            test.pixels(slice(0, SEEDS)),
            SUBSTITUTE,
            classes=CLASSES,
            seed=SEED,
            held_out=(x, clean),
            watch=tell,
        )
        console.print("3. What examples of the substitute do to the black box, and what noise does")
        rows = [
            *transfer(stolen.substitute, referee, x, y, CRAFTS, clean=clean, seed=SEED),
            *transfer(
                stolen.substitute,
                referee,
                x[:JSMA_SAMPLES],
                y[:JSMA_SAMPLES],
                [JSMA],
                clean=clean[:JSMA_SAMPLES],
                seed=SEED,
            ),
            *noise(referee, x, y, EPSILONS, clean=clean, seed=SEED),
        ]
        return figures(stolen, rows) | {
            "clean_error": float((clean != y).float().mean()),
            "attack_queries": black_box.ledger.queries,
            "attack_samples_sent": black_box.ledger.sent,
            "measurement_queries": referee.ledger.queries,
        }


def endpoint(address: str, ledger: Path, *, budget: int | None) -> Endpoint:
    """Return the black box as a module that says labels and nothing else."""
    made = Endpoint(
        EndpointOptions(
            address=address,
            model=MODEL,
            input_shape=SHAPE,
            classes=CLASSES,
            output="labels",
            batch_limit=256,
            budget=budget,
        ),
        ledger=Ledger(ledger),
    )
    wait_for(made)
    return made


def wait_for(made: Endpoint) -> None:
    """Wait until the model is there, a minute and a half at most."""
    until = time.monotonic() + 90
    while True:
        try:
            return made.check()
        except Rejected:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def tell(done: Round) -> None:
    """Print one round."""
    console.print(f"   {done.queries:5d} queries: agrees with the black box on {100 * (done.agreement or 0):.1f} %")


def figures(stolen: Imitation, rows: list[Transfer]) -> dict[str, Any]:
    """Put the figures as they stand in results.json."""
    kept = ("name", "epsilon", "misclassified", "moved", "fooled", "transferability")
    return {
        "substitute": asdict(SUBSTITUTE),
        "seeds": SEEDS,
        "seed": SEED,
        "rounds": [asdict(one) for one in stolen.history],
        "rows": [{name: getattr(row, name) for name in kept} | {"n": len(row.x_adv)} for row in rows],
    }


def show(found: dict[str, Any]) -> None:
    """Print the figures beside the paper's."""
    table = Table(title=f"Examples of the substitute, after {found['attack_queries']} queries for labels")
    table.add_column("examples", no_wrap=True)
    for column in ("n", "fool the substitute", "misclassified by the black box", "of those that fool"):
        table.add_column(column, justify="right")
    for row in found["rows"]:
        noisy = "noise" in row["name"]
        name = f"{row['name']} {row['epsilon']:g}" if noisy else row["name"]
        rest = ("", f"{100 * row['misclassified']:.1f} %", "")
        full = (f"{100 * row['fooled']:.1f} %", rest[1], f"{100 * row['transferability']:.1f} %")
        table.add_row(name, str(row["n"]), *(rest if noisy else full))
    console.print(table)
    console.print(f"Clean digits misclassified: {100 * found['clean_error']:.1f} %. The paper's black boxes:")
    for row in found["paper"]:
        console.print(f"   {row['misclassified']:5.2f} %  {row['what']}  [{row['source']}]", markup=False)


def judge(found: dict[str, Any]) -> int:
    """Hold the figures against the bars."""
    wrong = {(row["name"], row["epsilon"]): row["misclassified"] for row in found["rows"]}
    noisy = max(wrong["uniform noise", 0.2], wrong["sign noise", 0.2])
    bars = {
        f"at most {BUDGET} queries": found["attack_queries"] <= BUDGET,
        "FGSM at 0.3: at least 80 % misclassified": wrong["FGSM 0.3", 0.3] >= 0.80,
        "FGSM at 0.2: at least 30 points above noise": wrong["FGSM 0.2", 0.2] >= noisy + 0.30,
    }
    for bar, met in bars.items():
        console.print(f"[green]held[/green]   {bar}" if met else f"[red]missed[/red] {bar}")
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
