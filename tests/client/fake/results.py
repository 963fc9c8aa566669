"""Evaluations of the fake that have come to an end, with the verdicts on each sample."""

from __future__ import annotations

import struct

from sparring import requests
from sparring.paired import wilson
from sparring.v1.attacks_pb2 import NORM_LINF

from .lab import safetensors


def bools(bits):
    return ("BOOL", [len(bits)], bytes(map(int, bits)))


def integers(values):
    return ("I64", [len(values)], struct.pack(f"<{len(values)}q", *values))


def judged(
    service,
    name="jobs/a",
    held=None,
    *,
    epsilon=0.1,
    offset=0,
    dataset="mnist10k",
    suite="quick",
    seed=0,
    judged=None,
    weights=None,
    job=None,
):
    """A job `name` whose models hold the samples that `held` says: {model: {"clean": bits, "pgd": bits, ...}}.

    An attack may have parameters, as in "pgd:steps=40". There is a worst case over the attacks of each model.
    `judged`: {attack: bits} where those are not all samples.
    """
    held = {"a": {"clean": [1, 1, 1, 1], "pgd": [1, 1, 0, 0]}} if held is None else held
    judged = {} if judged is None else judged
    count = len(next(iter(held.values()))["clean"])
    job = service.add_job(name) if job is None else job
    spec = job.evaluation
    spec.models[:] = [f"models/{model}" for model in held]
    spec.seed = seed
    if suite:
        spec.suite.level, spec.suite.norm, spec.suite.epsilon = f"LEVEL_{suite.upper()}", NORM_LINF, epsilon
    data = job.resolution.data
    data.dataset, data.split, data.offset, data.count = dataset, "test", offset, count
    tensors = {
        "index": integers(range(offset, offset + count)),
        "label": integers([sample % 10 for sample in range(count)]),
    }
    for model, bits in held.items():
        sha256 = f"sha of {model}" if weights is None else weights[model]
        job.resolution.models.add(name=f"models/{model}", weights_sha256=sha256)
        attacks = [one for key, one in bits.items() if key != "clean"]
        worst = {"worst_case": [all(verdict) for verdict in zip(*attacks, strict=True)]} if len(attacks) > 1 else {}
        for attack, held_by in {**bits, **worst}.items():
            number = len(job.result.rows)
            kind, _, parameters = attack.partition(":")
            row = job.result.rows.add(model=f"models/{model}", defense="standard", attack=kind, n=count)
            if attack != "clean":
                row.epsilon, row.norm = epsilon, NORM_LINF
            if attack not in {"clean", "worst_case"}:
                row.parameters.CopyFrom(requests.attack(f"{kind}:epsilon={epsilon},{parameters}"))
            for share, of in ((row.robust_accuracy, held_by), (row.clean_accuracy, bits["clean"])):
                found = wilson(sum(of), count)
                share.value, share.low, share.high = found.value, found.low, found.high
            tensors[f"held/{number}"] = bools(held_by)
            if attack in judged:
                tensors[f"judged/{number}"] = bools(judged[attack])
    keep(service, job, "verdicts", safetensors(**tensors))
    keep(service, job, "report", f"the report of {name}".encode())
    return job


def keep(service, job, role, content):
    """Add a file to a job's result."""
    filename = f"{job.name.removeprefix('jobs/')}-{role}.{'html' if role == 'report' else 'bin'}"
    job.result.artifacts.add(role=role, artifact=service.keep(content), size_bytes=len(content), filename=filename)
