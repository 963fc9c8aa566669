"""docs/guarantees.md names proofs that are there: tests by path and name, mutations by name."""

from __future__ import annotations

import re

from tools.mutations.table import MUTATIONS

from .named_tests import ROOT, missing

PAGE = ROOT / "docs" / "guarantees.md"
TEST = re.compile(r"`(tests/[\w/]+\.py(?:::[\w:]+)?)`")
MUTATION = re.compile(r"mutation `([^`]+)`")
PROMISE = re.compile(r"^### (.+)$", re.MULTILINE)


def promises() -> dict[str, str]:
    """Each promise of the page, and what stands below it."""
    title, *parts = PROMISE.split(PAGE.read_text(encoding="utf-8").partition("## What is not promised")[0])
    assert title
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_test_that_is_named_is_there() -> None:
    names = TEST.findall(PAGE.read_text(encoding="utf-8"))
    assert len(names) > 50
    whole_files = [name for name in names if "::" not in name]
    assert [name for name in whole_files if not (ROOT / name).is_file()] == []
    assert missing([name for name in names if "::" in name]) == []


def test_every_mutation_that_is_named_is_in_the_table() -> None:
    named = set(MUTATION.findall(PAGE.read_text(encoding="utf-8")))
    assert named - {mutation.name for mutation in MUTATIONS} == set()


def test_every_promise_names_a_test_that_shows_it() -> None:
    assert [promise for promise, text in promises().items() if not TEST.search(text)] == []


def test_every_mutation_belongs_to_a_promise() -> None:
    named = set(MUTATION.findall(PAGE.read_text(encoding="utf-8")))
    assert {mutation.name for mutation in MUTATIONS} - named == set()
