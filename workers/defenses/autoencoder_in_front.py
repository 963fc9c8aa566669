"""An autoencoder that removes the perturbation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from workers.attacks import fgsm
from workers.goals import Untargeted
from workers.losses import cross_entropy
from workers.models.components import Autoencoder, Denoised, part
from workers.recipe import Recipe, Round, Step
from workers.threats import Linf


@dataclass(frozen=True, kw_only=True)
class AutoencoderInFront(Recipe):
    """Standard training of the network; then an autoencoder D learns to undo FGSM examples of it, and stays in front.

    first   J(f(x), y)
    then    |D(x_fgsm) - x|^2 + |D(x) - x|^2,   x_fgsm = clip(x + epsilon sign(grad_x J(f(x), argmax f(x))), 0, 1)

    summed over pixels, the mean over samples; the network f stays as it is in the second round. `epsilon` in [0, 1],
    pixel units; `units` >= 1 of each hidden layer of D (`components.Autoencoder`); `autoencoder_epochs` >= 1.

    Source: arXiv:1412.5068 (a denoising autoencoder trained on adversarial examples, stacked with the network).
    Differs from the paper in: the examples are made by FGSM with the network's own prediction in the place of y.
    Examples that are made with the true label give it away, as in label leaking (arXiv:1611.01236, section 4.2).
    """

    epsilon: float
    units: int
    autoencoder_epochs: int

    def rounds(self, epochs: int) -> tuple[Round, ...]:
        """The network, then the autoencoder in front of it."""
        return Round(epochs), Round(self.autoencoder_epochs, fresh=False)

    def component(self) -> Autoencoder:
        """The autoencoder."""
        return Autoencoder(units=self.units)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """J of the bare network in the first round, the autoencoder's squared errors in the second."""
        stack = part(model, Denoised)
        if step.round == 0:
            return cross_entropy(stack.inner(x), y).mean()
        with step.crafting(model):
            x_adv = fgsm(stack.inner, x, Untargeted(y, _own_cross_entropy), Linf(self.epsilon))
        return sum((_error(stack.denoiser(given), x) for given in (x_adv, x)), x.new_zeros(()))


def _own_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of the prediction itself, from the forward pass that the gradient needs anyway."""
    del label
    return cross_entropy(logits, logits.argmax(dim=1))


def _error(drawn: Tensor, x: Tensor) -> Tensor:
    """The mean over samples of |drawn - x|^2."""
    return (drawn - x).flatten(1).square().sum(dim=1).mean()
