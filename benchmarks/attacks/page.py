"""The tables of docs/benchmarks.md, written from the results between two markers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.attacks.reasons import reason
from benchmarks.attacks.side import OURS
from benchmarks.attacks.targets import Target, targets

BEGIN, END = "<!-- bench-attacks: begin, written by `make bench-attacks` -->", "<!-- bench-attacks: end -->"
FULL, SURVIVORS = OURS

Row = dict[str, Any]


def write(page: Path, results: Mapping[str, Row]) -> None:
    """Put the tables of every run (by device) between the markers of `page`."""
    between(page, BEGIN, END, (line for device in sorted(results) for line in of_run(results[device])))


def between(page: Path, begin: str, end: str, lines: Iterable[str]) -> None:
    """Put `lines` in the place of what stands between two markers, which the page has to have once each."""
    text = page.read_text()
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"{page} needs the two markers once each:\n{begin}\n{end}")
    before, after = text.partition(begin)[0], text.partition(end)[2]
    page.write_text("\n".join([before + begin, "", *lines, end]) + after)


def of_run(run: Row) -> Iterator[str]:
    """One device's tables."""
    about, comparisons = run["about"], run["comparisons"]
    yield from heading(about)
    yield from _speeds({key: c for key, c in comparisons.items() if c["case"]["fixed_steps"]})
    yield from _shortest({key: c for key, c in comparisons.items() if c["case"]["minimum"]})
    others = {k: c for k, c in comparisons.items() if not (c["case"]["minimum"] or c["case"]["fixed_steps"])}
    yield from _robustness(others)
    yield from _costs(comparisons)
    yield from verdict([target for key, c in comparisons.items() for target in targets(key, c)])


def heading(about: Row) -> Iterator[str]:
    """What a reader has to know of a run."""
    yield f"### On {about['device']}"
    yield ""
    yield (
        f"{about['date']}, {about['size']} size, {about['threads']} thread(s) a side, ratios in "
        f"{about['clock']}; " + ", ".join(f"{name} {version}" for name, version in about["versions"].items()) + "."
    )
    yield ""


def table(head: str, rows: list[list[str]]) -> Iterator[str]:
    """The columns of `head`, parted by bars, and the rows; nothing where there are none."""
    if not rows:
        return
    columns = head.split("|")
    yield "| " + " | ".join(column.strip() for column in columns) + " |"
    yield "|" + "---|" * len(columns)
    yield from ("| " + " | ".join(row) + " |" for row in rows)
    yield ""


def _speeds(comparisons: Mapping[str, Row]) -> Iterator[str]:
    rows = []
    for key, comparison in comparisons.items():
        measured = {name: row for name, row in comparison["rows"].items() if "seconds" in row}
        ours = [f"{measured[mode]['seconds']:.3f}" if mode in measured else "" for mode in OURS]
        plain = {n: row for n, row in measured.items() if n not in OURS and "favoured" not in n}
        favoured = {n: row for n, row in measured.items() if "favoured" in n}
        each = ", ".join(f"{name} {row['times_ours'][FULL]:.2f}" for name, row in plain.items())
        cells = [least(plain, FULL), least(plain, SURVIVORS), least(favoured, FULL)]
        cells.append(least(plain, FULL, figure="times_ours_looking"))
        rows.append([_name(key, comparison), *ours, each, *cells])
    if rows:
        yield (
            "The same steps everywhere. Seconds of ours: every sample to its last step, and survivors only. Then how "
            "many times as long the others take (fully stepped); the fastest of them against both of ours; and the "
            "fastest of them when our memory layout and allocator settings are given to them too. The last column adds "
            "to the fastest the two forwards that say what came of its attack, which ours includes."
        )
        yield ""
    head = "attack, net, samples | ours s | survivors s | times as long"
    head += " | fastest | against survivors | favoured | with a look"
    yield from table(head, rows)


def least(peers: Mapping[str, Row], mode: str, *, figure: str = "times_ours") -> str:
    """The smallest ratio, as a cell."""
    ratios = [row[figure][mode] for row in peers.values() if mode in row[figure]]
    return f"{min(ratios):.2f}" if ratios else ""


def _shortest(comparisons: Mapping[str, Row]) -> Iterator[str]:
    rows = []
    for key, comparison in comparisons.items():
        for name, row in comparison["rows"].items():
            if "failed" in row:
                rows.append([_name(key, comparison), name, "failed: " + row["failed"], "", "", "", ""])
                continue
            beside = row["distance_ratio"][SURVIVORS] if name not in OURS else 1.0
            ratio = "" if beside is None else f"{beside:.3f}"
            times = "" if name in OURS else f"{row['times_ours'][SURVIVORS]:.1f}"
            mean = "" if row["mean_distance"] is None else f"{row['mean_distance']:.3f}"
            figures = [f"{100 * row['success_rate']:.1f} %", mean, ratio]
            rows.append([_name(key, comparison), _label(name), *figures, f"{row['seconds']:.2f}", times])
    if rows:
        yield "The shortest way. The ratio is our mean distance over theirs, on the samples that both broke."
        yield ""
    head = "attack, net, samples | library | success | mean distance | ours / theirs | s | times as long"
    yield from table(head, rows)


def _robustness(comparisons: Mapping[str, Row]) -> Iterator[str]:
    rows = []
    for key, comparison in comparisons.items():
        for name, row in comparison["rows"].items():
            if "failed" in row:
                rows.append([_name(key, comparison), name, "failed: " + row["failed"], "", ""])
                continue
            times = "" if name in OURS else f"{row['times_ours'][SURVIVORS]:.2f}"
            left = f"{100 * row['robust_accuracy']:.1f} %"
            rows.append([_name(key, comparison), _label(name), left, f"{row['seconds']:.2f}", times])
    if rows:
        yield "Robust accuracy left."
        yield ""
    yield from table("attack, net, samples | library | robust accuracy | s | times as long", rows)


def _costs(comparisons: Mapping[str, Row]) -> Iterator[str]:
    rows = []
    for key, comparison in comparisons.items():
        for name, row in comparison["rows"].items():
            if "seconds" not in row or "favoured" in name:
                continue
            memory = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**20:.0f}"
            weights = "yes" if row["weight_gradients"] else "no"
            outcome = f"{100 * row['robust_accuracy']:.1f} %"
            counts = [f"{row['forwards']:.1f}", f"{row['backwards']:.1f}", weights]
            rows.append([_name(key, comparison), name, *counts, memory, outcome, str(row["violations"])])
    yield "<details><summary>What each asked the net for, per sample, and the memory of one call</summary>"
    yield ""
    head = "attack, net, samples | library | forwards | backwards | weight gradients | peak MiB"
    head += " | robust accuracy | invalid"
    yield from table(head, rows)
    yield "</details>"
    yield ""


def verdict(found: list[Target], why: Callable[[str, str], str] = reason) -> Iterator[str]:
    """How many targets were held, which were missed and why, and every one."""
    missed = [target for target in found if not target.held]
    yield f"Targets: {len(found) - len(missed)} of {len(found)} held."
    yield ""
    if missed:
        rows = [[t.case, t.sentence, f"{t.figure:.3g}", why(t.case, t.sentence)] for t in missed]
        yield from table("missed | target | figure | why", rows)
    yield "<details><summary>Every target</summary>"
    yield ""
    rows = [[t.case, t.sentence, f"{t.figure:.3g}", "held" if t.held else "**missed**"] for t in found]
    yield from table("case | target | figure | verdict", rows)
    yield "</details>"
    yield ""


def _name(key: str, comparison: Row) -> str:
    return f"{key}, {comparison['case']['count']}"


def _label(name: str) -> str:
    return "ours" if name in OURS else name
