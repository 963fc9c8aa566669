"""Certificates of one's own: what they are for, how long they hold, and who can read their keys."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.cli.app import run


def load(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def purposes(certificate):
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "new" / "credentials"


def test_an_authority_and_a_server_s_certificate_are_made(folder, capsys):
    assert run(["credentials", str(folder), "--host", "gateway.example.org", "--host", "10.0.0.7", "--days", "30"]) == 0
    ca, server = load(folder / "ca.pem"), load(folder / "server.pem")
    server.verify_directly_issued_by(ca)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["gateway.example.org"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]
    assert purposes(server) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert isinstance(server.public_key(), ec.EllipticCurvePublicKey)
    assert timedelta(days=29) < server.not_valid_after_utc - datetime.now(UTC) <= timedelta(days=30)
    shown = capsys.readouterr().out
    assert f"SPARRING_TLS_CERT_FILE={folder / 'server.pem'}" in shown
    assert f"SPARRING_CA_FILE={folder / 'ca.pem'}" in shown


def test_private_keys_are_their_owner_s_alone(folder):
    assert run(["credentials", str(folder), "--host", "localhost", "--client", "ci"]) == 0
    keys = sorted(folder.glob("*-key.pem"))
    assert [path.name for path in keys] == ["ca-key.pem", "client-ci-key.pem", "server-key.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_client_is_added_by_the_same_authority(folder, capsys):
    assert run(["credentials", str(folder), "--host", "localhost"]) == 0
    before = (folder / "ca.pem").read_bytes(), (folder / "server.pem").read_bytes()
    capsys.readouterr()
    assert run(["credentials", str(folder), "--client", "ci"]) == 0
    assert ((folder / "ca.pem").read_bytes(), (folder / "server.pem").read_bytes()) == before
    own = load(folder / "client-ci.pem")
    own.verify_directly_issued_by(load(folder / "ca.pem"))
    assert purposes(own) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert [name.value for name in own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["ci"]
    assert 'certificate = "ci"' in capsys.readouterr().out


def test_a_certificate_does_not_outlive_its_authority(folder):
    assert run(["credentials", str(folder), "--host", "localhost", "--days", "900", "--ca-days", "2"]) == 0
    assert load(folder / "server.pem").not_valid_after_utc == load(folder / "ca.pem").not_valid_after_utc


def test_half_an_authority_and_one_with_another_key_are_refused(folder, capsys):
    assert run(["credentials", str(folder), "--host", "localhost"]) == 0
    (folder / "ca-key.pem").write_bytes((folder / "server-key.pem").read_bytes())
    assert run(["credentials", str(folder), "--client", "ci"]) == 1
    assert "is not the key of" in capsys.readouterr().err
    (folder / "ca-key.pem").unlink()
    assert run(["credentials", str(folder), "--client", "ci"]) == 1
    assert "ca-key.pem is missing" in capsys.readouterr().err
    assert not (folder / "client-ci.pem").exists()


@pytest.mark.parametrize(
    "flags", [[], ["--host", "two words"], ["--client", "../up"], ["--client", "a/b"], ["--host", "a_b"]]
)
def test_bad_names_and_none_at_all_are_refused(folder, flags):
    assert run(["credentials", str(folder), *flags]) == 2
    assert not folder.exists()
