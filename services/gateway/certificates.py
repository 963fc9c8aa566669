"""The gateway's certificate, used anew for each connection, so that a renewed one needs no restart.

A pair of files is taken only if the key belongs to the certificate; half of a renewal leaves the earlier pair in force.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from services.environment import SettingsError
from services.settings import TlsFiles
from services.tenants.watch import Watched


@dataclass(frozen=True, kw_only=True)
class Material:
    """The content of the files, PEM."""

    cert: bytes
    key: bytes
    client_ca: bytes | None


class Certificates:
    """What the gateway shows, and what it wants to see of clients."""

    def __init__(self, files: TlsFiles) -> None:
        """Read the files. SettingsError: they can't be read, or do not fit each other."""
        paths = [Path(path) for path in (files.cert, files.key, files.client_ca) if path is not None]
        try:
            self._watched = Watched(paths, lambda: read(files))
        except (OSError, ValueError) as error:
            raise SettingsError(f"the TLS files {', '.join(map(str, paths))}: {error}") from error
        self._given = self._watched.value

    def refresh(self) -> None:
        """Read the files again if they changed."""
        self._watched.refresh()

    def credentials(self) -> grpc.ServerCredentials:
        """Return what the server listens with."""
        wanted = self._given.client_ca is not None
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._given),
            self._changed,  # type: ignore[arg-type]  # the stubs do not know that None means unchanged
            require_client_authentication=wanted,
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return new material, or None for what was given before; asked on a thread of the library per connection."""
        material = self._watched.value
        if material is self._given:
            return None
        self._given = material
        return _configuration(material)


def read(files: TlsFiles) -> Material:
    """Read the files and see that they fit each other. OSError, ValueError."""
    material = _content(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Without a password at hand, OpenSSL would ask for one at the terminal.
    context.load_cert_chain(files.cert, files.key, password=lambda: b"")
    if files.client_ca is not None:
        context.load_verify_locations(files.client_ca)
    if _content(files) != material:
        raise ValueError("the files changed while they were read")
    return material


def _content(files: TlsFiles) -> Material:
    return Material(
        cert=Path(files.cert).read_bytes(),
        key=Path(files.key).read_bytes(),
        client_ca=None if files.client_ca is None else Path(files.client_ca).read_bytes(),
    )


def _configuration(material: Material) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(material.key, material.cert)], material.client_ca)
