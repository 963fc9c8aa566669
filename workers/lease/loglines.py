"""The lines that a worker logs, parent and child, in our form instead of Celery's."""

from __future__ import annotations

import os
from typing import Any

from billiard import current_process
from celery.signals import celeryd_after_setup, celeryd_init, setup_logging

from services.settings import WorkerSettings
from services.telemetry import logs
from services.telemetry.settings import TelemetrySettings


def take_over() -> None:
    """Have Celery leave its logs to us, in this process and in the children that it spawns.

    For machines, its banner goes too, and so does a line that a child writes before it has been told how to log. What
    Celery prints when it is told to stop, and our own warnings of a start that failed, stay as they are.
    """
    setup_logging.connect(_set_up)
    celeryd_init.connect(_leave_the_banner_out)
    celeryd_after_setup.connect(_silence_the_birth)


def _set_up(loglevel: int, **_: object) -> None:
    process = "worker-parent" if current_process().name == "MainProcess" else "worker"
    logs.configure(TelemetrySettings.from_env().log_format, process, level=loglevel)
    logs.describe(lane=WorkerSettings.from_env().lane)


def _leave_the_banner_out(instance: Any, **_: object) -> None:
    instance.quiet = instance.quiet or _for_machines()


def _silence_the_birth(**_: object) -> None:
    if _for_machines():
        # Celery puts its level and form here for billiard, which logs one line in a child before anything of ours runs.
        os.environ["_MP_FORK_LOGLEVEL_"] = ""


def _for_machines() -> bool:
    return TelemetrySettings.from_env().log_format == "json"
