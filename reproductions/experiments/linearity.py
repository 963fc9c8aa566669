"""Logits along the gradient's line: the tutorial's figure of "excessive linearity" (arXiv:1412.6572, figure 4).

From one digit along the sign of the gradient, far beyond [0, 1]: the logits are close to straight lines, wrong answers
hold over wide ranges, and far out every answer is extreme. Logits are computed in numpy from the downloaded weights; at
the digits themselves and along the lines the service must give the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from reproductions.answers import percent
from reproductions.experiment import Bar, Experiment
from reproductions.lab import Lab
from reproductions.nets import Tensors, gaussians, linear, maxout, softmax
from reproductions.samples import UNCHANGED, samples
from reproductions.wide import QUARTER, Wide

SHAPE: Final = (1, 28, 28)
CLASSES: Final = 10
# As far as the paper's figure goes, and where the lines are judged.
FAR: Final = 10.0
NEAR: Final = np.linspace(0, 1, 41)
WIDE: Final = Wide(-FAR, 1 + FAR)
EPSILON: Final = 0.25
ATTACK: Final = f"fgsm:epsilon={QUARTER.epsilon(EPSILON)!r}"
Logits = Callable[[Tensors, np.ndarray], np.ndarray]
KINDS: Final[Mapping[str, tuple[str, Logits]]] = {
    "maxout": ("maxout_mlp", maxout),
    "softmax": ("softmax_regression", linear),
    "RBF": ("rbf_network", gaussians),
}


@dataclass(frozen=True)
class Lines:
    """A net, digits that it reads rightly, and the signs of its gradient at them."""

    tensors: Tensors
    logits: Logits
    x: np.ndarray  # (N, 784)
    y: np.ndarray
    sign: np.ndarray  # (N, 784)

    def at(self, epsilon: float) -> np.ndarray:
        """Logits (N, K) of all digits, so far along their lines."""
        return self.logits(self.tensors, self.x + epsilon * self.sign)

    def straightness(self) -> np.ndarray:
        """R^2 of the best straight line through each logit on [0, 1], (N, K)."""
        z = np.stack([self.at(ε) for ε in NEAR])  # (E, N, K)
        residual = z - _line(NEAR, z)
        spread = ((z - z.mean(axis=0)) ** 2).sum(axis=0).clip(1e-12)
        straight: np.ndarray = 1 - (residual**2).sum(axis=0) / spread
        return straight


def _line(at: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The least-squares straight lines through z (E, ...) at E places."""
    basis = np.stack([np.ones_like(at), at], axis=1)
    flat = z.reshape(len(at), -1)
    lines: np.ndarray = basis @ np.linalg.lstsq(basis, flat, rcond=None)[0]
    return lines.reshape(z.shape)


def run(lab: Lab) -> None:
    """Train three nets, follow their lines, and judge them."""
    count = 200 if lab.quick else 1000
    epochs = 8 if lab.quick else 30
    x, y = samples(lab, "mnist10k/test", count=count)
    lines = {name: followed(lab, name, epochs, x, y) for name in KINDS}
    agrees(lab, lines["maxout"])
    straight = {name: held.straightness() for name, held in lines.items()}
    for name, paper in (
        ("maxout", "close to straight lines; no figure"),
        ("softmax", "straight"),
        ("RBF", "not straight"),
    ):
        lab.row(
            f"{name}: R^2 of a straight line through each logit, epsilon 0 to 1: median (lowest tenth)",
            paper=paper,
            ours=f"{np.median(straight[name]):.4f} ({np.quantile(straight[name], 0.1):.3f})",
            n=len(lines[name].y),
            settings=f"{epochs} epochs (softmax fitted, RBF {2 * epochs}); along the sign of the gradient, no clip",
        )
    middle = {name: float(np.median(found)) for name, found in straight.items()}
    lab.bar("straight", middle["maxout"] >= 0.95, f"{middle['maxout']:.4f}")
    lab.bar("rbf", middle["RBF"] < middle["maxout"], f"{middle['RBF']:.4f} against {middle['maxout']:.4f}")
    stable(lab, lines["maxout"])
    extreme(lab, lines["maxout"])
    aside(lab, lines["maxout"])
    lab.figure("lines", drawn(lines), "Ten logits of one digit, along the sign of the gradient and its opposite")


def followed(lab: Lab, name: str, epochs: int, x: np.ndarray, y: np.ndarray) -> Lines:
    """Train one net, and take the signs of its gradient from what FGSM adds to digits that it reads rightly."""
    architecture, logits = KINDS[name]
    if name == "softmax":
        model = lab.train(name, architecture=architecture, fitting={"cost": 0.125})
    else:
        rate, factor = (0.015, 2) if name == "RBF" else (2e-3, 1)
        optimization = {"epochs": factor * epochs, "learning_rate": rate}
        model = lab.train(name, architecture=architecture, optimization=optimization)
    tensors = lab.weights(model)
    seen = lab.upload_model(
        f"{name} on [-.25, 1.25]",
        architecture,
        tensors,
        input_shape=SHAPE,
        classes=CLASSES,
        mean=QUARTER.mean,
        std=QUARTER.std,
    )
    data = lab.upload_data("digits in [-.25, 1.25]", QUARTER.narrow(x), y, classes=CLASSES)
    held = lab.attack(seen, ATTACK, data=data, count=len(y)).arrays
    added = (QUARTER.widen(held["x_adv"]) - x).reshape(len(x), -1)
    # A sign of 0 is a pixel that moves nothing; what is left of it is rounding.
    sign = np.where(np.abs(added) > EPSILON / 2, np.sign(added), 0)
    moved = (held["clean_prediction"] == y) & (np.abs(sign).sum(axis=1) > 0)
    return Lines(tensors, logits, x.reshape(len(x), -1).astype(np.float64)[moved], y[moved], sign[moved])


def agrees(lab: Lab, lines: Lines) -> None:
    """Let the service answer about points along the lines, and compare."""
    model = lab.upload_model(
        "maxout on [-10, 11]",
        "maxout_mlp",
        lines.tensors,
        input_shape=SHAPE,
        classes=CLASSES,
        mean=WIDE.mean,
        std=WIDE.std,
    )
    steps = (-FAR, -1.0, 0.0, 0.1, EPSILON, 1.0, FAR)
    points = np.concatenate([lines.x[:50] + ε * lines.sign[:50] for ε in steps])
    labels = np.tile(lines.y[:50], len(steps))
    data = lab.upload_data("points along lines", WIDE.narrow(points.reshape(-1, *SHAPE)), labels, classes=CLASSES)
    told = lab.attack(model, UNCHANGED, data=data, count=len(points)).arrays["prediction"]
    same = float((told == lines.logits(lines.tensors, points).argmax(axis=1)).mean())
    lab.bar("same", same >= 0.99, f"{percent(same)} of {len(points)} answers")


def stable(lab: Lab, lines: Lines) -> None:
    """Whether a wrong answer at .25 is the answer everywhere up to 1."""
    answers = np.stack([lines.at(ε).argmax(axis=1) for ε in NEAR if ε >= EPSILON])
    fooled = answers[0] != lines.y
    held = float((answers[:, fooled] == answers[0, fooled]).all(axis=0).mean())
    wrong = float((answers[:, fooled] != lines.y[fooled]).all(axis=0).mean())
    lab.row(
        "of digits that are wrong at epsilon .25: wrong up to 1 (with the same class)",
        paper='"the wrong classifications are stable across a wide region"; no figure',
        ours=f"{percent(wrong)} ({percent(held)})",
        n=int(fooled.sum()),
        settings="maxout, 31 points from .25 to 1",
    )
    lab.bar("stable", wrong >= 0.9, percent(wrong))


def extreme(lab: Lab, lines: Lines) -> None:
    """Whether far out every answer is sure of itself."""
    sure = np.concatenate([softmax(lines.at(ε)).max(axis=1) for ε in (-FAR, FAR)])
    share = float((sure >= 0.99).mean())
    lab.row(
        "share of points at epsilon -10 and 10 with a class above 99%",
        paper='"the predictions become very extreme"; no figure',
        ours=percent(share),
        n=len(sure),
        settings="maxout; such points are rubbish to the eye",
    )
    lab.bar("extreme", share >= 0.95, percent(share))


def aside(lab: Lab, lines: Lines) -> None:
    """The same length along a random sign, which is no attack."""
    random = np.sign(np.random.default_rng(lab.seed).standard_normal(lines.x.shape))
    beside = Lines(lines.tensors, lines.logits, lines.x, lines.y, random)
    wrong = [float((held.at(EPSILON).argmax(axis=1) != held.y).mean()) for held in (lines, beside)]
    lab.row(
        "wrong at epsilon .25, along the gradient's sign and along a random one",
        paper="89.4% for the attack; none for noise",
        ours=f"{percent(wrong[0])}, {percent(wrong[1])}",
        n=len(lines.y),
        settings="maxout, digits that are read rightly",
    )
    lab.bar("noise", wrong[1] <= wrong[0] / 2, f"{percent(wrong[1])} against {percent(wrong[0])}")


def drawn(lines: Mapping[str, Lines]) -> Figure:
    """For each net the ten logits of one digit, by epsilon."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    at = np.linspace(-FAR, FAR, 201)
    for axes, (name, held) in zip(figure.subplots(1, len(lines)), lines.items(), strict=True):
        z = np.stack([held.at(ε)[0] for ε in at])
        for k in range(CLASSES):
            own = k == held.y[0]
            axes.plot(at, z[:, k], color="black" if own else f"C{k}", linewidth=2.2 if own else 1, label=str(k))
        axes.axvspan(-EPSILON, EPSILON, color="0.9")
        axes.set(title=f"{name}, a {held.y[0]} (black)", xlabel="epsilon")
    figure.axes[0].set_ylabel("logit")
    figure.axes[-1].legend(fontsize=6, ncols=2)
    return figure


EXPERIMENT: Final = Experiment(
    name="linearity",
    title="Logits along the gradient's line",
    papers=(
        ("1412.6572", "Goodfellow, Shlens, Szegedy, Explaining and Harnessing Adversarial Examples (2014), figure 4"),
    ),
    data="mnist10k: 10,000 digits of MNIST, not full MNIST",
    bars=(
        Bar(key="straight", text="maxout: median R^2 of a straight line through a logit on [0, 1] at least 0.95"),
        Bar(key="rbf", text="the RBF net's logits are less straight than maxout's"),
        Bar(key="stable", text="of the digits wrong at .25 at least 90 % are wrong at every epsilon up to 1"),
        Bar(key="extreme", text="at epsilon -10 and 10 at least 95 % of answers above 99 %"),
        Bar(key="noise", text="a random sign of the same size turns at most half as many digits"),
        Bar(key="same", text="the service answers as the downloaded weights do, at least 99 % of points"),
    ),
    differs=(
        "The paper shows one digit of a dropout-trained net and gives no figure: every bar here is our own judgement.",
        "The net is trained on 8,000 digits for tens of epochs, without dropout.",
    ),
    run=run,
)
