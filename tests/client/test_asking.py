"""What every job can be asked with beside its spec: jobs to come after, reuse; and suites of an evaluation."""

from __future__ import annotations

import pytest
from sparring import errors, requests, submit
from sparring.v1.attacks_pb2 import NORM_L2
from sparring.v1.jobs_pb2 import Job
from sparring.v1.suites_pb2 import Adaptive, Suite

ASKED = {
    "attack": lambda **more: submit.attack("net", "mnist10k", "fgsm", **more),
    "train": lambda **more: submit.train("mnist10k", architecture="mlp", **more),
    "evaluate": lambda **more: submit.evaluate("net", "mnist10k", **more),
    "poison": lambda **more: submit.poison("mnist10k", "label_flip", [0.1], architecture="mlp", **more),
}


@pytest.mark.parametrize("kind", ASKED)
def test_every_job_can_come_after_others_and_be_reused(kind):
    request = ASKED[kind](after=["a", "jobs/b", Job(name="jobs/c")], reuse=True)
    assert (list(request.after), request.reuse) == (["jobs/a", "jobs/b", "jobs/c"], True)
    assert (list(ASKED[kind]().after), ASKED[kind]().reuse) == ([], False)


def test_a_spec_of_one_s_own_is_sent_with_both(either, service):
    either.jobs.create(ASKED["attack"]().attack)
    either.jobs.create(ASKED["attack"]().attack, after=["job-1"], reuse=False)
    assert list(service.requests("CreateJob")[-1].after) == ["jobs/job-1"]
    service.jobs["jobs/job-1"].state = Job.STATE_SUCCEEDED
    with pytest.raises(errors.NotFound):
        either.jobs.create(ASKED["train"]().training, after=["nobody"])


def test_a_suite_is_a_text_or_a_message():
    wanted = Suite(level="LEVEL_QUICK", epsilon=8 / 255, norm=NORM_L2)
    assert requests.suite("quick:epsilon=8/255,norm=l2") == requests.suite(wanted) == wanted
    spec = submit.evaluate("net", "mnist10k", suite="standard:epsilon=0.1", adapted="a", knowledge="k").evaluation
    assert spec.suite == Suite(level="LEVEL_STANDARD", epsilon=0.1)
    assert spec.adaptive == Adaptive(adapted="a", knowledge="k")
    assert not submit.evaluate("net", "mnist10k").evaluation.HasField("adaptive")


@pytest.mark.parametrize("suite", ["fast:epsilon=0.1", "quick:radius=1", "quick:epsilon"])
def test_a_suite_that_is_none_is_refused(suite):
    with pytest.raises(errors.InvalidArgument):
        requests.suite(suite)
