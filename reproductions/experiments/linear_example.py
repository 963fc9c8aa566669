"""Ten numbers by hand: a logistic regression whose answer turns when each number moves by 0.5 (A. Karpathy 2015).

The service's pixels are in [0, 1]; here they stand for numbers in [-8, 8], exactly: x = 16 (u - 1/2).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from reproductions.experiment import Bar, Experiment
from reproductions.lab import Lab
from reproductions.nets import softmax
from reproductions.samples import UNCHANGED
from reproductions.wide import TEN

X: Final = (2, -1, 3, -2, 2, 2, 1, -4, 5, 1)
W: Final = (-1, -1, 1, -1, 1, -1, 1, 1, -1, 1)
STEP: Final = 0.5
# Pixels of a digit, from a sixteenth of it to the whole.
PIXELS: Final = (49, 98, 196, 392, 588, 784)
EPSILON: Final = 0.1
DIGITS: Final = 200


def run(lab: Lab) -> None:
    """The worked example, and then the deck's claim that it is easier with more numbers."""
    worked_example(lab)
    more_numbers(lab)


def worked_example(lab: Lab) -> None:
    """Upload the ten weights and the ten numbers, and let FGSM move them."""
    x, w = np.array(X, dtype=np.float32), np.array(W, dtype=np.float32)
    model = lab.upload_model(
        "ten weights",
        "softmax_regression",
        {"1.weight": np.stack([np.zeros_like(w), w]), "1.bias": np.zeros(2, dtype=np.float32)},
        input_shape=(1, 2, 5),
        classes=2,
        mean=TEN.mean,
        std=TEN.std,
    )
    data = lab.upload_data("ten numbers", TEN.narrow(x).reshape(1, 1, 2, 5), np.zeros(1), classes=2)
    before = lab.attack(model, UNCHANGED, data=data, count=1)
    after = lab.attack(model, f"fgsm:epsilon={TEN.epsilon(STEP)}", data=data, count=1)
    points = [TEN.widen(found.arrays["x_adv"]).reshape(-1) for found in (before, after)]
    scores = [float(point @ w) for point in points]
    # What the service itself says: the probability of its answer, which is class 0 before and class 1 after.
    said = [float(found.arrays["confidence"][0]) for found in (before, after)]
    chances = [1 - said[0], said[1]]
    moved = np.abs(points[1] - points[0])
    settings = f"fgsm, each number by {STEP}; 16 (u - 1/2) = x"
    shown = ", ".join(f"{number:g}" for number in points[1])
    lab.row("score before and after", paper="-3, +2", ours=f"{scores[0]:g}, {scores[1]:+g}", n=1, settings=settings)
    lab.row(
        "P(y = 1) before and after",
        paper="0.0474, 0.88",
        ours=f"{chances[0]:.4f}, {chances[1]:.4f}",
        n=1,
        settings=settings,
    )
    lab.row(
        "the moved numbers",
        paper="1.5, -1.5, 3.5, -2.5, 2.5, 1.5, 1.5, -3.5, 4.5, 1.5",
        ours=shown,
        n=1,
        settings=settings,
    )
    lab.bar("scores", scores == [-3.0, 2.0], f"{scores[0]:g} and {scores[1]:g}")
    wanted = [f"{float(softmax(np.array([[0.0, score]]))[0, 1]):.4f}" for score in (-3, 2)]
    lab.bar(
        "chances",
        [f"{chance:.4f}" for chance in chances] == wanted,
        " and ".join(f"{chance:.4f}" for chance in chances),
    )
    lab.bar("moved", bool((moved == STEP).all()), f"by {moved.min():g} to {moved.max():g}")
    both = np.array_equal(points[0], x) and np.array_equal(points[1], x + STEP * w)
    lab.bar("vectors", both, "x and x + w / 2, bit for bit" if both else f"x_ad = {shown}")


def more_numbers(lab: Lab) -> None:
    """What 0.1 on each pixel gains on ever more pixels of fitted weights, and what a digit needs to be turned."""
    model = lab.train(
        "softmax regression", architecture="softmax_regression", fitting={}, count=1000 if lab.quick else None
    )
    weight = lab.weights(model)["1.weight"]
    slope = np.abs(weight[3] - weight[7])
    order = np.random.default_rng(lab.seed).permutation(len(slope))
    gains = [EPSILON * float(slope[order[:count]].sum()) for count in PIXELS]
    correlation = float(np.corrcoef(PIXELS, gains)[0, 1])
    nudged = lab.attack(model, "linear_nudge", count=DIGITS).row
    lab.row(
        "gain of a 3 over a 7 at epsilon 0.1, on 49 and on 784 pixels",
        paper="epsilon |w|_1: grows with their number",
        ours=f"{gains[0]:.1f} and {gains[-1]:.1f}, correlation {correlation:.4f}",
        n=784,
        settings=f"softmax regression, fitted to {1000 if lab.quick else 8000} digits; pixels in random order",
    )
    lab.row(
        "L-infinity that turns a digit of 784 pixels, median",
        paper="none (the deck: easier with more numbers)",
        ours=f"{nudged.median_distance:.4f}",
        n=nudged.n,
        settings="linear_nudge, untargeted, digits that were read rightly",
    )
    lab.bar("linear", correlation >= 0.99, f"{correlation:.4f}")
    lab.bar("small", nudged.median_distance < 0.1, f"{nudged.median_distance:.4f}")
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(PIXELS, gains, marker="o")
    axes.set(xlabel="pixels that move by 0.1", ylabel="gain of the score of 3 over 7", xlim=(0, 800), ylim=(0, None))
    figure.suptitle("What the same small step gains grows with the number of pixels", fontsize=10)
    lab.figure("gain", figure, "What a step of 0.1 gains, by the number of pixels that take it")


EXPERIMENT: Final = Experiment(
    name="linear-example",
    title="Ten numbers by hand",
    papers=(
        ("", "A. Karpathy, Breaking Linear Classifiers on ImageNet (2015), the worked example"),
        ("1412.6572", "Goodfellow, Shlens, Szegedy, Explaining and Harnessing Adversarial Examples (2014), section 3"),
    ),
    data="the ten numbers of the example; mnist10k (10,000 digits of MNIST, not full MNIST) for the gain by dimension",
    bars=(
        Bar(key="scores", text="scores exactly -3 and +2"),
        Bar(key="chances", text="P(y = 1) 0.0474 and 0.8808"),
        Bar(key="moved", text="each number moved by 0.5 exactly"),
        Bar(key="vectors", text="the service gives both vectors, x and x + w / 2"),
        Bar(key="linear", text="gain linear in the number of pixels: correlation at least 0.99"),
        Bar(key="small", text="epsilon that turns a digit of 784 pixels below 0.1, median"),
    ),
    differs=(
        (
            "The numbers are mapped to [0, 1], where the service's pixels are, by u = 1/2 + x / 16, which float32 "
            "holds exactly; the model's normalisation maps them back. FGSM with 1/32 there is a step of 0.5."
        ),
        "The deck claims that it is easier with more numbers, and measures nothing: the last two lines are ours.",
    ),
    run=run,
)
