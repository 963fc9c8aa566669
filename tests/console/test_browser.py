"""The console in headless Chromium: a whole attack by mouse, every page, hostile names, the keyboard alone."""

from __future__ import annotations

import re

import pytest
import sparring
from playwright.sync_api import expect

PAGES = (
    "/jobs", "/new", "/new/attack", "/new/training", "/new/evaluation", "/models", "/models/little", "/datasets",
    "/datasets/mnist10k", "/compare", "/leaderboard", "/catalog", "/workers", "/account", "/login",
)  # fmt: skip
PHONE, DESK = 390, 1280
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
UNNAMED = """() => [...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a, iframe')]
    .filter((one) => !(one.labels && one.labels.length) && !one.textContent.trim() && !one.getAttribute('aria-label')
        && !one.getAttribute('title')).map((one) => one.outerHTML)"""


def succeeded(page):
    expect(page.locator("#status .state")).to_have_text("succeeded", timeout=90_000)


@pytest.fixture(scope="module")
def attacked(console_stack, trained) -> list[str]:
    """The ids of two attacks that have succeeded, on the same samples."""
    with sparring.connect(console_stack.target) as client:
        jobs = [client.attack(trained, "mnist10k", "fgsm", epsilon=radius, count=60) for radius in (0.1, 0.2)]
        return [client.jobs.wait(job, check=True).name.removeprefix("jobs/") for job in jobs]


def test_a_whole_attack_is_made_by_mouse_from_click_to_picture(open_page, trained):
    page = open_page("/jobs")
    page.get_by_role("link", name="New job").first.click()
    page.get_by_role("link", name="Attack a model").click()
    page.get_by_label("Model").select_option(trained)
    page.get_by_label("Dataset").select_option("mnist10k")
    page.get_by_label("Attack").select_option("bim")
    expect(page.get_by_label("steps", exact=True)).to_be_visible()
    page.get_by_label("epsilon", exact=True).fill("51/255")
    page.get_by_label("Samples").fill("40")
    page.get_by_role("button", name="Submit").click()
    expect(page).to_have_url(re.compile(r"/jobs/[0-9a-f]+$"))
    succeeded(page)
    table = page.get_by_role("region", name="Table of results")
    expect(table.get_by_role("row", name=re.compile("bim"))).to_contain_text("51/255")
    report = page.frame_locator("iframe.report")
    picture = report.locator("img").first
    picture.scroll_into_view_if_needed()
    expect(picture).to_be_visible()
    assert picture.evaluate("one => one.complete && one.naturalWidth") >= 28
    with page.expect_download() as coming:
        page.get_by_role("link", name="report.html").click()
    assert coming.value.path().read_bytes().lower().startswith(b"<!doctype html>")


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_every_page_fits_and_names_all_its_controls(open_page, complaints, trained, attacked, width):
    one, other = attacked
    complaints.expected.append(f"/jobs/{one}x")
    page = open_page("/jobs", width=width)
    base = page.url.removesuffix("/jobs")
    for path in (*PAGES, f"/jobs/{one}", f"/compare?job={one}&job={other}", f"/jobs/{one}x"):
        page.goto(f"{base}{path}")
        page.wait_for_load_state("load")
        assert page.evaluate(WIDE) <= 0, f"{path} scrolls sideways at {width} px"
        assert page.evaluate(UNNAMED) == [], path
        assert page.locator("main").count() == 1, path
        assert page.locator("h1").count() == 1, path
        assert page.title().endswith("· Sparring"), path


def test_a_job_is_submitted_with_the_keyboard_alone(open_page, trained):
    page = open_page("/new/attack")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.id")
        if name == "count":
            page.keyboard.press("Control+A")
            page.keyboard.type("20")
        if name == "submit":
            break
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/jobs/[0-9a-f]+$"))


def test_what_is_wrong_stands_beside_its_field_and_has_the_focus(open_page, complaints, trained):
    complaints.expected.append("status of 400")
    page = open_page("/new/attack")
    page.get_by_label("epsilon", exact=True).fill("-1")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("alert")).to_be_focused()
    field = page.get_by_label("epsilon", exact=True)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value("-1")
    expect(page.locator('[id="p.epsilon-wrong"]')).to_be_visible()


def test_names_that_are_code_are_shown_and_never_run(open_page, console_stack, complaints, trained):
    evil = "<img src=x onerror=\"document.title='stolen'\"><script>document.title='stolen'</script>{{7*7}}"
    with sparring.connect(console_stack.target) as client:
        job = client.attack(trained, "mnist10k", "fgsm", epsilon=0.1, count=20, display_name=evil)
        client.jobs.wait(job, check=True)
    for path in (f"/{job.name}", "/jobs", "/compare"):
        page = open_page(path)
        page.wait_for_timeout(300)
        assert "stolen" not in page.title()
        assert page.locator("img[src='x']").count() == 0
    page = open_page("/jobs")
    expect(page.get_by_text("{{7*7}}").first).to_be_visible()


def test_a_dataset_shows_its_classes_and_pictures(open_page):
    page = open_page("/datasets/mnist10k")
    expect(page.locator("#samples img").first).to_be_visible(timeout=60_000)
    assert page.locator("#samples img").count() == 32
    assert page.locator("#samples img").first.evaluate("one => one.naturalWidth") == 28
    page.get_by_role("button", name="After").click()
    expect(page.locator("#samples")).to_contain_text("#32")


def test_dark_and_light_are_both_there(open_page):
    colours = {
        scheme: open_page("/jobs", color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    assert colours["light"] != colours["dark"]
