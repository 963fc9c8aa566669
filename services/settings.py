"""What each process is told by its environment: one frozen dataclass per kind of process, read once.

    SPARRING_REDIS_URL             where the store is                        redis://127.0.0.1:6379/0
    SPARRING_REDIS_PASSWORD_FILE   a file that holds its password            none
    SPARRING_REDIS_MEMORY_BYTES    memory it may use, where the server itself sets no maxmemory; 0: unlimited
    SPARRING_MAX_ARTIFACT_BYTES    largest artifact                          2 GiB
    SPARRING_ARTIFACT_TTL_S        how long an artifact is kept              7 days
    SPARRING_EVENT_TTL_S           how long an ended job is kept             7 days
    SPARRING_LISTEN                address of the gateway, or unix:PATH      127.0.0.1:50051
    SPARRING_INSECURE              1: listen beyond loopback without TLS and keys            0
    SPARRING_TENANTS_FILE          tenants, their keys and quotas, see `services.tenants`    none: one tenant, no keys
    SPARRING_HEALTH_LISTEN         where health alone is answered, without TLS and keys    none
    SPARRING_TLS_CERT_FILE         certificate chain of the gateway, PEM     none: no TLS
    SPARRING_TLS_KEY_FILE          its private key, PEM, without a password  none
    SPARRING_TLS_CLIENT_CA_FILE    clients must show a certificate of these authorities      none: they need not
    SPARRING_MAX_STREAMS           most streams of one tenant, a quarter of them up- and downloads  256
    SPARRING_MAX_SAMPLES           most samples of one job                   100000
    SPARRING_PAGE_TOKEN_KEY_FILE   a file that holds the key of page tokens          made afresh at each start
    SPARRING_LANE                  cpu or gpu                                cpu
    SPARRING_THREADS               threads of one worker                     1
    SPARRING_PROCESSES             processes of one training, each with a GPU of its own, or such threads     1
    SPARRING_LEASE_S               how long a worker may stay silent         15
    SPARRING_STALL_S               how long a unit may show no progress      300
    SPARRING_DATA_ROOT             a folder of mounted datasets              none
    SPARRING_DRAIN_FILE            a worker drains once this file exists     none
    SPARRING_HEARTBEAT_FILE        a worker touches this file while it lives none

An empty variable counts as unset. Whatever is wrong is named in one `SettingsError`.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Literal, Self, TypeVar, cast
from urllib.parse import urlsplit

T = TypeVar("T")
DAY_S = 86_400.0
Lane = Literal["cpu", "gpu"]


class SettingsError(ValueError):
    """Raised once, with every variable that has a bad value."""


@dataclass(frozen=True)
class StoreSettings:
    """Where the store is and how much it keeps."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    _: KW_ONLY
    redis_password: str | None = field(default=None, repr=False)
    redis_memory_bytes: int = 0
    max_artifact_bytes: int = 2 << 30
    artifact_ttl_s: float = 7 * DAY_S
    event_ttl_s: float = 7 * DAY_S

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> StoreSettings:
        """Read the SPARRING_ variables that concern the store."""
        with _Environment(environ) as env:
            return _store(env)


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """PEM files: the gateway's certificate chain and key, and whose certificates clients must show, None for none."""

    cert: str
    key: str
    client_ca: str | None = None


@dataclass(frozen=True)
class GatewaySettings:
    """What the gateway is told."""

    store: StoreSettings
    _: KW_ONLY
    listen: str = "127.0.0.1:50051"
    max_samples: int = 100_000
    page_token_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    insecure: bool = False
    tenants_file: str | None = None
    tls: TlsFiles | None = None
    max_streams: int = 256
    health_listen: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> GatewaySettings:
        """Read the SPARRING_ variables that concern the gateway and its store."""
        with _Environment(environ) as env:
            key = env.secret("SPARRING_PAGE_TOKEN_KEY_FILE")
            return cls(
                _store(env),
                listen=env.read("SPARRING_LISTEN", "127.0.0.1:50051", _address),
                max_samples=env.read("SPARRING_MAX_SAMPLES", 100_000, _whole(minimum=1)),
                page_token_key=secrets.token_bytes(32) if key is None else key.encode(),
                insecure=env.read("SPARRING_INSECURE", "0", _one_of("0", "1")) == "1",
                tenants_file=env.read("SPARRING_TENANTS_FILE", None, _file),
                tls=_tls(env),
                max_streams=env.read("SPARRING_MAX_STREAMS", 256, _whole(minimum=1)),
                health_listen=env.read("SPARRING_HEALTH_LISTEN", None, _address),
            )


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is told."""

    store: StoreSettings
    _: KW_ONLY
    lane: Lane = "cpu"
    threads: int = 1
    processes: int = 1
    lease_s: float = 15.0
    stall_s: float = 300.0
    data_root: str | None = None
    drain_file: str | None = None
    heartbeat_file: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> WorkerSettings:
        """Read the SPARRING_ variables that concern a worker and its store."""
        with _Environment(environ) as env:
            return cls(
                _store(env),
                lane=cast("Lane", env.read("SPARRING_LANE", "cpu", _one_of("cpu", "gpu"))),
                threads=env.read("SPARRING_THREADS", 1, _whole(minimum=1)),
                processes=env.read("SPARRING_PROCESSES", 1, _whole(minimum=1)),
                lease_s=env.read("SPARRING_LEASE_S", 15.0, _seconds),
                stall_s=env.read("SPARRING_STALL_S", 300.0, _seconds),
                data_root=env.read("SPARRING_DATA_ROOT", None, _folder),
                drain_file=env.read("SPARRING_DRAIN_FILE", None, str),
                heartbeat_file=env.read("SPARRING_HEARTBEAT_FILE", None, str),
            )


class _Environment:
    """Reads variables, remembers what is wrong with each, and raises it all at the end."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.problems:
            raise SettingsError("; ".join(self.problems))

    def read(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        """The parsed value of a variable; the default where it is unset, empty or wrong."""
        text = self._environ.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.problems.append(f"{name}={text!r}: {error}")
            return default

    def secret(self, name: str) -> str | None:
        """The content of the file that a variable names; its value never enters a message."""
        return self.read(name, None, _content)


def _store(env: _Environment) -> StoreSettings:
    return StoreSettings(
        env.read("SPARRING_REDIS_URL", StoreSettings.redis_url, _redis_url),
        redis_password=env.secret("SPARRING_REDIS_PASSWORD_FILE"),
        redis_memory_bytes=env.read("SPARRING_REDIS_MEMORY_BYTES", 0, _whole(minimum=0)),
        max_artifact_bytes=env.read("SPARRING_MAX_ARTIFACT_BYTES", 2 << 30, _whole(minimum=1)),
        artifact_ttl_s=env.read("SPARRING_ARTIFACT_TTL_S", 7 * DAY_S, _seconds),
        event_ttl_s=env.read("SPARRING_EVENT_TTL_S", 7 * DAY_S, _seconds),
    )


def _tls(env: _Environment) -> TlsFiles | None:
    cert, key, client_ca = (env.read(f"SPARRING_TLS_{name}_FILE", None, _file) for name in ("CERT", "KEY", "CLIENT_CA"))
    if cert is not None and key is not None:
        return TlsFiles(cert=cert, key=key, client_ca=client_ca)
    if (cert, key, client_ca) != (None, None, None):
        env.problems.append("TLS takes SPARRING_TLS_CERT_FILE and SPARRING_TLS_KEY_FILE; one of them is unset or wrong")
    return None


def _whole(*, minimum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise ValueError(f"must be a whole number of at least {minimum}")
        return int(text)

    return parse


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError("must be a positive number of seconds")
    return seconds


def _redis_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"redis", "rediss", "unix"} or not (parts.hostname or parts.path):
        raise ValueError("must be a redis://, rediss:// or unix:// address")
    return text


def _address(text: str) -> str:
    if text.startswith("unix:") and len(text) > len("unix:"):
        return text
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) <= 65_535):
        raise ValueError("must be HOST:PORT or unix:PATH")
    return text


def _one_of(*texts: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in texts:
            raise ValueError(f"must be {' or '.join(texts)}")
        return text

    return parse


def _folder(text: str) -> str:
    if not Path(text).is_dir():
        raise ValueError("is not a folder")
    return text


def _file(text: str) -> str:
    _content(text)
    return text


def _content(text: str) -> str:
    try:
        content = Path(text).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"can't be read: {error}") from None
    if not content:
        raise ValueError("is an empty file")
    return content
