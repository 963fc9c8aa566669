"""`sparring train NAME`."""

from __future__ import annotations

from typing import Any

import click
from google.protobuf.descriptor import Descriptor
from sparring import requests, submit
from sparring.v1.defenses_pb2 import Defense
from sparring.v1.jobs_pb2 import FitOptions, Optimization, TrainingSpec, Validation

from services.cli import fields, options, waiting

_EVALUATION = ("dataset", "split", "offset", "count")


def _command(name: str, message: Descriptor) -> click.Command:
    @click.command(name)
    @options.dataset
    @click.option("--architecture", default="", metavar="NAME", help="The kind of model; see `sparring architectures`.")
    @fields.options(message)
    @fields.options(Optimization.DESCRIPTOR)
    @fields.options(Validation.DESCRIPTOR)
    @fields.options(FitOptions.DESCRIPTOR)
    @click.option("--model-id", default="", metavar="ID", help="The id of the trained model; left out, the job's.")
    @click.option("--initial-model", default="", metavar="NAME", help="Start from this model's weights.")
    @click.option(
        "--mean", type=options.Numbers(), default=(), help="Per channel, subtracted by the model's first layer."
    )
    @click.option("--std", type=options.Numbers(), default=(), help="Per channel, divided by after that.")
    @options.selection
    @click.option(
        "--evaluation-dataset", default="", metavar="NAME", help="Judge the model on this; left out, on the test split."
    )
    @click.option("--evaluation-split", default="", metavar="NAME", help="Part of it.")
    @click.option("--evaluation-offset", type=options.COUNT, default=0, help="First sample of it.")
    @click.option("--evaluation-count", type=options.COUNT, default=0, help="Samples of it; 0 means all.")
    @fields.device_options(TrainingSpec.DESCRIPTOR)
    @options.submission
    def command(server: str, *, as_json: bool, wait: bool, **given: Any) -> int:
        dataset, *rest = (given.pop(f"evaluation_{part}") for part in _EVALUATION)
        if dataset or any(rest):
            given["evaluation_data"] = requests.selection(dataset or given["dataset"], *rest)
        request = submit.train(given.pop("dataset"), name, **given)
        return waiting.submit(server, request, wait=wait, as_json=as_json)

    return command


train = fields.MethodGroup(
    Defense.DESCRIPTOR,
    _command,
    name="train",
    help="Train a model with a defense. `sparring train NAME --help` shows what the defense takes.",
)
