"""What an endpoint was asked and answered, sample by sample.

One line of JSON per sample that was answered, in the order of the answers:

    index           0, 1, 2, ... within the ledger
    sha256          of the bytes of this sample as they were sent: elements in C order, little-endian
    label           the class of the answer
    score           the largest score (logit or probability) of the answer; null where labels are all that is asked for
    milliseconds    of the call that brought the answer, its failed attempts and waits left out
    attempts        of that call: 1 where the first one succeeded

A sample counts once, when it is answered. An attempt that failed is in `sent` and in no line: the server may or may not
have done the work, and nobody here can know. So `queries` is what the attack learned from, and `sent` the most that the
owner of the server can have counted.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from workers.failures import Rejected


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One line; see the head of this file."""

    sha256: str
    label: int
    score: float | None
    milliseconds: float
    attempts: int


class Ledger:
    """Counts, and lines in a file where one is given.

    A file that is there is gone on with: its lines count as queries, so that a budget holds over several runs. Only one
    ledger can have a file at a time; a second raises `Rejected` (LEDGER_IN_USE).
    """

    def __init__(self, path: Path | None = None) -> None:
        self.queries = 0  # samples that were answered
        self.sent = 0  # samples of all attempts
        self.calls = 0  # attempts
        self.failures = 0  # of them
        self._file = None if path is None else self._open(path)

    def attempt(self, samples: int) -> None:
        """Note an attempt before it is made."""
        self.calls += 1
        self.sent += samples

    def failed(self) -> None:
        """Note that the last attempt brought no answer."""
        self.failures += 1

    def enter(self, answers: Sequence[Answer]) -> None:
        """Note the answers of one call."""
        first = self.queries
        self.queries += len(answers)
        if self._file is None:
            return
        lines = [json.dumps({"index": first + place} | vars(answer)) + "\n" for place, answer in enumerate(answers)]
        self._file.write("".join(lines).encode())
        self._file.flush()

    def close(self) -> None:
        """Let go of the file; the counts stay."""
        if self._file is not None:
            self._file.close()

    def _open(self, path: Path) -> BinaryIO:
        file = path.open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise Rejected("LEDGER_IN_USE", f"{path} is being written by another process; give each its own") from None
        file.seek(0)
        whole = 0
        for line in file:
            if not line.endswith(b"\n"):
                break  # cut short by the end of the process that wrote it
            self.queries += 1
            whole += len(line)
        file.truncate(whole)
        self.sent = self.queries
        return file
