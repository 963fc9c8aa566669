"""Who has which key: the content of the tenants file, as it is looked up for every call.

A key is found by its SHA-256 and never compared character by character, so how long a look-up takes says nothing
about any key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from services.errors import Unauthenticated
from services.jobs.record import Quota


class Role(IntEnum):
    """What a key may do; each role may do all that those before it may. Numbered as `sparring.v1.Role` is."""

    READ = 1
    SUBMIT = 2
    ADMIN = 3


@dataclass(frozen=True, kw_only=True)
class Credential:
    """What a caller has shown: the SHA-256 of a key's text, or else the common name of a verified certificate."""

    sha256: str = ""
    certificate: str = ""


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key of a tenant; `expires_s` is in seconds since 1970, None for never."""

    tenant: str
    id: str
    role: Role
    expires_s: float | None = None


class KeyExpired(Unauthenticated):
    """Raised for a key whose time is over; it is still known whose it was."""

    default_reason = "KEY_EXPIRED"

    def __init__(self, key: Key) -> None:
        super().__init__(f"key {key.id!r} has expired; ask for a new one")
        self.key = key


@dataclass(frozen=True, kw_only=True)
class Tenants:
    """Every tenant's quota, and every key by what a caller shows of it."""

    quotas: Mapping[str, Quota] = field(default_factory=dict)
    keys: Mapping[Credential, Key] = field(default_factory=dict)

    def find(self, credential: Credential, now_s: float) -> Key:
        """Return the key that a credential belongs to. Unauthenticated: KEY_MISSING, KEY_UNKNOWN, KEY_EXPIRED."""
        if credential == Credential():
            raise Unauthenticated("send a key as `authorization: Bearer KEY`", reason="KEY_MISSING")
        key = self.keys.get(credential)
        if key is None:
            what = "certificate" if credential.certificate else "key"
            raise Unauthenticated(f"this {what} is not known here, or no longer; ask for a new one")
        if key.expires_s is not None and key.expires_s <= now_s:
            raise KeyExpired(key)
        return key
