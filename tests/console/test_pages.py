"""Every page, asked for without a browser."""

from __future__ import annotations

import uuid

import pytest
from sparring.v1 import jobs_pb2

from services.console import jobs
from services.console.settings import ConsoleSettings
from tests.console.visitor import Visitor

PAGES = (
    "/jobs", "/jobs?state=running&kind=attack&page=2", "/new", "/new/attack", "/new/training", "/new/evaluation",
    "/models", "/datasets", "/datasets/mnist10k", "/catalog", "/workers", "/account", "/compare", "/leaderboard",
    "/playground", "/login",
)  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_answers_with_its_token_and_a_strict_policy(visitor, path):
    answer = await visitor.get(path)
    if answer.status == 307:
        answer = await visitor.get("/playground/")
    assert answer.status == 200
    assert 'name="csrf-token"' in answer.text
    assert "<main" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "style=" not in answer.text
    assert "onclick" not in answer.text


async def test_what_is_not_there_is_said_on_a_page_and_to_scripts_as_json(visitor):
    page = await visitor.get("/jobs/nothing")
    assert page.status == 404
    assert "<h1>Not there</h1>" in page.text
    told = await visitor.get("/jobs/nothing", accept="application/json")
    assert told.headers["content-type"] == "application/json"
    assert (await visitor.get("/nowhere")).status == 404


async def test_health_does_not_depend_on_the_gateway_and_readiness_does(visitor):
    assert (await visitor.get("/healthz")).status == 200
    assert (await visitor.get("/readyz")).status == 200
    alone = Visitor(ConsoleSettings(server="127.0.0.1:1"))
    assert (await alone.get("/healthz")).status == 200
    assert (await alone.get("/readyz")).status == 503
    gone = await alone.get("/jobs")
    assert gone.status == 503
    assert "The service does not answer" in gone.text
    await alone.app.state.clients.close()


async def test_a_form_shows_what_the_service_refused_beside_the_field(visitor, model):
    await visitor.get("/new/attack")
    form = {"model": model, "dataset": "mnist10k", "method": "bim", "p.epsilon": "0.1", "p.steps": "0", "count": "x"}
    answer = await visitor.post("/new/attack", form)
    assert answer.status == 400
    assert 'id="count-wrong"' in answer.text
    answer = await visitor.post("/new/attack", {**form, "count": "50"})
    assert answer.status == 400
    assert 'id="p.steps-wrong"' in answer.text
    assert 'value="0.1"' in answer.text, "what was typed stays"


async def test_the_same_form_sent_twice_makes_one_job(visitor, model):
    await visitor.get("/new/attack")
    form = {"model": model, "dataset": "mnist10k", "method": "fgsm", "count": "50", "request_id": str(uuid.UUID(int=1))}
    first = await visitor.post("/new/attack", form)
    again = await visitor.post("/new/attack", form)
    assert first.status == again.status == 303
    assert first.headers["location"] == again.headers["location"]
    other = await visitor.post("/new/attack", {**form, "request_id": str(uuid.UUID(int=2))})
    assert other.headers["location"] != first.headers["location"]


async def test_a_job_is_cancelled_and_deleted_by_its_buttons(visitor, model):
    await visitor.get("/new/attack")
    made = await visitor.post("/new/attack", {"model": model, "dataset": "mnist10k", "method": "fgsm", "count": "50"})
    where = made.headers["location"]
    page = await visitor.get(where)
    assert "queued" in page.text
    assert "no worker" in page.text.lower()
    assert (await visitor.post(f"{where}/cancel")).status == 303
    assert "cancelled" in (await visitor.get(where)).text
    assert (await visitor.post(f"{where}/retry")).status == 303
    assert (await visitor.post(f"{where}/delete")).status == 409, "a job that has not ended stays"
    await visitor.post(f"{where}/cancel")
    assert (await visitor.post(f"{where}/delete")).headers["location"] == "/jobs"
    assert (await visitor.get(where)).status == 404


async def test_the_list_goes_on_to_further_pages(visitor, model):
    await visitor.get("/new/attack")
    for number in range(27):
        form = {
            "model": "m",
            "dataset": "mnist10k",
            "method": "fgsm",
            "count": "5",
            "display_name": f"number {number}.",
        }
        assert (await visitor.post("/new/attack", form)).status == 303
    first, second = (await visitor.get("/jobs")).text, (await visitor.get("/jobs?page=2")).text
    assert "number 26." in first
    assert "number 1." not in first
    assert "number 1." in second
    assert "Older" in first
    assert "Older" not in second
    assert "number" not in (await visitor.get("/jobs?state=running")).text


def test_the_words_of_a_state_cover_every_state():
    names = {name.removeprefix("STATE_").lower() for name, _ in jobs_pb2.Job.State.items()} - {"unspecified"}
    assert names == set(jobs.STATES)
