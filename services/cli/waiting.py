"""From a request to a result: submit, show what goes on, show what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.cli import output, progress, tables
from services.cli.connection import connected
from services.cli.failures import FAILED, INTERRUPTED

if TYPE_CHECKING:
    from sparring.client import Client
    from sparring.v1.jobs_pb2 import CreateJobRequest, Job, WatchJobResponse


def submit(server: str, request: CreateJobRequest, *, wait: bool, as_json: bool) -> int:
    """Create a job and, if asked, stay until its end; gives the exit code."""
    with connected(server) as client:
        job = client.jobs.create(request)
        if wait and not request.validate_only:
            return follow(client, job, as_json=as_json)
    if as_json or request.validate_only:
        show(job, as_json=as_json)
    else:
        output.line(job.name)
        output.note(f"Watch it: sparring jobs watch {job.name}")
    return 0


def follow(client: Client, job: Job, *, as_json: bool, after: int = 0) -> int:
    """Show a job's progress until it ends, then its result; Ctrl-C leaves the job alone."""
    ended = stay(client, job, after=after)
    if ended is None:
        return INTERRUPTED
    show(ended, as_json=as_json)
    return exit_code(ended)


def stay(client: Client, job: Job, *, after: int = 0) -> Job | None:
    """Show a job's progress until it ends; None where Ctrl-C came before, which leaves the job alone."""
    output.note(job.name)
    with progress.display() as display:
        state = job.state
        display.remark(job.waiting.message)

        def on_event(event: WatchJobResponse) -> None:
            nonlocal state
            if event.WhichOneof("event") == "state_change":
                state = event.state_change.state
            # A job that waits has no events to show; the reason may have changed all the same.
            if event.WhichOneof("event") == "heartbeat" and state == job.STATE_QUEUED:
                display.remark(client.jobs.get(job).waiting.message)
            display.event(event)

        try:
            return client.jobs.wait(job, on_event=on_event, after=after, heartbeats=True)
        except KeyboardInterrupt:
            pass
    output.note(f"{job.name} goes on. Watch it: sparring jobs watch {job.name}")
    output.note(f"Stop it: sparring jobs cancel {job.name}")
    return None


def exit_code(ended: Job) -> int:
    """0 for a job that succeeded, 1 for any other."""
    return 0 if ended.state == ended.STATE_SUCCEEDED else FAILED


def show(job: Job, *, as_json: bool) -> None:
    """Show a job in full."""
    output.result(job, tables.job, as_json=as_json)


def acknowledge(job: Job, *, as_json: bool) -> None:
    """Show a job's name and state, after it was changed."""
    if as_json:
        output.data(job)
    else:
        output.line(f"{job.name} is {job.State.Name(job.state).removeprefix('STATE_')}")
