"""Kill -9 at any moment of a training: the weights are those of the training that was left alone, whatever it keeps.

Ten moments for each training, one in every tenth of its length, where within it follows from the seed; and ten more at
the moment when a checkpoint is in the store and the lease does not know of it, the other worker killed with the first.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import sparring
from sparring.v1 import jobs_pb2

from . import facts
from .history import fingerprint
from .invariants import check
from .load import replay
from .results import Row
from .stack import FaultStack

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
# Those that keep the most from step to step: none, a perturbation, a teacher; and all that a training may ask for.
# Epochs so that each takes three to six seconds on a processor of its own; the defense decides what an epoch costs.
TRAININGS = {
    "standard": "standard:epochs=16",
    "fgsm_adversarial": "fgsm_adversarial:epsilon=0.1,epochs=8",
    "pgd_adversarial": "pgd_adversarial:epsilon=0.1,steps=2,epochs=6",
    "distillation": "distillation:epochs=6",
    "free": "free:epsilon=0.1,batch_replays=4,epochs=16",
    "watched": "pgd_adversarial:epsilon=0.1,steps=2,epochs=5,schedule=cosine,warm_up=0.2,average_decay=0.95,"
    "gradient_clip=1,crop_padding=1,flip=true,held_out=0.2,select=robust,probe_steps=3,probe_samples=100,"
    "overfitting_drop=0.5",
}
MOMENTS = 10
TRIES = 40
POINT = "worker.checkpointed"


@dataclass(frozen=True)
class Trained:
    """What an undisturbed training came to."""

    weights: str
    fingerprint: str


@dataclass
class Kills:
    """What one defense's trainings went through."""

    jobs: list[str] = field(default_factory=list)
    injected: int = 0
    from_checkpoint: int = 0
    missed: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@pytest.fixture(scope="module")
def stack(fast_folder) -> Iterator[FaultStack]:
    with FaultStack(fast_folder / "faults-training", "valkey", workers=3).running() as running:
        yield running


def request(training: str, seed: int = 4) -> jobs_pb2.CreateJobRequest:
    """A training with a checkpoint after each of its epochs, judged on a few samples."""
    return sparring.submit.train(
        sparring.requests.selection("mnist10k", count=1000),
        TRAININGS[training],
        architecture="wong_cnn",
        batch_size=50,
        seed=seed,
        evaluation_data=sparring.requests.selection("mnist10k", count=20),
    )


def weights(job: jobs_pb2.Job) -> str:
    """The name of the trained weights: their SHA-256."""
    return next(file.artifact for file in job.result.artifacts if file.role == "weights")


def undisturbed(stack: FaultStack, training: str) -> Trained:
    with stack.client() as client:
        job = client.jobs.wait(client.jobs.create(request(training)), check=True)
    return Trained(weights(job), fingerprint(job))


@pytest.mark.parametrize("training", TRAININGS)
def test_a_training_that_is_killed_at_any_moment_ends_with_the_same_weights(
    stack, rng, report, scaled, training
) -> None:
    expected, kills, moments = undisturbed(stack, training), Kills(), scaled(MOMENTS)
    # A unit that is lost a third time is quarantined, as it should be: so each training is killed twice.
    half = moments // 2
    at = [(number + rng.random()) / moments for number in range(moments)]
    pairs = [list(pair) for pair in zip(at[:half], at[half : 2 * half], strict=True)]
    pairs += [[moment] for moment in at[2 * half :]]
    threads = [threading.Thread(target=trainings, args=(stack, training, pair, kills), daemon=True) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    judge(stack, f"F1 {training} training killed", kills, expected, report)
    assert kills.injected >= moments, f"no training could be caught at {kills.missed}"


def test_a_training_whose_checkpoint_was_just_kept_ends_with_the_same_weights(stack, rng, report, scaled) -> None:
    """Both workers are killed when one of them has put a checkpoint that its lease does not know of yet."""
    expected, kills, wanted = undisturbed(stack, "distillation"), Kills(), scaled(MOMENTS)
    deadline = time.monotonic() + 300
    with stack.client() as client:
        while kills.injected < wanted:
            assert time.monotonic() < deadline
            pair = [client.jobs.create(request("distillation")).name for _ in range(2)]
            kills.jobs += pair
            kills.injected += at_a_checkpoint(stack, pair, skip=rng.randrange(1, 8))
            for name in pair:
                client.jobs.wait(name, check=True)
    judge(stack, "F1 training killed at its checkpoint", kills, expected, report)


def trainings(stack: FaultStack, training: str, moments: list[float], kills: Kills) -> None:
    """Train, killed at these moments; one that was over too soon is trained again for the moments that are left."""
    with stack.client() as client:
        for _ in range(TRIES):
            name = client.jobs.create(request(training)).name
            with kills.lock:
                kills.jobs.append(name)
            while moments and caught(stack, name.removeprefix("jobs/"), moments[0], kills):
                del moments[0]
            client.jobs.wait(name, timeout_s=120)
            if not moments:
                return
        kills.missed += moments


def caught(stack: FaultStack, job: str, moment: float, kills: Kills) -> bool:
    """Kill the holder of the training once so much of it is done; False where it was over before."""
    progress = Progress()
    while not stack.redis.hexists(f"{facts.P}results:{job}", 0):
        fraction = stack.redis.hget(f"{facts.P}running:{job}", 0)
        if fraction is not None and progress.estimate(float(fraction)) >= moment:
            worker = stack.redis.hget(f"{facts.P}units:{job}", "w:0")
            kept = stack.redis.hexists(f"{facts.P}units:{job}", "c:0")
            if worker is not None and stack.send(pid_of(worker), signal.SIGKILL, "kill child"):
                gone(stack, job, worker)
                with kills.lock:
                    kills.injected += 1
                    kills.from_checkpoint += kept
                return True
        time.sleep(0.01)
    return False


@dataclass
class Progress:
    """How far a training is now, from what it told last, twice a second, and its speed until then."""

    told: list[tuple[float, float]] = field(default_factory=list)

    def estimate(self, fraction: float) -> float:
        now = time.monotonic()
        if not self.told or fraction != self.told[-1][1]:
            self.told.append((now, fraction))
        (began, first), (heard, last) = self.told[0], self.told[-1]
        speed = (last - first) / (heard - began) if heard > began else 0.0
        return last + speed * (now - heard)


def gone(stack: FaultStack, job: str, worker: bytes) -> None:
    """Wait until the dead worker's lease is over, so that nobody is killed for it twice."""
    stack.wait_for(
        lambda: stack.redis.hget(f"{facts.P}units:{job}", "w:0") != worker, "the lease of a dead worker ends"
    )


def pid_of(worker: bytes) -> int:
    return int(worker.decode().rsplit("-", 2)[1])


def at_a_checkpoint(stack: FaultStack, names: list[str], *, skip: int) -> int:
    """Kill whoever holds these trainings when one of them has put a checkpoint for the `skip`th time; how many."""
    jobs = [name.removeprefix("jobs/") for name in names]
    log_at = stack.points.stat().st_size
    while not all(stack.redis.hexists(f"{facts.P}results:{job}", 0) for job in jobs):
        with stack.points.open("rb") as log:
            log.seek(log_at)
            reached = [line.split() for line in log.read().decode().splitlines() if line.startswith(POINT)]
        # Each pauses there for a moment; the last line is of one that has only just come.
        if len(reached) > skip:
            holders = [stack.redis.hget(f"{facts.P}units:{job}", "w:0") for job in jobs]
            return sum(
                stack.send(pid_of(holder), signal.SIGKILL, "kill child") for holder in holders if holder is not None
            )
        time.sleep(0.005)
    return 0


def judge(stack: FaultStack, fault: str, kills: Kills, expected: Trained, report: Callable[[Row], None]) -> None:
    """Read every training again, from its first event: it succeeded, with these weights, and nothing is left over."""
    stack.wait_until_whole()
    with stack.client() as client:
        histories = [replay(client, stack.redis, name, expected=expected.fingerprint) for name in kills.jobs]
        found = [weights(client.jobs.get(name)) for name in kills.jobs]
    wrong = [name for name, digest in zip(kills.jobs, found, strict=True) if digest != expected.weights]
    violations = check(histories, facts.read(stack.redis, processes=stack.orphans()))
    report(
        Row(
            fault=fault,
            store=stack.store,
            runs=1,
            injections=kills.injected,
            kills=kills.injected,
            jobs=len(kills.jobs),
            lost=sum(violation.invariant == "I1" for violation in violations),
            double_commits=sum(violation.invariant == "I2" for violation in violations),
            wrong_digests=len(wrong),
        )
    )
    assert wrong == []
    assert not violations, "\n".join(map(str, violations[:20]))
    claims = sum(event.change == "claimed" and event.attempt > 1 for history in histories for event in history.events)
    assert claims >= kills.injected, "every training that was killed is taken up again"
