"""Six experiments from the first request to the last plot, on made-up figures: the gateway takes all they ask for."""

from __future__ import annotations

import pytest

from reproductions.experiments import find
from tests.reproductions.made_up import MadeUp

SIX = ("vat", "black-box-substitute", "transferability-matrix", "other-models", "poisoning", "failed-defenses")


# The black box in full is the same five times over, and takes as long as all others together.
FORMS = [(name, quick) for name in SIX for quick in (True, False) if quick or name != "black-box-substitute"]


@pytest.mark.parametrize(("name", "quick"), FORMS)
def test_every_bar_is_judged_and_every_picture_is_drawn(name, quick, tmp_path):
    experiment = find(name)
    lab = MadeUp(experiment, tmp_path, quick=quick)
    experiment.run(lab)
    assert all(verdict.met is not None for verdict in lab.verdicts())
    assert lab.rows
    for file, words in lab.pictures:
        assert (tmp_path / file).stat().st_size > 1000
        assert words


@pytest.mark.parametrize("name", SIX)
def test_a_run_that_is_repeated_asks_for_the_same(name, tmp_path):
    asked = []
    for _ in range(2):
        experiment = find(name)
        lab = MadeUp(experiment, tmp_path, quick=True)
        experiment.run(lab)
        asked.append([request.SerializeToString(deterministic=True) for request in lab.requests])
    assert asked[0] == asked[1]
