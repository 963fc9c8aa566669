"""Several processes that train one network give what one gives, and end together."""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from functools import partial

import psutil
import pytest
import torch
from torch import nn

from workers.data import builtin
from workers.defenses import FreeAdversarialTraining, PgdAdversarialTraining, StandardTraining, Trades
from workers.engine import train_processes
from workers.engine.monitor import NullMonitor
from workers.engine.train import Optimization, Validation, train
from workers.engine.train_processes import ProcessLost
from workers.failures import Interrupted, Rejected
from workers.models import Classifier, Signature, build, save

torch.set_num_threads(1)

# Each process imports torch afresh.
pytestmark = pytest.mark.slow

TWO = (torch.device("cpu"),) * 2
SIGNATURE = Signature("wong_cnn", (1, 8, 8), 10)
HOW = Optimization(epochs=2, batch_size=15, learning_rate=0.02, weight_decay=0.01)
PGD = PgdAdversarialTraining(epsilon=0.1, steps=2, step_size=0.1, epsilon_ramp=0.5)

# Largest difference of a weight that two orders of adding floats make over these trainings; weights are about 0.1.
TOLERANCE = 2e-4


@pytest.fixture(scope="module")
def digits():
    """Sixty digits: 4 batches of 15, of which the processes take 7 and 8."""
    return builtin("digits", "train").select(0, 60)


def normalised():
    """A net with batch normalisation, whose statistics have to be those of the whole batch.

    Without a bias before it: its gradient would be nothing but rounding, which Adam makes whole steps of.
    """
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(parameter.numel()))
    return Classifier(SIGNATURE, network, (8, 8)).eval()


class Ear(NullMonitor):
    """Keeps figures, and does something at a tick."""

    def __init__(self, at=10**9, act=None):
        self.at, self.act, self.ticks, self.figures = at, act, 0, []

    def tick(self, fraction, message=""):
        self.ticks += 1
        if self.ticks == self.at:
            self.act()

    def metric(self, name, value, step):
        self.figures.append((name, value, step))


def apart(one, other):
    """The largest difference between the weights and buffers of two models."""
    pairs = zip(one.network.state_dict().values(), other.network.state_dict().values(), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


def members(of=None):
    """The processes that a process (this one) has started to train and that live, in the order of their ranks."""
    found = {}
    for process in psutil.Process(of).children():
        line = process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
        if train_processes.MEMBER in line:
            found[line[-2]] = process
    return [found[rank] for rank in sorted(found)]


def none_left():
    """No process of a training lives any more."""
    return members() == []


def test_two_processes_give_what_one_gives_and_either_goes_on_where_the_other_was(digits):
    """PGD with all that there is: normalisation, average, shifts, clipping, a rolled-back and a selected epoch."""
    how = Optimization(
        epochs=4,
        batch_size=15,
        learning_rate=0.02,
        schedule="cosine",
        average_decay=0.8,
        gradient_clip=1.0,
        crop_padding=1,
        flip=True,
    )
    watch = Validation(held_out=0.2, select="robust", probe_epsilon=0.05, probe_steps=2, overfitting_drop=0.9)
    alone, ours, ear = [], [], Ear()
    one = train(normalised(), digits, PGD, how, seed=3, validation=watch, save=alone.append)
    two = train_processes.train(
        normalised(), digits, PGD, how, devices=TWO, seed=3, validation=watch, save=ours.append, monitor=ear
    )
    assert (one.processes, two.processes) == (1, 2)
    assert apart(one.model, two.model) < TOLERANCE
    assert two.history == pytest.approx(one.history, rel=1e-3)
    assert len(ours) == len(alone) == 4
    for mine, theirs in zip(two.probes, one.probes, strict=True):
        # One sample of 48 or 12 may be on the edge.
        assert mine.probe_robust == pytest.approx(theirs.probe_robust, abs=1 / 40)
        assert mine.held_out_robust == pytest.approx(theirs.held_out_robust, abs=1 / 10)
    assert [step for name, _, step in ear.figures if name == "loss"] == [1, 2, 3, 4]
    assert ear.ticks > 0
    # The checkpoint of two after the second epoch, taken up by one; and the other way round.
    resumed = train(normalised(), digits, PGD, how, seed=3, validation=watch, resume=ours[1])
    assert apart(resumed.model, one.model) < TOLERANCE
    both = train_processes.train(normalised(), digits, PGD, how, devices=TWO, seed=3, validation=watch, resume=alone[1])
    assert apart(both.model, one.model) < TOLERANCE
    assert both.history[:2] == one.history[:2]
    assert none_left()


def test_two_processes_give_what_one_gives_where_rounding_decides_more(digits):
    """TRADES, by Adam, one cycle and decay, over batches that do not divide evenly.

    So near to the sample the divergence hardly slopes, and where the slope is nothing but rounding so is its sign.
    """
    trades = Trades(epsilon=0.1, steps=2, step_size=0.1, beta=6.0, epsilon_ramp=0.5)
    one = train(build(SIGNATURE, seed=0), digits, trades, HOW, seed=3)
    two = train_processes.train(build(SIGNATURE, seed=0), digits, trades, HOW, devices=TWO, seed=3)
    assert apart(one.model, two.model) < 25 * TOLERANCE
    assert two.history == pytest.approx(one.history, rel=1e-4)


def test_a_process_that_is_killed_ends_the_training_and_all_others(digits):
    """The error says which and how; the checkpoint from before is there."""

    def kill():
        members()[1].kill()

    how, saved = Optimization(epochs=200, batch_size=15, learning_rate=0.01), []
    with pytest.raises(ProcessLost, match="process 2 of the 2 that trained together was killed by SIGKILL"):
        train_processes.train(
            build(SIGNATURE, seed=0),
            digits,
            PGD,
            how,
            devices=TWO,
            seed=3,
            monitor=Ear(5, kill),
            save=saved.append,
        )
    assert none_left()
    assert saved


def test_none_outlives_the_process_that_started_them(digits, tmp_path, monkeypatch):
    """Killed while they train, or while they still start; nothing stays in the folder of temporary files either."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    how = Optimization(epochs=200, batch_size=15, learning_rate=0.01)
    work = partial(train_processes.train, build(SIGNATURE, seed=0), digits, PGD, how, devices=TWO, seed=3)
    starter = multiprocessing.get_context("fork").Process(target=work)
    starter.start()
    while len(left := members(starter.pid)) < 2:
        time.sleep(0.01)
    starter.kill()
    starter.join()
    assert psutil.wait_procs(left, timeout=60)[1] == []
    assert list(tmp_path.iterdir()) == []


class Draining(NullMonitor):
    """A worker that shuts down: it wants a checkpoint, and then no more."""

    def __init__(self):
        self.kept = []

    def checkpoint_wanted(self):
        return True

    def save(self, checkpoint):
        self.kept.append(checkpoint)
        raise Interrupted


def test_a_checkpoint_that_is_wanted_comes_at_once_and_whoever_stops_the_training_stops_all_of_it(digits):
    """Within an epoch of thirty steps; one process can go on from it."""
    how, drain = Optimization(epochs=20, batch_size=2, learning_rate=0.01), Draining()
    with pytest.raises(Interrupted):
        train_processes.train(
            build(SIGNATURE, seed=0), digits, PGD, how, devices=TWO, seed=3, monitor=drain, save=drain.save
        )
    assert none_left()
    (checkpoint,) = drain.kept
    length = int.from_bytes(checkpoint[:8], "little")
    content = json.loads(json.loads(checkpoint[8 : 8 + length])["__metadata__"]["checkpoint"])
    assert content["step"] % 30 > 0
    with pytest.raises(Interrupted):
        train(build(SIGNATURE, seed=0), digits, PGD, how, seed=3, resume=checkpoint, monitor=Ear(3, interrupt))


def interrupt():
    raise Interrupted


def test_an_error_of_a_process_is_the_training_s(digits):
    """As it was raised there: what is wrong with the input is said as by one process."""
    how = Optimization(epochs=3, batch_size=15, learning_rate=1e30, schedule="constant")
    mlp = build(Signature("mlp", (1, 8, 8), 10), seed=0)
    with pytest.raises(Rejected, match="smaller learning_rate") as caught:
        train_processes.train(mlp, digits, StandardTraining(), how, devices=TWO, seed=0)
    assert caught.value.reason == "TRAINING_DIVERGED"
    assert none_left()


def test_one_process_does_it_where_a_batch_can_not_be_shared(digits, monkeypatch):
    """A defense that needs the whole batch, or batches of one sample: bit for bit what one process gives."""
    monkeypatch.setattr(train_processes, "_started", None)
    free = FreeAdversarialTraining(epsilon=0.1, batch_replays=2, step_size=0.1, epsilon_ramp=0.5)
    single = Optimization(epochs=1, batch_size=1, learning_rate=0.01)
    for defense, how in ((free, HOW), (StandardTraining(), single)):
        one = train(build(SIGNATURE, seed=0), digits, defense, how, seed=3)
        many = train_processes.train(build(SIGNATURE, seed=0), digits, defense, how, devices=TWO, seed=3)
        assert save(many.model) == save(one.model)
        assert many.processes == 1
