"""The substitute attack: exact questions, the sign of a Jacobian's row from where FGSM goes, the words of the paper."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from reproductions.experiments.black_box_substitute_theft import (
    AUGMENTATIONS,
    CLASSES,
    STEP,
    Oracle,
    jacobian_sign,
    steal,
)

SHAPE = (1, 2, 4)


class Linear:
    """Softmax regression, and FGSM on it as the service does it: what has reached its goal is left as it is."""

    def __init__(self, seed):
        self.w = np.random.default_rng(seed).normal(size=(CLASSES, 8))

    def scores(self, x):
        return x.reshape(len(x), -1) @ self.w.T

    def predict(self, x):
        return self.scores(x).argmax(axis=1)

    def slope(self, x, label):
        """The gradient of log p_label, (N, C, H, W)."""
        z = self.scores(x)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        return (self.w[label] - p @ self.w).reshape(x.shape)

    def fgsm(self, x, y, epsilon, target):
        clean = self.predict(x)
        towards = np.arange(len(x)) % CLASSES if target == "each" else None
        attacked = clean == y if towards is None else (towards != y) & (clean != towards)
        direction = -np.sign(self.slope(x, y)) if towards is None else np.sign(self.slope(x, towards))
        moved = np.clip(x + epsilon * direction, 0, 1)
        return np.where(attacked[:, None, None, None], moved, x).astype(np.float32), clean


class Service:
    """A lab that keeps uploads, and answers attacks on linear models at once."""

    def __init__(self):
        self.seed, self.models, self.uploads, self.trained = 5, {"oracle": Linear(0)}, {}, []

    def upload_data(self, title, x, y, *, classes):
        assert classes == CLASSES
        assert x.dtype == np.float32
        assert 0 <= x.min() <= x.max() <= 1
        name = f"data/{len(self.uploads)}"
        self.uploads[name] = (x, y)
        return name

    def train(self, title, *, data, **given):
        self.trained.append((*self.uploads[data], given))
        name = f"substitute {len(self.trained)}"
        self.models[name] = Linear(len(self.trained))
        return name

    def attack(self, model, attack, *, data, count):
        x, y = self.uploads[data]
        assert count == len(x)
        words = dict(pair.split("=") for pair in attack.removeprefix("fgsm:").split(","))
        moved, clean = self.models[model].fgsm(x, y, float(words["epsilon"]), words.get("target"))
        return SimpleNamespace(arrays={"x_adv": moved, "clean_prediction": clean})


@pytest.fixture
def service():
    return Service()


def pictures(count, seed=1):
    """Pictures with many pixels at 0 and 1, as digits have."""
    drawn = np.random.default_rng(seed).uniform(-0.5, 1.5, size=(count, *SHAPE))
    return np.clip(drawn, 0, 1).astype(np.float32)


def test_the_sign_of_the_jacobian_is_that_of_the_slope_whether_the_substitute_agrees_or_not(service):
    x, label = pictures(60), np.random.default_rng(2).integers(0, CLASSES, 60)
    label[:20] = service.models["oracle"].predict(x[:20])
    data = service.upload_data("points", x, label, classes=CLASSES)
    sign, disagreed = jacobian_sign(service, "oracle", data, x, label)
    np.testing.assert_array_equal(sign, np.sign(service.models["oracle"].slope(x, label)))
    assert disagreed == int((service.models["oracle"].predict(x) != label).sum()) > 20


def test_each_point_is_asked_about_once_and_only_labels_are_handed_out(service):
    oracle = Oracle(lab=service, model="oracle")
    theft = steal(service, oracle, pictures(6), "linear")
    assert oracle.asked == 6 * 2**AUGMENTATIONS == theft.queries[-1]
    assert oracle.labels_only
    assert theft.queries == tuple(6 * 2**rho for rho in range(AUGMENTATIONS + 1))
    last, labels, _ = service.trained[-1]
    np.testing.assert_array_equal(labels, service.models["oracle"].predict(last))


def test_an_oracle_that_handed_out_scores_would_be_seen(service):
    oracle = Oracle(lab=service, model="oracle")
    oracle.labels("some", pictures(3))
    assert oracle.labels_only
    oracle.log.append(np.array([0.5, 0.5]))
    assert not oracle.labels_only


def test_points_are_moved_up_the_slope_of_their_label_and_after_three_rounds_down_again(service):
    theft = steal(service, Oracle(lab=service, model="oracle"), pictures(4), "linear")
    for rho in range(AUGMENTATIONS):
        x, label, _ = service.trained[rho]
        grown = service.trained[rho + 1][0]
        step = STEP if rho < 3 else -STEP
        sign = np.sign(service.models[theft.substitutes[rho]].slope(x, label))
        np.testing.assert_array_equal(grown[: len(x)], x)
        np.testing.assert_allclose(grown[len(x) :], np.clip(x + step * sign, 0, 1), atol=1e-6)


def test_each_substitute_goes_on_from_the_one_before(service):
    theft = steal(service, Oracle(lab=service, model="oracle"), pictures(3), "linear")
    begins = [given.get("initial_model") for _, _, given in service.trained]
    assert begins == [None, *theft.substitutes[:-1]]
    assert service.trained[0][2]["architecture"] == "mlp"
