"""What the stack's processes are told."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from services.local import StackError
from services.local.launch import Launch, free_ports
from services.settings import StoreSettings


def launch(folder: Path, **options: object) -> Launch:
    return Launch(folder=folder, **options)


def test_the_last_word_is_that_for_the_kind_of_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("A", "B", "C"):
        monkeypatch.setenv(name, "process")
    made = launch(
        tmp_path,
        environment={"B": "all", "C": "all", "SPARRING_LISTEN": "elsewhere"},
        gateway_environment={"C": "gateway", "SPARRING_DRAIN_S": "3"},
        worker_environment={"C": "worker", "SPARRING_REDIS_URL": "redis://proxy:1/0"},
    )
    gateway, worker = made.gateway("gateway", 7, "127.0.0.1:8"), made.worker("worker-1", 7)
    assert [gateway.environment[name] for name in ("A", "B", "C")] == ["process", "all", "gateway"]
    assert [worker.environment[name] for name in ("A", "B", "C")] == ["process", "all", "worker"]
    assert gateway.environment["SPARRING_LISTEN"] == "127.0.0.1:8"
    assert gateway.environment["SPARRING_DRAIN_S"] == "3"
    assert gateway.environment["SPARRING_REDIS_URL"] == "redis://127.0.0.1:7/0"
    assert worker.environment["SPARRING_REDIS_URL"] == "redis://proxy:1/0"


def test_certificates_of_whoever_starts_the_stack_are_not_the_gateway_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARRING_TLS_CERT_FILE", "client.pem")
    monkeypatch.setenv("SPARRING_TLS_KEY_FILE", "client-key.pem")
    assert not [name for name in launch(tmp_path).gateway("gateway", 7, "a:1").environment if "TLS" in name]
    told = launch(tmp_path, gateway_environment={"SPARRING_TLS_CERT_FILE": "server.pem"})
    assert told.gateway("gateway", 7, "a:1").environment["SPARRING_TLS_CERT_FILE"] == "server.pem"


def test_settings_lead_to_the_store(tmp_path: Path) -> None:
    with launch(tmp_path, maxmemory=64 << 20).store(None) as server:
        settings = StoreSettings.from_env(launch(tmp_path).store_environment(server.port))
        assert settings.redis_url.endswith(f":{server.port}/0")
        assert settings.redis_password == (tmp_path / "redis-password").read_text()
        assert "maxmemory 67108864\n" in (tmp_path / "store" / "valkey.conf").read_text()


def test_a_store_that_is_no_program_is_an_error_of_the_stack(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"valkey\.log"):
        launch(tmp_path, store_binary="/bin/false").store(None)


def test_ports_are_free_and_all_different() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = free_ports(0, 5)
        assert len({*ports, taken.getsockname()[1]}) == 6
        with pytest.raises(StackError, match="is taken"):
            free_ports(taken.getsockname()[1], 1)
