"""Reads a tenants file.

    [tenants.vision]                      # all of these optional, 0 for no limit
    max_queued_jobs = 1000
    max_running_jobs = 8
    max_artifact_bytes = 10_000_000_000
    max_giga_ops = 1e9                    # billions of multiply-adds of all jobs that have not ended
    weight = 1.0                          # share of the workers while others want them too

    [[tenants.vision.keys]]
    id = "ci"
    sha256 = "<64 hex digits>"            # of the key's whole text; or: certificate = "common name"
    role = "submit"                       # read, submit or admin
    expires = 2027-01-01T00:00:00Z        # optional

Whatever is wrong is named at once, each by its path in the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from services.jobs.record import Quota
from services.tenants.keys import NAME_RULE, is_name
from services.tenants.table import Credential, Key, Role, Tenants

# The largest whole number that the store's functions count with exactly.
MAX_NUMBER = 2**53
MAX_QUANTITY = 1e18
MAX_COMMON_NAME = 64
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COUNTS = ("max_queued_jobs", "max_running_jobs", "max_artifact_bytes")
_TENANT_FIELDS = (*_COUNTS, "max_giga_ops", "weight", "keys")
_KEY_FIELDS = ("id", "sha256", "certificate", "role", "expires")
_ROLES = {role.name.lower(): role for role in Role}


class TenantsFileError(ValueError):
    """Raised with everything that is wrong with a tenants file."""


def read(path: Path) -> Tenants:
    """Read a file. TenantsFileError, OSError."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise TenantsFileError(f"is not UTF-8: {error}") from None


def parse(text: str) -> Tenants:
    """Read the text of a file. TenantsFileError."""
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise TenantsFileError(f"is not TOML: {error}") from None
    reader = _Reader()
    tenants = reader.file(tables)
    if reader.problems:
        raise TenantsFileError("; ".join(reader.problems))
    return tenants


class _Reader:
    """Goes through the tables and keeps what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._keys: dict[Credential, Key] = {}

    def file(self, tables: Mapping[str, Any]) -> Tenants:
        self._known(tables, ("tenants",), "")
        tenants = self._table(tables.get("tenants", {}), "tenants")
        if not tenants:
            # Half of a file that is being written must not lock everybody out.
            self._problem("tenants", "has no tenant; name one as [tenants.NAME]")
        quotas = {}
        for name, value in tenants.items():
            path = f"tenants.{name}"
            if not is_name(name):
                self._problem(path, f"the name of a tenant has {NAME_RULE}")
            table = self._table(value, path)
            self._known(table, _TENANT_FIELDS, path)
            quotas[name] = self._quota(table, path)
            self._add_keys(table.get("keys", []), name, path)
        return Tenants(quotas=quotas, keys=self._keys)

    def _quota(self, table: Mapping[str, Any], path: str) -> Quota:
        counts = {name: self._count(table.get(name, 0), f"{path}.{name}") for name in _COUNTS}
        giga_ops = self._number(table.get("max_giga_ops", 0.0), f"{path}.max_giga_ops")
        weight = self._number(table.get("weight", 1.0), f"{path}.weight")
        if weight == 0:
            self._problem(f"{path}.weight", "must be above 0")
        return Quota(**counts, max_giga_ops=giga_ops, weight=weight)

    def _add_keys(self, values: object, tenant: str, path: str) -> None:
        if not isinstance(values, list):
            self._problem(f"{path}.keys", f"must be tables, written [[{path}.keys]]")
            return
        ids: set[str] = set()
        for index, value in enumerate(values):
            place = f"{path}.keys[{index}]"
            table = self._table(value, place)
            self._known(table, _KEY_FIELDS, place)
            key = self._key(table, tenant, place)
            if key.id in ids:
                self._problem(f"{place}.id", f"{key.id!r} stands here twice")
            ids.add(key.id)
            for credential in self._credentials(table, place):
                if credential in self._keys:
                    other = self._keys[credential]
                    self._problem(place, f"is the same as key {other.id!r} of tenant {other.tenant!r}")
                self._keys[credential] = key

    def _key(self, table: Mapping[str, Any], tenant: str, path: str) -> Key:
        identifier, role, expires = table.get("id", ""), table.get("role"), table.get("expires")
        if not isinstance(identifier, str) or not is_name(identifier):
            self._problem(f"{path}.id", f"must be set to {NAME_RULE}")
            identifier = str(identifier)
        if not isinstance(role, str) or role not in _ROLES:
            self._problem(f"{path}.role", f"must be one of {', '.join(_ROLES)}")
        if expires is not None and not (isinstance(expires, datetime) and expires.tzinfo is not None):
            self._problem(f"{path}.expires", "must be a time with its zone, e.g. 2027-01-01T00:00:00Z")
            expires = None
        return Key(
            tenant=tenant,
            id=identifier,
            role=_ROLES.get(str(role), Role.READ),
            expires_s=None if expires is None else expires.timestamp(),
        )

    def _credentials(self, table: Mapping[str, Any], path: str) -> Iterator[Credential]:
        sha256, certificate = table.get("sha256"), table.get("certificate")
        if (sha256 is None) is (certificate is None):
            self._problem(path, "must have exactly one of sha256, certificate")
        elif certificate is None:
            if isinstance(sha256, str) and _SHA256.fullmatch(sha256):
                yield Credential(sha256=sha256)
            else:
                self._problem(f"{path}.sha256", "must be the SHA-256 of the key's text, 64 lower-case hex digits")
        elif isinstance(certificate, str) and 0 < len(certificate) <= MAX_COMMON_NAME:
            yield Credential(certificate=certificate)
        else:
            self._problem(f"{path}.certificate", f"must be a common name, 1 to {MAX_COMMON_NAME} characters")

    def _table(self, value: object, path: str) -> Mapping[str, Any]:
        if isinstance(value, dict):
            return value
        self._problem(path, "must be a table")
        return {}

    def _known(self, table: Mapping[str, Any], names: tuple[str, ...], path: str) -> None:
        for name in table:
            if name not in names:
                self._problem(f"{path}.{name}" if path else name, f"is none of {', '.join(names)}")

    def _count(self, value: object, path: str) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER:
            return value
        self._problem(path, "must be a whole number, 0 for no limit")
        return 0

    def _number(self, value: object, path: str) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_QUANTITY:
            return float(value)
        self._problem(path, f"must be a number in [0, {MAX_QUANTITY:g}]")
        return 1.0

    def _problem(self, path: str, text: str) -> None:
        self.problems.append(f"{path}: {text}")
