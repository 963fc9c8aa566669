"""Exit 0 if the gateway in this container says SERVING by the standard health protocol (grpc.health.v1)."""

import os
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_S = 5.0


def serving(target: str) -> bool:
    """Say whether the whole server at `target` serves; a server that can't be reached does not."""
    with grpc.insecure_channel(target) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            print(error, file=sys.stderr)
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    port = os.environ["SPARRING_HEALTH_LISTEN"].rpartition(":")[2]
    sys.exit(0 if serving(f"127.0.0.1:{port}") else 1)
