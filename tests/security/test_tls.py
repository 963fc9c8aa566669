"""TLS, certificates of clients, and the renewal of both while the gateway runs."""

import asyncio
import datetime as dt
import shutil
import socket
import ssl
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sparring.v1 import tenants_pb2, tenants_pb2_grpc

from services.environment import SettingsError
from services.settings import TlsFiles

PEM, NO_PASSWORD = serialization.Encoding.PEM, serialization.NoEncryption()


class Authority:
    """A certificate authority of this test."""

    def __init__(self, folder: Path, name="test authority"):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.name, self.key.public_key(), None, authority=True)
        self.path = folder / f"{name.replace(' ', '-')}.pem"
        self.path.write_bytes(self.certificate.public_bytes(PEM))

    def _sign(self, subject, public, names, *, authority=False):
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder(self.name, subject, public, x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, stem, name):
        """Write a certificate and its key; return their paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key.public_key(), [x509.DNSName("localhost")])
        paths = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        paths[0].write_bytes(certificate.public_bytes(PEM))
        paths[1].write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, NO_PASSWORD))
        return paths

    def served(self, address):
        """The serial number of the certificate that a server shows."""
        context = ssl.create_default_context(cafile=str(self.path))
        context.set_alpn_protocols(["h2"])
        host, _, port = address.rpartition(":")
        with (
            socket.create_connection((host, int(port)), 5) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as wrapped,
        ):
            return x509.load_der_x509_certificate(wrapped.getpeercert(binary_form=True)).serial_number


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def files(authority):
    cert, key = authority.issue("server", "gateway")
    return TlsFiles(cert=str(cert), key=str(key))


async def whoami(address, ca=None, cert=None, key=None, bearer=""):
    """Ask a gateway who one is; a code's name where it does not say."""
    if ca is None:
        channel = grpc.aio.insecure_channel(address)
    else:
        pair = (None, None) if cert is None else (key.read_bytes(), cert.read_bytes())
        credentials = grpc.ssl_channel_credentials(ca.read_bytes(), *pair)
        channel = grpc.aio.secure_channel(address.replace("127.0.0.1", "localhost"), credentials)
    metadata = (("authorization", f"Bearer {bearer}"),) if bearer else ()
    async with channel:
        stub = tenants_pb2_grpc.TenantServiceStub(channel)
        try:
            tenant = await stub.GetTenant(tenants_pb2.GetTenantRequest(), metadata=metadata, timeout=10)
        except grpc.aio.AioRpcError as error:
            return error.code().name
    return tenant.name, tenant.key, tenants_pb2.Role.Name(tenant.role)


async def test_a_tls_port_speaks_tls_alone(start, files, authority, tenants_file, tmp_path):
    address = await start(tls=files, tenants_file=str(tenants_file.path))
    key = tenants_file.texts["alpha", "read"]
    assert await whoami(address, authority.path, bearer=key) == ("tenants/alpha", "read", "ROLE_READ")
    assert await whoami(address, authority.path) == "UNAUTHENTICATED"
    assert await whoami(address, bearer=key) == "UNAVAILABLE", "plaintext"
    stranger = Authority(tmp_path, "another authority")
    assert await whoami(address, stranger.path, bearer=key) == "UNAVAILABLE", "a client that trusts somebody else"


async def test_mutual_tls_asks_for_a_certificate_and_takes_it_for_a_key(
    start, files, authority, tenants_file, tmp_path
):
    tenants_file.tables["beta"]["keys"].append({"id": "robot", "certificate": '"robot-7"', "role": '"submit"'})
    tenants_file.write()
    mutual = TlsFiles(cert=files.cert, key=files.key, client_ca=str(authority.path))
    address = await start(tls=mutual, tenants_file=str(tenants_file.path))
    known, unknown = authority.issue("robot", "robot-7"), authority.issue("other", "robot-8")
    forged = Authority(tmp_path, "another authority").issue("forged", "robot-7")
    key = tenants_file.texts["alpha", "admin"]
    assert await whoami(address, authority.path, bearer=key) == "UNAVAILABLE", "no certificate"
    assert await whoami(address, authority.path, *forged, bearer=key) == "UNAVAILABLE", "of somebody else"
    assert await whoami(address, authority.path, *known) == ("tenants/beta", "robot", "ROLE_SUBMIT")
    assert await whoami(address, authority.path, *known, bearer=key) == ("tenants/alpha", "admin", "ROLE_ADMIN")
    assert await whoami(address, authority.path, *known, bearer=key + "x") == "UNAUTHENTICATED", "a key goes first"
    assert await whoami(address, authority.path, *unknown) == "UNAUTHENTICATED"
    assert await whoami(address, authority.path, *unknown, bearer=key) == ("tenants/alpha", "admin", "ROLE_ADMIN")


async def test_a_renewed_certificate_is_used_without_a_restart(start, files, authority, until, caplog):
    address = await start(tls=files)
    first = await asyncio.to_thread(authority.served, address)
    shutil.copy(authority.issue("renewed", "gateway")[0], files.cert)

    async def refused():
        return "can't be used" in caplog.text

    await until(refused)
    assert await asyncio.to_thread(authority.served, address) == first, "half of a renewal changes nothing"
    shutil.copy(authority.folder / "renewed.key", files.key)

    async def renewed():
        return await asyncio.to_thread(authority.served, address) != first

    await until(renewed)
    assert await whoami(address, authority.path) == ("tenants/default", "", "ROLE_ADMIN")


async def test_files_that_do_not_fit_each_other_are_refused_at_the_start(start, files, authority, tmp_path):
    other, _ = authority.issue("other", "gateway")
    for wrong in (
        TlsFiles(cert=str(other), key=files.key),
        TlsFiles(cert=files.key, key=files.key),
        TlsFiles(cert=files.cert, key=files.key, client_ca=files.key),
        TlsFiles(cert=files.cert, key=str(tmp_path / "nowhere")),
    ):
        with pytest.raises(SettingsError, match="the TLS files"):
            await start(tls=wrong)


@pytest.fixture
def locked(files, tmp_path):
    """The server's key behind a password."""
    key = serialization.load_pem_private_key(Path(files.key).read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"hunter2")
    path = tmp_path / "locked.key"
    path.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, secret))
    return path


async def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(start, files, locked):
    with pytest.raises(SettingsError, match=r"locked\.key"):
        await start(tls=TlsFiles(cert=files.cert, key=str(locked)))
