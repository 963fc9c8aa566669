"""Keys are shown once, kept as hashes, and added to a file without touching what stands there."""

from __future__ import annotations

import io
import stat
import tomllib

import pytest

from services.cli.app import run
from services.tenants import keys, parse

FILE = """\
# Who may ask for what.
[tenants.vision]
max_queued_jobs = 10  # enough

[[tenants.vision.keys]]
id = "old"
sha256 = "{}"
role = "admin"

[tenants.speech]""".format("0" * 64)


@pytest.fixture
def cli(capsys):
    """`cli("keys new ...")`: exit code, stdout, stderr."""

    def call(line):
        code = run(line.split())
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_key_is_alone_on_stdout_and_its_entry_on_stderr(cli):
    code, out, err = cli("keys new --tenant vision --id ci --role submit")
    assert code == 0
    key = out.strip()
    assert key.startswith("spk_ci_")
    assert key not in err
    entry = err.partition("\n\n")[2].partition("\nThe key")[0]
    held = tomllib.loads(entry)["tenants"]["vision"]["keys"]
    assert held == [{"id": "ci", "sha256": keys.hash_key(key), "role": "submit"}]


def test_a_key_is_added_at_the_end_and_the_rest_stays_as_it_was(cli, tmp_path):
    path = tmp_path / "tenants.toml"
    path.write_text(FILE)
    path.chmod(0o640)
    inode = path.stat().st_ino
    code, out, _ = cli(f"keys new --tenant vision --id ci --role submit --days 30 --file {path}")
    assert code == 0
    assert path.read_text().startswith(FILE)
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_ino) == (0o640, inode)
    found = {key.id: (credential.sha256, key) for credential, key in parse.read(path).keys.items()}
    assert found["ci"][0] == keys.hash_key(out.strip())
    assert found["ci"][1].expires_s is not None
    assert "old" in found


def test_a_file_that_is_not_there_is_made_for_its_owner_only(cli, tmp_path):
    path = tmp_path / "tenants.toml"
    for key in ("one", "two"):
        assert cli(f"keys new --tenant vision --id {key} --role read --file {path}")[0] == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [key.id for key in parse.read(path).keys.values()] == ["one", "two"]


def test_an_id_that_is_taken_is_refused_and_the_file_left_alone(cli, tmp_path):
    path = tmp_path / "tenants.toml"
    path.write_text(FILE)
    code, out, err = cli(f"keys new --tenant vision --id old --role read --file {path}")
    assert (code, out) == (1, "")
    assert "is left as it was" in err
    assert path.read_text() == FILE
    assert cli(f"keys new --tenant speech --id old --role read --file {path}")[0] == 0


def test_a_file_that_does_not_read_well_is_left_alone(cli, tmp_path):
    path = tmp_path / "tenants.toml"
    path.write_text("[tenants.vision")
    code, out, err = cli(f"keys new --tenant vision --id ci --role read --file {path}")
    assert (code, out) == (1, "")
    assert "TOML" in err
    assert path.read_text() == "[tenants.vision"


@pytest.mark.parametrize(
    "flags", ["--tenant Vision --id ci --role read", "--tenant v --id a_b --role read", "--tenant v --id a --role root"]
)
def test_a_bad_name_or_role_is_refused(cli, flags):
    code, out, _ = cli(f"keys new {flags}")
    assert (code, out) == (2, "")


def test_a_key_on_stdin_is_hashed(cli, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("spk_ci_secret\n"))
    assert cli("keys hash")[:2] == (0, keys.hash_key("spk_ci_secret") + "\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert cli("keys hash")[0] == 2
