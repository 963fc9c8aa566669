"""The file of role "verdicts" of a result: which samples each row of its table counts.

A safetensors file of `index` and `label` (N,) int64, and for row i `held/{i}` (N,) bool: the model is right on the
sample under the row's attack; of a targeted attack, the sample does not become the target. `judged/{i}` (N,) bool is
there for rows that do not judge every sample.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from sparring import names
from sparring.client import Client
from sparring.errors import DataLoss, FailedPrecondition
from sparring.paired import Pairs
from sparring.tensors import TensorFile
from sparring.v1.jobs_pb2 import Job

ROLE = "verdicts"


class Verdicts:
    """The verdicts of one job, each row's as an integer whose byte j is 1 where sample j counts."""

    def __init__(self, path: Path, job: str) -> None:
        """Read a file whole; raises DataLoss for one that does not hold verdicts."""
        self._job = job
        try:
            file = TensorFile(path)
            self._size = file.tensors["index"].rows
            self.samples = _all(file, "index") + _all(file, "label")
            self._rows = {name: self._bits(name, _all(file, name)) for name in file.tensors if "/" in name}
        except (KeyError, ValueError) as error:
            raise DataLoss(f"the verdicts of {job} can't be read: {error}") from error

    @classmethod
    def of(cls, client: Client, job: Job) -> Self:
        """Download those of a job that SUCCEEDED; raises FailedPrecondition where it has none."""
        if not any(item.role == ROLE for item in job.result.artifacts):
            state = Job.State.Name(job.state).removeprefix("STATE_")
            raise FailedPrecondition(
                f"{job.name} ({job.WhichOneof('spec')}, {state}) has no verdicts to compare sample by sample: only an "
                "attack or an evaluation that SUCCEEDED leaves them; run it again if it was made by an older service",
                reason="NO_VERDICTS",
            )
        with TemporaryDirectory(prefix="sparring-verdicts-") as folder:
            path = client.artifacts.download(names.find_artifact(job, ROLE), Path(folder) / ROLE)
            return cls(path, job.name)

    def held(self, row: int) -> int:
        """The samples that a row counts; raises DataLoss for a row that the file does not have."""
        if f"held/{row}" not in self._rows:
            raise DataLoss(f"the verdicts of {self._job} have no row {row}, which its table has")
        return self._rows[f"held/{row}"]

    def judged(self, row: int) -> int:
        """The samples that a row judges."""
        everything = int.from_bytes(b"\1" * self._size, "little")
        return self._rows.get(f"judged/{row}", everything)

    def _bits(self, name: str, content: bytes) -> int:
        if len(content) != self._size or content.strip(b"\0\1"):
            raise ValueError(f"{name} is not one bool for each sample")
        return int.from_bytes(content, "little")


def _all(file: TensorFile, name: str) -> bytes:
    return b"".join(file.read(name, 0, file.tensors[name].rows))


def pairs(one: int, other: int, judged: int) -> Pairs:
    """Count what became of the samples `judged` under one model and another, each as `Verdicts` gives them."""
    both = (one & other & judged).bit_count()
    lost = (one & ~other & judged).bit_count()
    gained = (other & ~one & judged).bit_count()
    return Pairs(both=both, lost=lost, gained=gained, neither=judged.bit_count() - both - lost - gained)
