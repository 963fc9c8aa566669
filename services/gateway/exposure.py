"""Where the gateway may listen: on this machine alone as it likes, beyond it with TLS and keys only.

Whoever reaches a gateway without keys may do everything, and a key that travels in the clear is anybody's.
"""

from __future__ import annotations

import ipaddress
import logging
import socket

from services.environment import SettingsError
from services.settings import GatewaySettings

log = logging.getLogger(__name__)


def check_exposure(settings: GatewaySettings) -> None:
    """Refuse to listen beyond loopback without TLS and a tenants file, unless told to. SettingsError."""
    missing = [
        name
        for name, value in (
            ("TLS (SPARRING_TLS_CERT_FILE, SPARRING_TLS_KEY_FILE)", settings.tls),
            ("keys (SPARRING_TENANTS_FILE)", settings.tenants_file),
        )
        if value is None
    ]
    if not missing:
        return
    where, lacks = settings.listen, " and ".join(missing)
    if is_local(where):
        log.info("listening on this machine only, without %s", lacks)
    elif settings.insecure:
        log.warning("SPARRING_INSECURE is set: listening on %s without %s; whoever reaches it gets in", where, lacks)
    else:
        raise SettingsError(
            f"SPARRING_LISTEN={where!r} can be reached from other machines, and there is no {lacks}. Set them "
            "(`sparring keys new` and `sparring credentials` make them), listen on 127.0.0.1, or pass --insecure "
            "(SPARRING_INSECURE=1) where everybody who can reach it may do everything"
        )


def is_local(address: str) -> bool:
    """Tell whether an address, HOST:PORT or unix:PATH, can be reached from this machine only.

    A name has to stand for loopback addresses alone. SettingsError: it stands for none.
    """
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise SettingsError(f"SPARRING_LISTEN={address!r}: can't tell what {host!r} stands for: {error}") from error
    return all(ipaddress.ip_address(str(ip).partition("%")[0]).is_loopback for ip in found)
