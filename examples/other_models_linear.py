"""The linear half of `other_models.py`: softmax regression by epsilon and by weight decay, and the closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workers.attacks.fgsm import fgsm
from workers.attacks.pgd import pgd
from workers.data import Dataset
from workers.defenses import AdversarialRefit, FgsmAdversarialTraining, StandardTraining
from workers.engine.fitting import FitOptions, fit_model
from workers.engine.train import Optimization, train
from workers.goals import Untargeted
from workers.models import Classifier, Signature, build
from workers.models.classical import fit
from workers.recipe import Recipe
from workers.threats import Linf

SEED, EPSILON = 7, 0.25
EPSILONS = (0.0, 0.05, 0.1, 0.25)
DECAYS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
OPTIMIZATION = Optimization(epochs=20, batch_size=100, learning_rate=5e-3)
PAIR = (3, 7)


def linear_by_epsilon(digits: Dataset, test: Dataset, attacked: int) -> dict[str, Any]:
    """Softmax regression trained against FGSM in every step, and beside it by weight decay alone."""
    x, y = digits.pixels(slice(None)), digits.y
    signature = Signature("softmax_regression", digits.input_shape, digits.classes)
    trained, decayed = [], []
    # Goodfellow's mixed loss, and last the loss on adversarial examples alone.
    for epsilon, alpha in (*((epsilon, 0.5) for epsilon in EPSILONS), (EPSILON, 0.0)):
        defense: Recipe = StandardTraining()
        if epsilon > 0:
            defense = FgsmAdversarialTraining(epsilon=epsilon, alpha=alpha, attack_label="true")
        model = train(build(signature, seed=SEED), digits, defense, OPTIMIZATION, seed=SEED).model
        trained.append({"epsilon": epsilon, "alpha": alpha, **_figures(model, test, attacked)})
        _show(f"softmax regression trained at {epsilon:g}, clean part {alpha:g}", trained[-1])
    for decay in DECAYS:
        decayed.append({"decay": decay, **_figures(fit.softmax_regression(x, y, decay=decay), test, attacked)})
        _show(f"softmax regression, weight decay {decay:g}", decayed[-1])
    return {"trained": trained, "decayed": decayed}


def _figures(model: Classifier, test: Dataset, attacked: int) -> dict[str, float]:
    """Errors, clean and at epsilon 0.25, and |w|_1."""
    x, y = test.pixels(slice(0, attacked)), test.y[:attacked]
    goal, ball = Untargeted(y), Linf(EPSILON)
    climbed = pgd(model, x, goal, ball, steps=40, step_size=0.02, random_start=False, generator=[])
    return {
        "clean": _error(model, test.pixels(slice(None)), test.y),
        "fgsm": _error(model, fgsm(model, x, goal, ball), y),
        "pgd": _error(model, climbed, y),
        "l1": round(float(_weight(model).abs().sum()), 1),
    }


def three_or_seven(digits: Dataset, test: Dataset) -> dict[str, Any]:
    """Two classes: the closed form against the attack, for logistic regression and the hinge."""
    found, train_pair, test_pair = {}, _pair(digits), _pair(test)
    x, y = test_pair.pixels(slice(None)), test_pair.y
    worst = AdversarialRefit(epsilon=EPSILON, refits=1, closed_form=True)
    for name, kind in (("logistic", "softmax_regression"), ("hinge", "linear_svm")):
        signature = Signature(kind, digits.input_shape, 2)
        options = FitOptions(cost=0.1)
        plain = fit_model(signature, train_pair, StandardTraining(), options, seed=SEED)
        model = fit_model(signature, train_pair, worst, options, seed=SEED)
        moved = x - EPSILON * _slope(model, x, y).sign()
        found[name] = {
            "clean": [_error(one, x, y) for one in (plain, model)],
            "undefended": _exact(plain, x, y),
            "exact": _exact(model, x, y),
            "fgsm_unclipped": _error(model, moved, y),
            "fgsm_clipped": _error(model, fgsm(model, x, Untargeted(y), Linf(EPSILON)), y),
            "l1": [round(float(_line(one)[0].abs().sum()), 1) for one in (plain, model)],
            "samples": len(y),
        }
        print(f"3 against 7, {name}: " + ", ".join(f"{key} {value}" for key, value in found[name].items()))
    return found


def _pair(data: Dataset) -> Dataset:
    """The two digits alone, as classes 0 and 1."""
    some = (data.y == PAIR[0]) | (data.y == PAIR[1])
    return Dataset(data.x[some], (data.y[some] == PAIR[1]).long(), 2)


def _line(model: Classifier) -> tuple[Tensor, Tensor]:
    """The weights and the offset of class 1 over class 0."""
    layer = model.network[1]  # type: ignore[index] # a linear model is Sequential(Flatten, Linear)
    return (layer.weight[1] - layer.weight[0]).detach(), (layer.bias[1] - layer.bias[0]).detach()


def _slope(model: Classifier, x: Tensor, y: Tensor) -> Tensor:
    """The direction in which the margin of the true class grows."""
    weight, _ = _line(model)
    return ((2.0 * y - 1).unsqueeze(1) * weight).view_as(x)


def _exact(model: Classifier, x: Tensor, y: Tensor) -> float:
    """The share of samples whose margin is less than epsilon |w|_1: what no move within epsilon leaves right."""
    weight, offset = _line(model)
    margin = (2.0 * y - 1) * (x.flatten(1) @ weight + offset)
    return round(float((margin < EPSILON * weight.abs().sum()).float().mean()), 4)


def _weight(model: Classifier) -> Tensor:
    weight: Tensor = model.network[1].weight.detach()  # type: ignore[index, union-attr]
    return weight


def _error(model: Classifier, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return round(float((model(x).argmax(dim=1) != y).float().mean()), 4)


def _show(name: str, row: dict[str, float]) -> None:
    print(f"{name}: clean {row['clean']:.3f}, FGSM {row['fgsm']:.3f}, PGD-40 {row['pgd']:.3f}, |w|_1 {row['l1']:.0f}")
