"""Biggio's attack: points that are moved along the gradient of what the retrained support vector machine does."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workers.data import Dataset
from workers.engine.monitor import TrainingMonitor
from workers.failures import Rejected
from workers.poisoning.backdoor import check_label
from workers.poisoning.learner import SVMS, FittedLearner, Learner, MachineLearner
from workers.poisoning.machine import Kernel, Machine, fit_machine, signs
from workers.poisoning.poison import Poison, Poisoned, Scenario, shuffled_of, taken

# Samples (N, D) in float64 and what they are, (N,) of -1 and 1.
Points = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class SvmGradient(Poison):
    """Points of the attacked class with the attacking class's label are added, one after the other, each moved.

        max_{x_c}  L(x_c) = sum_k max(0, 1 - y_k f_{x_c}(x_k))   over a validation set {(x_k, y_k)}

    where f_{x_c} is the machine of two classes that is retrained on the samples and (x_c, y_c):

        x_c <- clip(x_c + t dL/dx_c / |dL/dx_c|),   t = ascent_step_size, ascent_steps times

    The problem has two classes: of the training data, those two alone are used, `svm_samples` of them to learn from and
    `svm_validation` for the attacker. `slope` has the gradient.
    Source: arXiv:1206.6389, algorithm 1 and equations 5 to 10; several points one after the other, section 5.
    Differs from the paper in: see `slope`; a fixed number of steps, of which the best is kept.
    The machine is libsvm's, whose offset is not shrunk, unlike that of a linear_svm that is trained otherwise here.
    """

    attacking_label: int = 1
    attacked_label: int = 0
    svm_samples: int = 100
    svm_validation: int = 500
    ascent_steps: int = 60
    ascent_step_size: float = 0.3

    def scenario(self, train: Dataset, held_out: Dataset, *, seed: int) -> Scenario:
        """The two classes alone, the attacked one as 0, the attacking one as 1; drawn by the seed."""
        for name in ("attacking_label", "attacked_label"):
            check_label(getattr(self, name), train, name)
        if self.attacking_label == self.attacked_label:
            raise Rejected(
                "BAD_PARAMETER", f"both labels are {self.attacking_label}; the attack is between two classes"
            )
        duel = self._duel(train, seed)
        needed = self.svm_samples + self.svm_validation
        if len(duel) < needed:
            message = f"{needed} samples of the two classes are asked for, the training data have {len(duel)}"
            raise Rejected("TOO_FEW_SAMPLES", message)
        learned, validation = duel.select(0, self.svm_samples), duel.select(self.svm_samples, self.svm_validation)
        judged = self._duel(held_out, seed)
        for what, part in (("training", learned), ("validation", validation), ("evaluation", judged)):
            if 0 in part.class_counts():
                raise Rejected("MISSING_CLASS", f"the {what} samples are all of one of the two classes; take more")
        return Scenario(train=learned, held_out=judged, validation=validation)

    def victim(self, learner: Learner, scenario: Scenario, *, seed: int, monitor: TrainingMonitor) -> Learner:
        """The machine that the job's fit of a linear_svm or rbf_svm stands for; raises Rejected for anything else."""
        del seed, monitor
        if not isinstance(learner, FittedLearner) or learner.architecture not in SVMS or learner.mean or learner.std:
            raise Rejected("BAD_PARAMETER", f"svm_gradient poisons {' or '.join(SVMS)} without normalisation only")
        gamma = None
        if learner.architecture == "rbf_svm":
            x = scenario.train.pixels(slice(None))
            given = learner.options.kernel_gamma
            gamma = given if given > 0 else 1 / (x[0].numel() * float(x.double().var(correction=0)))
        return MachineLearner(kernel=Kernel(gamma), cost=learner.options.cost, device=learner.device)

    def craft(
        self,
        scenario: Scenario,
        count: int,
        victim: Learner,
        *,
        seed: int,
        monitor: TrainingMonitor,
        attempt: int = 0,
    ) -> Poisoned:
        """Add `count` points, in the order in which they were made."""
        del attempt
        assert isinstance(victim, MachineLearner)
        data = scenario.train
        x, y = _flat(data), signs(data.y)
        validation = _flat(scenario.validation), signs(scenario.validation.y)
        starts = shuffled_of(data, (0,), seed)
        for number in range(count):
            monitor.tick(number / count, f"moving point {number + 1} of {count}")
            start = x[starts[number % len(starts)]]
            moved = self.ascend(victim, (x, y), start, validation, monitor)
            x, y = torch.cat([x, moved[None]]), torch.cat([y, torch.ones(1, dtype=y.dtype)])
        pictures = x.float().view(-1, *data.input_shape)
        poisoned = replace(data, x=pictures, y=(y > 0).long())
        before = data.pixels(starts[torch.arange(count) % len(starts)])
        return Poisoned(data=poisoned, index=torch.arange(len(data), len(data) + count), before=before)

    def ascend(
        self, victim: MachineLearner, samples: Points, start: Tensor, validation: Points, monitor: TrainingMonitor
    ) -> Tensor:
        """The best point (D,) found from `start` (D,) on, labelled 1, by what it costs the machine of the samples."""
        x, y = samples
        signed = torch.cat([y, torch.ones(1, dtype=y.dtype)])
        x_c, best, most = start, start, -1.0
        for step in range(self.ascent_steps + 1):
            monitor.tick(0.0)
            machine = fit_machine(victim.kernel, torch.cat([x, x_c[None]]), signed, victim.cost)
            loss = hinge(machine, *validation)
            if loss > most:
                best, most = x_c, loss
            direction = slope(machine, *validation)
            length = float(direction.norm())
            if step == self.ascent_steps or length == 0:
                break
            x_c = (x_c + self.ascent_step_size * direction / length).clamp(0, 1)
        return best

    def _duel(self, data: Dataset, seed: int) -> Dataset:
        """The samples of the two classes, in random order, the attacking one's as 1."""
        both = taken(data, shuffled_of(data, (self.attacked_label, self.attacking_label), seed))
        return replace(both, y=(both.y == self.attacking_label).long(), classes=2)


def hinge(machine: Machine, x: Tensor, y: Tensor) -> float:
    """L: the sum of the hinge losses of samples x (M, D) with y (M,) of -1 and 1."""
    return float((1 - y * machine.decide(x)).clamp(min=0).sum())


def slope(machine: Machine, x: Tensor, y: Tensor) -> Tensor:
    """dL/dx_c (D,), x_c being the last of the samples that the machine was fitted to, L on samples x (M, D), y (M,).

    As x_c moves a little, the machine stays at its optimum: with S the samples whose multipliers are free,

        [ 0    y_S' ] [ b'   ]       [ 0 ]
        [ y_S  Q_SS ] [ a_S' ]  =  - [ R ]     R_s = a_c dQ_sc/dx_c  for s != c

        dL/dx_c = - sum_{k: y_k f(x_k) < 1}  ( y_k b' + Q_kS a_S' + a_c dQ_kc/dx_c )

    The bordered matrix is symmetric, so one solution for the validation set's side of it serves all D directions.
    Source: arXiv:1206.6389, equations 5 to 10.
    Differs from the paper in: equation 10 is printed without its minus sign; the inverse is a pseudo-inverse, as Q_SS
    of a linear kernel is often singular; where x_c itself is in S its own condition moves too, explicitly by
    R_c = sum_{j != c} a_j dQ_cj/dx_c + a_c dQ_cc/dx_c. Where no multiplier is free, b is taken for fixed.
    """
    kernel, free, a_c, y_c = machine.kernel, machine.free, machine.alpha[-1], machine.y[-1]
    wrong = y * machine.decide(x) < 1
    x_k, y_k = x[wrong], y[wrong]
    direct = a_c * y_c * (y_k[:, None] * kernel.slope(x_k, machine.x[-1])).sum(0)
    if not bool(free.any()):
        return -direct
    x_s, y_s = machine.x[free], machine.y[free]
    R = a_c * y_c * y_s[:, None] * kernel.slope(x_s, machine.x[-1])  # (S, D)
    if bool(free[-1]):
        R[-1] = _own(machine)
    bordered = torch.zeros(len(y_s) + 1, len(y_s) + 1, dtype=torch.float64)
    bordered[0, 1:] = bordered[1:, 0] = y_s
    bordered[1:, 1:] = y_s[:, None] * y_s[None, :] * kernel(x_s, x_s)
    seen = torch.cat([y_k.sum()[None], (y_k[:, None] * y_s[None, :] * kernel(x_k, x_s)).sum(0)])
    weight: Tensor = torch.linalg.pinv(bordered, rtol=1e-10, hermitian=True) @ seen
    return weight[1:] @ R - direct


def _own(machine: Machine) -> Tensor:
    """How the margin condition of x_c moves with x_c where every multiplier stays, (D,)."""
    x_c, y_c, a_c = machine.x[-1], machine.y[-1], machine.alpha[-1]
    dual = (machine.alpha * machine.y)[:-1]
    return y_c * (dual[:, None] * machine.kernel.slope(machine.x[:-1], x_c)).sum(0) + a_c * machine.kernel.own_slope(
        x_c
    )


def _flat(data: Dataset) -> Tensor:
    """Pictures as (N, D) in float64, on the CPU."""
    return data.pixels(slice(None)).cpu().flatten(1).double()
