"""`python -m services.gateway`: serve until SIGTERM. Prints `listening on HOST:PORT` once it accepts calls."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import signal
import sys

from services.environment import SettingsError
from services.gateway.options import Options
from services.gateway.preflight import UnsafeRedisError
from services.gateway.server import Gateway
from services.settings import GatewaySettings
from services.telemetry import logs, tracing
from services.telemetry.settings import TelemetrySettings


async def serve(settings: GatewaySettings, options: Options) -> None:
    """Run one gateway from start to end."""
    asked = asyncio.Event()
    # Before the address is told, as whoever reads it may end us at once.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    gateway = Gateway(settings, options)
    address = await gateway.start()
    print(f"listening on {address}", flush=True)
    await gateway.run_until(asked)


def main() -> int:
    """Return the exit status: 0 after a drain, 1 for a store that would lose data, 2 for wrong settings."""
    parser = argparse.ArgumentParser(prog="python -m services.gateway", description="Serve until SIGTERM.")
    parser.add_argument(
        "--insecure", action="store_true", help="listen beyond loopback without TLS and keys (SPARRING_INSECURE=1)"
    )
    arguments = parser.parse_args()
    try:
        options, settings, telemetry = Options.from_env(), GatewaySettings.from_env(), TelemetrySettings.from_env()
        if arguments.insecure:
            settings = dataclasses.replace(settings, insecure=True)
        logs.configure(telemetry.log_format, "gateway")
        tracing.configure("sparring-gateway", telemetry)
        asyncio.run(serve(settings, options))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except UnsafeRedisError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        tracing.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
