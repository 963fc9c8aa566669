"""Kill -9 at random moments: a training that is taken up from its last checkpoint ends with the same weights."""

from __future__ import annotations

import multiprocessing
import random
import time

import pytest
import torch

from workers.data import builtin
from workers.defenses import FreeAdversarialTraining, PgdAdversarialTraining
from workers.engine.train import Optimization, Validation, train
from workers.models import Signature, build, save

torch.set_num_threads(1)

HOW = Optimization(epochs=8, batch_size=50, learning_rate=0.01, average_decay=0.95, crop_padding=1, gradient_clip=1.0)
WATCH = Validation(held_out=0.2, select="robust", probe_epsilon=0.1, probe_steps=3, overfitting_drop=0.5)
DEFENSES = {
    "pgd_adversarial": PgdAdversarialTraining(epsilon=0.1, steps=3, step_size=0.05, epsilon_ramp=0.25),
    "free": FreeAdversarialTraining(epsilon=0.1, batch_replays=2, step_size=0.1, epsilon_ramp=0.25),
}
KILLS = 3
TRIALS = 2


def trained(defense, *, resume=None, save=None):
    """The training that is killed; it keeps a checkpoint after each epoch and every 50 ms."""
    return train(
        build(Signature("wong_cnn", (1, 8, 8), 10), seed=0),
        builtin("digits", "train").select(0, 300),
        defense,
        HOW,
        seed=7,
        validation=WATCH,
        resume=resume,
        save=save,
        checkpoint_every_s=0.05,
    )


def live(defense, path):
    """One life: from the last checkpoint there is, until somebody kills it."""

    def keep(checkpoint):
        beside = path.with_suffix(".part")
        beside.write_bytes(checkpoint)
        beside.replace(path)

    trained(defense, resume=path.read_bytes() if path.exists() else None, save=keep)


@pytest.mark.parametrize("name", DEFENSES)
def test_killed_at_random_moments_it_ends_with_the_same_weights(name, tmp_path):
    """Twice over, each time killed at three moments of one life's length altogether."""
    defense, draw, context = DEFENSES[name], random.Random(name), multiprocessing.get_context("fork")
    begun = time.monotonic()
    expected = trained(defense)
    length, killed = time.monotonic() - begun, 0
    for trial in range(TRIALS):
        path = tmp_path / f"{trial}.checkpoint"
        for _ in range(KILLS):
            process = context.Process(target=live, args=(defense, path))
            process.start()
            process.join(draw.uniform(0.1, 0.6) * length)
            killed += process.is_alive()
            process.kill()
            process.join()
        result = trained(defense, resume=path.read_bytes() if path.exists() else None)
        assert save(result.model) == save(expected.model)
        assert (result.history, result.probes, result.selected) == (
            expected.history,
            expected.probes,
            expected.selected,
        )
    assert killed >= TRIALS
