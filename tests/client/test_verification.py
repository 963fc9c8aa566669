"""A result is verified against its manifest, and by doing some of it again."""

from __future__ import annotations

import random

import pytest
import sparring
from sparring import errors
from sparring.v1.jobs_pb2 import EvaluationSpec, Job, PoisoningSpec, TrainingSpec


@pytest.fixture
def lab(fake, service):
    return fake.Lab(service)


def outcomes(verified, word=""):
    return {check.what: check.outcome for check in verified.checks if word in check.what}


def failed(verified):
    return [check.what for check in verified.checks if check.outcome == "failed"]


def test_a_sound_attack_is_verified_and_every_unit_done_again_is_the_same(client, service, fake, lab):
    lab.made()
    verified = sparring.verify(client, "j", units=3)
    assert verified.ok
    assert outcomes(verified, "again") == {f"unit {number} again": "ok" for number in range(3)}
    sent = [request.attack for request in service.requests("CreateJob")]
    assert [(spec.data.offset, spec.data.count) for spec in sent] == [(100, 2), (102, 2), (104, 1)]
    assert all(spec.attack == fake.FGSM and spec.model == "net" for spec in sent)
    assert verified.differences == ()


def test_jobs_that_verify_are_forgotten_afterwards(client, service, lab):
    lab.made()
    sparring.verify(client, "j", units=2)
    assert list(service.jobs) == ["jobs/j"]
    assert len(service.requests("DeleteJob")) == 2


def test_one_unit_is_drawn_and_the_rest_are_said_to_be_left(client, lab):
    lab.made()
    verified = sparring.verify(client, "j", rng=random.Random(7))
    assert outcomes(verified, "again") in [{f"unit {number} again": "ok"} for number in range(3)]
    assert "2 of 3" in next(check.found for check in verified.checks if check.outcome == "skipped")
    assert verified.ok


def test_other_bytes_the_second_time_fail_and_the_difference_is_named(client, lab):
    lab.made()
    lab.salt, lab.torch = 1, "2.14.0"
    verified = sparring.verify(client, "j", units=1)
    (what,) = failed(verified)
    assert "again" in what
    found = next(check.found for check in verified.checks if check.what == what)
    assert "run/a0/x_adv" in found
    assert "adversarial x_adv" in found
    assert "index" not in found
    assert verified.differences == ("packages: made by torch 2.13.0, this server has torch 2.14.0",)


def test_an_evaluation_is_done_again_by_its_units(client, service, fake, lab):
    lab.made(EvaluationSpec(models=["net"], attacks=[fake.FGSM]))
    verified = sparring.verify(client, "j", units=2)
    assert verified.ok
    assert list(outcomes(verified, "again").values()) == ["ok", "ok"]
    assert all(list(request.evaluation.models) == ["net"] for request in service.requests("CreateJob"))


def test_a_model_with_other_weights_is_not_asked_again(client, service, lab):
    lab.made()
    service.models["models/net"].weights = service.keep(b"newer weights")
    verified = sparring.verify(client, "j")
    assert set(outcomes(verified, "again").values()) == {"skipped"}
    assert verified.ok
    assert service.requests("CreateJob") == []


def test_a_training_is_done_again_on_request_only(client, service, lab):
    lab.made(TrainingSpec(model_id="mine"))
    assert outcomes(sparring.verify(client, "j"), "again") == {"training again": "skipped"}
    assert outcomes(sparring.verify(client, "j", retrain=True), "again") == {"training again": "ok"}
    assert [request.training.model_id for request in service.requests("CreateJob")] == [""]
    lab.salt = 1
    assert failed(sparring.verify(client, "j", retrain=True)) == ["training again"]
    assert {"jobs/j"} == set(service.jobs)
    assert [name for name in service.models if name not in {"models/net", "models/jobs/j"}] == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda m: m["spec"]["attack"].update(seed="4"), "spec"),
        (lambda m: m["spec"].pop("attack"), "spec"),
        (lambda m: m["spec"]["resolution"].update(shards=9), "resolution"),
        (lambda m: m["artifacts"][0].update(size_bytes=1), "result"),
        (lambda m: m["artifacts"].pop(), "result"),
        (lambda m: m["models"][0].update(name="models/x", weights_sha256="0" * 64), "models"),
        (lambda m: m["units"].pop(), "units"),
        (lambda m: m["units"][1].update(offset=101), "units"),
        (lambda m: m.update(job="jobs/other"), "identity"),
        (lambda m: m["checks"]["violations"].update(ball=2), "violations"),
    ],
)
def test_a_manifest_that_says_something_else_fails(client, lab, change, what):
    lab.edit(lab.made(), change)
    verified = sparring.verify(client, "j", units=0)
    assert what in failed(verified)
    assert not verified.ok
    assert verified.as_dict()["ok"] is False


def test_files_that_are_gone_or_damaged_fail(client, service, lab):
    job = lab.made()
    report = next(item.artifact for item in job.result.artifacts if item.role == "report")
    service.artifacts[report] = (b"rep0rt", "")
    units = [name for name, (content, _) in service.artifacts.items() if b"run/a0" in content]
    del service.artifacts[units[0]]
    assert failed(sparring.verify(client, "j", units=0)) == ["file report", "unit 0"]


def test_a_job_without_a_result_can_not_be_verified(client, service, lab):
    service.add_job("jobs/j", state=Job.STATE_FAILED)
    with pytest.raises(errors.FailedPrecondition, match="only the result of a job that SUCCEEDED"):
        sparring.verify(client, "j")
    service.add_job("jobs/old")
    with pytest.raises(errors.InvalidArgument, match="has no 'manifest'"):
        sparring.verify(client, "old")


def test_a_manifest_of_another_version_is_not_guessed_at(client, lab):
    lab.edit(lab.made(), lambda manifest: manifest.update(version=2))
    with pytest.raises(errors.FailedPrecondition, match="version 2"):
        sparring.verify(client, "j")


def test_fractions_of_a_poisoning_are_measured_again(client, service, lab):
    lab.made(PoisoningSpec(fractions=[0.3, 0.1]))
    verified = sparring.verify(client, "j", units=3)
    assert verified.ok
    assert outcomes(verified, "again") == {f"unit {number} again": "ok" for number in range(3)}
    assert [list(request.poisoning.fractions) for request in service.requests("CreateJob")] == [[0.0], [0.1], [0.3]]
    lab.salt = 1
    assert failed(sparring.verify(client, "j", units=3)) == [f"unit {number} again" for number in range(3)]


def test_a_poisoning_whose_units_are_not_its_fractions_is_not_verified(client, lab):
    job = lab.made(PoisoningSpec(fractions=[0.3]))
    lab.edit(job, lambda manifest: manifest["units"].pop())
    assert failed(sparring.verify(client, "j", units=0)) == ["units"]
