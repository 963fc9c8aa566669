"""The levels of a suite: their attacks in the order in which they are told, their curve, and what their probes ask.

    quick      FGSM; PGD-20; PGD-40 twice; APGD on the margin; Square of 200 queries; a curve of 5 radii
    standard   FGSM; PGD-40; PGD-80 twice; PGD to the least likely class; AutoAttack; the shortest perturbations; a
               curve of 9 radii
    thorough   standard, and PGD on the margin with 5 and 10 restarts; APGD with 5; Carlini-Wagner; DeepFool;
               HopSkipJump; the shortest perturbations in the other norms

In L1, where there is no FGSM, one step of PGD takes its place, and there is no Square. The second PGD has twice the
steps and restarts of the first: what that changes tells whether the first had enough. A model that answers at random
meets PGD on the mean of several answers as well. Curves climb the margin, whose slope no confidence takes away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from sparring.v1 import attacks_pb2, jobs_pb2, suites_pb2

Attack = attacks_pb2.Attack

LINF, L2, L1, L0 = attacks_pb2.NORM_LINF, attacks_pb2.NORM_L2, attacks_pb2.NORM_L1, attacks_pb2.NORM_L0
MARGIN = attacks_pb2.LOSS_MARGIN

# Radii of the curves as parts of the suite's; the last radius of all is the one at which every picture may be grey.
_SHORT = (0.0, 0.5, 1.0, 2.0)
_LONG = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)

_LARGEST = {LINF: 1.0, L2: 1000.0, L1: 1000.0}


@dataclass(frozen=True)
class Ball:
    """The suite's ball, and how many values an input has."""

    norm: attacks_pb2.Norm.ValueType
    epsilon: float
    values: int

    @property
    def grey(self) -> float:
        """The distance within which every input has the picture that is grey all over, as far as the contract goes."""
        reach = {LINF: 0.5, L2: 0.5 * math.sqrt(self.values), L1: 0.5 * self.values}[self.norm]
        return min(reach, _LARGEST[self.norm])


class Attacks(Protocol):
    """What a level runs."""

    def __call__(self, ball: Ball, *, at_random: bool) -> Iterator[Attack]:
        """Yield the attacks in their order; `at_random`: one of the models draws its answers."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """What a level stands for. `samples`: how many the probes look at, over all shards of a model."""

    attacks: Attacks
    curve: Callable[[Ball], jobs_pb2.EpsilonCurve]
    samples: int
    noise_draws: int
    lines: int
    further_steps: int
    transfer_steps: int


def _quick(ball: Ball, *, at_random: bool) -> Iterator[Attack]:
    yield _single_step(ball)
    yield _pgd(ball, steps=20)
    yield _pgd(ball, steps=40, restarts=2)
    apgd = attacks_pb2.Apgd(epsilon=ball.epsilon, norm=ball.norm, steps=30, loss=MARGIN)
    yield Attack(apgd=apgd)
    if ball.norm in (LINF, L2):
        yield Attack(square=attacks_pb2.Square(epsilon=ball.epsilon, norm=ball.norm, queries=200))
    if at_random:
        yield from _averaged(ball, steps=10, samples=8)


def _standard(ball: Ball, *, at_random: bool) -> Iterator[Attack]:
    yield _single_step(ball)
    yield _pgd(ball, steps=40)
    yield _pgd(ball, steps=80, restarts=2)
    chosen = _pgd(ball, steps=40)
    chosen.goal.targeted.least_likely.SetInParent()
    yield chosen
    yield Attack(auto_attack=attacks_pb2.AutoAttack(epsilon=ball.epsilon, norm=ball.norm))
    yield _shortest(ball.norm)
    if at_random:
        yield from _averaged(ball, steps=40, samples=20)


def _thorough(ball: Ball, *, at_random: bool) -> Iterator[Attack]:
    yield from _standard(ball, at_random=at_random)
    yield _pgd(ball, steps=100, restarts=5, loss=MARGIN)
    yield _pgd(ball, steps=200, restarts=10, loss=MARGIN)
    yield Attack(apgd=attacks_pb2.Apgd(epsilon=ball.epsilon, norm=ball.norm, restarts=5, loss=MARGIN))
    yield Attack(carlini_wagner=attacks_pb2.CarliniWagner())
    walked = LINF if ball.norm == LINF else L2
    yield Attack(deepfool=attacks_pb2.DeepFool(norm=walked))
    yield Attack(hop_skip_jump=attacks_pb2.HopSkipJump(norm=walked))
    for norm in (LINF, L2, L1, L0):
        if norm != ball.norm:
            yield _shortest(norm)


def _single_step(ball: Ball) -> Attack:
    if ball.norm == L1:
        step = attacks_pb2.Pgd(epsilon=ball.epsilon, norm=L1, steps=1, step_size=ball.epsilon, random_start=False)
        return Attack(pgd=step)
    return Attack(fgsm=attacks_pb2.Fgsm(epsilon=ball.epsilon, norm=ball.norm))


def _pgd(
    ball: Ball, *, steps: int, restarts: int = 1, loss: attacks_pb2.Loss.ValueType = attacks_pb2.LOSS_CROSS_ENTROPY
) -> Attack:
    method = attacks_pb2.Pgd(epsilon=ball.epsilon, norm=ball.norm, steps=steps, restarts=restarts, loss=loss)
    return Attack(pgd=method)


def _averaged(ball: Ball, *, steps: int, samples: int) -> Iterator[Attack]:
    """PGD on the mean slope of several answers about the picture as it is: every strength of the camera is 0."""
    if ball.norm in (LINF, L2):
        method = attacks_pb2.EotPgd(epsilon=ball.epsilon, norm=ball.norm, steps=steps, samples=samples)
        for strength in ("perspective", "crop", "blur", "noise", "brightness", "contrast"):
            setattr(method, strength, 0)
        method.jpeg_quality = 100
        yield Attack(eot_pgd=method)


def _shortest(norm: attacks_pb2.Norm.ValueType) -> Attack:
    """The attack that looks for the shortest perturbation in a norm, without a limit."""
    return Attack(ddn=attacks_pb2.Ddn()) if norm == L2 else Attack(fmn=attacks_pb2.Fmn(norm=norm))


def _curve(ball: Ball, *, steps: int, parts: tuple[float, ...]) -> jobs_pb2.EpsilonCurve:
    """Accuracy from radius 0 to the one at which nothing can be left; nine decimals tell the radii apart."""
    below = {round(part * ball.epsilon, 9) for part in parts if part * ball.epsilon < ball.grey}
    step_size = 2.5 * ball.epsilon / steps
    method = attacks_pb2.Pgd(epsilon=ball.epsilon, norm=ball.norm, steps=steps, step_size=step_size, loss=MARGIN)
    return jobs_pb2.EpsilonCurve(attack=Attack(pgd=method), epsilons=sorted({*below, round(ball.grey, 9)}))


LEVELS: Mapping[int, Level] = {
    suites_pb2.Suite.LEVEL_QUICK: Level(
        attacks=_quick,
        curve=lambda ball: _curve(ball, steps=20, parts=_SHORT),
        samples=128,
        noise_draws=100,
        lines=4,
        further_steps=20,
        transfer_steps=20,
    ),
    suites_pb2.Suite.LEVEL_STANDARD: Level(
        attacks=_standard,
        curve=lambda ball: _curve(ball, steps=40, parts=_LONG),
        samples=128,
        noise_draws=10_000,
        lines=8,
        further_steps=50,
        transfer_steps=40,
    ),
    suites_pb2.Suite.LEVEL_THOROUGH: Level(
        attacks=_thorough,
        curve=lambda ball: _curve(ball, steps=100, parts=_LONG),
        samples=256,
        noise_draws=10_000,
        lines=8,
        further_steps=100,
        transfer_steps=100,
    ),
}
