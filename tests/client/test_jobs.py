"""Jobs: made once, watched without a gap, waited for to their real end."""

from __future__ import annotations

import threading
import time
import uuid

import grpc
import pytest
from sparring import errors
from sparring.v1.jobs_pb2 import Job

UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "connection reset")


def numbers(events):
    return [event.event_id for event in events]


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_a_job_whose_answer_was_lost_is_not_made_twice(either, service):
    service.failures["CreateJob:after"].append(UNAVAILABLE)
    job = either.attack("net", "mnist10k", "bim", epsilon="8/255", steps=20)
    first, second = service.requests("CreateJob")
    assert uuid.UUID(first.request_id)
    assert first == second
    assert list(service.jobs) == [job.name]


def test_each_job_has_its_own_request_id(either, service):
    for _ in range(2):
        either.attack("net", "mnist10k", "fgsm")
    assert len({request.request_id for request in service.requests("CreateJob")}) == 2


def test_validate_only_makes_no_job(either, service):
    assert either.attack("net", "mnist10k", "fgsm", validate_only=True).name == ""
    assert service.jobs == {}


def test_a_job_takes_its_name_its_id_or_its_message(either, service):
    job = service.add_job("jobs/j")
    assert either.jobs.get("j") == either.jobs.get("jobs/j") == either.jobs.get(job) == job


def test_a_list_goes_through_all_pages(either, service):
    for number in range(5):
        service.add_job(f"jobs/{number}")
    assert [job.name for job in either.jobs.list("state = SUCCEEDED", page_size=2)] == list(service.jobs)
    assert [r.page_token for r in service.requests("ListJobs")] == ["", "2", "4"]
    assert {r.filter for r in service.requests("ListJobs")} == {"state = SUCCEEDED"}


def test_a_watch_yields_every_event_once_across_disconnects(either, service):
    service.add_job(events=9)
    service.cuts["WatchJob"].extend([2, 0, 3, 1])
    assert numbers(either.jobs.watch("j")) == list(range(1, 10))
    assert [r.after_event_id for r in service.requests("WatchJob")] == [0, 2, 2, 5, 6]


def test_an_event_that_comes_again_is_not_shown_again(either, service):
    service.add_job(events=4)
    service.events["jobs/j"][2:2] = service.events["jobs/j"][:2]
    assert numbers(either.jobs.watch("j")) == [1, 2, 3, 4]


def test_a_watch_survives_a_restart_of_the_service(either, server, service):
    service.add_job(events=6)
    service.cuts["WatchJob"].append("silent")
    watch = either.jobs.watch("j")
    assert next(watch).event_id == 1
    restarter = threading.Thread(target=lambda: (server.stop(), time.sleep(0.5), server.start()))
    restarter.start()
    rest = numbers(watch)
    restarter.join()
    assert rest == [2, 3, 4, 5, 6]


def test_a_watch_that_the_service_ends_early_is_taken_up_again(either, service):
    service.add_job(events=4)
    service.events["jobs/j"], late = service.events["jobs/j"][:2], service.events["jobs/j"]
    service.jobs["jobs/j"].state = Job.STATE_RUNNING
    watch = either.jobs.watch("j")
    assert [next(watch).event_id, next(watch).event_id] == [1, 2]
    service.events["jobs/j"] = late
    service.jobs["jobs/j"].state = Job.STATE_SUCCEEDED
    assert numbers(watch) == [3, 4]


def test_a_watch_after_the_last_event_ends_at_once(either, service):
    service.add_job(events=4)
    assert numbers(either.jobs.watch("j", after=4)) == []


def test_an_abandoned_watch_cancels_its_call(either, service):
    service.add_job(events=3)
    service.events["jobs/j"].pop()
    service.cuts["WatchJob"].append("silent")
    watch = either.jobs.watch("j")
    next(watch)
    assert service.open_watches == 1
    watch.close()
    until(lambda: service.open_watches == 0)


def test_a_watch_of_an_unknown_job_is_not_found(either, service):
    with pytest.raises(errors.NotFound):
        list(either.jobs.watch("nothing"))
    assert len(service.requests("WatchJob")) == 1


def test_a_watch_gives_up_when_the_outage_outlasts_patience(connect, service):
    service.add_job(events=5)
    service.cuts["WatchJob"].extend([2] + [0] * 100)
    seen = []
    with pytest.raises(errors.Unreachable):
        seen.extend(event.event_id for event in connect(patience_s=0.3).jobs.watch("j"))
    assert len(service.requests("WatchJob")) < 20


def test_heartbeats_are_shown_on_request_only(either, service):
    service.add_job(events=3)
    service.events["jobs/j"].pop()
    service.cuts["WatchJob"].append("silent")
    watch = either.jobs.watch("j", after=2, heartbeats=True)
    assert next(watch).WhichOneof("event") == "heartbeat"
    watch.close()


def test_wait_returns_the_ended_job_and_shows_its_events(either, service):
    service.add_job(events=4, state=Job.STATE_FAILED)
    seen = []
    job = either.jobs.wait("j", on_event=seen.append)
    assert job.state == Job.STATE_FAILED
    assert numbers(seen) == [1, 2, 3, 4]


def test_wait_with_check_raises_why_the_job_failed(either, service, fake):
    wrong = fake.status_of(grpc.StatusCode.INVALID_ARGUMENT, "a pixel is NaN", reason="NAN_PIXELS")
    service.add_job(state=Job.STATE_FAILED, error=wrong)
    with pytest.raises(errors.JobFailed, match="jobs/j ended FAILED: a pixel is NaN") as caught:
        either.jobs.wait("j", check=True)
    assert caught.value.job.name == "jobs/j"


def test_wait_passes_over_the_end_of_an_earlier_attempt(either, service):
    service.add_job(events=3, state=Job.STATE_FAILED)
    first = list(service.events["jobs/j"])
    service.add_job(events=6)
    service.events["jobs/j"][:3] = first
    service.cuts["WatchJob"].append((3,))
    seen = []
    assert either.jobs.wait("j", on_event=seen.append).state == Job.STATE_SUCCEEDED
    assert numbers(seen) == [1, 2, 3, 4, 5, 6]


def test_wait_ends_although_the_last_event_is_never_sent(either, service):
    service.add_job(events=4).last_event_id = 9
    assert either.jobs.wait("j").state == Job.STATE_SUCCEEDED
    assert numbers(either.jobs.watch("j", after=4)) == []


def test_wait_times_out_and_says_that_the_job_goes_on(either, service):
    service.add_job(events=3)
    service.events["jobs/j"].pop()
    service.jobs["jobs/j"].state = Job.STATE_RUNNING
    service.cuts["WatchJob"].append("silent")
    started = time.monotonic()
    with pytest.raises(errors.TimedOut, match="it goes on"):
        either.jobs.wait("j", timeout_s=0.3)
    assert time.monotonic() - started < 3


def test_cancel_retry_and_delete(either, service):
    service.add_job()
    assert either.jobs.cancel("j", etag="7").state == Job.STATE_CANCELLING
    assert service.requests("CancelJob")[0].etag == "7"
    assert either.jobs.retry("j").state == Job.STATE_QUEUED
    either.jobs.delete("j")
    assert service.jobs == {}


def test_a_file_of_a_job_is_found_by_its_role(either, service):
    job = service.add_job()
    job.result.artifacts.add(role="report", artifact="artifacts/abc")
    assert either.jobs.artifact("j", "report").artifact == "artifacts/abc"
    with pytest.raises(errors.InvalidArgument, match="it has: report"):
        either.jobs.artifact("j", "weights")


@pytest.mark.parametrize(
    ("kind", "arguments"), [("attack", ("net", "d", "fgsm")), ("train", ("d",)), ("evaluate", ("net", "d"))]
)
def test_a_job_is_sent_with_how_long_it_may_take_and_wait(either, service, kind, arguments):
    getattr(either, kind)(*arguments, deadline_s=90, queue_limit_s="5")
    limits = service.requests("CreateJob")[0].limits
    assert (limits.deadline_seconds, limits.queue_seconds) == (90, 5)


def test_a_limit_that_is_left_out_stays_unset(either, service):
    either.attack("net", "d", "fgsm", deadline_s=90)
    either.attack("net", "d", "fgsm")
    first, second = service.requests("CreateJob")
    assert not first.limits.HasField("queue_seconds")
    assert not second.HasField("limits")


def test_a_limit_that_is_no_number_is_refused_before_anything_is_sent(either, service):
    with pytest.raises(errors.InvalidArgument) as caught:
        either.attack("net", "d", "fgsm", deadline_s="soon")
    assert [violation.field for violation in caught.value.violations] == ["deadline_seconds"]
    assert service.calls == []


def test_what_a_cancelled_job_had_finished_is_downloaded(either, service, tmp_path):
    job = service.add_job(state=Job.STATE_CANCELLED)
    for unit, model, offset in ((1, "a", 250), (2, "b", 0)):
        artifact = service.keep(f"unit {unit}".encode())
        job.finished_units.add(unit=unit, model=f"models/{model}", offset=offset, count=250, artifact=artifact)
    paths = either.jobs.download_finished("j", tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["a.250-499.safetensors", "b.0-249.safetensors"]
    assert [path.read_bytes() for path in paths] == [b"unit 1", b"unit 2"]


def test_a_job_that_had_finished_nothing_says_so(either, service, tmp_path):
    service.add_job()
    with pytest.raises(errors.FailedPrecondition, match="SUCCEEDED and has no finished units"):
        either.jobs.download_finished("j", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
