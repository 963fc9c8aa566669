"""Files of jobs from the command line."""

from __future__ import annotations

import pytest


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("what", ["jobs/j:report -o {0}/out.html", "jobs/j --role report -o {0}/out.html"])
def test_a_file_of_a_job_is_downloaded(sparring, evaluated, tmp_path, what):
    done = sparring("artifacts download " + what.format(tmp_path))
    assert (done.code, done.out) == (0, f"{tmp_path}/out.html\n")
    assert (tmp_path / "out.html").read_text() == "the report"


def test_all_files_of_a_job_go_into_a_folder_and_stay_in_it(sparring, evaluated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sparring("artifacts download jobs/j").code == 0
    assert names(tmp_path / "j") == ["metrics.json", "report.html"]
    assert names(tmp_path) == ["j"]


def test_an_artifact_is_downloaded_under_its_digest(sparring, service, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digest = service.keep(b"content").removeprefix("artifacts/")
    assert sparring(f"artifacts download {digest} --json").data == {"paths": [digest]}
    assert (tmp_path / digest).read_bytes() == b"content"
    assert sparring(f"artifacts download {digest} -o {tmp_path}").out == f"{tmp_path}/{digest}\n"
    assert "7 bytes" in sparring(f"artifacts get artifacts/{digest}").out


def test_a_role_that_a_job_does_not_have_exits_2(sparring, evaluated):
    done = sparring("artifacts download jobs/j:weights")
    assert done.code == 2
    assert "it has: report, metrics" in done.err


def test_a_damaged_download_exits_1_and_leaves_nothing(sparring, service, tmp_path):
    name = service.keep(b"content")
    service.corrupt = True
    assert sparring(f"artifacts download {name} -o {tmp_path / 'got'}").code == 1
    assert names(tmp_path) == []
