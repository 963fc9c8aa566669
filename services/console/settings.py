"""What the console is told by its environment, read once.

    SPARRING_CONSOLE_LISTEN        where pages are served, HOST:PORT         127.0.0.1:50080
    SPARRING_CONSOLE_HOSTS         further names that browsers may call it by, by commas or spaces apart     none
    SPARRING_CONSOLE_SECRET_FILE   the secret of its cookies, 32 characters or more  made afresh at each start
    SPARRING_CONSOLE_UPLOAD_BYTES  largest file that a page may upload       2 GiB
    SPARRING_SERVER                where the gateway is                      127.0.0.1:50051
    SPARRING_CA_FILE               the gateway's authority, PEM: speak TLS to it    none: plain text
    SPARRING_TLS_CERT_FILE         certificate chain of the console, PEM     none: no TLS
    SPARRING_TLS_KEY_FILE          its private key, PEM, without a password  none
    SPARRING_INSECURE              1: listen beyond loopback without TLS     0

An empty variable counts as unset. Whatever is wrong is named in one `SettingsError`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from sparring.security import is_loopback

from services.environment import Environment, SettingsError, address, content, file, one_of, whole

SECRET_CHARACTERS = 32
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
ANY_ADDRESS = ("0.0.0.0", "[::]", "")  # noqa: S104 - these are compared with, and nothing listens here


@dataclass(frozen=True, kw_only=True)
class ConsoleSettings:
    """What the console is told."""

    listen: str = "127.0.0.1:50080"
    hosts: tuple[str, ...] = ()
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(SECRET_CHARACTERS), repr=False)
    upload_bytes: int = 2 << 30
    server: str = "127.0.0.1:50051"
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    insecure: bool = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> ConsoleSettings:
        """Read the variables; SettingsError for whatever is wrong, a listener that is too open included."""
        with Environment(environ) as env:
            secret = env.read("SPARRING_CONSOLE_SECRET_FILE", None, _secret)
            settings = cls(
                listen=env.read("SPARRING_CONSOLE_LISTEN", cls.listen, _host_and_port),
                hosts=env.read("SPARRING_CONSOLE_HOSTS", (), _names),
                secret=secrets.token_urlsafe(SECRET_CHARACTERS) if secret is None else secret,
                upload_bytes=env.read("SPARRING_CONSOLE_UPLOAD_BYTES", cls.upload_bytes, whole(minimum=1)),
                server=env.read("SPARRING_SERVER", cls.server, str),
                ca_file=env.read("SPARRING_CA_FILE", None, file),
                cert_file=env.read("SPARRING_TLS_CERT_FILE", None, file),
                key_file=env.read("SPARRING_TLS_KEY_FILE", None, file),
                insecure=env.read("SPARRING_INSECURE", "0", one_of("0", "1")) == "1",
            )
            if (settings.cert_file is None) != (settings.key_file is None):
                env.problems.append("TLS takes SPARRING_TLS_CERT_FILE and SPARRING_TLS_KEY_FILE; one of them is unset")
        settings.check_exposure()
        return settings

    @property
    def tls(self) -> bool:
        """Whether pages are served over TLS."""
        return self.cert_file is not None

    @property
    def host(self) -> str:
        """The name or address to listen on; an IPv6 address stands in brackets."""
        return self.listen.rpartition(":")[0]

    @property
    def port(self) -> int:
        """The port to listen on; 0 takes a free one."""
        return int(self.listen.rpartition(":")[2])

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the console."""
        return is_loopback(self.listen)

    @property
    def needs_key(self) -> bool:
        """Whether nobody gets in without a key, even where the gateway asks for none.

        A gateway without keys trusts its own machine; a console that others can reach must not lend them that trust.
        """
        return not self.local and not self.insecure

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Names that may stand in a request's Host, in small letters and without a port (against DNS rebinding)."""
        own = () if self.host in ANY_ADDRESS else (self.host,)
        return frozenset(name.lower() for name in (*LOCAL_NAMES, *own, *self.hosts))

    def check_exposure(self) -> None:
        """Refuse to listen beyond loopback without TLS, unless told to. SettingsError."""
        if self.local or self.tls or self.insecure:
            return
        raise SettingsError(
            f"SPARRING_CONSOLE_LISTEN={self.listen!r} can be reached from other machines, and there is no TLS, so keys "
            "would travel in plain text. Set SPARRING_TLS_CERT_FILE and SPARRING_TLS_KEY_FILE (`sparring credentials` "
            "makes them), listen on 127.0.0.1, or set SPARRING_INSECURE=1 where everybody on the way may read them"
        )


def _host_and_port(text: str) -> str:
    if text.startswith("unix:"):
        raise ValueError("must be HOST:PORT: browsers do not speak to unix sockets")
    return address(text)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.replace(",", " ").split())
    if any("/" in name for name in names):
        raise ValueError("must be names of hosts without scheme or path, e.g. console.example.org")
    return names


def _secret(text: str) -> str:
    found = content(text)
    if len(found) < SECRET_CHARACTERS:
        raise ValueError(f"holds a secret of fewer than {SECRET_CHARACTERS} characters")
    return found
