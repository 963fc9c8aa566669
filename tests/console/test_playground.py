"""The playground in a browser, before a whole stack: the slider, other attacks, a drawn digit, a fooling image."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sparring
from playwright.sync_api import Page, expect

from .conftest import Complaints

PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def models(console_stack) -> tuple[str, str]:
    """The ids of a model that knows its digits, and of one that has seen some attacked ones."""
    given = {"architecture": "wong_cnn", "count": 4000, "learning_rate": 0.1}
    with sparring.connect(console_stack.target) as client:
        plain = client.train("mnist10k", model_id="plain", epochs=3, **given)
        hardened = client.train("mnist10k", "fgsm_rs", model_id="harder", epsilon=0.2, epochs=2, **given)
        for job in (plain, hardened):
            client.jobs.wait(job, check=True)
    return "plain", "harder"


@pytest.fixture
def page(open_page: Callable[..., Page], models: tuple[str, str], complaints: Complaints) -> Page:
    """The page with its first picture drawn; the first preview of a worker takes seconds."""
    # The tests read canvases, which the page itself only writes; Chromium has an opinion on that.
    complaints.expected = ["willReadFrequently"]
    opened = open_page(f"/playground/?model={models[0]}&hardened=models/{models[1]}")
    expect(opened.locator(".verdict").first).to_contain_text("%", timeout=PATIENCE_MS)
    return opened


def after(page: Page, panel: int = 0) -> list[float]:
    """The probabilities after the attack, in per cent."""
    cells = page.locator(".panel").nth(panel).locator("tbody td:last-child span").all_text_contents()
    return [float(cell.split()[0]) for cell in cells]


def before(page: Page) -> list[float]:
    cells = page.locator(".panel").first.locator("tbody td:nth-child(2) span").all_text_contents()
    return [float(cell.split()[0]) for cell in cells]


def move(page: Page, epsilon: float) -> None:
    """Move the slider, and wait for the picture that belongs to it."""
    page.evaluate(
        """(epsilon) => new Promise((resolve) => {
            const done = (event) => {
                if (event.detail.epsilon !== epsilon) return;
                document.removeEventListener("playground:drawn", done);
                resolve();
            };
            document.addEventListener("playground:drawn", done);
            const slider = document.getElementById("epsilon");
            slider.value = epsilon;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
        })""",
        epsilon,
    )


def pixels(page: Page, which: str) -> list[int]:
    """The grey levels of a canvas of the first panel."""
    return page.locator(f".panel >> nth=0 >> .{which}").evaluate(
        "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"
        ".filter((_, at) => at % 4 === 0)"
    )


def test_a_moved_slider_changes_the_picture_and_the_probabilities_of_both_models(page) -> None:
    expect(page.locator(".panel h2")).to_have_text(["plain (standard)", "harder (fgsm rs)"])
    move(page, 0.0)
    assert after(page) == before(page)
    assert pixels(page, "adversarial") == pixels(page, "original")
    seen = after(page, 0), after(page, 1)
    move(page, 0.3)
    assert after(page, 0) != seen[0]
    assert after(page, 1) != seen[1]
    assert sum(after(page, 0)) == pytest.approx(100, abs=1)
    changes = [abs(a - b) for a, b in zip(pixels(page, "adversarial"), pixels(page, "original"), strict=True)]
    assert max(changes) == pytest.approx(0.3 * 255, abs=1)
    assert page.locator(".scale").first.text_content() == "white +0.300, black −0.300, grey 0"
    assert page.locator("#epsilon-said").text_content() == "0.3 (≈ 77/255)"
    expect(page.locator("#spoken")).to_contain_text("plain (standard): ")


def test_of_many_movements_the_last_one_is_shown(page, eventually) -> None:
    page.evaluate(
        """() => {
            window.shown = [];
            document.addEventListener("playground:drawn", (event) => shown.push(event.detail.epsilon));
        }"""
    )
    move(page, 0.45)
    page.evaluate(
        """() => { for (let at = 1; at <= 40; at++) {
            const slider = document.getElementById("epsilon");
            slider.value = at / 100;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
        } }"""
    )
    eventually(lambda: page.evaluate("shown.at(-1)") == 0.4)
    assert len(page.evaluate("shown")) <= 4, "those in between were passed over"


@pytest.mark.parametrize("attack", ["bim", "iterative_least_likely", "pgd"])
def test_other_attacks_take_steps_and_may_be_led_to_a_class(page, attack) -> None:
    page.select_option("#attack", attack)
    page.fill("#steps", "20")
    if attack != "iterative_least_likely":
        page.select_option("#target", "8")
    else:
        expect(page.locator("#target-field")).to_be_hidden()
    first = before(page)
    move(page, 0.35)
    label = first.index(max(first))
    assert after(page)[label] < first[label] - 10
    if attack != "iterative_least_likely":
        assert after(page)[8] > first[8] + 10


def test_another_sample_is_chosen_by_keyboard(page, eventually) -> None:
    thumbs = page.locator("#strip button")
    expect(thumbs).to_have_count(12)
    seen = pixels(page, "original")
    thumbs.nth(3).focus()
    page.keyboard.press("Enter")
    expect(thumbs.nth(3)).to_have_attribute("aria-pressed", "true")
    eventually(lambda: pixels(page, "original") != seen)
    page.click("#later")
    expect(page.locator("#range")).to_have_text("12 to 23 of 2000 (test)")


def test_a_drawn_digit_is_recognised_and_attacked(page) -> None:
    page.get_by_label("one that you draw").check()
    box = page.locator("#pad").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.15)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.85, steps=12)
    page.mouse.up()
    move(page, 0.3)
    assert before(page).index(max(before(page))) == 1
    assert after(page)[1] < before(page)[1]
    assert sum(level > 128 for level in pixels(page, "original")) > 20, "the stroke is there"
    page.click("#clear")
    assert page.evaluate("document.getElementById('trouble').hidden")


def test_a_fooling_image_grows_from_noise_until_the_model_is_sure(page, eventually) -> None:
    page.select_option("#attack", "fooling_gradient")
    page.select_option("#target", "7")
    page.click("#grow")
    eventually(lambda: after(page)[7] > 90)
    page.click("#grow")
    expect(page.locator("#grow")).to_have_text("Grow")
    steps = page.locator("#grown").text_content()
    assert int(steps.split()[0]) % 5 == 0
    assert len(set(pixels(page, "adversarial"))) > 20


def test_what_is_no_request_is_refused_with_words(page, complaints) -> None:
    def send(body, token=True):
        return page.evaluate(
            """async ([body, token]) => {
                const headers = {"Accept": "application/json", "Content-Type": "application/json"};
                if (token) headers["X-CSRF-Token"] = Console.token();
                const answer = await fetch("/playground/preview", {method: "POST", headers, body});
                return [answer.status, (await answer.json()).error.message];
            }""",
            [body, token],
        )

    # The browser notes each refusal on its console.
    complaints.expected.append("/playground/preview")
    assert send("{")[0] == 400
    assert send("[]")[0] == 400
    assert send('{"models": ["plain"]}')[0] == 400
    assert send('{"models": ["plain"], "drawn": {"shape": [1, 28, 28], "uint8": "!"}}')[0] == 400
    assert send('{"models": ["plain"], "sample": {"dataset": "mnist10k", "index": "x"}}')[0] == 400
    status, said = send('{"models": ["nobody"], "sample": {"dataset": "mnist10k", "index": 1}}')
    assert (status, "nobody" in said) == (404, True)
    assert send("{}", token=False)[0] == 403


def test_on_a_phone_the_slider_stays_in_view_and_nothing_is_wider_than_the_screen(page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator(".panel").last.scroll_into_view_if_needed()
    expect(page.locator("#epsilon")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
