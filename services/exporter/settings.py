"""What the exporter is told by its environment, beside where the store is (`services.settings`).

    SPARRING_METRICS_LISTEN    HOST:PORT where GET /metrics is answered                127.0.0.1:9464
    SPARRING_METRICS_TENANTS   tenants with series of their own, at most 50, with commas between them    none

An empty variable counts as unset. Whatever is wrong is named in one `SettingsError`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from services.environment import Environment, host_port
from services.settings import StoreSettings

LISTEN = "127.0.0.1:9464"
MOST_TENANTS = 50


@dataclass(frozen=True)
class ExporterSettings:
    """What the exporter is told."""

    store: StoreSettings
    _: KW_ONLY
    listen: str = LISTEN
    tenants: tuple[str, ...] = ()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> ExporterSettings:
        """Read the variables."""
        store = StoreSettings.from_env(environ)
        with Environment(environ) as env:
            return cls(
                store,
                listen=env.read("SPARRING_METRICS_LISTEN", LISTEN, host_port),
                tenants=env.read("SPARRING_METRICS_TENANTS", (), _tenants),
            )


def _tenants(text: str) -> tuple[str, ...]:
    """Parse names of tenants with commas between them."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if len(names) > MOST_TENANTS:
        raise ValueError(f"names {len(names)} tenants, and {MOST_TENANTS} may have series of their own")
    return names
