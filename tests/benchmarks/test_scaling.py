"""benchmarks/scaling.py: how it counts, and what it writes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def scaling(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    # Its stub is an application of Celery, which is made when it is imported, and is none of this process.
    monkeypatch.setitem(sys.modules, "stub_device", SimpleNamespace(STUB_SEED=1))
    module = importlib.import_module("scaling")
    yield module
    for name in ("scaling", "scaling_limits"):
        sys.modules.pop(name, None)


def event(number: int, time_ms: int, unit: int, kind: str) -> SimpleNamespace:
    return SimpleNamespace(id=number, time_ms=time_ms, type="unit", payload={"unit": unit, "kind": kind})


class Store:
    """A job of two shards and a closing unit; its events come in pages of two."""

    def __init__(self, *kinds: tuple[int, int, str]) -> None:
        self._events = [event(number, *of) for number, of in enumerate(kinds, start=1)]

    def get(self, _: str, job: str) -> SimpleNamespace:
        return SimpleNamespace(id=job, units=2)

    def events(self, _: str, after: int, __: int) -> list[SimpleNamespace]:
        return self._events[after : after + 2]


WHOLE = ((1000, 0, "claimed"), (1100, 1, "claimed"), (2000, 0, "committed"), (3500, 1, "committed"))
CLOSING = ((3600, 2, "claimed"), (9000, 2, "committed"))


def test_the_pace_is_from_the_first_claim_to_the_last_commit_of_a_shard_without_the_closing_unit(scaling):
    assert scaling.paced(Store(*WHOLE, *CLOSING), "jobs/a") == (2, 2.5)


def test_a_shard_that_was_not_committed_is_an_error_and_no_figure(scaling):
    with pytest.raises(AssertionError, match="every shard"):
        scaling.paced(Store(*WHOLE[:3]), "jobs/a")


def test_each_run_is_related_to_the_first(scaling):
    runs = [
        scaling.Run(workers=n, shards=4, shards_per_s=pace, gateway_percent=1, store_percent=2)
        for n, pace in ((1, 2.0), (8, 15.0))
    ]
    assert [run.times_one for run in scaling.related(runs)] == [1.0, 7.5]
    assert "| 8 | 4 | 15.00 | **7.50** | 1.0 | 2.0 |" in scaling.rows(scaling.related(runs))


def test_a_ceiling_is_what_a_core_does_at_that_cost(scaling):
    figure = scaling.Figure(what="a thing", process="Redis", milliseconds=0.5, unit="things a second")
    assert figure.line() == "| a thing | Redis | 0.500 ms | 2,000 things a second |"


def test_tables_are_put_at_their_marks_and_nothing_else_changes(scaling, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# Head\n\n<!-- figures: stub -->\n\n| old |\n|---|\n\nText.\n\n<!-- figures: real -->\n\n| old |\n"
    )
    scaling.write(page, {"stub": ["| a |", "|---|", "| 1 |"], "real": ["| b |"]})
    before, _, after = page.read_text().partition("Text.")
    assert before == "# Head\n\n<!-- figures: stub -->\n\n| a |\n|---|\n| 1 |\n\n"
    assert after.strip() == "<!-- figures: real -->\n\n| b |"


def test_a_page_without_a_mark_is_refused(scaling, tmp_path):
    (tmp_path / "page.md").write_text("# Head\n")
    with pytest.raises(AssertionError, match="has no"):
        scaling.write(tmp_path / "page.md", {"stub": []})


def test_the_page_has_a_mark_for_every_table(scaling):
    text = (BENCHMARKS.parent / "docs/scaling.md").read_text(encoding="utf-8")
    assert all(scaling.MARK.format(name) in text for name in ("stub", "real", "limits"))
