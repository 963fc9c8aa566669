"""Messages of the contract in words and figures, as filters of the templates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

DASH = "\N{EN DASH}"
SHORT_DIGEST = 12
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
# Rounded to a whole 255th where it is one: that is how radii of pictures are written.
LEVELS = 255


def bare(name: str) -> str:
    """`jobs/abc` -> `abc`."""
    return name.rpartition("/")[2]


def short(digest: str, characters: int = SHORT_DIGEST) -> str:
    """The head of a digest or of a long id; the whole belongs into the title beside it."""
    text = bare(digest)
    return text if len(text) <= characters + 3 else f"{text[:characters]}…"


def size(count: float) -> str:
    """Bytes as a person reads them: `1.5 MiB`."""
    power = 0 if count < 1024 else min(int(math.log(count, 1024)), len(UNITS) - 1)
    return f"{count / 1024**power:.{1 if power else 0}f} {UNITS[power]}"


def number(value: float) -> str:
    """A whole number with its thousands apart, another with four figures."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:.4g}"


def percent(value: float) -> str:
    """0.1234 -> `12.3 %`."""
    return DASH if math.isnan(value) else f"{100 * value:.1f} %"


def radius(epsilon: float) -> str:
    """A radius, with its 255ths where it is a whole number of them: `0.03137 (8/255)`."""
    levels = epsilon * LEVELS
    whole = round(levels)
    if whole and abs(levels - whole) < 1e-6 and epsilon < 1:
        return f"{epsilon:.4g} ({whole}/255)"
    return f"{epsilon:.4g}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def moment(stamp: Timestamp) -> str:
    """A time in UTC, or a dash where it is unset."""
    if not stamp.seconds:
        return DASH
    return datetime.fromtimestamp(stamp.seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def machine_time(stamp: Timestamp) -> str:
    """A time as `<time datetime>` takes it."""
    return datetime.fromtimestamp(stamp.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def state(value: int, message: Any) -> str:
    """`STATE_RUNNING` of a message that has states -> `running`."""
    return str(type(message).State.Name(value)).removeprefix("STATE_").lower()


def sentence(name: str) -> str:
    """`robust_accuracy` -> `robust accuracy`."""
    return name.replace("_", " ")


def shape(sizes: Any) -> str:
    """`[1, 28, 28]` -> `1 × 28 × 28`."""
    return " × ".join(str(size) for size in sizes)


FILTERS: Mapping[str, Callable[..., str]] = {
    "bare": bare,
    "short": short,
    "size": size,
    "number": number,
    "percent": percent,
    "radius": radius,
    "duration": duration,
    "moment": moment,
    "machine_time": machine_time,
    "state": state,
    "sentence": sentence,
    "shape": shape,
}
