"""Write docs/reference: contract, command, environment, reasons of errors: `python tools/reference.py [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

if __package__ is None or not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.reference_command import command_pages
from tools.reference_contract import contract_pages
from tools.reference_tables import environment_page, reasons_page

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
INDEX = """# Reference

Generated from what the programs are made of, by `make docs`; `make check` fails where it is out of date.

| page | what |
|---|---|
| [Attacks, defenses and poisons](../catalog.md) | every method with formula, paper and parameters |
{rows}
"""


def pages() -> dict[str, str]:
    """Every page by its file's name."""
    made = {name: text for part in (contract_pages(), command_pages(), other_pages()) for name, text in part}
    return {"README.md": INDEX.format(rows="\n".join(f"| {row}" for row in rows(made))), **made}


def other_pages() -> Iterator[tuple[str, str]]:
    """The pages that are one table each."""
    yield "environment.md", environment_page()
    yield "reasons.md", reasons_page()


def rows(made: dict[str, str]) -> Iterator[str]:
    """A row of the index for each page: its title, and the first line below it."""
    for name, text in made.items():
        title, words = [line for line in text.splitlines() if line][:2]
        yield f"[{title.removeprefix('# ')}]({name}) | {words} |"


def main() -> None:
    """Write the pages, or say which of them are out of date."""
    made = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    if "--check" in sys.argv[1:]:
        stale = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
        if stale:
            raise SystemExit(f"docs/reference is not what the programs say ({', '.join(stale)}); run `make docs`")
        return
    FOLDER.mkdir(exist_ok=True)
    for name in there.keys() - made.keys():
        (FOLDER / name).unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
