"""`sparring poison NAME`."""

from __future__ import annotations

from typing import Any

import click
from google.protobuf.descriptor import Descriptor
from sparring import requests, submit
from sparring.v1.jobs_pb2 import FitOptions, Optimization, PoisoningSpec
from sparring.v1.poisoning_pb2 import Poison

from services.cli import fields, options, waiting

_EVALUATION = ("dataset", "split", "offset", "count")
_OWN = PoisoningSpec.DESCRIPTOR.fields_by_name


def _command(name: str, message: Descriptor) -> click.Command:
    @click.command(name)
    @options.dataset
    @click.option(
        "--architecture", required=True, metavar="NAME", help="What is poisoned; see `sparring architectures`."
    )
    @click.option(
        "--fractions",
        type=options.Numbers(),
        required=True,
        help="How many samples are poisoned, in parts of the clean ones, 0 to 0.5, e.g. 0.01,0.03,0.1.",
    )
    @fields.options(message)
    @fields.option(_OWN["sanitizer"])
    @fields.option(_OWN["dropped_fraction"])
    @fields.options(Optimization.DESCRIPTOR)
    @fields.options(FitOptions.DESCRIPTOR)
    @click.option("--mean", type=options.Numbers(), default=(), help="Per channel, subtracted by the first layer.")
    @click.option("--std", type=options.Numbers(), default=(), help="Per channel, divided by after that.")
    @options.selection
    @click.option(
        "--evaluation-dataset", default="", metavar="NAME", help="Judge models on this; left out, on the test split."
    )
    @click.option("--evaluation-split", default="", metavar="NAME", help="Part of it.")
    @click.option("--evaluation-offset", type=options.COUNT, default=0, help="First sample of it.")
    @click.option("--evaluation-count", type=options.COUNT, default=0, help="Samples of it; 0 means all.")
    @fields.device_options(PoisoningSpec.DESCRIPTOR)
    @options.submission
    def command(server: str, *, as_json: bool, wait: bool, **given: Any) -> int:
        dataset, *rest = (given.pop(f"evaluation_{part}") for part in _EVALUATION)
        if dataset or any(rest):
            given["evaluation_data"] = requests.selection(dataset or given["dataset"], *rest)
        request = submit.poison(given.pop("dataset"), name, given.pop("fractions"), **given)
        return waiting.submit(server, request, wait=wait, as_json=as_json)

    return command


poison = fields.MethodGroup(
    Poison.DESCRIPTOR,
    _command,
    name="poison",
    help="Poison training sets and measure the harm. `sparring poison NAME --help` shows what the poison takes.",
)
