"""Jobs of a blocking client: create, get, list, watch, wait, cancel, retry, delete."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from sparring import names, requests, tracing
from sparring.caller import Caller
from sparring.errors import FailedPrecondition, JobFailed, NotFound
from sparring.finished import finished
from sparring.flow import Call
from sparring.names import JobLike
from sparring.resume import FIRST_DELAY_S, INTERRUPTIONS, Watching, all_seen, persist
from sparring.v1.artifacts_pb2_grpc import ArtifactServiceStub
from sparring.v1.jobs_pb2 import (
    CancelJobRequest,
    CreateJobRequest,
    DeleteJobRequest,
    GetJobRequest,
    Job,
    JobArtifact,
    ListJobsRequest,
    RetryJobRequest,
    WatchJobResponse,
)
from sparring.v1.jobs_pb2_grpc import JobServiceStub


class Jobs:
    """Jobs by their name, their bare id, or their message."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = JobServiceStub(caller.channel)
        self._artifacts = ArtifactServiceStub(caller.channel)

    def create(
        self,
        spec: requests.Spec | CreateJobRequest,
        *,
        request_id: str = "",
        validate_only: bool = False,
        display_name: str = "",
        deadline_s: float | None = None,
        queue_limit_s: float | None = None,
        after: Sequence[JobLike] = (),
        reuse: bool = False,
    ) -> Job:
        """Submit a job. A request_id is made where none is given, so a retried call never makes two jobs.

        `deadline_s`: seconds after which it ends as FAILED if it has not ended; `queue_limit_s`: seconds it may wait.
        `after`: jobs that have to succeed before it runs; where one does not, it ends as FAILED. `reuse`: where a job
        of the same content has succeeded, answer with that one.
        """
        request = requests.create(
            spec,
            request_id=request_id,
            validate_only=validate_only,
            display_name=display_name,
            deadline_s=deadline_s,
            queue_limit_s=queue_limit_s,
            after=after,
            reuse=reuse,
        )
        with tracing.span("CreateJob"):
            return self._caller.call(self._stub.CreateJob, request)

    def get(self, job: JobLike) -> Job:
        """Look a job up as it stands."""
        return self._caller.call(self._stub.GetJob, GetJobRequest(name=names.job(job)))

    def list(self, filter: str = "", *, page_size: int = 100) -> Iterator[Job]:  # noqa: A002 - the contract's name
        """Yield jobs, newest first, page by page; `filter` as in ListJobsRequest, e.g. `state = RUNNING`."""
        request = ListJobsRequest(filter=filter, page_size=page_size)
        while True:
            page = self._caller.call(self._stub.ListJobs, request)
            yield from page.jobs
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def watch(
        self, job: JobLike, *, after: int = 0, timeout_s: float | None = None, heartbeats: bool = False
    ) -> Iterator[WatchJobResponse]:
        """Yield a job's events from number `after` + 1 to the one that ends it, each once, across disconnects.

        Raises TimedOut when the job has not ended after `timeout_s`; the job goes on.
        """
        watching = Watching(
            names.job(job), after, self._caller.patience(), timeout_s=timeout_s, reached=self._caller.reached
        )
        while True:
            stream = self._caller.stream(self._stub.WatchJob, watching.request(), watching.timeout_s())
            try:
                with closing(stream):
                    for message in stream:
                        if watching.accept(message) or heartbeats:
                            yield message
            except INTERRUPTIONS as error:
                time.sleep(watching.delay_s(error))
                continue
            if watching.saw_end() or watching.covers(self._still(watching.name)):
                return
            time.sleep(FIRST_DELAY_S)

    def wait(
        self,
        job: JobLike,
        *,
        on_event: Callable[[WatchJobResponse], None] | None = None,
        after: int = 0,
        heartbeats: bool = False,
        timeout_s: float | None = None,
        check: bool = False,
    ) -> Job:
        """Wait until a job has ended and return it, in whatever state it ended.

        `on_event` sees what `watch` yields.
        `check`: raise JobFailed unless it SUCCEEDED. `timeout_s`: raise TimedOut when it takes longer.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            asked_after = after
            left = None if until is None else until - time.monotonic()
            for event in self.watch(job, after=after, timeout_s=left, heartbeats=heartbeats):
                after = max(after, event.event_id)
                if on_event is not None:
                    on_event(event)
            # A job that was retried has an end in the middle of its events, too.
            ended = self._still(names.job(job))
            if all_seen(ended, after, asked_after):
                break
        if check and ended.state != Job.STATE_SUCCEEDED:
            raise JobFailed(ended)
        return ended

    def _still(self, name: str) -> Job:
        """Look a job up, sitting out an outage."""
        call = Call(self._stub.GetJob, GetJobRequest(name=name))
        job: Job = self._caller.run(persist(call, self._caller.patience()))
        return job

    def artifact(self, job: JobLike, role: str) -> JobArtifact:
        """The file of a job's result by its role: "adversarial", "report", "metrics", "verdicts", ..."""
        return names.find_artifact(self.get(job), role)

    def download_finished(self, job: JobLike, folder: str | os.PathLike[str]) -> Sequence[Path]:
        """Download what a job that did not succeed had finished: a safetensors file for each committed unit.

        Raises FailedPrecondition where there is none; RetryJob goes on from the same units.
        """
        flow = finished(self._stub, self._artifacts, names.job(job), Path(folder), self._caller.patience)
        return self._caller.run(flow)

    def cancel(self, job: JobLike, *, etag: str = "") -> Job:
        """Ask for a job's end."""
        return self._caller.call(self._stub.CancelJob, CancelJobRequest(name=names.job(job), etag=etag))

    def retry(self, job: JobLike) -> Job:
        """Queue a job again that did not succeed; what it had finished is kept."""
        request = RetryJobRequest(name=names.job(job))
        queued = self._caller.change(self._stub.RetryJob, request, FailedPrecondition)
        return self.get(job) if queued is None else queued

    def delete(self, job: JobLike, *, etag: str = "") -> None:
        """Forget an ended job, its events and its results."""
        request = DeleteJobRequest(name=names.job(job), etag=etag)
        self._caller.change(self._stub.DeleteJob, request, NotFound)
