"""Parts of a job done again as jobs of their own, and compared byte by byte with what was kept."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from sparring.client import Client
from sparring.errors import FailedPrecondition, NotFound, ServiceError
from sparring.requests import Spec
from sparring.resume import ENDED
from sparring.tensors import TensorFile, differing
from sparring.v1.jobs_pb2 import AttackSpec, EvaluationSpec, Job, PoisoningSpec, TrainingSpec

Found = tuple[str, Any, str]  # what was looked at, "ok", "failed" or "skipped", and what was found


class Files(Protocol):
    """Where artifacts lie on this machine."""

    def path(self, sha256: str) -> Path:
        """The file with this digest."""


class Again:
    """Runs parts of one job again; remembers what made them this time."""

    def __init__(
        self,
        client: Client,
        job: Job,
        *,
        manifest: Mapping[str, Any],
        files: Files,
        say: Callable[[str], None],
        rng: random.Random,
    ) -> None:
        self._client, self._job, self._manifest, self._files = client, job, manifest, files
        self._say, self._rng = say, rng
        self._now: Mapping[str, Any] | None = None

    def units(self, count: int) -> Iterator[Found]:
        """Run `count` units again, drawn at random."""
        held = self._manifest["units"]
        for unit in sorted(self._rng.sample(held, min(count, len(held))), key=lambda drawn: int(drawn["unit"])):
            yield self._unit(unit)
        left = len(held) - min(count, len(held))
        if left:
            yield "other units", "skipped", f"{left} of {len(held)} were not run again"

    def training(self, *, wanted: bool) -> Iterator[Found]:
        """Run the whole training again, if it is wanted."""
        if not wanted:
            yield "training again", "skipped", "a training is run again whole, and only with retrain"
            return
        spec = TrainingSpec()
        spec.CopyFrom(self._job.training)
        spec.model_id = ""
        changed = self._changed(*self._job.resolution.models)
        if changed:
            yield "training again", "skipped", changed
            return
        with self._run(spec, "the training") as (ended, manifest):
            if manifest is None:
                yield "training again", "failed", f"it ended otherwise: {ended.error.message}"
                return
            before, now = _weights(self._manifest), _weights(manifest)
            if before == now:
                yield "training again", "ok", f"its weights have the same SHA-256 {now[:12]}..."
            else:
                yield "training again", "failed", f"its weights have the SHA-256 {now}, not {before}"

    def differences(self) -> tuple[str, ...]:
        """In what the service that did it again differs from the one that made the result; empty if nothing ran."""
        if self._now is None:
            return ()
        return tuple(
            f"{part}: made by {before}, this server has {now}"
            for part in ("code", "packages", "device")
            for before, now in _unequal(self._manifest[part], self._now[part])
        )

    def _unit(self, unit: Mapping[str, Any]) -> Found:
        if self._job.HasField("poisoning"):
            return self._fraction(unit)
        what = f"unit {unit['unit']} again"
        data = self._job.resolution.data
        number = unit["unit"] // self._job.resolution.shards
        changed = self._changed(self._job.resolution.models[number])
        if changed:
            return what, "skipped", changed
        spec = self._spec(number, unit)
        samples = f"samples {unit['offset']} to {unit['offset'] + unit['count'] - 1} on {unit['model']}"
        with self._run(spec, samples) as (ended, manifest):
            if manifest is None:
                return what, "failed", f"it ended otherwise: {ended.error.message}"
            before = TensorFile(self._files.path(unit["sha256"]))
            wrong = differing(before, TensorFile(self._files.path(manifest["units"][0]["sha256"])))
            if self._job.HasField("attack"):
                kept = TensorFile(self._files.path(_file(self._manifest, "adversarial")))
                made = TensorFile(self._files.path(_file(manifest, "adversarial")))
                first = unit["offset"] - data.offset
                wrong += [f"adversarial {name}" for name in differing(kept, made, first=first, rows=unit["count"])]
        if wrong:
            return what, "failed", f"{samples}: other bytes of {', '.join(wrong)}"
        return what, "ok", f"{samples}: the same bytes"

    def _fraction(self, unit: Mapping[str, Any]) -> Found:
        """One fraction of a poisoning; the clean one is measured beside it."""
        what, fraction = f"unit {unit['unit']} again", f"poisoned fraction {unit['fraction']:g}"
        spec = PoisoningSpec()
        spec.CopyFrom(self._job.poisoning)
        spec.fractions[:] = [unit["fraction"]]
        with self._run(spec, fraction) as (ended, manifest):
            if manifest is None:
                return what, "failed", f"it ended otherwise: {ended.error.message}"
            made = next(one for one in manifest["units"] if one["fraction"] == unit["fraction"])
            wrong = differing(
                TensorFile(self._files.path(unit["sha256"])), TensorFile(self._files.path(made["sha256"]))
            )
        if wrong:
            return what, "failed", f"{fraction}: other bytes of {', '.join(wrong)}"
        return what, "ok", f"{fraction}: the same bytes"

    def _spec(self, model: int, unit: Mapping[str, Any]) -> AttackSpec | EvaluationSpec:
        """The job of one unit: its samples, one model, everything else as it was resolved."""
        spec: AttackSpec | EvaluationSpec
        if self._job.HasField("attack"):
            spec = AttackSpec()
            spec.CopyFrom(self._job.attack)
        else:
            spec = EvaluationSpec()
            spec.CopyFrom(self._job.evaluation)
            spec.models[:] = [self._job.evaluation.models[model]]
        spec.data.offset, spec.data.count = unit["offset"], unit["count"]
        return spec

    def _changed(self, *models: Any) -> str:
        """Why the models can't be asked again; empty where each still has its weights."""
        for model in models:
            try:
                held = self._client.models.get(model.name)
            except NotFound:
                return f"{model.name} is not there any more"
            if held.weights != f"artifacts/{model.weights_sha256}":
                return f"{model.name} has other weights now"
        return ""

    @contextmanager
    def _run(self, spec: Spec, what: str) -> Iterator[tuple[Job, Mapping[str, Any] | None]]:
        """A job, waited for, with its manifest if it succeeded; forgotten afterwards, and stopped if it still runs."""
        self._say(f"running {what} again")
        made = self._client.jobs.create(spec, display_name=f"verifies {self._job.name}")
        try:
            ended = self._client.jobs.wait(made)
            manifest = None
            if ended.state == Job.STATE_SUCCEEDED:
                manifest = json.loads(self._client.artifacts.read(self._client.jobs.artifact(ended, "manifest")))
                self._now = manifest
            yield ended, manifest
        finally:
            self._forget(made)

    def _forget(self, made: Job) -> None:
        ended = self._client.jobs.get(made)
        if ended.state not in ENDED:
            with suppress(FailedPrecondition):  # it has just ended by itself
                self._client.jobs.cancel(ended)
            ended = self._client.jobs.wait(ended)
        if ended.result.model:
            self._client.models.delete(ended.result.model)
        try:
            self._client.jobs.delete(ended)
        except ServiceError as error:
            self._say(f"{made.name} is left behind: {error}")


def _weights(manifest: Mapping[str, Any]) -> str:
    return _file(manifest, "weights")


def _file(manifest: Mapping[str, Any], role: str) -> str:
    return next(str(item["sha256"]) for item in manifest["artifacts"] if item["role"] == role)


def _unequal(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            yield f"{name} {before.get(name, 'unknown')}", f"{name} {now.get(name, 'unknown')}"
