"""Jobs in words: what one is about, its events a line each, its parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from sparring import values
from sparring.radii import NO_LIMIT
from sparring.v1.attacks_pb2 import Attack
from sparring.v1.jobs_pb2 import Job, Progress, UnitChange, WatchJobResponse

from services.console import words

ENDED = frozenset({Job.STATE_SUCCEEDED, Job.STATE_FAILED, Job.STATE_CANCELLED, Job.STATE_QUARANTINED})
RETRIED = ENDED - {Job.STATE_SUCCEEDED}
KINDS = {"attack": "attack", "training": "training", "evaluation": "evaluation", "poisoning": "poisoning"}


def title(job: Job) -> str:
    """What a job is about in a few words: `fgsm on first, mnist10k`."""
    kind = job.WhichOneof("spec")
    if kind == "attack":
        spec = job.attack
        return f"{attack_name(spec.attack)} on {words.bare(spec.model)}, {words.bare(spec.data.dataset)}"
    if kind == "training":
        made = job.training.model_id or job.training.architecture or words.bare(job.training.initial_model)
        defense = job.training.defense.WhichOneof("kind")
        return f"{'standard' if defense is None else defense} training of {made}"
    if kind == "evaluation":
        models = ", ".join(words.bare(model) for model in job.evaluation.models)
        return f"evaluation of {models}, {words.bare(job.evaluation.data.dataset)}"
    if kind == "poisoning":
        return f"{job.poisoning.poison.WhichOneof('kind')} of {words.bare(job.poisoning.data.dataset)}"
    return "check of an upload"


def attack_name(attack: Attack) -> str:
    """`fgsm`, with its radius where it has one that limits it: `fgsm ε 0.25`."""
    kind = str(attack.WhichOneof("kind"))
    method = getattr(attack, kind, None)
    epsilon = getattr(method, "epsilon", 0.0) if method is not None else 0.0
    if not epsilon or epsilon >= NO_LIMIT.get(getattr(method, "norm", 0), math.inf):
        return kind
    return f"{kind} ε {words.radius(epsilon)}"


def parameters(message: Message) -> Iterator[tuple[str, str]]:
    """The fields of a message that are set, as names and texts, those of messages inside it with a dot."""
    for field, value in message.ListFields():
        name = words.sentence(field.name)
        if isinstance(value, Message):
            inside = list(parameters(value))
            if inside:
                yield from ((f"{name} · {inner}" if inner else name, text) for inner, text in inside)
            else:
                yield name, "set"
        elif field.is_repeated and field.message_type is not None and not values.is_map(field):
            yield name, "; ".join(", ".join(f"{inner} {text}" for inner, text in parameters(one)) for one in value)
        else:
            yield name, _text(field, value)


def _text(field: FieldDescriptor, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one:.6g}" for name, one in sorted(value.items()))
    if field.is_repeated:
        return ", ".join(_one(field, one) for one in value)
    return _one(field, value)


def _one(field: FieldDescriptor, value: Any) -> str:
    if field.enum_type is not None:
        return {number: name for name, number in values.choices(field.enum_type).items()}.get(int(value), "unset")
    if field.name.startswith("epsilon"):
        return words.radius(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def progress(done: Progress) -> str:
    """`3 of 8 units, about 12 s left, epoch 4 of 10`."""
    units = f"{done.units_done} of {done.units_total} units" if done.units_total else ""
    left = f"about {words.duration(done.remaining_seconds)} left" if done.HasField("remaining_seconds") else ""
    return ", ".join(filter(None, (units, left, done.message)))


def event(happened: WatchJobResponse) -> dict[str, Any]:
    """An event for the page's log: its number, time, kind and words, and the unit that it is about."""
    kind = str(happened.WhichOneof("event"))
    told: dict[str, Any] = {
        "id": happened.event_id,
        "time": datetime.fromtimestamp(happened.time.seconds, UTC).strftime("%H:%M:%S"),
        "kind": kind,
        "text": "",
    }
    if kind == "state_change":
        name = Job.State.Name(happened.state_change.state).removeprefix("STATE_").lower()
        why = happened.state_change.error.message
        told["text"] = f"{name}: {why}" if why else name
    elif kind == "progress":
        told["text"] = f"{100 * happened.progress.fraction:.0f} %, {progress(happened.progress)}"
    elif kind == "unit_change":
        told |= _unit(happened.unit_change)
    elif kind == "metric":
        told["text"] = f"{happened.metric.name} {happened.metric.value:.6g} at {happened.metric.step}"
    elif kind == "snapshot":
        told["text"] = "earlier events are no longer held"
    return told


def _unit(change: UnitChange) -> dict[str, Any]:
    done = UnitChange.Kind.Name(change.kind).removeprefix("KIND_").lower()
    cause = f": {change.cause}" if change.cause else ""
    return {
        "text": f"unit {change.unit} {done} by {change.worker}, attempt {change.attempt}{cause}",
        "unit": change.unit,
        "change": done,
        "worker": change.worker,
        "attempt": change.attempt,
        "cause": change.cause,
    }
