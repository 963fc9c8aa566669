"""What any process is told of its logs and traces by its environment.

    SPARRING_LOG_FORMAT      plain or json: one object a line                                          plain
    SPARRING_TRACES          where spans go: http(s)://HOST:PORT of an OpenTelemetry collector (OTLP over gRPC), or
                             file:/PATH, a file that every process adds JSON lines to                  none: no traces
    SPARRING_TRACES_RATIO    of the traces that begin here, the share that is recorded, 0 to 1         1

A trace that a client has begun is recorded if the client says so, whatever the ratio. An empty variable counts as
unset. Whatever is wrong is named in one `SettingsError`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit

from services.environment import Environment, one_of

LogFormat = Literal["plain", "json"]
FILE = "file:"


@dataclass(frozen=True, kw_only=True)
class TelemetrySettings:
    """How a process tells what it does. `traces` is an address or `file:` and an absolute path, None for no traces."""

    log_format: LogFormat = "plain"
    traces: str | None = None
    traces_ratio: float = 1.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> TelemetrySettings:
        """Read the variables."""
        with Environment(environ) as env:
            return cls(
                log_format=cast("LogFormat", env.read("SPARRING_LOG_FORMAT", "plain", one_of("plain", "json"))),
                traces=env.read("SPARRING_TRACES", None, _destination),
                traces_ratio=env.read("SPARRING_TRACES_RATIO", 1.0, _share),
            )


def _destination(text: str) -> str:
    """Parse where spans go."""
    if text.startswith(FILE):
        if not Path(text.removeprefix(FILE)).is_absolute():
            raise ValueError("takes an absolute path, as processes run in folders of their own")
        return text
    parts = urlsplit(text)
    # Reading `port` raises ValueError by itself where it is no number.
    if parts.scheme not in {"http", "https"} or parts.hostname is None or parts.port is None:
        raise ValueError("must be http://HOST:PORT or https://HOST:PORT of a collector, or file:/PATH")
    return text


def _share(text: str) -> float:
    """Parse a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise ValueError("must be a number from 0 to 1")
    return value
