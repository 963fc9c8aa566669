"""Steps of a flow: a generator that holds a conversation's logic once and leaves the doing to a driver.

`caller` drives flows with blocking calls, `aio_caller` on an event loop; both throw a step's ServiceError back into the
flow, which resumes, begins again, or lets it through.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
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
    """Stream an upload's messages up; the step's answer is the response."""

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


class Outgoing:
    """Messages on their way up, and what kept the next one from being made.

    gRPC takes messages in a thread of its own and says no more than that one could not be had.
    """

    def __init__(self, messages: Iterator[Any]) -> None:
        self._messages = messages
        self._failure: Exception | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._messages)
        except StopIteration:
            raise
        except Exception as error:
            self._failure = error
            raise

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Raise what kept a message from being made in place of what came of that."""
        try:
            yield
        except Exception as error:
            if self._failure is not None:
                raise self._failure from error
            raise
