"""GET /metrics over HTTP, from a thread of the process that is measured; anything else is not found.

The numbers hold no secrets, so there is neither TLS nor a key; who may ask is a matter of the network.
"""

from __future__ import annotations

import logging
import socket
from http.server import ThreadingHTTPServer
from threading import Thread

from prometheus_client import CollectorRegistry, MetricsHandler
from typing_extensions import override

from services.environment import SettingsError

logger = logging.getLogger(__name__)

PATH = "/metrics"
# Who asks and then stands still is let go.
PATIENCE_S = 10.0


class _Handler(MetricsHandler):
    timeout = PATIENCE_S

    @override
    def do_GET(self) -> None:
        if self.path.partition("?")[0] == PATH:
            super().do_GET()
        else:
            self.send_error(404, f"there is {PATH} and nothing else")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        logger.debug("a caller of %s went away: %s", PATH, client_address)


class _Server6(_Server):
    address_family = socket.AF_INET6


class MetricsServer:
    """Answers until it is closed; `address` is HOST:PORT with the port that was taken where 0 was asked for."""

    def __init__(self, listen: str, registry: CollectorRegistry) -> None:
        host, _, port = listen.rpartition(":")
        handler = type("Handler", (_Handler,), {"registry": registry})
        try:
            self._server = (_Server6 if ":" in host else _Server)((host.strip("[]"), int(port)), handler)
        except (OSError, OverflowError) as error:
            raise SettingsError(f"SPARRING_METRICS_LISTEN={listen!r}: can't listen there: {error}") from error
        self.address = f"{host}:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_if_possible(listen: str | None, registry: CollectorRegistry) -> MetricsServer | None:
    """Serve where that is asked for; a port that is taken is no reason for the process not to work."""
    if listen is None:
        return None
    try:
        server = MetricsServer(listen, registry)
    except SettingsError as error:
        logger.warning("no metrics: %s", error)
        return None
    logger.info("metrics on http://%s%s", server.address, PATH)
    return server
