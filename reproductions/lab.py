"""What an experiment works with: the public client, and the page that it fills.

Everything asked here is asked in the same words each time (see `asking`), so a run that is repeated finds its jobs.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparring import submit
from sparring.v1.jobs_pb2 import Job

from reproductions import asking
from reproductions.notes import Notes
from reproductions.results import Bar

if TYPE_CHECKING:
    import numpy as np
    from sparring.client import Client
    from sparring.requests import AttackLike, CurveLike, Spec
    from sparring.v1.jobs_pb2 import CreateJobRequest, ResultRow

# States from which a job is taken up again when it is asked for again.
_UNSUCCESSFUL = (Job.STATE_FAILED, Job.STATE_CANCELLED, Job.STATE_QUARANTINED)


@dataclass(frozen=True)
class Attacked:
    """What an attack job left: its line of figures, and for each sample what the adversarial file holds.

    `arrays`: x_adv (N, C, H, W); index, label, clean_prediction, prediction, target (N,) int64; confidence, distance
    (N,) float32; success (N,) bool.
    """

    row: ResultRow
    arrays: Mapping[str, np.ndarray]
    job: Job

    def success(self) -> float:
        """Share of the samples that were right clean (untargeted) or are not of the target class, that was turned."""
        return self.row.success_rate.value

    def error(self) -> float:
        """Share of all samples that are wrong under the attack, with those that were wrong clean."""
        return float((self.arrays["prediction"] != self.arrays["label"]).mean())


class Lab(Notes):
    """The service and the page of one experiment.

    `quick`: smaller numbers, the same bars. `seed`: of everything random. `folder`: where plots and results go.
    """

    def __init__(
        self,
        name: str,
        bars: Sequence[Bar],
        client: Client,
        folder: Path,
        *,
        quick: bool = False,
        seed: int = 0,
        say: Callable[[str], None] = print,
    ) -> None:
        super().__init__(bars, folder, quick=quick, say=say)
        self.name, self.client, self.seed = name, client, seed
        self._given_up: set[str] = set()
        self._worked: dict[str, float] = {}

    @property
    def worked(self) -> float:
        """Seconds from the beginning of each of its jobs to its end, added up."""
        return sum(self._worked.values())

    # Jobs.

    def start(self, spec: Spec | CreateJobRequest, title: str = "") -> Job:
        """Ask for a job, and do not wait for it; one that was asked for before and failed is tried again, once."""
        request = asking.identified(spec, title)
        job = self.client.jobs.create(request)
        if job.state in _UNSUCCESSFUL and job.name not in self._given_up:
            self._given_up.add(job.name)
            job = self.client.jobs.retry(job)
        return job

    def wait(self, *jobs: Job) -> list[Job]:
        """Wait for jobs; raises sparring.errors.JobFailed with the message of the first that did not succeed."""
        ended = []
        for job in jobs:
            began = time.monotonic()
            done = self.client.jobs.wait(job, check=True)
            ended.append(done)
            self._worked[done.name] = (done.end_time.ToMilliseconds() - done.start_time.ToMilliseconds()) / 1000
            if (took := time.monotonic() - began) >= 1:
                self.say(f"  {job.display_name or job.name}: {took:.0f} s")
        return ended

    def training(
        self,
        title: str,
        *,
        data: str = "mnist10k/train",
        count: int | None = None,
        offset: int = 0,
        architecture: str,
        defense: str = "standard",
        parameters: asking.Values | None = None,
        optimization: asking.Values | None = None,
        fitting: asking.Values | None = None,
        validation: asking.Values | None = None,
        seed: int | None = None,
        **more: Any,
    ) -> Job:
        """Ask for a training, and do not wait for it; the arguments are those of `train`."""
        request = asking.training(
            asking.selection(data, count, offset),
            architecture=architecture,
            defense=defense,
            parameters=parameters,
            optimization=optimization,
            fitting=fitting,
            validation=validation,
            seed=self.seed if seed is None else seed,
            **more,
        )
        return self.start(request, f"{self.name}: {title}")

    def train(self, title: str, *, architecture: str, **given: Any) -> str:
        """Train a model, wait, and return its name, `models/{model}`.

        `data`: "dataset/split" (default "mnist10k/train"), `count` of its samples from `offset` on. `defense` with its
        `parameters`; `optimization`, `validation` or `fitting` as the contract names their fields. `seed`: the lab's.
        `more`: what else `client.train` takes, such as mean, std, initial_model, evaluation_data.
        """
        return self.models(self.training(title, architecture=architecture, **given))[0]

    def models(self, *trainings: Job) -> list[str]:
        """Wait for trainings; the names of their models."""
        return [done.result.model for done in self.wait(*trainings)]

    def attacking(
        self,
        model: str,
        attack: AttackLike,
        *,
        data: str = "mnist10k/test",
        count: int,
        offset: int = 0,
        seed: int | None = None,
    ) -> Job:
        """Ask for an attack, and do not wait for it."""
        chosen = asking.selection(data, count, offset)
        request = asking.attack(model, attack, chosen, seed=self.seed if seed is None else seed)
        return self.start(request, f"{self.name}: {request.attack.attack.WhichOneof('kind')}")

    def attack(self, model: str, attack: AttackLike, *, count: int, **given: Any) -> Attacked:
        """Attack a model, wait, and return the figures with the file of examples; arguments as `attacking`."""
        return self.attacked(self.attacking(model, attack, count=count, **given))[0]

    def attacked(self, *attacks: Job) -> list[Attacked]:
        """Wait for attacks; their figures with their files."""
        from safetensors.numpy import load

        found = []
        for done in self.wait(*attacks):
            held = self.client.artifacts.read(self.client.jobs.artifact(done, "adversarial"))
            row = next(row for row in done.result.rows if row.attack not in {"clean", "worst_case"})
            found.append(Attacked(row, load(held), done))
        return found

    def evaluate(
        self,
        models: Sequence[str],
        *,
        data: str = "mnist10k/test",
        count: int,
        offset: int = 0,
        attacks: Sequence[AttackLike] = (),
        curves: Sequence[CurveLike] = (),
    ) -> list[ResultRow]:
        """Compare models; the rows of the result, `clean` first for each model."""
        chosen = asking.selection(data, count, offset)
        request = submit.evaluate(models, chosen, attacks, curves=curves, seed=self.seed)
        return list(self.wait(self.start(request, f"{self.name}: evaluation"))[0].result.rows)

    # Files.

    def upload_model(
        self,
        title: str,
        architecture: str,
        tensors: Mapping[str, np.ndarray],
        *,
        input_shape: Sequence[int],
        classes: int,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> str:
        """Upload weights and wait until a worker has checked them; the model's name, a digest of all that it is."""
        import numpy as np
        from safetensors.numpy import save

        held = save({name: np.asarray(array, order="C") for name, array in tensors.items()})
        told: dict[str, Any] = {
            "architecture": architecture,
            "input_shape": [int(side) for side in input_shape],
            "classes": classes,
            "mean": [float(value) for value in mean],
            "std": [float(value) for value in std],
        }
        # The same weights behind another normalisation are another model.
        name = hashlib.sha256(held + json.dumps(told).encode()).hexdigest()[:20]
        found = self.client.models.upload(held, model_id=name, **told)
        self.say(f"  {title}: {found.name}")
        return found.name

    def upload_data(self, title: str, x: np.ndarray, y: np.ndarray, *, classes: int) -> str:
        """Upload pictures (N, C, H, W), float32 in [0, 1] or uint8, with labels (N,); the dataset's name."""
        import numpy as np

        parts = []
        for array in (x if x.dtype == np.uint8 else x.astype(np.float32), y.astype(np.int64)):
            file = io.BytesIO()
            np.save(file, np.ascontiguousarray(array))
            parts.append(file.getvalue())
        found = self.client.datasets.upload(parts[0], parts[1], classes=classes)
        self.say(f"  {title}: {found.name}, {len(y)} samples")
        return found.name

    def weights(self, model: str) -> dict[str, np.ndarray]:
        """The tensors of a model."""
        from safetensors.numpy import load

        return load(self.client.artifacts.read(self.client.models.get(model).weights))
