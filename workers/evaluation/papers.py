"""The papers that attacks, defenses and checks are from, as BibTeX: `papers.bib`, entry by entry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Paper:
    """One entry. eprint: its arXiv id, or "". cited: surnames and year, as the contract cites it; text: as BibTeX."""

    key: str
    eprint: str
    cited: str
    text: str


def used(cited: Iterable[tuple[str, str]]) -> list[Paper]:
    """Return the entries of (arXiv id, citation), once each, in the order of their keys.

    An id may be followed by a place in the paper; without one, every paper is meant that the citation names by its
    authors and year. What no entry is about, such as a citation of somebody's plug-in, is left out.
    """
    found: dict[str, Paper] = {}
    for paper, citation in cited:
        eprint = paper.partition(" ")[0]
        for entry in entries().values():
            if (entry.eprint == eprint) if eprint else (entry.cited in citation):
                found[entry.key] = entry
    return [found[key] for key in sorted(found)]


@cache
def entries() -> Mapping[str, Paper]:
    """Return every entry of papers.bib by its key."""
    text = files("workers.evaluation").joinpath("papers.bib").read_text()
    found = [_entry(part) for part in re.split(r"\n\n+", text.strip()) if part.startswith("@")]
    return {paper.key: paper for paper in found}


def _entry(text: str) -> Paper:
    fields = dict(re.findall(r"(\w+)\s*= \{(.*)\},", text))
    key = text[text.index("{") + 1 : text.index(",")]
    surnames = [re.sub(r"[{}\\'`\"^~]", "", one.partition(",")[0]) for one in fields["author"].split(" and ")]
    return Paper(key, fields.get("eprint", ""), f"{', '.join(surnames)} {fields['year']}", text)
