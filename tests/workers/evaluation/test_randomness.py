"""The warning about a model that answers at random."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.evaluation import Shard, summarize

N = 300


@pytest.fixture
def warn(make):
    """Return a function from the attacks that were run to the warnings about a model."""

    def warnings(*attacks, **changes):
        clean = make.clean([i % 3 for i in range(N)])
        infos = [
            make.info(f"a{number}", attack=attack, parameters={"samples": 20}) for number, attack in enumerate(attacks)
        ]
        said = [(i + (i < 30)) % 3 for i in range(N)]
        runs = tuple(make.run(clean, said, key=info.key) for info in infos)
        model = replace(make.model(), **changes)
        return [
            text
            for text in summarize(make.given([Shard(clean, runs)], infos, models=[model])).warnings
            if "answers at random" in text
        ]

    return warnings


RANDOM = {"component": "noise (sigma 0.1, votes 1)", "answers_at_random": True}


def test_a_random_model_is_told_and_an_attack_that_averages_is_asked_for(warn):
    (text,) = warn("pgd", **RANDOM)
    assert "net answers at random (noise (sigma 0.1, votes 1))" in text
    assert "run eot_pgd" in text


def test_the_figure_of_an_attack_that_averages_is_given(warn):
    (text,) = warn("pgd", "eot_pgd", **RANDOM)
    assert "Measured: EOT-PGD" in text
    assert "leaves 90.0" in text


def test_a_model_whose_component_is_not_random_is_left_in_peace(warn):
    assert warn("pgd", component="autoencoder (units 9)") == []
    assert warn(**RANDOM) == []
