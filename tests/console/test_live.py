"""Pages that stay open while the gateway or the console goes away and comes back."""

from __future__ import annotations

import os
import re
import signal
import time

import sparring
from playwright.sync_api import expect

NUMBERS = "[...document.querySelectorAll('#log li')].map((one) => Number(one.dataset.id))"
OUTAGE = (
    "ERR_CONNECTION_REFUSED",
    "ERR_INCOMPLETE_CHUNKED",
    "ERR_EMPTY_RESPONSE",
    "ERR_CONNECTION_RESET",
    "503",
    "ERR_NETWORK",
)


def all_there(page, last):
    return page.evaluate(NUMBERS) == list(range(1, last + 1))


def test_a_gateway_that_restarts_under_an_open_page_costs_no_event(open_page, console_stack, trained, eventually):
    with sparring.connect(console_stack.target) as client:
        job = client.train("mnist10k", architecture="wong_cnn", epochs=100, count=3000)
    page = open_page(f"/{job.name}")
    eventually(lambda: len(page.evaluate(NUMBERS)) >= 3)
    console_stack.restart("gateway")
    # The next one is held before it listens, so that the outage lasts for as long as it takes to be seen.
    os.kill(console_stack.pid("gateway"), signal.SIGSTOP)
    expect(page.locator("#lost")).to_contain_text("Connection to the service lost")
    os.kill(console_stack.pid("gateway"), signal.SIGCONT)
    expect(page.locator("#lost")).to_be_hidden()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#status .state")).to_have_text(re.compile("cancelled|succeeded"))
    with sparring.connect(console_stack.target) as client:
        ended = client.jobs.wait(job)
    eventually(lambda: all_there(page, ended.last_event_id))


def test_a_console_that_restarts_under_an_open_page_costs_no_event(
    open_page, console_stack, complaints, trained, eventually
):
    complaints.expected.extend(OUTAGE)
    with sparring.connect(console_stack.target) as client:
        job = client.train("mnist10k", architecture="wong_cnn", epochs=100, count=3000)
        page = open_page(f"/{job.name}")
        eventually(lambda: len(page.evaluate(NUMBERS)) >= 3)
        before = page.evaluate("performance.timeOrigin")
        began = time.monotonic()
        console_stack.restart("console")
        assert time.monotonic() - began < 15, "open streams end at once and hold nothing up"
        console_stack.wait_until_ready()
        eventually(lambda: len(page.evaluate(NUMBERS)) >= 6)
        client.jobs.cancel(job)
        ended = client.jobs.wait(job)
    expect(page.locator("#status .state")).to_have_text(re.compile("cancelled|succeeded"))
    eventually(lambda: all_there(page, ended.last_event_id))
    assert page.evaluate("performance.timeOrigin") == before, "the page was never loaded again"


def test_the_list_of_jobs_follows_without_being_loaded_again(open_page, console_stack, trained):
    page = open_page("/jobs")
    with sparring.connect(console_stack.target) as client:
        job = client.attack(trained, "mnist10k", "fgsm", epsilon=0.1, count=20, display_name="appears by itself")
        expect(page.get_by_text("appears by itself")).to_be_visible()
        client.jobs.wait(job, check=True)
    row = page.get_by_role("row", name=re.compile("appears by itself"))
    expect(row.locator(".state")).to_have_text("succeeded")
