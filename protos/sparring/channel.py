"""How the client is connected: one frozen record of settings, and what gRPC is told to do by itself."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

import grpc

from sparring import security
from sparring.errors import InvalidArgument, Violation
from sparring.security import PathLike

DEFAULT_TARGET = "127.0.0.1:50051"

# A stream is opened afresh after so many seconds; a little more than the 15 minutes after which the server ends one.
STREAM_S = 16 * 60.0

OPTIONS: tuple[tuple[str, str | int], ...] = (
    # Calls are made again by `caller`, which knows how often: gRPC's own retries would hide that a call that answers
    # "there is no such job" had deleted it the first time.
    ("grpc.enable_retries", 0),
    # The server refuses pings that come faster than every 30 s.
    ("grpc.keepalive_time_ms", 45_000),
    ("grpc.keepalive_timeout_ms", 15_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    # A gateway that restarts is back in seconds; the default backoff would leave the client waiting for minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Big evaluations have thousands of rows; everything larger is an artifact and comes in chunks.
    ("grpc.max_receive_message_length", 64 * 2**20),
    # Errors with many bad fields travel in the trailing metadata.
    ("grpc.max_metadata_size", 32 * 2**10),
    # Of several gateways each takes its turn, and one that is away is passed over.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    # Names of several gateways are looked up again as soon as one of them is gone.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
)


def grpc_target(target: str) -> str:
    """What gRPC calls a target of ours: as it is, but for "IP:PORT,IP:PORT", several gateways of one service.

    Raises InvalidArgument for a list with names in it, or of both kinds of addresses, which gRPC does not resolve.
    """
    if "," not in target or target.partition(":")[0] in {"ipv4", "ipv6"}:
        return target
    try:
        versions = {
            ipaddress.ip_address(address.strip().rpartition(":")[0].strip("[]")).version
            for address in target.split(",")
        }
    except ValueError:
        versions = set()
    if len(versions) != 1:
        advice = (
            f"{target!r} is no list of gateways: give IP:PORT,IP:PORT, all IPv4 or all IPv6, or one name that "
            "resolves to all of them"
        )
        raise InvalidArgument.of([Violation("target", advice)])
    return f"ipv{versions.pop()}:{target.replace(' ', '')}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a client talks to one service."""

    target: str = DEFAULT_TARGET
    # Seconds that one call may take, its retries included.
    timeout_s: float = 30.0
    # Seconds that an outage may last in the middle of a watch, an upload or a download before it is given up.
    patience_s: float = 60.0
    # Calls wait for the service to come up (as long as timeout_s) instead of failing at once.
    wait_for_ready: bool = False
    # TLS; None speaks plain text.
    credentials: grpc.ChannelCredentials | None = None
    # What every call carries: the key.
    metadata: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def of(
        cls,
        target: str,
        *,
        key: str | None,
        tls: bool,
        tls_ca: PathLike | None,
        tls_cert: PathLike | None,
        tls_key: PathLike | None,
        allow_plaintext_key: bool,
        timeout_s: float,
        patience_s: float,
        wait_for_ready: bool,
        credentials: grpc.ChannelCredentials | None,
    ) -> Settings:
        """Read certificates, and see that the key does not leave this machine in plain text."""
        if credentials is None:
            credentials = security.credentials(tls=tls, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key)
        secure = credentials is not None
        return cls(
            target=target,
            timeout_s=timeout_s,
            patience_s=patience_s,
            wait_for_ready=wait_for_ready,
            credentials=credentials,
            metadata=security.metadata(key, target, secure=secure, allow_plaintext_key=allow_plaintext_key),
        )

    def open(self) -> grpc.Channel:
        """Make the blocking channel; nothing is sent before the first call."""
        if self.credentials is None:
            return grpc.insecure_channel(grpc_target(self.target), options=self._options())
        return grpc.secure_channel(grpc_target(self.target), self.credentials, options=self._options())

    def open_async(self) -> grpc.aio.Channel:
        """Make the asyncio channel; nothing is sent before the first call."""
        if self.credentials is None:
            return grpc.aio.insecure_channel(grpc_target(self.target), options=self._options())
        return grpc.aio.secure_channel(grpc_target(self.target), self.credentials, options=self._options())

    def _options(self) -> tuple[tuple[str, str | int], ...]:
        """No proxy stands between this machine and itself, and none should see a key in plain text."""
        return (*OPTIONS, ("grpc.enable_http_proxy", 0)) if security.is_loopback(self.target) else OPTIONS
