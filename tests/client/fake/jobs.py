"""Jobs of the fake: made once by request_id, with numbered events."""

# ruff: noqa: N802 - the contract's names
from __future__ import annotations

import threading
from collections import defaultdict

import grpc
from sparring.v1 import jobs_pb2, jobs_pb2_grpc


class Jobs(jobs_pb2_grpc.JobServiceServicer):
    def __init__(self):
        super().__init__()
        self.jobs, self.by_request_id, self.events = {}, {}, defaultdict(list)
        self.by_content = {}  # of jobs that were made and have succeeded, for reuse
        self.next_job = None  # arguments of add_job for what becomes of the next created job
        self.retried_after = None  # the event after which a retried job starts again, to end as it is held
        self.on_create = None  # is told of each job that is made, to give it a result
        self.on_validate = None  # is told of each job that is only checked, to resolve it
        self.waiting = ""  # why that job waits at first
        self.open_watches = 0
        self.lock = threading.Lock()

    def CreateJob(self, request, context):
        self.enter("CreateJob", request, context)
        if request.request_id in self.by_request_id:
            return self.jobs[self.by_request_id[request.request_id]]
        job = jobs_pb2.Job(name="" if request.validate_only else f"jobs/job-{len(self.jobs) + 1}", state=1)
        spec = getattr(request, request.WhichOneof("spec"))
        for name in request.after:
            if name not in self.jobs:
                self.missing(context, name)
        content = spec.SerializeToString(deterministic=True)
        if request.reuse and not request.validate_only and content in self.by_content:
            return self.jobs[self.by_content[content]]
        job.after.extend(request.after)
        getattr(job, request.WhichOneof("spec")).CopyFrom(spec)
        job.display_name = request.display_name
        if request.HasField("limits"):
            job.limits.CopyFrom(request.limits)
        if request.validate_only and self.on_validate is not None:
            self.on_validate(job)
        if not request.validate_only:
            self.jobs[job.name] = job
            self.by_request_id[request.request_id] = job.name
            if self.next_job is not None:
                self.add_job(job.name, **self.next_job).MergeFrom(jobs_pb2.Job(**{request.WhichOneof("spec"): spec}))
                job.waiting.message = self.waiting
            if self.on_create is not None:
                self.on_create(self.jobs[job.name])
            if self.jobs[job.name].state == job.STATE_SUCCEEDED:
                self.by_content[content] = job.name
            # Seen by the client before the answer is lost, if it is.
            if self.failures["CreateJob:after"]:
                self.abort(context, self.failures["CreateJob:after"].popleft())
        return job

    def add_job(self, name="jobs/j", events=3, state=jobs_pb2.Job.STATE_SUCCEEDED, **fields):
        """A job with `events` events, the last of which ends it in `state`."""
        history = [jobs_pb2.WatchJobResponse(event_id=1, state_change=jobs_pb2.StateChange(state="STATE_RUNNING"))]
        for number in range(2, events):
            done = jobs_pb2.Progress(fraction=number / events, units_done=number, units_total=events, message="bim")
            history.append(jobs_pb2.WatchJobResponse(event_id=number, progress=done))
        last = jobs_pb2.StateChange(state=state)
        history.append(jobs_pb2.WatchJobResponse(event_id=events, state_change=last))
        self.events[name] = history
        self.jobs[name] = jobs_pb2.Job(name=name, state=state, last_event_id=events, **fields)
        return self.jobs[name]

    def GetJob(self, request, context):
        self.enter("GetJob", request, context)
        if request.name not in self.jobs:
            self.missing(context, request.name)
        return self.jobs[request.name]

    def ListJobs(self, request, context):
        self.enter("ListJobs", request, context)
        held = list(self.jobs.values())
        start = int(request.page_token) if request.page_token else 0
        page = held[start : start + request.page_size]
        more = str(start + len(page)) if start + len(page) < len(held) else ""
        return jobs_pb2.ListJobsResponse(jobs=page, next_page_token=more)

    def WatchJob(self, request, context):
        self.enter("WatchJob", request, context)
        if request.name not in self.jobs:
            self.missing(context, request.name)
        with self.lock:
            self.open_watches += 1
        context.add_callback(self.watch_closed)
        cut, sent = self.cut_after("WatchJob"), 0
        ends = isinstance(cut, tuple)
        cut = cut[0] if ends else cut
        for event in self.events[request.name]:
            if sent == cut:
                break
            if event.event_id > request.after_event_id:
                yield event
                sent += 1
        if cut == "silent":
            yield jobs_pb2.WatchJobResponse(event_id=request.after_event_id, heartbeat=jobs_pb2.Heartbeat())
            while context.is_active():
                threading.Event().wait(0.02)
        if cut is not None and not ends:
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")

    def watch_closed(self):
        with self.lock:
            self.open_watches -= 1

    def CancelJob(self, request, context):
        self.enter("CancelJob", request, context)
        self.jobs[request.name].state = jobs_pb2.Job.STATE_CANCELLING
        return self.jobs[request.name]

    def RetryJob(self, request, context):
        self.enter("RetryJob", request, context)
        job = self.jobs[request.name]
        if self.retried_after is None:
            job.state = jobs_pb2.Job.STATE_QUEUED
            return job
        return jobs_pb2.Job(name=job.name, state="STATE_QUEUED", last_event_id=self.retried_after)

    def DeleteJob(self, request, context):
        self.enter("DeleteJob", request, context)
        if self.jobs.pop(request.name, None) is None:
            self.missing(context, request.name)
        return jobs_pb2.DeleteJobResponse()
