"""What stands around a network is the same in the contract, the gateway and the workers."""

import dataclasses

import pytest
from sparring.v1 import components_pb2, defenses_pb2

from services.gateway import components
from services.gateway.defaults import fill
from services.gateway.ranges import fields_of, parameter_of

KINDS = {field.name: field.message_type for field in components_pb2.Component.DESCRIPTOR.oneofs_by_name["kind"].fields}


def test_components_are_those_of_the_workers():
    from workers.models.components import COMPONENTS

    assert COMPONENTS.keys() == KINDS.keys()
    for name, kind in COMPONENTS.items():
        assert {field.name for field in dataclasses.fields(kind)} == set(KINDS[name].fields_by_name), name


def test_every_field_of_a_component_must_be_given_and_has_a_range():
    for message in KINDS.values():
        for field in message.fields:
            rule = parameter_of(field)
            assert rule.required, field.full_name
            if field.type != field.TYPE_BOOL:
                assert rule.HasField("minimum"), field.full_name
                assert rule.HasField("maximum"), field.full_name
                assert rule.unit, field.full_name


@pytest.mark.parametrize("name", ["sigma", "votes", "units", "members", "reduction", "bits", "glimpses", "shift"])
def test_the_ranges_are_those_of_the_workers(name):
    """Both ends of a range make a component, and what lies beyond does not."""
    from workers.failures import Rejected
    from workers.models.components import COMPONENTS

    kind, message = next((kind, message) for kind, message in KINDS.items() if name in message.fields_by_name)
    rule = parameter_of(message.fields_by_name[name])
    others = {
        field.name: parameter_of(field).maximum if field.type != field.TYPE_BOOL else False
        for field in message.fields
        if field.name != name
    }
    for value in (rule.minimum, rule.maximum):
        assert getattr(COMPONENTS[kind](**others, **{name: value}), name) == value
    for value in (rule.minimum - 1, rule.maximum + 1):
        with pytest.raises(Rejected):
            COMPONENTS[kind](**others, **{name: value})


@pytest.mark.parametrize(
    "kind", [field.name for field in defenses_pb2.Defense.DESCRIPTOR.oneofs_by_name["kind"].fields]
)
def test_the_gateway_knows_what_each_defense_builds(kind):
    from workers.defenses import DEFENSES
    from workers.run import messages

    defense = defenses_pb2.Defense()
    method = getattr(defense, kind)
    method.SetInParent()
    fill(method, computed=dict.fromkeys(fields_of(method), 3))
    built = DEFENSES[kind](**messages.values(method)).component()
    expected = None if built is None else messages.component_message(built)
    assert components.of_defense(defense) == expected
    if built is not None:
        assert messages.component(expected) == built
