"""A job whose batches do not fit into the worker's memory: it ends, its bytes are the same, and the result says so."""

from __future__ import annotations

import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from sparring.v1 import jobs_pb2

from workers import models
from workers.lease import Failed
from workers.run import reasons, shards


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch):
    """Let no model of this process see more than so many samples at once; gives the sizes that were tried."""
    forward = models.Classifier.forward
    tried: list[int] = []

    def limit(most: int) -> list[int]:
        def limited(self, x):
            tried.append(len(x))
            if len(x) > most:
                raise MemoryError
            return forward(self, x)

        monkeypatch.setattr(models.Classifier, "forward", limited)
        return tried

    return limit


def units_of(laboratory, name):
    return laboratory.store.unit_results("vision", name)


def said(outcome: Failed) -> tuple[str, str]:
    failure, info = Status.FromString(outcome.error), ErrorInfo()
    assert failure.details[0].Unpack(info)
    return info.reason, failure.message


@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd"])
def test_halved_shards_have_the_same_bytes_and_the_result_says_that_they_were_halved(laboratory, attack, fits, name):
    job = attack(laboratory.model(), name, batch_size=32, shard_size=64)
    plenty = laboratory.result(job, "plenty")
    fits(15)
    scarce = laboratory.result(job, "scarce")
    assert [unit.digest for unit in units_of(laboratory, "plenty")] == [
        unit.digest for unit in units_of(laboratory, "scarce")
    ]
    assert laboratory.file(plenty, "adversarial") == laboratory.file(scarce, "adversarial")
    assert [unit.stats.get("halved") for unit in units_of(laboratory, "scarce")] == 2 * [{"from": 32, "to": 8}]
    assert not any("halved" in unit.stats for unit in units_of(laboratory, "plenty"))
    (warning,) = [warning for warning in scarce.warnings if "out of memory" in warning]
    assert warning.startswith("2 of 2 units were halved to 8 samples at once after out of memory at 32.")
    assert not any("out of memory" in warning for warning in plenty.warnings)


def test_what_fits_is_known_to_the_shards_after(laboratory, attack, fits):
    model, tried = laboratory.model(), fits(7)
    laboratory.result(attack(model, "bim"))
    assert [size for size in tried if size > 7] == [20, 10]


def test_a_clean_evaluation_is_halved_too(laboratory, evaluation, fits):
    model, tried = laboratory.model(), fits(20)
    result = laboratory.result(evaluation(model, attacks=False))
    assert [size for size in tried if size > 20] == [50, 25]
    assert any("2 of 2 units were halved to 12 samples" in warning for warning in result.warnings)


def test_a_worker_that_can_not_hold_one_sample_fails_the_job_with_what_to_change(laboratory, attack, fits):
    model = laboratory.model()
    laboratory.result(attack(model, "fgsm"), "warm")  # the network is loaded, which takes a forward of one sample
    tried = fits(0)
    outcome = laboratory.run(attack(model, "pgd"))
    assert isinstance(outcome, Failed)
    reason, message = said(outcome)
    assert reason == "OUT_OF_MEMORY"
    assert "make execution.batch_size smaller than 20" in message
    assert tried == [20, 10, 5, 2, 1]


def test_batches_of_one_are_told_to_change_something_else():
    spec = jobs_pb2.AttackSpec(execution=jobs_pb2.Execution(batch_size=1))
    message = reasons.explain(MemoryError(), jobs_pb2.Job(attack=spec)).message
    assert "batch_size" not in message
    assert "give the workers more memory" in message


def test_another_batch_size_has_a_portion_of_its_own_and_a_dropped_model_leaves_none(laboratory, attack, fits):
    model, _ = laboratory.model(), fits(7)
    before = len(shards._portions)
    laboratory.result(attack(model, "fgsm", batch_size=20, shard_size=40), "twenties")
    laboratory.result(attack(model, "fgsm", batch_size=4, shard_size=40), "fours")
    assert not any("halved" in unit.stats for unit in units_of(laboratory, "fours"))
    assert len(shards._portions) == before + 1


def test_the_judgement_after_a_training_halves_and_the_training_itself_does_not(laboratory, training, fits):
    """In smaller steps it would be another training; the accuracy of its model is the same in any pieces."""
    fits(49)
    outcome = laboratory.run(training(batch_size=50), "scarce")
    assert isinstance(outcome, Failed)
    reason, message = said(outcome)
    assert reason == "OUT_OF_MEMORY"
    assert "make optimization.batch_size smaller than 50" in message
    fits(50)
    job = training(batch_size=50)
    lease, trained = laboratory.first_unit(job, "plenty")
    laboratory.store.commit(lease, "w", trained.digest, trained.stats)
    fits(30)
    _, outcome = laboratory.next_unit()
    result = jobs_pb2.JobResult.FromString(outcome.result)
    assert any("1 of 1 units were halved to 25 samples" in warning for warning in result.warnings)
    assert result.rows[0].n == 90


@pytest.mark.parametrize("fitted", [False, True])
def test_a_poisoning_that_does_not_fit_says_what_to_make_smaller(poisoning, *, fitted):
    if fitted:
        poisoning.poisoning.fitting.cost = 1
    said = reasons.explain(MemoryError(), poisoning).message
    assert "the poisoning ran out of memory" in said
    assert ("select fewer samples" if fitted else "optimization.batch_size smaller than 50") in said
