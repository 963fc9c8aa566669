"""Ensemble adversarial training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.hardening import AttackLabel, one_step
from workers.losses import cross_entropy
from workers.recipe import Recipe, Round, Step
from workers.threats import Linf


@dataclass(frozen=True, kw_only=True)
class EnsembleAdversarialTraining(Recipe):
    """Goodfellow's mixed loss, with one-step examples that some other network often makes.

    alpha J(theta, x, y) + (1 - alpha) J(theta, fgsm(f_s, x), y),   s drawn for each batch

    f_s is one of the model itself and `static_models` >= 1 static networks, each as likely as any other. Those are
    trained before it on clean batches for `static_epochs` each, from initial weights of their own; their architectures
    are those named in `static_architectures`, separated by commas and taken in turn, or the model's where it is empty.
    `epsilon` in [0, 1] pixel units; `alpha` in [0, 1]; `attack_label` as in `workers.hardening.one_step`. A model
    cannot hide the gradient of another network, so it learns from examples that are what they claim to be; what it
    gains is meant against transferred examples, not against its own gradient.
    Costs 8 propagations of a batch, and before that 3 for each epoch of a static network.

    Source: arXiv:1705.07204, section 3.4.
    Differs from the paper in: the static networks are not given but trained here; crafted in eval mode.
    """

    epsilon: float
    alpha: float
    attack_label: AttackLabel
    static_models: int
    static_epochs: int
    static_architectures: str = ""

    def rounds(self, epochs: int) -> tuple[Round, ...]:
        """One for each static network, then the model's."""
        # Of a name that is there twice there is one, as the gateway has it.
        names = list(dict.fromkeys(name.strip() for name in self.static_architectures.split(",")))
        static = [
            Round(self.static_epochs, architecture=names[number % len(names)], initial=number + 1)
            for number in range(self.static_models)
        ]
        return *static, Round(epochs)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """Cross-entropy of a static network, or the mixed loss of the model."""
        if step.round < self.static_models:
            return cross_entropy(model(x), y).mean()
        sources = (model, *step.teachers)
        source = sources[int(torch.randint(len(sources), (), generator=step.generator))]
        x_adv = one_step(source, x, y, step, Linf(self.epsilon), label=self.attack_label)
        α = self.alpha
        return α * cross_entropy(model(x), y).mean() + (1 - α) * cross_entropy(model(x_adv), y).mean()
