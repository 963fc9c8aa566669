"""The rows of the failed defenses: the contract takes each of them, and a random model is judged by many answers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sparring import requests

from reproductions import asking
from reproductions.experiments.failed_defenses_rows import RADIUS, ROWS, SMALL, UNDEFENDED
from reproductions.experiments.failed_defenses_trial import Size, Stand, made_ready, tried

N = 4
SIZE = Size(epochs=3, digits=N, steps=2, asked=4, curve=(0.05,))


@pytest.mark.parametrize("name", ROWS)
def test_the_contract_has_every_row_with_its_parameters(name):
    row = ROWS[name]
    made = asking.training(
        asking.selection("mnist10k/train"),
        architecture=row.architecture,
        defense=row.defense,
        parameters=row.given(5),
        optimization={"epochs": 5, "learning_rate": row.learning_rate},
    )
    assert made.training.defense.WhichOneof("kind") == row.defense
    if row.times:
        assert made.training.defense.autoencoder.autoencoder_epochs == 15


class Tosser:
    """A lab of one model that answers 1 or 0 by the toss of the job's seed; every picture is of class 0.

    Attacks leave pictures as they are, unless they are strong: from `breaks` on the answer is always 1.
    """

    def __init__(self, *, random, breaks):
        self.random, self.breaks, self.seed, self.counts, self.attacks = random, breaks, 0, {}, []

    def upload_data(self, title, x, y, *, classes):
        name = f"datasets/{len(self.counts)}"
        self.counts[name] = len(x)
        return name

    def attacking(self, model, attack, *, data="mnist10k/test", count, seed=None):
        kind = requests.attack(attack)
        chosen = getattr(kind, kind.WhichOneof("kind"))
        self.attacks.append(kind.WhichOneof("kind"))
        if data != "mnist10k/test":
            assert count == self.counts[data]
        own = chosen.epsilon >= self.breaks and kind.WhichOneof("kind") in {"pgd", "eot_pgd"}
        answer = 1 if own else (0 if seed is None else seed % 2) if self.random else 0
        arrays = {name: np.full(count, answer) for name in ("prediction", "clean_prediction")}
        arrays |= {"x_adv": np.zeros((count, 1, 2, 2), dtype=np.float32), "label": np.zeros(count, dtype=np.int64)}
        return SimpleNamespace(arrays=arrays)

    def attacked(self, *jobs):
        return list(jobs)

    def attack(self, model, attack, **given):
        return self.attacking(model, attack, **given)


def stand(lab: Tosser) -> Stand:
    parts = np.zeros((4 + 3, N, 1, 2, 2), dtype=np.float32)
    data = lab.upload_data("stand", parts.reshape(-1, 1, 2, 2), np.zeros(7 * N), classes=10)
    return Stand(size=SIZE, y=np.zeros(N, dtype=np.int64), data=data, radii=(0.05, SMALL, RADIUS), parts=parts)


def test_a_defense_that_only_the_adaptive_attack_breaks_is_broken():
    lab = Tosser(random=False, breaks=RADIUS)
    found = tried(lab, ROWS["autoencoder"], "models/net", 0.1, stand(lab))
    assert (found.everything, found.naive, found.static) == (0.1, 0, 0)
    assert found.adaptive == {0.0: 0, 0.05: 0, SMALL: 0, RADIUS: 1}


def test_what_answers_at_random_is_attacked_in_expectation_and_judged_by_the_share_of_its_answers():
    lab = Tosser(random=True, breaks=2.0)
    found = tried(lab, ROWS["glimpses"], "models/net", 0.1, stand(lab))
    assert "eot_pgd" in lab.attacks
    assert "pgd" not in lab.attacks
    assert found.naive == found.static == 0.5
    assert found.adaptive == {0.0: 0.5, SMALL: 0.5, RADIUS: 0.5}


def test_the_stand_holds_what_breaks_the_undefended_net_at_every_radius(monkeypatch):
    lab = Tosser(random=False, breaks=0.0)
    x = np.full((N, 1, 2, 2), 0.5, dtype=np.float32)
    where = "reproductions.experiments.failed_defenses_trial.samples"
    monkeypatch.setattr(where, lambda *_, **__: (x, np.zeros(N, dtype=np.int64)))
    made = made_ready(lab, UNDEFENDED, SIZE)
    assert made.radii == (0.05, SMALL, RADIUS)
    assert made.count == lab.counts[made.data] == 7 * N
    np.testing.assert_allclose(np.abs(made.parts[3] - x), RADIUS)
    assert lab.attacks == ["deepfool", "fgsm", "pgd", "pgd", "pgd"]
