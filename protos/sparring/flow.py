"""Steps of a flow: a generator that holds a conversation's logic once and leaves the doing to a driver.

`caller` drives flows with blocking calls, `aio_caller` on an event loop; both throw a step's ServiceError back into the
flow, which resumes, begins again, or lets it through.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """Make a unary call; the step's answer is the response."""

    method: Any
    request: Any


@dataclass(frozen=True)
class Send:
    """Stream messages up; the step's answer is the response."""

    method: Any
    messages: Callable[[], Iterator[Any]]


@dataclass(frozen=True)
class Receive:
    """Stream messages down, each into `take`, which may block."""

    method: Any
    request: Any
    take: Callable[[Any], None]


@dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Do something that blocks; the step's answer is what it returns."""

    do: Callable[[], Any]


Step = Call | Send | Receive | Pause | Work
Flow = Generator[Step, Any, T]
