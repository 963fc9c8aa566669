"""The report as Markdown, the papers as BibTeX, and the checklist on the page."""

from __future__ import annotations

import re

import pytest
from sparring.v1 import attacks_pb2, defenses_pb2, options_pb2, poisoning_pb2

from workers.evaluation import Shard, finding, overfitting, summarize
from workers.evaluation.checklist import ChecklistItem
from workers.evaluation.page import embedding, telling
from workers.evaluation.page.markdown import text
from workers.evaluation.page.points import points
from workers.evaluation.papers import entries, used


@pytest.fixture
def markdown(make):
    """Two attacks and a curve on two models; the second is called like a table."""
    infos = [make.info("a0", attack="fgsm"), make.info("a1"), make.info("c0.0", epsilon=0.1, curve=0)]
    clean = make.clean([0, 1, 2, 0])
    runs = [make.run(clean, [1, 1, 2, 0], key="a0"), make.run(clean, [1, 1, 0, 0], key="a1")]
    runs.append(make.run(clean, [0, 1, 2, 0], key="c0.0"))
    described = [make.model("models/one"), make.model("models/|two|<b>")]
    return summarize(make.given([Shard(clean, tuple(runs))] * 2, infos, models=described)).report_md


def test_markdown_has_the_tables_of_the_page(markdown):
    for heading in ("Warnings", "Robust accuracy", "Stage by stage", "Accuracy against epsilon", "By class", "Cost"):
        assert f"\n## {heading}\n" in markdown
    assert "| one | standard training | 100.0 % (51.0–100.0) | 50.0 % (15.0–85.0) | Worst of 2 attacks" in markdown
    stages = [line for line in markdown.splitlines() if line.startswith("| one | L∞ |")]
    assert [line.split(" | ")[4] for line in stages] == ["1", "1"]  # each turns one sample first
    assert "sparring verify j1" in markdown
    assert "@misc{carlini2019evaluating," in markdown


def test_every_line_of_a_table_has_as_many_cells_as_its_head(markdown):
    tables = re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    assert len(tables) > 5
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_what_a_client_wrote_is_words_in_markdown():
    assert text("a|b <img> `x`\n# [c](d) *e* \\") == r"a\|b \<img\> \`x\` \# \[c\](d) \*e\* \\"


def test_points_show_the_gravest_of_their_items():
    states = [(6, "pass"), (6, "fail"), (6, "pass"), (9, "not_done"), (9, "pass"), (1, "info")]
    told = points([ChecklistItem(number, f"k{i}", "t", state, "x") for i, (number, state) in enumerate(states)])
    assert [(point.number, point.state) for point in told] == [(1, "info"), (6, "fail"), (9, "not_done")]
    assert told[1].counts == (("fail", 1), ("pass", 2))


def methods():
    """The (paper, citation) of every attack, defense and poison of the contract."""
    for kind in (attacks_pb2.Attack, defenses_pb2.Defense, poisoning_pb2.Poison):
        for field in kind.DESCRIPTOR.fields:
            if field.message_type is not None:
                about = field.message_type.GetOptions().Extensions[options_pb2.method]
                if about.title and about.citation and "no paper" not in about.citation:
                    yield about.paper, about.citation


def test_every_paper_that_the_product_cites_has_an_entry():
    found = [paper for module in (finding, overfitting) for paper in vars(module).values() if isinstance(paper, tuple)]
    cited = [*methods(), *found, telling.WILSON, embedding.TSNE_PAPER]
    assert len(cited) > 50
    assert [one for one in cited if not used([one])] == []


def test_entries_are_well_formed_and_unique():
    assert len({paper.eprint for paper in entries().values() if paper.eprint}) > 50
    for key, paper in entries().items():
        assert paper.text.count("{") == paper.text.count("}"), key
        assert re.fullmatch(r"@\w+\{[a-z0-9]+,\n(?:  \w+ +(?:= )?.*,\n)+\}", paper.text), key
        if paper.eprint:
            assert int(f"20{paper.eprint[:2]}") in {int(paper.cited[-4:]), int(paper.cited[-4:]) + 1}, key


def test_a_citation_without_an_id_is_found_by_its_authors():
    (one, two) = used([("", "Biggio, Nelson, Laskov 2011; by loss, Xiao, Xiao, Eckert 2012")])
    assert (one.key, two.key) == ("biggio2011support", "xiao2012adversarial")
    assert used([("9999.00000", "nobody")]) == []
