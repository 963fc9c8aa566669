"""The gateway as a process: what it prints, what it never loads, how it ends."""

import json
import os
import signal
import subprocess
import sys

import grpc
import pytest
from sparring.v1 import catalog_pb2, catalog_pb2_grpc

HEAVY = ("torch", "torchvision", "numpy", "workers", "sklearn", "PIL")

# Runs the gateway's own main, and tells at its end what was loaded.
SPY = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), flush=True))
from services.gateway.__main__ import main
sys.exit(main())
"""


def environment(url, **variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPARRING_")}
    return {
        **kept,
        "SPARRING_REDIS_URL": url,
        "SPARRING_LISTEN": "127.0.0.1:0",
        "SPARRING_DRAIN_S": "0",
        **variables,
    }


def run(*arguments, env):
    return subprocess.Popen(
        [sys.executable, *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def started(redis, redis_url):
    """Starts a gateway; kills what is left of it in the end."""
    processes = []

    def start(*arguments, **variables):
        process = run(*arguments, env=environment(redis_url, **variables))
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_it_serves_drains_and_never_loads_torch_or_numpy(started):
    process = started("-c", SPY, SPARRING_LOG_FORMAT="json")
    line = process.stdout.readline()
    assert line.startswith("listening on 127.0.0.1:")
    with grpc.insecure_channel(line.split()[-1]) as channel:
        info = catalog_pb2_grpc.CatalogServiceStub(channel).GetServerInfo(catalog_pb2.GetServerInfoRequest())
        assert info.version
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    loaded = {name.partition(".")[0] for name in json.loads(output)}
    assert "services" in loaded
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)
    assert [json.loads(text)["message"] for text in errors.splitlines()][-1] == "stopped"


def test_it_is_a_module_that_ends_on_ctrl_c(started):
    process = started("-m", "services.gateway")
    assert process.stdout.readline().startswith("listening on ")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_wrong_settings_are_named_all_at_once(started):
    process = started("-m", "services.gateway", SPARRING_LISTEN="nowhere", SPARRING_MAX_SAMPLES="-3")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "SPARRING_LISTEN" in errors
    assert "SPARRING_MAX_SAMPLES" in errors
    assert "Traceback" not in errors


def test_a_store_that_would_lose_data_is_refused_unless_that_is_wanted(started, redis):
    redis.config_set("appendfsync", "everysec")
    try:
        process = started("-m", "services.gateway")
        output, errors = process.communicate(timeout=20)
        assert (process.returncode, output) == (1, "")
        assert "appendfsync is everysec, must be always" in errors
        assert "Traceback" not in errors
        allowed = started("-m", "services.gateway", SPARRING_ALLOW_UNSAFE_REDIS="1")
        assert allowed.stdout.readline().startswith("listening on ")
        allowed.send_signal(signal.SIGTERM)
        assert "may lose data" in allowed.communicate(timeout=20)[1]
    finally:
        redis.config_set("appendfsync", "always")
