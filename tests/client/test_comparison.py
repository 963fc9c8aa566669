"""Models of several jobs on the same samples."""

from __future__ import annotations

import json

import pytest
import sparring
from sparring.errors import DataLoss, FailedPrecondition, InvalidArgument

CLEAN = [1] * 10
ONE = {"clean": CLEAN, "pgd": [1, 1, 1, 1, 0, 0, 0, 0, 0, 0], "fgsm": [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]}
OTHER = {"clean": [0, *CLEAN[1:]], "pgd": [0, 1, 1, 1, 1, 1, 1, 1, 0, 0], "fgsm": [0, 1, 1, 1, 1, 1, 1, 1, 1, 0]}


@pytest.fixture
def two(fake, service):
    """Two jobs of one model each, on the same ten samples."""
    fake.judged(service, "jobs/a", {"plain": ONE})
    fake.judged(service, "jobs/b", {"hardened": OTHER})
    return ["jobs/a", "b"]


def line_of(found, attack):
    (line,) = [line for line in found.lines if line.attack == attack]
    return line


def test_each_attack_has_both_shares_and_what_was_lost_and_gained(client, two):
    found = sparring.compare(client, two)
    assert [one.label for one in found.contenders] == ["plain", "hardened"]
    assert found.samples == "mnist10k, split test, samples 0 to 9"
    assert [line.attack for line in found.lines] == ["clean", "pgd", "fgsm", "worst_case"]
    line = line_of(found, "pgd")
    assert (line.n, line.epsilon, line.norm) == (10, 0.1, "linf")
    assert [share.value for share in line.shares] == [0.4, 0.7]
    before, apart = line.differences
    assert before is None
    assert (apart.gained, apart.lost, apart.value) == (4, 1, pytest.approx(0.3))
    assert apart.low < 0 < apart.value < apart.high
    assert apart.p_value == pytest.approx(2 * 6 / 2**5)
    assert line.parameters == {"pgd": {"epsilon": 0.1}}


def test_the_worst_case_is_compared_sample_by_sample(client, two):
    line = line_of(sparring.compare(client, two), "worst_case")
    assert [share.count for share in line.shares] == [4, 7]


def test_another_baseline_turns_the_difference_round(client, two):
    found = sparring.compare(client, two, baseline="hardened")
    assert found.baseline == 1
    apart, none = line_of(found, "pgd").differences
    assert none is None
    assert (apart.gained, apart.lost) == (1, 4)
    with pytest.raises(InvalidArgument, match="plain, hardened"):
        sparring.compare(client, two, baseline="another")


def test_the_models_of_one_job_are_compared_too(client, fake, service):
    fake.judged(service, "jobs/a", {"plain": ONE, "hardened": OTHER})
    found = sparring.compare(client, ["jobs/a"])
    assert line_of(found, "pgd").differences[1].gained == 4
    assert found.notes == ()


def test_a_model_that_is_in_two_jobs_is_told_apart_by_them(client, fake, service):
    fake.judged(service, "jobs/a", {"plain": ONE}, seed=1)
    fake.judged(service, "jobs/b", {"plain": ONE}, seed=2)
    found = sparring.compare(client, ["a", "b"])
    assert [one.label for one in found.contenders] == ["plain (jobs/a)", "plain (jobs/b)"]
    assert any("different seeds" in note for note in found.notes)
    assert line_of(found, "pgd").differences[1].value == 0


def test_only_samples_that_both_judge_count(client, fake, service):
    """A targeted attack does not judge the samples that are of its target."""
    fake.judged(service, "jobs/a", {"plain": ONE}, judged={"pgd": [1] * 8 + [0] * 2})
    fake.judged(service, "jobs/b", {"hardened": OTHER}, judged={"pgd": [0] + [1] * 9})
    line = line_of(sparring.compare(client, ["a", "b"]), "pgd")
    assert (line.n, [share.count for share in line.shares]) == (7, [3, 7])


def test_an_attack_with_other_parameters_is_another(client, fake, service):
    fake.judged(service, "jobs/a", {"plain": ONE})
    fake.judged(service, "jobs/b", {"hardened": OTHER}, epsilon=0.2)
    found = sparring.compare(client, ["a", "b"])
    assert [line.attack for line in found.lines] == ["clean"]
    assert any("Only plain has: pgd at 0.1" in note for note in found.notes)
    assert any("evaluate the models in one job" in note for note in found.notes)


def test_worst_cases_over_other_attacks_are_compared_with_a_warning(client, fake, service):
    fake.judged(service, "jobs/a", {"plain": ONE})
    fake.judged(service, "jobs/b", {"hardened": {**OTHER, "bim": OTHER["pgd"]}})
    found = sparring.compare(client, ["a", "b"])
    assert line_of(found, "worst_case").differences[1].gained == 4
    assert any("over other attacks" in note for note in found.notes)


@pytest.mark.parametrize("other", [{"offset": 10}, {"dataset": "digits"}, {"held": {"m": {"clean": [1], "pgd": [1]}}}])
def test_other_samples_are_refused_with_the_command_that_helps(client, fake, service, other):
    fake.judged(service, "jobs/a", {"plain": ONE})
    fake.judged(service, "jobs/b", **{"held": {"hardened": OTHER}, **other})
    with pytest.raises(InvalidArgument, match=r"jobs/b on .* sparring evaluate --model plain --model .* --count 10"):
        sparring.compare(client, ["a", "b"])


def test_other_data_of_the_same_name_is_refused(client, fake, service):
    fake.judged(service, "jobs/a", {"plain": ONE}).resolution.data.images_sha256 = "1"
    fake.judged(service, "jobs/b", {"hardened": OTHER}).resolution.data.images_sha256 = "2"
    with pytest.raises(InvalidArgument, match="different data of the name mnist10k"):
        sparring.compare(client, ["a", "b"])


def test_one_model_alone_can_t_be_compared(client, fake, service):
    fake.judged(service, "jobs/a", {"plain": ONE})
    with pytest.raises(InvalidArgument, match="one model only"):
        sparring.compare(client, ["a", "jobs/a"])


def test_a_job_without_verdicts_is_refused(client, fake, service, two):
    service.add_job("jobs/c").training.architecture = "wong_cnn"
    service.jobs["jobs/c"].resolution.data.CopyFrom(service.jobs["jobs/a"].resolution.data)
    with pytest.raises(FailedPrecondition, match=r"jobs/c \(training, SUCCEEDED\) has no verdicts"):
        sparring.compare(client, ["a", "c"])


@pytest.mark.parametrize("content", [b"nothing", b"\x02\0\0\0\0\0\0\0{}"])
def test_verdicts_that_can_t_be_read_are_a_data_loss(client, service, two, content):
    item = next(item for item in service.jobs["jobs/a"].result.artifacts if item.role == "verdicts")
    item.artifact = service.keep(content)
    with pytest.raises(DataLoss, match="verdicts of jobs/a"):
        sparring.compare(client, two)


def test_a_comparison_is_json(client, two):
    document = json.loads(json.dumps(sparring.compare(client, two).as_dict()))
    assert document["contenders"][1]["model"] == "models/hardened"
    assert document["lines"][1]["differences"][1]["gained"] == 4
