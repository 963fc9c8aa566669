"""Probes: what is asked of a model beside the attacks, so that a reader can tell what their figures are worth.

    plan      how much is asked
    subject   the model, asked in batches that fit into memory
    outputs   two passes, other batch-mates, what the outputs look like, how a prediction is made
    slopes    gradients that are zero, that saturate, or that say other things than the output does
    noise     uniform random points of the ball
    further   gradient steps from where the attacks ended
    broader   pictures turned, moved, blurred and noisy
    transfer  adversarial examples of the job's other models
    prober    all of them over the first samples of a shard, beside the attacks as they run

Everything is a function of the shard's samples, the model and the plan, so that a unit that is run again gives the same
bytes. Results are tensors by name, (P,) each, one entry for each of the P samples that were looked at.
"""

from __future__ import annotations

from workers.evaluation.probes.plan import ProbePlan
from workers.evaluation.probes.prober import Prober
from workers.evaluation.probes.subject import Subject
from workers.evaluation.probes.transfer import transferred

__all__ = ["ProbePlan", "Prober", "Subject", "transferred"]
