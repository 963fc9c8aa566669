"""What is said in two places is the same in both: protos, the gateway's tables, the workers' tables."""

import dataclasses
import inspect

import pytest
from sparring.v1 import attacks_pb2, defenses_pb2, jobs_pb2, options_pb2

from services.gateway import catalog, comments
from services.gateway.ranges import enum_names, parameter_of
from services.jobs.states import State


def fields_by_kind(message):
    return {field.name: field.message_type for field in message.DESCRIPTOR.oneofs_by_name["kind"].fields}


def test_the_comments_are_up_to_date():
    """After a change of the protos: `python -m services.gateway.comments`."""
    assert comments.load() == comments.described()
    assert all(comments.load().values())


def test_states_are_those_of_the_contract():
    names = {value.name: value.number for value in jobs_pb2.Job.State.DESCRIPTOR.values if value.number}
    assert {f"STATE_{state.name}": state.value for state in State} == names


@pytest.mark.parametrize("owner", [attacks_pb2.Attack, defenses_pb2.Defense])
def test_every_method_says_what_it_is(owner):
    for message in fields_by_kind(owner).values():
        method = message.GetOptions().Extensions[options_pb2.method]
        assert method.title
        assert method.summary
        assert method.formula
        for field in message.fields:
            rule = parameter_of(field)
            assert rule is not None, field.full_name
            assert bool(rule.default_value) != bool(rule.default_rule), field.full_name
            if field.enum_type is not None:
                assert rule.default_value in enum_names(field)
            elif field.type != field.TYPE_BOOL:
                assert rule.HasField("minimum"), field.full_name
                assert rule.HasField("maximum"), field.full_name
                assert rule.unit, field.full_name


def test_attacks_are_those_of_the_workers():
    from workers.attacks import ATTACKS

    messages = fields_by_kind(attacks_pb2.Attack)
    assert ATTACKS.keys() == messages.keys()
    for name, entry in ATTACKS.items():
        fields = set(messages[name].fields_by_name) - {"epsilon", "norm"}
        assert fields == entry.parameters | entry.engine_parameters, name
        assert ("l2" in entry.norms) == ("norm" in messages[name].fields_by_name), name
        assert (entry.own_goal is None) == catalog.targeted(name), name
        keywords = inspect.signature(entry.run).parameters
        assert entry.parameters <= keywords.keys(), name
        assert ("generator" in keywords) == entry.random, name


def test_defenses_are_those_of_the_workers():
    from workers.defenses import DEFENSES

    messages = fields_by_kind(defenses_pb2.Defense)
    assert DEFENSES.keys() == messages.keys()
    for name, kind in DEFENSES.items():
        assert {field.name for field in dataclasses.fields(kind)} == set(messages[name].fields_by_name), name


def test_the_optimization_is_that_of_the_workers():
    from workers.engine.train import Optimization

    names = {field.name for field in dataclasses.fields(Optimization)}
    assert names == set(jobs_pb2.Optimization.DESCRIPTOR.fields_by_name)


@pytest.mark.slow
def test_architectures_are_those_of_the_workers():
    from workers.models import architectures

    theirs, ours = architectures(), catalog.architectures()
    assert list(theirs) == list(ours), "the same ones, in the same order"
    for name, entry in ours.items():
        for size in ((1, 1), (8, 8), (28, 28), (32, 100), (224, 224), (600, 300)):
            assert entry.sees(*size) == theirs[name].size(*size), (name, size)


def test_built_in_datasets_are_those_of_the_workers():
    from workers.data import BUILT_IN

    ours = catalog.built_in_datasets()
    assert list(ours) == list(BUILT_IN)
    for name, info in BUILT_IN.items():
        dataset = ours[name]
        assert tuple(dataset.input_shape) == tuple(info.input_shape)
        for attribute in ("classes", "digest", "description", "licence"):
            assert getattr(dataset, attribute) == getattr(info, attribute), (name, attribute)
        assert [(split.name, split.count, tuple(split.class_counts)) for split in dataset.splits] == [
            (split, part.count, tuple(part.class_counts)) for split, part in info.splits.items()
        ]


@pytest.mark.parametrize("name", ["mnist10k", "digits"])
def test_the_counts_are_those_of_the_data(name):
    from workers.data import builtin

    for split in catalog.built_in_datasets()[name].splits:
        samples = builtin(name, split.name)
        assert len(samples) == split.count
        assert list(samples.class_counts()) == list(split.class_counts)
