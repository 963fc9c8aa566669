"""A document becomes a pipeline, or every error of it at its place."""

from __future__ import annotations

import pytest
from sparring import requests, submit
from sparring.errors import InvalidArgument
from sparring.pipeline_document import read
from sparring.v1.datasets_pb2 import DataSelection

TRAIN = {"train": "standard", "dataset": "digits", "architecture": "mlp"}
ATTACK = {"attack": "bim", "model": "${plain}", "dataset": "digits"}


def problems(document, **options):
    with pytest.raises(InvalidArgument) as refused:
        read(document, **options)
    return {problem.field: problem.description for problem in refused.value.violations}


def steps(**others):
    return {"steps": {"plain": TRAIN, **others}}


def same(step, request):
    sent = type(request)()
    sent.CopyFrom(step.request)
    sent.request_id = request.request_id
    return sent == request


def test_a_step_is_what_the_method_of_its_name_makes():
    document = steps(
        broken={
            **ATTACK,
            "epsilon": "8/255",
            "target": "random",
            "count": 5,
            "batch-size": 4,
            "reuse": False,
            "after": ["plain", "jobs/x"],
        },
        table={
            "evaluate": ["fgsm:epsilon=0.1", {"pgd": {"steps": 5, "target": 3}}, {"fgsm": None}],
            "models": ["${plain}", "models/net"],
            "dataset": "digits",
            "curves": ["bim:steps=5@0,0.1", {"attack": {"bim": {"steps": 5}}, "epsilons": [0, 0.1]}],
        },
        harm={
            "poison": "backdoor",
            "dataset": "digits",
            "architecture": "mlp",
            "fractions": ["1/100", 0.1],
            "epochs": 2,
        },
        more={
            "train": "trades",
            "dataset": "digits",
            "initial_model": "${plain}",
            "mean": 0.5,
            "epsilon": 0.1,
            "evaluation_data": {"dataset": "digits", "split": "test", "count": 9},
        },
    )
    made = read(document).steps
    broken = submit.attack(
        "${plain}", "digits", "bim", epsilon=8 / 255, target="random", count=5, batch_size=4, after=["${plain}", "x"]
    )
    assert same(made["broken"], broken)
    attacks = ["fgsm:epsilon=0.1", requests.attack("pgd", steps=5, target=3), "fgsm"]
    curves = ["bim:steps=5@0,0.1"] * 2
    table = submit.evaluate(["${plain}", "models/net"], "digits", attacks, curves=curves, reuse=True)
    assert same(made["table"], table)
    harm = submit.poison("digits", "backdoor", [0.01, 0.1], architecture="mlp", epochs=2, reuse=True)
    assert same(made["harm"], harm)
    judged = DataSelection(dataset="datasets/digits", split="test", count=9)
    more = {"initial_model": "${plain}", "mean": [0.5], "epsilon": 0.1, "evaluation_data": judged, "reuse": True}
    assert same(made["more"], submit.train("digits", "trades", **more))


def test_variables_are_put_in_and_those_from_outside_go_first():
    document = steps(broken={**ATTACK, "epsilon": "${eps}", "display_name": "at ${eps} of ${what}"})
    document["vars"] = {"eps": 0.25, "what": "digits"}
    assert read(document).steps["broken"].request.display_name == "at 0.25 of digits"
    request = read(document, {"eps": "8/255"}).steps["broken"].request
    assert request.attack.attack.bim.epsilon == 8 / 255


def test_reuse_can_be_left_out_for_all():
    assert not read(steps(), reuse=False).steps["plain"].request.reuse


WRONG = {
    "no step": ({}, {"steps"}),
    "steps that are a list": ({"steps": [TRAIN]}, {"steps"}),
    "variables that are a list": ({**steps(), "vars": [1]}, {"vars"}),
    "another part": ({**steps(), "step": {}}, {"step"}),
    "no kind": (steps(broken={"model": "m"}), {"steps.broken"}),
    "two kinds": (steps(broken={**ATTACK, "train": "standard"}), {"steps.broken"}),
    "a text": (steps(broken="attack"), {"steps.broken"}),
    "no method": (steps(broken={**ATTACK, "attack": "bmi"}), {"steps.broken.attack"}),
    "a method that is none": (steps(broken={**ATTACK, "attack": None}), {"steps.broken.attack"}),
    "an unknown parameter": (
        steps(broken={**ATTACK, "epsilom": 1, "stpes": 2}),
        {"steps.broken.epsilom", "steps.broken.stpes"},
    ),
    "an unknown field": (steps(t={"evaluate": [], "models": "m", "dataset": "d", "x": 1}), {"steps.t.x"}),
    "a field of the pipeline's own": (steps(broken={**ATTACK, "request_id": "r"}), {"steps.broken.request_id"}),
    "no dataset": (steps(broken={"attack": "bim", "model": "m"}), {"steps.broken.dataset"}),
    "a list for a number": (steps(broken={**ATTACK, "steps": [1]}), {"steps.broken.steps"}),
    "a bad list of attacks": (
        steps(t={"evaluate": [{"a": 1, "b": 2}], "models": "m", "dataset": "d"}),
        {"steps.t.evaluate"},
    ),
    "a bad curve": (
        steps(t={"evaluate": [], "models": "m", "dataset": "d", "curves": [{"attack": "bim"}]}),
        {"steps.t.curves"},
    ),
    "an unknown reference": (steps(broken={**ATTACK, "model": "${plian}"}), {"steps.broken.model"}),
    "a step for a number": (steps(broken={**ATTACK, "epsilon": "${plain}"}), {"steps.broken.epsilon"}),
    "a comparison of more": (steps(side={"compare": ["plain"], "by": 1}), {"steps.side.by"}),
    "a comparison of a training": (steps(side={"compare": ["plain"]}), {"steps.side.compare"}),
    "after nothing": (steps(broken={**ATTACK, "after": "plian"}), {"steps.broken.after"}),
    "a name of two": ({**steps(), "vars": {"plain": 1}}, {"vars.plain"}),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_at_its_place(case):
    document, fields = WRONG[case]
    assert set(problems(document)) == fields


def test_a_variable_that_the_document_does_not_have_is_guessed():
    document = {**steps(), "vars": {"epsilon": 1}}
    assert problems(document, variables={"epsilo": "1"}) == {
        "vars.epsilo": "there is no such variable; did you mean 'epsilon'?"
    }


def test_errors_of_several_steps_come_at_once():
    found = problems(steps(a={**ATTACK, "x": 1}, b={**ATTACK, "model": "${nobody}"}, c={"train": "standard"}))
    assert set(found) == {"steps.a.x", "steps.b.model", "steps.c.dataset"}
