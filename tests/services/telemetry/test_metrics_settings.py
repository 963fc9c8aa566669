"""Where a process answers /metrics is said by one variable, and no socket of a file system is taken for an address."""

import socket
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from services.environment import SettingsError
from services.settings import GatewaySettings, WorkerSettings
from services.telemetry.metrics_serving import MetricsServer


@pytest.mark.parametrize("kind", [GatewaySettings, WorkerSettings])
def test_nothing_listens_unless_it_is_asked_to(kind):
    assert kind.from_env({}).metrics_listen is None
    assert kind.from_env({"SPARRING_METRICS_LISTEN": "0.0.0.0:9464"}).metrics_listen == "0.0.0.0:9464"
    with pytest.raises(SettingsError, match="SPARRING_METRICS_LISTEN"):
        kind.from_env({"SPARRING_METRICS_LISTEN": "unix:/run/metrics"})


def test_a_caller_that_says_nothing_or_goes_away_keeps_nobody_else_from_the_numbers():

    server = MetricsServer("127.0.0.1:0", CollectorRegistry())
    host, port = server.address.split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(5)]
    with socket.create_connection((host, int(port))) as leaving:
        leaving.send(b"GET /metrics HTTP/1.1\r\n\r\n")
    with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=30) as answer:
        assert answer.status == 200
    for one in silent:
        one.close()
    server.close()
