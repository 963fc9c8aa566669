"""The rows of `failed-defenses`: what is trained, the evaluation in which it looks robust, and what is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from reproductions.asking import Values

RADIUS: Final = 0.25
SMALL: Final = 0.1

# How a defense looks robust; see `TITLES`.
Naive = Literal["shortest", "own shortest", "static", "noise", "own slope"]
TITLES: Final[Mapping[Naive, str]] = {
    "shortest": "the shortest perturbations that break the undefended net (DeepFool)",
    "own shortest": "the shortest that break the model itself in one answer (DeepFool)",
    "static": "FGSM(.25) made for the undefended net",
    "noise": "noise of -.25 or .25 on every pixel",
    "own slope": "FGSM(.25) along the slope of its own cross-entropy",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One defense.

    `parameters`: of the defense; `times`: those that are so many times the epochs. `random`: it answers at random, so
    slopes are averaged and it is asked again and again. `curve`: its error against the radius is drawn. `published`:
    what the literature has on its failing.
    """

    title: str
    defense: str = "standard"
    parameters: Values = field(default_factory=dict)
    times: Mapping[str, int] = field(default_factory=dict)
    architecture: str = "mlp"
    naive: Naive = "shortest"
    learning_rate: float = 2e-3
    random: bool = False
    curve: bool = False
    published: str = "no figure published (a slide)"

    def given(self, epochs: int) -> Values:
        """The defense's parameters in a training of so many epochs."""
        return {**self.parameters, **{name: factor * epochs for name, factor in self.times.items()}}


UNDEFENDED: Final = "undefended"
ROWS: Final[Mapping[str, Row]] = {
    UNDEFENDED: Row(title="undefended", curve=True, published="89.4 % (maxout, FGSM .25; arXiv:1412.6572)"),
    "generative_pretraining": Row(
        title="generative pretraining",
        defense="generative_pretraining",
        parameters={"corruption": 0.25},
        published="97.5 % (MP-DBM, FGSM .25; arXiv:1412.6572)",
    ),
    "test_time_noise": Row(
        title="noise at test time",
        defense="test_time_noise",
        parameters={"sigma": 0.2, "votes": 1},
        naive="own shortest",
        random=True,
        published="broken in expectation (arXiv:1802.00420, recalled)",
    ),
    "autoencoder": Row(
        title="autoencoder in front",
        defense="autoencoder",
        parameters={"epsilon": RADIUS, "units": 256},
        times={"autoencoder_epochs": 3},
        naive="static",
        curve=True,
        published="the stack falls at a smaller distortion (arXiv:1412.5068)",
    ),
    "committee": Row(
        title="ensemble of 5",
        defense="committee",
        parameters={"members": 5},
        published="91.1 %, attack on one: 87.9 % (12 maxout nets; arXiv:1412.6572)",
    ),
    "confidence_reduction": Row(
        title="confidence-reducing perturbation", defense="confidence_reduction", parameters={"reduction": 0.01}
    ),
    "output_code": Row(
        title="output code, 16 bits",
        defense="output_code",
        parameters={"bits": 16, "code_seed": 0},
        published='"attacked quite easily" (arXiv:2003.11855)',
    ),
    "glimpses": Row(
        title="5 random glimpses",
        defense="glimpses",
        parameters={"glimpses": 5, "shift": 2, "random_glimpses": True},
        random=True,
        published="broken in expectation (arXiv:1802.00420, recalled)",
    ),
    "weight_penalty": Row(
        title="weight decay",
        defense="weight_penalty",
        parameters={"penalty": 1e-3},
        curve=True,
        published="distortion .062 to .14, test error 7.4 to 20 % (arXiv:1312.6199)",
    ),
    "double_backprop": Row(
        title="double backprop", defense="double_backprop", parameters={"gradient_penalty": 3}, curve=True
    ),
    "sigmoid_mlp": Row(
        title="sigmoid units",
        architecture="sigmoid_mlp",
        curve=True,
        published="L-BFGS breaks every digit at distortion .058 (arXiv:1312.6199)",
    ),
    "maxout_mlp": Row(title="maxout units", architecture="maxout_mlp", published="89.4 % (FGSM .25; arXiv:1412.6572)"),
    "competing_mlp": Row(title="competing units", architecture="competing_mlp"),
    "rbf_network": Row(
        title="Gaussian (RBF) units",
        architecture="rbf_network",
        learning_rate=0.015,
        curve=True,
        published="55.4 %, confidence 1.2 % (FGSM .25; arXiv:1412.6572)",
    ),
    "dropout_mlp": Row(
        title="dropout", architecture="dropout_mlp", published="89.4 % (that maxout net has dropout; arXiv:1412.6572)"
    ),
    "noise_training": Row(
        title="noise at train time",
        defense="noise_training",
        parameters={"noise": "sign", "amplitude": RADIUS},
        naive="noise",
        curve=True,
        published="86.2 % (signs), 90.4 % (uniform) (FGSM .25; arXiv:1412.6572)",
    ),
    "distillation": Row(
        title="defensive distillation, T = 100",
        defense="distillation",
        parameters={"temperature": 100},
        naive="own slope",
        published="broken at every T (arXiv:1608.04644)",
    ),
}
