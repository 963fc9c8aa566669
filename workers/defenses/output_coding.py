"""Error-correcting output code."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from workers.models.components import Coded, OutputCode, part
from workers.recipe import Recipe, Step


@dataclass(frozen=True, kw_only=True)
class OutputCoding(Recipe):
    """Every bit of the label's word is learned by itself.

    mean_b [ -c_yb log p_b - (1 - c_yb) log(1 - p_b) ],   p = sigmoid(f(x)),   c_y the word of class y

    `bits` in [2, 256] and `code_seed` are those of `components.OutputCode`, where the decoding stands.

    Source: Dietterich and Bakiri 1995, Solving multiclass learning problems via error-correcting output codes.
    """

    bits: int
    code_seed: int

    def component(self) -> OutputCode:
        """The code."""
        return OutputCode(bits=self.bits, code_seed=self.code_seed)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """The mean cross-entropy of a bit."""
        del step
        coded = part(model, Coded)
        return F.binary_cross_entropy_with_logits(coded.bits(x), coded.words[y])
