"""Values as people read them: shares, radii, sizes, times, attacks, events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from sparring import values
from sparring.radii import NO_LIMIT
from sparring.v1.attacks_pb2 import NORM_L0, NORM_L1, NORM_L2, NORM_LINF, Attack, Norm
from sparring.v1.components_pb2 import Component
from sparring.v1.jobs_pb2 import Job, Progress, Proportion, ResultRow, UnitChange, WatchJobResponse

# Norms that are named beside a radius; one of NORM_LINF stands alone.
_NORMS = {NORM_L2: "L2", NORM_L1: "L1", NORM_L0: "L0"}


def percent(share: float) -> str:
    """0.1234 as `12.3 %`."""
    return f"{100 * share:.1f} %"


def interval(share: Proportion) -> str:
    """The 95 % interval of a share, in percent: `11.0 - 13.8`."""
    return f"{100 * share.low:.1f} - {100 * share.high:.1f}"


def epsilon(radius: float, norm: Norm.ValueType) -> str:
    """A radius: `0.3`, `8/255` where that is shorter, `1.5 (L2)`, `none (L2)` where any perturbation counts."""
    if norm in _NORMS:
        return f"{'none' if radius >= NO_LIMIT[norm] else f'{radius:.4g}'} ({_NORMS[norm]})"
    if radius >= NO_LIMIT[NORM_LINF]:
        return "none"
    grey_levels = radius * 255
    is_short = float(f"{radius:.3g}") == radius
    return f"{radius:.4g}" if is_short or abs(grey_levels - round(grey_levels)) > 1e-6 else f"{round(grey_levels)}/255"


def radius(distance: float, norm: str) -> str:
    """A radius whose norm is a text such as "linf": `0.3 (L-infinity)`, `8/255 (L-infinity)`, `1.5 (L2)`."""
    number = Norm.Value(f"NORM_{norm.upper()}")
    said = epsilon(distance, number)
    return said if number in _NORMS else f"{said} (L-infinity)"


def size(count: float) -> str:
    """A number of bytes: `1.4 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def duration(seconds: float) -> str:
    """A length of time: `9.3 s`, `4 min 10 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def moment(time: Timestamp) -> str:
    """A point in time, in the reader's zone."""
    local = datetime.fromtimestamp(time.seconds + time.nanos / 1e9).astimezone()
    return local.strftime("%Y-%m-%d %H:%M:%S")


def state(job: Job) -> str:
    """`SUCCEEDED`."""
    return Job.State.Name(job.state).removeprefix("STATE_")


def parameters(message: Message) -> str:
    """The fields that are set: `epsilon=0.3 steps=20 norm=linf`."""
    return " ".join(f"{field.name}={_value(field, value)}" for field, value in message.ListFields())


def _value(field: FieldDescriptor, value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{one:.6g}" for name, one in sorted(value.items()))
    if field.enum_type is not None:
        return {number: name for name, number in values.choices(field.enum_type).items()}[int(str(value))]
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower()


def attack(made: Attack) -> str:
    """An attack with its parameters and its goal: `bim epsilon=0.3 steps=20, target random`."""
    kind = str(made.WhichOneof("kind"))
    text = f"{kind} {parameters(getattr(made, kind))}".strip()
    if made.goal.WhichOneof("kind") != "targeted":
        return text
    choice = str(made.goal.targeted.WhichOneof("choice"))
    return f"{text}, target {made.goal.targeted.label if choice == 'label' else choice.replace('_', ' ')}"


def component(made: Component) -> str:
    """What stands around a network, with its parameters: `noise sigma=0.1 votes=4`; empty for nothing."""
    kind = made.WhichOneof("kind")
    return "" if kind is None else f"{kind} {parameters(getattr(made, kind))}"


def distance(row: ResultRow) -> str:
    """How far an attack had to go: `median 1.2, mean 1.31 (L2)`; empty where it turned nothing."""
    if row.max_distance == 0:
        return ""
    norm = _NORMS.get(row.norm, "L-infinity")
    return f"median {row.median_distance:.3g}, mean {row.mean_distance:.3g} ({norm})"


def progress(done: Progress) -> str:
    """`40 %, 12 s left, epoch 4 of 10`."""
    left = f"{duration(done.remaining_seconds)} left" if done.HasField("remaining_seconds") else ""
    return ", ".join(filter(None, (f"{100 * done.fraction:.0f} %", left, done.message)))


def event(happened: WatchJobResponse) -> str:
    """An event of a watch in a line, without its number and time."""
    kind = happened.WhichOneof("event")
    if kind == "state_change":
        why = happened.state_change.error.message
        name = Job.State.Name(happened.state_change.state).removeprefix("STATE_")
        return f"{name}: {why}" if why else name
    if kind == "progress":
        return progress(happened.progress)
    if kind == "unit_change":
        unit = happened.unit_change
        done = UnitChange.Kind.Name(unit.kind).removeprefix("KIND_").lower()
        cause = f": {unit.cause}" if unit.cause else ""
        return f"unit {unit.unit} {done} by {unit.worker}, attempt {unit.attempt}{cause}"
    if kind == "metric":
        return f"{happened.metric.name} {happened.metric.value:.6g} at {happened.metric.step}"
    if kind == "snapshot":
        return f"{state(happened.snapshot)}: earlier events are no longer held"
    return "nothing new"
