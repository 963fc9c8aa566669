"""What is said in two places is the same in both: protos, the gateway's tables, the workers' tables."""

import dataclasses
import inspect

import pytest
from sparring.radii import NO_LIMIT
from sparring.v1 import attacks_pb2, defenses_pb2, jobs_pb2, options_pb2, poisoning_pb2
from sparring.values import prefix

from services.gateway import catalog, comments
from services.gateway.defaults import parse_default
from services.gateway.ranges import allowed_names, enum_names, parameter_of
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


@pytest.mark.parametrize("owner", [attacks_pb2.Attack, defenses_pb2.Defense, poisoning_pb2.Poison])
def test_every_method_says_what_it_is(owner):
    for message in fields_by_kind(owner).values():
        method = message.GetOptions().Extensions[options_pb2.method]
        assert method.title
        assert method.summary
        assert method.formula
        assert (method.knowledge in {"gradients", "scores", "labels"}) == (owner is attacks_pb2.Attack)
        assert method.targeted or not method.needs_target
        assert bool(method.cost) == (owner is defenses_pb2.Defense)
        for field in message.fields:
            rule = parameter_of(field)
            assert rule is not None, field.full_name
            if field.type in (field.TYPE_STRING, field.TYPE_MESSAGE):
                continue  # names and what a plug-in takes have no range, and no default but none
            assert bool(rule.default_value) != bool(rule.default_rule), field.full_name
            if field.enum_type is not None:
                assert rule.default_value in allowed_names(field)
                assert set(rule.allowed) <= set(enum_names(field))
            elif field.type != field.TYPE_BOOL:
                assert rule.HasField("minimum"), field.full_name
                assert rule.HasField("maximum"), field.full_name
                assert rule.unit, field.full_name


@pytest.mark.parametrize("message", fields_by_kind(attacks_pb2.Attack).values(), ids=lambda message: message.name)
def test_a_radius_reaches_as_far_as_the_largest_of_its_norms(message):
    """The range of `epsilon` is that of the norms together; the gateway looks at each norm's own."""
    norm = message.fields_by_name.get("norm")
    norms = [attacks_pb2.NORM_LINF] if norm is None else [attacks_pb2.Norm.Value(name) for name in allowed_names(norm)]
    rule = parameter_of(message.fields_by_name["epsilon"])
    assert rule.maximum == max(NO_LIMIT[norm] for norm in norms)


def test_no_limit_is_the_same_in_the_gateway_and_in_the_report():
    from workers.evaluation import inputs

    assert {
        attacks_pb2.Norm.Name(norm).removeprefix("NORM_").lower(): most for norm, most in NO_LIMIT.items()
    } == inputs.NO_LIMIT


def test_attacks_are_those_of_the_workers():
    from workers.attacks import ATTACKS

    messages = fields_by_kind(attacks_pb2.Attack)
    assert ATTACKS.keys() == messages.keys()
    for name, entry in ATTACKS.items():
        fields = set(messages[name].fields_by_name) - {"epsilon", "norm"}
        norm = messages[name].fields_by_name.get("norm")
        norms = {"linf"} if norm is None else {value.removeprefix("NORM_").lower() for value in allowed_names(norm)}
        info = catalog.attack(name)
        assert entry.norms == norms, name
        assert (entry.targeted and entry.own_goal is None) == info.targeted, name
        assert (entry.reads, entry.minimum) == (info.knowledge, info.minimum), name
        assert entry.from_nothing == info.needs_target, name
        if name == "plugin":
            continue  # what it takes, it says itself
        assert fields == entry.parameters | entry.engine_parameters, name
        if entry.run is not None:
            keywords = inspect.signature(entry.run).parameters
            assert entry.parameters <= keywords.keys(), name
            assert ("generator" in keywords) == entry.random, name


def test_defenses_are_those_of_the_workers():
    from workers.defenses import DEFENSES

    messages = fields_by_kind(defenses_pb2.Defense)
    assert DEFENSES.keys() == messages.keys()
    for name, kind in DEFENSES.items():
        assert {field.name for field in dataclasses.fields(kind)} == set(messages[name].fields_by_name), name


def test_poisons_are_those_of_the_workers():
    from workers.poisoning import POISONS

    messages = fields_by_kind(poisoning_pb2.Poison)
    assert POISONS.keys() == messages.keys()
    for name, kind in POISONS.items():
        fields = {field.name: field for field in dataclasses.fields(kind)}
        assert fields.keys() == set(messages[name].fields_by_name), name
        for field in messages[name].fields:
            stated = parameter_of(field).default_value.lower().removeprefix("flip_choice_")
            assert type(fields[field.name].default)(stated) == fields[field.name].default, field.full_name


def test_no_two_parameters_of_a_poisoning_share_a_name():
    own = set(poisoning_pb2.PoisoningSpec.DESCRIPTOR.fields_by_name)
    learning = [*jobs_pb2.Optimization.DESCRIPTOR.fields_by_name, *jobs_pb2.FitOptions.DESCRIPTOR.fields_by_name]
    for name, message in fields_by_kind(poisoning_pb2.Poison).items():
        names = [*own, *learning, *message.fields_by_name]
        assert len(names) == len(set(names)), name


def test_a_poisoning_s_row_is_that_of_the_workers():
    from workers.poisoning.rows import PoisoningRow

    names = {field.name for field in dataclasses.fields(PoisoningRow)}
    assert names == set(poisoning_pb2.PoisoningRow.DESCRIPTOR.fields_by_name)


def test_the_optimization_is_that_of_the_workers():
    from workers.engine.train import Optimization

    names = {field.name for field in dataclasses.fields(Optimization)}
    assert names == set(jobs_pb2.Optimization.DESCRIPTOR.fields_by_name)


def test_the_validation_is_that_of_the_workers():
    from workers.engine.train import Validation

    names = {field.name for field in dataclasses.fields(Validation)}
    assert names == set(jobs_pb2.Validation.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize("message", [jobs_pb2.Optimization, jobs_pb2.Validation])
def test_every_parameter_of_a_training_says_what_it_may_be(message):
    from workers.engine import train

    (owner,) = [kind for kind in (train.Optimization, train.Validation) if kind.__name__ == message.DESCRIPTOR.name]
    ours = {field.name: field.default for field in dataclasses.fields(owner)}
    for field in message.DESCRIPTOR.fields:
        rule = parameter_of(field)
        assert rule is not None, field.full_name
        assert bool(rule.default_value) != bool(rule.default_rule), field.full_name
        if field.enum_type is not None:
            short = {name: name.removeprefix(prefix(field.enum_type)).lower() for name in enum_names(field)}
            assert ours[field.name] == short[rule.default_value], field.full_name
        elif field.type != field.TYPE_BOOL:
            assert rule.HasField("minimum"), field.full_name
            assert rule.HasField("maximum"), field.full_name
            assert rule.unit, field.full_name
        # What has no default in the workers, or one by a rule, is filled in by the gateway.
        if rule.default_value and field.enum_type is None and ours[field.name] is not dataclasses.MISSING:
            assert float(parse_default(field, rule.default_value)) == float(ours[field.name]), field.full_name


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
