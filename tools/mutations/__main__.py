"""Take each guarantee out of the code and demand that its tests notice: `python -m tools.mutations [-k WORD] [--list]`.

Ends with 1 where a mutation survives, where one can't be applied or breaks more than it should, or where a test that is
to judge one is not green to begin with. Writes out/mutations/results.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tools.mutations.mutation import Mutation
from tools.mutations.table import MUTATIONS
from tools.mutations.trial import ROOT, Verdict, judge, red_before

AT_ONCE = 2
RESULTS = ROOT / "out" / "mutations" / "results.json"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.mutations", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("-k", metavar="WORD", default="", help="only the mutations whose name or file has this in it")
    parser.add_argument("--list", action="store_true", help="print the table and run nothing")
    asked = parser.parse_args()
    chosen = [mutation for mutation in MUTATIONS if asked.k in f"{mutation.name} {mutation.file}"]
    if asked.list:
        for mutation in chosen:
            print(f"{mutation.name:50} {mutation.removes}")
        return 0
    begun = time.monotonic()
    if problem := not_green(chosen):
        print(problem)
        return 1
    print(f"every test that judges is green without a mutation ({time.monotonic() - begun:.0f} s)", flush=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = [tell(verdict) for verdict in pool.map(judge, chosen)]
    survived = [verdict for verdict in verdicts if verdict.problem]
    keep(verdicts)
    seconds = time.monotonic() - begun
    print(f"{len(verdicts) - len(survived)} of {len(verdicts)} mutations caught in {seconds:.0f} s")
    return 1 if survived or not chosen else 0


def not_green(chosen: Sequence[Mutation]) -> str:
    """Run every named test once, without any mutation; what is wrong, or nothing."""
    tests = sorted({test for mutation in chosen for test in mutation.tests})
    # Tests of one file share what they set up, so files stay together.
    files = sorted({test.partition("::")[0] for test in tests})
    shares = [[test for test in tests if test.partition("::")[0] in files[first::AT_ONCE]] for first in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return "\n".join(filter(None, pool.map(red_before, filter(None, shares))))


def tell(verdict: Verdict) -> Verdict:
    """Print the line of one mutation."""
    names = ", ".join(test.rpartition("::")[2] for test in verdict.mutation.tests)
    word = verdict.problem or f"caught by {names}"
    print(f"{verdict.seconds:5.1f} s  {verdict.mutation.name:52}  {word}", flush=True)
    return verdict


def keep(verdicts: Sequence[Verdict]) -> None:
    """Write the results for whoever reads them later."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "mutation": verdict.mutation.name,
            "removes": verdict.mutation.removes,
            "file": verdict.mutation.file,
            "caught": not verdict.problem,
            "problem": verdict.problem,
            "seconds": round(verdict.seconds, 1),
            "errors": verdict.errors,
        }
        for verdict in verdicts
    ]
    RESULTS.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
