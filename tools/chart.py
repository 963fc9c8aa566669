"""Keeps what the Helm chart repeats: `python tools/chart.py [--check]`.

README.md of the chart lists every value with its default and the comment that stands above it in values.yaml; its files
redis.conf and users.acl are those of deploy/, since a chart can't reach outside its own folder.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "sparring"
# What a class of workers sets and says nothing of.
OF_A_CLASS = "See `workerDefaults`."
COPIES = ("redis.conf", "users.acl")
HEAD = """# Values of the chart

Generated from [values.yaml](values.yaml) by `make docs`. A value that is not listed is refused, see
[values.schema.json](values.schema.json). How to install, scale and upgrade:
[docs/kubernetes.md](../../../docs/kubernetes.md); whole examples: [../examples](../examples).

| Value | Default | |
|---|---|---|
"""


@dataclass(frozen=True)
class Value:
    """One line of values.yaml that sets something: where it stands, what it says, and the comment above it."""

    path: str
    default: str
    comment: str


def values(text: str) -> Iterator[Value]:
    """Return every value of values.yaml, in its order."""
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if not bare or bare.startswith("#"):
            comment = [*comment, bare.removeprefix("#").strip()] if bare else []
            continue
        indent = len(line) - len(line.lstrip())
        key, _, rest = bare.partition(":")
        path = [(depth, name) for depth, name in path if depth < indent] + [(indent, key)]
        if not rest.strip():
            # A comment above the two lines of resources is about both of them.
            comment = comment if key == "resources" else []
            continue
        name = ".".join(part for _, part in path)
        yield Value(name, rest.strip(), " ".join(comment) or OF_A_CLASS)
        comment = comment if key == "requests" else []


def page() -> str:
    """The chart's README."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    rows = [f"| `{value.path}` | `{value.default}` | {value.comment} |" for value in values(text)]
    return HEAD + "\n".join(rows) + "\n"


def wanted() -> dict[Path, str]:
    """Return every file that is made from others, with what it should say."""
    copies = {CHART / "files" / name: (ROOT / "deploy" / name).read_text(encoding="utf-8") for name in COPIES}
    return {CHART / "README.md": page(), **copies}


def main() -> int:
    """Write them, or with --check say which of them differ; the exit status."""
    differing = {
        path: text for path, text in wanted().items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    if "--check" in sys.argv[1:]:
        for path in differing:
            print(f"{path.relative_to(ROOT)} is out of date; run `make docs`", file=sys.stderr)
        return int(bool(differing))
    for path, text in differing.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
