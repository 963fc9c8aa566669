"""Run the cases, write benchmarks/results/attacks.json and the tables of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.attacks import nets, page
from benchmarks.attacks.about import about
from benchmarks.attacks.cases import CASES, larger
from benchmarks.attacks.compare import compare
from benchmarks.attacks.results import take_in, tell
from benchmarks.attacks.side import SIDES, Setup, Side
from benchmarks.attacks.targets import targets

ROOT = Path(__file__).parents[2]
PACKAGES = ("torchattacks", "foolbox", "adversarial-robustness-toolbox", "pyautoattack")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few samples: minutes, and figures that wobble")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--name", help="of the run in the results, which keep one of each name; else the device's")
    parser.add_argument("--threads", type=int, default=1, help="of each side; only one side runs at a time")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="cases whose name contains NAME")
    parser.add_argument(
        "--larger", type=int, default=1, help="times as many samples, where no shortest way is looked for"
    )
    parser.add_argument("--nets", type=Path, default=ROOT / "out/bench-nets", help="where the trained nets are kept")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/attacks.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/benchmarks.md")
    parser.add_argument("--patience", type=float, default=30.0, metavar="SECONDS", help="of a case's timed rounds")
    parser.add_argument("--add", nargs="*", type=Path, metavar="FILE", help="only take in results from elsewhere")
    return parser.parse_args()


def main() -> int:
    """Print every target; one that is missed is a finding, not a failure of this command."""
    given = arguments()
    name = given.name or given.device
    results: dict[str, Any] = json.loads(given.json.read_text()) if given.json.exists() else {}
    if given.add is None:
        fresh = {name: measure(given)}
        if not given.only:
            results.pop(name, None)
    else:
        fresh = {}
        for path in given.add:
            take_in(json.loads(path.read_text()), fresh)
    take_in(fresh, results)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(results, indent=1) + "\n")
    if given.page.exists():
        page.write(given.page, results)
    tell(results, targets)
    return 0


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run every case that was asked for."""
    torch.set_num_threads(given.threads)
    cpu = torch.device("cpu")
    clock = "cpu_s" if given.device == "cpu" and given.threads == 1 else "wall_s"
    cases = [larger(case, given.larger) for case in CASES if not given.only or any(n in case.key for n in given.only)]
    # Trained here, before anybody else looks for them.
    rulers = {name: nets.net(name, given.nets, cpu) for name in dict.fromkeys(case.net for case in cases)}
    shared: dict[str, Any] = {"folder": given.nets, "device": given.device, "threads": given.threads}
    sides = {name: Side(Setup(side=name, **shared)) for name in SIDES}
    comparisons = {}
    begun = time.monotonic()
    try:
        for case in cases:
            patience = given.patience / 6 if given.quick else given.patience
            found = compare(
                case,
                sides,
                rulers[case.net],
                quick=given.quick,
                clock=clock,
                patience_s=patience,
                warm=given.device != "cpu",
            )
            if found is None:
                print(f"{case.key}: not there yet", file=sys.stderr)
                continue
            comparisons[case.key] = found
            print(f"{case.key}: {time.monotonic() - begun:.0f} s so far", file=sys.stderr, flush=True)
    finally:
        for side in sides.values():
            side.close()
    seen = about(PACKAGES, device=given.device, threads=given.threads, quick=given.quick, clock=clock)
    return {"about": seen, "comparisons": comparisons}


if __name__ == "__main__":
    raise SystemExit(main())
