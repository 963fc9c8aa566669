"""Jobs, models, datasets, artifacts and the catalog from the command line."""

from __future__ import annotations

import socket

import grpc
import pytest
from sparring.v1.jobs_pb2 import Job

from services.cli.app import COMMANDS, run
from services.cli.failures import flag

UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "connection reset")


def test_jobs_list_shows_every_page(sparring, service):
    for number in range(3):
        service.add_job(f"jobs/{number}")
    done = sparring(["jobs", "list", "--filter", "state = SUCCEEDED"])
    assert [line.split()[0] for line in done.out.splitlines()[2:]] == ["0", "1", "2"]
    assert service.requests("ListJobs")[0].filter == "state = SUCCEEDED"


def test_jobs_list_keeps_to_its_limit(sparring, service):
    for number in range(5):
        service.add_job(f"jobs/{number}")
    assert [job["name"] for job in sparring("jobs list --limit 2 --json").data] == ["jobs/0", "jobs/1"]
    assert len(service.requests("ListJobs")) == 1


def test_a_result_fits_80_columns_and_says_what_matters(sparring, evaluated):
    done = sparring("jobs get j")
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 80
    for words in ("98.7 %", "50.0 %", "47.8 - 52.2", "8/255", "2000", "worst_case", "non-adaptive", "report.html"):
        assert words in done.out
    assert "bim epsilon=0.0313725 steps=20 norm=linf" in done.out
    assert "2 adversarial examples failed the check" in done.out
    assert "sparring artifacts download jobs/j" in done.out


def test_text_of_the_service_is_no_markup(sparring, service):
    service.add_job("jobs/j", display_name="[red]words[/red]")
    assert "[red]words[/red]" in sparring("jobs list").out
    assert "[red]words[/red]" in sparring("jobs get j").out


def test_cancel_retry_and_delete(sparring, service):
    service.add_job("jobs/j")
    assert sparring("jobs cancel j --etag 7").out == "jobs/j is CANCELLING\n"
    assert sparring("jobs retry j").out == "jobs/j is QUEUED\n"
    assert sparring("jobs delete j").out == "j is deleted\n"
    assert sparring("jobs delete j").code == 2


def test_retry_with_wait_shows_only_the_new_attempt(sparring, service):
    service.add_job("jobs/j", events=6)
    service.retried_after = 3
    assert sparring("jobs retry j --wait").code == 0
    assert service.requests("WatchJob")[0].after_event_id == 3


def test_a_model_is_uploaded_shown_listed_and_deleted(sparring, service, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"weights")
    done = sparring(
        f"models upload {path} --architecture wong_cnn --input-shape 1x28x28 --classes 10 --model-id net "
        "--mean 0.1307 --std 0.3081"
    )
    assert done.code == 0
    (request,) = service.requests("RegisterModel")
    assert list(request.signature.input_shape) == [1, 28, 28]
    assert (list(request.signature.mean), list(request.signature.std)) == ([0.1307], [0.3081])
    assert "ready" in done.out
    assert sparring("models get net --json").data["signature"]["architecture"] == "wong_cnn"
    assert "1x28x28" in sparring("models list").out
    assert sparring("models delete net").code == 0
    assert sparring("models get net").code == 2


def test_a_rejected_model_exits_2_with_what_is_wrong(sparring, service, fake, tmp_path):
    (tmp_path / "net").write_bytes(b"x")
    service.verdict = fake.status_of(grpc.StatusCode.INVALID_ARGUMENT, "fc1.weight has the wrong shape")
    done = sparring(f"models upload {tmp_path / 'net'} --architecture mlp --input-shape 1,28,28 --classes 10")
    assert (done.code, done.err) == (2, "sparring: fc1.weight has the wrong shape\n")


def test_a_dataset_is_uploaded_shown_listed_and_deleted(sparring, service, tmp_path):
    for name in ("x.npy", "y.npy"):
        (tmp_path / name).write_bytes(name.encode())
    done = sparring(
        f"datasets upload {tmp_path / 'x.npy'} {tmp_path / 'y.npy'} --classes 10 --dataset-id mine --no-wait"
    )
    assert done.code == 0
    (request,) = service.requests("RegisterDataset")
    assert service.artifacts[request.labels][0] == b"y.npy"
    assert service.requests("GetDataset") == []
    assert sparring("datasets get mine --json").data["classes"] == 10
    assert "mine" in sparring("datasets list").out
    assert sparring("datasets delete mine --json").data == {"deleted": "mine"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("attacks", "bim"),
        ("attacks bim", "[1, 10000]"),
        ("defenses", "standard"),
        ("poisons", "backdoor"),
        ("defenses standard", "no parameters"),
        ("architectures", "wong_cnn"),
        ("info", "25.0 %"),
    ],
)
def test_the_catalog_is_shown_for_people_and_for_programs(sparring, line, words):
    shown = sparring(line)
    assert shown.code == 0
    assert words in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    assert sparring(f"{line} --json").data


def test_an_attack_that_the_service_does_not_have_exits_2(sparring):
    assert sparring("attacks bmi").code == 2


@pytest.mark.parametrize("line", ["info", "jobs watch j", "attack bim --model m --dataset d --wait --json"])
def test_nothing_listening_exits_3_and_says_how_to_start_a_service(capsys, line):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    assert run([*line.split(), "--server", address]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "sparring up" in captured.err
    assert address in captured.err


def test_a_store_that_is_down_exits_1(sparring, service, fake):
    down = fake.status_of(grpc.StatusCode.UNAVAILABLE, "the store is loading", reason="STORE_UNAVAILABLE")
    service.failures["GetServerInfo"].extend([down] * 4)
    done = sparring("info")
    assert (done.code, done.err) == (1, "sparring: the store is loading\n")


def test_a_watch_that_is_cut_off_goes_on(sparring, service):
    service.add_job("jobs/j", events=5)
    service.cuts["WatchJob"].extend([2, 1])
    assert len(sparring("jobs watch j").out.splitlines()) == 5


def test_every_command_has_help_and_is_listed(capsys):
    for name in COMMANDS:
        assert run([name, "--help"]) == 0
    capsys.readouterr()
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        ("attack.attack.pgd.step_size", "--step-size"),
        ("attack.model", "--model"),
        ("attack.data", "--dataset"),
        ("attack.data.offset", "--offset"),
        ("attack.execution.shard_size", "--shard-size"),
        ("attack.attack.goal.targeted.label", "--target"),
        ("training.optimization.learning_rate", "--learning-rate"),
        ("training.evaluation_data.split", "--evaluation-split"),
        ("training.evaluation_data", "--evaluation-dataset"),
        ("training.std[1]", "--std"),
        ("evaluation.models[1]", "--model no. 2"),
        ("poisoning.fractions[1]", "--fractions"),
        ("poisoning.poison.backdoor.trigger_size", "--trigger-size"),
        ("poisoning.poison", "NAME"),
        ("evaluation.attacks[0].bim.steps", "--attack no. 1 steps"),
        ("evaluation.curves[2].epsilons", "--curve no. 3 epsilons"),
        ("evaluation.attacks", "--attack"),
        ("signature.input_shape", "--input-shape"),
        ("weights", "WEIGHTS"),
        ("request_id", "--request-id"),
        ("", ""),
    ],
)
def test_a_field_is_named_as_its_flag(path, spelled):
    assert flag(path) == spelled


def test_the_states_of_jobs_are_spelled_without_their_prefix(sparring, service):
    service.add_job("jobs/j", state=Job.STATE_QUARANTINED)
    assert "QUARANTINED" in sparring("jobs list").out
    assert "STATE_" not in sparring("jobs list").out
