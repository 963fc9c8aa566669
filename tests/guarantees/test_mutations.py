"""The table of mutations fits the code as it stands; whether each is caught, `make test-mutations` says."""

from __future__ import annotations

from collections import Counter

import pytest

from tools.mutations.mutation import Mutation
from tools.mutations.table import MUTATIONS

from .named_tests import ROOT, missing


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.name for mutation in MUTATIONS])
def test_what_it_replaces_is_there_and_so_are_its_judges(mutation: Mutation) -> None:
    assert mutation.mutated(ROOT) != (ROOT / mutation.file).read_text(encoding="utf-8")
    assert mutation.tests
    assert missing(list(mutation.tests)) == []


def test_no_name_stands_twice() -> None:
    assert [name for name, count in Counter(mutation.name for mutation in MUTATIONS).items() if count > 1] == []
