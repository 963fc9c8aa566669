"""What every experiment's file must have, whatever it does."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import reproductions
from reproductions import page
from reproductions.experiments import NAMES, find

DOCS = Path(__file__).parents[2] / "docs" / "reproductions"


def test_they_are_those_of_the_tutorial_in_its_order():
    assert len(NAMES) == len(set(NAMES)) == 18
    assert (NAMES[0], NAMES[-1]) == ("linear-example", "failed-defenses")


@pytest.mark.parametrize("name", NAMES)
def test_it_has_papers_data_bars_and_what_differs(name):
    experiment = find(name)
    assert experiment.name == name
    assert all((experiment.title, experiment.papers, experiment.data, experiment.bars, experiment.differs))
    assert all(citation for _, citation in experiment.papers)
    assert len({bar.key for bar in experiment.bars}) == len(experiment.bars)
    assert all(bar.key and bar.text for bar in experiment.bars)


@pytest.mark.parametrize("name", NAMES)
def test_its_files_name_every_bar_where_it_is_judged(name):
    module = inspect.getmodule(find(name).run)
    stem = Path(module.__file__).stem
    files = Path(module.__file__).parent.glob(f"{stem}*.py")
    texts = {
        node.value
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert {bar.key for bar in find(name).bars} <= texts


@pytest.mark.parametrize("file", sorted(Path(reproductions.__file__).parent.rglob("*.py")), ids=lambda file: file.stem)
def test_no_file_is_longer_than_can_be_read(file):
    assert len(file.read_text().splitlines()) <= 300


def test_experiments_bring_no_torch_with_them():
    asked = "import sys; from reproductions.experiments import NAMES, find; [find(n) for n in NAMES]; "
    done = subprocess.run(
        [sys.executable, "-c", asked + "print([m for m in ('torch', 'workers', 'services') if m in sys.modules])"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_table_in_the_docs_is_that_of_the_results_that_stand_there():
    found = page.collect(DOCS, NAMES)
    assert found
    assert (DOCS / "README.md").read_text(encoding="utf-8") == page.readme(found)
    for results in found:
        assert (DOCS / results.name / "page.md").read_text(encoding="utf-8") == page.page(results)
        assert all((DOCS / results.name / file).is_file() for file, _ in results.pictures)


def lines():
    shown = (DOCS / "README.md").read_text(encoding="utf-8").splitlines()
    return [line for line in shown if line.startswith("| [")]


def test_the_table_in_the_docs_has_no_empty_cell():
    for line in lines():
        cells = [cell.strip() for cell in line.replace("\\|", "").strip("|").split("|")]
        assert len(cells) == 7
        assert all(cells)


def test_the_table_in_the_docs_has_every_experiment():
    assert {line.split("](")[0].removeprefix("| [") for line in lines()} == set(NAMES)


def test_every_bar_was_judged_in_the_runs_that_the_docs_show():
    for results in page.collect(DOCS, NAMES):
        keys = {bar.key: bar for bar in find(results.name).bars}
        assert {verdict.key for verdict in results.verdicts} == keys.keys()
        for verdict in results.verdicts:
            assert verdict.met is not None or (results.quick and not keys[verdict.key].quick)
            assert verdict.met is not False or verdict.why
