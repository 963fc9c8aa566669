"""A certificate authority of one's own, and certificates of it: ECDSA on P-256, for TLS between Sparring's parts.

ca.pem, ca-key.pem                the authority; whoever has the key can make certificates that are trusted
server.pem, server-key.pem        for the gateway
client-NAME.pem, -key.pem         for a client; NAME is the common name that the file of tenants knows it by
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Clocks differ.
EARLIER = timedelta(minutes=5)
DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """An authority that lives in a folder; made there at the first time, valid for `days`."""

    def __init__(self, folder: Path, *, days: int) -> None:
        """Raises ValueError where the folder holds half an authority, or one that is no longer valid."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self.files = _files(folder, "ca")
        self.is_new = not self.files.certificate.exists() and not self.files.key.exists()
        if self.is_new:
            self._make(days)
        self._certificate, self._key = self._load()

    def server(self, hosts: Sequence[str], *, days: int) -> Issued:
        """Make a certificate for a gateway that is reached under these names and addresses."""
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        return self._issue("server", hosts[0], ExtendedKeyUsageOID.SERVER_AUTH, names, days)

    def client(self, name: str, *, days: int) -> Issued:
        """Make a certificate for a client with this common name."""
        return self._issue(f"client-{name}", name, ExtendedKeyUsageOID.CLIENT_AUTH, None, days)

    def _make(self, days: int) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"Sparring {secrets.token_hex(4)}")
        certificate = (
            _builder(name, name, key.public_key(), _now() + days * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        _write(self.files, certificate, key)

    def _load(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        for path in (self.files.certificate, self.files.key):
            if not path.exists():
                raise ValueError(f"{path} is missing, but the other half of the authority is there; restore it")
        certificate = x509.load_pem_x509_certificate(self.files.certificate.read_bytes())
        key = serialization.load_pem_private_key(self.files.key.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError(f"{self.files.key} is not the key of {self.files.certificate}")
        if certificate.not_valid_after_utc <= _now():
            raise ValueError(f"{self.files.certificate} is no longer valid; choose another folder for a new authority")
        return certificate, key

    def _issue(
        self,
        stem: str,
        common_name: str,
        purpose: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None,
        days: int,
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        until = min(_now() + days * DAY, self._certificate.not_valid_after_utc)
        issuer = self._key.public_key()
        builder = (
            _builder(_name(common_name), self._certificate.subject, key.public_key(), until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        files = _files(self._folder, stem)
        _write(files, builder.sign(self._key, hashes.SHA256()), key)
        return files


def _files(folder: Path, stem: str) -> Issued:
    return Issued(certificate=folder / f"{stem}.pem", key=folder / f"{stem}-key.pem")


def _now() -> datetime:
    return datetime.now(UTC)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - EARLIER)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(files: Issued, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """Key first: a reader that sees the new certificate finds the key that fits it."""
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _replace(files.key, private, 0o600)
    _replace(files.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole, with its mode from the first byte on."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    fresh.replace(path)
