"""`python -m services.telemetry.tree FILE [TRACE]`: the traces of a file of spans, each as a tree with its times.

FILE is what `SPARRING_TRACES=file:...` made. Without TRACE (an id, or its beginning) the last trace is shown.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Line = Mapping[str, Any]
# Attributes that are said beside a name, in this order.
SHOWN = ("unit", "attempt", "attack", "defense", "poison", "samples", "model", "dataset", "bytes", "worker")


def read(path: Path) -> list[Line]:
    """Read the spans of a file. ValueError for a line that is no span."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def last_trace(spans: Iterable[Line]) -> str:
    """Return the id of the trace that began last. ValueError where there is none."""
    return str(max(spans, key=lambda span: int(span["start_ns"]))["trace"])


def roots(spans: Sequence[Line]) -> list[Line]:
    """Return the spans whose parent is not among them, in the order in which they began."""
    known = {span["span"] for span in spans}
    return _in_order(span for span in spans if span["parent"] not in known)


def tree(spans: Sequence[Line]) -> Iterator[str]:
    """Yield a line for each span of one trace: its name, when it began and how long it took, in milliseconds."""
    first = min(int(span["start_ns"]) for span in spans)
    for root in roots(spans):
        yield from _branch(root, spans, first, "")


def _branch(span: Line, spans: Sequence[Line], first: int, indent: str) -> Iterator[str]:
    begun, took = (int(span["start_ns"]) - first) / 1e6, (int(span["end_ns"]) - int(span["start_ns"])) / 1e6
    words = [f"{name}={span['attributes'][key]}" for name in SHOWN if (key := f"sparring.{name}") in span["attributes"]]
    if span["error"] is not None:
        words.append(f"FAILED {span['error']}")
    name = f"{indent}{span['name']}"
    yield f"{name:<42}{begun:>9.1f}{took:>9.1f}  {' '.join([_process(span), *words])}".rstrip()
    for child in _in_order(other for other in spans if other["parent"] == span["span"]):
        yield from _branch(child, spans, first, f"{indent}  ")


def _process(span: Line) -> str:
    """Return the kind of process that recorded it."""
    return f"[{str(span['service']).removeprefix('sparring-')}]"


def _in_order(spans: Iterable[Line]) -> list[Line]:
    return sorted(spans, key=lambda span: (span["start_ns"], span["end_ns"]))


def main() -> int:
    """Return the exit status: 0, or 1 where there is no such trace."""
    parser = argparse.ArgumentParser(prog="python -m services.telemetry.tree", description="Show a trace as a tree.")
    parser.add_argument("file", type=Path)
    parser.add_argument("trace", nargs="?", help="its id, or the beginning of it; the last one without")
    arguments = parser.parse_args()
    spans = read(arguments.file)
    wanted = arguments.trace if arguments.trace is not None or not spans else last_trace(spans)
    spans = [span for span in spans if str(span["trace"]).startswith(str(wanted))]
    if not spans:
        print("there is no such trace in the file", file=sys.stderr)
        return 1
    print(f"trace {spans[0]['trace']}")
    print(f"{'span':<42}{'at ms':>9}{'took ms':>9}")
    print("\n".join(tree(spans)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
