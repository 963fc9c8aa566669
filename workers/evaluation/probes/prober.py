"""All probes over the first samples of a shard, beside the attacks as they run."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.engine.attack import AttackPlan, AttackResult
from workers.engine.frozen import frozen
from workers.engine.rounding import rounded
from workers.evaluation.probes.broader import broader
from workers.evaluation.probes.further import further
from workers.evaluation.probes.noise import noise
from workers.evaluation.probes.outputs import outputs
from workers.evaluation.probes.plan import ProbePlan
from workers.evaluation.probes.slopes import slopes
from workers.evaluation.probes.subject import Subject
from workers.losses import margin
from workers.threats import TOLERANCE


class Prober:
    """Sees every attack's result, then asks its own questions."""

    def __init__(self, subject: Subject, x: Tensor, y: Tensor, plan: ProbePlan) -> None:
        """`x` (N, C, H, W) and `y` (N,) are the shard's samples; the first `plan.samples` of them are probed."""
        self.x, self.y = x[: plan.samples], y[: plan.samples]
        self._subject, self._plan = subject, plan
        with frozen(subject.model):
            subject.reseed()
            clean = subject.logits(self.x)
        self._right = clean.argmax(dim=1) == self.y
        self._broken = torch.zeros_like(self._right)
        self._points, self._reached = self.x.clone(), margin(clean, self.y)

    def saw(self, attack: AttackPlan, result: AttackResult) -> tuple[Tensor, Tensor]:
        """Look at an attack's examples again: the predictions (N,) in another batch, and after rounding to grey levels.

        Where the attack was untargeted and inside the plan's ball, its points are where `probe` goes on from.
        """
        subject, x_adv = self._subject, result.x_adv.cpu()
        with frozen(subject.model):
            subject.reseed()
            # The other way round, so that every sample meets other batch-mates.
            again = subject.logits(x_adv.flip(0)).flip(0)
            on_paper = subject.logits(rounded(x_adv)).argmax(dim=1)
        if attack.norm == self._plan.norm and attack.goal.kind == "untargeted":
            self._keep(x_adv[: len(self.x)], again[: len(self.x)], result.distance.cpu()[: len(self.x)])
        return again.argmax(dim=1), on_paper

    def probe(self) -> dict[str, Tensor]:
        """Ask everything; the module's head of each probe says what its tensors are."""
        subject, plan = self._subject, self._plan
        with frozen(subject.model):
            found = outputs(subject, self.x) | slopes(subject, self.x, self.y, plan.lines)
            found["noise"] = noise(subject, self.x, self.y, self._right, plan)
            held = self._right & ~self._broken
            found |= further(subject, self.x, self.y, plan, start=self._points, held=held)
            return found | broader(subject, self.x, self.y)

    def _keep(self, points: Tensor, logits: Tensor, distance: Tensor) -> None:
        """Remember the best point of each sample inside the ball, and which samples are broken there."""
        inside = distance <= self._plan.epsilon + TOLERANCE * max(1.0, self._plan.epsilon)
        reached = margin(logits, self.y)
        self._broken |= inside & (reached > 0)
        better = inside & (reached > self._reached)
        self._points[better], self._reached[better] = points[better], reached[better]
