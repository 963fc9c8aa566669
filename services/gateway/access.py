"""Which role each RPC takes, and which of them change something: the one table of it.

A method of the contract that has no row keeps the gateway from starting, so a new one can't be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from google.protobuf import descriptor_pool
from grpc_reflection.v1alpha import reflection

from services.tenants.table import Role

# Load balancers and orchestrators have no key; it tells nothing but whether the gateway serves.
HEALTH = "/grpc.health.v1.Health/"


@dataclass(frozen=True, kw_only=True)
class Access:
    """The least role that may call a method; what `changes` anything is audited, what `transfers` bytes is bounded."""

    role: Role
    changes: bool = False
    transfers: bool = False


READS = Access(role=Role.READ)
CHANGES = Access(role=Role.SUBMIT, changes=True)

_SERVICES: Mapping[str, Mapping[str, Access]] = {
    "sparring.v1.JobService": {
        "CreateJob": CHANGES,
        "GetJob": READS,
        "ListJobs": READS,
        "WatchJob": READS,
        "CancelJob": CHANGES,
        "RetryJob": CHANGES,
        "DeleteJob": CHANGES,
    },
    "sparring.v1.ModelService": {
        "RegisterModel": CHANGES,
        "GetModel": READS,
        "ListModels": READS,
        "DeleteModel": CHANGES,
    },
    "sparring.v1.DatasetService": {
        "RegisterDataset": CHANGES,
        "GetDataset": READS,
        "ListDatasets": READS,
        "DeleteDataset": CHANGES,
    },
    "sparring.v1.ArtifactService": {
        "BeginUpload": CHANGES,
        "UploadArtifact": Access(role=Role.SUBMIT, changes=True, transfers=True),
        # A part of uploading, though it changes nothing.
        "QueryUpload": Access(role=Role.SUBMIT),
        "DownloadArtifact": Access(role=Role.READ, transfers=True),
        "GetArtifact": READS,
        "DeleteArtifact": CHANGES,
    },
    "sparring.v1.CatalogService": {
        "GetServerInfo": READS,
        "ListAttacks": READS,
        "ListDefenses": READS,
        "ListPoisons": READS,
        "ListArchitectures": READS,
        "ListBuiltInDatasets": READS,
    },
    "sparring.v1.TenantService": {
        "GetTenant": READS,
        "ListAuditEntries": Access(role=Role.ADMIN),
    },
    # It computes, but within bounds, and changes nothing.
    "sparring.v1.PreviewService": {
        "PreviewAttack": READS,
        "ListSamples": READS,
    },
    reflection.SERVICE_NAME: {"ServerReflectionInfo": READS},
}

# By the path that a call carries, e.g. "/sparring.v1.JobService/CreateJob".
TABLE: Mapping[str, Access] = {
    f"/{service}/{method}": access for service, methods in _SERVICES.items() for method, access in methods.items()
}


def check_table(services: Iterable[str], table: Mapping[str, Access] = TABLE) -> None:
    """Check that every method of the named services has a row. LookupError with those that have none."""
    pool = descriptor_pool.Default()
    paths = [f"/{service}/{method.name}" for service in services for method in pool.FindServiceByName(service).methods]
    missing = [path for path in paths if path not in table]
    if missing:
        raise LookupError(f"no role is set for {', '.join(missing)}; add a row to services.gateway.access")
