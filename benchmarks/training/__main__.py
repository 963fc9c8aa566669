"""Run the cases, write benchmarks/results/training.json and the tables of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.attacks.about import about
from benchmarks.attacks.results import take_in, tell
from benchmarks.attacks.side import SIDES, Side
from benchmarks.training import page
from benchmarks.training.bench import Bench, Setup
from benchmarks.training.cases import CASES, quick
from benchmarks.training.compare import compare
from benchmarks.training.targets import targets

ROOT = Path(__file__).parents[2]
PACKAGES = ("adversarial-robustness-toolbox", "torchdefenses")


def main() -> int:
    """Print every target; one that is missed is a finding, not a failure of this command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few digits and epochs: a minute or two; nothing is kept")
    parser.add_argument("--threads", type=int, default=1, help="of each side; only one side runs at a time")
    parser.add_argument("--only", default="", metavar="NAME", help="cases whose name contains NAME")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/training.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/benchmarks.md")
    given = parser.parse_args()
    results: dict[str, Any] = json.loads(given.json.read_text()) if given.json.exists() and not given.quick else {}
    take_in({"cpu": measure(given)}, results)
    if not given.quick:
        given.json.write_text(json.dumps(results, indent=1) + "\n")
        page.write(given.page, results)
    tell(results, targets)
    return 0


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run every case that was asked for."""
    torch.set_num_threads(given.threads)
    os.environ["TQDM_DISABLE"] = "1"  # the sides inherit it
    clock = "cpu_s" if given.threads == 1 else "wall_s"
    sides = {name: Side(Setup(side=name, threads=given.threads), Bench) for name in SIDES}
    comparisons = {}
    begun = time.monotonic()
    try:
        for case in (quick(case) if given.quick else case for case in CASES if given.only in case.key):
            comparisons[case.key] = compare(case, sides, clock=clock)
            print(f"{case.key}: {time.monotonic() - begun:.0f} s so far", file=sys.stderr, flush=True)
    finally:
        for side in sides.values():
            side.close()
    seen = about(PACKAGES, device="cpu", threads=given.threads, quick=given.quick, clock=clock)
    return {"about": seen, "comparisons": comparisons}


if __name__ == "__main__":
    raise SystemExit(main())
