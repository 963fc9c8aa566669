"""Evaluation suites: which attacks, curves and probes a level stands for, written into a job when it is accepted.

What a suite adds stands before what was given beside it, with every parameter filled in, so that the resolved job says
everything; sent again it comes to the same. `levels` has the attacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from sparring.radii import NO_LIMIT
from sparring.v1 import attacks_pb2, components_pb2, jobs_pb2

from services.errors import InvalidArgument, Violation
from services.gateway import catalog, components
from services.gateway.levels import LEVELS, Ball, Level
from services.gateway.ranges import check_parameters, number

MAX_ATTACKS = 32
MAX_CURVES = 4
MAX_WORDS = 4000
# Half the range of a pixel: whoever may change that much can make every picture grey.
GREY = 0.5

# What probes cost of each sample, in forward passes: always, along a line, for a step, and for each run of the job.
_LOOKS, _LINE, _STEP, _AGAIN = 40, 26, 3, 2

Fill = Callable[[attacks_pb2.Attack], None]


def check(spec: jobs_pb2.EvaluationSpec) -> Iterator[Violation]:
    """Check what a request says of its suite, of probes and of what was adapted."""
    for name in ("adapted", "knowledge"):
        length = len(getattr(spec.adaptive, name))
        if length > MAX_WORDS:
            yield Violation(f"evaluation.adaptive.{name}", f"must have at most {MAX_WORDS} characters, not {length}")
    if not spec.HasField("suite"):
        if spec.HasField("probes"):
            yield Violation("evaluation.probes", "is set by the server from `suite`; leave it out, or give a suite")
        return
    wrong = list(check_parameters(spec.suite, "evaluation.suite"))
    yield from wrong
    if not wrong and _norm(spec) == attacks_pb2.NORM_LINF and spec.suite.epsilon > GREY:
        message = (
            f"must be in (0, {GREY}] for NORM_LINF, not {spec.suite.epsilon:g}: beyond it every picture may be grey"
        )
        yield Violation("evaluation.suite.epsilon", f"{message}; pixels are in [0, 1], so 8 grey levels are 8/255")
    if spec.HasField("probes"):
        yield from check_parameters(spec.probes, "evaluation.probes")


def expand(job: jobs_pb2.Job, fill: Fill) -> None:
    """Write a suite's attacks, curves and probes into a job whose models, samples and shards are resolved.

    Raises InvalidArgument where what was given beside the suite clashes with it.
    """
    spec = job.evaluation
    if not spec.HasField("suite"):
        return
    spec.suite.norm = _norm(spec)
    level = LEVELS[spec.suite.level]
    values = max(math.prod(model.signature.input_shape) for model in job.resolution.models)
    ball = Ball(spec.suite.norm, spec.suite.epsilon, values)
    at_random = any(draws(model.signature.component) for model in job.resolution.models)
    attacks = list(level.attacks(ball, at_random=at_random))
    for attack in attacks:
        fill(attack)
    curves = [level.curve(ball)]
    for curve in curves:
        fill(curve.attack)
    beside = [attack for attack in spec.attacks if attack not in attacks]
    drawn = [curve for curve in spec.curves if curve not in curves]
    _check_beside(spec, [*attacks, *beside], [*curves, *drawn], len(attacks))
    spec.suite.attacks, spec.suite.curves = len(attacks), len(curves)
    spec.ClearField("attacks")
    spec.attacks.extend([*attacks, *beside])
    spec.ClearField("curves")
    spec.curves.extend([*curves, *drawn])
    _set_probes(spec, level, job.resolution.shards)


def draws(component: components_pb2.Component) -> bool:
    """Tell whether a component answers at random, so that an attack has to average over answers."""
    match component.WhichOneof("kind"):
        case "noise":
            return component.noise.sigma > 0
        case "glimpses":
            return component.glimpses.random_glimpses and component.glimpses.shift > 0
    return False


def giga_ops(job: jobs_pb2.Job) -> float:
    """Return what the probes of a resolved evaluation cost, in billions of multiply-adds."""
    spec, resolution = job.evaluation, job.resolution
    if not spec.HasField("probes"):
        return 0.0
    probes = spec.probes
    looked_at = min(resolution.data.count, probes.samples * resolution.shards)
    points = len(spec.attacks) + sum(len(curve.epsilons) for curve in spec.curves)
    each = _LOOKS + probes.noise_draws + probes.lines * _LINE + probes.further_steps * _STEP
    ones = [components.giga_ops(model.signature) for model in resolution.models]
    others = sum(ones) * (len(ones) - 1) * (probes.transfer_steps * _STEP + 2)
    return sum(ones) * (looked_at * each + resolution.data.count * points * _AGAIN) + looked_at * others


def _set_probes(spec: jobs_pb2.EvaluationSpec, level: Level, shards: int) -> None:
    """Fill in what was not sent back with the suite."""
    probes = spec.probes
    probes.norm, probes.epsilon = spec.suite.norm, spec.suite.epsilon
    rules = {
        "samples": math.ceil(level.samples / shards),
        "noise_draws": level.noise_draws,
        "lines": level.lines,
        "further_steps": level.further_steps,
        "transfer_steps": level.transfer_steps,
    }
    for name, value in rules.items():
        if number(probes, name) is None:
            setattr(probes, name, value)


def _check_beside(
    spec: jobs_pb2.EvaluationSpec,
    attacks: Sequence[attacks_pb2.Attack],
    curves: Sequence[jobs_pb2.EpsilonCurve],
    own: int,
) -> None:
    """Refuse more than a job may hold, and attacks whose ball is larger than the suite's."""
    found = []
    if len(attacks) > MAX_ATTACKS:
        message = f"the suite has {own} attacks and {len(attacks) - own} more were given; at most {MAX_ATTACKS} in all"
        found.append(Violation("evaluation.attacks", f"{message}: leave some out, or judge them in a second job"))
    if len(curves) > MAX_CURVES:
        message = f"the suite has a curve and {len(curves) - 1} more were given; at most {MAX_CURVES} in all"
        found.append(Violation("evaluation.curves", f"{message}: leave some out, or draw them in a second job"))
    for index, attack in enumerate(spec.attacks):
        kind = str(attack.WhichOneof("kind"))
        method = getattr(attack, kind)
        epsilon = number(method, "epsilon")
        norm = number(method, "norm")
        same = spec.suite.norm == (attacks_pb2.NORM_LINF if norm is None else norm)
        if same and epsilon is not None and epsilon > spec.suite.epsilon and not catalog.attack(kind).minimum:
            message = (
                f"{epsilon:g} is beyond the suite's {spec.suite.epsilon:g} in the same norm, so that the worst case"
            )
            advice = "would be of another ball: lower it, give a larger suite epsilon, or add a curve instead"
            found.append(Violation(f"evaluation.attacks[{index}].{kind}.epsilon", f"{message} {advice}"))
    if found:
        raise InvalidArgument(found)


def _norm(spec: jobs_pb2.EvaluationSpec) -> attacks_pb2.Norm.ValueType:
    """Return the norm of the suite, or what it means to leave it unset."""
    return spec.suite.norm if spec.suite.norm in NO_LIMIT else attacks_pb2.NORM_LINF
