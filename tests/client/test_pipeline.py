"""Pipelines: the whole graph is checked before anything is sent, and each step is sent after those that it names."""

from __future__ import annotations

import grpc
import pytest
import sparring
from sparring.errors import InvalidArgument, JobFailed
from sparring.pipeline import main_digest
from sparring.v1.jobs_pb2 import Job


@pytest.fixture
def lab(fake, service):
    return fake.Lab(service)


def pipeline(**options):
    lines = sparring.Pipeline(**options)
    lines.evaluate("table", ["${plain}", "${hard}", "models/net"], "mnist10k", ["fgsm"], after=["${broken}"])
    plain = lines.train("plain", "mnist10k", architecture="mlp", epochs=2)
    lines.train("hard", "mnist10k", "pgd_adversarial", initial_model=plain, epsilon=0.1)
    lines.attack("broken", plain, "mnist10k", "bim", epsilon=0.2, count=10)
    return lines


def created(service):
    return [request for request in service.requests("CreateJob") if not request.validate_only]


def problems(lines):
    with pytest.raises(InvalidArgument) as refused:
        lines.check()
    return {problem.field: problem.description for problem in refused.value.violations}


def test_each_step_is_sent_after_those_that_it_names_with_their_jobs(client, service):
    run = pipeline().submit(client)
    sent = {request.WhichOneof("spec"): request for request in created(service)}
    assert next(iter(run.jobs)) == "plain"
    assert list(run.jobs)[-1] == "table"
    assert sent["attack"].attack.model == run.jobs["plain"].name
    assert list(sent["evaluation"].evaluation.models) == [run.jobs["plain"].name, run.jobs["hard"].name, "models/net"]
    assert list(sent["evaluation"].after) == [run.jobs["broken"].name]
    assert all(request.reuse for request in sent.values())
    assert (
        next(r for r in created(service) if r.training.initial_model).training.initial_model == run.jobs["plain"].name
    )


def test_what_stands_alone_is_checked_by_the_service_before_anything_is_sent(client, service, fake):
    service.failures["CreateJob"].append(
        fake.status_of(grpc.StatusCode.INVALID_ARGUMENT, "bad", violations=[("training.optimization.epochs", "no")])
    )
    with pytest.raises(InvalidArgument) as refused:
        pipeline().submit(client)
    assert [problem.field for problem in refused.value.violations] == ["steps.plain.training.optimization.epochs"]
    assert created(service) == []


def test_a_step_that_is_refused_later_takes_back_what_was_sent(client, service, fake):
    lines = sparring.Pipeline()
    lines.attack("first", "models/net", "mnist10k", "fgsm")
    lines.attack("second", "models/net", "mnist10k", "fgsm", after=["${first}", "jobs/nobody"])
    with pytest.raises(sparring.errors.NotFound):
        lines.submit(client)
    assert [request.name for request in service.requests("CancelJob")] == ["jobs/job-1"]


def test_a_run_is_waited_for_and_the_same_again_is_over_at_once(client, service, lab):
    run, told = pipeline().submit(client), []
    ended = run.wait(on_end=lambda name, job: told.append((name, job.state)), check=True)
    assert told == [(name, Job.STATE_SUCCEEDED) for name in ended]
    assert len(main_digest(ended["plain"])) == len(main_digest(ended["broken"])) == 64
    before = len(service.jobs)
    again = pipeline().submit(client)
    assert again.reused == set(again.jobs)
    assert {name: job.name for name, job in again.jobs.items()} == {name: job.name for name, job in ended.items()}
    assert len(service.jobs) == before
    assert pipeline(reuse=False).submit(client).jobs["plain"].name != ended["plain"].name


def test_a_job_that_fails_is_told_and_with_check_raised(client, service):
    service.next_job = {"state": Job.STATE_FAILED}
    lines = sparring.Pipeline()
    lines.train("plain", "mnist10k", architecture="mlp")
    assert lines.submit(client).wait()["plain"].state == Job.STATE_FAILED
    with pytest.raises(JobFailed):
        lines.submit(client).wait(check=True)


def test_steps_that_are_not_there_are_guessed():
    lines = sparring.Pipeline()
    lines.train("plain", "mnist10k", architecture="mlp")
    lines.attack("broken", "${plian}", "mnist10k", "fgsm", after=["${nothing}"])
    assert problems(lines) == {
        "steps.broken.model": "there is no step 'plian'; did you mean 'plain'?",
        "steps.broken.after": "there is no step 'nothing'; known are: plain, broken",
    }


def test_a_ring_is_refused():
    lines = sparring.Pipeline()
    for name, before in (("a", "c"), ("b", "a"), ("c", "b"), ("d", "a")):
        lines.attack(name, "models/net", "mnist10k", "fgsm", after=[f"${{{before}}}"])
    ((field, said),) = problems(lines).items()
    assert field.removeprefix("steps.") in {"a", "b", "c"}
    assert said.startswith("waits for itself: ")
    assert said.count(" -> ") == 3


def test_a_step_stands_only_where_its_kind_is_of_use():
    lines = sparring.Pipeline()
    lines.train("plain", "mnist10k", architecture="mlp")
    broken = lines.attack("broken", "${plain}", "mnist10k", "fgsm")
    lines.attack("again", broken, "mnist10k", "fgsm")
    lines.compare("side", ["plain", broken])
    lines.evaluate("table", "models/net", "mnist10k", after=["${side}"])
    found = problems(lines)
    assert set(found) == {"steps.again.model", "steps.side.compare", "steps.table.after"}
    assert "makes no model" in found["steps.again.model"]


@pytest.mark.parametrize("name", ["plain", "", "a b", "${a}", "x" * 64])
def test_names_are_words_and_stand_once(name):
    lines = sparring.Pipeline()
    lines.train("plain", "mnist10k", architecture="mlp")
    with pytest.raises(InvalidArgument):
        lines.train(name, "mnist10k", architecture="mlp")


def test_a_comparison_without_its_results_is_left_out(client, service):
    lines = sparring.Pipeline()
    lines.compare("side", [lines.attack("broken", "models/net", "mnist10k", "fgsm")])
    run = lines.submit(client)
    assert (set(run.jobs), run.comparisons()) == ({"broken"}, {})
