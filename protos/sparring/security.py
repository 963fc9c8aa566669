"""Who asks, and over what: the key that a call carries, and the certificates of its connection."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from urllib.parse import unquote

import grpc

from sparring.errors import InvalidArgument, Violation

PathLike = str | os.PathLike[str]

# Words of gRPC and BoringSSL at the end of a failed connection, and what they mean.
_MISMATCHES = {
    "WRONG_VERSION_NUMBER": "it speaks plain text and this client TLS; leave out tls and the certificates",
    "Hostname Verification": "its certificate is not for this name; use one of the names that it was made for",
    "CERTIFICATE_VERIFY_FAILED": (
        "its certificate is not one that this client trusts (another authority, or expired); give the certificate of "
        "its authority as tls_ca"
    ),
    "Failed to create security handshaker": (
        "the certificates can't be used; see that tls_ca, tls_cert and tls_key are PEM files, and that the key is that "
        "of the certificate"
    ),
}
# A server that speaks TLS just hangs up on plain text, and on a client whose certificate it does not trust.
_HUNG_UP = ("Socket closed", "reset by peer", "Broken pipe")


def mismatch(details: str) -> str:
    """What is wrong with the two ends' security, where the words of a failed connection tell; empty otherwise."""
    return next((meaning for sign, meaning in _MISMATCHES.items() if sign in details), "")


def hint(details: str, *, secure: bool) -> str:
    """What may be wrong where the other end just hung up; empty where it did not."""
    if not any(sign in details for sign in _HUNG_UP):
        return ""
    if secure:
        return "; if it asks for client certificates, give tls_cert and tls_key of its authority"
    return "; if it speaks TLS, give the certificate of its authority as tls_ca, or tls=True"


def credentials(
    *, tls: bool, tls_ca: PathLike | None, tls_cert: PathLike | None, tls_key: PathLike | None
) -> grpc.ChannelCredentials | None:
    """TLS with the authority of a file or the system's, and a certificate of one's own; None where none was asked for.

    Raises InvalidArgument for a file that can't be read, and for a certificate without its key.
    """
    if not tls and tls_ca is None and tls_cert is None and tls_key is None:
        return None
    if (tls_cert is None) != (tls_key is None):
        raise InvalidArgument.of([Violation("tls_cert", "a client certificate and its key go together: give both")])
    return grpc.ssl_channel_credentials(
        root_certificates=_content("tls_ca", tls_ca),
        private_key=_content("tls_key", tls_key),
        certificate_chain=_content("tls_cert", tls_cert),
    )


def _content(field: str, path: PathLike | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidArgument.of([Violation(field, f"can't read {path}: {error.strerror}")]) from error


def metadata(key: str | None, target: str, *, secure: bool, allow_plaintext_key: bool) -> tuple[tuple[str, str], ...]:
    """What every call carries so that the service knows who asks.

    A key is a password: over plain text, whoever carries the packets can read and use it. Raises InvalidArgument
    where it would leave this machine like that, and for a key that no header can hold.
    """
    if key is None:
        return ()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        # Never the key itself: messages end in logs.
        raise InvalidArgument.of(
            [Violation("key", "that is no key: keys are letters, digits, '_' and '-', in one line")]
        )
    if not secure and not allow_plaintext_key and not is_loopback(target):
        raise InvalidArgument.of(
            [
                Violation(
                    "key",
                    f"it would travel to {target} in plain text, readable on the way; use TLS (tls_ca or tls=True), or "
                    "say allow_plaintext_key=True where something else encrypts that connection",
                )
            ],
            reason="PLAINTEXT_KEY",
        )
    return (("authorization", f"Bearer {key}"),)


def is_loopback(target: str) -> bool:
    """Whether every address that a gRPC target names is on this machine; a name that is not known counts as outside."""
    scheme, colon, rest = target.partition(":")
    if colon and scheme in {"unix", "unix-abstract"}:
        return True
    if colon and scheme in {"ipv4", "ipv6", "dns"}:
        target = unquote(rest).removeprefix("///").removeprefix("//")
    return all(_on_loopback(address) for address in target.split(","))


def _on_loopback(address: str) -> bool:
    # `[::1]:50051`, `127.0.0.1:50051`, `localhost`; more colons than one without brackets are a bare IPv6 address.
    if address.startswith("["):
        host = address[1:].partition("]")[0]
    else:
        host = address if address.count(":") > 1 else address.partition(":")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
