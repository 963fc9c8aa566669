"""Write docs/catalog.md, the page of attacks, defenses and poisons: `python tools/catalog_page.py [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sparring.v1 import catalog_pb2

from services.gateway import catalog, training_cost

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
        "# Attacks, defenses and poisons",
        "",
        "Generated from the contract by `make docs`.",
        "Inputs are in [0, 1]; epsilon is in those units (8/255 is eight grey levels).",
        "",
        "## Attacks",
    ]
    for attack in catalog.attacks():
        lines += method(attack, f"sparring attack {attack.name}")
    lines += ["", "## Defenses", "", *costs(catalog.defenses())]
    for defense in catalog.defenses():
        lines += method(defense, f"sparring train {defense.name}")
    lines += ["", "## Poisons of training sets", "", "What they did here: [poisoning.md](poisoning.md)."]
    for poison in catalog.poisons():
        lines += method(poison, f"sparring poison {poison.name}")
    lines += ["", *fits()]
    return "\n".join(lines) + "\n"


def fits() -> Iterator[str]:
    """What is fitted and not trained, and what its fit takes."""
    yield from ("## Fits", "", "What is no neural net is fitted: `sparring train standard --architecture NAME`, or")
    yield "`sparring train adversarial-refit`. A softmax_regression is fitted where one of its parameters is given."
    yield from ("", "| architecture | what it is | parameters |", "|---|---|---|")
    for entry in catalog.architectures().values():
        if entry.fitting:
            takes = ", ".join(f"`{name}`" for name in entry.fitting)
            yield f"| `{entry.name}` | {entry.description} | {takes} |"
    yield from ("", "| parameter | type | range | default | unit | source |", "|---|---|---|---|---|---|")
    for parameter in catalog.fit_options().values():
        yield row(parameter)


def method(info: catalog_pb2.MethodInfo, command: str) -> Iterator[str]:
    """One attack or defense."""
    yield from ("", f"### `{info.name}` {info.title}", "", info.summary, "", "```text", info.formula, "```", "")
    if info.paper:
        yield f"{info.citation}, arXiv:{info.paper}."
    elif info.citation:
        yield f"{info.citation}."
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


def costs(defenses: Sequence[catalog_pb2.MethodInfo]) -> Iterator[str]:
    """What each defense costs and gave."""
    yield "What a training step costs for each sample: a forward pass, a backward pass to the input and the gradient by"
    yield "the weights count 1 each. A test counts them in a training and compares."
    yield from ("", "| defense | a step costs | with its defaults | times standard training | what it gave here |")
    yield "|---|---|---|---|---|"
    for info in defenses:
        formula, _, words = info.cost.partition("; ")
        units = training_cost.units(training_cost.at_defaults(info.name))
        cost = f"`{formula}`" + (f"; {words}" if words else "")
        times = units / training_cost.STANDARD
        yield "| " + " | ".join([f"`{info.name}`", cost, f"{units:.4g}", f"{times:.2g}", info.measured]) + " |"


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
