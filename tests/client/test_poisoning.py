"""A poisoning as a person asks for it."""

from __future__ import annotations

import pytest
from sparring import errors, submit
from sparring.v1.datasets_pb2 import DataSelection
from sparring.v1.jobs_pb2 import Optimization
from sparring.v1.poisoning_pb2 import Backdoor


def test_everything_of_a_poisoning_arrives():
    spec = submit.poison(
        "mnist10k",
        "backdoor:trigger_label=7",
        [0.05, "1/100"],
        architecture="wong_cnn",
        sanitizer="loss",
        dropped_fraction="1/20",
        count=100,
        evaluation_data=DataSelection(dataset="digits"),
        seed=7,
        device="cpu",
        trigger_size=2,
        epochs=3,
    ).poisoning
    assert spec.poison.backdoor == Backdoor(trigger_label=7, trigger_size=2)
    assert spec.optimization == Optimization(epochs=3)
    assert not spec.HasField("fitting")
    assert (list(spec.fractions), spec.sanitizer, spec.dropped_fraction) == ([0.05, 0.01], 2, 0.05)
    assert (spec.architecture, spec.data.count, spec.seed, spec.device) == ("wong_cnn", 100, 7, 2)
    assert submit.poison("d", Backdoor(trigger_label=1), [0.1], cost=2).poisoning.fitting.cost == 2


def test_a_poison_that_there_is_not_is_refused():
    with pytest.raises(errors.InvalidArgument, match="label_flip"):
        submit.poison("d", "arsenic", [0.1])
