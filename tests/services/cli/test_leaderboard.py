"""`sparring leaderboard`: who stands where, under which threat model."""

from __future__ import annotations

import json

import pytest
from google.protobuf.json_format import MessageToJson
from sparring.v1.attacks_pb2 import NORM_LINF
from sparring.v1.suites_pb2 import ChecklistItem

STRONG = {"clean": [1, 1, 1, 1, 0], "pgd": [1, 1, 1, 0, 0], "fgsm": [1, 1, 1, 1, 0]}
WEAK = {"clean": [1, 1, 1, 1, 1], "pgd": [1, 0, 0, 0, 0], "fgsm": [1, 1, 1, 1, 1]}
EQUAL = {"clean": [1, 1, 1, 1, 1], "pgd": [1, 1, 1, 0, 0], "fgsm": [1, 1, 1, 1, 0]}


@pytest.fixture
def three(fake, service):
    """Three models in three jobs, two of them equally robust."""
    for name, held in (("strong", STRONG), ("weak", WEAK), ("equal", EQUAL)):
        fake.judged(service, f"jobs/{name}", {name: held})
    return service.jobs


def board(done):
    (only,) = done.data["boards"]
    return [(one["rank"], one["model"]) for one in only["standings"]]


def test_the_most_robust_is_first_and_of_equals_the_more_accurate(sparring, three):
    done = sparring(["leaderboard", "--jobs", "", "--json"])
    assert board(done) == [(1, "equal"), (2, "strong"), (3, "weak")]
    first = done.data["boards"][0]["standings"][0]
    assert (first["robust"][0], first["clean"][0], first["n"]) == (0.6, 1.0, 5)
    assert (first["suite"], first["weakest"], first["jobs"]) == ("quick", "pgd", ["jobs/equal"])


def test_models_with_the_same_figures_share_a_rank(sparring, fake, service, three):
    fake.judged(service, "jobs/twin", {"twin": EQUAL})
    assert board(sparring(["leaderboard", "--jobs", "", "--json"])) == [
        (1, "equal"),
        (1, "twin"),
        (3, "strong"),
        (4, "weak"),
    ]


def test_the_filter_is_the_service_s(sparring, service, three):
    assert sparring(["leaderboard", "--jobs", "kind = evaluation"]).code == 0
    assert service.requests("ListJobs")[0].filter == "kind = evaluation"


def test_each_threat_model_has_a_table_of_its_own(sparring, fake, service, three):
    fake.judged(service, "jobs/far", {"strong": STRONG}, epsilon=0.3)
    fake.judged(service, "jobs/others", {"strong": STRONG}, offset=100)
    boards = sparring(["leaderboard", "--jobs", "", "--json"]).data["boards"]
    assert [(one["epsilon"], one["samples"], len(one["standings"])) for one in boards] == [
        (0.1, "mnist10k, split test, samples 0 to 4", 3),
        (0.3, "mnist10k, split test, samples 0 to 4", 1),
        (0.1, "mnist10k, split test, samples 100 to 104", 1),
    ]


def test_of_the_same_weights_the_lowest_figure_counts(sparring, fake, service, three):
    """Every attack gives an upper bound, under whatever name the weights were registered."""
    fake.judged(service, "jobs/again", {"renamed": WEAK}, weights={"renamed": "sha of strong"})
    done = sparring(["leaderboard", "--jobs", "", "--json"])
    assert board(done) == [(1, "equal"), (2, "renamed"), (2, "weak")]
    assert done.data["boards"][0]["standings"][1]["jobs"] == ["jobs/again", "jobs/strong"]


def test_targeted_attacks_and_those_without_a_limit_make_no_board(sparring, service):
    job = service.add_job("jobs/a")
    job.attack.model = "models/m"
    for attack, epsilon, targeted in (("pgd", 0.1, True), ("fmn", 1.0, False), ("iterative_least_likely", 0.1, False)):
        row = job.result.rows.add(model="models/m", attack=attack, epsilon=epsilon, norm=NORM_LINF, n=5)
        getattr(row.parameters, attack).epsilon = epsilon
        if targeted:
            row.parameters.goal.targeted.label = 3
    done = sparring(["leaderboard", "--jobs", ""])
    assert (done.code, "No attack or evaluation that succeeded was found." in done.out) == (0, True)


def test_what_fails_in_the_checklist_is_flagged(sparring, three):
    checklist = three["jobs/weak"].result.checklist
    checklist.add(point=7, key="black_box", title="Black box", status=ChecklistItem.STATUS_FAIL, model="models/weak")
    checklist.add(point=6, key="grey", title="Grey pictures", status=ChecklistItem.STATUS_FAIL, model="models/other")
    three["jobs/strong"].result.rows[1].violations = 2
    standings = sparring(["leaderboard", "--jobs", "", "--json"]).data["boards"][0]["standings"]
    assert {one["model"]: one["flags"] for one in standings} == {
        "equal": [],
        "strong": ["violations"],
        "weak": ["masking suspected"],
    }
    assert "masking" in sparring(["leaderboard", "--jobs", ""]).out


def test_it_fits_80_columns(sparring, three):
    done = sparring(["leaderboard", "--jobs", ""])
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 80
    assert "60.0 %" in done.out
    assert "upper bound" in done.out
    assert "weak (standard), weakest against pgd: jobs/weak" in done.out


def test_a_folder_of_jobs_makes_the_same_board_with_links_to_its_reports(sparring, three, tmp_path):
    folder = tmp_path / "results" / "of today"
    folder.mkdir(parents=True)
    for name, job in three.items():
        (folder / f"{name.removeprefix('jobs/')}.json").write_text(MessageToJson(job, preserving_proto_field_name=True))
    (folder / "weak-report.html").write_text("the report")
    (folder / "notes.json").write_text("[1, {}]")
    (folder / "broken.json").write_text("{")
    done = sparring(["leaderboard", str(tmp_path), "--json"])
    assert board(done) == [(1, "equal"), (2, "strong"), (3, "weak")]
    assert done.data["boards"][0]["standings"][2]["report"] == str(folder / "weak-report.html")
    page = tmp_path / "board.html"
    assert sparring(["leaderboard", str(tmp_path), "--html", str(page)]).code == 0
    assert 'href="results/of%20today/weak-report.html"' in page.read_text()


METRICS = {
    "format": "sparring.metrics/1",
    "job": "jobs/m",
    "kind": "evaluation",
    "title": "",
    "seed": 3,
    "data": {"dataset": "mnist10k", "split": "test", "offset": 0, "count": 5, "source": "built-in", "digest": "d"},
    "models": [{"name": "models/m", "weights_sha256": "ab", "defense": "standard", "architecture": "mlp"}],
    "rows": [
        {
            "model": "models/m",
            "defense": "standard",
            "attack": "pgd",
            "epsilon": 0.1,
            "norm": "linf",
            "n": 5,
            "clean_accuracy": {"value": 0.8, "low": 0.4, "high": 0.9, "count": 4, "of": 5},
            "robust_accuracy": {"value": 0.2, "low": 0.1, "high": 0.6, "count": 1, "of": 5},
            "class_robust_accuracy": [None, 0.5],
            "curve": False,
            "violations": 0,
        }
    ],
}


def test_downloaded_figures_stand_on_the_same_board_as_jobs(sparring, three, tmp_path):
    (tmp_path / "m-metrics.json").write_text(json.dumps(METRICS))
    (tmp_path / "weak.json").write_text(MessageToJson(three["jobs/weak"], preserving_proto_field_name=True))
    (tmp_path / "m-report.html").write_text("the report")
    done = sparring(["leaderboard", str(tmp_path), "--json"])
    assert board(done) == [(1, "weak"), (2, "m")]
    last = done.data["boards"][0]["standings"][1]
    assert (last["suite"], last["report"]) == ("pgd", str(tmp_path / "m-report.html"))


def test_figures_of_a_suite_have_its_name_and_its_flags(sparring, tmp_path):
    suite = {"level": "standard", "norm": "linf", "epsilon": 0.1, "attacks": 6, "curves": 1}
    item = {"point": 7, "key": "k", "title": "T", "status": "fail", "text": "", "value": None, "model": "models/m"}
    (tmp_path / "m.json").write_text(json.dumps({**METRICS, "suite": suite, "checklist": [item]}))
    (one,) = sparring(["leaderboard", str(tmp_path), "--json"]).data["boards"][0]["standings"]
    assert (one["suite"], one["flags"]) == ("standard", ["masking suspected"])


def test_what_looks_like_a_job_and_is_none_is_told(sparring, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({**METRICS, "rows": [{}]}))
    done = sparring(["leaderboard", str(tmp_path)])
    assert done.code == 0
    assert "left out" in done.err


def test_reports_of_the_service_are_downloaded_where_that_is_wanted(sparring, three, tmp_path):
    done = sparring(["leaderboard", "--jobs", "", "--reports", str(tmp_path / "r"), "--json"])
    assert done.code == 0
    assert (tmp_path / "r" / "weak-report.html").read_text() == "the report of jobs/weak"


@pytest.mark.parametrize("words", [[], ["--jobs", "", "."]])
def test_it_takes_a_folder_or_a_filter(sparring, words):
    assert sparring(["leaderboard", *words]).code == 2
