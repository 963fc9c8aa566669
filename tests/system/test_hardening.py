"""What a container may do is what it needs, whoever gets into it."""

import http.client
import ssl

import pytest
import sparring
from sparring import errors

from .stack import PROJECT, Stack, wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

SERVICES = ("redis", "gateway", "worker", "console")


def the(stack: Stack, service: str) -> str:
    """The id of the first container of a service."""
    return stack.containers(service)[0]


def execute(stack: Stack, service: str, *command: str) -> str:
    return stack.engine.docker("exec", the(stack, service), *command, check=False).strip()


@pytest.mark.parametrize("service", SERVICES)
def test_it_says_that_it_is_well(stack: Stack, service: str) -> None:
    wait_until(lambda: stack.inspect(the(stack, service))["State"]["Health"]["Status"] == "healthy", 60, "healthy")


@pytest.mark.parametrize("service", SERVICES)
def test_it_runs_as_a_user_without_rights(stack: Stack, service: str) -> None:
    assert execute(stack, service, "id", "-u") == "10001"
    status = execute(stack, service, "cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


@pytest.mark.parametrize("service", SERVICES)
def test_its_root_file_system_cannot_be_written(stack: Stack, service: str) -> None:
    assert "Read-only file system" in execute(stack, service, "touch", "/etc/probe")
    assert execute(stack, service, "touch", "/tmp/probe") == ""


@pytest.mark.parametrize("service", SERVICES)
def test_it_cannot_fill_the_machine_with_processes(stack: Stack, service: str) -> None:
    assert 0 < stack.inspect(the(stack, service))["HostConfig"]["PidsLimit"] <= 512


@pytest.mark.parametrize(
    ("service", "published"),
    [("redis", []), ("worker", []), ("gateway", ["127.0.0.1"]), ("console", ["127.0.0.1"])],
)
def test_only_gateway_and_console_are_published_and_only_to_this_machine(
    stack: Stack, service: str, published: list[str]
) -> None:
    ports = stack.inspect(the(stack, service))["NetworkSettings"]["Ports"]
    assert [binding["HostIp"] for bindings in ports.values() for binding in bindings or ()] == published


def test_a_worker_reaches_its_own_network_and_nothing_beyond_it(stack: Stack) -> None:
    """The gateway is on both networks, so its two addresses show the difference without leaving this machine."""
    networks = stack.inspect(the(stack, "gateway"))["NetworkSettings"]["Networks"]
    data, edge = (networks[f"{PROJECT}_{name}"]["IPAddress"] for name in ("data", "edge"))
    connect = "import socket, sys; socket.create_connection((sys.argv[1], 50051), timeout=3); print('connected')"
    assert execute(stack, "worker", "python", "-c", connect, data) == "connected"
    assert "connected" not in execute(stack, "worker", "python", "-c", connect, edge)


def test_redis_is_on_the_closed_network_alone(stack: Stack) -> None:
    assert list(stack.inspect(the(stack, "redis"))["NetworkSettings"]["Networks"]) == [f"{PROJECT}_data"]


def redis(stack: Stack, user: str, *command: str) -> str:
    """What Redis answers to a user whose password is in its own container."""
    login = f'REDISCLI_AUTH="$(cat /var/lib/sparring/secrets/{user}-password)"'
    return execute(stack, "redis", "sh", "-c", f"{login} redis-cli --user {user} {' '.join(command)}")


def test_redis_answers_nobody_without_a_password(stack: Stack) -> None:
    assert "NOAUTH" in execute(stack, "redis", "redis-cli", "ping")


def test_redis_keeps_what_it_has_answered(stack: Stack) -> None:
    asked = redis(stack, "admin", "CONFIG GET appendonly appendfsync maxmemory maxmemory-policy").split()
    settings = dict(zip(asked[::2], asked[1::2], strict=True))
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["maxmemory-policy"] == "noeviction"
    assert int(settings["maxmemory"]) > 0


@pytest.mark.parametrize("command", ["GET '{sparring}:fence'", "CONFIG GET requirepass", "FLUSHALL", "ACL LIST"])
def test_the_health_check_of_redis_can_do_nothing_else(stack: Stack, command: str) -> None:
    assert "NOPERM" in redis(stack, "probe", command)


@pytest.mark.parametrize(
    ("service", "hidden"),
    [
        ("worker", ["tenants.toml", "first-key", "server-key.pem", "page-token-key", "authority"]),
        ("gateway", ["authority", "ca-key.pem", "admin-password", "users.acl"]),
        ("redis", ["tenants.toml", "server-key.pem", "redis-password"]),
        ("console", ["tenants.toml", "first-key", "page-token-key", "redis-password", "authority"]),
    ],
)
def test_a_service_sees_its_own_secrets_and_no_others(stack: Stack, service: str, hidden: list[str]) -> None:
    seen = execute(stack, service, "ls", "/var/lib/sparring/secrets").split()
    assert seen
    assert not set(seen) & set(hidden)


def test_the_gateway_answers_nobody_without_tls_or_without_a_key(stack: Stack) -> None:
    stack.connect().close()
    keyless = sparring.connect(stack.target, tls_ca=stack.folder / "ca.pem")
    with keyless, pytest.raises(errors.Unauthenticated):
        keyless.catalog.info()
    plain = sparring.connect(stack.target, timeout_s=5)
    with plain, pytest.raises(errors.ServiceError):
        plain.catalog.info()


def test_the_console_speaks_tls_asks_for_a_key_and_reaches_the_gateway_alone(stack: Stack) -> None:
    assert list(stack.inspect(the(stack, "console"))["NetworkSettings"]["Networks"]) == [f"{PROJECT}_edge"]
    stack.connect().close()
    (binding,) = stack.inspect(the(stack, "console"))["NetworkSettings"]["Ports"]["50080/tcp"]
    trusting = ssl.create_default_context(cafile=str(stack.folder / "ca.pem"))
    pages = http.client.HTTPSConnection("localhost", int(binding["HostPort"]), timeout=20, context=trusting)
    answers = {}
    for path in ("/healthz", "/readyz", "/jobs"):
        pages.request("GET", path, headers={"Accept": "text/html"})
        answer = pages.getresponse()
        answers[path] = answer.status, answer.headers.get("location", ""), answer.read()
    pages.close()
    assert answers["/healthz"][0] == answers["/readyz"][0] == 200
    assert answers["/jobs"][:2] == (303, "/login?next=%2Fjobs")


def test_the_consoles_image_has_neither_pytorch_nor_a_way_to_redis(stack: Stack) -> None:
    program = "import importlib.util as u; print([m for m in ('torch', 'numpy', 'redis', 'celery') if u.find_spec(m)])"
    assert execute(stack, "console", "python", "-c", program) == "[]"


def test_the_gateways_image_has_no_pytorch(stack: Stack) -> None:
    program = "import importlib.util as u; print([m for m in ('torch', 'numpy', 'workers') if u.find_spec(m)])"
    assert execute(stack, "gateway", "python", "-c", program) == "[]"
