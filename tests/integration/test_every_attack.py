"""Every attack of the contract, through a real gateway and a real worker."""

from __future__ import annotations

import pytest
from sparring import requests
from sparring.v1 import attacks_pb2, datasets_pb2, jobs_pb2

# A model of another kind, or somebody else's package, is what these need.
ELSEWHERE = {"tree_walk", "nearest_neighbor", "plugin"}
QUICK = {
    "apgd": "apgd:steps=5",
    "auto_attack": "auto_attack:steps=3,queries=20,targets=2",
    "bim": "bim:epsilon=0.1,steps=4",
    "boundary": "boundary:queries=100",
    "carlini_wagner": "carlini_wagner:search_steps=2,steps=10,learning_rate=0.1",
    "ddn": "ddn:steps=60",
    "deepfool": "deepfool:steps=10",
    "ead": "ead:search_steps=2,steps=10,learning_rate=0.1",
    "eot_pgd": "eot_pgd:steps=2,samples=2",
    "fab": "fab:steps=5,targets=2",
    "fgsm": "fgsm:epsilon=0.1",
    "fmn": "fmn:steps=10,norm=linf",
    "fooling_cppn": "fooling_cppn:generations=3,offspring=10,target=each",
    "fooling_gradient": "fooling_gradient:steps=200,target=each",
    "fooling_map_elites": "fooling_map_elites:generations=3,offspring=10,target=each",
    "hop_skip_jump": "hop_skip_jump:queries=100,initial_evaluations=10",
    "iterative_least_likely": "iterative_least_likely:epsilon=0.1,steps=4",
    "jsma": "jsma:max_fraction=0.05",
    "lbfgs": "lbfgs:search_steps=2,steps=5",
    "linear_nudge": "linear_nudge",
    "mi_fgsm": "mi_fgsm:epsilon=0.1,steps=4,diversity_probability=0.5,kernel_size=3",
    "nes": "nes:queries=60,samples=5",
    "pgd": "pgd:epsilon=0.1,steps=4,loss=rescaled_cross_entropy",
    "simba": "simba:queries=60,basis=dct",
    "square": "square:queries=40",
}


@pytest.fixture(scope="module")
def linear(api) -> str:
    """A model that every one of them takes: the closed form is for linear ones."""
    return api.run(api.training(architecture="softmax_regression")).name


def test_every_attack_of_the_contract_runs_as_a_job(api, linear) -> None:
    """All of them in one evaluation: table, report, figures, and no broken promise."""
    kinds = {field.name for field in attacks_pb2.Attack.DESCRIPTOR.oneofs_by_name["kind"].fields}
    assert set(QUICK) == kinds - ELSEWHERE
    spec = jobs_pb2.EvaluationSpec(
        models=[linear],
        data=datasets_pb2.DataSelection(dataset="mnist10k", count=10),
        attacks=[requests.attack(text) for text in QUICK.values()],
        curves=[jobs_pb2.EpsilonCurve(attack=requests.attack("ddn:steps=10"), epsilons=[0, 1, 5])],
    )
    job = api.run(spec, timeout_s=120)
    rows = {row.attack: row for row in job.result.rows if not row.curve}
    assert set(rows) >= set(QUICK)
    assert sum(row.violations for row in job.result.rows) == 0
    assert rows["fooling_gradient"].success_rate.value == pytest.approx(1)
    for name in ("deepfool", "linear_nudge", "ddn"):
        assert rows[name].robust_accuracy.value == 0
        assert 0 < rows[name].median_distance < 10
    for name in ("square", "boundary"):
        assert 0 < rows[name].queries <= 110 * 10
    assert api.download(job, "report").startswith(b"<!doctype html>")


def test_a_query_attack_says_what_it_did_as_a_job_of_its_own(api, model) -> None:
    """With its adversarial examples."""
    spec = jobs_pb2.AttackSpec(
        model=model,
        data=datasets_pb2.DataSelection(dataset="mnist10k", count=20),
        attack=requests.attack("square:epsilon=0.3,queries=200"),
    )
    job = api.run(spec)
    assert job.result.rows[1].success_rate.value > 0.8
    assert {artifact.role for artifact in job.result.artifacts} == {
        "adversarial",
        "report",
        "metrics",
        "markdown",
        "verdicts",
        "manifest",
    }
