"""Tenants with one key each, for a gateway that asks for keys."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from services.tenants.keys import hash_key, new_key


def write_tenants(path: Path, names: Iterable[str], role: str = "submit") -> dict[str, str]:
    """Write the file; the text of each tenant's key."""
    keys = {name: new_key(name) for name in names}
    path.write_text(
        "".join(
            f'[tenants.{name}]\n[[tenants.{name}.keys]]\nid = "{name}"\nsha256 = "{hash_key(key)}"\nrole = "{role}"\n'
            for name, key in keys.items()
        ),
        encoding="utf-8",
    )
    return keys


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call with a key."""
    return (("authorization", f"Bearer {key}"),)
