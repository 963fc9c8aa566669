"""What `tracing` asks of whoever records spans; `provider` is the one that does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from services.telemetry.context import TraceContext

Attributes = Mapping[str, str | int | float | bool]
Kind = Literal["internal", "server"]


class Recording(Protocol):
    """A span that has begun, as whoever records it sees it."""

    context: TraceContext

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""

    def fail(self, reason: str) -> None:
        """Make it one that failed."""

    def end(self, end_ns: int | None) -> None:
        """End it, now for None."""


class Backend(Protocol):
    """What records spans, see `provider`."""

    def start(
        self,
        name: str,
        attributes: Attributes,
        *,
        parent: TraceContext | None,
        kind: Kind,
        span_id: str | None,
        link: TraceContext | None,
        start_ns: int | None,
    ) -> Recording:
        """Begin a span; a trace where there is no parent."""

    def flush_soon(self) -> None:
        """Have what has ended delivered; returns at once."""

    def close(self, timeout_s: float) -> None:
        """Deliver what has ended, for so long at most."""
