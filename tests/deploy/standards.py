"""Kubernetes' Pod Security Standard "restricted", as it stands in its documentation, rule by rule."""

from collections.abc import Iterator
from typing import Any

from .rendering import containers

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
}  # fmt: skip


def violations(pod: dict[str, Any]) -> Iterator[str]:
    """What the standard would refuse of a pod."""
    spec = pod["spec"]
    shared = spec.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield name
    for volume in spec.get("volumes", []):
        (kind,) = volume.keys() - {"name"}
        if kind not in VOLUMES:
            yield f"volume {volume['name']} is a {kind}"
    for sysctl in shared.get("sysctls", []):
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    if shared.get("runAsUser") == 0:
        yield "the pod runs as root"
    for each in containers(pod):
        yield from (f"{each['name']}: {wrong}" for wrong in _of_container(each, shared))


def _of_container(container: dict[str, Any], shared: dict[str, Any]) -> Iterator[str]:
    own = container.get("securityContext", {})
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if not own.get("runAsNonRoot", shared.get("runAsNonRoot", False)):
        yield "may run as root"
    if own.get("runAsUser", shared.get("runAsUser")) == 0:
        yield "runs as root"
    if "ALL" not in own.get("capabilities", {}).get("drop", []):
        yield "keeps capabilities"
    if set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "adds capabilities"
    profile = own.get("seccompProfile", shared.get("seccompProfile", {})).get("type")
    if profile not in {"RuntimeDefault", "Localhost"}:
        yield "has no seccomp profile"
    if own.get("procMount", "Default") != "Default":
        yield "sees more of /proc"
    if any("hostPort" in port and port["hostPort"] != 0 for port in container.get("ports", [])):
        yield "takes a port of the host"
