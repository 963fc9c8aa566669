"""A healthy client, as a process: how long its calls take.

    python -m tests.faults.net_probe TARGET JOB SECONDS

Calls GetJob and CreateJob (validate_only) in turn, at most 250 a second; prints the latencies in seconds as one list of
JSON for each method.
"""

from __future__ import annotations

import json
import os
import sys
import time

import grpc
from sparring.v1 import datasets_pb2, jobs_pb2, jobs_pb2_grpc

PACE_S = 0.004


def training(name: str = "") -> jobs_pb2.TrainingSpec:
    """A training that needs nothing that is not built in."""
    return jobs_pb2.TrainingSpec(
        architecture="wong_cnn",
        data=datasets_pb2.DataSelection(dataset="mnist10k", count=1000),
        evaluation_data=datasets_pb2.DataSelection(dataset="mnist10k", count=100),
        optimization=jobs_pb2.Optimization(epochs=1),
        model_id=name,
    )


def probe(target: str, job: str, seconds: float) -> dict[str, list[float]]:
    """Call in turn, for so long, and time each call."""
    metadata = (("authorization", f"Bearer {os.environ['SPARRING_KEY']}"),) if "SPARRING_KEY" in os.environ else ()
    taken: dict[str, list[float]] = {"GetJob": [], "CreateJob": []}
    with grpc.insecure_channel(target) as channel:
        stub = jobs_pb2_grpc.JobServiceStub(channel)
        get = jobs_pb2.GetJobRequest(name=job)
        create = jobs_pb2.CreateJobRequest(training=training(), validate_only=True)
        for _ in range(20):
            stub.GetJob(get, timeout=30, metadata=metadata, wait_for_ready=True)
            stub.CreateJob(create, timeout=30, metadata=metadata)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for method, request in (("GetJob", get), ("CreateJob", create)):
                started = time.monotonic()
                getattr(stub, method)(request, timeout=30, metadata=metadata)
                took = time.monotonic() - started
                taken[method].append(took)
                time.sleep(max(0.0, PACE_S - took))
    return taken


if __name__ == "__main__":
    print(json.dumps(probe(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
