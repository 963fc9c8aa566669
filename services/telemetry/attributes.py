"""What the spans of a job say of it, in the gateway and in the workers: names and numbers that a client chose."""

from __future__ import annotations

from sparring.v1 import jobs_pb2


def described(job: jobs_pb2.Job) -> dict[str, str | int]:
    """Return what the spans of a job say of it: kind, lane, samples, names of attacks, of the defense or the poison."""
    kind = str(job.WhichOneof("spec"))
    found: dict[str, str | int] = {"sparring.kind": kind}
    if job.resolution.data.count:
        found["sparring.samples"] = job.resolution.data.count
    attacks = [job.attack.attack] if kind == "attack" else list(job.evaluation.attacks)
    names = [str(attack.WhichOneof("kind")) for attack in attacks]
    if names:
        found["sparring.attack"] = ",".join(names)
    if kind == "training":
        found["sparring.defense"] = str(job.training.defense.WhichOneof("kind"))
    if kind == "poisoning":
        found["sparring.poison"] = str(job.poisoning.poison.WhichOneof("kind"))
    return found
