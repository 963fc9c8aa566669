"""Logs to stderr, one line each: plain for people, JSON for machines (SPARRING_LOG_FORMAT=plain|json).

    time, level, logger, message      always; time in UTC
    process                           gateway, worker, worker-parent, ...
    job, unit, tenant, attempt, token, worker, lane, trace    where the line is about one
    traceback                         where there is one

What a line is about is kept in a context variable: a call of the gateway and a unit of a worker set it once, and
every line that they cause carries it. Keys, passwords and the contents of tensors are taken out of every line.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from services.telemetry.redaction import beginning, described, end, redacted

PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"

Fields = Mapping[str, str | int]

# What holds for the whole process, and what holds for the call or the unit that runs.
_own: dict[str, str | int] = {}
_bound: ContextVar[Fields] = ContextVar("log_fields", default=MappingProxyType({}))


def describe(**fields: str | int) -> None:
    """Add fields to every line that this process writes from now on."""
    _own.update(fields)


def bind(**fields: str | int) -> None:
    """Add fields to every line of the rest of this call, which has a context of its own."""
    _bound.set({**_bound.get(), **fields})


@contextmanager
def bound(**fields: str | int) -> Iterator[None]:
    """Add fields to every line that is written inside."""
    before = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(before)


def fields() -> dict[str, str | int]:
    """Return what a line that is written now is about."""
    return {**_own, **_bound.get()}


class SafeFormatter(logging.Formatter):
    """Formats for people, without what must not be in a log."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Write a traceback."""
        return end(redacted(super().formatException(ei)))

    def format(self, record: logging.LogRecord) -> str:
        """Write one record; a copy of it, as other handlers share the record and the text of its error."""
        safe = {"msg": _message(record), "args": None, "exc_text": None}
        return super().format(logging.makeLogRecord({**vars(record), **safe}))


class JsonFormatter(SafeFormatter):
    """One object per line; see the head of this file."""

    def __init__(self, process: str = "") -> None:
        super().__init__()
        self._process = {"process": process} if process else {}

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        line: dict[str, str | int] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **self._process,
            **{name: redacted(value) if isinstance(value, str) else value for name, value in fields().items()},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(form: str, process: str = "", *, level: int = logging.INFO) -> None:
    """Send every log of this process to stderr, as "plain" or "json"; `process` is what kind of process it is."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process) if form == "json" else SafeFormatter(PLAIN))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _message(record: logging.LogRecord) -> str:
    """Return the message with its arguments, as far as it may be seen."""
    arguments = record.args
    if isinstance(arguments, Mapping):
        shown: Any = {name: described(value) for name, value in arguments.items()}
    else:
        shown = () if arguments is None else tuple(map(described, arguments))
    text = str(described(record.msg))
    try:
        text = text % shown if shown else text
    except (TypeError, ValueError, KeyError):
        # logging itself would write the arguments to stderr, as they are.
        text = f"{text} (its arguments do not fit)"
    return beginning(redacted(text))
