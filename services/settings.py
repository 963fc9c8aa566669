"""What each process is told by its environment: one frozen dataclass per kind of process, read once.

    SPARRING_REDIS_URL             where the store is                        redis://127.0.0.1:6379/0
    SPARRING_REDIS_PASSWORD_FILE   a file that holds its password            none
    SPARRING_REDIS_MEMORY_BYTES    memory it may use, where the server itself sets no maxmemory; 0: unlimited
    SPARRING_MAX_ARTIFACT_BYTES    largest artifact                          2 GiB
    SPARRING_ARTIFACT_TTL_S        how long an artifact is kept              7 days
    SPARRING_EVENT_TTL_S           how long an ended job is kept             7 days
    SPARRING_ARTIFACTS             where the bytes of artifacts are: file:///PATH, s3://BUCKET/PREFIX, redis://HOST:PORT/DB
                                                                             none: in the store itself
    SPARRING_ARTIFACTS_PASSWORD_FILE   a file that holds the password of that Redis           none
    SPARRING_ARTIFACTS_MEMORY_BYTES    as SPARRING_REDIS_MEMORY_BYTES, of that Redis
    SPARRING_S3_ENDPOINT           address of the S3 server                  as AWS_ENDPOINT_URL says, or AWS itself
    SPARRING_S3_KEY_FILE, SPARRING_S3_SECRET_FILE   files with its access key       as the AWS_ variables say
    SPARRING_LISTEN                address of the gateway, or unix:PATH      127.0.0.1:50051
    SPARRING_INSECURE              1: listen beyond loopback without TLS and keys            0
    SPARRING_TENANTS_FILE          tenants, their keys and quotas, see `services.tenants`    none: one tenant, no keys
    SPARRING_HEALTH_LISTEN         where health alone is answered, without TLS and keys    none
    SPARRING_METRICS_LISTEN        HOST:PORT where a gateway or a worker answers GET /metrics  none
    SPARRING_TLS_CERT_FILE         certificate chain of the gateway, PEM     none: no TLS
    SPARRING_TLS_KEY_FILE          its private key, PEM, without a password  none
    SPARRING_TLS_CLIENT_CA_FILE    clients must show a certificate of these authorities      none: they need not
    SPARRING_MAX_STREAMS           most streams of one tenant, a quarter of them up- and downloads  256
    SPARRING_MAX_PREVIEWS          most previews of one tenant under way      8
    SPARRING_MAX_SAMPLES           most samples of one job                   100000
    SPARRING_PAGE_TOKEN_KEY_FILE   a file that holds the key of page tokens          made afresh at each start
    SPARRING_LANE                  cpu or gpu                                cpu
    SPARRING_THREADS               threads of one worker                     1
    SPARRING_PROCESSES             processes of one training, each with a GPU of its own, or such threads     1
    SPARRING_DEVICE_CLASS          what jobs may ask for this worker's device by, as h100    none
    SPARRING_LEASE_S               how long a worker may stay silent         15
    SPARRING_STALL_S               how long a unit may show no progress      300
    SPARRING_DATA_ROOT             a folder of mounted datasets              none
    SPARRING_PREVIEWS              0: this worker answers no previews         1
    SPARRING_DRAIN_FILE            a worker drains once this file exists     none
    SPARRING_HEARTBEAT_FILE        a worker touches this file while it lives none

An empty variable counts as unset. Whatever is wrong is named in one `SettingsError`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, cast

from services.environment import (
    Environment,
    address,
    bytes_url,
    class_name,
    file,
    folder,
    host_port,
    one_of,
    redis_url,
    seconds,
    web_url,
    whole,
)

DAY_S = 86_400.0
Lane = Literal["cpu", "gpu"]


@dataclass(frozen=True, kw_only=True)
class BytesSettings:
    """Where the bytes of artifacts are, if not in the store itself: the address and what is needed to be let in."""

    # It may hold a password, as addresses of Redis may.
    url: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    memory_bytes: int = 0
    s3_endpoint: str | None = None
    s3_key: str | None = field(default=None, repr=False)
    s3_secret: str | None = field(default=None, repr=False)


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
    artifacts: BytesSettings | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> StoreSettings:
        """Read the SPARRING_ variables that concern the store."""
        with Environment(environ) as env:
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
    metrics_listen: str | None = None
    max_previews: int = 8

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> GatewaySettings:
        """Read the SPARRING_ variables that concern the gateway and its store."""
        with Environment(environ) as env:
            key = env.secret("SPARRING_PAGE_TOKEN_KEY_FILE")
            return cls(
                _store(env),
                listen=env.read("SPARRING_LISTEN", "127.0.0.1:50051", address),
                max_samples=env.read("SPARRING_MAX_SAMPLES", 100_000, whole(minimum=1)),
                page_token_key=secrets.token_bytes(32) if key is None else key.encode(),
                insecure=env.read("SPARRING_INSECURE", "0", one_of("0", "1")) == "1",
                tenants_file=env.read("SPARRING_TENANTS_FILE", None, file),
                tls=_tls(env),
                max_streams=env.read("SPARRING_MAX_STREAMS", 256, whole(minimum=1)),
                health_listen=env.read("SPARRING_HEALTH_LISTEN", None, address),
                metrics_listen=env.read("SPARRING_METRICS_LISTEN", None, host_port),
                max_previews=env.read("SPARRING_MAX_PREVIEWS", 8, whole(minimum=1)),
            )


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is told."""

    store: StoreSettings
    _: KW_ONLY
    lane: Lane = "cpu"
    threads: int = 1
    processes: int = 1
    device_class: str = ""
    lease_s: float = 15.0
    stall_s: float = 300.0
    data_root: str | None = None
    drain_file: str | None = None
    heartbeat_file: str | None = None
    metrics_listen: str | None = None
    previews: bool = True

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> WorkerSettings:
        """Read the SPARRING_ variables that concern a worker and its store."""
        with Environment(environ) as env:
            return cls(
                _store(env),
                lane=cast("Lane", env.read("SPARRING_LANE", "cpu", one_of("cpu", "gpu"))),
                threads=env.read("SPARRING_THREADS", 1, whole(minimum=1)),
                processes=env.read("SPARRING_PROCESSES", 1, whole(minimum=1)),
                device_class=env.read("SPARRING_DEVICE_CLASS", "", class_name),
                lease_s=env.read("SPARRING_LEASE_S", 15.0, seconds),
                stall_s=env.read("SPARRING_STALL_S", 300.0, seconds),
                data_root=env.read("SPARRING_DATA_ROOT", None, folder),
                drain_file=env.read("SPARRING_DRAIN_FILE", None, str),
                heartbeat_file=env.read("SPARRING_HEARTBEAT_FILE", None, str),
                metrics_listen=env.read("SPARRING_METRICS_LISTEN", None, host_port),
                previews=env.read("SPARRING_PREVIEWS", "1", one_of("0", "1")) == "1",
            )


def _store(env: Environment) -> StoreSettings:
    return StoreSettings(
        env.read("SPARRING_REDIS_URL", StoreSettings.redis_url, redis_url),
        redis_password=env.secret("SPARRING_REDIS_PASSWORD_FILE"),
        redis_memory_bytes=env.read("SPARRING_REDIS_MEMORY_BYTES", 0, whole(minimum=0)),
        max_artifact_bytes=env.read("SPARRING_MAX_ARTIFACT_BYTES", 2 << 30, whole(minimum=1)),
        artifact_ttl_s=env.read("SPARRING_ARTIFACT_TTL_S", 7 * DAY_S, seconds),
        event_ttl_s=env.read("SPARRING_EVENT_TTL_S", 7 * DAY_S, seconds),
        artifacts=_bytes(env),
    )


def _bytes(env: Environment) -> BytesSettings | None:
    """Where bytes are; what is wrong with an address is told without it, since somebody may have put a secret there."""
    url = env.read("SPARRING_ARTIFACTS", "", str)
    try:
        url = url and bytes_url(url)
    except ValueError as error:
        env.problems.append(f"SPARRING_ARTIFACTS: {error}")
    key, secret = env.secret("SPARRING_S3_KEY_FILE"), env.secret("SPARRING_S3_SECRET_FILE")
    if (key is None) is not (secret is None):
        env.problems.append("SPARRING_S3_KEY_FILE and SPARRING_S3_SECRET_FILE go together; one is unset or wrong")
    settings = BytesSettings(
        url=url,
        password=env.secret("SPARRING_ARTIFACTS_PASSWORD_FILE"),
        memory_bytes=env.read("SPARRING_ARTIFACTS_MEMORY_BYTES", 0, whole(minimum=0)),
        s3_endpoint=env.read("SPARRING_S3_ENDPOINT", None, web_url),
        s3_key=key,
        s3_secret=secret,
    )
    return settings if url else None


def _tls(env: Environment) -> TlsFiles | None:
    cert, key, client_ca = (env.read(f"SPARRING_TLS_{name}_FILE", None, file) for name in ("CERT", "KEY", "CLIENT_CA"))
    if cert is not None and key is not None:
        return TlsFiles(cert=cert, key=key, client_ca=client_ca)
    if (cert, key, client_ca) != (None, None, None):
        env.problems.append("TLS takes SPARRING_TLS_CERT_FILE and SPARRING_TLS_KEY_FILE; one of them is unset or wrong")
    return None
