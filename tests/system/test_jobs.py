"""Jobs through real containers: they end well, whoever shares them and whatever dies meanwhile."""

import hashlib
import threading
from pathlib import Path

import pytest
import sparring
from sparring.v1.datasets_pb2 import DataSelection
from sparring.v1.jobs_pb2 import Job, UnitChange, WatchJobResponse

from .stack import Stack, wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

JOB_S = 240.0


@pytest.fixture(scope="session")
def trained(client: sparring.Client) -> Job:
    """A short training."""
    job = client.train("mnist10k", architecture="wong_cnn", count=2000, epochs=1, seed=3)
    return client.jobs.wait(job, timeout_s=JOB_S, check=True)


@pytest.fixture(scope="session")
def undisturbed(stack: Stack, client: sparring.Client, trained: Job) -> str:
    """The digest of the long attack's adversarial examples, made by one worker in peace."""
    job = client.jobs.wait(long_attack(client, trained), timeout_s=JOB_S, check=True)
    return client.jobs.artifact(job, "adversarial").artifact


@pytest.fixture
def three_workers(stack: Stack) -> Stack:
    """The deployment with three workers, all of them listening."""
    stack.up(workers=3)
    return stack


def long_attack(client: sparring.Client, trained: Job) -> Job:
    """An attack that is long enough to be disturbed: twelve shards of about a second each on one core."""
    attack = "pgd:epsilon=0.2,steps=100"
    chosen = DataSelection(dataset="mnist10k", split="test", count=1536)
    return client.attack(trained.result.model, chosen, attack, batch_size=128, shard_size=128, seed=7)


def container_of(claim: UnitChange, stack: Stack) -> str:
    """Return the container of a unit's worker, whose name begins with its host's: with the container's id."""
    (container,) = (one for one in stack.containers("worker") if claim.worker.startswith(one[:12]))
    return container


class Watch:
    """A job watched in a thread of its own, as a client would watch it."""

    def __init__(self, client: sparring.Client, job: Job) -> None:
        self._client, self._job = client, job
        self.events: list[WatchJobResponse] = []
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        for event in self._client.jobs.watch(self._job, timeout_s=JOB_S):
            self.events.append(event)

    def changes(self, kind: int) -> list[UnitChange]:
        """Return what became of units so far, of one kind."""
        return [event.unit_change for event in list(self.events) if event.unit_change.kind == kind]

    def until_committed(self, units: int) -> None:
        """Wait until so many units are done."""
        wait_until(lambda: len(self.changes(UnitChange.KIND_COMMITTED)) >= units, JOB_S, f"{units} units committed")

    def goes_on(self) -> bool:
        """Say whether the job's end has not been seen yet."""
        return self._thread.is_alive()

    def last_claim(self) -> UnitChange:
        """Return the latest claim of a unit that nobody has committed yet."""
        done = {change.unit for change in self.changes(UnitChange.KIND_COMMITTED)}
        return [change for change in self.changes(UnitChange.KIND_CLAIMED) if change.unit not in done][-1]

    def finish(self) -> Job:
        """Wait for the last event; return the job, which has succeeded and lost no event on the way."""
        self._thread.join(JOB_S)
        assert not self._thread.is_alive()
        job = self._client.jobs.get(self._job)
        assert job.state == Job.STATE_SUCCEEDED, job.error
        assert [event.event_id for event in self.events] == list(range(1, job.last_event_id + 1))
        return job


def test_a_training_makes_a_model_that_knows_its_digits(trained: Job) -> None:
    clean = [row for row in trained.result.rows if row.attack == "clean"]
    assert len(clean) == 1
    assert clean[0].clean_accuracy.value > 0.8


def test_an_fgsm_attack_fools_it(client: sparring.Client, trained: Job, tmp_path: Path) -> None:
    job = client.attack(trained.result.model, "mnist10k", "fgsm", split="test", epsilon=0.25, count=500)
    done = client.jobs.wait(job, timeout_s=JOB_S, check=True)
    (row,) = (row for row in done.result.rows if row.attack == "fgsm")
    assert row.n == 500
    assert row.robust_accuracy.value < 0.6 < row.clean_accuracy.value
    assert row.violations == 0
    artifact = client.jobs.artifact(done, "adversarial").artifact
    path = client.artifacts.download(artifact, tmp_path / "adversarial.safetensors")
    assert f"artifacts/{hashlib.sha256(path.read_bytes()).hexdigest()}" == artifact


def test_three_workers_share_a_job_and_make_the_same_bytes(
    undisturbed: str, three_workers: Stack, client: sparring.Client, trained: Job
) -> None:
    listening = {worker.id for worker in client.catalog.info().workers}
    assert len(listening) == 3
    watch = Watch(client, long_attack(client, trained))
    job = watch.finish()
    took_part = {change.worker for change in watch.changes(UnitChange.KIND_COMMITTED)}
    assert took_part <= listening
    assert len(took_part) > 1
    assert client.jobs.artifact(job, "adversarial").artifact == undisturbed


def test_a_worker_killed_in_the_middle_of_a_job_changes_nothing(
    undisturbed: str, three_workers: Stack, client: sparring.Client, trained: Job
) -> None:
    watch = Watch(client, long_attack(client, trained))
    watch.until_committed(2)
    claim = watch.last_claim()
    three_workers.kill(container_of(claim, three_workers))
    job = watch.finish()
    assert len(three_workers.containers("worker")) == 2
    assert claim.unit in {change.unit for change in watch.changes(UnitChange.KIND_LOST)}
    assert client.jobs.artifact(job, "adversarial").artifact == undisturbed


def test_a_worker_that_is_stopped_leaves_no_shard_behind(
    undisturbed: str, three_workers: Stack, client: sparring.Client, trained: Job
) -> None:
    watch = Watch(client, long_attack(client, trained))
    watch.until_committed(2)
    leaver = container_of(watch.last_claim(), three_workers)
    three_workers.engine.docker("stop", "--time", "60", leaver, timeout_s=90)
    assert three_workers.inspect(leaver)["State"]["ExitCode"] == 0
    job = watch.finish()
    assert not watch.changes(UnitChange.KIND_LOST)
    assert client.jobs.artifact(job, "adversarial").artifact == undisturbed


@pytest.mark.parametrize("end", ["TERM", "KILL"])
def test_a_gateway_restarted_in_the_middle_of_a_watch_costs_no_event(
    undisturbed: str, three_workers: Stack, client: sparring.Client, trained: Job, end: str
) -> None:
    watch = Watch(client, long_attack(client, trained))
    watch.until_committed(1)
    (gateway,) = three_workers.containers("gateway")
    three_workers.engine.docker("kill", "--signal", end, gateway)
    three_workers.engine.docker("wait", gateway)
    assert watch.goes_on()
    three_workers.engine.docker("start", gateway)
    job = watch.finish()
    assert client.jobs.artifact(job, "adversarial").artifact == undisturbed


def test_redis_killed_in_the_middle_of_a_job_loses_nothing(
    undisturbed: str, three_workers: Stack, client: sparring.Client, trained: Job
) -> None:
    watch = Watch(client, long_attack(client, trained))
    watch.until_committed(2)
    (redis,) = three_workers.containers("redis")
    three_workers.kill(redis)
    three_workers.engine.docker("start", redis)
    job = watch.finish()
    assert client.jobs.artifact(job, "adversarial").artifact == undisturbed


def test_the_command_is_in_the_gateways_image(stack: Stack, client: sparring.Client, trained: Job) -> None:
    (gateway,) = stack.containers("gateway")
    listed = stack.engine.docker("exec", gateway, "sparring", "jobs", "list", "--json")
    assert trained.name in listed


def test_nobody_was_refused_anything_by_redis_that_it_needs(stack: Stack, trained: Job) -> None:
    """The other tests of this file have made every part do all that it does."""
    (container,) = stack.containers("redis")
    login = 'REDISCLI_AUTH="$(cat /var/lib/sparring/secrets/admin-password)" redis-cli --user admin'
    refused = stack.engine.docker("exec", container, "sh", "-c", f"{login} ACL LOG")
    assert [line for line in refused.splitlines() if line in ("gateway", "worker", "init")] == []


def test_a_result_can_be_verified_from_the_gateways_container(
    stack: Stack, client: sparring.Client, trained: Job
) -> None:
    job = client.attack(trained.result.model, "mnist10k", "bim", epsilon=0.1, steps=3, count=300)
    client.jobs.wait(job, timeout_s=JOB_S, check=True)
    (gateway,) = stack.containers("gateway")
    stack.engine.docker("exec", gateway, "sparring", "verify", job.name, timeout_s=JOB_S)
