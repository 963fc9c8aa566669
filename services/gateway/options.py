"""What the gateway's process is told beside `services.settings`, by its environment.

    SPARRING_DRAIN_S              seconds between NOT_SERVING and the end on SIGTERM     3
    SPARRING_ALLOW_UNSAFE_REDIS   1: run on a Redis whose settings lose data             0

An empty variable counts as unset.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from services.environment import SettingsError


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the process behaves around what it serves."""

    # Time for load balancers to see NOT_SERVING before connections close.
    drain_s: float = 3.0
    # Time for calls that run to end by themselves.
    grace_s: float = 25.0
    allow_unsafe_redis: bool = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Options:
        """Read the variables; whatever is wrong is named in one SettingsError."""
        drain = environ.get("SPARRING_DRAIN_S", "").strip()
        unsafe = environ.get("SPARRING_ALLOW_UNSAFE_REDIS", "").strip()
        problems = []
        if drain and not drain.replace(".", "", 1).isdecimal():
            problems.append(f"SPARRING_DRAIN_S={drain!r}: must be a number of seconds")
        if unsafe not in ("", "0", "1"):
            problems.append(f"SPARRING_ALLOW_UNSAFE_REDIS={unsafe!r}: must be 0 or 1")
        if problems:
            raise SettingsError("; ".join(problems))
        return cls(
            drain_s=float(drain) if drain else cls.drain_s,
            allow_unsafe_redis=unsafe == "1",
        )
