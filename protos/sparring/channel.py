"""How the client is connected: one frozen record of settings, and what gRPC is told to do by itself."""

from __future__ import annotations

import json
from dataclasses import dataclass

import grpc

DEFAULT_TARGET = "127.0.0.1:50051"

# A stream is opened afresh after so many seconds; a little more than the 15 minutes after which the server ends one.
STREAM_S = 16 * 60.0

# Only UNAVAILABLE is safe to retry blindly; every mutation of the contract is idempotent. The throttle stops retries
# while more than half of the recent calls fail, so that a fleet of clients does not trample a gateway that comes back.
SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "5s",
                    "backoffMultiplier": 4,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.5},
    }
)

OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.service_config", SERVICE_CONFIG),
    ("grpc.enable_retries", 1),
    # The server refuses pings that come faster than every 30 s.
    ("grpc.keepalive_time_ms", 45_000),
    ("grpc.keepalive_timeout_ms", 15_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    # A gateway that restarts is back in seconds; the default backoff would leave the client waiting for minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Big evaluations have thousands of rows; everything larger is an artifact and comes in chunks.
    ("grpc.max_receive_message_length", 64 * 2**20),
    # Errors with many bad fields travel in the trailing metadata.
    ("grpc.max_metadata_size", 32 * 2**10),
)


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

    def open(self) -> grpc.Channel:
        """Make the blocking channel; nothing is sent before the first call."""
        if self.credentials is None:
            return grpc.insecure_channel(self.target, options=OPTIONS)
        return grpc.secure_channel(self.target, self.credentials, options=OPTIONS)

    def open_async(self) -> grpc.aio.Channel:
        """Make the asyncio channel; nothing is sent before the first call."""
        if self.credentials is None:
            return grpc.aio.insecure_channel(self.target, options=OPTIONS)
        return grpc.aio.secure_channel(self.target, self.credentials, options=OPTIONS)
