"""A service in one object, on a real gRPC server, that can be told to break off.

It keeps the contract's promises as far as the client leans on them: request_id, offsets, event numbers, digests.
"""

# ruff: noqa: N802 - the contract's names
from __future__ import annotations

import hashlib
import threading
import time
from collections import defaultdict, deque
from concurrent import futures

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from sparring import channel
from sparring.v1 import (
    artifacts_pb2,
    artifacts_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    datasets_pb2,
    datasets_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
)

MIB = 2**20


def status_of(code, message, *, reason="", violations=(), retry_after_s=None):
    """A google.rpc.Status with details, as the gateway sends it."""
    details = []
    if reason:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain="sparring"))
    if violations:
        fields = [error_details_pb2.BadRequest.FieldViolation(field=f, description=d) for f, d in violations]
        details.append(error_details_pb2.BadRequest(field_violations=fields))
    if retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(retry_after_s * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = []
    for detail in details:
        holder = any_pb2.Any()
        holder.Pack(detail)
        packed.append(holder)
    return status_pb2.Status(code=code.value[0], message=message, details=packed)


def retry_quickly(monkeypatch):
    """Make clients wait a tenth of what users wait between retries."""
    quick = channel.SERVICE_CONFIG.replace('"0.1s"', '"0.01s"')
    assert quick != channel.SERVICE_CONFIG
    options = [(key, quick if value == channel.SERVICE_CONFIG else value) for key, value in channel.OPTIONS]
    monkeypatch.setattr(channel, "OPTIONS", tuple(options))


class Service(
    jobs_pb2_grpc.JobServiceServicer,
    models_pb2_grpc.ModelServiceServicer,
    datasets_pb2_grpc.DatasetServiceServicer,
    artifacts_pb2_grpc.ArtifactServiceServicer,
    catalog_pb2_grpc.CatalogServiceServicer,
):
    def __init__(self):
        self.calls = []  # (rpc, request)
        self.failures = defaultdict(deque)  # rpc -> Status or (code, text) to abort the next calls with
        self.cuts = defaultdict(deque)  # rpc -> messages after which the next streams break with UNAVAILABLE
        self.jobs, self.by_request_id, self.events = {}, {}, defaultdict(list)
        self.next_job = None  # arguments of add_job for what becomes of the next created job
        self.retried_after = None  # the event after which a retried job starts again, to end as it is held
        self.waiting = ""  # why that job waits at first
        self.artifacts, self.uploads = {}, {}
        self.models, self.datasets = {}, {}
        self.corrupt = False
        self.delays_s = {}  # rpc -> seconds before it is looked at
        self.checks = 0  # GetModel/GetDataset answers that still say CHECKING
        self.verdict = None  # Status that checks end with
        self.open_watches = 0
        self.lock = threading.Lock()

    # -- breaking off

    def enter(self, rpc, request, context):
        self.calls.append((rpc, request))
        time.sleep(self.delays_s.get(rpc, 0))
        if self.failures[rpc]:
            self.abort(context, self.failures[rpc].popleft())

    def abort(self, context, failure):
        if isinstance(failure, status_pb2.Status):
            code = next(c for c in grpc.StatusCode if c.value[0] == failure.code)
            context.set_trailing_metadata((("grpc-status-details-bin", failure.SerializeToString()),))
            context.abort(code, failure.message)
        context.abort(*failure)

    def cut_after(self, rpc):
        return self.cuts[rpc].popleft() if self.cuts[rpc] else None

    def missing(self, context, what):
        self.abort(context, status_of(grpc.StatusCode.NOT_FOUND, f"there is no {what}", reason="RESOURCE_NOT_FOUND"))

    def requests(self, rpc):
        return [request for name, request in self.calls if name == rpc]

    # -- jobs

    def CreateJob(self, request, context):
        self.enter("CreateJob", request, context)
        if request.request_id in self.by_request_id:
            return self.jobs[self.by_request_id[request.request_id]]
        job = jobs_pb2.Job(name="" if request.validate_only else f"jobs/job-{len(self.jobs) + 1}", state=1)
        spec = getattr(request, request.WhichOneof("spec"))
        getattr(job, request.WhichOneof("spec")).CopyFrom(spec)
        job.display_name = request.display_name
        if not request.validate_only:
            self.jobs[job.name] = job
            self.by_request_id[request.request_id] = job.name
            if self.next_job is not None:
                self.add_job(job.name, **self.next_job).MergeFrom(jobs_pb2.Job(**{request.WhichOneof("spec"): spec}))
                job.waiting.message = self.waiting
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
        if cut == "end":
            return
        if cut is not None:
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

    # -- artifacts

    def keep(self, content, media_type="application/octet-stream"):
        name = f"artifacts/{hashlib.sha256(content).hexdigest()}"
        self.artifacts[name] = (content, media_type)
        return name

    def describe(self, name):
        content, media_type = self.artifacts[name]
        return artifacts_pb2.Artifact(name=name, size_bytes=len(content), media_type=media_type)

    def BeginUpload(self, request, context):
        self.enter("BeginUpload", request, context)
        name = f"artifacts/{request.sha256}"
        if name in self.artifacts:
            return artifacts_pb2.BeginUploadResponse(artifact=self.describe(name))
        upload_id = f"upload-{len(self.uploads) + 1}"
        self.uploads[upload_id] = (request, bytearray())
        return artifacts_pb2.BeginUploadResponse(upload_id=upload_id)

    def UploadArtifact(self, request_iterator, context):
        first = next(request_iterator)
        self.enter("UploadArtifact", first, context)
        if first.upload_id not in self.uploads:
            self.missing(context, first.upload_id)
        declared, kept = self.uploads[first.upload_id]
        if first.offset != len(kept):
            self.abort(context, status_of(grpc.StatusCode.OUT_OF_RANGE, f"{len(kept)} bytes are kept"))
        cut = self.cut_after("UploadArtifact")
        for taken, message in enumerate((first, *request_iterator)):
            if taken == cut:
                break
            kept.extend(message.data)
        if cut is not None and cut != "unanswered":
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
        if hashlib.sha256(kept).hexdigest() != declared.sha256:
            self.abort(context, status_of(grpc.StatusCode.DATA_LOSS, "wrong digest", reason="DIGEST_MISMATCH"))
        name = self.keep(bytes(kept), declared.media_type)
        del self.uploads[first.upload_id]
        if cut == "unanswered":
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
        return artifacts_pb2.UploadArtifactResponse(committed_bytes=len(kept), artifact=self.describe(name))

    def QueryUpload(self, request, context):
        self.enter("QueryUpload", request, context)
        if request.upload_id not in self.uploads:
            self.missing(context, request.upload_id)
        declared, kept = self.uploads[request.upload_id]
        # Half a chunk is not kept.
        whole = len(kept) if len(kept) == declared.size_bytes else len(kept) // MIB * MIB
        del kept[whole:]
        return artifacts_pb2.QueryUploadResponse(committed_bytes=whole, size_bytes=declared.size_bytes)

    def GetArtifact(self, request, context):
        self.enter("GetArtifact", request, context)
        if request.name not in self.artifacts:
            self.missing(context, request.name)
        return self.describe(request.name)

    def DownloadArtifact(self, request, context):
        self.enter("DownloadArtifact", request, context)
        content, _ = self.artifacts[request.name]
        if self.corrupt:
            content = content[:-1] + b"?"
        cut = self.cut_after("DownloadArtifact")
        for sent, offset in enumerate(range(request.offset, len(content), MIB // 2)):
            if sent == cut:
                break
            yield artifacts_pb2.DownloadArtifactResponse(offset=offset, data=content[offset : offset + MIB // 2])
        if cut is not None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")

    def DeleteArtifact(self, request, context):
        self.enter("DeleteArtifact", request, context)
        del self.artifacts[request.name]
        return artifacts_pb2.DeleteArtifactResponse()

    # -- models and datasets

    def checked(self, thing):
        if self.checks > 0:
            self.checks -= 1
        elif self.verdict is not None:
            thing.state = thing.STATE_REJECTED
            thing.error.CopyFrom(self.verdict)
        else:
            thing.state = thing.STATE_READY
        return thing

    def RegisterModel(self, request, context):
        self.enter("RegisterModel", request, context)
        name = f"models/{request.model_id}"
        self.models[name] = models_pb2.Model(
            name=name, state="STATE_CHECKING", signature=request.signature, weights=request.weights
        )
        return self.models[name]

    def GetModel(self, request, context):
        self.enter("GetModel", request, context)
        if request.name not in self.models:
            self.missing(context, request.name)
        return self.checked(self.models[request.name])

    def ListModels(self, request, context):
        self.enter("ListModels", request, context)
        return models_pb2.ListModelsResponse(models=self.models.values())

    def DeleteModel(self, request, context):
        self.enter("DeleteModel", request, context)
        if self.models.pop(request.name, None) is None:
            self.missing(context, request.name)
        return models_pb2.DeleteModelResponse()

    def RegisterDataset(self, request, context):
        self.enter("RegisterDataset", request, context)
        name = f"datasets/{request.dataset_id}"
        self.datasets[name] = datasets_pb2.Dataset(name=name, state="STATE_CHECKING", classes=request.classes)
        return self.datasets[name]

    def GetDataset(self, request, context):
        self.enter("GetDataset", request, context)
        if request.name not in self.datasets:
            self.missing(context, request.name)
        return self.checked(self.datasets[request.name])

    def ListDatasets(self, request, context):
        self.enter("ListDatasets", request, context)
        return datasets_pb2.ListDatasetsResponse(datasets=self.datasets.values())

    def DeleteDataset(self, request, context):
        self.enter("DeleteDataset", request, context)
        if self.datasets.pop(request.name, None) is None:
            self.missing(context, request.name)
        return datasets_pb2.DeleteDatasetResponse()

    # -- catalog

    def GetServerInfo(self, request, context):
        self.enter("GetServerInfo", request, context)
        worker = catalog_pb2.WorkerInfo(id="host-1", device="cpu", device_name="a processor", last_seen_s=0.5)
        return catalog_pb2.ServerInfo(version="0.1.0", max_artifact_bytes=2**31, workers=[worker], store_used=0.25)

    def ListAttacks(self, request, context):
        self.enter("ListAttacks", request, context)
        steps = catalog_pb2.ParameterInfo(name="steps", type="uint32", minimum=1, maximum=10000, default_value="20")
        bim = catalog_pb2.MethodInfo(name="bim", title="Basic iterative method", paper="1607.02533", parameters=[steps])
        return catalog_pb2.ListAttacksResponse(attacks=[bim])

    def ListDefenses(self, request, context):
        self.enter("ListDefenses", request, context)
        standard = catalog_pb2.MethodInfo(name="standard", title="Standard training")
        return catalog_pb2.ListDefensesResponse(defenses=[standard])

    def ListArchitectures(self, request, context):
        self.enter("ListArchitectures", request, context)
        small = catalog_pb2.ArchitectureInfo(name="wong_cnn", description="The small net of Wong", paper="2001.03994")
        return catalog_pb2.ListArchitecturesResponse(architectures=[small])

    def ListBuiltInDatasets(self, request, context):
        self.enter("ListBuiltInDatasets", request, context)
        return catalog_pb2.ListBuiltInDatasetsResponse(datasets=[datasets_pb2.Dataset(name="datasets/mnist10k")])


class Server:
    """A Service that listens on a free loopback port; `stop` and `start` play an outage."""

    def __init__(self):
        self.service = Service()
        self.port = 0
        self.start()

    def start(self):
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        for add in (
            jobs_pb2_grpc.add_JobServiceServicer_to_server,
            models_pb2_grpc.add_ModelServiceServicer_to_server,
            datasets_pb2_grpc.add_DatasetServiceServicer_to_server,
            artifacts_pb2_grpc.add_ArtifactServiceServicer_to_server,
            catalog_pb2_grpc.add_CatalogServiceServicer_to_server,
        ):
            add(self.service, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    @property
    def target(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        self._server.stop(0).wait()
