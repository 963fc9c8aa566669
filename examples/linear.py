"""Why linear models are easy to fool: ten numbers by hand, then every test digit turned into any class.

    python examples/linear.py [--out out/linear] [--pictures docs/pictures]

1. The worked example of a ten-dimensional logistic regression: each number moved by 0.5 takes P from 0.0474 to 0.8808.
2. Easier with more numbers: what a fixed epsilon gains grows linearly with their number.
3. Karpathy's experiment, "Breaking linear classifiers on ImageNet", with softmax regression on mnist10k and three
   weight decays: how far every test digit is from every other class, with pictures.

Writes results.json and pictures; the bars at the end are printed as OK or MISSED, and a missed one ends with 1.
Measured: see docs/linear.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from linear_pictures import decay_picture, sheet_picture
from torch import Tensor

from workers.attacks.bim import bim
from workers.attacks.fgsm import fgsm
from workers.attacks.linear_nudge import linear_nudge
from workers.data import builtin
from workers.goals import Targeted, Untargeted
from workers.models import Classifier
from workers.models.classical import fit
from workers.threats import L2, Linf

SEED = 7
# Weight decays: two that cost no accuracy, and one that does.
DECAYS = (1e-4, 1e-3, 1e-1)
SMALL = DECAYS[0]
CLASSES = 10
# Digits for what is measured at every weight decay.
SOME = 200
ANYTHING = 1000.0
EPSILON = 0.3
BATCH = 250


def main() -> int:
    """Run everything; 0 if every bar was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/linear"), help="folder for results.json")
    parser.add_argument("--pictures", type=Path, default=None, help="folder for the pictures; default: that of --out")
    arguments = parser.parse_args()
    pictures = arguments.out if arguments.pictures is None else arguments.pictures
    for folder in (arguments.out, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    results: dict[str, Any] = {"worked_example": worked_example()}
    train, test = builtin("mnist10k", "train"), builtin("mnist10k", "test")
    x, y = test.pixels(slice(None)), test.y
    models = {decay: fit.softmax_regression(train.pixels(slice(None)), train.y, decay=decay) for decay in DECAYS}
    results["dimension"] = more_numbers(models[SMALL], x)
    results["all_digits"] = every_digit_into_every_class(models[SMALL], x)
    results["decays"] = [by_decay(decay, model, x, y) for decay, model in models.items()]
    results["confidence"] = confident(models[SMALL], x, y)
    results["noise"] = from_noise(models[SMALL])
    sheet_picture(pictures / "linear_digits.png", models[SMALL], x, y)
    decay_picture(pictures / "linear_decay.png", models, x, y)
    results["seconds"] = round(time.monotonic() - started, 1)
    met = [(name, bool(good)) for name, good in bars(results)]
    results["bars"] = dict(met)
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\nBars ({results['seconds']} s)")
    for name, good in met:
        print(f"  {'OK    ' if good else 'MISSED'}  {name}")
    return 0 if all(good for _, good in met) else 1


def worked_example() -> dict[str, Any]:
    """The ten numbers of the tutorial, as pixels 1/2 + x / 16, which float32 holds exactly."""
    x = torch.tensor([[2, -1, 3, -2, 2, 2, 1, -4, 5, 1.0]])
    w = torch.tensor([-1, -1, 1, -1, 1, -1, 1, 1, -1, 1.0])

    def logistic(pixels: Tensor) -> Tensor:
        score = (16 * (pixels - 0.5)) @ w
        return torch.stack([torch.zeros_like(score), score], dim=1)

    zero, pixels = torch.zeros(1, dtype=torch.int64), x / 16 + 0.5
    moved = 16 * (fgsm(logistic, pixels, Untargeted(zero), Linf(0.5 / 16)) - 0.5)
    least = 16 * (linear_nudge(logistic, pixels, Untargeted(zero), Linf(1.0), margin=1.0) - pixels).abs().max()
    scores = [float(numbers @ w) for numbers in (x, moved)]
    chances = [round(float(torch.sigmoid(torch.tensor(score))), 4) for score in scores]
    print(f"w     {w.int().tolist()}\nx     {x[0].int().tolist()}\nx_ad  {moved[0].tolist()}")
    print(f"score {scores[0]:+g} -> {scores[1]:+g},  P(y = 1) {chances[0]:.4f} -> {chances[1]:.4f}")
    print(
        f"every number moved by {float((moved - x).abs().min())} exactly; {float(least):.4f} is where the boundary is"
    )
    return {
        "x": x[0].tolist(),
        "x_adv": moved[0].tolist(),
        "scores": scores,
        "probabilities": chances,
        "moved_by": sorted({float(step) for step in (moved - x).abs()[0]}),
        "boundary_at": float(least),
    }


def more_numbers(model: Classifier, x: Tensor) -> dict[str, Any]:
    """What epsilon 0.1 gains on ever more pixels of the fitted weights, and the epsilon that all 784 need."""
    weight = model.network[1].weight.detach()  # type: ignore[index] # softmax regression is Sequential(Flatten, Linear)
    order = torch.randperm(weight.shape[1], generator=torch.Generator().manual_seed(SEED))
    counts = [49, 98, 196, 392, 588, 784]
    gains = [float(0.1 * (weight[3] - weight[7])[order[:count]].abs().sum()) for count in counts]
    correlation = float(torch.corrcoef(torch.tensor([[float(c) for c in counts], gains]))[0, 1])
    needed = nearest_class(model, x[:SOME])
    shown = ", ".join(f"{count}: {gain:.1f}" for count, gain in zip(counts, gains, strict=True))
    print(f"\nGain of a 3 over a 7 at epsilon 0.1 by number of pixels: {shown}")
    print(f"correlation with their number {correlation:.4f}; epsilon that turns a digit: median {needed:.4f}")
    return {"pixels": counts, "gain": gains, "correlation": correlation, "median_epsilon": needed}


def nearest_class(model: Classifier, x: Tensor) -> float:
    """The median L-infinity distance to any other answer."""
    x_adv = linear_nudge(model, x, Untargeted(answers(model, x)), Linf(1.0), margin=1.02)
    return float(Linf(1.0).distance(x_adv, x).median())


def every_digit_into_every_class(model: Classifier, x: Tensor) -> dict[str, Any]:
    """The share of all test digits that answers a class, for each class, once each was nudged there."""
    shares, distances = [], []
    for target in range(CLASSES):
        turned, far = zip(*nudged(model, x, target, Linf(1.0)), strict=True)
        shares.append(float(torch.cat(turned).float().mean()))
        distances.append(torch.cat(far))
    linf = torch.cat(distances)
    found = {"share_by_class": shares, "linf": quantiles(linf)}
    print(f"\nAll {len(x)} test digits into each class: {min(shares):.4f} at least; L-infinity {found['linf']}")
    return found


def nudged(model: Classifier, x: Tensor, target: int, ball: Linf | L2) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield by batch whether it answers the target, and the distance of those that did not from the start."""
    for part in x.split(BATCH):
        away = answers(model, part) != target
        x_adv = part.clone()
        goal = Targeted(torch.full((int(away.sum()),), target))
        x_adv[away] = linear_nudge(model, part[away], goal, ball, margin=1.02)
        yield answers(model, x_adv) == target, ball.distance(x_adv, part)[away]


def by_decay(decay: float, model: Classifier, x: Tensor, y: Tensor) -> dict[str, Any]:
    """Errors, weights, and how far some digits are from every class, at one weight decay."""
    weight = model.network[1].weight  # type: ignore[index] # softmax regression is Sequential(Flatten, Linear)
    row: dict[str, Any] = {
        "decay": decay,
        "error": float((answers(model, x) != y).float().mean()),
        "largest_weight": float(weight.abs().max()),
    }
    for name, ball in (("linf", Linf(1.0)), ("l2", L2(ANYTHING))):
        found = [pair for target in range(CLASSES) for pair in nudged(model, x[:SOME], target, ball)]
        turned, far = (torch.cat(column) for column in zip(*found, strict=True))
        row[f"turned_{name}"] = float(turned.float().mean())
        row["linf" if name == "linf" else "rms"] = quantiles(far if name == "linf" else far / x[0].numel() ** 0.5)
    print(
        f"decay {decay:g}: error {row['error']:.3f}, max|w| {row['largest_weight']:.3f}, "
        f"L-infinity {row['linf']['mean']:.3f}, RMS {row['rms']['mean']:.4f}"
    )
    return row


def confident(model: Classifier, x: Tensor, y: Tensor) -> dict[str, Any]:
    """The probability that BIM at L-infinity 0.3 reaches for 900 pairs: ten digits of each class, nine targets each."""
    rows = torch.cat([(y == digit).nonzero()[:10, 0] for digit in range(CLASSES)]).repeat_interleave(CLASSES)
    targets = torch.arange(CLASSES).repeat(len(rows) // CLASSES)
    wrong = targets != y[rows]
    start, goal = x[rows[wrong]], Targeted(targets[wrong])
    x_adv = bim(model, start, goal, Linf(EPSILON), steps=20, step_size=EPSILON / 8)
    reached = model(x_adv).softmax(dim=1).gather(1, goal.label.unsqueeze(1))
    share, median = float((reached >= 0.99).float().mean()), float(reached.median())
    print(f"\n{len(start)} pairs at L-infinity {EPSILON}: {share:.4f} reach 99 %, median {median:.6f}")
    return {"pairs": len(start), "share": share, "median": median}


def from_noise(model: Classifier) -> dict[str, Any]:
    """The probability that each class reaches from one picture of uniform noise, as Karpathy did."""
    noise = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(SEED)).repeat(CLASSES, 1, 1, 1)
    goal = Targeted(torch.arange(CLASSES))
    x_adv = bim(model, noise, goal, Linf(EPSILON), steps=20, step_size=EPSILON / 8)
    reached = model(x_adv).softmax(dim=1).diag()
    print(f"from noise: every class at {float(reached.min()):.6f} at least")
    return {"probabilities": reached.tolist()}


def bars(results: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield what must hold, in words."""
    example, rows = results["worked_example"], results["decays"]
    yield "scores are exactly -3 and +2", example["scores"] == [-3.0, 2.0]
    yield "probabilities are 0.0474 and 0.8808", example["probabilities"] == [0.0474, 0.8808]
    yield "every number moved by 0.5 exactly", example["moved_by"] == [0.5]
    yield "gain is linear in the number of pixels (correlation >= 0.99)", results["dimension"]["correlation"] >= 0.99
    yield "epsilon that turns a digit of 784 pixels below 0.1", results["dimension"]["median_epsilon"] < 0.1
    yield "softmax error at most 10 % at some decay", min(row["error"] for row in rows) <= 0.10
    yield "95 % of all test digits into any class", min(results["all_digits"]["share_by_class"]) >= 0.95
    yield "99 % probability within 0.3 for 95 % of 900 pairs", results["confidence"]["share"] >= 0.95
    yield "RMS needed rises with weight decay", ascending([row["rms"]["mean"] for row in rows])
    yield "the largest weight falls with it", ascending([-row["largest_weight"] for row in rows])
    yield "from noise too, 99 % for every class", min(results["noise"]["probabilities"]) >= 0.99


def answers(model: Classifier, x: Tensor) -> Tensor:
    """The predicted class of each picture."""
    with torch.no_grad():
        return model(x).argmax(dim=1)


def quantiles(values: Tensor) -> dict[str, float]:
    """Mean, median, 95th percentile and largest, to four digits."""
    points = {"mean": values.mean(), "median": values.median(), "p95": values.quantile(0.95), "max": values.max()}
    return {name: rounded(float(value)) for name, value in points.items()}


def rounded(value: float) -> float:
    """Four digits after the point."""
    return round(value, 4)


def ascending(values: list[float]) -> bool:
    """Whether each is larger than the one before."""
    return all(a < b for a, b in itertools.pairwise(values))


if __name__ == "__main__":
    sys.exit(main())
