"""Pictures of nothing that a network is sure of (arXiv:1412.1897): gradient ascent, and MAP-Elites with two encodings.

By jobs: ten digits by each method; what other kinds of model say of them; a network that has learned to call them
nothing, fooled again; and classes of ImageNet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure

from reproductions.answers import percent
from reproductions.experiment import Bar, Experiment
from reproductions.experiments.fooling_images_imagenet import of_imagenet
from reproductions.experiments.fooling_images_made import (
    CLASSES,
    EVOLVED,
    LAST,
    METHODS,
    Fooling,
    ask,
    made,
    nearest,
    network,
    second_opinions,
)
from reproductions.experiments.fooling_images_retrained import retrained
from reproductions.lab import Lab
from reproductions.pictures import sheet
from reproductions.samples import samples

if TYPE_CHECKING:
    from PIL.Image import Image

PAPER: Final = {
    "gradient ascent": "none for MNIST",
    "MAP-Elites, direct": "median 99.99 % in 200 generations, in less than 50 at its best (recalled)",
    "MAP-Elites, CPPN": "median 99.99 % in 200 generations (recalled)",
}


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done."""

    told: tuple[int, ...]  # generations whose confidence is told
    rounds: int  # of retraining
    archives: int  # of champions that are learned in the next round beside the new ones
    generations: int  # of these archives


@dataclass(frozen=True, kw_only=True)
class Ten:
    """What was found of the ten digits, by method."""

    found: Mapping[str, Fooling]
    medians: Mapping[str, Mapping[int, float]]  # by generation, where there are any
    far: Mapping[str, int]  # pictures that are further from every digit than `usual`
    usual: float  # the L2 distance to a training digit within which 99 % of test digits have one
    said: Mapping[str, Mapping[str, float]]  # by kind of model: the share that agrees


QUICK: Final = Size(told=(10, 50, LAST), rounds=1, archives=5, generations=25)
FULL: Final = Size(told=(10, 25, 50, 100, LAST), rounds=3, archives=20, generations=50)


def run(lab: Lab) -> None:
    """Make them, ask others, learn them, make them again."""
    size = QUICK if lab.quick else FULL
    model = network(lab, "network of ten digits")
    ascent = ask(lab, model, "gradient ascent")
    jobs = {method: [ask(lab, model, method, generations=told) for told in size.told] for method in EVOLVED}
    traces = {method: made(lab, *several) for method, several in jobs.items()}
    found = {"gradient ascent": made(lab, ascent)[0]} | {method: trace[-1] for method, trace in traces.items()}
    medians = {
        method: dict(zip(size.told, [float(np.median(one.sure)) for one in trace], strict=True))
        for method, trace in traces.items()
    }
    x, y = samples(lab, "mnist10k/train", model=model)
    test, _ = samples(lab, "mnist10k/test", model=model)
    usual = float(np.quantile(nearest(test, x), 0.99))
    ten = Ten(
        found=found,
        medians=medians,
        far={method: int((nearest(one.pictures, x) > usual).sum()) for method, one in found.items()},
        usual=usual,
        said=second_opinions(lab, others(lab), found),
    )
    lab.picture("digits", digits_page(found), "Ten digits by gradient ascent, MAP-Elites direct, MAP-Elites CPPN")
    lab.figure("generations", drawn(medians), "Median confidence of ten champions by generation")
    tell_digits(lab, ten)
    judge_digits(lab, ten)
    retrained(lab, found, x, y, rounds=size.rounds, archives=size.archives, generations=size.generations)
    of_imagenet(lab)


def others(lab: Lab) -> dict[str, str]:
    """Models of other kinds, which learned the same digits."""
    jobs = [
        lab.training("nearest neighbours", architecture="nearest_neighbors", fitting={"neighbors": 5}),
        lab.training("random forest", architecture="random_forest", fitting={"trees": 50}),
        lab.training("784-200-200-10", architecture="mlp", optimization={"epochs": 10, "learning_rate": 0.002}),
    ]
    return dict(zip(("nearest neighbours", "a random forest", "784-200-200-10"), lab.models(*jobs), strict=True))


def tell_digits(lab: Lab, ten: Ten) -> None:
    """Fill the table with the ten digits."""
    for method, one in ten.found.items():
        trace = ", ".join(f"{told}: {median:.5f}" for told, median in ten.medians.get(method, {}).items())
        by_generation = f"; median by generation {trace}" if trace else ""
        lab.row(
            f"ten digits, {method}: confidence",
            paper=PAPER[method],
            ours=f"median {np.median(one.sure):.6f}, least {one.sure.min():.6f}{by_generation}",
            n=CLASSES,
            settings=METHODS[method].replace(":", ": ").replace(",", ", ") + "; wong_cnn, 10 epochs",
        )
        opinions = ", ".join(f"{kind} {percent(share)}" for kind, share in ten.said[method].items())
        lab.row(
            f"ten digits, {method}: further from every digit than 99 % of real ones; other models agree",
            paper="none: people do not recognise them",
            ours=f"{ten.far[method]} of 10; {opinions}",
            n=CLASSES,
            settings=f"further than {ten.usual:.2f} in L2 from the nearest training digit",
        )


def judge_digits(lab: Lab, ten: Ten) -> None:
    """Hold the ten digits against the bars."""
    for key, method, least in (("direct", EVOLVED[0], 10), ("cppn", EVOLVED[1], 9)):
        median, sure = ten.medians[method][LAST], int((ten.found[method].sure >= 0.99).sum())
        lab.bar(key, median >= 0.999 and sure >= least, f"median {median:.6f}, {sure} of 10 at .99 or more")
    climbed = ten.found["gradient ascent"].sure
    lab.bar("ascent", climbed.min() >= 0.99, f"least {climbed.min():.6f}")
    both = [method for method in METHODS if method != EVOLVED[1]]
    words = ", ".join(f"{method}: {ten.far[method]}" for method in both)
    lab.bar("far", all(ten.far[method] == CLASSES for method in both), words)
    lab.bar("far-cppn", ten.far[EVOLVED[1]] == CLASSES, f"{ten.far[EVOLVED[1]]} of 10")
    for key, why in WHY.items():
        lab.explain(key, why)


def digits_page(found: Mapping[str, Fooling]) -> Image:
    """A row per method, a column per digit."""
    rows = [
        [(x, f"{label}: {100 * sure:.2f} %") for x, label, sure in zip(one.pictures, one.target, one.sure, strict=True)]
        for one in found.values()
    ]
    return sheet(rows, side=84)


def drawn(medians: Mapping[str, Mapping[int, float]]) -> Figure:
    """The median confidence against the generation."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for method, trace in medians.items():
        axes.plot(list(trace), list(trace.values()), "o-", label=method)
    axes.set_xlabel("generation")
    axes.set_ylabel("median confidence of ten champions")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


WHY: Final = {
    "far-cppn": "Some networks paint what a digit is: a ring is a 0 and a line is a 1, and evolution finds that too. "
    "What is held instead is that most are further from every digit than real ones are, and that all ten of the other "
    "two methods are.",
}

EXPERIMENT = Experiment(
    name="fooling-images",
    title="Pictures of nothing that a network is sure of",
    papers=(("1412.1897", "Nguyen, Yosinski, Clune: Deep neural networks are easily fooled"),),
    data="mnist10k: 8,000 training digits; ten pictures of nothing by each method. EfficientNet-Lite0 for 20 classes "
    "of ImageNet (quick: 4), with the extra `imagenet`. The paper: LeNet on full MNIST, AlexNet on 1,000 classes.",
    bars=(
        Bar(key="direct", text="MAP-Elites direct: median .999 or more and 10 of 10 at .99 by generation 200"),
        Bar(key="cppn", text="MAP-Elites CPPN: median .999 or more and 9 of 10 at .99 by generation 200"),
        Bar(key="ascent", text="gradient ascent: 10 of 10 at .99 or more"),
        Bar(
            key="far",
            text="gradient ascent and direct: each is further from every training digit than 99 % of real digits",
        ),
        Bar(key="far-cppn", text="CPPN: so is each of its ten"),
        Bar(
            key="retrained",
            text="a network that learned them as an eleventh class is fooled again: median .9 or more",
        ),
        Bar(key="imagenet", text="ImageNet, gradient ascent: every chosen class at .996 or more"),
        Bar(key="order", text="ImageNet, evolved: CPPN is surer than direct", quick=False),
    ),
    differs=(
        "Gradient ascent climbs log p with steps of fixed mean size; the paper climbs p with a step that shrinks.",
        (
            "Direct pictures in colour mutate in red, green and blue, the paper's in hue, saturation and brightness; "
            "functions of a CPPN are brought into [-1, 1]."
        ),
        (
            "The confidence by generation is that of runs that end there: the same seed makes the same run. A champion "
            "whose picture is answered as another class counts as 0."
        ),
        (
            "Whether people recognise them was not asked: a picture counts as no digit where it is further from every "
            "training digit than 99 % of real ones."
        ),
        "Retraining: 3 rounds (quick: 1), the paper's 15. ImageNet's evolution has a small budget, in the full form.",
    ),
    run=run,
)
