"""Tenants and their audit log as tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text
from sparring.v1.tenants_pb2 import AuditEntry, Role, Tenant

from services.cli import words
from services.cli.tables import bare, facts, table


def tenant(shown: Tenant) -> Table:
    """A tenant: who asks, what is in use of what."""
    quota, usage = shown.quota, shown.usage
    return facts(
        [
            ("tenant", bare(shown.name)),
            ("key", shown.key or "none: this service asks for none"),
            ("role", Role.Name(shown.role).removeprefix("ROLE_").lower()),
            ("jobs waiting", _of(str(usage.queued_jobs), str(quota.max_queued_jobs), limited=quota.max_queued_jobs)),
            ("jobs running", _of(str(usage.running_jobs), str(quota.max_running_jobs), limited=quota.max_running_jobs)),
            (
                "artifacts",
                _of(
                    words.size(usage.artifact_bytes),
                    words.size(quota.max_artifact_bytes),
                    limited=quota.max_artifact_bytes,
                ),
            ),
            (
                "compute",
                _of(f"{usage.giga_ops:.4g}", f"{quota.max_giga_ops:.4g} giga-ops", limited=quota.max_giga_ops),
            ),
            ("weight", f"{shown.weight:g}"),
        ]
    )


def _of(used: str, allowed: str, *, limited: float) -> str:
    return f"{used} of {allowed}" if limited else f"{used}, no limit"


def audit(listed: Iterable[AuditEntry]) -> Table:
    """The audit log."""
    made = table("Time", "Key", "From", "Call", "About", "Outcome")
    for entry in listed:
        made.add_row(
            words.moment(entry.time)[5:],
            Text(entry.key),
            Text(entry.peer),
            Text(entry.rpc.removeprefix("sparring.v1.")),
            Text(entry.resource),
            Text(entry.reason or entry.code),
        )
    return made
