"""A laboratory behind the fake: jobs are done, with results and a manifest."""

from __future__ import annotations

import json
import struct

from google.protobuf.json_format import MessageToDict
from sparring.v1.attacks_pb2 import Attack, Fgsm
from sparring.v1.datasets_pb2 import DataSelection
from sparring.v1.jobs_pb2 import AttackSpec, EvaluationSpec, Job, PoisoningSpec, TrainingSpec
from sparring.v1.models_pb2 import Model

COUNT, SHARD, OFFSET = 5, 2, 100
FGSM = Attack(fgsm=Fgsm(epsilon=0.25))


def safetensors(**tensors):
    """A file of (dtype, shape, bytes) by name."""
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class Lab:
    """A service that runs jobs: what becomes of a sample depends on its index and on `salt` alone."""

    def __init__(self, service):
        self.service, self.salt, self.torch = service, 0, "2.13.0"
        self.weights = service.keep(b"weights")
        service.models["models/net"] = Model(name="models/net", state="STATE_READY", weights=self.weights)
        service.on_create = self.run

    def rows(self, first, count):
        index = range(first, first + count)
        return {
            "x_adv": ("F32", [count, 2], b"".join(struct.pack("<2f", i, i + self.salt) for i in index)),
            "index": ("I64", [count], b"".join(struct.pack("<q", i) for i in index)),
        }

    def unit(self, first, count, pictures):
        named = {f"run/a0/{name}": tensor for name, tensor in self.rows(first, count).items()}
        clean = {
            "clean/x": ("F32", [pictures, 1], b"".join(struct.pack("<f", i) for i in range(first, first + pictures)))
        }
        return self.service.keep(safetensors(**named, **clean)).removeprefix("artifacts/")

    def fractions(self, spec):
        """The units of a poisoning; 0 is always measured too."""
        spec.fractions[:] = sorted({0.0, *spec.fractions})
        kept = [safetensors(**{"plain/counts": ("F64", [1], struct.pack("<d", f + self.salt))}) for f in spec.fractions]
        digests = [self.service.keep(content).removeprefix("artifacts/") for content in kept]
        return [
            {"unit": number, "fraction": fraction, "sha256": sha256}
            for number, (fraction, sha256) in enumerate(zip(spec.fractions, digests, strict=True))
        ]

    def run(self, job):
        """Give a job the end that a worker would."""
        job.state = Job.STATE_SUCCEEDED
        kind = job.WhichOneof("spec")
        spec = getattr(job, kind)
        first, count = (spec.data.offset, spec.data.count)
        job.resolution.models.add(name="models/net", weights_sha256=self.weights.removeprefix("artifacts/"))
        job.resolution.data.offset, job.resolution.data.count = first, count
        job.resolution.shards = job.resolution.units = -(-count // SHARD)
        roles = {"report": b"report"}
        if kind == "attack":
            roles["adversarial"] = safetensors(**self.rows(first, count))
        if kind == "training":
            roles["weights"], job.result.model = b"trained %d" % self.salt, f"models/{job.name}"
            self.service.models[job.result.model] = Model(name=job.result.model)
        for role, content in roles.items():
            job.result.artifacts.add(role=role, artifact=self.service.keep(content), size_bytes=len(content))
        units = (
            []
            if kind == "training"
            else self.fractions(spec)
            if kind == "poisoning"
            else [
                {
                    "unit": number,
                    "model": "models/net",
                    "offset": start,
                    "count": min(SHARD, first + count - start),
                    "sha256": self.unit(start, min(SHARD, first + count - start), SHARD if start == first else 0),
                }
                for number, start in enumerate(range(first, first + count, SHARD))
            ]
        )
        self.put_manifest(job, self.manifest(job, kind, spec, units))

    def manifest(self, job, kind, spec, units):
        def plain(message):
            return MessageToDict(message, preserving_proto_field_name=True)

        files = [
            (item.role, item.artifact.removeprefix("artifacts/"), item.size_bytes) for item in job.result.artifacts
        ]
        return {
            "version": 1,
            "job": job.name,
            "kind": kind,
            "seed": spec.seed,
            "units": units,
            "spec": {kind: plain(spec), "resolution": plain(job.resolution)},
            "models": [{"name": "models/net", "weights_sha256": self.weights.removeprefix("artifacts/")}],
            "artifacts": [{"role": role, "sha256": sha256, "size_bytes": size} for role, sha256, size in files],
            "checks": {"samples": spec.data.count, "violations": {"ball": 0, "box": 0}},
            "code": {"sparring": "0.1.0"},
            "packages": {"torch": self.torch},
            "device": {"name": "a processor"},
        }

    def put_manifest(self, job, manifest):
        kept = [item for item in job.result.artifacts if item.role != "manifest"]
        del job.result.artifacts[:]
        job.result.artifacts.extend(kept)
        content = json.dumps(manifest).encode()
        job.result.artifacts.add(role="manifest", artifact=self.service.keep(content), size_bytes=len(content))

    def edit(self, job, change):
        """Change the manifest of a job."""
        name = next(item.artifact for item in job.result.artifacts if item.role == "manifest")
        manifest = json.loads(self.service.artifacts[name][0])
        change(manifest)
        self.put_manifest(job, manifest)

    def made(self, spec=None):
        """The job jobs/j, done."""
        if spec is None:
            spec = AttackSpec(model="net", attack=FGSM)
        spec.data.CopyFrom(DataSelection(dataset="datasets/d", offset=OFFSET, count=COUNT))
        job = self.service.add_job("jobs/j")
        getattr(
            job,
            {
                AttackSpec: "attack",
                EvaluationSpec: "evaluation",
                TrainingSpec: "training",
                PoisoningSpec: "poisoning",
            }[type(spec)],
        ).CopyFrom(spec)
        self.run(job)
        return job
