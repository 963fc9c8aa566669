"""The attacks: one file each, and this table of them.

An attack is a pure function `attack(model, x, goal, ball, *, ...) -> x_adv`: it asks the goal for a direction and the
ball for a step, and knows nothing of batches, restarts, seeds, cost or cancelling, which are `workers.engine.attack`'s.
Names and parameters are those of the messages in `sparring/v1/attacks.proto`, where the defaults stand.
To add one: a message there, a file here, a line below, a row in the oracle test, a line in the changelog.
"""

from __future__ import annotations

import math
from typing import Final

from workers.attacks.apgd import apgd
from workers.attacks.auto_attack import auto_attack
from workers.attacks.bim import bim
from workers.attacks.boundary import boundary
from workers.attacks.carlini_wagner import carlini_wagner
from workers.attacks.ddn import ddn
from workers.attacks.deepfool import deepfool
from workers.attacks.ead import ead
from workers.attacks.eot_pgd import eot_pgd
from workers.attacks.fab import fab
from workers.attacks.fgsm import fgsm
from workers.attacks.fmn import fmn
from workers.attacks.fooling_cppn import fooling_cppn
from workers.attacks.fooling_gradient import fooling_gradient
from workers.attacks.fooling_map_elites import fooling_map_elites
from workers.attacks.hop_skip_jump import hop_skip_jump
from workers.attacks.iterative_least_likely import iterative_least_likely, least_likely
from workers.attacks.jsma import jsma
from workers.attacks.lbfgs import lbfgs
from workers.attacks.linear_nudge import linear_nudge
from workers.attacks.mi_fgsm import mi_fgsm
from workers.attacks.nearest_neighbor import nearest_neighbor
from workers.attacks.nes import nes
from workers.attacks.pgd import pgd
from workers.attacks.simba import simba
from workers.attacks.square import square
from workers.attacks.tree_walk import tree_walk
from workers.entries import AttackEntry, Parameters, Stage

__all__ = ["ATTACKS", "AttackEntry", "Stage", "bim", "fgsm", "iterative_least_likely", "least_likely", "pgd"]


def _search_calls(parameters: Parameters) -> int:
    """Queries of an attack that searches for a weight: one at x, and those of every round."""
    return 1 + int(parameters["search_steps"]) * int(parameters["steps"])


def _generations(parameters: Parameters) -> int:
    """Queries of an attack that breeds: one for every generation, and one for the first."""
    return 1 + int(parameters["generations"])


ATTACKS: Final[dict[str, AttackEntry]] = {
    "fgsm": AttackEntry(fgsm),
    "apgd": AttackEntry(
        apgd,
        frozenset({"steps", "rho"}),
        engine_parameters=frozenset({"restarts", "loss", "targets"}),
        norms=frozenset({"linf", "l2", "l1"}),
        random=True,
    ),
    "auto_attack": AttackEntry(
        None,
        frozenset({"version", "steps", "queries", "targets"}),
        norms=frozenset({"linf", "l2", "l1"}),
        targeted=False,
        stages=lambda parameters: [
            Stage(name=name, parameters=stage_parameters) for name, stage_parameters in auto_attack(parameters)
        ],
    ),
    "bim": AttackEntry(bim, frozenset({"steps", "step_size"})),
    "boundary": AttackEntry(
        boundary,
        frozenset({"queries", "spherical_step", "source_step", "step_adaptation"}),
        norms=frozenset({"l2"}),
        random=True,
        keeps="nearest",
        minimum=True,
        reads="labels",
        # Where one sample needs a second query, another doesn't.
        calls=lambda parameters: 2 * int(parameters["queries"]),
    ),
    "carlini_wagner": AttackEntry(
        carlini_wagner,
        frozenset({"search_steps", "steps", "learning_rate", "confidence", "initial_c", "abort_early"}),
        norms=frozenset({"l2"}),
        keeps="nearest",
        minimum=True,
        # In the end the way is drawn back in a few more.
        calls=lambda parameters: _search_calls(parameters) + 4,
    ),
    "ddn": AttackEntry(
        ddn,
        frozenset({"steps", "gamma", "initial_norm"}),
        norms=frozenset({"l2"}),
        random=True,
        keeps="nearest",
        minimum=True,
    ),
    "deepfool": AttackEntry(
        deepfool,
        frozenset({"steps", "overshoot", "candidates"}),
        targeted=False,
        keeps="nearest",
        minimum=True,
        # Each step asks twice; the way is drawn back in a few more.
        calls=lambda parameters: 2 * int(parameters["steps"]) + 5,
    ),
    "ead": AttackEntry(
        ead,
        frozenset({"search_steps", "steps", "learning_rate", "confidence", "initial_c", "beta", "rule"}),
        norms=frozenset({"l1"}),
        keeps="nearest",
        minimum=True,
        # The points between which it steps, and those that it steps to.
        calls=lambda parameters: 2 * _search_calls(parameters),
    ),
    "eot_pgd": AttackEntry(
        eot_pgd,
        frozenset(
            {
                "steps",
                "step_size",
                "samples",
                "perspective",
                "crop",
                "blur",
                "jpeg_quality",
                "noise",
                "brightness",
                "contrast",
            }
        ),
        random=True,
        calls=lambda parameters: int(parameters["steps"]) * int(parameters["samples"]),
    ),
    "fab": AttackEntry(
        fab,
        # The first of its runs starts at the sample: they are its own affair, not the engine's.
        frozenset({"steps", "restarts", "alpha_max", "eta", "beta"}),
        engine_parameters=frozenset({"targets"}),
        norms=frozenset({"linf", "l2", "l1"}),
        targeted=False,
        random=True,
        keeps="nearest",
        minimum=True,
        # After all runs it looks at the sample once more, and at three points between.
        calls=lambda parameters: int(parameters["restarts"]) * int(parameters["steps"]) + 4,
    ),
    "fmn": AttackEntry(
        fmn,
        frozenset({"steps", "initial_step", "gamma_0"}),
        norms=frozenset({"linf", "l2", "l1", "l0"}),
        keeps="nearest",
        minimum=True,
    ),
    "fooling_cppn": AttackEntry(
        fooling_cppn,
        frozenset(
            {
                "generations",
                "offspring",
                "add_neuron",
                "remove_neuron",
                "add_connection",
                "remove_connection",
                "change_connection",
                "mutation_rate",
                "eta_m",
            }
        ),
        norms=frozenset({"linf"}),
        random=True,
        reads="scores",
        from_nothing=True,
        calls=_generations,
    ),
    "fooling_gradient": AttackEntry(
        fooling_gradient,
        frozenset({"steps", "learning_rate", "decay", "from_sample"}),
        norms=frozenset({"linf"}),
        random=True,
        from_nothing=True,
    ),
    "fooling_map_elites": AttackEntry(
        fooling_map_elites,
        frozenset({"generations", "offspring", "mutation_rate", "eta_m"}),
        norms=frozenset({"linf"}),
        random=True,
        reads="scores",
        from_nothing=True,
        calls=_generations,
    ),
    "hop_skip_jump": AttackEntry(
        hop_skip_jump,
        frozenset({"queries", "initial_evaluations", "max_evaluations", "gamma"}),
        random=True,
        keeps="nearest",
        minimum=True,
        reads="labels",
        calls=lambda parameters: 2 * int(parameters["queries"]),
    ),
    "iterative_least_likely": AttackEntry(
        iterative_least_likely,
        frozenset({"steps", "step_size"}),
        norms=frozenset({"linf"}),
        own_goal="least_likely",
    ),
    "jsma": AttackEntry(
        jsma,
        frozenset({"theta", "max_fraction", "pairs", "use_logits"}),
        norms=frozenset({"l0"}),
        minimum=True,
        # How many pixels there are is not known here: those of a picture of 224 x 224 in colour.
        calls=lambda parameters: math.ceil(float(parameters["max_fraction"]) * 150528),
    ),
    "lbfgs": AttackEntry(
        lbfgs,
        frozenset({"steps", "search_steps", "initial_c"}),
        norms=frozenset({"l2"}),
        keeps="nearest",
        minimum=True,
        calls=_search_calls,
    ),
    "linear_nudge": AttackEntry(linear_nudge, frozenset({"margin"}), minimum=True, calls=lambda _: 2),
    "mi_fgsm": AttackEntry(
        mi_fgsm,
        frozenset({"steps", "step_size", "decay", "nesterov", "diversity_probability", "kernel_size"}),
        engine_parameters=frozenset({"loss"}),
        random=True,
    ),
    "nearest_neighbor": AttackEntry(
        nearest_neighbor,
        frozenset({"steps", "temperature"}),
        calls=lambda parameters: 2 * int(parameters["steps"]) - 1,
    ),
    "nes": AttackEntry(
        nes,
        frozenset({"queries", "samples", "sigma", "step_size", "momentum"}),
        random=True,
        reads="scores",
        calls=lambda parameters: int(parameters["queries"]),
    ),
    "pgd": AttackEntry(
        pgd,
        frozenset({"steps", "step_size", "random_start"}),
        engine_parameters=frozenset({"restarts", "loss"}),
        norms=frozenset({"linf", "l2", "l1"}),
        random=True,
    ),
    # The attack itself, and what it takes, is the plug-in's (`workers.plugins`).
    "plugin": AttackEntry(
        None,
        engine_parameters=frozenset({"name", "parameters"}),
        norms=frozenset({"linf", "l2", "l1", "l0"}),
    ),
    "simba": AttackEntry(
        simba,
        frozenset({"queries", "step", "basis"}),
        norms=frozenset({"l2"}),
        random=True,
        minimum=True,
        reads="scores",
        calls=lambda parameters: 2 * int(parameters["queries"]),
    ),
    "square": AttackEntry(
        square,
        frozenset({"queries", "p_init"}),
        engine_parameters=frozenset({"restarts", "loss"}),
        random=True,
        reads="scores",
        calls=lambda parameters: int(parameters["queries"]),
    ),
    "tree_walk": AttackEntry(tree_walk, norms=frozenset({"l0"}), keeps="nearest", minimum=True),
}
