"""The environment's and the reasons' parts of the reference, read from the sources of the programs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from services import errors
from tools.reference_words import table

ROOT = Path(__file__).resolve().parent.parent
# Whose environment each head of a module describes.
SETTINGS = {
    "services/settings.py": "Gateways and workers",
    "services/telemetry/settings.py": "Logs and traces of every process",
    "services/console/settings.py": "The console",
    "services/exporter/settings.py": "The exporter of metrics",
}
ROW = re.compile(r"^    (SPARRING_\w+(?:, SPARRING_\w+)*)\s+(.*)$")
FAILURES = "Rejected"


def environment_page() -> str:
    """Every variable that a process reads, from the tables at the heads of the settings' modules."""
    lines = [
        "# Environment",
        "",
        "The variables that each kind of process reads when it starts; an empty one counts as unset.",
    ]
    for path, title in SETTINGS.items():
        rows = list(variables((ROOT / path).read_text(encoding="utf-8")))
        assert rows, f"{path} describes no variable any more"
        lines += ["", f"## {title}", *table(("variable", "meaning", "default"), rows)]
    return "\n".join(lines) + "\n"


def variables(source: str) -> Iterator[tuple[str, str, str]]:
    """Name, meaning and default of each row of a module's head; a row may go on in lines that are indented further."""
    documentation = ast.get_docstring(ast.parse(source), clean=False)
    rows: list[tuple[str, str]] = []
    for line in ("" if documentation is None else documentation).splitlines():
        if found := ROW.match(line):
            rows.append((found[1], found[2]))
        elif rows and line.startswith(" " * 12):
            name, text = rows[-1]
            rows[-1] = (
                name,
                f"{text}  {line.strip()}" if re.search(r"\S {2,}\S", line.strip()) else f"{text} {line.strip()}",
            )
    for name, text in rows:
        meaning, _, default = text.rpartition("  ")
        shown = ", ".join(f"`{part}`" for part in name.split(", "))
        yield shown, (meaning or default).strip(), default.strip() if meaning else ""


def reasons_page() -> str:
    """Every reason that the sources give, with the gRPC code, or the failure of a job, that it comes with."""
    found: dict[tuple[str, str], str] = {}
    for folder in ("services", "workers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for reason, code, message in given(path.read_text(encoding="utf-8")):
                found.setdefault((reason, code), message)
    lines = [
        "# Reasons of errors",
        "",
        "Every error carries a reason that is stable, for programs, beside a message that says what to do, for people.",
        "",
        "In a status it is `google.rpc.ErrorInfo.reason`, in Python `error.reason`. Where no code stands, a job FAILED",
        "for this reason, and has it in `Job.error`. The message is one of those that come with it; `...` varies.",
    ]
    rows = ((f"`{reason}`", f"`{code}`" if code else "", message) for (reason, code), message in sorted(found.items()))
    return "\n".join([*lines, *table(("reason", "code", "message"), rows)]) + "\n"


def given(source: str) -> Iterator[tuple[str, str, str]]:
    """Reason, gRPC code ("" for a job's failure) and message of each error that a module makes."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name == FAILURES and len(node.args) == 2:
            yield from ((reason, "", text(node.args[1])) for reason in constants(node.args[0]))
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, errors.SparringError):
            reasons = [reason for word in node.keywords if word.arg == "reason" for reason in constants(word.value)]
            message = text(node.args[0]) if node.args else ""
            yield from ((reason, kind.code, message) for reason in reasons or [kind.default_reason])


def constants(node: ast.expr) -> list[str]:
    """The words that an expression may be, where they stand there."""
    return [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def text(node: ast.expr) -> str:
    """A message, with `...` for what is put in; nothing where it is made elsewhere."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text(part) if isinstance(part, ast.Constant) else "..." for part in node.values)
    if isinstance(node, ast.BinOp):
        return text(node.left) + text(node.right)
    return ""
