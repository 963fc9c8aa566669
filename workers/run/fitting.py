"""A training whose model is fitted: one unit, without checkpoints; a worker that takes it over begins again."""

from __future__ import annotations

import time

from sparring.v1 import attacks_pb2, jobs_pb2

from services.telemetry import tracing
from workers.defenses import DEFENSES
from workers.engine.fitting import FitOptions, fit_model
from workers.lease import Committed
from workers.models import Signature, save
from workers.run import messages
from workers.run.runs import Runs
from workers.run.unit import Unit

# What trees and neighbours are judged by, as their answers have no slope.
WALKED = ("decision_tree", "random_forest")
NEIGHBORS = "nearest_neighbors"
QUERIES = 100
ANY_DISTANCE = 1_000_000.0
STEPS, TEMPERATURE = 10, 10.0


def fitted(spec: jobs_pb2.TrainingSpec) -> bool:
    """Whether the model is fitted and not trained; the gateway fills `fitting` in where it is."""
    return spec.HasField("fitting")


def run_fitting(unit: Unit, signature: Signature) -> Committed:
    """Fit, and keep the arrays."""
    begun, spec = time.monotonic(), unit.job.training
    name, parameters = messages.chosen(spec.defense)
    samples = unit.samples(unit.job.resolution.data)
    with tracing.span("train", {"sparring.samples": len(samples)}):
        model = fit_model(
            signature,
            samples,
            DEFENSES[name](**messages.values(parameters)),
            FitOptions(**messages.values(spec.fitting)),
            seed=spec.seed,
            monitor=unit.heartbeat,
        )
    return Committed(unit.put(save(model)), {"seconds": time.monotonic() - begun})


def runs(architecture: str, epsilon: float) -> Runs | None:
    """Return the attacks that a model without slopes is judged by; None for one that has them."""
    if architecture in WALKED:
        walk = attacks_pb2.TreeWalk(epsilon=ANY_DISTANCE, norm=attacks_pb2.NORM_L0)
        square = attacks_pb2.Square(
            epsilon=epsilon,
            queries=QUERIES,
            p_init=0.8,
            restarts=1,
            loss=attacks_pb2.LOSS_MARGIN,
            norm=attacks_pb2.NORM_LINF,
        )
        attacks = [attacks_pb2.Attack(tree_walk=walk), attacks_pb2.Attack(square=square)]
    elif architecture == NEIGHBORS:
        linf = attacks_pb2.NORM_LINF
        climbs = [
            attacks_pb2.NearestNeighbor(epsilon=epsilon, steps=steps, temperature=TEMPERATURE, norm=linf)
            for steps in (1, STEPS)
        ]
        attacks = [attacks_pb2.Attack(nearest_neighbor=climb) for climb in climbs]
    else:
        return None
    for attack in attacks:
        attack.goal.untargeted.SetInParent()
    return [(f"a{number}", None, attack) for number, attack in enumerate(attacks)]
