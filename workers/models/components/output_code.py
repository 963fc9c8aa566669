"""Answers in an error-correcting code."""

from __future__ import annotations

import hashlib
import itertools
import struct
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from workers.failures import Rejected
from workers.models.components.kind import Component, Make, require_within

MOST_BITS = 256
MOST_SEED = 2**32 - 1
# Words are compared in pairs.
MOST_CLASSES = 1000
# Codes that are drawn, of which the one whose two nearest words are furthest apart is taken.
_DRAWN: Final = 64
_DRAWN_UP_TO: Final = 100  # classes


@dataclass(frozen=True, kw_only=True)
class OutputCode(Component):
    """Each class is a word of bits; the network answers bit by bit, and the class whose word is nearest wins.

    z_k = -sum_b |c_kb - p_b|,   p_b = sigmoid(f(x)_b),   c_k the word of class k

    The logits are minus the distances to the words, in [-bits, 0]: the margin between two of them is what decides.
    `bits` in [2, 256], enough to tell the classes apart, of which there may be 1000; `code_seed` in [0, 2^32), on which
    the words depend, and on nothing else.

    Source: Dietterich and Bakiri 1995; Verma and Swami 2019 claim that it stops adversarial examples, arXiv:2003.11855
    that it does not.
    Differs from the paper in: the code is the best of 64 random ones, where the paper improves a random one.
    """

    bits: int
    code_seed: int

    def __post_init__(self) -> None:
        require_within("bits", self.bits, 2, MOST_BITS)
        require_within("code_seed", self.code_seed, 0, MOST_SEED)

    def around(self, make: Make, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
        """See `Component`."""
        del input_shape
        return Coded(make(self.bits), torch.tensor(code(classes, self.bits, self.code_seed), dtype=torch.float32))


class Coded(nn.Module):
    """A network whose outputs are bits."""

    words: Tensor  # (K, bits), 0 or 1

    def __init__(self, inner: nn.Module, words: Tensor) -> None:
        super().__init__()
        self.inner = inner
        # Not persistent: the words belong to the signature, and a weights file must not be able to change them.
        self.register_buffer("words", words, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, K)."""
        p = self.bits(x).sigmoid()
        # |c - p| is p where the bit is 0 and 1 - p where it is 1.
        return p @ (2 * self.words - 1).T - self.words.sum(dim=1)

    def bits(self, x: Tensor) -> Tensor:
        """What the sigmoids are taken of, (N, bits)."""
        outputs: Tensor = self.inner(x)
        return outputs


def code(classes: int, bits: int, seed: int) -> list[list[int]]:
    """The words of all classes, (K, bits) of 0 and 1, no two alike. Raises Rejected: BAD_SIGNATURE."""
    if classes > MOST_CLASSES or 2**bits < classes:
        raise Rejected(
            "BAD_SIGNATURE",
            f"component: {bits} bits have no words for {classes} classes; an output code is for {MOST_CLASSES} classes "
            "at most, and needs bits enough to tell them apart",
        )
    drawn = [_draw(classes, bits, seed, number) for number in range(_DRAWN if classes <= _DRAWN_UP_TO else 1)]
    best = max(drawn, key=_nearest)
    return [[word >> bit & 1 for bit in range(bits)] for word in best]


def _draw(classes: int, bits: int, seed: int, number: int) -> list[int]:
    """Random words, no two alike; the same on every machine and with every version of every library."""
    words: list[int] = []
    tries = itertools.count()
    while len(words) < classes:
        text = struct.pack("<QQQ", seed, number, next(tries))
        word = int.from_bytes(hashlib.blake2b(text, digest_size=MOST_BITS // 8).digest(), "little") % 2**bits
        if word not in words:
            words.append(word)
    return words


def _nearest(words: list[int]) -> int:
    """In how many bits the two nearest words differ."""
    return min((one ^ other).bit_count() for one, other in itertools.combinations(words, 2))
