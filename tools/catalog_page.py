"""Write docs/catalog.md, the page of attacks and defenses: `python tools/catalog_page.py [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sparring.v1 import catalog_pb2

from services.gateway import catalog

TARGETS = "a label, a random class, the least likely class or each class in turn"
KNOWLEDGE = {
    "gradients": "gradients: it has the model itself",
    "scores": "the scores of all classes",
    "labels": "nothing but labels",
}
PAGE = Path(__file__).resolve().parent.parent / "docs" / "catalog.md"


def page() -> str:
    """The whole page."""
    lines = [
        "# Attacks and defenses",
        "",
        "Generated from the contract by `make docs`.",
        "Inputs are in [0, 1]; epsilon is in those units (8/255 is eight grey levels).",
        "",
        "## Attacks",
    ]
    for attack in catalog.attacks():
        lines += method(attack, f"sparring attack {attack.name}")
    lines += ["", "## Defenses"]
    for defense in catalog.defenses():
        lines += method(defense, f"sparring train {defense.name}")
    return "\n".join(lines) + "\n"


def method(info: catalog_pb2.MethodInfo, command: str) -> Iterator[str]:
    """One attack or defense."""
    yield from ("", f"### `{info.name}` {info.title}", "", info.summary, "", f"    {info.formula}", "")
    if info.paper:
        yield f"{info.citation}, arXiv:{info.paper}."
    if info.differs:
        yield f"Differs from the paper: {info.differs}"
    if info.needs_target:
        yield f"Towards {TARGETS} (`--target`, which must be given)."
    elif info.targeted:
        yield f"Untargeted, or towards {TARGETS} (`--target`)."
    if info.knowledge:
        yield f"Asks the model for {KNOWLEDGE[info.knowledge]}."
    if info.minimum:
        yield "Looks for the shortest perturbation; epsilon is only the largest one that counts."
    yield f"Command: `{command}`."
    if info.parameters:
        yield from ("", "| parameter | type | range | default | unit | source |", "|---|---|---|---|---|---|")
        for parameter in info.parameters:
            yield row(parameter)


def row(parameter: catalog_pb2.ParameterInfo) -> str:
    """One parameter."""
    kind = parameter.type.replace("|", " or ")
    cells = (f"`{parameter.name}`", kind, interval(parameter), parameter.default_value, parameter.unit, parameter.paper)
    return "| " + " | ".join(cells) + " |"


def interval(parameter: catalog_pb2.ParameterInfo) -> str:
    """The range in the usual notation."""
    if not (parameter.HasField("minimum") or parameter.HasField("maximum")):
        return ""
    low = f"{parameter.minimum:g}" if parameter.HasField("minimum") else "-inf"
    high = f"{parameter.maximum:g}" if parameter.HasField("maximum") else "inf"
    return f"{'(' if parameter.minimum_exclusive else '['}{low}, {high}]"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        if PAGE.read_text(encoding="utf-8") != page():
            raise SystemExit("docs/catalog.md is not what the contract says; run `make docs`")
    else:
        PAGE.write_text(page(), encoding="utf-8")
