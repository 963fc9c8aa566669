"""Running, going on, failing, and the pages."""

from __future__ import annotations

import dataclasses

import pytest
from click.testing import CliRunner

from reproductions import page
from reproductions.command import reproduce
from reproductions.experiment import digest
from reproductions.experiments import NAMES, find
from reproductions.results import Results, Verdict
from reproductions.running import Run, publish, run_all


@pytest.fixture
def run(client, said, tmp_path):
    return Run(client=client, out=tmp_path, quick=True, seed=0, say=said.append)


def ends(run, *experiments, at_once=2):
    queue = run_all(run, experiments, at_once)
    return {ended.name: ended for ended in (queue.get(timeout=10) for _ in experiments)}


def test_a_run_leaves_a_page_and_results_that_read_back(run, experiment, tmp_path):
    ended = ends(run, experiment)["trial"]
    assert Results.load(tmp_path / "trial") == ended.results
    shown = (tmp_path / "trial" / "page.md").read_text()
    for words in (
        "`sparring reproduce trial --quick`",
        "ten numbers",
        "90 %",
        "89 % of models/net",
        "high enough",
        "It is",
    ):
        assert words in shown


def test_what_is_finished_is_not_run_again_until_code_or_settings_change(run, experiment, client):
    assert ends(run, experiment)["trial"].again
    client.jobs.created.clear()
    assert not ends(run, experiment)["trial"].again
    assert client.jobs.created == []
    assert ends(dataclasses.replace(run, seed=1), experiment)["trial"].again
    assert digest(experiment, quick=True, seed=0) != digest(experiment, quick=False, seed=0)


def test_the_digest_is_of_the_code_that_is_imported_too(experiment, tmp_path, monkeypatch):
    from reproductions import experiment as module

    before = digest(experiment, quick=True, seed=0)
    known = {}
    module._gather(module.__file__, known)
    assert {"reproductions/experiment.py", "reproductions/lab.py", "reproductions/results.py"} <= known.keys()
    monkeypatch.setattr(module, "version", lambda _: "another")
    assert digest(experiment, quick=True, seed=0) != before


def test_an_experiment_that_fails_says_why_and_the_others_go_on(run, experiment, client, tmp_path):
    client.jobs.fails.add("broken: net")
    broken = dataclasses.replace(experiment, name="broken")
    faulty = dataclasses.replace(experiment, name="faulty", run=lambda lab: lab.bar("high", True, ""))
    found = ends(run, broken, faulty, experiment, at_once=1)
    assert found["trial"].results is not None
    assert found["broken"].failure == "broken: net: jobs/0 ended FAILED: the pictures are of another shape"
    assert "without a measured figure" in found["faulty"].failure
    assert not (tmp_path / "broken" / "results.json").exists()


def test_a_bar_that_is_not_met_is_on_the_page_with_its_reason(run, experiment):
    results = ends(run, experiment)["trial"].results
    missed = Verdict(key="high", text="high enough", met=False, measured="3", why="Too little data.")
    results = dataclasses.replace(results, verdicts=(missed,))
    assert "**Not met: high enough** (measured: 3). Too little data." in page.page(results)
    assert "0 of 1" in page.readme([results])
    assert "high enough (measured: 3). Too little data." in page.readme([results])


def test_a_page_never_names_mnist10k_without_saying_that_it_is_not_full_mnist(run, experiment):
    results = ends(run, experiment)["trial"].results
    for data in ("mnist10k: 500 digits.", "mnist10k, which is not full MNIST"):
        told = dataclasses.replace(results, data=data)
        assert page.page(told).count("not full MNIST") == 1
        assert page.readme([told]).splitlines()[-3].count("not full MNIST") == 1
    assert "MNIST" not in page.page(results)


def test_the_table_has_a_line_for_each_system_and_escapes_what_would_break_it(run, experiment):
    results = ends(run, experiment)["trial"].results
    row = dataclasses.replace(results.rows[0], what="|w|\n<b>")
    line = next(
        line for line in page.readme([dataclasses.replace(results, rows=(row,))]).splitlines() if "&lt;" in line
    )
    assert line.startswith("| [trial](trial/page.md) | \\|w\\| &lt;b&gt; | 90 % |")


def test_pages_are_published_with_a_table_of_all_that_stand_there(run, experiment, tmp_path):
    ends(run, experiment)
    docs = tmp_path / "docs"
    docs.mkdir()
    publish(tmp_path, docs, ["trial", "absent"], ["trial", "absent"])
    assert (docs / "trial" / "page.md").is_file()
    assert (docs / "README.md").read_text() == page.readme(page.collect(docs, ["trial"]))


def test_results_of_another_version_do_not_stand(run, experiment, tmp_path):
    ends(run, experiment)
    file = tmp_path / "trial" / "results.json"
    file.write_text(file.read_text().replace('"seconds"', '"minutes"'))
    assert Results.load(tmp_path / "trial") is None


def test_the_command_lists_the_experiments_and_says_which_names_there_are():
    listed = CliRunner().invoke(reproduce, ["--list"], standalone_mode=False)
    assert listed.return_value == 0
    assert all(name in listed.output for name in NAMES)
    assert "--list shows them" in str(CliRunner().invoke(reproduce, [], standalone_mode=False).exception)
    unknown = CliRunner().invoke(reproduce, ["fgms"], standalone_mode=False).exception
    assert "there is no experiment 'fgms'; known are: linear-example" in str(unknown.message)


def test_sparring_itself_has_the_command(capsys):
    from services.cli.app import run as sparring

    assert sparring(["reproduce", "--list"]) == 0
    assert find("linear-example").title in capsys.readouterr().out
    assert sparring(["--help"]) == 0
    assert "reproduce" in capsys.readouterr().out
