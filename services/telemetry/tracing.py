"""Traces: one per job, from the client's call through gateway, queue and worker to the commit.

    with tracing.span("fetch model", {"sparring.model": name}):    a span below the one under way, if there is one

Nothing of OpenTelemetry is imported before `configure` is told where spans go. Without that, or without its packages,
`span` gives an object that does nothing, and a job carries the context of a client that sent one all the same.
What a span may say: names, numbers, reasons. Never tensors, keys, contents of files or names of pictures.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Self

from services.telemetry.context import TraceContext
from services.telemetry.recording import Attributes, Backend, Kind, Recording
from services.telemetry.settings import TelemetrySettings

logger = logging.getLogger(__name__)

# What a process that ends waits for its last spans to be delivered.
CLOSING_S = 2.0


class Span:
    """A span, or nothing where nobody records; a context manager that is the parent of whatever begins inside."""

    def __init__(self, recording: Recording | None = None, context: TraceContext | None = None) -> None:
        self._recording = recording
        self.context = context if recording is None else recording.context
        self._failed = False
        self._before: Token[Span] | None = None

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        if self._recording is not None:
            self._recording.set(attributes)

    def fail(self, reason: str) -> None:
        """Say that it failed, and the reason's code."""
        self._failed = True
        if self._recording is not None:
            self._recording.fail(reason)

    def end(self, end_ns: int | None = None) -> None:
        """End it, now or at a time in nanoseconds since 1970."""
        if self._recording is not None:
            self._recording.end(end_ns)

    def __enter__(self) -> Self:
        self._before = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._before is not None, "it has been entered"
        _current.reset(self._before)
        # Whoever knew more has said it.
        if error is not None and not self._failed:
            self.fail(reason_of(error))
        self.end()


class _Nothing(Span):
    """No span: what is around it stays what it is. Enters and leaves without a cost worth naming."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


_NOTHING = _Nothing()
_current: ContextVar[Span] = ContextVar("span", default=_NOTHING)
_backend: Backend | None = None


def configure(service: str, settings: TelemetrySettings, *, everywhere: bool = False) -> None:
    """Send this process's spans where the settings say, under the name of a service.

    `everywhere`: what else in this process uses OpenTelemetry, such as the client, sends its spans there too.
    """
    if settings.traces is None:
        return
    try:
        from services.telemetry.provider import Provider
    except ImportError as error:
        logger.warning("SPARRING_TRACES is set, but nothing is traced: install sparring[tracing] (%s)", error)
        return
    try:
        use(Provider(service, settings, everywhere=everywhere))
    except OSError as error:
        logger.warning("SPARRING_TRACES is set, but nothing is traced: %s", error)


def use(backend: Backend | None) -> None:
    """Record spans with this; with nothing for None."""
    global _backend  # noqa: PLW0603 - a process has one place for its spans, as it has one for its logs
    _backend = backend


def enabled() -> bool:
    """Tell whether spans are recorded."""
    return _backend is not None


def span(
    name: str,
    attributes: Attributes | None = None,
    *,
    parent: TraceContext | None = None,
    begins: bool = False,
    kind: Kind = "internal",
    span_id: str | None = None,
    link: TraceContext | None = None,
    start_ns: int | None = None,
) -> Span:
    """Begin a span below `parent`, or below the one under way. Without either it begins a trace if it `begins` one.

    `span_id` chooses its id, `link` names another span that it has to do with, `start_ns` is nanoseconds since 1970.
    """
    if _backend is None:
        return _NOTHING
    above = _current.get().context if parent is None else parent
    if above is None and not begins:
        return _NOTHING
    given: Attributes = {} if attributes is None else attributes
    return Span(_backend.start(name, given, parent=above, kind=kind, span_id=span_id, link=link, start_ns=start_ns))


def within(context: TraceContext | None) -> Span:
    """Return a span of somebody else, to be entered: what begins inside is below it, whether it is recorded or not."""
    return _NOTHING if context is None else Span(context=context)


def annotate(attributes: Attributes) -> None:
    """Add attributes to the span under way, if there is one."""
    _current.get().set(attributes)


def here() -> TraceContext | None:
    """Return the place in a trace that is under way; None outside of any."""
    return _current.get().context


def carried() -> str:
    """Return it as a job carries it; "" outside of any."""
    context = here()
    return "" if context is None else context.text


def reason_of(error: BaseException) -> str:
    """Return the code of what went wrong; messages may hold what no span should."""
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, str) and reason else type(error).__name__


def flush_soon() -> None:
    """Have what has ended delivered; returns at once, whether the collector can be reached or not."""
    if _backend is not None:
        _backend.flush_soon()


def close(timeout_s: float = CLOSING_S) -> None:
    """Deliver what has ended, for so long at most, and record nothing more."""
    if _backend is not None:
        _backend.close(timeout_s)
    use(None)
