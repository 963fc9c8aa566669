"""Links of the documentation lead somewhere: files and headings are there, addresses elsewhere are well-formed."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tools.reference_words import anchor

from .blocks import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "deploy").rglob("*.md"))]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
FENCES = re.compile(r"^ *(`{3,}).*?^ *\1 *$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)(?: \"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6} (?P<words>.*)$", re.MULTILINE)


def prose(path: Path) -> str:
    """A page without its code."""
    return FENCES.sub("", path.read_text(encoding="utf-8"))


@cache
def headings(path: Path) -> set[str]:
    """The anchors of a page, as GitHub and the site make them; what comes twice is numbered."""
    found: dict[str, int] = {}
    anchors = set()
    for match in HEADING.finditer(prose(path)):
        name = anchor(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match["words"].replace("`", "")))
        anchors.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return anchors


def wrong(page: Path, target: str) -> str:
    """What is wrong with a link, in words; empty where nothing is."""
    if "://" in target:
        parts = urlsplit(target)
        return "" if parts.scheme in {"http", "https"} and "." in parts.netloc else "is no address"
    name, _, heading = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.exists():
        return "is not there"
    if heading and path.suffix == ".md" and heading not in headings(path):
        return f"has no heading {heading!r}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page):
    links = [match["target"] for match in LINK.finditer(SPAN.sub("", prose(page)))]
    found = {target: wrong(page, target) for target in links}
    assert {target: words for target, words in found.items() if words} == {}


def test_a_link_that_leads_nowhere_is_found():
    page = ROOT / "README.md"
    assert wrong(page, "docs/nothing.md") == "is not there"
    assert wrong(page, "docs/catalog.md#nothing") == "has no heading 'nothing'"
    assert wrong(page, "https://nowhere") == "is no address"
    assert wrong(page, "docs/catalog.md#attacks") == ""
