"""What can stand around a network and work whenever it is asked: part of one model, built, saved and loaded with it.

    Noise                  answers about noisy copies of the picture, averaged
    Autoencoder            a denoising autoencoder in front
    Committee              several networks, averaged
    ConfidenceReduction    steps away from its own confidence before it answers
    OutputCode             answers in bits of an error-correcting code
    Glimpses               answers about shifted copies of the picture, averaged

A component is a frozen description, the field `component` of a `Signature`; its `around` makes the network of it. Each
has a file of its own, and the formula in it. All of them are defenses that fail (docs/failed-defenses.md). What is
random in them is drawn from torch's global generator of the device, which the engine seeds before each batch.
"""

from __future__ import annotations

from typing import Final

from workers.models.components.autoencoder import Autoencoder, Denoised
from workers.models.components.committee import Committee, Members
from workers.models.components.confidence_reduction import ConfidenceReduction, Retreating
from workers.models.components.glimpses import Glimpses, Glimpsing
from workers.models.components.kind import Component, part
from workers.models.components.noise import Noise, Noisy
from workers.models.components.output_code import Coded, OutputCode

__all__ = [
    "COMPONENTS",
    "Autoencoder",
    "Coded",
    "Committee",
    "Component",
    "ConfidenceReduction",
    "Denoised",
    "Glimpses",
    "Glimpsing",
    "Members",
    "Noise",
    "Noisy",
    "OutputCode",
    "Retreating",
    "part",
]

# By the name of the field in `sparring.v1.Component`.
COMPONENTS: Final[dict[str, type[Component]]] = {
    "noise": Noise,
    "autoencoder": Autoencoder,
    "committee": Committee,
    "confidence_reduction": ConfidenceReduction,
    "output_code": OutputCode,
    "glimpses": Glimpses,
}
