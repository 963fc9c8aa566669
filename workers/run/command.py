"""The shell command that asks for a job again, with everything that the service resolved written out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from sparring.v1 import attacks_pb2, datasets_pb2, jobs_pb2

from workers.run import messages

Flags = Mapping[str, object]


def of_job(job: jobs_pb2.Job) -> str:
    """`sparring attack ...`, `sparring evaluate ...`, `sparring train ...` or `sparring poison ...`."""
    if job.HasField("attack"):
        words = _attack(job.attack, messages.bare(job.resolution.models[0].name))
    elif job.HasField("evaluation"):
        words = _evaluation(job)
    elif job.HasField("poisoning"):
        words = _poisoning(job.poisoning)
    else:
        words = _training(job.training)
    return shlex.join(["sparring", *words])


def _attack(spec: jobs_pb2.AttackSpec, model: str) -> Iterator[str]:
    name, message = messages.chosen(spec.attack)
    yield from ("attack", _dashed(name), "--model", model)
    yield from _selection(spec.data)
    yield from _flags(messages.values(message))
    for key, value in messages.extras(message).items():
        yield from ("--parameter", f"{key}={value}")
    target = _target(spec.attack)
    yield from ("--target", target) if target else ()
    yield from _flags({"seed": spec.seed})
    yield from _execution(spec.execution)


def _evaluation(job: jobs_pb2.Job) -> Iterator[str]:
    spec = job.evaluation
    yield "evaluate"
    for model in job.resolution.models:
        yield from ("--model", messages.bare(model.name))
    yield from _selection(spec.data)
    if spec.HasField("suite"):
        ball = messages.values(spec.suite)
        yield from _flags({"suite": ball["level"], "norm": ball["norm"], "epsilon": ball["epsilon"]})
    for flag, words in (("--adapted", spec.adaptive.adapted), ("--knows", spec.adaptive.knowledge)):
        yield from (flag, words) if words else ()
    # What is the suite's own comes with it.
    for attack in spec.attacks[spec.suite.attacks :]:
        yield from ("--attack", _in_one_word(attack))
    for curve in spec.curves[spec.suite.curves :]:
        radii = ",".join(str(epsilon) for epsilon in curve.epsilons)
        yield from ("--curve", f"{_in_one_word(curve.attack)}@{radii}")
    yield from _flags({"seed": spec.seed})
    yield from _execution(spec.execution)


def _training(spec: jobs_pb2.TrainingSpec) -> Iterator[str]:
    name, message = messages.chosen(spec.defense)
    yield from ("train", _dashed(name))
    yield from _selection(spec.data)
    model = messages.bare(spec.initial_model)
    yield from ("--initial-model", model) if model else ("--architecture", spec.architecture)
    yield from _flags(messages.values(message))
    # Of a fit, what the architecture takes is set, and nothing else.
    fitting = {field.name: value for field, value in spec.fitting.ListFields()}
    yield from _flags(fitting if spec.HasField("fitting") else messages.values(spec.optimization))
    if spec.HasField("validation"):
        yield from _flags(messages.values(spec.validation))
    for flag, numbers in (("--mean", spec.mean), ("--std", spec.std)):
        yield from (flag, ",".join(str(number) for number in numbers)) if numbers else ()
    if spec.HasField("evaluation_data"):
        yield from _selection(spec.evaluation_data, prefix="evaluation-")
    yield from _flags({"seed": spec.seed, "device": messages.values(spec)["device"]})


def _poisoning(spec: jobs_pb2.PoisoningSpec) -> Iterator[str]:
    name, message = messages.chosen(spec.poison)
    yield from ("poison", _dashed(name))
    yield from _selection(spec.data)
    yield from ("--architecture", spec.architecture)
    yield from ("--fractions", ",".join(str(fraction) for fraction in spec.fractions))
    yield from _flags(messages.values(message))
    yield from _flags({"sanitizer": messages.values(spec)["sanitizer"]})
    if spec.HasField("dropped_fraction"):
        yield from _flags({"dropped_fraction": spec.dropped_fraction})
    fitting = {field.name: value for field, value in spec.fitting.ListFields()}
    yield from _flags(fitting if spec.HasField("fitting") else messages.values(spec.optimization))
    for flag, numbers in (("--mean", spec.mean), ("--std", spec.std)):
        yield from (flag, ",".join(str(number) for number in numbers)) if numbers else ()
    yield from _selection(spec.evaluation_data, prefix="evaluation-")
    yield from _flags({"seed": spec.seed, "device": messages.values(spec)["device"]})


def _execution(spec: jobs_pb2.Execution) -> Iterator[str]:
    """How it is cut up, which the result depends on; not what was asked of the device, which is the asker's affair."""
    values = messages.values(spec)
    yield from _flags({name: values[name] for name in ("batch_size", "shard_size", "device")})


def _selection(data: datasets_pb2.DataSelection, *, prefix: str = "") -> Iterator[str]:
    values = {"dataset": messages.bare(data.dataset), "split": data.split, "offset": data.offset, "count": data.count}
    for name, value in values.items():
        # What was left empty is written nowhere: the split of evaluation_data is its default, 0 is all.
        yield from (f"--{prefix}{name}", str(value)) if value else ()


def _flags(values: Flags) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, bool):
            yield f"--{'' if value else 'no-'}{_dashed(name)}"
        elif value != "":  # a name that was left empty is written nowhere
            yield from (f"--{_dashed(name)}", _written(name, value))


def _in_one_word(attack: attacks_pb2.Attack) -> str:
    """E.g. `bim:epsilon=0.3,steps=20,target=random`."""
    name, message = messages.chosen(attack)
    given: dict[str, object] = messages.values(message) | messages.extras(message)
    target = _target(attack)
    given |= {"target": target} if target else {}
    return f"{_dashed(name)}:" + ",".join(f"{_dashed(key)}={_written(key, value)}" for key, value in given.items())


def _target(attack: attacks_pb2.Attack) -> str:
    """The chosen class as `--target` takes it; empty for an untargeted attack, or one with a target of its own."""
    targeted = attack.goal.targeted
    choice = targeted.WhichOneof("choice")
    return "" if choice is None else str(targeted.label) if choice == "label" else _dashed(choice)


def _written(name: str, value: object) -> str:
    """A value as a flag takes it; the name of a plug-in or an architecture stays as it is."""
    if isinstance(value, bool):
        return str(value).lower()
    own = name == "name" or "architecture" in name
    return _dashed(value) if isinstance(value, str) and not own else str(value)


def _dashed(name: str) -> str:
    return name.replace("_", "-")
