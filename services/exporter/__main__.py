"""`python -m services.exporter`: answer GET /metrics with the store's numbers until SIGTERM.

Prints `listening on HOST:PORT` once it answers.
"""

from __future__ import annotations

import signal
import sys
from threading import Event

from services.connection import connect
from services.environment import SettingsError
from services.exporter.collector import StoreCollector
from services.exporter.settings import ExporterSettings
from services.telemetry import logs
from services.telemetry.metrics_instruments import new_registry
from services.telemetry.metrics_serving import MetricsServer
from services.telemetry.settings import TelemetrySettings

# Prometheus waits for ten seconds, and is to learn that the store does not answer, not that the exporter does not.
PATIENCE_S = 2.0


def main() -> int:
    """Return the exit status: 0 after SIGTERM, 2 for wrong settings."""
    asked = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    try:
        settings = ExporterSettings.from_env()
        logs.configure(TelemetrySettings.from_env().log_format, "exporter")
        registry = new_registry()
        with connect(settings.store, patience_s=PATIENCE_S) as redis:
            registry.register(StoreCollector(redis, settings.store, settings.tenants))
            server = MetricsServer(settings.listen, registry)
            print(f"listening on {server.address}", flush=True)
            asked.wait()
            server.close()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
