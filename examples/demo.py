"""The whole story on real handwritten digits, through the real service: fooled, hardened, attacked again.

    python examples/demo.py [--out out/demo] [--workers 2]

Starts the embedded stack (Valkey, gateway, workers) in a folder of its own, trains an undefended net, fools it, hardens
three more by adversarial training (two kinds) and by distillation, attacks all four, and writes `report.html`, the same
as `report.md`, and `results.json`. Every figure comes from the jobs' results; the bars at the end are what the README
promises, and missing one of them ends the demo with 1.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sparring
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sparring.v1 import jobs_pb2

from services.local import LocalStack

DATA = "mnist10k"
NET = "wong_cnn"
SEED = 7

UNDEFENDED = "undefended"
# What is trained: model id -> (defense, its parameters, epochs).
TRAININGS: dict[str, tuple[str, dict[str, Any], int]] = {
    UNDEFENDED: ("standard", {}, 10),
    "pgd-trained": ("pgd_adversarial", {"epsilon": 0.2, "steps": 5}, 10),
    "fgsm-trained": ("fgsm_adversarial", {"epsilon": 0.25, "alpha": 0.5}, 10),
    "distilled": ("distillation", {"temperature": 20.0}, 10),
}
FIRST_ATTACKS = ["fgsm:epsilon=0.25", "bim:epsilon=0.3,steps=20", "iterative_least_likely:epsilon=0.3,steps=20"]
ATTACKS = [
    "fgsm:epsilon=0.25",
    "bim:epsilon=0.2,steps=20",
    "pgd:epsilon=0.2,steps=20",
    "pgd:epsilon=0.2,steps=20,loss=margin",
]
CURVE = "bim:steps=10@0,0.05,0.1,0.15,0.2,0.25,0.3,0.4"

console = Console(soft_wrap=True)


def main() -> int:
    """Run the demo; 0 if every bar was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the report and the results")
    parser.add_argument("--workers", type=int, default=2, help="worker processes, one CPU core each")
    arguments = parser.parse_args()
    started = time.monotonic()
    shutil.rmtree(arguments.out, ignore_errors=True)
    arguments.out.mkdir(parents=True)
    console.print(f"Starting Valkey, the gateway and {arguments.workers} workers ...")
    with (
        LocalStack(workers=arguments.workers, data_dir=arguments.out / "state") as stack,
        sparring.connect(stack.target) as client,
    ):
        console.print("1. A net that nobody defended, and what three attacks leave of it")
        # The longest training fills the second core from the start.
        undefended, pgd_trained = train(client, UNDEFENDED), train(client, "pgd-trained")
        wait(client, undefended)
        first = attack(client, [UNDEFENDED], FIRST_ATTACKS, [], "demo: the undefended net")
        show(list(results(first)))
        console.print("2. The same net, hardened in three ways")
        wait(client, pgd_trained | train(client, "fgsm-trained", "distilled"))
        console.print("3. All four attacked again")
        evaluation = attack(client, list(TRAININGS), ATTACKS, [CURVE], "Four nets, attacked")
        for role, name in (("report", "report.html"), ("markdown", "report.md")):
            client.artifacts.download(client.jobs.artifact(evaluation, role), arguments.out / name)
    shutil.rmtree(arguments.out / "state")
    rows = [*results(first), *results(evaluation)]
    (arguments.out / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    show(list(results(evaluation)))
    for warning in evaluation.result.warnings:
        console.print(f"[yellow]![/yellow] {warning}")
    console.print(f"\nPictures and curves: {arguments.out / 'report.html'}   figures: {arguments.out / 'results.json'}")
    console.print(f"Took {time.monotonic() - started:.0f} s.")
    return judge(rows)


def train(client: sparring.Client, *models: str) -> dict[str, str]:
    """Ask for the trainings; the models by the names of their jobs."""
    jobs: dict[str, str] = {}
    for model in models:
        defense, parameters, epochs = TRAININGS[model]
        job = client.train(
            DATA,
            defense,
            architecture=NET,
            model_id=model,
            seed=SEED,
            epochs=epochs,
            display_name=f"demo: {model}",
            **parameters,
        )
        jobs[job.name] = model
    return jobs


def attack(
    client: sparring.Client, models: list[str], attacks: list[str], curves: list[str], title: str
) -> jobs_pb2.Job:
    """Attack some nets on the 2,000 test digits, and wait for the figures."""
    job = client.evaluate(models, DATA, attacks=attacks, curves=curves, seed=SEED, display_name=title)
    wait(client, {job.name: "attacks"})
    return client.jobs.get(job.name)


def wait(client: sparring.Client, names: dict[str, str]) -> None:
    """Show a bar per job until all of them have ended; raises SystemExit if one failed."""
    columns = (
        TextColumn("{task.description:>14}"),
        BarColumn(30),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, TextColumn("{task.fields[message]}"), console=console) as bars:
        tasks = {name: bars.add_task(label, total=1.0, message="") for name, label in names.items()}
        while tasks:
            for name, task in list(tasks.items()):
                job = client.jobs.get(name)
                bars.update(task, completed=job.progress.fraction, message=job.progress.message or job.waiting.message)
                if job.state == jobs_pb2.Job.STATE_SUCCEEDED:
                    bars.update(task, completed=1.0, message="done")
                    bars.stop_task(tasks.pop(name))
                elif job.HasField("end_time"):
                    raise SystemExit(f"{names[name]} failed: {job.error.message}")
            time.sleep(0.5)


def results(job: jobs_pb2.Job) -> Iterator[dict[str, Any]]:
    """The rows of results.json: one per model, attack and epsilon."""
    for row in job.result.rows:
        yield {
            "model": row.model.removeprefix("models/"),
            "defense": row.defense,
            "attack": label(row),
            "epsilon": round(row.epsilon, 6),
            "clean_accuracy": row.clean_accuracy.value,
            "robust_accuracy": row.robust_accuracy.value,
            "robust_accuracy_95": [row.robust_accuracy.low, row.robust_accuracy.high],
            "n": row.n,
            "seconds": round(row.seconds, 3),
            "curve": row.curve,
        }


def label(row: jobs_pb2.ResultRow) -> str:
    """The attack's name; PGD on the margin loss is told apart from PGD on cross-entropy."""
    margin = row.attack == "pgd" and row.parameters.pgd.loss == 2
    return "pgd_margin" if margin else row.attack


def show(rows: list[dict[str, Any]]) -> None:
    """Print robust accuracy, a line per attack and a column per model."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    table = Table(title=f"Accuracy on {rows[0]['n']} test digits that no net has seen")
    table.add_column("attack", no_wrap=True)
    table.add_column("epsilon", justify="right")
    for model in models:
        table.add_column(model, justify="right")
    seen: dict[tuple[str, float], dict[str, float]] = {}
    for row in rows:
        if not row["curve"] and row["attack"] != "worst_case":
            seen.setdefault((row["attack"], row["epsilon"]), {})[row["model"]] = row["robust_accuracy"]
    for (attack, epsilon), figures in seen.items():
        shown = "" if attack == "clean" else f"{epsilon:g}"
        table.add_row(attack, shown, *(f"{100 * figures[model]:.1f} %" for model in models))
    console.print(table)


def judge(rows: list[dict[str, Any]]) -> int:
    """Hold the figures against what the README promises."""
    figure = {(r["model"], r["attack"], r["epsilon"]): r["robust_accuracy"] for r in rows if not r["curve"]}
    clean = {r["model"]: r["clean_accuracy"] for r in rows}
    bars = {
        "undefended: clean accuracy at least 0.96": clean["undefended"] >= 0.96,
        "undefended: BIM at 0.3 leaves at most 0.02": figure["undefended", "bim", 0.3] <= 0.02,
        "undefended: FGSM at 0.25 leaves at most 0.35": figure["undefended", "fgsm", 0.25] <= 0.35,
        "pgd-trained: clean accuracy at least 0.95": clean["pgd-trained"] >= 0.95,
        "pgd-trained: BIM with 20 steps at 0.2 leaves at least 0.80": figure["pgd-trained", "bim", 0.2] >= 0.80,
        "distilled: FGSM at 0.25 succeeds less often than on the undefended net": (
            figure["distilled", "fgsm", 0.25] > figure["undefended", "fgsm", 0.25]
        ),
    }
    for bar, met in bars.items():
        console.print(f"[green]held[/green]   {bar}" if met else f"[red]missed[/red] {bar}")
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
