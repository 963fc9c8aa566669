"""Every mutation, by the part of the product that it is done to."""

from __future__ import annotations

from tools.mutations.table import (
    artifacts,
    counts,
    devices,
    gateway,
    jobs,
    leases,
    limits,
    outside,
    previews,
    proof,
    settings,
    tenancy,
    traces,
    training,
    waiting,
)

MUTATIONS = (
    *leases.MUTATIONS,
    *jobs.MUTATIONS,
    *waiting.MUTATIONS,
    *limits.MUTATIONS,
    *proof.MUTATIONS,
    *tenancy.MUTATIONS,
    *artifacts.MUTATIONS,
    *outside.MUTATIONS,
    *previews.MUTATIONS,
    *training.MUTATIONS,
    *gateway.MUTATIONS,
    *counts.MUTATIONS,
    *devices.MUTATIONS,
    *traces.MUTATIONS,
    *settings.MUTATIONS,
)
