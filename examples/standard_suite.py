"""The standard suite beside pyautoattack, digit by digit, on one adversarially trained net.

    python benchmarks/attacks/environment.py                    makes the environment of the other library, once
    python examples/standard_suite.py [--digits 1000] [--epsilon 0.3] [--epochs 40] [--out out/standard_suite]

Wong's net, trained on PGD-7 at epsilon 0.3 as in examples/yardsticks.py (and kept where that keeps it), is attacked
with the untargeted attacks of `--suite standard` as the gateway writes them into a job, and with the standard version
of AutoAttack as pyautoattack has it, in an environment and a process of its own. A verdict is whether a digit is still
answered rightly after every attack. Both sides go through the digits in pieces of 100, and keep each piece in the
output folder: a run that was cut off goes on where it was.

Writes results.json; the bars at the end are printed as OK or MISSED, and a missed one ends with 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from showing import judge
from sparring.v1 import datasets_pb2, jobs_pb2, models_pb2, suites_pb2
from torch import Tensor
from yardsticks import SIGNATURE, hardened

from services.gateway import catalog
from services.gateway.references import References
from services.gateway.resolve import resolve
from workers.data import builtin
from workers.engine.attack import run_attack
from workers.engine.fastest import fastest
from workers.engine.memory import keep_memory
from workers.models import Classifier
from workers.run import messages

ROOT = Path(__file__).resolve().parent.parent
PIECE, SEED, BATCH = 100, 0, 100
AGREEMENT = 0.99


def main() -> int:
    """Attack from both sides, compare, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", type=int, default=1000, help="test digits that are attacked")
    parser.add_argument("--epsilon", type=float, default=0.3, help="radius in L-infinity")
    parser.add_argument("--epochs", type=int, default=40, help="of adversarial training")
    parser.add_argument("--net", type=Path, default=Path("out/yardsticks"), help="where the trained net is kept")
    parser.add_argument("--peer", type=Path, default=Path("out/bench-venv/bin/python"), help="python with pyautoattack")
    parser.add_argument("--out", type=Path, default=Path("out/standard_suite"))
    arguments = parser.parse_args()
    for folder in (arguments.out, arguments.net):
        folder.mkdir(parents=True, exist_ok=True)
    keep_memory()
    net = hardened(arguments.net / f"wong_cnn-{arguments.epochs}.pt", arguments.epochs)
    test = builtin("mnist10k", "test").select(0, arguments.digits)
    x, y = test.pixels(slice(None)).clone(), test.y.clone()
    clean = net(x).argmax(dim=1) == y
    ours, theirs = torch.empty(0, dtype=torch.bool), torch.empty(0, dtype=torch.bool)
    for begin in range(0, len(x), PIECE):
        rows = slice(begin, min(begin + PIECE, len(x)))
        where = arguments.out / f"{arguments.epochs}-{arguments.epsilon:g}-{rows.start}-{rows.stop}"
        ours = torch.cat(
            [ours, suite(net, x[rows], y[rows], begin, epsilon=arguments.epsilon, kept=Path(f"{where}.ours"))]
        )
        theirs = torch.cat([theirs, peer(arguments, net, x[rows], y[rows], where)])
        print(
            f"{rows.stop} digits: robust here {ours.float().mean():.3f}, there {theirs.float().mean():.3f}", flush=True
        )
    return compared(arguments, clean, ours, theirs)


def suite(net: Classifier, x: Tensor, y: Tensor, first: int, *, epsilon: float, kept: Path) -> Tensor:
    """Which digits withstand every untargeted attack of the suite inside its ball, (N,) bool."""
    if kept.exists():
        return load_file(kept)["robust"]
    begun, robust = time.process_time(), torch.ones(len(x), dtype=torch.bool)
    for _, curve, attack in messages.runs(job(epsilon, len(x))):
        plan = messages.plan(attack)
        if curve is not None or plan.goal.kind != "untargeted":
            continue
        ids = torch.arange(first, first + len(x))
        found = run_attack(net, x, y, plan, sample_ids=ids, seed=SEED, batch_size=BATCH, propagator=fastest(net))
        near = found.distance <= epsilon + 1e-6
        robust &= ~(near & (found.prediction != y)) & (found.clean_prediction == y)
    save_file({"robust": robust, "seconds": torch.tensor(time.process_time() - begun)}, kept)
    return robust


def job(epsilon: float, count: int) -> jobs_pb2.Job:
    """The evaluation as the gateway resolves it, every attack and every default written out."""
    signature = models_pb2.ModelSignature(
        architecture=SIGNATURE.architecture, input_shape=SIGNATURE.input_shape, classes=SIGNATURE.classes
    )
    model = models_pb2.Model(name="models/net", weights=f"artifacts/{'0' * 64}", signature=signature)
    spec = jobs_pb2.EvaluationSpec(
        models=["net"],
        data=datasets_pb2.DataSelection(dataset="mnist10k", split="test", count=count),
        suite=suites_pb2.Suite(level=suites_pb2.Suite.LEVEL_STANDARD, epsilon=epsilon),
    )
    found = References(models={"net": model}, datasets=dict(catalog.built_in_datasets()))
    return resolve(jobs_pb2.CreateJobRequest(evaluation=spec), found)


def peer(arguments: argparse.Namespace, net: Classifier, x: Tensor, y: Tensor, where: Path) -> Tensor:
    """Which digits withstand pyautoattack, (N,) bool."""
    kept, given = Path(f"{where}.theirs"), Path(f"{where}.given")
    if not kept.exists():
        weights = {f"net.{name}": tensor.contiguous() for name, tensor in net.network.state_dict().items()}
        save_file({"x": x.contiguous(), "y": y, **weights}, given)
        script = [str(ROOT / "examples/standard_suite_peer.py"), str(given), str(kept), str(arguments.epsilon)]
        subprocess.run([str(arguments.peer), *script], check=True, cwd=ROOT)
        given.unlink()
    return load_file(kept)["robust"]


def compared(arguments: argparse.Namespace, clean: Tensor, ours: Tensor, theirs: Tensor) -> int:
    """Write the figures down and judge them."""
    agree = float((ours == theirs).float().mean())
    seconds = {
        side: sum(
            float(load_file(path)["seconds"])
            for path in arguments.out.glob(f"{arguments.epochs}-{arguments.epsilon:g}-*.{side}")
        )
        for side in ("ours", "theirs")
    }
    report = {
        "digits": len(ours),
        "epsilon": arguments.epsilon,
        "clean": float(clean.float().mean()),
        "ours": float(ours.float().mean()),
        "theirs": float(theirs.float().mean()),
        "agreement": agree,
        "only_we_broke": (theirs & ~ours).nonzero().squeeze(1).tolist(),
        "only_they_broke": (ours & ~theirs).nonzero().squeeze(1).tolist(),
        "cpu_seconds": seconds,
    }
    (arguments.out / "results.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    return judge(
        {
            f"the same verdict on {100 * AGREEMENT:g} % of the digits or more": agree >= AGREEMENT,
            "never a higher robust accuracy": report["ours"] <= report["theirs"],
        }
    )


if __name__ == "__main__":
    sys.exit(main())
