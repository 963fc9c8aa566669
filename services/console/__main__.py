"""`python -m services.console`: serve until SIGTERM. Prints `listening on http://HOST:PORT` once pages can be had."""

from __future__ import annotations

import signal
import socket
import sys
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from services.console.app import create_app
from services.console.settings import ConsoleSettings
from services.environment import SettingsError
from services.telemetry import logs
from services.telemetry.settings import TelemetrySettings

# Downloads that are under way at SIGTERM may go on for so long; streams of events end at once.
DRAIN_S = 20


class Server(uvicorn.Server):
    """A server that tells its streams of events to end before it waits for what else is under way."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT."""
        app = self.config.app
        assert isinstance(app, Starlette)
        app.state.leave()
        super().handle_exit(sig, frame)


def serve(settings: ConsoleSettings) -> None:
    """Serve until told to end. OSError: the address can't be had."""
    family = socket.AF_INET6 if settings.host.startswith("[") else socket.AF_INET
    # Bound here, so that the port is known, also where 0 was asked for, before it is told.
    with socket.create_server((settings.host.strip("[]"), settings.port), family=family, backlog=512) as listener:
        config = uvicorn.Config(
            create_app(settings),
            log_config=None,
            # Addresses of pages are nobody's business; what fails is logged by whoever fails.
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            ssl_certfile=settings.cert_file,
            ssl_keyfile=settings.key_file,
            timeout_graceful_shutdown=DRAIN_S,
            h11_max_incomplete_event_size=64 << 10,
        )
        server = Server(config)
        scheme = "https" if settings.tls else "http"
        print(f"listening on {scheme}://{settings.host}:{listener.getsockname()[1]}", flush=True)
        # uvicorn raises the signal that ended it once more, after its drain, for whoever had a handler before it.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        server.run(sockets=[listener])


def main() -> int:
    """Return the exit status: 0 after a drain, 2 for wrong settings or an address that is taken."""
    try:
        settings, telemetry = ConsoleSettings.from_env(), TelemetrySettings.from_env()
        logs.configure(telemetry.log_format, "console")
        serve(settings)
    except (SettingsError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
