"""What a check found, and the words in which checks speak of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from workers.evaluation import words
from workers.evaluation.inputs import ModelInfo, RunInfo
from workers.evaluation.rows import Row

CARLINI_WAGNER = ("1608.04644", "Carlini, Wagner 2016")
OBFUSCATED_GRADIENTS = ("1802.00420", "Athalye, Carlini, Wagner 2018")
EVALUATING = ("1902.06705", "Carlini, Athalye, Papernot and others 2019")
ENSEMBLE = ("2003.01690", "Croce, Hein 2020")


@dataclass(frozen=True)
class Finding:
    """One warning: `level` orders and colours it; `papers` are (arXiv id, citation) that it leans on."""

    level: Literal["error", "caution", "note"]
    text: str
    papers: tuple[tuple[str, str], ...] = ()


def who(model: ModelInfo) -> str:
    """Return a model's name without its collection."""
    return words.short(model.name)


def told(run: RunInfo) -> str:
    """Return an attack with its loss and its radius: "PGD with the margin loss at L∞ 0.3 (76.5/255)"."""
    return f"{named(run)} at {words.NORMS[run.norm]} {words.radius(run.norm, run.epsilon)}"


def named(run: RunInfo) -> str:
    """Return an attack with its loss, where that is the margin."""
    loss = " with the margin loss" if "margin" in str(run.parameters.get("loss", "")).lower() else ""
    return f"{words.attack_name(run)}{loss}"


def figures(rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> str:
    """Return what each row leaves, in one line."""
    return ", ".join(f"{told(runs[row.run])} leaves {words.share(row.robust_accuracy)}" for row in rows)


def more(row: Row, other: Row) -> bool:
    """Whether a row leaves more samples than another by more than chance: one sample, and half a point."""
    slack = max(1.0, 0.005 * row.n)
    return row.robust_accuracy.count - other.robust_accuracy.count > slack


def plain(run: RunInfo) -> bool:
    """Whether an attack follows the gradient inside its ball as far as it leads.

    Only such attacks say something of the gradients where they fail. EOT gives up success on the picture itself for
    success on its photographs, and what a plug-in does nobody knows here.
    """
    return run.knowledge == "gradients" and not run.minimum and run.attack not in {"eot_pgd", "plugin"}
