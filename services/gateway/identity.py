"""Who is asking, for as long as a call lasts: set once by the interceptor, read by the servicers."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from services.tenants.table import Role

DEFAULT_TENANT = "default"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A caller: its tenant, the id of the key that it showed (empty where none is asked for), and what it may do."""

    tenant: str
    key: str
    role: Role


# Everybody, where the gateway has no tenants file.
ANYBODY = Identity(tenant=DEFAULT_TENANT, key="", role=Role.ADMIN)

# Without a default: a servicer that is reached past the interceptor fails instead of serving somebody's data.
_current: ContextVar[Identity] = ContextVar("identity")


def current() -> Identity:
    """Return the caller of the call that runs. LookupError outside of any."""
    return _current.get()


def enter(identity: Identity) -> None:
    """Let the rest of this call, which has a context of its own, run for `identity`."""
    _current.set(identity)
