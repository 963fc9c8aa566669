"""The gate at work: it fails an undefended net and passes one that was trained against PGD, as CI would see it.

    python examples/gate.py [--out out/gate] [--epochs 5] [--samples 500]

Trains both nets on mnist10k on the embedded stack, keeps their weights as files, and stops the stack. Then runs, as CI
would, `sparring gate --local` on each file: a fresh stack, the upload, the quick suite at L-infinity 0.1 on 500 test
digits, and the end of the stack are all in the time. Ends with 1 if the gate did not decide as it must, or took longer
than 90 s.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import sparring

from services.local import LocalStack

DATA, NET, SEED = "mnist10k", "wong_cnn", 7
EPSILON, LEAST, SECONDS = 0.1, 0.8, 90.0
# name -> (defense, its parameters, the exit code that the gate must have)
NETS = {
    "undefended": ("standard", {}, 1),
    "pgd-trained": ("pgd_adversarial", {"epsilon": 0.2, "steps": 5}, 0),
}


def main() -> int:
    """Run the example; 0 if both bars were met for both nets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/gate"), help="folder for weights, JUnit XML and reports")
    parser.add_argument("--epochs", type=int, default=5, help="of each training")
    parser.add_argument("--samples", type=int, default=500, help="test digits that the gate attacks")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out, ignore_errors=True)
    arguments.out.mkdir(parents=True)
    weights = train(arguments.out, arguments.epochs)
    missed = [name for name, path in weights.items() if not judge(name, path, arguments.samples)]
    print("Every bar was met." if not missed else f"Missed: {', '.join(missed)}.")
    return 1 if missed else 0


def train(out: Path, epochs: int) -> dict[str, Path]:
    """Train both nets at once, one on each of two workers; their weights as files."""
    files = {}
    with LocalStack(workers=2, data_dir=out / "state") as stack, sparring.connect(stack.target) as client:
        started = {
            name: client.train(DATA, defense, architecture=NET, seed=SEED, epochs=epochs, model_id=name, **parameters)
            for name, (defense, parameters, _) in NETS.items()
        }
        for name, job in started.items():
            done = client.jobs.wait(job, check=True)
            files[name] = client.artifacts.download(client.jobs.artifact(done, "weights"), out / f"{name}.safetensors")
    shutil.rmtree(out / "state")
    return files


def judge(name: str, weights: Path, samples: int) -> bool:
    """Run the gate on a file of weights; whether it decided as it must, in time."""
    command = [
        *(sys.executable, "-c", "from services.cli import main; main()"),
        *("gate", "--local", "--model", str(weights), "--architecture", NET, "--dataset", DATA),
        *("--suite", "quick", "--min-robust", str(LEAST), "--epsilon", str(EPSILON), "--samples", str(samples)),
        *(
            "--seed",
            str(SEED),
            "--junit",
            str(weights.with_suffix(".xml")),
            "--report",
            str(weights.with_suffix(".html")),
        ),
    ]
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    took = time.monotonic() - began
    print(done.stdout, end="")
    wanted = NETS[name][2]
    met = done.returncode == wanted and took < SECONDS
    print(f"{name}: exit code {done.returncode} (must be {wanted}) after {took:.1f} s (must be below {SECONDS:.0f})\n")
    return met


if __name__ == "__main__":
    sys.exit(main())
