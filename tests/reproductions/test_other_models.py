"""Linear models by their closed form, the limit of a walk, and Biggio's protocol, on numbers that are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from sparring.v1.jobs_pb2 import Job, PoisoningRow, ResultRow

from reproductions.answers import errors
from reproductions.experiments.other_models_linear import wrong_within
from reproductions.experiments.other_models_refit import EPSILON, distance, within
from reproductions.experiments.poisoning_machines import JUDGED, LEARNED, VALIDATION, averaged, drawn
from reproductions.experiments.transferability_matrix_kinds import noises


def attacked(x_adv, label, clean, prediction):
    arrays = {
        "x_adv": np.array(x_adv, dtype=np.float32).reshape(-1, 1, 1, 2),
        "label": np.array(label),
        "clean_prediction": np.array(clean),
        "prediction": np.array(prediction),
    }
    return SimpleNamespace(arrays=arrays)


def test_an_attack_that_went_too_far_counts_for_nothing():
    x = np.zeros((3, 1, 1, 2), dtype=np.float32)
    near, far = [EPSILON, 0.0], [0.0, EPSILON + 0.1]
    found = attacked([near, far, far], label=[0, 0, 0], clean=[0, 0, 1], prediction=[1, 1, 1])
    np.testing.assert_allclose(distance(found, x), [EPSILON, EPSILON + 0.1, EPSILON + 0.1], rtol=1e-6)
    assert within(found, x) == 2 / 3


def test_the_closed_form_counts_margins_below_epsilon_times_the_weights():
    # The score of class 1 over class 0 is 2 x_0 - x_1, whose absolute weights are 3 in sum.
    tensors = {"1.weight": np.array([[-1.0, 0.5], [1.0, -0.5]]), "1.bias": np.zeros(2)}
    x, y = np.array([[1.0, 0.0], [0.3, 0.0], [0.0, 1.0]]), np.array([1, 1, 1])
    assert wrong_within(tensors, x, y, 0.0) == 1 / 3
    assert wrong_within(tensors, x, y, 0.25) == 2 / 3
    assert wrong_within(tensors, x, y, 0.7) == 1


def test_errors_are_sorted_by_model_and_attack():
    rows = [ResultRow(model="models/a", attack="clean"), ResultRow(model="models/a", attack="fgsm", epsilon=0.1)]
    rows[0].clean_accuracy.value, rows[1].robust_accuracy.value = 0.75, 0.25
    assert errors(rows) == {"models/a": {"clean": 0.25, "fgsm 0.1": 0.75}}


def test_noise_is_as_large_as_it_says_and_stays_in_the_box():
    x = np.random.default_rng(0).random((50, 1, 4, 4)).astype(np.float32)
    made = noises(x, 0.3, seed=1)
    for noisy in made.values():
        assert noisy.dtype == np.float32
        assert 0 <= noisy.min() <= noisy.max() <= 1
        assert np.abs(noisy - x).max() <= 0.3 + 1e-6
    inside = (x > 0.3) & (x < 0.7)
    np.testing.assert_allclose(np.abs(made["signs"] - x)[inside], 0.3, atol=1e-6)
    assert np.abs(made["uniform"] - x)[inside].mean() < 0.2


class Uploads:
    """A lab that keeps what was uploaded, and whose jobs have ended."""

    def __init__(self):
        self.seed, self.held = 0, []

    def upload_data(self, title, x, y, *, classes):
        assert classes == 2
        self.held.append((x, y))
        return f"datasets/{len(self.held)}"

    def wait(self, job):
        return [job]


def test_learner_attacker_and_judge_have_no_digit_in_common():
    lab = Uploads()
    x, y = np.arange(20_000).reshape(-1, 1, 1, 1), np.tile(np.arange(10), 2000)
    drawn(lab, (7, 1), (x, y), seed=0)
    (learned, labels), (judged, told) = lab.held
    assert len(learned) == LEARNED + VALIDATION
    assert len(judged) == JUDGED
    assert not set(learned.ravel()) & set(judged.ravel())
    np.testing.assert_array_equal(y[learned.ravel()] == 7, labels == 1)
    np.testing.assert_array_equal(y[judged.ravel()] == 1, told == 0)


def test_errors_of_a_pair_are_means_over_its_seeds():
    def job(*wrong):
        made = Job()
        for points, error in zip((0, 1, 3), wrong, strict=True):
            row = PoisoningRow(fraction=points / LEARNED, n=400)
            row.error.value = error
            made.result.poisoning_rows.append(row)
        return made

    one = {"moved": job(0.02, 0.1, 0.2), "unmoved": job(0.02, 0.02, 0.03), "flips": job(0.04, 0.05, 0.06)}
    two = {"moved": job(0.04, 0.3, 0.4), "unmoved": job(0.04, 0.04, 0.05), "flips": job(0.06, 0.07, 0.08)}
    found, judged = averaged(Uploads(), [one, two])
    assert judged == 400
    expected = {"clean": 0.03, "moved 1": 0.2, "moved 3": 0.3, "unmoved 1": 0.03, "unmoved 3": 0.04}
    expected |= {"clean, flips": 0.05, "flips 1": 0.06, "flips 3": 0.07}
    assert {what: round(value, 6) for what, value in found.items()} == expected
