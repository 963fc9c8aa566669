"""One guarantee, taken out: what is replaced where, and which tests have to notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class AnchorError(Exception):
    """Raised when the text that a mutation replaces is not in its file as often as it says."""


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """`old` stands in `file` so many `times` and becomes `new`; each of `tests` (path::name, no parameters) fails."""

    name: str
    removes: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    times: int = 1

    def apply(self, tree: Path) -> None:
        """Change the file in this copy of the code. AnchorError."""
        (tree / self.file).write_text(self.mutated(tree), encoding="utf-8")

    def mutated(self, tree: Path) -> str:
        """The changed file. AnchorError: the text is not there, or not as often as the table says."""
        path = tree / self.file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if (found := text.count(self.old)) != self.times:
            raise AnchorError(f"{self.name}: what it replaces stands {found} times in {self.file}, not {self.times}")
        return text.replace(self.old, self.new)
