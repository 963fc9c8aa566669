"""The command's own part of a trace: its client records its calls where SPARRING_TRACES says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def recorded() -> Iterator[None]:
    """Record what happens inside, if it is asked for; click.UsageError for a destination that is none."""
    if not os.environ.get("SPARRING_TRACES", "").strip():
        yield
        return
    # Imported here, so that `--help` is instant.
    from services.environment import SettingsError
    from services.telemetry import tracing
    from services.telemetry.settings import TelemetrySettings

    try:
        settings = TelemetrySettings.from_env()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    tracing.configure("sparring", settings, everywhere=True)
    try:
        yield
    finally:
        tracing.close()
