"""A whole stack: keys, restarts that nobody notices, a result that is verified."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import sparring
from sparring import errors

from services.local import LocalStack
from services.tenants.keys import hash_key, new_key

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KEY = new_key("ci")
TENANTS = f"""
[tenants.vision]
[[tenants.vision.keys]]
id = "ci"
sha256 = "{hash_key(KEY)}"
role = "admin"
"""


@pytest.fixture(scope="module")
def stack(fast_folder: Path) -> Iterator[LocalStack]:
    """Two gateways that ask for keys, one worker, and a redis-server where the machine has one."""
    tenants = fast_folder / "tenants.toml"
    tenants.write_text(TENANTS)
    with LocalStack(
        1,
        fast_folder / "keyed",
        gateways=2,
        gateway_environment={"SPARRING_TENANTS_FILE": str(tenants)},
        store_binary=shutil.which("redis-server"),
        maxmemory=1 << 30,
    ) as running:
        yield running


@pytest.fixture
def client(stack: LocalStack) -> Iterator[sparring.Client]:
    with sparring.connect(stack.target, key=KEY) as connected:
        yield connected


def test_a_stack_with_keys_is_ready_without_one_but_answers_only_to_one(
    stack: LocalStack, client: sparring.Client
) -> None:
    assert client.tenant().name == "tenants/vision"
    for target in stack.targets:
        with sparring.connect(target) as stranger, pytest.raises(errors.Unauthenticated):
            stranger.catalog.info()


def test_a_result_is_verified_by_doing_it_again(client: sparring.Client) -> None:
    client.jobs.wait(client.train("mnist10k", architecture="mlp", epochs=1, model_id="net"), check=True)
    job = client.attack(
        "net", "mnist10k", "pgd", epsilon=0.2, steps=2, offset=10, count=600, batch_size=100, shard_size=200
    )
    client.jobs.wait(job, check=True)
    verified = sparring.verify(client, job, units=3)
    assert verified.ok, verified.checks
    assert [check.outcome for check in verified.checks if "again" in check.what] == ["ok"] * 3
    assert verified.differences == ()


def test_nobody_notices_that_everything_is_restarted(stack: LocalStack, client: sparring.Client) -> None:
    """Unary calls, a watch, uploads and downloads, while each process in turn goes and comes back."""
    kept = client.artifacts.upload(b"kept" * (1 << 20))
    job = client.train("mnist10k", architecture="mlp", epochs=20)
    over, failures, rounds = threading.Event(), [], {}

    def keep_on(name: str, do: Callable[[int], object]) -> None:
        rounds[name] = 0
        try:
            while not over.is_set():
                do(rounds[name])
                rounds[name] += 1
        except Exception as error:  # noqa: BLE001 - any failure at all is what this looks for
            failures.append((name, error))

    work = {
        "get": lambda _: (client.jobs.get(job), over.wait(0.01)),
        "upload": lambda number: client.artifacts.delete(client.artifacts.upload(b"%08d" % number * (1 << 18))),
        "download": lambda _: client.artifacts.read(kept),
        "submit": lambda _: (client.jobs.delete(client.jobs.wait(client.jobs.cancel(_small(client)))), over.wait(0.2)),
        "watch": lambda _: client.jobs.wait(job, check=True),
    }
    threads = [threading.Thread(target=keep_on, args=item) for item in work.items()]
    with ExitStack() as leaving:
        leaving.callback(lambda: [thread.join() for thread in threads])
        leaving.callback(over.set)
        for thread in threads:
            thread.start()
        for name in ("gateway", "worker-1", "store"):
            before = stack.pid(name)
            stack.restart(name)
            assert stack.pid(name) not in {0, before}
            stack.wait_until_ready()
        client.jobs.wait(job, check=True)
    assert failures == []
    assert min(rounds.values()) > 0


def _small(client: sparring.Client) -> sparring.v1.jobs_pb2.Job:
    return client.attack("net", "mnist10k", "fgsm", count=4)


def test_a_program_takes_another_environment_at_its_restart(stack: LocalStack) -> None:
    stack.restart("worker-1", {"SPARRING_STALL_S": "77"})
    assert psutil.Process(stack.pid("worker-1")).environ()["SPARRING_STALL_S"] == "77"
