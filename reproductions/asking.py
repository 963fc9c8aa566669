"""What experiments ask of the service, as requests that are the same whenever they are made again.

A request's id is a digest of all else in it, so that a run that is repeated, or goes on after an interruption, finds
the jobs that it already has.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any

from sparring import requests, submit
from sparring.requests import AttackLike
from sparring.v1.datasets_pb2 import DataSelection
from sparring.v1.jobs_pb2 import CreateJobRequest
from sparring.values import Value

Values = Mapping[str, Value | None]


def identified(spec: requests.Spec | CreateJobRequest, title: str = "") -> CreateJobRequest:
    """Make the request for a spec, with an id that is a digest of it and of its title."""
    request = requests.create(spec, display_name=title)
    request.ClearField("request_id")
    digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
    request.request_id = str(uuid.UUID(digest[:32]))
    return request


def selection(data: str, count: int | None = None, offset: int = 0) -> DataSelection:
    """Samples of `dataset/split`, or of `dataset` where it has one part only; `count` None: all from `offset` on."""
    dataset, _, split = data.removeprefix("datasets/").partition("/")
    return requests.selection(dataset, split, offset, 0 if count is None else count)


def training(
    data: DataSelection,
    *,
    architecture: str,
    defense: str = "standard",
    parameters: Values | None = None,
    optimization: Values | None = None,
    fitting: Values | None = None,
    validation: Values | None = None,
    seed: int = 0,
    **more: Any,
) -> CreateJobRequest:
    """Ask for a training. `fitting` that is given, if empty, fits a softmax_regression in place of training it.

    `more`: other arguments of `client.train`, such as evaluation_data, mean, std, initial_model.
    """
    given: dict[str, Any] = {}
    for values in (parameters, optimization, fitting, validation):
        given |= {} if values is None else dict(values)
    request = submit.train(data, defense, architecture=architecture, seed=seed, **given, **more)
    if fitting is not None:
        request.training.fitting.SetInParent()
    return request


def attack(model: str, kind: AttackLike, data: DataSelection, *, seed: int = 0) -> CreateJobRequest:
    """Ask for an attack on one model."""
    return submit.attack(model, data, kind, seed=seed)
