"""deploy/cluster_secrets.py: secrets are made once, whatever happens afterwards, and the API is called as it wants."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import ClassVar

import pytest
from cryptography import x509

from .secrets_made import FakeCluster, keep, script

NAMES = {"redis": "r", "init": "i", "gateway": "g", "worker": "w", "console": "c"}


@pytest.fixture(scope="module")
def made():
    cluster = FakeCluster()
    keep(cluster, NAMES, "gateway.example.org")
    return cluster


@pytest.fixture
def cluster(made):
    return FakeCluster({name: dict(data) for name, data in made.secrets.items()})


def names_of(certificate):
    loaded = x509.load_pem_x509_certificate(certificate)
    return loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    )


def test_every_part_gets_its_own_and_nobody_the_authority_but_init(made):
    keys = {name: set(data) for name, data in made.secrets.items()}
    assert keys["r"] == {"admin-password", "probe-password"}
    assert keys["w"] == {"redis-password"}
    assert keys["c"] == {"cookie-secret", "ca.pem", "server.pem", "server-key.pem"}
    assert keys["g"] == {
        "redis-password", "page-token-key", "tenants.toml", "first-key", "server.pem", "server-key.pem", "ca.pem",
        "hosts",
    }  # fmt: skip
    assert keys["i"] >= {"redis-password", "authority__ca.pem", "authority__ca-key.pem"}
    assert "gateway.example.org" in names_of(made.secrets["g"]["server.pem"])


def test_a_second_run_changes_nothing(cluster, made):
    keep(cluster, NAMES, "gateway.example.org")
    assert cluster.done == []
    assert cluster.secrets == made.secrets


def test_new_names_change_the_certificate_and_nothing_else(cluster, made):
    keep(cluster, NAMES, "gateway.example.org other.example.org")
    gateway, before = cluster.secrets["g"], made.secrets["g"]
    assert "other.example.org" in names_of(gateway["server.pem"])
    assert {key for key in gateway if gateway[key] != before[key]} == {"server.pem", "server-key.pem", "hosts"}
    assert {name for name in NAMES.values() if cluster.secrets[name] != made.secrets[name]} == {"g", "i", "c"}
    assert cluster.secrets["c"] == made.secrets["c"] | {
        name: gateway[name] for name in ("server.pem", "server-key.pem")
    }
    assert gateway["ca.pem"] == before["ca.pem"], "clients go on trusting it"


def test_a_certificate_of_ten_months_is_renewed(cluster, monkeypatch, tmp_path):
    # prepare.py looks at the file's age, which is the certificate's own and not that of the copy.
    loaded = x509.load_pem_x509_certificate(cluster.secrets["g"]["server.pem"])
    script.unpack(tmp_path / "g", cluster.secrets["g"])
    age = time.time() - (tmp_path / "g" / "server.pem").stat().st_mtime
    assert age == pytest.approx(time.time() - loaded.not_valid_before_utc.timestamp(), abs=5)
    old = SimpleNamespace(
        load_pem_x509_certificate=lambda _: SimpleNamespace(
            not_valid_before_utc=SimpleNamespace(timestamp=lambda: time.time() - 301 * 86_400)
        )
    )
    monkeypatch.setattr(script, "x509", old)
    keep(cluster, NAMES, "gateway.example.org")
    assert [done for done in cluster.done if done.startswith("change g")] == ["change g: server-key.pem server.pem"]


def test_a_secret_that_was_lost_is_made_again_and_the_others_stay(cluster, made):
    del cluster.secrets["w"]
    keep(cluster, NAMES, "gateway.example.org")
    assert cluster.done == ["create w"]
    assert cluster.secrets["w"] != made.secrets["w"]


class Api(BaseHTTPRequestHandler):
    """As much of the Kubernetes API as is called."""

    secrets: ClassVar[dict] = {}

    def answer(self, code, body):
        raw = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def body(self):
        assert self.headers["Authorization"] == "Bearer secret-token"
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self):
        found = self.secrets.get(self.path)
        self.answer(404 if found is None else 200, {"reason": "NotFound"} if found is None else found)

    def do_POST(self):
        body = self.body()
        path = f"{self.path}/{body['metadata']['name']}"
        if path in self.secrets:
            self.answer(409, {"reason": "AlreadyExists"})
        else:
            self.secrets[path] = body
            self.answer(201, body)

    def do_PATCH(self):
        assert self.headers["Content-Type"] == "application/merge-patch+json"
        self.secrets[self.path]["data"].update(self.body()["data"])
        self.answer(200, self.secrets[self.path])

    def log_message(self, *_):
        """Nothing is printed."""


@pytest.fixture
def api():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    Api.secrets = {}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield script.Cluster(f"http://127.0.0.1:{server.server_address[1]}", "robustness", "secret-token", None)
    server.shutdown()
    thread.join()
    server.server_close()


def test_secrets_are_read_made_and_changed_by_the_api(api):
    assert api.read("x") is None
    api.create("x", {"a": b"\x00one", "b": b"two"})
    stored = Api.secrets["/api/v1/namespaces/robustness/secrets/x"]
    assert (stored["kind"], stored["apiVersion"], stored["type"]) == ("Secret", "v1", "Opaque")
    assert stored["data"]["a"] == base64.b64encode(b"\x00one").decode()
    api.change("x", {"b": b"three"})
    assert api.read("x") == {"a": b"\x00one", "b": b"three"}
    with pytest.raises(OSError, match="409"):
        api.create("x", {})


def test_a_pod_finds_its_cluster_by_its_account(tmp_path, monkeypatch):
    for name in ("namespace", "token"):
        (tmp_path / name).write_text(f"{name}-here\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    cluster = script.Cluster.from_inside(tmp_path)
    assert (cluster.address, cluster.namespace, cluster.token) == (
        "https://[fd00::1]:443",
        "namespace-here",
        "token-here",
    )
    assert cluster.authority == tmp_path / "ca.crt"
