"""Settings: read from the environment, and every bad value named at once."""

import pytest

from services.environment import SettingsError
from services.settings import GatewaySettings, StoreSettings, TlsFiles, WorkerSettings


def test_without_variables_the_defaults_hold():
    assert StoreSettings.from_env({}) == StoreSettings()
    gateway = GatewaySettings.from_env({})
    assert (gateway.store, gateway.listen, gateway.max_samples) == (StoreSettings(), "127.0.0.1:50051", 100_000)
    assert WorkerSettings.from_env({}) == WorkerSettings(StoreSettings())


def test_an_empty_variable_counts_as_unset():
    assert WorkerSettings.from_env({"SPARRING_LANE": "", "SPARRING_THREADS": "  "}) == WorkerSettings(StoreSettings())


def test_every_variable_is_read(tmp_path):
    password, key = tmp_path / "password", tmp_path / "key"
    password.write_text("secret\n")
    key.write_text("signing key\n")
    for name in ("tenants", "cert", "tls-key", "ca"):
        (tmp_path / name).write_text("x")
    environ = {
        "SPARRING_REDIS_URL": "redis://store:7000/2",
        "SPARRING_REDIS_PASSWORD_FILE": str(password),
        "SPARRING_REDIS_MEMORY_BYTES": "1000",
        "SPARRING_MAX_ARTIFACT_BYTES": "2000",
        "SPARRING_ARTIFACT_TTL_S": "60.5",
        "SPARRING_EVENT_TTL_S": "3600",
        "SPARRING_LISTEN": "0.0.0.0:1",
        "SPARRING_MAX_SAMPLES": "5",
        "SPARRING_PAGE_TOKEN_KEY_FILE": str(key),
        "SPARRING_INSECURE": "1",
        "SPARRING_TENANTS_FILE": str(tmp_path / "tenants"),
        "SPARRING_TLS_CERT_FILE": str(tmp_path / "cert"),
        "SPARRING_TLS_KEY_FILE": str(tmp_path / "tls-key"),
        "SPARRING_TLS_CLIENT_CA_FILE": str(tmp_path / "ca"),
        "SPARRING_MAX_STREAMS": "7",
        "SPARRING_LANE": "gpu",
        "SPARRING_THREADS": "2",
        "SPARRING_PROCESSES": "3",
        "SPARRING_DEVICE_CLASS": "h100",
        "SPARRING_LEASE_S": "7",
        "SPARRING_STALL_S": "8",
        "SPARRING_DATA_ROOT": str(tmp_path),
        "SPARRING_DRAIN_FILE": "/run/drain",
        "SPARRING_HEARTBEAT_FILE": "/run/heartbeat",
    }
    store = StoreSettings(
        "redis://store:7000/2",
        redis_password="secret",
        redis_memory_bytes=1000,
        max_artifact_bytes=2000,
        artifact_ttl_s=60.5,
        event_ttl_s=3600.0,
    )
    assert StoreSettings.from_env(environ) == store
    assert GatewaySettings.from_env(environ) == GatewaySettings(
        store,
        listen="0.0.0.0:1",
        max_samples=5,
        page_token_key=b"signing key",
        insecure=True,
        tenants_file=str(tmp_path / "tenants"),
        tls=TlsFiles(cert=str(tmp_path / "cert"), key=str(tmp_path / "tls-key"), client_ca=str(tmp_path / "ca")),
        max_streams=7,
    )
    assert WorkerSettings.from_env(environ) == WorkerSettings(
        store,
        lane="gpu",
        threads=2,
        processes=3,
        device_class="h100",
        lease_s=7.0,
        stall_s=8.0,
        data_root=str(tmp_path),
        drain_file="/run/drain",
        heartbeat_file="/run/heartbeat",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPARRING_REDIS_URL", "http://store"),
        ("SPARRING_REDIS_URL", "redis://"),
        ("SPARRING_REDIS_PASSWORD_FILE", "/nowhere/at/all"),
        ("SPARRING_REDIS_MEMORY_BYTES", "-1"),
        ("SPARRING_MAX_ARTIFACT_BYTES", "0"),
        ("SPARRING_MAX_ARTIFACT_BYTES", "2GiB"),
        ("SPARRING_ARTIFACT_TTL_S", "0"),
        ("SPARRING_EVENT_TTL_S", "inf"),
        ("SPARRING_LEASE_S", "nan"),
        ("SPARRING_LEASE_S", "soon"),
        ("SPARRING_THREADS", "1.5"),
        ("SPARRING_LANE", "tpu"),
        ("SPARRING_DEVICE_CLASS", "h100/80"),
        ("SPARRING_DATA_ROOT", "/nowhere/at/all"),
    ],
)
def test_a_bad_value_is_named_with_its_variable(name, value):
    with pytest.raises(SettingsError, match=name):
        WorkerSettings.from_env({name: value})


@pytest.mark.parametrize("value", ["50051", "host:", "host:port", "host:65536", ":1"])
def test_an_address_has_a_host_and_a_port(value):
    with pytest.raises(SettingsError, match="HOST:PORT"):
        GatewaySettings.from_env({"SPARRING_LISTEN": value})


def test_all_bad_values_are_named_at_once():
    with pytest.raises(SettingsError) as refused:
        WorkerSettings.from_env({"SPARRING_LANE": "tpu", "SPARRING_THREADS": "0", "SPARRING_REDIS_URL": "x"})
    assert all(name in str(refused.value) for name in ("SPARRING_LANE", "SPARRING_THREADS", "SPARRING_REDIS_URL"))


def test_an_empty_secret_is_refused(tmp_path):
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(SettingsError, match="empty file"):
        StoreSettings.from_env({"SPARRING_REDIS_PASSWORD_FILE": str(tmp_path / "empty")})


def test_secrets_are_not_shown():
    shown = repr(GatewaySettings(StoreSettings(redis_password="hunter2"), page_token_key=b"hunter2"))
    assert "hunter2" not in shown


def test_a_certificate_and_its_key_come_together(tmp_path):
    (tmp_path / "f").write_text("x")
    there = str(tmp_path / "f")
    for environ in (
        {"SPARRING_TLS_CERT_FILE": there},
        {"SPARRING_TLS_KEY_FILE": there},
        {"SPARRING_TLS_CLIENT_CA_FILE": there},
        {"SPARRING_TLS_CERT_FILE": there, "SPARRING_TLS_CLIENT_CA_FILE": there},
    ):
        with pytest.raises(SettingsError, match="SPARRING_TLS_CERT_FILE and SPARRING_TLS_KEY_FILE"):
            GatewaySettings.from_env(environ)
    both = {"SPARRING_TLS_CERT_FILE": there, "SPARRING_TLS_KEY_FILE": there}
    assert GatewaySettings.from_env(both).tls == TlsFiles(cert=there, key=there)


def test_what_is_wrong_with_the_doors_is_named_at_once(tmp_path):
    environ = {
        "SPARRING_LISTEN": "unix:",
        "SPARRING_INSECURE": "yes",
        "SPARRING_TENANTS_FILE": str(tmp_path / "nowhere"),
        "SPARRING_TLS_CERT_FILE": str(tmp_path / "nowhere"),
        "SPARRING_MAX_STREAMS": "0",
    }
    with pytest.raises(SettingsError) as caught:
        GatewaySettings.from_env(environ)
    for name in environ:
        assert f"{name}=" in str(caught.value)


def test_a_socket_is_an_address():
    assert GatewaySettings.from_env({"SPARRING_LISTEN": "unix:/run/s"}).listen == "unix:/run/s"
