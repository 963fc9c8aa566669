"""Words of generated pages: what a table's cell, a comment and a link look like in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator


def cell(text: str) -> str:
    """Text on one line that ends no cell and begins no tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A table, after an empty line; columns in which nothing stands are left out."""
    names, filled = list(heads), [list(row) for row in rows]
    kept = [number for number, _ in enumerate(names) if any(row[number] for row in filled)]
    if filled:
        yield from ("", "| " + " | ".join(names[number] for number in kept) + " |", "|" + "---|" * len(kept))
        for row in filled:
            yield "| " + " | ".join(cell(row[number]) for number in kept) + " |"


def anchor(heading: str) -> str:
    """The id that a heading gets, as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
