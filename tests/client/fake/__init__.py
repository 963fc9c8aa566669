"""A service in one object, on a real gRPC server, that can be told to break off.

It keeps the contract's promises as far as the client leans on them: request_id, offsets, event numbers, digests.
"""

from __future__ import annotations

from concurrent import futures

import grpc
from sparring import resume
from sparring.v1 import (
    artifacts_pb2_grpc,
    catalog_pb2_grpc,
    datasets_pb2_grpc,
    jobs_pb2_grpc,
    models_pb2_grpc,
    preview_pb2_grpc,
    tenants_pb2_grpc,
)

from .artifacts import Artifacts
from .base import Base, status_of
from .jobs import Jobs
from .lab import FGSM, Lab
from .previews import Previews
from .registry import Catalog, Registry
from .results import judged
from .tenants import Tenants

__all__ = ["FGSM", "Lab", "Server", "Service", "judged", "retry_quickly", "status_of"]


def retry_quickly(monkeypatch):
    """Make clients wait a tenth of what users wait before the first retry."""
    monkeypatch.setattr(resume, "FIRST_DELAY_S", resume.FIRST_DELAY_S / 10)


class Service(Base, Jobs, Artifacts, Registry, Catalog, Tenants, Previews):
    """Every servicer of the contract in one."""


class Server:
    """A Service that listens on a free loopback port; `stop` and `start` play an outage."""

    def __init__(self, credentials=None):
        self.service = Service()
        self.port, self._credentials = 0, credentials
        self.start()

    def start(self):
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        for add in (
            jobs_pb2_grpc.add_JobServiceServicer_to_server,
            models_pb2_grpc.add_ModelServiceServicer_to_server,
            datasets_pb2_grpc.add_DatasetServiceServicer_to_server,
            artifacts_pb2_grpc.add_ArtifactServiceServicer_to_server,
            catalog_pb2_grpc.add_CatalogServiceServicer_to_server,
            tenants_pb2_grpc.add_TenantServiceServicer_to_server,
            preview_pb2_grpc.add_PreviewServiceServicer_to_server,
        ):
            add(self.service, self._server)
        address = f"127.0.0.1:{self.port}"
        if self._credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, self._credentials)
        self._server.start()

    @property
    def target(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        self._server.stop(0).wait()
