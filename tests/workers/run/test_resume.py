"""A training ends with the same weights wherever its workers died, for every defense that there is."""

from __future__ import annotations

import random
import time

import pytest
from sparring.v1 import defenses_pb2, jobs_pb2

from services.gateway import defaults
from workers.defenses import DEFENSES
from workers.lease import Drain, Draining, Heartbeat, LeaseLost, Limits
from workers.run import run_unit, training

# Of the parameters that decide how long a training takes, and of those without a default: small ones.
PARAMETERS = {
    "epsilon": 0.05,
    "steps": 2,
    "step_size": 0.03,
    "temperature": 10.0,
    "teacher_epochs": 1,
    "static_models": 1,
    "static_epochs": 1,
    "pretraining_epochs": 1,
    "autoencoder_epochs": 1,
    "members": 2,
    "bits": 8,
    "units": 8,
    "batch_replays": 2,
    "labelled": 20,
    "labelled_batch": 8,
}
SGD = {"optimizer": jobs_pb2.OPTIMIZER_SGD, "schedule": jobs_pb2.SCHEDULE_CONSTANT, "momentum": 0.9}
# Those that keep something of their own from step to step, or from one network to the next; and all there is beside.
KEEPING = (
    "standard",
    "pgd_adversarial",
    "free",
    "distillation",
    "ensemble_adversarial",
    "virtual_adversarial",
    "watched",
)
WATCHED = jobs_pb2.Validation(
    held_out=0.2,
    select=jobs_pb2.SELECTION_ROBUST,
    probe_epsilon=0.05,
    probe_steps=2,
    probe_samples=20,
    overfitting_drop=0.9,
    probe_every=1,
)


def defense(name: str) -> defenses_pb2.Defense:
    """The defense of this name with every parameter set, as the service resolves it, but small."""
    message = defenses_pb2.Defense.DESCRIPTOR.fields_by_name[name].message_type._concrete_class()
    names = {field.name for field in message.DESCRIPTOR.fields}
    for key in names & PARAMETERS.keys():
        setattr(message, key, PARAMETERS[key])
    defaults.fill(message, computed=dict.fromkeys(names, 1))
    return defenses_pb2.Defense(**{name: message})


def watched(job: jobs_pb2.Job) -> None:
    """Have it averaged, shifted, clipped, probed and selected."""
    more = {"average_decay": 0.9, "gradient_clip": 1.0, "crop_padding": 1, "flip": True}
    job.training.optimization.MergeFrom(jobs_pb2.Optimization(**more))
    job.training.validation.CopyFrom(WATCHED)


class Mortal:
    """A heartbeat of a worker that dies at tick number `tick`, or before or after checkpoint number `checkpoint`."""

    def __init__(self, heartbeat: Heartbeat, *, tick: int = 0, checkpoint: int = 0, kept: bool = False) -> None:
        self._heartbeat, self._at_tick, self._at_checkpoint, self._kept = heartbeat, tick, checkpoint, kept
        self.ticks = self.checkpoints = 0

    def __getattr__(self, name: str):
        return getattr(self._heartbeat, name)

    def tick(self, fraction: float, message: str = "") -> None:
        self.ticks += 1
        if self.ticks == self._at_tick:
            raise LeaseLost
        self._heartbeat.tick(fraction, message)

    def keep_checkpoint(self, digest: str) -> None:
        self.checkpoints += 1
        dies = self.checkpoints == self._at_checkpoint
        if dies and not self._kept:
            raise LeaseLost
        self._heartbeat.keep_checkpoint(digest)
        if dies:
            raise LeaseLost


class Trainings:
    """One training, done again and again, by workers that die."""

    def __init__(self, bench, job: jobs_pb2.Job) -> None:
        self._bench, self._job, self._lives = bench, job, 0

    def live(self, **death: int) -> tuple[str | None, Mortal]:
        """Take the training on; the digest of its weights, None where the worker died, and the worker's heartbeat."""
        self._lives += 1
        store = self._bench.store
        lease = store.claim(f"claim {self._lives}", "w", "cpu", 600_000)
        with Heartbeat(store, lease, "w", limits=Limits(), drain=Drain()) as heartbeat:
            mortal = Mortal(heartbeat, **death)
            try:
                outcome = run_unit(lease, mortal, self._bench.context)
            except LeaseLost:
                outcome = None
        # Not charged, so that it may die more often than the three times that a job has.
        store.release(lease, "w")
        return None if outcome is None else outcome.digest, mortal

    def whole(self, *deaths: dict[str, int]) -> tuple[str, Mortal]:
        """The digest after these deaths, and the heartbeat of the last worker."""
        name = f"training-{self._lives}"
        self._bench.submit(self._job, name)
        for death in deaths:
            assert self.live(**death)[0] is None, f"the training was over before {death}"
        digest, mortal = self.live()
        self._bench.store.cancel("default", name)
        assert digest is not None
        return digest, mortal


@pytest.fixture
def trainings(bench, make):
    """Trainings of a few steps with this defense; SGD with momentum, or Adam."""

    def build(name: str, *, sgd: bool = False) -> Trainings:
        job = make.training(defense("pgd_adversarial" if name == "watched" else name), epochs=2)
        job.training.architecture = "wong_cnn"
        job.resolution.data.count = 60
        if name == "watched":
            watched(job)
        job.training.optimization.batch_size = 20
        if sgd:
            job.training.optimization.MergeFrom(jobs_pb2.Optimization(**SGD))
        return Trainings(bench, job)

    return build


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every step."""
    monkeypatch.setattr(training, "CHECKPOINT_S", 0.0)


def test_every_defense_of_the_contract_is_here() -> None:
    assert set(DEFENSES) == {field.name for field in defenses_pb2.Defense.DESCRIPTOR.fields}


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("name", KEEPING)
def test_a_death_at_any_checkpoint_changes_nothing(trainings, name: str) -> None:
    """Just before the store knows of it, which leads back to the one before, and just after."""
    training_ = trainings(name)
    expected, alone = training_.whole()
    assert alone.checkpoints >= 6
    for number in range(1, alone.checkpoints + 1):
        for kept in (False, True):
            assert training_.whole({"checkpoint": number, "kept": kept})[0] == expected, (number, kept)


@pytest.mark.parametrize("sgd", [False, True], ids=["adam", "sgd"])
@pytest.mark.parametrize("name", KEEPING)
def test_deaths_at_random_moments_change_nothing(trainings, name: str, *, sgd: bool) -> None:
    """With a checkpoint after each epoch only, so that most of them cost steps that are done again."""
    training_ = trainings(name, sgd=sgd)
    expected, alone = training_.whole()
    draw = random.Random(f"{name} {sgd}")
    for _ in range(3):
        # The first of them may lie anywhere; the others within the shortest rest there may be.
        deaths = [{"tick": draw.randint(1, alone.ticks)}, *({"tick": draw.randint(1, 3)} for _ in range(2))]
        assert training_.whole(*deaths)[0] == expected, deaths


@pytest.mark.parametrize("name", sorted(set(DEFENSES) - set(KEEPING)))
def test_a_death_at_a_random_moment_changes_nothing(trainings, name: str) -> None:
    training_ = trainings(name)
    expected, alone = training_.whole()
    assert training_.whole({"tick": random.Random(name).randint(1, alone.ticks)})[0] == expected


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("name", KEEPING)
def test_a_checkpoint_leaves_the_training_as_it_is(trainings, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    training_ = trainings(name)
    every_step = training_.whole()[0]
    monkeypatch.setattr(training, "CHECKPOINT_S", 1e9)
    assert training_.whole()[0] == every_step


class Slow(Mortal):
    """Takes its time, and shuts its worker down at tick number 5."""

    drain: Drain

    def tick(self, fraction: float, message: str = "") -> None:
        super().tick(fraction, message)
        time.sleep(0.1)
        if self.ticks == 5:
            self.drain.request()
            self.asked = time.monotonic()


@pytest.mark.parametrize("name", ["standard", "pgd_adversarial", "distillation"])
def test_a_shutdown_takes_a_checkpoint_at_the_next_step_and_hands_the_training_on(bench, make, name: str) -> None:
    job = make.training(defense(name), epochs=2)
    job.training.optimization.batch_size = 5
    bench.submit(job)
    lease = bench.store.claim("c", "w", "cpu", 60_000)
    with Heartbeat(bench.store, lease, "w", limits=Limits(renew_s=0.05), drain=bench.drain) as heartbeat:
        slow = Slow(heartbeat)
        slow.drain = bench.drain
        with pytest.raises(Draining):
            run_unit(lease, slow, bench.context)
    assert time.monotonic() - slow.asked < 1.5
    assert slow.checkpoints == 1
    bench.store.release(lease, "w")
    bench.drain.clear()
    assert bench.store.claim("d", "w", "cpu", 60_000).checkpoint is not None
