"""The place in a trace that a call comes from, as W3C Trace Context writes it. Pure.

    traceparent    00-TRACE-SPAN-FLAGS      32, 16 and 2 lower-case hex digits; bit 0 of FLAGS: somebody records it
    tracestate     what tracing systems add, `name=value` with commas between; at most 512 characters are kept

Both stand in a job's record as one text, with a blank between them. Source: w3.org/TR/trace-context, sections 3.2, 3.3.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

STATE_LENGTH = 512
STATE_MEMBERS = 32

_PARENT = re.compile(r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})")
_KEY = r"[a-z0-9][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}"
_MEMBER = re.compile(rf"(?:{_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


@dataclass(frozen=True)
class TraceContext:
    """A span of a trace, to be the parent of others: ids in hex, `state` the tracestate."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""

    @classmethod
    def parse(cls, traceparent: str, tracestate: str = "") -> Self | None:
        """Read the two headers; None where the first is malformed. A malformed second one is left out."""
        found = _PARENT.match(traceparent)
        if found is None or found["version"] == "ff" or set(found["trace"]) == {"0"} or set(found["span"]) == {"0"}:
            return None
        # A later version may add something, behind another hyphen.
        rest = traceparent[found.end() :]
        if rest and (found["version"] == "00" or not rest.startswith("-")):
            return None
        return cls(found["trace"], found["span"], bool(int(found["flags"], 16) & 1), _state(tracestate))

    @classmethod
    def of_metadata(cls, metadata: Iterable[tuple[str, str | bytes]]) -> Self | None:
        """Read the context out of what came with a call; None where there is none, or several."""
        parents = []
        states = []
        for name, value in metadata:
            if name == "traceparent":
                parents.append(value)
            elif name == "tracestate":
                states.append(value)
        if len(parents) != 1 or not isinstance(parents[0], str):
            return None
        return cls.parse(parents[0], ",".join(state for state in states if isinstance(state, str)))

    @classmethod
    def of_text(cls, text: str) -> Self | None:
        """Read what `text` gave."""
        parent, _, state = text.partition(" ")
        return cls.parse(parent, state)

    @property
    def traceparent(self) -> str:
        """The header, 55 characters."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    @property
    def text(self) -> str:
        """Both headers in one, for the record of a job."""
        return f"{self.traceparent} {self.state}" if self.state else self.traceparent

    def attempt(self, job: str, unit: int, token: int) -> str:
        """Return the id of the span of an attempt at a unit, which later attempts can name without being told."""
        return hashlib.sha256(f"{self.trace_id} {job}/{unit} {token}".encode()).hexdigest()[:16]


def _state(text: str) -> str:
    """Return a tracestate as it is kept: whole members from its beginning on, "" for a malformed one."""
    members = [member.strip(" \t") for member in text.split(",")]
    members = [member for member in members if member]
    if len(members) > STATE_MEMBERS or not all(map(_MEMBER.fullmatch, members)):
        return ""
    while len(",".join(members)) > STATE_LENGTH:
        members.pop()
    return ",".join(members)
