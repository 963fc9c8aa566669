"""The chart and docker-compose.yml describe the same deployment: read side by side, so that neither is forgotten."""

import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.gateway.options import Options

from .rendering import NAME, ROOT, Release, container, containers, environment
from .secrets_made import script

# A service of docker-compose.yml: the pod of the chart (with everything switched on, but the certificates of others).
SAME = {
    "redis": ("redis", "redis"),
    "init": ("gateway", "init"),
    "gateway": ("gateway", "gateway"),
    "worker": ("worker-cpu", "worker"),
    "worker-gpu": ("worker-gpu", "worker"),
    "console": ("console", "console"),
    "exporter": ("exporter", "exporter"),
}
# What the chart says beside; with docker-compose.yml, the image says it.
CHART_ALONE = {
    "worker-cpu": {"SPARRING_LANE", "SPARRING_THREADS", "SPARRING_PROCESSES"},
    "worker-gpu": {"SPARRING_THREADS", "SPARRING_PROCESSES"},
}
# Seldom wanted.
FOR_EXTRA_ENV = {"SPARRING_ARTIFACTS_MEMORY_BYTES", "SPARRING_MAX_PREVIEWS", "SPARRING_PREVIEWS"}
# What is another in a cluster: by which names it is reached.
OTHER_VALUES = {"SPARRING_CONSOLE_HOSTS"}
# Mounts of one machine: each GPU is locked in a folder that the containers share. A cluster hands each pod its own.
MACHINE_ALONE = {"/tmp/sparring-gpus"}
# Where the chart mounts nothing by default.
IF_ASKED_FOR = {"/data", "/var/lib/sparring/artifacts", "/var/lib/sparring/artifacts-secrets"}
COMPOSE_FILE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = {name: found for name, found in COMPOSE_FILE["services"].items() if name in SAME}


def default(text: str) -> str:
    """A value of the file with the defaults of its variables filled in."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.fixture(scope="module")
def pods(helm, releases):
    """The defaults' pods, and the GPU worker's of the GPU example."""
    return releases["gpu"].pods() | releases["defaults"].pods()


def test_every_service_of_ours_is_in_the_table_above():
    for name, service in COMPOSE_FILE["services"].items():
        ours = "sparring/" in service.get("image", "") or "image" not in service
        # `prepare` is the Job that makes Secrets: the same script, behind another.
        assert not ours or name in SAME or name == "prepare", name
    assert {"redis", "init", "gateway", "worker", "worker-gpu"} <= SERVICES.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_image_command_and_user_are_the_same(pods, name):
    service = SERVICES[name]
    pod, each = pods[SAME[name][0]], container(pods[SAME[name][0]], SAME[name][1])
    image = default(service["image"])
    assert each["image"] == image if ":" in image else each["image"].rpartition(":")[0] == image
    assert each.get("args") == ([default(word) for word in service["command"]] if "command" in service else None)
    assert "command" not in each
    security = pod["spec"]["securityContext"]
    assert service["user"] == f"{security['runAsUser']}:{security['runAsGroup']}"
    assert service["read_only"] is each["securityContext"]["readOnlyRootFilesystem"] is True
    assert service["cap_drop"] == each["securityContext"]["capabilities"]["drop"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert each["securityContext"]["allowPrivilegeEscalation"] is False
    # The one process above all reaps what others leave.
    assert service["init"] is pod["spec"]["shareProcessNamespace"] is True


@pytest.mark.parametrize("name", SERVICES)
def test_variables_are_the_same(pods, name):
    in_compose = {
        variable: None if value is None else default(str(value))
        for variable, value in (SERVICES[name].get("environment") or {}).items()
    }
    part = SAME[name][0]
    in_chart = environment(container(pods[part], SAME[name][1]))
    fixed = {variable: value for variable, value in in_compose.items() if value}
    assert fixed.keys() - OTHER_VALUES <= in_chart.keys()
    for variable, value in in_chart.items():
        if variable in fixed and variable not in OTHER_VALUES:
            assert value.replace(f"{NAME}-", "") == fixed[variable]
    assert in_chart.keys() - in_compose.keys() <= CHART_ALONE.get(part, set()) | {"SPARRING_LOG_FORMAT"}


@pytest.mark.parametrize("name", ["gateway", "worker"])
def test_what_compose_hands_on_the_chart_has_a_value_for(releases, name):
    handed_on = {variable for variable, value in SERVICES[name]["environment"].items() if value is None}
    pod, each = SAME[name]
    found = [environment(container(releases[case].pods()[pod], each)) for case in ("everything", "external")]
    assert handed_on - set().union(*found) <= FOR_EXTRA_ENV


@pytest.mark.parametrize("name", SERVICES)
def test_mounted_paths_are_the_same(pods, name):
    in_compose = {"/tmp"}
    for volume in SERVICES[name].get("volumes", []):
        in_compose.add(default(volume).split(":")[1])
    in_chart = {mount["mountPath"] for mount in container(pods[SAME[name][0]], SAME[name][1])["volumeMounts"]}
    # Of a ConfigMap a folder is mounted and not a file: a file by itself would never change.
    in_chart = {path.replace("/etc/sparring", "/etc/sparring/redis.conf") for path in in_chart}
    assert in_compose - in_chart - MACHINE_ALONE <= IF_ASKED_FOR
    assert in_chart <= in_compose


def test_what_is_asked_for_is_mounted_where_docker_compose_has_it(releases):
    def mounts(case: str, pod: str, name: str) -> dict[str, Any]:
        return {mount["mountPath"]: mount for mount in container(releases[case].pods()[pod], name)["volumeMounts"]}

    for pod in ("worker-cpu", "worker-gpu"):
        assert mounts("everything", pod, "worker")["/data"]["readOnly"] is True
    for pod, name in (("gateway", "gateway"), ("worker-cpu", "worker")):
        assert mounts("everything", pod, name)["/var/lib/sparring/artifacts-secrets"]["readOnly"] is True
    for pod, name in (("gateway", "gateway"), ("worker-gpu", "worker")):
        assert "readOnly" not in mounts("gpu", pod, name)["/var/lib/sparring/artifacts"]


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"init"}))
def test_there_is_as_much_time_to_stop(pods, name):
    grace = SERVICES[name].get("stop_grace_period")
    if grace is not None:
        assert pods[SAME[name][0]]["spec"]["terminationGracePeriodSeconds"] == int(grace.removesuffix("s"))


def test_a_gateway_has_the_time_that_its_drain_takes(helm, pods):
    gateway = pods["gateway"]
    drain_s = float(environment(container(gateway, "gateway"))["SPARRING_DRAIN_S"])
    assert drain_s > Options.drain_s, "endpoints take longer to go than connections on one machine"
    assert gateway["spec"]["terminationGracePeriodSeconds"] >= drain_s + Options().grace_s + 3


def test_redis_is_asked_the_same_question(pods):
    asked = SERVICES["redis"]["healthcheck"]["test"].replace("$$", "$")
    assert container(pods["redis"], "redis")["readinessProbe"]["exec"]["command"] == ["sh", "-c", asked]


def test_redis_gets_the_files_of_deploy_and_starts_again_when_they_change(releases: dict[str, Release], pods):
    (found,) = releases["defaults"].of("ConfigMap")
    for name in ("redis.conf", "users.acl"):
        assert found["data"][name].rstrip("\n") == (ROOT / "deploy" / name).read_text().rstrip("\n")
    assert re.fullmatch("[0-9a-f]{64}", pods["redis"]["metadata"]["annotations"]["sparring/files"])


def test_the_list_of_users_is_filled_in_as_prepare_fills_it_in(pods, tmp_path: Path):
    users = re.findall(r"#@(\w+)@", (ROOT / "deploy" / "users.acl").read_text())
    pod = pods["redis"]
    (passwords,) = (found for found in pod["spec"]["volumes"] if found["name"] == "passwords")
    mounted = [item["path"] for source in passwords["projected"]["sources"] for item in source["secret"]["items"]]
    assert sorted(mounted) == sorted(users)
    for folder in ("passwords", "secrets", "etc"):
        (tmp_path / folder).mkdir()
    for user in users:
        (tmp_path / "passwords" / user).write_text(f"secret of {user}\n")
    shutil.copy(ROOT / "deploy" / "users.acl", tmp_path / "etc")
    command = [
        word.replace("/var/lib/sparring", str(tmp_path)).replace("/etc/sparring", str(tmp_path / "etc"))
        for word in container(pod, "users")["command"]
    ]
    subprocess.run(command, check=True, timeout=60)
    prepare = runpy.run_path(str(script.PREPARE))
    expected = prepare["access_list"]({user: f"secret of {user}" for user in users})
    assert (tmp_path / "secrets" / "users.acl").read_text() == expected
    assert (tmp_path / "secrets" / "probe-password").read_text() == "secret of probe"
    (tmp_path / "passwords" / "worker").unlink()
    assert subprocess.run(command, check=False, timeout=60, capture_output=True).returncode == 1


def test_every_part_s_password_reaches_it_and_nobody_else(pods):
    for name, pod in pods.items():
        text = yaml.safe_dump([each.get("volumeMounts", []) for each in containers(pod)])
        assert ("passwords" in text) is (name == "redis"), name
