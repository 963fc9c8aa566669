"""What jobs leave behind, in the hands of a hostile file: reports in a sandbox, downloads that are but bytes."""

from __future__ import annotations

import json
import os

import pytest
import sparring
from sparring.errors import DataLoss
from sparring.v1 import jobs_pb2

EVIL = b"<!doctype html><script>parent.document.title = 'stolen'</script><h1>report</h1>"


@pytest.fixture
async def client(gateway):
    async with sparring.connect_async(gateway) as found:
        yield found


@pytest.fixture
def finish(job_store, client, model):
    """Make an attack that has succeeded with these files, by role; gives its name."""

    async def make(**files):
        job = await client.attack(model, "mnist10k", "fgsm", count=20)
        held = []
        for role, (filename, content) in files.items():
            artifact = await client.artifacts.upload(content)
            held.append(
                jobs_pb2.JobArtifact(role=role, artifact=artifact.name, size_bytes=len(content), filename=filename)
            )
        number = 0
        while not (lease := job_store.claim(f"claim-{number}", "w1", "cpu", 15_000)).closing:
            job_store.commit(lease, "w1", f"{lease.unit:064x}", {"seconds": 1.0})
            number += 1
        job_store.finish(lease, "w1", jobs_pb2.JobResult(artifacts=held).SerializeToString(), None)
        return job.name

    return make


async def test_a_report_is_shown_in_a_sandbox_without_scripts_forms_or_an_origin(visitor, finish):
    name = await finish(report=("report.html", EVIL))
    report = await visitor.get(f"/{name}/report")
    assert report.body == EVIL
    policy = report.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "allow-" not in policy
    assert "script-src" not in policy
    assert report.headers["x-content-type-options"] == "nosniff"
    page = (await visitor.get(f"/{name}")).text
    assert 'sandbox src="/' in page
    assert "allow-scripts" not in page


async def test_files_are_downloads_whatever_they_are_called(visitor, finish):
    name = await finish(weights=('../../"evil\r\nset-cookie: x=y".html', EVIL))
    answer = await visitor.get(f"/{name}/files/weights")
    assert answer.body == EVIL
    assert answer.headers["content-type"] == "application/octet-stream"
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; filename=")
    assert not set(disposition.removeprefix("attachment; filename=").strip('"')) & set('"\r\n/\\ :')
    assert (await visitor.get(f"/{name}/files/report")).status == 404


async def test_a_large_file_is_passed_on_whole_with_its_length(visitor, finish):
    content = os.urandom(5 * 2**20 + 17)
    name = await finish(adversarial=("adversarial.safetensors", content))
    answer = await visitor.get(f"/{name}/files/adversarial")
    assert answer.headers["content-length"] == str(len(content))
    assert answer.body == content


async def test_the_manifest_is_shown_as_text(visitor, finish):
    text = json.dumps({"schema": "</pre><script>alert(1)</script>"}).encode()
    page = (await visitor.get(f"/{await finish(manifest=('manifest.json', text))}")).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


async def test_chunks_come_in_order_from_any_offset_and_the_whole_is_checked(client):
    content = os.urandom(3 * 2**20 + 5)
    artifact = await client.artifacts.upload(content)
    assert b"".join([chunk async for chunk in client.artifacts.chunks(artifact)]) == content
    part = [chunk async for chunk in client.artifacts.chunks(artifact, offset=2**20 - 3, limit=2**20)]
    assert b"".join(part) == content[2**20 - 3 : 2**21 - 3]


async def test_bytes_of_another_digest_are_a_loss_of_data():
    from sparring.chunks import Reading
    from sparring.resume import Patience
    from sparring.v1.artifacts_pb2 import Artifact, DownloadArtifactResponse

    reading = Reading(Artifact(name=f"artifacts/{'0' * 64}", size_bytes=4), 0, 0, Patience(1.0))
    reading.take(DownloadArtifactResponse(offset=0, data=b"evil"))
    with pytest.raises(DataLoss, match="another SHA-256"):
        reading.check()
    with pytest.raises(DataLoss, match="where 4 was due"):
        reading.take(DownloadArtifactResponse(offset=2, data=b"x"))


async def test_a_jobs_events_come_numbered_and_go_on_after_the_last_one_seen(visitor, finish):
    name = await finish(report=("report.html", EVIL))
    whole = await visitor.ask("GET", f"/{name}/events", until="event: end")
    assert whole.headers["content-type"].startswith("text/event-stream")
    numbers = [int(line[4:]) for line in whole.text.splitlines() if line.startswith("id: ")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 4
    later = await visitor.ask("GET", f"/{name}/events", until="event: end", headers={"last_event_id": "3"})
    assert [int(line[4:]) for line in later.text.splitlines() if line.startswith("id: ")] == numbers[3:]
    beyond = await visitor.ask("GET", f"/{name}/events?after=999999", until="event: end")
    assert "id: " not in beyond.text


async def test_a_stream_ends_when_the_console_is_told_to(visitor, client, model):
    job = await client.attack(model, "mnist10k", "fgsm", count=20)
    visitor.app.state.leave()
    answer = await visitor.ask("GET", f"/{job.name}/events")
    assert answer.status == 200


async def test_a_page_whose_job_is_gone_is_told_so(visitor):
    answer = await visitor.ask("GET", "/jobs/none/events", until="event: gone")
    assert "NOT_FOUND" in answer.text
