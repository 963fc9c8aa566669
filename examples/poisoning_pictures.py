"""The pictures of the poisoning example: curves against the poisoned fraction, and poison samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from showing import sheet

from workers.poisoning import Measurement

SHOWN = 6
SIDE = 84  # pixels


def curves_picture(path: Path, results: Mapping[str, Any]) -> None:
    """Machines by points, flips by fraction for both learners, and the backdoor."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    machines, svm, net, door = axes.flat
    for name, rows in results["machines"].items():
        points = [0, *(int(what.split()[1]) for what in rows if what.startswith("moved ") and "," not in what)]
        (line,) = machines.plot(
            points, [100 * rows[f"moved {n}" if n else "clean"] for n in points], marker="o", label=f"{name}, moved"
        )
        machines.plot(
            points,
            [100 * rows[f"unmoved {n}" if n else "clean"] for n in points],
            marker="o",
            linestyle=":",
            color=line.get_color(),
            label=f"{name}, label flips before they are moved",
        )
    machines.set(
        title="Biggio's attack: linear SVM, 100 digits", xlabel="points added", ylabel="test error, %", ylim=(-2, 54)
    )
    for axis, who, title in ((svm, "linear_svm", "linear SVM"), (net, "wong_cnn", "network")):
        for choice, colour in (("random", "C0"), ("loss", "C1")):
            row = results["flips"][f"{who} {choice}"]
            for what, style in (("error", "-"), ("error, loss", "--"), ("error, trimmed", ":")):
                label = f"flips {'by loss' if choice == 'loss' else 'at random'}{_sanitised(what)}"
                axis.plot(_percent(row["fraction"]), _percent(row[what]), style, color=colour, marker=".", label=label)
        axis.set(title=f"Label flips: {title}, 2,000 digits", xlabel="flipped labels, %", ylabel="test error, %")
    row = results["backdoor"]
    for what, style in (("fires", "-"), ("fires, loss", "--"), ("fires, trimmed", ":")):
        door.plot(
            _percent(row["fraction"]),
            _percent(row[what]),
            style,
            color="C3",
            marker=".",
            label=f"fires{_sanitised(what)}",
        )
    door.plot(_percent(row["fraction"]), _percent(row["error"]), "-", color="C0", marker=".", label="error when clean")
    door.set(title="Backdoor: network, 8,000 digits", xlabel="triggered digits, %", ylabel="%")
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="best" if axis is door else "upper left")
    figure.savefig(path, dpi=90)
    plt.close(figure)


def samples_picture(path: Path, measured: Mapping[str, Measurement]) -> None:
    """For each poison a row of what its samples were made from, and one of the poison with its label."""
    rows = []
    for title, made in measured.items():
        count = min(SHOWN, len(made.x))
        rows.append([(made.before[i], title if i == 0 else "made from") for i in range(count)])
        rows.append([(made.x[i], f"label {_label(title, int(made.label[i]))}") for i in range(count)])
        if len(made.target):
            rows[-1].append((made.target[0], "target"))
    sheet(rows, side=SIDE).save(path, optimize=True)


def _label(title: str, label: int) -> int:
    """The digit that a label stands for; of a pair "7 against 1", 1 is the first."""
    return int(title.split(" against ")[1 - label]) if " against " in title else label


def _sanitised(what: str) -> str:
    return {"loss": ", dropped by loss", "trimmed": ", trimmed"}.get(what.partition(", ")[2], "")


def _percent(values: list[float]) -> list[float]:
    return [100 * value for value in values]
