"""The rows of the gallery of defenses that fail: what is trained, how it is judged naively, and what breaks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from workers.defenses import (
    AutoencoderInFront,
    CommitteeOfNetworks,
    ConfidenceReducing,
    DefensiveDistillation,
    DoubleBackpropagation,
    GenerativePretraining,
    MultipleGlimpses,
    NoiseAtTestTime,
    NoiseTraining,
    OutputCoding,
    StandardTraining,
    WeightPenalty,
)
from workers.engine.attack import AttackPlan, run_attack
from workers.engine.frozen import frozen
from workers.recipe import Recipe

# Radius and steps of the adaptive attacks: step epsilon / 10, so .025 at .25.
RADIUS: Final = 0.25
SMALL: Final = 0.1
SEED: Final = 1
BATCH: Final = 256
# How often a model that answers at random is asked about every picture, and how many slopes a step against it averages.
DRAWS: Final = 20
SLOPES: Final = 10

DEEPFOOL: Final = {"steps": 50, "overshoot": 0.02, "candidates": 10}

Naive = Callable[["Stand", nn.Module], Tensor]


@dataclass(frozen=True, kw_only=True)
class Stand:
    """What every row is judged on: N digits, and what was made of them for the undefended net."""

    x: Tensor  # (N, 1, 28, 28)
    y: Tensor  # (N,)
    shortest: Tensor  # (N, 1, 28, 28), the shortest perturbation that breaks it (DeepFool, Euclidean)
    static: Tensor  # FGSM at `RADIUS`
    best: Mapping[float, Tensor]  # by radius, PGD
    steps: int = 40

    @property
    def ids(self) -> Tensor:
        """What the random numbers of each digit are keyed by."""
        return torch.arange(len(self.x))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One defense."""

    title: str
    defense: Callable[[int], Recipe]  # from the number of epochs
    architecture: str = "mlp"
    naive: str = "shortest"  # a key of `NAIVE`
    learning_rate: float = 2e-3
    # It answers at random: slopes are averaged, and it is asked `DRAWS` times.
    random: bool = False
    curve: bool = False  # its accuracy against the radius is on the page


def standard(_epochs: int) -> Recipe:
    """Standard training, of another architecture."""
    return StandardTraining()


UNDEFENDED: Final = Row(title="undefended", defense=standard, curve=True)
ROWS: Final[dict[str, Row]] = {
    "generative_pretraining": Row(
        title="generative pretraining",
        defense=lambda epochs: GenerativePretraining(pretraining_epochs=epochs, corruption=0.25),
    ),
    "test_time_noise": Row(
        title="noise at test time",
        defense=lambda _: NoiseAtTestTime(sigma=0.2, votes=1),
        naive="own shortest",
        random=True,
    ),
    "autoencoder": Row(
        title="autoencoder in front",
        defense=lambda epochs: AutoencoderInFront(epsilon=RADIUS, units=256, autoencoder_epochs=3 * epochs),
        naive="static",
        curve=True,
    ),
    "committee": Row(title="ensemble of 5", defense=lambda _: CommitteeOfNetworks(members=5)),
    "confidence_reduction": Row(
        title="confidence-reducing perturbation", defense=lambda _: ConfidenceReducing(reduction=0.01)
    ),
    "output_code": Row(title="output code, 16 bits", defense=lambda _: OutputCoding(bits=16, code_seed=0)),
    "glimpses": Row(
        title="5 random glimpses",
        defense=lambda _: MultipleGlimpses(glimpses=5, shift=2, random_glimpses=True),
        random=True,
    ),
    "weight_penalty": Row(title="weight decay", defense=lambda _: WeightPenalty(penalty=1e-3), curve=True),
    "double_backprop": Row(
        title="double backprop", defense=lambda _: DoubleBackpropagation(gradient_penalty=3.0), curve=True
    ),
    "sigmoid_mlp": Row(title="sigmoid units", defense=standard, architecture="sigmoid_mlp", curve=True),
    "maxout_mlp": Row(title="maxout units", defense=standard, architecture="maxout_mlp"),
    "competing_mlp": Row(title="competing units", defense=standard, architecture="competing_mlp"),
    "rbf_network": Row(
        title="Gaussian (RBF) units", defense=standard, architecture="rbf_network", learning_rate=0.015, curve=True
    ),
    "dropout_mlp": Row(title="dropout", defense=standard, architecture="dropout_mlp"),
    "noise_training": Row(
        title="noise at train time",
        defense=lambda _: NoiseTraining(noise="sign", amplitude=RADIUS),
        naive="noise",
        curve=True,
    ),
    "distillation": Row(
        title="defensive distillation, T = 100",
        defense=lambda epochs: DefensiveDistillation(temperature=100.0, teacher_epochs=epochs),
        naive="own slope",
    ),
}

# How a defense looks robust: the pictures (N, 1, 28, 28) that it is shown.
NAIVE: Final[dict[str, Naive]] = {
    "shortest": lambda stand, _: stand.shortest,
    "static": lambda stand, _: stand.static,
    "noise": lambda stand, _: _signs(stand),
    "own shortest": lambda stand, model: attacked(model, stand, "deepfool", 0, DEEPFOOL),
    "own slope": lambda stand, model: attacked(model, stand, "fgsm", RADIUS, {}),
}
NAIVE_TITLES: Final[dict[str, str]] = {
    "shortest": "the shortest perturbations that break the undefended net (DeepFool)",
    "static": "FGSM(.25) made for the undefended net",
    "noise": "noise of -.25 or .25 on every pixel",
    "own shortest": "the shortest perturbations that break the model itself in one answer (DeepFool)",
    "own slope": "FGSM(.25) along the slope of its own cross-entropy",
}


def attacked(model: nn.Module, stand: Stand, name: str, epsilon: float, parameters: Mapping[str, Any]) -> Tensor:
    """What an attack of the catalog makes of the digits, (N, 1, 28, 28)."""
    norm, radius = ("l2", 1000.0) if name == "deepfool" else ("linf", epsilon)
    plan = AttackPlan(name=name, epsilon=radius, norm=norm, parameters=parameters)
    return run_attack(model, stand.x, stand.y, plan, sample_ids=stand.ids, seed=SEED, batch_size=BATCH).x_adv


def pgd(model: nn.Module, stand: Stand, epsilon: float, loss: str) -> Tensor:
    """PGD from a random point, its best point of each digit."""
    settings = {"steps": stand.steps, "step_size": epsilon / 10, "restarts": 1, "random_start": True, "loss": loss}
    return attacked(model, stand, "pgd", epsilon, settings)


def in_expectation(model: nn.Module, stand: Stand, epsilon: float) -> Tensor:
    """The last point of the ascent of the mean loss over a model's own randomness: EOT-PGD without a camera."""
    camera = dict.fromkeys(("perspective", "crop", "blur", "noise", "brightness", "contrast"), 0.0)
    settings = {"steps": stand.steps, "step_size": epsilon / 10, "samples": SLOPES, "jpeg_quality": 100.0, **camera}
    return attacked(model, stand, "eot_pgd", epsilon, settings)


def adaptive(row: Row, model: nn.Module, stand: Stand, epsilon: float) -> Tensor:
    """How often each digit is still answered right under the worst of the attacks that know of the defense, (N,).

    PGD through the whole of the model, straight through what has no slope: up the margin of its logits, and up the
    cross-entropy of logits that are shrunk until softmax does not saturate; in expectation, if it answers at random;
    and what was made for the undefended net at that radius.
    """
    made = [stand.best[epsilon]] if epsilon in stand.best else []
    if row.random:
        made.append(in_expectation(model, stand, epsilon))
    else:
        made += [pgd(model, stand, epsilon, loss) for loss in ("margin", "rescaled_cross_entropy")]
    worst = [right(model, x_adv, stand.y, row) for x_adv in made]
    return torch.stack(worst).amin(dim=0)


def right(model: nn.Module, x: Tensor, y: Tensor, row: Row) -> Tensor:
    """The share of answers about each picture that are right, (N,): of one answer, or of many by chance."""
    with frozen(model), torch.no_grad():
        torch.manual_seed(SEED)
        answers = [model(x).argmax(dim=1) == y for _ in range(DRAWS if row.random else 1)]
    return torch.stack(answers).float().mean(dim=0)


def _signs(stand: Stand) -> Tensor:
    n = torch.rand(stand.x.shape, generator=torch.Generator().manual_seed(SEED)) - 0.5
    return (stand.x + RADIUS * n.sign()).clamp(0, 1)


def made_ready(undefended: nn.Module, x: Tensor, y: Tensor, epsilons: tuple[float, ...], steps: int) -> Stand:
    """The digits, with what breaks the undefended net."""
    empty = Stand(x=x, y=y, shortest=x, static=x, best={}, steps=steps)
    return Stand(
        x=x,
        y=y,
        shortest=attacked(undefended, empty, "deepfool", 0, DEEPFOOL),
        static=attacked(undefended, empty, "fgsm", RADIUS, {}),
        best={epsilon: pgd(undefended, empty, epsilon, "margin") for epsilon in epsilons},
        steps=steps,
    )
