"""How a training is moved and watched, as far as that goes beyond the range of each field.

check       warm_up beside a schedule that rises by itself; selection without samples to judge on; a fit that is watched
fill_in     the radius of the probes and when to go back follow from the defense
cost        each look: 1 + 3 probe_steps + 1 passes for every sample that is looked at, held out or learned from
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from sparring.v1 import jobs_pb2

from services.errors import Violation
from services.gateway import fitting
from services.gateway.defaults import fill
from services.gateway.ranges import check_parameters, fields_of, number, parameter_of

# The radius of the probes where the defense has none of its own in L-infinity.
EPSILON: Final = 0.3
# What tells an epsilon in L-infinity from any other.
PIXELS: Final = "pixel in [0, 1]"
# FGSM-RS overfits to its own step, of a sudden; its authors' code looks for a drop of so much.
DROP: Final = 0.2

RISING: Final = (jobs_pb2.SCHEDULE_UNSPECIFIED, jobs_pb2.SCHEDULE_ONE_CYCLE, jobs_pb2.SCHEDULE_CYCLIC)
JUDGED: Final = (jobs_pb2.SELECTION_ROBUST, jobs_pb2.SELECTION_CLEAN)


def check(spec: jobs_pb2.TrainingSpec) -> Iterator[Violation]:
    """Check how a training is watched, and that its warm-up means something."""
    path = "training.validation"
    if fitting.fitted(spec):
        if spec.HasField("validation"):
            yield Violation(path, f"a {spec.architecture} is fitted and has no epochs; leave it unset")
        return
    yield from check_parameters(spec.validation, path)
    if spec.validation.select in JUDGED and spec.validation.held_out == 0:
        name = jobs_pb2.Selection.Name(spec.validation.select)
        yield Violation(f"{path}.select", f"{name} is judged on held-out samples; set held_out above 0")
    if spec.optimization.warm_up > 0 and spec.optimization.schedule in RISING:
        name = jobs_pb2.Schedule.Name(spec.optimization.schedule or jobs_pb2.SCHEDULE_ONE_CYCLE)
        yield Violation(
            "training.optimization.warm_up", f"{name} rises by itself; leave it 0, or take another schedule"
        )


def fill_in(spec: jobs_pb2.TrainingSpec) -> None:
    """Fill in how a training is watched; the defense has its parameters."""
    kind = spec.defense.WhichOneof("kind")
    method = getattr(spec.defense, str(kind))
    field = fields_of(method).get("epsilon")
    rule = None if field is None else parameter_of(field)
    own = number(method, "epsilon") if rule is not None and rule.unit == PIXELS else None
    drop = DROP if kind == "fgsm_rs" else 0.0
    fill(spec.validation, computed={"probe_epsilon": EPSILON if own is None else own, "overfitting_drop": drop})


def passes(spec: jobs_pb2.TrainingSpec, samples: int) -> int:
    """Return the forward passes, counted per sample, of all looks at a training that takes so many samples."""
    how = spec.validation
    if how.held_out == 0 and how.overfitting_drop == 0:
        return 0
    out = int(samples * how.held_out)
    seen = min(out, how.probe_samples) + min(samples - out, how.probe_samples)
    looks = math.ceil(spec.optimization.epochs / how.probe_every)
    return looks * seen * (3 * how.probe_steps + 2)
