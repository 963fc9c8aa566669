"""The command records its part of a trace where SPARRING_TRACES says."""

from services.cli.app import run
from services.telemetry import tracing


def test_a_destination_that_is_none_is_said_before_anything_is_done(monkeypatch, capsys):
    monkeypatch.setenv("SPARRING_TRACES", "somewhere")
    assert run(["keys", "new"]) == 2
    assert "SPARRING_TRACES='somewhere': must be http" in capsys.readouterr().err


def test_nothing_is_recorded_once_the_command_has_ended(monkeypatch, capsys):
    monkeypatch.setenv("SPARRING_TRACES", "")
    assert run(["--version"]) == 0
    assert "sparring" in capsys.readouterr().out
    assert not tracing.enabled()
