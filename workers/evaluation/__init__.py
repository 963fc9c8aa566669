"""What a job's shards say when they are put together: figures with intervals, warnings, one page, one JSON file.

shard     one unit's per-sample results as deterministic bytes           (every worker)
proof     the check of every adversarial example before it is kept (every worker)
summary   all shards of a job -> rows, files, warnings                   (the closing unit)
inputs    what `summary` has to be told about models, data and attacks   (filled in by the composer)
"""

from __future__ import annotations

from workers.evaluation.adversarial import AdversarialFile
from workers.evaluation.checklist import ChecklistItem
from workers.evaluation.course import Course, Look
from workers.evaluation.inputs import Adaptive, DataInfo, Knowledge, ModelInfo, RunInfo, SuiteInfo, SummaryInput
from workers.evaluation.probes.plan import ProbePlan
from workers.evaluation.proof import Claim, examine
from workers.evaluation.proportions import Proportion
from workers.evaluation.rows import Row
from workers.evaluation.shard import CleanPart, Shard, ShardRun, lean, pack, pictures_in, shard_stats, unpack
from workers.evaluation.summary import Summary, summarize
from workers.evaluation.worst import within

__all__ = [
    "Adaptive",
    "AdversarialFile",
    "ChecklistItem",
    "Claim",
    "CleanPart",
    "Course",
    "DataInfo",
    "Knowledge",
    "Look",
    "ModelInfo",
    "ProbePlan",
    "Proportion",
    "Row",
    "RunInfo",
    "Shard",
    "ShardRun",
    "SuiteInfo",
    "Summary",
    "SummaryInput",
    "examine",
    "lean",
    "pack",
    "pictures_in",
    "shard_stats",
    "summarize",
    "unpack",
    "within",
]
