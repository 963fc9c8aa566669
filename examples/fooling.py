"""Pictures of nothing that a network is sure of.

    pip install sparring[local,imagenet]
    python examples/fooling.py [--out out/fooling] [--quick]

Nguyen, Yosinski and Clune's experiment (arXiv:1412.1897). A convolutional network that knows 97 % of real digits is
shown pictures that were made from nothing, by gradient ascent and by MAP-Elites with two encodings; a network that
learns to call such pictures nothing is fooled again; and 20 classes of ImageNet are reached on EfficientNet-Lite0 by
gradient ascent. Missing a bar ends it with 1; `--quick` has few generations and pictures, and judges nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import showing
import torch
from torch import Tensor

from workers.attacks.fooling_gradient import fooling_gradient
from workers.data import Dataset, builtin
from workers.defenses import StandardTraining
from workers.engine.frozen import frozen
from workers.engine.memory import keep_memory
from workers.engine.train import Optimization, train
from workers.fooling import Cppn, Direct, Encoding, Judge, Rates, evolve
from workers.goals import Targeted
from workers.models import Classifier, Signature, build, efficientnet_lite
from workers.models.torchvision_compat import torchvision_models
from workers.threats import Linf

SEED = 7
DIGITS = torch.arange(10)
OFFSPRING = 200
TOLD = (0, 10, 25, 50, 100, 200)  # generations whose confidence is told
NOTHINGS = 1000  # pictures of nothing added in each round of retraining
IMAGENET = torch.arange(0, 1000, 50)
BATCH = 5

Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How long everything takes."""

    epochs: int = 10
    climbing: int = 300  # steps of gradient ascent on digits
    generations: int = 200
    rounds: int = 3  # of retraining
    imagenet: int = len(IMAGENET)  # classes
    imagenet_steps: int = 60


QUICK = Size(epochs=1, climbing=20, generations=10, rounds=1, imagenet=1, imagenet_steps=5)


def main() -> int:
    """Run it all; 0 if every bar was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/fooling"), help="folder for the figures and the pictures")
    parser.add_argument("--quick", action="store_true", help="few generations and pictures, no judgement")
    arguments = parser.parse_args()
    out, size = arguments.out, QUICK if arguments.quick else Size()
    out.mkdir(parents=True, exist_ok=True)
    keep_memory()
    started = time.monotonic()
    data, test = builtin("mnist10k", "train"), builtin("mnist10k", "test")
    model = trained(data, size, classes=10)
    accuracy = float((answers(model, test.pixels(slice(None))).argmax(dim=1) == test.y).float().mean())
    print(f"The network knows {100 * accuracy:.1f} % of 2,000 real digits.", flush=True)
    made = {name: method(model, size) for name, method in METHODS.items()}
    digits = {name: told(name, model, pictures, trace) for name, (pictures, trace) in made.items()}
    for name, (pictures, _) in made.items():
        digits[name]["nearest"] = nothing_like_digits(pictures, data, test)
    showing.save(page(model, made), out / "digits")
    retrained = again_and_again(data, made, size)
    imagenet, pictures = of_imagenet(size)
    showing.save(pictures, out / "imagenet")
    figures = {"accuracy": accuracy, "digits": digits, "retrained": retrained, "imagenet": imagenet}
    (out / "results.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(f"\nPictures: {out / 'digits.png'}, {out / 'imagenet.png'}   figures: {out / 'results.json'}")
    print(f"Took {time.monotonic() - started:.0f} s.\n")
    return 0 if arguments.quick else showing.judge(bars(figures))


def trained(data: Dataset, size: Size, *, classes: int) -> Classifier:
    """Wong's network, trained as the demo does."""
    fresh = build(Signature("wong_cnn", (1, 28, 28), classes), seed=SEED)
    optimization = Optimization(epochs=size.epochs, batch_size=100, learning_rate=0.005)
    return train(fresh, data, StandardTraining(), optimization, seed=SEED).model


def answers(model: Classifier, x: Tensor) -> Tensor:
    """Probabilities (N, K)."""
    with torch.no_grad():
        return model(x).softmax(dim=1)


Trace = dict[int, list[float]]  # generation -> confidence in each class


def climbed(model: Classifier, size: Size) -> tuple[Tensor, Trace]:
    """Gradient ascent, a row per digit."""
    blank = torch.zeros(10, 1, 28, 28)
    streams = [torch.Generator().manual_seed(SEED + digit) for digit in range(10)]
    with frozen(model):
        pictures = fooling_gradient(
            model,
            blank,
            Targeted(DIGITS),
            Linf(1),
            steps=size.climbing,
            learning_rate=0.01,
            decay=0.01,
            from_sample=False,
            generator=streams,
        )
    return pictures, {}


def evolved(
    model: Classifier,
    size: Size,
    encode: Callable[[torch.Generator], Encoding[Any]],
    keep: Callable[[Tensor, Tensor], None],
) -> tuple[Tensor, Trace]:
    """MAP-Elites with one champion per digit; `keep` is shown every generation and its log-probabilities."""
    trace: Trace = {}
    stream = torch.Generator().manual_seed(SEED)
    judge = Judge(Targeted(DIGITS), model, count=10)

    def fitness(pictures: Tensor) -> Tensor:
        scores = judge(pictures)
        keep(pictures, scores)
        return scores

    def watch(generation: int, champions: Tensor) -> None:
        if generation in TOLD:
            trace[generation] = champions.exp().tolist()

    champions = evolve(
        encode(stream), fitness, generations=size.generations, offspring=OFFSPRING, generator=stream, watch=watch
    )
    return champions.pictures, trace


def direct(model: Classifier, size: Size) -> tuple[Tensor, Trace]:
    """Every pixel by itself."""
    like = torch.zeros(1, 28, 28)
    return evolved(
        model, size, lambda stream: Direct(like=like, mutation_rate=0.1, eta_m=15, generator=stream), lambda *_: None
    )


def painted(
    model: Classifier, size: Size, keep: Callable[[Tensor, Tensor], None] = lambda *_: None
) -> tuple[Tensor, Trace]:
    """Small networks that paint."""
    like = torch.zeros(1, 28, 28)
    return evolved(model, size, lambda stream: Cppn(like=like, rates=Rates(), generator=stream), keep)


METHODS = {"gradient ascent": climbed, "MAP-Elites, direct": direct, "MAP-Elites, CPPN": painted}


def told(name: str, model: Classifier, pictures: Tensor, trace: Trace) -> Figures:
    """The confidence in each digit, and how it grew."""
    confidence = answers(model, pictures)[DIGITS, DIGITS]
    print(f"{name:20s} median {confidence.median():.5f}, least {confidence.min():.5f}", flush=True)
    medians = {generation: round(torch.tensor(row).median().item(), 5) for generation, row in trace.items()}
    if medians:
        print(f"{'':20s} median by generation: {medians}", flush=True)
    return {"confidence": confidence.tolist(), "medians": medians}


def nothing_like_digits(pictures: Tensor, data: Dataset, test: Dataset) -> Figures:
    """Distances to the nearest training digit: of these pictures, and the 99th percentile of real test digits."""
    known, real = (part.pixels(slice(None)).flatten(1) for part in (data, test))
    usual = torch.cdist(real, known).amin(dim=1).quantile(0.99)
    return {"distances": torch.cdist(pictures.flatten(1), known).amin(dim=1).tolist(), "usual": usual.item()}


def again_and_again(data: Dataset, made: dict[str, tuple[Tensor, Trace]], size: Size) -> list[Figures]:
    """Learn pictures of nothing as an eleventh class, and look for new ones that pass for digits; three times."""
    known, nothings = data.pixels(slice(None)), [pictures for pictures, _ in made.values()]
    rounds = []
    for number in range(1, size.rounds + 1):
        more = torch.cat(nothings)
        labels = torch.cat([data.y, torch.full((len(more),), 10)])
        model = trained(Dataset(torch.cat([known, more]), labels, classes=11), size, classes=11)
        seen: list[Tensor] = []

        def keep(pictures: Tensor, scores: Tensor, seen: list[Tensor] = seen) -> None:
            seen.append(pictures[scores.amax(dim=1).argsort(descending=True)[: NOTHINGS // size.generations]])

        pictures, _ = painted(model, size, keep)
        confidence = answers(model, pictures)[DIGITS, DIGITS]
        rounds.append({"round": number, "nothings": len(more), "confidence": confidence.tolist()})
        reached = f"new ones reach a median of {confidence.median():.4f}"
        print(f"retrained with {len(more)} pictures of nothing: {reached}", flush=True)
        nothings += seen
    return rounds


def of_imagenet(size: Size) -> tuple[Figures, Any]:
    """Gradient ascent towards every fiftieth class of ImageNet."""
    model = efficientnet_lite.pretrained()
    names = torchvision_models().ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    made = []
    chosen = IMAGENET[: size.imagenet]
    with frozen(model):
        for classes in chosen.split(BATCH):
            blank = torch.zeros(len(classes), *model.signature.input_shape)
            streams = [torch.Generator().manual_seed(SEED + int(label)) for label in classes]
            climb = {"steps": size.imagenet_steps, "learning_rate": 2 / 255, "decay": 0.0, "from_sample": False}
            made.append(fooling_gradient(model, blank, Targeted(classes), Linf(1), **climb, generator=streams))
    pictures = (torch.cat(made) * 255).round() / 255
    sure = torch.cat([answers(model, part) for part in pictures.split(BATCH)])[torch.arange(len(chosen)), chosen]
    spread = 255 * (pictures - 0.5).square().mean().sqrt().item()
    print(f"ImageNet: {len(chosen)} classes, least confidence {sure.min():.5f}; {spread:.0f} grey levels from grey")
    cells = [(x, f"{names[int(label)]} {100 * p:.2f} %") for x, label, p in zip(pictures, chosen, sure, strict=True)]
    page = showing.sheet([row for row in (cells[:5], cells[5:10]) if row], side=150)
    return {"classes": chosen.tolist(), "confidence": sure.tolist(), "rms_grey_levels": spread}, page


def page(model: Classifier, made: dict[str, tuple[Tensor, Trace]]) -> Any:
    """A row per method, a column per digit."""
    rows = []
    for pictures, _ in made.values():
        sure = answers(model, pictures)[DIGITS, DIGITS]
        rows.append([(x, f"{digit}: {100 * p:.2f} %") for digit, (x, p) in enumerate(zip(pictures, sure, strict=True))])
    return showing.sheet(rows, side=84)


def bars(figures: Figures) -> dict[str, bool]:
    """What is expected of the figures."""
    digits, imagenet = figures["digits"], figures["imagenet"]["confidence"]
    met = {"the network knows at least 96 % of real digits": figures["accuracy"] >= 0.96}
    for name, row in digits.items():
        met[f"{name}: all ten digits at 0.99 or more"] = min(row["confidence"]) >= 0.99
        # Some networks paint what the digit is, a ring for 0 or a line for 1: of theirs only half are asked.
        least = 5 if "CPPN" in name else 10
        far = sum(distance > row["nearest"]["usual"] for distance in row["nearest"]["distances"])
        met[f"{name}: at least {least} of 10 are further from every digit than 99 % of real ones ({far})"] = (
            far >= least
        )
    for name in ("MAP-Elites, direct", "MAP-Elites, CPPN"):
        met[f"{name}: median at least 0.999 by generation 200"] = digits[name]["medians"][200] >= 0.999
    last = torch.tensor(figures["retrained"][-1]["confidence"]).median()
    met["after three rounds of retraining new pictures reach a median of at least 0.9"] = bool(last >= 0.9)
    met["ImageNet: 20 classes at 0.996 or more"] = len(imagenet) >= 20 and min(imagenet) >= 0.996
    return met


if __name__ == "__main__":
    sys.exit(main())
