"""Refuses a Redis that would lose what the gateway has accepted.

    appendonly yes                 without it a restart forgets every job
    appendfsync always             with everysec, a kill lost writes that had been answered (measured)
    maxmemory-policy noeviction    any other policy drops jobs and chunks when memory is short

They are read with CONFIG GET; where an access list refuses that, INFO says the first and the last.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from services.connection import AsyncRedis, translated

REQUIRED: Mapping[str, str] = {
    "appendonly": "yes",
    "appendfsync": "always",
    "maxmemory-policy": "noeviction",
}

log = logging.getLogger(__name__)


class UnsafeRedisError(Exception):
    """Raised at the start where the store's settings would lose data; the message names each of them."""


async def check_redis(redis: AsyncRedis, *, allow_unsafe: bool = False, what: str = "the store") -> None:
    """Raise `UnsafeRedisError` unless the settings are those that keep data; with `allow_unsafe`, warn instead.

    `what` names it in messages.
    """
    found = await read_settings(redis)
    wrong = [
        f"{name} is {found[name]}, must be {wanted}"
        for name, wanted in REQUIRED.items()
        if found.get(name, wanted) != wanted
    ]
    for name in REQUIRED.keys() - found.keys():
        log.warning("%s does not tell its %s; make sure that it is %s", what, name, REQUIRED[name])
    if wrong and not allow_unsafe:
        raise UnsafeRedisError(
            f"{what} would lose data: {'; '.join(wrong)}. Change its configuration, "
            "or set SPARRING_ALLOW_UNSAFE_REDIS=1 to run without that promise"
        )
    if wrong:
        log.warning("%s may lose data: %s", what, "; ".join(wrong))


async def read_settings(redis: AsyncRedis) -> dict[str, str]:
    """Return the settings as far as the server tells them."""
    with translated():
        try:
            return {name: str((await redis.config_get(name))[name]) for name in REQUIRED}
        except Exception as error:
            # Only `services.connection` knows the driver's exceptions; the server's own word is stable.
            if "NOPERM" not in str(error) and "no permissions" not in str(error):
                raise
        info = await redis.info()
    return {
        "appendonly": "yes" if info["aof_enabled"] else "no",
        "maxmemory-policy": info["maxmemory_policy"],
    }
