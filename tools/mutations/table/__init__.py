"""Every mutation, by the part of the product that it is done to."""

from __future__ import annotations

from tools.mutations.table import (
    artifacts,
    gateway,
    jobs,
    leases,
    limits,
    proof,
    settings,
    tenancy,
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
    *training.MUTATIONS,
    *gateway.MUTATIONS,
    *settings.MUTATIONS,
)
