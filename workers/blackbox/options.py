"""What has to be known of an endpoint before it is asked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from workers.failures import Rejected

Datatype = Literal["FP32", "UINT8"]
Layout = Literal["NCHW", "NHWC", "FLAT"]
Output = Literal["logits", "probabilities", "labels"]

_CHOICES: Final[dict[str, tuple[object, ...]]] = {
    "datatype": ("FP32", "UINT8"),
    "layout": ("NCHW", "NHWC", "FLAT"),
    "output": ("logits", "probabilities", "labels"),
    "pixel_max": (1, 255),
}


@dataclass(frozen=True, kw_only=True)
class EndpointOptions:
    """Where a model is served, how it wants its pictures, what it answers, and how it may be asked.

    A query is one sample. Raises `Rejected` (BAD_ENDPOINT) with all that is wrong at once.
    """

    address: str  # HOST:PORT
    model: str
    version: str = ""  # empty: the server chooses
    input_shape: tuple[int, int, int]  # channels, height, width, as the attack sees them
    classes: int

    input_name: str = "input"
    datatype: Datatype = "FP32"  # UINT8: pixels are rounded to 0, 1, ..., 255
    layout: Layout = "NCHW"  # FLAT: (N, C * H * W)
    pixel_max: int = 1  # what white is to the server: 1, or 255
    raw_input: bool = True  # send the bytes of the tensor; False: its elements, for servers that know no other way

    output_name: str | None = None  # None: the only output there is
    # "labels": the module answers one-hot, and scores that the server sends all the same are dropped unread.
    output: Output = "logits"

    batch_limit: int = 64  # samples of one call
    budget: int | None = None  # queries that may be answered, those of an earlier ledger included; None: any number
    queries_per_s: float | None = None  # None: as fast as the server answers
    attempts: int = 5  # of one call, the first included
    first_backoff_s: float = 0.2  # doubled with every attempt
    longest_backoff_s: float = 10.0
    deadline_s: float = 30.0  # of one attempt

    tls: bool = False
    root_certificates: bytes | None = None  # PEM, with `tls`; None: those of the system
    bearer: str | None = field(default=None, repr=False)  # sent as `authorization`, with `tls` only

    def __post_init__(self) -> None:
        """Refuse what no server could be asked with."""
        problems = [*self._problems(), *self._limits()]
        if problems:
            raise Rejected("BAD_ENDPOINT", f"endpoint {self.address!r}: " + "; ".join(problems))

    def _problems(self) -> Iterator[str]:
        if not self.address or not self.model:
            yield "address and model must be set"
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                yield f"{name} must be one of {', '.join(map(str, choices))}, not {getattr(self, name)!r}"
        if len(self.input_shape) != 3 or min(self.input_shape, default=0) < 1:
            yield f"input_shape must be channels, height, width, each at least 1, not {self.input_shape}"
        if self.classes < 2:
            yield f"classes must be at least 2, not {self.classes}"
        if self.datatype == "UINT8" and self.pixel_max != 255:
            yield "UINT8 pixels go up to 255: set pixel_max to 255"
        if self.root_certificates is not None and not self.tls:
            yield "root_certificates need tls"
        if self.bearer is not None and not self.tls:
            yield "a bearer token without tls could be read by everybody on the way"

    def _limits(self) -> Iterator[str]:
        for name in ("batch_limit", "attempts"):
            if getattr(self, name) < 1:
                yield f"{name} must be at least 1"
        if self.budget is not None and self.budget < 0:
            yield "budget must be at least 0"
        for name in ("queries_per_s", "first_backoff_s", "longest_backoff_s", "deadline_s"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                yield f"{name} must be a finite number above 0"
