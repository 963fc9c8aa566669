"""The report in headless Chromium, without a network: nothing overlaps, sticks out, is torn or empty.

The first tests show that the measure sees such faults where there are some.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tools.browser import browser, find
from workers.evaluation import Course, Look, Shard, summarize
from workers.evaluation.features import Features

WIDTHS = (1280, 390)
NAMES = ("undefended", "pgd-trained", "fgsm-trained", "distilled")
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
LINES = '<path d="M0 0h80" stroke="red"/><path d="M0 9h80" stroke="blue"/><path d="M0 20v9h9"/>'
DRAWN = f'<svg width="90" height="40">{LINES}</svg>'
SOUND = f'<h1>Heading</h1><p>Words</p>{DRAWN}<table><tr><td>1</td></tr></table><img src="{PIXEL}" alt="dot">'
FAULTS = {
    "overlaps": '<h2 style="margin-bottom:-30px">Some heading</h2><p>A paragraph that climbs into the heading</p>',
    "is an empty drawing": '<svg width="90" height="40"><path d="M0 0h80" stroke="red"/></svg>',
    "empty drawing": '<svg width="90" height="40"><path d="M0 0h80M0 9h80M0 20h9" stroke="none" fill="none"/></svg>',
    "sticks out of": f'{DRAWN[:-6]}<text x="70" y="20">far too long</text></svg>',
    "in <svg>": f'{DRAWN[:-6]}<text x="2" y="20">one</text><text x="6" y="22">two</text></svg>',
    "sticks out to the right": '<p style="width:2000px">wide</p>',
    "pixels wide": '<div style="width:2000px;height:1px"></div>',
    "a picture has not loaded": '<img src="data:image/png;base64,AAAA" alt="broken">',
    "asked the network": '<img src="http://127.0.0.1:9/picture.png" alt="far away">',
    "does not fit into its cell": '<table style="table-layout:fixed;width:40px"><tr><td>Wonderfully</td></tr></table>',
    "is torn": '<p style="width:30px;overflow-wrap:anywhere">undefended</p>',
    "can't be read": '<p style="color:#ddd">pale</p>',
}


@pytest.fixture(scope="module")
def tab():
    """One tab for all of these tests."""
    if find() is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium): looks are not tested")
    with browser() as opened:
        yield opened


@pytest.fixture
def shown(tab, tmp_path):
    """Open a page and return what is wrong with it."""

    def show(html, width=1280, *, dark=False):
        page = tmp_path / "page.html"
        page.write_text(html)
        tab.open(page, width=width, dark=dark)
        return tab.faults()

    return show


def page(body):
    return f"<!doctype html><html><body style='background:#fff'>{body}</body></html>"


def test_a_sound_page_has_no_faults(shown):
    assert shown(page(SOUND)) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_each_kind_of_fault_is_seen(shown, fault):
    found = shown(page(SOUND + FAULTS[fault]))
    assert [one for one in found if fault in one], found


def report(make):
    """A page with everything on it: four models, three attacks, a curve, pictures, maps, a training's course."""
    infos = [
        make.info("a0", attack="fgsm", epsilon=0.25, paper="1412.6572", citation="Goodfellow, Shlens, Szegedy 2014"),
        make.info(
            "a1", epsilon=0.25, formula="x_{n+1} = Proj_{B(x,epsilon)}(x_n + step_size * steepest(grad_x J(x_n, y)))"
        ),
        make.info("a2", attack="square", epsilon=0.25, knowledge="scores"),
        *(make.info(f"c0.{i}", epsilon=e, curve=0) for i, e in enumerate([0.05, 0.1, 0.2, 0.4])),
    ]
    generator = torch.Generator().manual_seed(0)
    shards = []
    for strength in (0.9, 0.4, 0.7, 0.2):
        clean = make.clean([i % 10 for i in range(60)], pictures=8, shape=(1, 28, 28))
        clean.confidence.copy_(1 - torch.rand(60, generator=generator) ** 3)
        runs = []
        for place, info in enumerate(infos):
            wrong = torch.rand(60, generator=generator) < strength * min(1, info.epsilon * 4)
            said = torch.where(wrong, (clean.label + place + 1) % 10, clean.label)
            sure = torch.rand(60, generator=generator)
            runs.append(
                make.run(clean, said.tolist(), key=info.key, confidence=sure, keep=8 if info.curve is None else 0)
            )
        before = torch.randn(60, 8, generator=generator) + 4 * clean.label[:, None]
        features = Features(before=before, after=before.roll(7, 0), run=torch.zeros(60, dtype=torch.int64))
        shards.append((Shard(clean, tuple(runs)), features))
    described = [make.model(f"models/{name}", classes=10, shape=(1, 28, 28)) for name in NAMES]
    looks = tuple(
        Look(
            epoch=i,
            loss=1 / i,
            held_out_clean=0.9,
            held_out_robust=0.5 + i / 20,
            probe_clean=0.95,
            probe_robust=0.6,
            rolled_back=i == 3,
        )
        for i in range(1, 6)
    )
    more = {
        "title": "Four nets, attacked",
        "command": "sparring evaluate --model undefended --model pgd-trained --dataset mnist10k --attack fgsm",
        "course": Course(looks=looks, selected=5, epsilon=0.25, steps=10, samples=500),
    }
    given = make.given([shard for shard, _ in shards], infos, models=described, **more)
    followed = [replace(shard, features=features) for shard, (_, features) in zip(given.shards, shards, strict=True)]
    return summarize(replace(given, shards=followed)).report_html


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wrong_with_how_a_report_looks(shown, tab, make, width, dark):
    assert shown(report(make), width, dark=dark) == []
    assert tab.evaluate("document.images.length") == 4 * 8 * (1 + 2 * 3)
    assert tab.evaluate("document.querySelectorAll('svg.plot').length") == 1 + 4 * 2 + 4 + 1
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(17, 23, 28)" if dark else "rgb(255, 255, 255)")


def test_the_details_that_are_closed_look_right_once_they_are_open(shown, tab, make):
    shown(report(make), 390)
    tab.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true })")
    assert tab.faults() == []
