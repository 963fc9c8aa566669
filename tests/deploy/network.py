"""What NetworkPolicies let through, as their specification says it, for IPv4."""

import ipaddress
from dataclasses import dataclass, field
from typing import Any

from .rendering import NAMESPACE, Release

Object = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """Who calls or is called: a pod with its labels in a namespace, or an address that is no pod's."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    namespace: str | None = NAMESPACE
    namespace_labels: dict[str, str] = field(default_factory=dict)
    address: str = "10.0.0.1"

    @property
    def is_pod(self) -> bool:
        return self.namespace is not None


def peers_of(release: Release) -> dict[str, Peer]:
    """The pods of a release."""
    return {name: Peer(name, pod["metadata"]["labels"]) for name, pod in release.pods().items()}


def allowed(release: Release, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection comes about: it must be let out, and it must be let in."""
    policies = release.of("NetworkPolicy")
    return _passes(policies, "Egress", source, target, port, protocol) and _passes(
        policies, "Ingress", target, source, port, protocol
    )


def _passes(policies: list[Object], direction: str, own: Peer, other: Peer, *service: Any) -> bool:
    if own.namespace != NAMESPACE:
        return True
    about = [
        policy["spec"]
        for policy in policies
        if direction in policy["spec"]["policyTypes"] and _selects(policy["spec"]["podSelector"], own.labels)
    ]
    if not about:
        return True
    rules = [rule for spec in about for rule in spec.get(direction.lower(), [])]
    key = "to" if direction == "Egress" else "from"
    return any(_port(rule, *service) and _peer(rule.get(key, []), other) for rule in rules)


def _port(rule: Object, port: int, protocol: str) -> bool:
    ports = rule.get("ports", [])
    return not ports or any(each["port"] == port and each.get("protocol", "TCP") == protocol for each in ports)


def _peer(peers: list[Object], other: Peer) -> bool:
    return not peers or any(_matches(peer, other) for peer in peers)


def _matches(peer: Object, other: Peer) -> bool:
    if "ipBlock" in peer:
        # Blocks are for addresses outside of the cluster; whether they catch pods is left open by the specification.
        inside = ipaddress.ip_address(other.address) in ipaddress.ip_network(peer["ipBlock"]["cidr"])
        return inside and not other.is_pod
    if not other.is_pod:
        return False
    if "namespaceSelector" in peer:
        if not _selects(peer["namespaceSelector"], other.namespace_labels):
            return False
    elif other.namespace != NAMESPACE:
        return False
    return _selects(peer.get("podSelector", {}), other.labels)


def _selects(selector: Object, labels: dict[str, str]) -> bool:
    assert selector.keys() <= {"matchLabels"}, "no policy of the chart uses expressions"
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()
