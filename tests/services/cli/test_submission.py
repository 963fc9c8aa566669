"""Flags become requests, waiting becomes a result and an exit code."""

from __future__ import annotations

import json

import grpc
import pytest
from sparring import contract
from sparring.v1.attacks_pb2 import NORM_L2, Attack, Goal, Pgd, Plugin, Targeted
from sparring.v1.datasets_pb2 import DataSelection
from sparring.v1.defenses_pb2 import Defense, FgsmAdversarialTraining
from sparring.v1.jobs_pb2 import Execution, Job, Optimization, TrainingSpec, Validation
from sparring.v1.poisoning_pb2 import Poison

from services.cli import fields
from services.cli.app import run

ON = "--model net --dataset mnist10k"


def sent(service):
    return service.requests("CreateJob")[-1]


def test_flags_fill_the_attack_that_is_sent(sparring, service):
    done = sparring(
        f"attack pgd {ON} --epsilon 8/255 --steps 20 --step-size 0.01 --norm l2 --loss margin --no-random-start "
        "--target least-likely --split test --offset 5 --count 10 --seed 3 --batch-size 4 --shard-size 8 --device cpu "
        "--display-name words --request-id mine"
    )
    spec = sent(service).attack
    pgd = Pgd(epsilon=8 / 255, steps=20, step_size=0.01, norm=NORM_L2, loss="LOSS_MARGIN", random_start=False)
    assert spec.attack.pgd == pgd
    assert spec.attack.goal.targeted.WhichOneof("choice") == "least_likely"
    assert spec.data == DataSelection(dataset="datasets/mnist10k", split="test", offset=5, count=10)
    assert spec.execution == Execution(batch_size=4, shard_size=8, device="DEVICE_CPU")
    assert (spec.model, spec.seed) == ("net", 3)
    assert (sent(service).display_name, sent(service).request_id) == ("words", "mine")
    assert (done.code, done.out) == (0, "jobs/job-1\n")
    assert "sparring jobs watch jobs/job-1" in done.err


def test_a_flag_may_be_spelled_like_the_field(sparring, service):
    assert sparring(f"attack iterative-least-likely {ON} --step_size 1/255").code == 0
    assert sent(service).attack.attack.iterative_least_likely.step_size == 1 / 255


def test_flags_that_are_left_out_leave_their_fields_unset(sparring, service):
    assert sparring(f"attack pgd {ON}").code == 0
    assert sent(service).attack.attack.pgd == Pgd()
    assert not sent(service).attack.HasField("execution")


@pytest.mark.parametrize("target", ["0", "7"])
def test_a_target_is_a_label(sparring, service, target):
    assert sparring(f"attack fgsm {ON} --target {target}").code == 0
    assert sent(service).attack.attack.goal == Goal(targeted=Targeted(label=int(target)))


def test_flags_fill_the_training_that_is_sent(sparring, service):
    done = sparring(
        "train fgsm_adversarial --dataset mnist10k --architecture wong_cnn --epsilon 0.2 --attack-label true "
        "--epochs 3 --learning-rate 1e-3 --optimizer sgd --model-id hard --mean 0.1307 --std 0.3081 "
        "--evaluation-split test --evaluation-count 100 --device any --flip --precision bfloat16 "
        "--held-out 0.1 --select robust"
    )
    assert done.code == 0
    spec = sent(service).training
    assert spec == TrainingSpec(
        architecture="wong_cnn",
        data=DataSelection(dataset="datasets/mnist10k"),
        evaluation_data=DataSelection(dataset="datasets/mnist10k", split="test", count=100),
        defense=Defense(fgsm_adversarial=FgsmAdversarialTraining(epsilon=0.2, attack_label="ATTACK_LABEL_TRUE")),
        optimization=Optimization(
            epochs=3, learning_rate=1e-3, optimizer="OPTIMIZER_SGD", flip=True, precision="PRECISION_BFLOAT16"
        ),
        validation=Validation(held_out=0.1, select="SELECTION_ROBUST"),
        model_id="hard",
        mean=[0.1307],
        std=[0.3081],
        device="DEVICE_ANY",
    )


def test_flags_fill_the_evaluation_that_is_sent(sparring, service):
    done = sparring(
        "evaluate --model a --model b --dataset mnist10k --attack fgsm:epsilon=0.25 "
        "--attack bim:epsilon=0.3,steps=20,target=random --curve bim:steps=20@0,0.05,0.1"
    )
    assert done.code == 0
    spec = sent(service).evaluation
    assert list(spec.models) == ["a", "b"]
    assert [attack.WhichOneof("kind") for attack in spec.attacks] == ["fgsm", "bim"]
    assert spec.attacks[1].goal.targeted.HasField("random")
    assert list(spec.curves[0].epsilons) == [0, 0.05, 0.1]


def test_every_field_of_every_method_has_a_flag_with_its_words(capsys):
    for family, root in ((Attack, "attack"), (Defense, "train"), (Poison, "poison")):
        for name, method in contract.methods(family.DESCRIPTOR).items():
            assert run([root, name, "--help"]) == 0
            shown = " ".join(capsys.readouterr().out.split())
            for field in method.message_type.fields:
                flag = "parameter" if field.name == "parameters" else field.name.replace("_", "-")
                assert f"--{flag} " in shown or f"--{flag}/--no-{flag} " in shown
                assert fields.describe(field) in shown
            assert ("--target [" in shown) == contract.method(method.message_type).targeted


def test_a_plugin_is_given_its_parameters_one_by_one(sparring, service):
    assert sparring(f"attack plugin {ON} --name own --parameter strength=1/2 --parameter re-tries=3").code == 0
    assert sent(service).attack.attack.plugin == Plugin(name="own", parameters={"strength": 0.5, "re_tries": 3})


@pytest.mark.parametrize("pair", ["strength", "=3", "strength=strong", "strength=nan"])
def test_a_parameter_of_a_plugin_that_is_none_is_refused(sparring, pair):
    done = sparring(f"attack plugin {ON} --name own --parameter {pair}")
    assert done.code == 2
    assert "--parameter" in done.err


def test_a_fooling_image_must_be_given_its_class(sparring, service):
    assert sparring(f"attack fooling-gradient {ON}").code == 2
    assert sparring(f"attack fooling-gradient {ON} --target each").code == 0
    assert sent(service).attack.attack.goal.targeted.HasField("each")


def test_only_the_norms_that_an_attack_has_are_offered(sparring, capsys):
    assert run(["attack", "deepfool", "--help"]) == 0
    assert "--norm [linf|l2] " in " ".join(capsys.readouterr().out.split())
    done = sparring(f"attack deepfool {ON} --norm l1")
    assert (done.code, "'l1' is not one of linf, l2" in done.err) == (2, True)


def test_a_flag_is_described_by_its_comment_range_default_and_paper():
    described = fields.describe(Pgd.DESCRIPTOR.fields_by_name["step_size"])
    assert described == (
        "Length of one step. Range (0, 1000]; pixel in [0, 1]; default 2.5 * epsilon / steps "
        "(arXiv:1706.06083 section 5)."
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"attack bmi {ON}", "known are: fgsm, bim"),
        ("atack", "known are: up, attack"),
        (f"attack bim {ON} --epsilon eight", "'--epsilon': 'eight' is not a number"),
        (f"attack bim {ON} --epsilon nan", "not a finite number"),
        (f"attack bim {ON} --steps 2.5", "'--steps': '2.5' is not a whole number"),
        (f"attack bim {ON} --norm l7", "'--norm': 'l7' is not one of linf, l2"),
        (f"attack bim {ON} --seed -1", "'--seed'"),
        (f"attack bim {ON} --target cat", "--target: 'cat' is not a class's number"),
        (f"attack iterative_least_likely {ON} --target 3", "--target"),
        ("attack bim --model net", "--dataset"),
        ("evaluate --model a --dataset d --attack bim:epsilon", "--attack: 'epsilon' is not of the form name=value"),
        ("evaluate --model a --dataset d --attack bim:stepz=3", "stepz"),
        ("evaluate --model a --dataset d --curve bim", "--curve"),
        ("models upload nowhere.st --architecture mlp --input-shape 1x2x3 --classes 10", "nowhere.st"),
        ("artifacts download abc --role report", "a role belongs to a job"),
    ],
)
def test_bad_arguments_exit_2_and_send_nothing(sparring, service, line, words):
    done = sparring(line)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert service.requests("CreateJob") == []


def test_the_services_violations_are_listed_with_their_flags(sparring, service, fake):
    bad = [
        ("attack.attack.pgd.step_size", "must be in (0, 1000], not 0"),
        ("attack.data.dataset", "must be set"),
        ("attack.attack.goal.targeted.label", "must be below 10"),
    ]
    service.failures["CreateJob"].append(fake.status_of(grpc.StatusCode.INVALID_ARGUMENT, "three", violations=bad))
    done = sparring(f"attack pgd {ON} --step-size 0")
    assert (done.code, done.out) == (2, "")
    assert "--step-size: must be in (0, 1000], not 0" in done.err
    assert "--dataset: must be set" in done.err
    assert "--target: must be below 10" in done.err


def test_an_unknown_model_exits_2(sparring, service, fake):
    service.failures["CreateJob"].append(fake.status_of(grpc.StatusCode.NOT_FOUND, "there is no model 'nte'"))
    done = sparring(f"attack pgd {ON}")
    assert (done.code, done.out, done.err) == (2, "", "sparring: there is no model 'nte'\n")


def test_a_full_service_exits_1_and_says_when_to_come_back(sparring, service, fake):
    service.failures["CreateJob"].append(
        fake.status_of(grpc.StatusCode.RESOURCE_EXHAUSTED, "the store is full", retry_after_s=30)
    )
    done = sparring(f"attack pgd {ON}")
    assert done.code == 1
    assert done.err == "sparring: the store is full\nTry again in 30 s.\n"


def test_wait_shows_progress_on_stderr_and_the_result_on_stdout(sparring, service):
    service.next_job = {"events": 4, "state": Job.STATE_SUCCEEDED}
    done = sparring(f"attack bim {ON} --wait")
    assert done.code == 0
    assert "RUNNING" in done.err
    assert "50 %" in done.err
    assert "SUCCEEDED" in done.out
    assert "jobs/job-1" in done.out


@pytest.mark.parametrize("state", [Job.STATE_FAILED, Job.STATE_CANCELLED, Job.STATE_QUARANTINED])
def test_wait_exits_1_when_the_job_did_not_succeed(sparring, service, fake, state):
    wrong = fake.status_of(grpc.StatusCode.INVALID_ARGUMENT, "a pixel is NaN", reason="NAN_PIXELS")
    service.next_job = {"state": state, "error": wrong}
    done = sparring(f"attack bim {ON} --wait")
    assert done.code == 1
    assert f"{Job.State.Name(state).removeprefix('STATE_')}: a pixel is NaN" in done.out


@pytest.mark.parametrize("wait", ["", " --wait"])
def test_json_is_all_that_stands_on_stdout(sparring, service, wait):
    service.next_job = {"events": 4, "state": Job.STATE_SUCCEEDED}
    job = sparring(f"attack bim {ON} --epsilon 0.3 --json{wait}").data
    assert job["name"] == "jobs/job-1"
    assert job["state"] == ("STATE_SUCCEEDED" if wait else "STATE_QUEUED")
    assert job["attack"]["attack"]["bim"]["epsilon"] == 0.3


def test_json_holds_zeros_and_the_errors_details(sparring, service, fake):
    wrong = fake.status_of(grpc.StatusCode.INVALID_ARGUMENT, "a pixel is NaN", reason="NAN_PIXELS")
    job = service.add_job("jobs/j", state=Job.STATE_FAILED, error=wrong)
    job.result.rows.add(attack="bim").robust_accuracy.value = 0
    shown = sparring("jobs get j --json").data
    assert shown["result"]["rows"][0]["robust_accuracy"]["value"] == 0.0
    assert shown["error"]["details"][0]["reason"] == "NAN_PIXELS"


def test_validate_only_shows_what_would_run(sparring, service):
    done = sparring(f"attack bim {ON} --epsilon 0.3 --validate-only --wait")
    assert done.code == 0
    assert "not created" in done.out
    assert "bim epsilon=0.3" in done.out
    assert service.jobs == {}


def test_waiting_says_why_the_job_waits(sparring, service):
    service.next_job = {"events": 3, "state": Job.STATE_SUCCEEDED}
    service.waiting = "no worker is listening; start one"
    assert "no worker is listening; start one" in sparring(f"attack bim {ON} --wait").err


def test_watch_prints_events_and_exits_by_the_jobs_end(sparring, service):
    service.add_job("jobs/j", events=4, state=Job.STATE_FAILED)
    done = sparring("jobs watch j --after 1")
    assert done.code == 1
    assert [line.split()[1] for line in done.out.splitlines()] == ["2", "3", "4"]


def test_watch_with_json_prints_one_event_a_line(sparring, service):
    service.add_job("jobs/j", events=4)
    done = sparring("jobs watch j --json")
    assert done.code == 0
    assert [json.loads(line)["event_id"] for line in done.out.splitlines()] == ["1", "2", "3", "4"]
