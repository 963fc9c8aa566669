"""NetworkPolicies, simulated: exactly the flows of a table, between all pods, and with the world around them."""

from itertools import product

from .network import Peer, allowed, peers_of
from .rendering import Release

PORTS = {
    "gateway": 50051,
    "health": 50052,
    "metrics": 9464,
    "redis": 6379,
    "console": 50080,
    "names": 53,
    "api": 443,
    "kubelet": 10250,
}
DNS = Peer("dns", {"k8s-app": "kube-dns"}, "kube-system", {"kubernetes.io/metadata.name": "kube-system"})
STRANGER = Peer("stranger", {"app": "other"}, "default", {"kubernetes.io/metadata.name": "default"})
NEIGHBOUR = Peer("neighbour", {"app": "other"})
VISION = Peer("vision", {}, "vision", {"team": "vision"})
MONITORING = Peer("monitoring", {}, "monitoring", {"kubernetes.io/metadata.name": "monitoring"})
INGRESS = Peer("ingress", {}, "ingress-nginx", {"kubernetes.io/metadata.name": "ingress-nginx"})
INTERNET = Peer("internet", namespace=None, address="203.0.113.9")
REDIS_ELSEWHERE = Peer("redis-elsewhere", namespace=None, address="192.0.2.7")
STORAGE = Peer("storage", namespace=None, address="10.20.0.9")
WORLD = (DNS, STRANGER, NEIGHBOUR, VISION, MONITORING, INGRESS, INTERNET, REDIS_ELSEWHERE, STORAGE)
OUTSIDERS = [peer.name for peer in WORLD]


def flows(release: Release, *more_ports: int) -> set[tuple[str, str, int]]:
    """Everything that comes about between any two of whom at least one is ours, on every port that anybody uses."""
    pods = peers_of(release)
    found = set()
    for source, target in product([*pods.values(), *WORLD], repeat=2):
        ours = source.name in pods or target.name in pods
        for port in {*PORTS.values(), *more_ports}:
            if ours and source is not target and allowed(release, source, target, port):
                found.add((source.name, target.name, port))
    return found


def test_by_default_there_are_these_flows_and_no_others(releases):
    assert flows(releases["defaults"]) == {
        *(("gateway", "redis", 6379), ("worker-cpu", "redis", 6379), ("exporter", "redis", 6379)),
        *((pod, "dns", 53) for pod in ("gateway", "worker-cpu", "exporter", "console")),
        ("console", "gateway", 50051),
        # Clients and browsers, until `networkPolicy` says who they are.
        *((outsider, "gateway", 50051) for outsider in OUTSIDERS),
        *((outsider, "console", 50080) for outsider in OUTSIDERS),
        # The API server, for the Job that makes secrets.
        *(("prepare", outside.name, 443) for outside in WORLD if not outside.is_pod),
    }


def test_named_clients_browsers_and_monitoring_are_the_only_ones_let_in(releases):
    workers = ("worker-cpu", "worker-gpu", "worker-gpu-pairs")
    outside = [peer.name for peer in WORLD if not peer.is_pod]
    assert flows(releases["everything"], 9000, 4317) == {
        *((pod, "redis", 6379) for pod in ("gateway", "exporter", *workers)),
        *((pod, "dns", 53) for pod in ("gateway", "exporter", "console", *workers)),
        *(("monitoring", pod, 9464) for pod in ("gateway", "exporter", *workers)),
        *((pod, "storage", 9000) for pod in ("gateway", *workers)),
        *((pod, outsider, 4317) for pod in ("gateway", *workers) for outsider in outside),
        ("console", "gateway", 50051),
        ("vision", "gateway", 50051),
        ("ingress", "console", 50080),
        *(("prepare", outsider, 443) for outsider in outside),
    }


def test_an_external_redis_is_reached_at_its_address_alone(releases):
    found = flows(releases["external"], 6380)
    assert {flow for flow in found if flow[2] in (6379, 6380)} == {
        *((pod, "redis-elsewhere", 6380) for pod in ("gateway", "worker-cpu", "exporter")),
        # The second one, for artifacts.
        *((pod, "storage", 6379) for pod in ("gateway", "worker-cpu")),
    }
    assert not [flow for flow in found if flow[2] == 443]


def test_names_are_resolved_over_udp_too_and_nothing_else_is(releases):
    release = releases["defaults"]
    pods = peers_of(release)
    assert allowed(release, pods["worker-cpu"], DNS, 53, "UDP")
    assert not allowed(release, pods["worker-cpu"], DNS, 54, "UDP")
    assert not allowed(release, pods["redis"], DNS, 53, "UDP"), "Redis calls nobody"


def test_the_same_chart_a_second_time_is_a_stranger(releases):
    release = releases["defaults"]
    labels = peers_of(release)["worker-cpu"].labels | {"app.kubernetes.io/instance": "other"}
    other = Peer("other-worker", labels)
    assert not allowed(release, other, peers_of(release)["redis"], 6379)
