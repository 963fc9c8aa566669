"""The report: well-formed, self-contained, escaped, and holding what a reader needs."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from workers.evaluation import DataInfo, Shard, summarize
from workers.evaluation.page.pictures import BUDGET, png

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Reads a page, and fails on a tag that is closed out of turn."""

    def __init__(self, html):
        super().__init__()
        self.html = html
        self.open, self.tags, self.attributes, self.texts, self.images = [], [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "img":
            self.images.append(dict(attrs)["src"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))


def job(make, *, models=1, shape=(1, 6, 6), classes=3, n=4, names=None, curves=True, keep=4, **more):
    """A job of FGSM and PGD in the table and one curve, on `models` models."""
    fgsm = make.info("a0", attack="fgsm", epsilon=0.25)
    pgd = make.info("a1", epsilon=8 / 255, paper="1706.06083 section 5", citation="Madry 2017", formula="x < y & z")
    infos = [fgsm, pgd]
    if curves:
        infos += [make.info(f"c0.{i}", epsilon=e, curve=0) for i, e in enumerate([0.3, 0.1])]
    described = [
        make.model(names[i] if names else f"models/net-{i}", classes=classes, shape=shape) for i in range(models)
    ]
    shards = []
    for _ in range(models):
        clean = make.clean([i % classes for i in range(n)], pictures=min(n, keep), shape=shape)
        runs = [
            make.run(clean, [0] * n, key=info.key, keep=0 if info.curve is not None else min(n, keep)) for info in infos
        ]
        shards.append(Shard(clean, tuple(runs)))
    return make.given(shards, infos, models=described, **more)


def page(given):
    return Page(summarize(given).report_html)


def test_the_page_needs_no_network_and_no_script(make):
    found = page(job(make, models=2))
    loaded = [value for name, value in found.attributes if name in {"src", "srcset", "data", "action"}]
    assert loaded
    assert all(value.startswith("data:image/png;base64,") for value in loaded)
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(found.tags)
    links = {value for name, value in found.attributes if name == "href"}
    assert links
    assert all(link.startswith(("https://arxiv.org/abs/", "#")) for link in links)
    html = summarize(job(make)).report_html
    assert "@import" not in html
    assert all(place.startswith("#") for place in re.findall(r"url\(([^)]*)", html))


def test_the_page_holds_what_a_reader_needs(make):
    text = page(job(make, models=2, title="My title")).text
    for words in (
        "My title",
        "FGSM and PGD against 2 models",
        "upper bound on robustness",  # warnings
        "any wrong class",  # threat model
        "0.25 (63.75/255)",
        "8/255 (0.0314)",
        "box [0, 1]",
        "net-0",
        "net-1",
        "Worst of 2 attacks",
        "right only when clean",
        "Accuracy against epsilon",
        "added, ×",
        "By class",
        "cross entropy",  # parameters
        "x < y & z",  # formula
        "ab" * 32,  # digest of the weights
        "jobs/j1",
        "2.13.0",
        "Forward passes",
        "sparring attack",
        "sparring verify j1",
        "arXiv:1706.06083",
        "a sample is lost as soon as one of 2 attacks breaks it",
        "Stage by stage",
        "How sure it is",
        "What it is taken for",
    ):
        assert words in text, words


def test_only_papers_that_were_used_are_cited(make):
    text = page(job(make)).text
    assert "@misc{carlini2019evaluating," in text  # of the non-adaptive note
    assert "@article{wilson1927probable," in text  # of the intervals
    assert "eprint = {1706.06083}" in re.sub(" +", " ", text)
    assert "1608.04644" not in text  # of distillation
    assert "t-SNE" not in text  # nothing was followed


def test_pictures_are_originals_perturbations_and_results(make):
    found = page(job(make))
    assert len(found.images) == 4 * (1 + 2 * 2)
    original = Image.open(io.BytesIO(base64.b64decode(found.images[0].partition(",")[2])))
    assert (original.mode, original.size) == ("L", (6, 6))
    assert original.getpixel((0, 0)) == 0


def test_pictures_in_colour_are_reduced_and_kept_within_the_budget(make):
    found = page(job(make, models=3, shape=(3, 300, 150), n=2, keep=2, curves=False))
    image = Image.open(io.BytesIO(base64.b64decode(found.images[0].partition(",")[2])))
    assert (image.mode, image.size) == ("RGB", (48, 96))
    assert len(found.images) * 48 * 96 < BUDGET


def test_png_rounds_and_never_wraps():
    uri = png(torch.tensor([[[-0.1, 0.4999, 1.2]]]))
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert [image.getpixel((i, 0)) for i in range(3)] == [0, 127, 255]


def test_a_curve_starts_at_the_clean_accuracy_and_has_a_mark_for_each_radius(make):
    found = page(job(make, models=2))
    drawn = next(value for name, value in found.attributes if name == "aria-label" and "against epsilon" in value)
    assert "net-0: 100.0 % at 0, 50.0 % at 0.3; net-1: 100.0 % at 0" in drawn
    curve = found.html[found.html.index("Accuracy against epsilon") : found.html.index("All points")]
    assert curve.count("<use ") == 2 * (3 + 1)  # the marks of each line, and the band around it
    assert "Not down to 0 %: net-0 (50.0 % at 0.3 (76.5/255)) and net-1" in found.text


def test_without_curves_or_attacks_nothing_is_drawn_of_them(make):
    found = page(job(make, curves=False))
    assert ("id", "epsilon") not in found.attributes
    assert found.tags.count("svg") == 2  # confidence and confusion
    assert "svg" not in page(make.given([Shard(make.clean([0, 1]), ())], [], kind="training")).tags


def test_many_models_and_classes_stay_readable(make):
    given = job(make, models=10, classes=1000, n=1000, keep=2)
    found = page(given)
    assert "The worst 20 classes; 980 more are in the JSON file." in found.text
    assert "The 12 classes that lose most." in found.text
    assert "The first 6 models of 10." in found.text
    assert found.tags.count("svg") == 1 + 6 * 2  # ten lines in one plot of their own


@pytest.mark.parametrize("place", ["title", "model", "dataset", "command", "provenance", "class"])
def test_whatever_a_client_wrote_is_escaped(make, place):
    evil = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
    data = DataInfo(
        dataset=evil if place == "dataset" else "d", split="test", offset=0, count=4, class_names=(evil,) * 3
    )
    more = {"title": evil} if place == "title" else {}
    more |= {"command": evil} if place == "command" else {}
    more |= {"provenance": {evil: evil}} if place == "provenance" else {}
    given = job(make, models=2, names=[f"models/{evil}", "models/b"] if place == "model" else None, **more)
    if place in {"dataset", "class"}:
        object.__setattr__(given, "data", data)
    found = page(given)
    assert "script" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert all(source.startswith("data:") for source in found.images)
    assert "alert(" in found.text or place == "class"


@pytest.mark.parametrize("target", [0, 2])
def test_one_sample_and_one_targeted_attack(make, target):
    clean = make.clean([0], pictures=1)
    run = make.run(clean, [2], target=[target], keep=1)
    given = make.given([Shard(clean, (run,))], [make.info(goal="label", goal_label=target)], kind="attack")
    found = page(given)
    assert f"PGD, to class {target}" in found.text
    assert f"target {target}" in found.text
    assert ("no sample judged" in found.text) == (target == 0)


def test_a_trained_model_without_attacks_has_a_page_too(make):
    found = page(make.given([Shard(make.clean([0, 1]), ())], [], kind="training"))
    assert "net, judged clean" in found.text
    assert "The attacks in full" not in found.text


def test_equal_input_gives_an_equal_page(make):
    assert summarize(job(make)).report_html == summarize(job(make)).report_html
