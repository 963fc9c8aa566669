"""The table of attacks says what the contract says."""

from __future__ import annotations

import inspect

import pytest
from sparring import contract
from sparring.v1 import attacks_pb2

from workers.attacks import ATTACKS
from workers.losses import LOSSES, TARGETED_LOSSES
from workers.threats import BALLS

MESSAGES = {field.name: field.message_type for field in attacks_pb2.Attack.DESCRIPTOR.oneofs_by_name["kind"].fields}


def short_names(enum, prefix):
    return {
        name.removeprefix(prefix).lower() for name in enum.DESCRIPTOR.values_by_name if not name.endswith("UNSPECIFIED")
    }


def test_every_attack_of_the_contract_is_in_the_table_and_no_other():
    """One message, one line."""
    assert set(ATTACKS) == set(MESSAGES)


@pytest.mark.parametrize("name", ATTACKS)
def test_parameters_have_the_contracts_names(name):
    """epsilon and norm make the ball, the rest goes to the function or to the engine."""
    entry, fields = ATTACKS[name], {field.name for field in MESSAGES[name].fields}
    assert entry.parameters | entry.engine_parameters == fields - {"epsilon", "norm"}
    norm = MESSAGES[name].fields_by_name.get("norm")
    allowed = ["NORM_LINF"] if norm is None else contract.parameter(norm).allowed
    assert entry.norms == ({value.removeprefix("NORM_").lower() for value in allowed} or set(BALLS))


@pytest.mark.parametrize("name", [name for name, entry in ATTACKS.items() if entry.run is not None])
def test_functions_take_exactly_these_keywords_and_have_no_defaults(name):
    """Defaults stand in the contract, once."""
    entry = ATTACKS[name]
    signature = inspect.signature(entry.run).parameters.values()
    assert [p.name for p in signature if p.kind is not p.KEYWORD_ONLY] == ["model", "x", "goal", "ball"]
    assert {p.name for p in signature if p.kind is p.KEYWORD_ONLY} == entry.parameters | (
        {"generator"} if entry.random else set()
    )
    assert all(p.default is p.empty for p in signature)


def test_enumerations_have_the_contracts_names():
    """LOSS_MARGIN is "margin", NORM_LINF is "linf"."""
    assert set(LOSSES) == set(TARGETED_LOSSES) == short_names(attacks_pb2.Loss, "LOSS_")
    assert set(BALLS) == short_names(attacks_pb2.Norm, "NORM_")
