"""The probes of a job that has a suite: made for a shard, fed with its attacks, and finished with the other models."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sparring.v1 import jobs_pb2
from torch import Tensor

from workers.engine.attack import AttackPlan, AttackResult
from workers.engine.memory import Portion
from workers.engine.monitor import Monitor
from workers.evaluation import ProbePlan
from workers.evaluation.probes import Prober, Subject, transferred
from workers.models import Classifier
from workers.run import messages


class Probing:
    """The monitor of a shard that is probed, and what it is probed by.

    It is itself the monitor of the attacks: while probes run it tells how far the attacks have come.
    """

    def __init__(self, whole: Monitor) -> None:
        self.seconds = 0.0
        self._whole, self._fraction = whole, 0.0
        self._prober: Prober | None = None
        self._subject: Subject | None = None
        self._plan: ProbePlan | None = None

    def begin(self, subject: Subject, x: Tensor, y: Tensor, plan: ProbePlan) -> None:
        """Take the shard's samples `x` (N, C, H, W) and `y` (N,)."""
        begun = time.perf_counter()
        self._subject, self._plan = replace(subject, tick=self._still), plan
        self._prober = Prober(self._subject, x, y, plan)
        self.seconds += time.perf_counter() - begun

    def tick(self, fraction: float, message: str = "") -> None:
        """Pass on, and remember."""
        self._fraction = fraction
        self._whole.tick(fraction, message)

    def metric(self, name: str, value: float, step: int) -> None:
        """Pass on."""
        self._whole.metric(name, value, step)

    def saw(self, plan: AttackPlan, result: AttackResult) -> dict[str, Any]:
        """What a `ShardRun` has of an attack's examples beside the engine's own figures."""
        if self._prober is None:
            return {}
        begun = time.perf_counter()
        again, rounded = self._prober.saw(plan, result)
        self.seconds += time.perf_counter() - begun
        return {"again": again, "rounded": rounded}

    def finish(self, others: Mapping[str, Callable[[], Classifier]]) -> dict[str, dict[str, Tensor]]:
        """What a `Shard` has of probes and of transfers from `others`, the job's other models by their numbers."""
        prober, subject, plan = self._prober, self._subject, self._plan
        if prober is None or subject is None or plan is None:
            return {}
        begun = time.perf_counter()
        probes, transfers = prober.probe(), {}
        for number, make in others.items():
            if plan.transfer_steps > 0:
                source = replace(subject, model=make(), portion=Portion(subject.batch_size))
                transfers[number] = transferred(source, subject, prober.x, prober.y, plan)
        self.seconds += time.perf_counter() - begun
        return {"probes": probes, "transfers": transfers}

    def _still(self) -> None:
        self._whole.tick(self._fraction, "probing")


def plan_of(job: jobs_pb2.Job) -> ProbePlan | None:
    """What a job's probes ask; None for a job without a suite."""
    if not job.evaluation.HasField("probes"):
        return None
    return ProbePlan(**messages.values(job.evaluation.probes))
