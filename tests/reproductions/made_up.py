"""A service of made-up figures: it takes every request that the gateway would take, and answers at random.

What an experiment does from its first request to its last plot can be run on it in a second.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from sparring import requests, submit
from sparring.v1.jobs_pb2 import Job, PoisoningRow, ResultRow

from reproductions import asking
from reproductions.notes import Notes
from services.gateway.checks import check_request

SHAPE = (1, 28, 28)
SPLITS = {"mnist10k/train": 8000, "mnist10k/test": 2000}


class MadeUp(Notes):
    """A lab without a service behind it; `requests` holds what it was asked for."""

    def __init__(self, experiment, folder, *, quick):
        super().__init__(experiment.bars, folder, quick=quick, say=lambda _: None)
        self.name, self.seed, self.requests = experiment.name, 0, []
        self.drawn = np.random.default_rng(7)
        self.held = {name: self._split(name, count) for name, count in SPLITS.items()}
        self.architectures = {}
        datasets = SimpleNamespace(get=lambda _: SimpleNamespace(input_shape=SHAPE, classes=10))
        self.client = SimpleNamespace(datasets=datasets)

    def _split(self, name, count):
        # One picture in many places: the numbers are of no use, the shapes are.
        x = self.drawn.integers(0, 256, SHAPE) / np.float32(255)
        return np.broadcast_to(x.astype(np.float32), (count, *SHAPE)), np.arange(count) % 10

    def _take(self, request):
        wrong = list(check_request(request, max_samples=100_000))
        assert not wrong, wrong
        request.ClearField("request_id")
        self.requests.append(request)
        return request

    def start(self, spec, title=""):
        request = self._take(asking.identified(spec, title))
        job = Job(name=f"jobs/{len(self.requests)}", display_name=title)
        for fraction in sorted({0.0, *request.poisoning.fractions}):
            row = PoisoningRow(fraction=fraction, n=400)
            row.error.value, row.trigger_rate.value = self.drawn.random(2)
            job.result.poisoning_rows.append(row)
        return job

    def wait(self, *jobs):
        return list(jobs)

    def training(self, title, *, data="mnist10k/train", count=None, offset=0, seed=None, **given):
        chosen = asking.selection(data, count, offset)
        request = self._take(asking.training(chosen, seed=self.seed if seed is None else seed, **given))
        name = f"models/{len(self.requests)}"
        self.architectures[name] = request.training.architecture
        job = Job(name=f"jobs/{len(self.requests)}", display_name=title)
        job.result.model = name
        row = ResultRow(model=name, attack="clean")
        row.clean_accuracy.value = self.drawn.random()
        job.result.rows.append(row)
        return job

    def models(self, *trainings):
        return [job.result.model for job in trainings]

    def train(self, title, **given):
        return self.models(self.training(title, **given))[0]

    def attacking(self, model, attack, *, data="mnist10k/test", count, offset=0, seed=None):
        self._take(submit.attack(model, asking.selection(data, count, offset), attack))
        until = offset + count if count else None
        x, y = (part[offset:until] for part in self.held[data])
        kind = requests.attack(attack)
        epsilon = getattr(kind, kind.WhichOneof("kind")).epsilon
        moved = np.clip(x + np.float32(min(epsilon, 0.3)) * self.drawn.choice([-1, 1], (len(x), 1, 1, 1)), 0, 1)
        told = {name: self.drawn.integers(0, 10, len(y)) for name in ("clean_prediction", "prediction")}
        arrays = {"x_adv": moved.astype(np.float32), "label": y, **told}
        return SimpleNamespace(arrays=arrays, error=lambda: float((told["prediction"] != y).mean()))

    def attacked(self, *attacks):
        return list(attacks)

    def attack(self, model, attack, *, count, **given):
        return self.attacking(model, attack, count=count, **given)

    def evaluate(self, models, *, data="mnist10k/test", count, offset=0, attacks=(), curves=()):
        chosen = asking.selection(data, count, offset)
        spec = self._take(submit.evaluate(models, chosen, attacks, curves=curves)).evaluation
        kinds = [("clean", 0.0)] + [self._named(attack) for attack in spec.attacks]
        kinds += [(self._named(curve.attack)[0], radius) for curve in spec.curves for radius in curve.epsilons]
        rows = [ResultRow(model=model, attack=name, epsilon=epsilon) for model in models for name, epsilon in kinds]
        for row in rows:
            row.clean_accuracy.value, row.robust_accuracy.value = self.drawn.random(2)
        return rows

    def _named(self, attack):
        kind = attack.WhichOneof("kind")
        return kind, getattr(attack, kind).epsilon

    def upload_model(self, title, architecture, tensors, *, input_shape, classes, mean=(), std=()):
        assert tensors["1.weight"].shape == (classes, int(np.prod(input_shape)))
        return f"models/{title.replace(' ', '-').replace(',', '')}"

    def upload_data(self, title, x, y, *, classes):
        assert len(x) == len(y) > 0, title
        assert x.dtype == np.uint8 or (x.min() >= 0 and x.max() <= 1)
        assert 0 <= y.min() <= y.max() < classes
        name = f"datasets/{len(self.held)}"
        self.held[name] = (x, y)
        return name

    def weights(self, model):
        # Those of a linear model, of two classes where the last training had data of its own.
        classes = 10 if self.requests[-1].training.data.dataset == "datasets/mnist10k" else 2
        return {"1.weight": self.drawn.normal(size=(classes, 784)), "1.bias": np.zeros(classes)}
