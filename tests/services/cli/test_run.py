"""`sparring run`: a file becomes jobs, and every error of it names its line."""

from __future__ import annotations

import pytest
from sparring.v1.jobs_pb2 import Job

PIPELINE = """\
vars:
  epsilon: 0.1
steps:
  plain:
    train: standard
    dataset: digits
    architecture: mlp
  broken:
    attack: bim
    model: ${plain}
    dataset: digits
    epsilon: ${epsilon}
    count: 4
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "p.yaml"

    def write(text):
        path.write_text(text)
        return str(path)

    return write


def created(service):
    return [request for request in service.requests("CreateJob") if not request.validate_only]


def test_the_steps_are_sent_and_shown(sparring, service, file):
    done = sparring(["run", file(PIPELINE), "--var", "epsilon=8/255"])
    assert done.code == 0
    plain, broken = created(service)
    assert (broken.attack.model, broken.attack.attack.bim.epsilon) == ("jobs/job-1", 8 / 255)
    assert plain.reuse
    assert [line.split()[:3] for line in done.out.splitlines()[2:]] == [
        ["plain", "train", "job-1"],
        ["broken", "attack", "job-2"],
    ]
    assert "--wait" in done.err


def test_a_run_that_is_waited_for_shows_digests_and_a_second_one_is_reused(sparring, service, fake, file):
    fake.Lab(service)
    done = sparring(["run", file(PIPELINE), "--wait", "--json"])
    assert done.code == 0
    steps = {step["name"]: step for step in done.data["steps"]}
    assert {step["state"] for step in steps.values()} == {"SUCCEEDED"}
    assert all(len(step["digest"]) == 64 for step in steps.values())
    assert "plain: jobs/job-1 SUCCEEDED" in done.err
    again = sparring(["run", file(PIPELINE)])
    assert again.out.count("SUCCEEDED, reused") == 2
    assert steps["broken"]["digest"][:12] in again.out
    assert len(service.jobs) == 2
    assert sparring(["run", file(PIPELINE), "--fresh"]).code == 0
    assert len(service.jobs) == 4


def test_a_step_that_fails_makes_the_run_fail(sparring, service, file):
    service.next_job = {"state": Job.STATE_FAILED}
    done = sparring(["run", file(PIPELINE), "--wait"])
    assert done.code == 1
    assert "FAILED" in done.out


def test_what_is_wrong_with_the_service_s_words_has_its_line_too(sparring, service, fake, file):
    import grpc

    violations = [("training.optimization.epochs", "must be in [1, 1000]"), ("training.architecture", "there is none")]
    service.failures["CreateJob"].append(fake.status_of(grpc.StatusCode.INVALID_ARGUMENT, "bad", violations=violations))
    done = sparring(["run", file(PIPELINE)])
    assert done.code == 2
    assert f"{file(PIPELINE)}:4: steps.plain.training.optimization.epochs: must be in [1, 1000]" in done.err
    assert created(service) == []


WRONG = {
    "a misspelt parameter": (PIPELINE + "    stpes: 3\n", 14, "stpes: there is no such parameter"),
    "a misspelt step": (PIPELINE.replace("${plain}", "${plian}"), 10, "did you mean 'plain'?"),
    "no method": (PIPELINE.replace("attack: bim", "attack: bmi"), 9, "there is no attack 'bmi'"),
    "a key twice": (PIPELINE + "    count: 5\n", 14, "'count' stands in line 13 already"),
    "a ring": (PIPELINE.replace("mlp\n", "mlp\n    after: [broken]\n"), 4, "waits for itself"),
    "no mapping": ("- a\n", 1, "a pipeline is a mapping with `steps`"),
    "nothing": ("", 1, "a pipeline is a mapping with `steps`"),
    "a brace in brackets": ("steps:\n  t:\n    models: [${a}]\n", 3, "needs quotes"),
    "no YAML": ("steps:\n  a: [1\n", 3, "expected"),
    "a list as a key": ("steps:\n  ? [1]\n  : 2\n", 2, "a key is a word"),
    "without end": ("a: &a [*a]\n", 1, "repeats itself without end"),
}


@pytest.mark.parametrize("case", WRONG)
def test_every_error_names_its_line(sparring, service, file, case):
    text, line, said = WRONG[case]
    done = sparring(["run", file(text)])
    assert done.code == 2
    assert any(f"p.yaml:{line}" in shown and said in shown for shown in done.err.splitlines()), done.err
    assert service.requests("CreateJob") == []


def test_parts_can_be_written_once_and_merged(sparring, service, file):
    text = PIPELINE.replace("  plain:\n", "  plain: &base\n") + "  other:\n    <<: *base\n    architecture: softmax\n"
    assert sparring(["run", file(text)]).code == 0
    assert [request.training.architecture for request in created(service)] == ["mlp", "softmax", ""]


@pytest.mark.parametrize("given", ["epsilon", "=1"])
def test_a_variable_is_a_name_and_a_value(sparring, file, given):
    done = sparring(["run", file(PIPELINE), "--var", given])
    assert done.code == 2
    assert "NAME=VALUE" in done.err


def test_a_file_that_is_not_there_is_refused(sparring):
    assert sparring("run nowhere.yaml").code == 2


def test_jobs_can_come_after_others_and_be_reused_one_by_one(sparring, service):
    on = "--model net --dataset mnist10k"
    assert sparring(f"attack fgsm {on}").code == 0
    assert sparring(f"attack fgsm {on} --after job-1 --after jobs/job-1 --reuse").code == 0
    assert list(created(service)[-1].after) == ["jobs/job-1", "jobs/job-1"]
    assert created(service)[-1].reuse
    assert "jobs/job-1, jobs/job-1" in sparring("jobs get job-2").out
    assert sparring(f"attack fgsm {on} --after nobody").code == 2
