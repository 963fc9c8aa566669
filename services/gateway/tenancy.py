"""Who may come in: the tenants file against what a caller shows, and the quotas of that file into the store.

Without a tenants file everybody is tenant "default" and may do everything; `exposure` says where that is allowed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import grpc

from services.environment import SettingsError
from services.errors import PermissionDenied, SparringError, Unauthenticated
from services.gateway.identity import ANYBODY, DEFAULT_TENANT, Identity
from services.jobs.record import Quota
from services.jobs.store import AsyncJobStore
from services.tenants.keys import hash_key
from services.tenants.parse import read
from services.tenants.table import Credential, Role, Tenants
from services.tenants.watch import Watched

PERIOD_S = 1.0
# Quotas are written again this often, as a store that was emptied or restored has lost them.
REPEAT_S = 60.0
_SCHEME = "bearer "

log = logging.getLogger(__name__)


class Tenancy:
    """The tenants that one gateway knows."""

    def __init__(self, file: str | None, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970. SettingsError with everything that is wrong with the file."""
        self._clock = clock
        self._file = None if file is None else _watched(file)
        self._changed = asyncio.Event()
        self._published = False

    @property
    def open(self) -> bool:
        """Whether nobody is asked for a key."""
        return self._file is None

    def identify(self, credential: Credential) -> Identity:
        """Return who shows a credential. Unauthenticated."""
        if self._file is None:
            return ANYBODY
        key = self._file.value.find(credential, self._clock())
        return Identity(tenant=key.tenant, key=key.id, role=key.role)

    def recheck(self, credential: Credential, identity: Identity) -> None:
        """Check that a credential still stands for what it stood for. Unauthenticated."""
        if self.identify(credential) != identity:
            raise Unauthenticated("this key has been given to another or has another role by now; call again")

    def refresh(self) -> None:
        """Read the file again if it changed."""
        if self._file is not None and self._file.refresh():
            self._changed.set()

    async def publish(self, store: AsyncJobStore) -> None:
        """Write every quota to the store; one without a file has no limit."""
        self._changed.clear()
        self._published = False
        quotas = {DEFAULT_TENANT: Quota()} if self._file is None else self._file.value.quotas
        for tenant, quota in quotas.items():
            await store.set_quota(tenant, quota)
        self._published = True

    async def run(self, store: AsyncJobStore) -> None:
        """Write the quotas whenever the file changed, and now and then, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPEAT_S if self._published else PERIOD_S):
                    await self._changed.wait()
            if self.open and self._published:
                continue
            try:
                await self.publish(store)
            except SparringError as error:
                log.warning("the quotas could not be written and are tried again: %s", error.message)


def credential_of(context: grpc.aio.ServicerContext[Any, Any]) -> Credential:
    """Return what a call shows: its key, or else the common name of its verified certificate. Unauthenticated."""
    headers = [str(value) for name, value in context.invocation_metadata() or () if name == "authorization"]
    if len(headers) > 1:
        raise Unauthenticated("send one key, not several", reason="KEY_MISSING")
    if headers:
        scheme, key = headers[0][: len(_SCHEME)], headers[0][len(_SCHEME) :].strip()
        if scheme.lower() != _SCHEME or not key:
            raise Unauthenticated("send the key as `authorization: Bearer KEY`", reason="KEY_MISSING")
        return Credential(sha256=hash_key(key))
    # Only there where the client's certificate was asked for and verified.
    auth: Mapping[str, Iterable[bytes]] = context.auth_context() or {}
    for name in auth.get("x509_common_name") or ():
        return Credential(certificate=name.decode(errors="replace"))
    return Credential()


def check_role(identity: Identity, least: Role) -> None:
    """Check that a caller may do what takes at least the role `least`. PermissionDenied."""
    if identity.role < least:
        held, wanted = identity.role.name.lower(), least.name.lower()
        raise PermissionDenied(
            f"key {identity.key!r} has role {held}, this takes {wanted}; use another key",
            metadata={"role": held, "required": wanted},
        )


def _watched(file: str) -> Watched[Tenants]:
    path = Path(file)
    try:
        return Watched([path], lambda: read(path))
    except (OSError, ValueError) as error:
        raise SettingsError(f"SPARRING_TENANTS_FILE={file!r}: {error}") from error
