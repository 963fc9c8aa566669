"""The code blocks of the documentation, and what their marks ask of the test that runs them.

A mark is a comment of its own on a line before a block; several may stand there, one a line:

    <!-- quick: LONG => SHORT -->       LONG stands in the block; SHORT is run in its place (fewer epochs, fewer digits)
    <!-- exit: 1 -->                    the block ends with this code
    <!-- until: WORDS -->               the block goes on until it is interrupted: it is, once it has printed WORDS
    <!-- background: WORDS -->          it goes on to the end of the page; the next block begins when WORDS are there
    <!-- file: NAME -->                 the block is the text of a file, which the blocks after it find in their folder
    <!-- read by: READER -->            data (YAML, TOML, JSON) that READER of `readers.py` has to understand
    <!-- output -->                     text that the block before it prints; `...` stands for anything
    <!-- elsewhere: TEST: A; B -->      a test, or `make TARGET`, runs this; it speaks of A and B, as the block does
    <!-- needs: THING -->               can't be run here: docker, cluster, gpu or root; few may say so

and on a line anywhere, for the blocks of the page below it:

    <!-- given: my-net hardened -->     the service has these models, as the tutorial leaves them behind
    <!-- given: store -->               the variables that lead a gateway to the service's store are set
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELL = {"sh", "bash", "shell", "console"}
DATA = {"yaml", "yml", "json", "toml", "ini"}
TEXT = {"text", "mermaid"}
LANGUAGES = SHELL | DATA | TEXT | {"python"}
NEEDS = {"docker", "cluster", "gpu", "root"}
MARKS = {"quick", "exit", "until", "background", "file", "read by", "output", "elsewhere", "needs"}

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,})(?P<language>[^\s`]*)\s*$")
MARK = re.compile(r"^\s*<!-- (?P<kind>[a-z ]+?)(?:: (?P<text>.*?))? -->\s*$")


@dataclass(frozen=True)
class Block:
    """One block: where it stands, what it is written in, and what it is marked with."""

    page: str
    line: int
    language: str
    text: str
    marks: dict[str, list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def mark(self, kind: str) -> str | None:
        """What the one mark of a kind says; None where there is none."""
        texts = self.marks.get(kind)
        return None if texts is None else texts[-1]

    @property
    def runs(self) -> bool:
        """Whether it is run in the session of its page."""
        if "elsewhere" in self.marks or "needs" in self.marks:
            return False
        return self.language in SHELL | {"python"} or bool({"file", "output"} & self.marks.keys())

    @property
    def to_run(self) -> str:
        """Its text with the quick forms put in; raises AssertionError where the long form is not there any more."""
        text = self.text
        for pair in self.marks.get("quick", []):
            long, arrow, short = pair.partition(" => ")
            assert arrow, f"{self}: a quick mark reads LONG => SHORT"
            assert long in text, f"{self}: {long!r} is not in the block, or not any more"
            text = text.replace(long, short)
        return text


@dataclass(frozen=True)
class Page:
    """One page: its blocks in order, what it is given, and the lines that are indented like code but not fenced."""

    path: str
    blocks: list[Block]
    given: list[str]
    indented: list[int]


def pages() -> list[str]:
    """The pages whose blocks are run, by their paths from the root of the repository."""
    found = [ROOT / "README.md", *sorted((ROOT / "deploy").rglob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
    return [path.relative_to(ROOT).as_posix() for path in found]


def read(path: str) -> Page:
    """Read a page of the repository."""
    return parse(path, (ROOT / path).read_text(encoding="utf-8"))


def parse(path: str, text: str) -> Page:
    """Find the blocks of a page's text."""
    lines = text.split("\n")
    page = Page(path, [], [], [])
    marks: dict[str, list[str]] = {}
    number = 0
    while number < len(lines):
        line = lines[number]
        if fence := FENCE.match(line):
            end = _end(path, lines, number, fence["ticks"])
            inside = [part.removeprefix(fence["indent"]) for part in lines[number + 1 : end]]
            if not fence["language"].startswith("{"):  # a directive of the site's generator
                page.blocks.append(Block(path, number + 1, fence["language"], "\n".join(inside) + "\n", marks))
            marks, number = {}, end
        elif mark := MARK.match(line):
            if mark["kind"] == "given":
                page.given.extend(mark["text"].split())
            elif mark["kind"] in MARKS:
                marks.setdefault(mark["kind"], []).append(mark["text"] or "")
        elif line.strip():
            assert not marks, f"{path}:{number}: a mark that no block follows"
            if line.startswith("    ") and number and not lines[number - 1].strip() and not _in_list(lines, number):
                page.indented.append(number + 1)
        number += 1
    return page


def _end(path: str, lines: list[str], start: int, ticks: str) -> int:
    for number in range(start + 1, len(lines)):
        if lines[number].strip() == ticks:
            return number
    raise AssertionError(f"{path}:{start + 1}: a block without an end")


def _in_list(lines: list[str], number: int) -> bool:
    """Whether an indented line belongs to an item of a list above it."""
    for line in reversed(lines[:number]):
        if line.strip() and not line.startswith(" "):
            return bool(re.match(r"([-*+]|\d+\.) ", line))
    return False


def same(expected: str, printed: str) -> bool:
    """Whether text is what was printed, but for blanks, and for `...`, which stands for anything."""
    parts = [r"\s+".join(map(re.escape, part.split())) for part in re.split(r"\.{3}", expected)]
    return re.search(r"\s*.*?\s*".join(parts), printed, re.DOTALL) is not None
