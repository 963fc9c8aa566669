"""`sparring compare`, and the three forms of its table."""

from __future__ import annotations

import pytest

from services.cli import sheets

ONE = {"clean": [1] * 10, "pgd": [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]}
OTHER = {"clean": [1] * 10, "pgd": [0, 1, 1, 1, 1, 1, 1, 1, 0, 0]}


@pytest.fixture
def two(fake, service):
    fake.judged(service, "jobs/a", {"plain": ONE})
    fake.judged(service, "jobs/b", {"hardened": OTHER})


def test_it_shows_shares_and_paired_differences_in_80_columns(sparring, two):
    done = sparring("compare jobs/a b")
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 80
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    head = lines.index("pgd 0.1")
    assert lines[head + 1] == "plain 40.0 % 16.8 - 68.7"
    assert lines[head + 2].startswith("hardened 70.0 % 39.7 - 89.2 +30.0 -")
    assert lines[head + 2].endswith("0.375")
    assert "Newcombe 1998, method 10" in done.out


def test_the_same_attack_twice_is_told_apart_by_what_differs(sparring, fake, service):
    short, long = {"pgd:steps=20,restarts=1": ONE["pgd"]}, {"pgd:steps=40,restarts=1": ONE["pgd"]}
    fake.judged(service, "jobs/a", {name: {"clean": ONE["clean"], **short, **long} for name in ("m", "n")})
    heads = [line.rstrip() for line in sparring("compare a").out.splitlines() if line.startswith("pgd")]
    assert heads == ["pgd 0.1, steps 20", "pgd 0.1, steps 40"]


def test_json_has_everything(sparring, two):
    found = sparring("compare a b --baseline hardened --json").data
    assert found["baseline"] == 1
    assert found["lines"][1]["differences"][0]["lost"] == 4


def test_both_files_are_written_with_the_same_figures(sparring, two, tmp_path):
    page, text = tmp_path / "new" / "a.html", tmp_path / "a.md"
    done = sparring(f"compare a b --html {page} --markdown {text}")
    assert done.code == 0
    assert str(page) in done.err
    for content in (page.read_text(), text.read_text()):
        assert "+30.0" in content
        assert "hardened" in content
    assert "| **pgd 0.1** |  |  |  |  |  |" in text.read_text()


def test_other_samples_exit_2_with_what_to_do(sparring, fake, service, two):
    fake.judged(service, "jobs/c", {"plain": ONE}, offset=10)
    done = sparring("compare a c")
    assert done.code == 2
    assert "  JOB: jobs/a is on mnist10k, split test, samples 0 to 9" in done.err
    assert "sparring evaluate --model plain" in done.err


def test_an_unknown_job_exits_2(sparring, two):
    assert sparring("compare a nothing").code == 2


def test_names_from_clients_are_text_wherever_they_are_shown():
    evil = "<script>|[x](y)`**\n# a"
    table = sheets.Table(title=evil, columns=("#", "Model"), rows=[(evil,), ("1", sheets.Link(evil, "a%22b"))])
    sheet = sheets.Sheet(title=evil, lead=evil, tables=[table], notes=[evil])
    page = sheets.html(sheet)
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 7
    text = sheets.markdown(sheet)
    assert r"\<script\>\|\[x\](y)\`\*\* \# a" in text
    assert not any(line.startswith("# a") for line in text.splitlines())


def test_a_page_needs_nothing_beside_it():
    page = sheets.html(sheets.Sheet(title="t", lead="l", tables=[]))
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert "http" not in page.replace("http-equiv", "")
