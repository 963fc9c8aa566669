"""A model under the quick suite, as a worker would have it, with the nets that each have one defect."""

from __future__ import annotations

import torch
from sparring.v1 import attacks_pb2, datasets_pb2, jobs_pb2, models_pb2, suites_pb2
from torch import nn

from services.gateway import catalog
from services.gateway.references import References
from services.gateway.resolve import resolve
from workers.data import builtin
from workers.engine.monitor import NullMonitor
from workers.evaluation import SummaryInput, unpack
from workers.evaluation.merge import merge
from workers.evaluation.metrics import rows_of
from workers.evaluation.points import points
from workers.models import Classifier, Signature
from workers.run import closing, messages
from workers.run.shards import Samples, attack_all

COUNT = 100
ONE_STEP = attacks_pb2.Attack(
    pgd=attacks_pb2.Pgd(
        epsilon=0.1,
        norm=attacks_pb2.NORM_LINF,
        steps=1,
        step_size=0.02,
        restarts=1,
        random_start=False,
        loss=attacks_pb2.LOSS_CROSS_ENTROPY,
    ),
    goal=attacks_pb2.Goal(untargeted=attacks_pb2.Untargeted()),
)


def small_net(*, norm=None):
    """A net for pictures of 8 x 8, trained for a second on 1,000 digits; `norm` stands behind its first 8 channels."""
    torch.manual_seed(0)
    first = nn.Identity() if norm is None else nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), norm, nn.ReLU())
    width = 64 if norm is None else 8 * 64
    net = nn.Sequential(first, nn.Flatten(), nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 10))
    data = builtin("digits", "train").select(0, 1000)
    x, y = data.pixels(slice(None)), data.y
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for step in range(200):
        rows = torch.arange(step * 100, step * 100 + 100) % 1000
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()
    return net.eval()


class After(nn.Module):
    """A net with something done to its logits."""

    def __init__(self, net, change):
        super().__init__()
        self.net, self.change = net, change

    def forward(self, x):
        return self.change(self.net(x))


class Before(nn.Module):
    """A net with something done to its pictures."""

    def __init__(self, net, change):
        super().__init__()
        self.net, self.change = net, change

    def forward(self, x):
        return self.net(self.change(x))


def job_of(names=("m",), *, level=suites_pb2.Suite.LEVEL_QUICK, epsilon=0.1, count=COUNT, **fields):
    """An evaluation of digits as the gateway resolves it."""
    signature = models_pb2.ModelSignature(architecture="mlp", input_shape=[1, 8, 8], classes=10)
    models = {
        n: models_pb2.Model(name=f"models/{n}", weights="artifacts/" + "a" * 64, signature=signature) for n in names
    }
    spec = jobs_pb2.EvaluationSpec(
        models=names,
        data=datasets_pb2.DataSelection(dataset="digits", split="test", count=count),
        suite=suites_pb2.Suite(level=level, epsilon=epsilon),
        **fields,
    )
    found = References(models=models, datasets=dict(catalog.built_in_datasets()))
    return resolve(jobs_pb2.CreateJobRequest(evaluation=spec), found)


def shard_of(net, job, *, start=0, stop=COUNT, others=None):
    """What a worker makes of some of the samples, and its stats."""
    data = builtin("digits", "test").select(start, stop - start)
    samples = Samples(
        x=data.pixels(slice(None)).clone(),
        y=data.y.clone(),
        index=torch.arange(start, stop),
        data=data,
        first=start,
        seed=3,
        batch_size=job.evaluation.execution.batch_size,
        pictures=0,
        keep_all=False,
    )
    plan, model = closing.plan_of(job), Classifier(Signature("mlp", (1, 8, 8), 10), net, (8, 8)).eval()
    return attack_all(model, samples, messages.runs(job), NullMonitor(), plan=plan, others=others or {})


def given_of(job, shards):
    """What `summarize` is told."""
    return SummaryInput(
        kind="evaluation",
        models=[messages.model_info(model) for model in job.resolution.models],
        data=closing.describe(job.resolution.data),
        runs=[messages.run_info(*run) for run in messages.runs(job)],
        shards=[unpack(packed) for packed, _ in shards],
        stats=[stats for _, stats in shards],
        seed=3,
        job="jobs/j",
        **closing._suite(job),
    )


def checklist_of(job, shards):
    """Every item."""
    given = given_of(job, shards)
    samples = merge(given)
    rows = [row for model, one in zip(given.models, samples, strict=True) for row in rows_of(model, one, given.runs)]
    return points(given, rows, samples)


def raised(items):
    """The flags of point 7 that something is said against."""
    return {item.key for item in items if item.point == 7 and item.status in {"warn", "fail"}}
