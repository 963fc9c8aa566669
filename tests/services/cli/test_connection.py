"""Who asks and over what, from the command line; what is then shown of it."""

from __future__ import annotations

import grpc
import pytest
from sparring.v1.jobs_pb2 import Job, UnitChange, WatchJobResponse

from services.cli import words
from services.cli.app import run
from services.cli.authority import Authority

KEY = "spk_ci_" + "k" * 43


def carried(service):
    return {key for _, key in service.keys}


def test_the_key_comes_from_the_environment(sparring, service, monkeypatch):
    monkeypatch.setenv("SPARRING_KEY", f"{KEY}\n")
    assert sparring("info").code == 0
    assert carried(service) == {f"Bearer {KEY}"}


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_the_key_comes_from_a_file_which_goes_before_the_environment(sparring, service, monkeypatch, tmp_path, by):
    monkeypatch.setenv("SPARRING_KEY", "spk_other_key")
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    if by == "variable":
        monkeypatch.setenv("SPARRING_KEY_FILE", str(path))
    assert sparring(f"info --key-file {path}" if by == "flag" else "info").code == 0
    assert carried(service) == {f"Bearer {KEY}"}


def test_a_key_file_that_is_empty_or_not_there_is_refused(sparring, service, tmp_path):
    (tmp_path / "empty").touch()
    for name in ("empty", "nothing"):
        done = sparring(f"info --key-file {tmp_path / name}")
        assert done.code == 2
        assert name in done.err
    assert service.calls == []


def test_no_flag_takes_a_key_itself(capsys):
    assert run(["info", "--key", KEY]) == 2
    assert run(["jobs", "list", "--help"]) == 0
    assert "--key-file" in capsys.readouterr().out


def test_a_key_is_not_sent_to_another_machine_in_plain_text(capsys, monkeypatch):
    monkeypatch.setenv("SPARRING_KEY", KEY)
    assert run(["info", "--server", "10.9.8.7:1"]) == 2
    said = capsys.readouterr().err
    assert "--key-file: it would travel to 10.9.8.7:1 in plain text" in said
    assert "--tls-ca" in said
    assert "--allow-plaintext-key" in said
    assert KEY not in said


def test_a_service_with_tls_and_client_certificates_is_reached(fake, capsys, monkeypatch, tmp_path):
    authority = Authority(tmp_path, days=10)
    issued, own = authority.server(["localhost"], days=1), authority.client("ci", days=1)
    ca = authority.files.certificate
    pair = (issued.key.read_bytes(), issued.certificate.read_bytes())
    running = fake.Server(grpc.ssl_server_credentials([pair], ca.read_bytes(), True))
    address = f"localhost:{running.port}"
    monkeypatch.setenv("SPARRING_CERT_FILE", str(own.certificate))
    monkeypatch.setenv("SPARRING_CERT_KEY_FILE", str(own.key))
    assert run(["whoami", "--server", address, "--tls-ca", str(ca)]) == 0
    assert "vision" in capsys.readouterr().out
    assert run(["whoami", "--server", f"127.0.0.1:{running.port}", "--tls-ca", str(ca)]) == 3
    assert "not for this name" in capsys.readouterr().err
    running.stop()


def test_a_service_that_asks_for_a_key_is_answered_with_how_to_give_one(sparring, service, fake):
    service.failures["GetServerInfo"].append(fake.status_of(grpc.StatusCode.UNAUTHENTICATED, "send a key"))
    done = sparring("info")
    assert done.code == 1
    assert "send a key" in done.err
    assert "--key-file" in done.err


def test_whoami_shows_what_is_used_of_what(sparring, service):
    service.tenant.quota.max_queued_jobs, service.tenant.usage.queued_jobs = 10, 3
    service.tenant.usage.artifact_bytes = 3 << 20
    shown = sparring("whoami").out
    for text in ("vision", "ci", "submit", "3 of 10", "3.0 MiB, no limit"):
        assert text in shown
    assert sparring("whoami --json").data["name"] == "tenants/vision"


def test_audit_shows_so_many_entries(sparring, service):
    for number in range(5):
        service.audit.append({"rpc": "sparring.v1.JobService/CancelJob", "resource": f"jobs/{number}", "code": "OK"})
    service.audit[0]["reason"] = "ROLE_TOO_LOW"
    shown = sparring("audit --limit 3").out
    assert "ROLE_TOO_LOW" in shown
    assert "jobs/2" in shown
    assert "jobs/3" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert len(sparring("audit --json").data) == 5


def test_limits_are_sent_and_shown(sparring, service):
    done = sparring("attack fgsm --model m --dataset d --deadline 90 --queue-limit 5")
    assert done.code == 0
    limits = service.requests("CreateJob")[0].limits
    assert (limits.deadline_seconds, limits.queue_seconds) == (90, 5)
    assert "ends after 1 min 30 s, waits 5.0 s at most" in sparring("jobs get job-1").out
    assert "--deadline: 'soon' is not a number" in sparring("attack fgsm --model m --dataset d --deadline soon").err


def test_what_a_job_had_finished_is_shown_and_downloaded_with_a_note(sparring, service, tmp_path):
    job = service.add_job("jobs/j", state=Job.STATE_QUARANTINED)
    job.resolution.units = 4
    for unit in range(2):
        artifact = service.keep(f"unit {unit}".encode())
        job.finished_units.add(unit=unit, model="models/net", offset=100 * unit, count=100, artifact=artifact)
    shown = sparring("jobs get j").out
    assert "2 of 4 units, 200 samples" in shown
    assert "sparring artifacts download jobs/j" in shown
    done = sparring(f"artifacts download jobs/j -o {tmp_path / 'got'}")
    assert done.code == 0
    assert sorted(path.name for path in (tmp_path / "got").iterdir()) == [
        "net.0-99.safetensors",
        "net.100-199.safetensors",
    ]
    assert "did not succeed" in done.err
    assert "sparring jobs retry jobs/j" in done.err


def test_a_lost_unit_is_shown_with_its_cause():
    lost = UnitChange(unit=3, kind=UnitChange.KIND_LOST, worker="host-1", attempt=2, cause="killed by SIGKILL")
    assert words.event(WatchJobResponse(unit_change=lost)) == "unit 3 lost by host-1, attempt 2: killed by SIGKILL"


def test_a_sound_result_is_verified(sparring, service, fake):
    fake.Lab(service).made()
    done = sparring("verify j --units 3")
    assert done.code == 0
    assert "jobs/j is what its manifest says" in done.out
    assert "unit 2 again" in done.out
    assert sparring("verify j --json --units 0").data["ok"] is True


def test_a_result_that_is_made_differently_now_fails_and_says_on_what(sparring, service, fake):
    lab = fake.Lab(service)
    lab.made()
    lab.salt, lab.torch = 1, "2.14.0"
    done = sparring("verify j")
    assert done.code == 1
    assert "is NOT verified" in done.out
    assert "made by torch 2.13.0, this server has torch 2.14.0" in done.out
