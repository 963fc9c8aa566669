"""What the evaluation has to be told: models, data, attacks and shards of one job, as plain values.

The composer fills these from the resolved job; nothing here knows protobuf. Every name is text from a client and is
escaped where it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from workers.evaluation.checklist import ChecklistItem
from workers.evaluation.course import Course
from workers.evaluation.probes.plan import ProbePlan
from workers.evaluation.shard import Shard

Parameter = float | int | bool | str
Norm = Literal["linf", "l2", "l1", "l0"]
Knowledge = Literal["gradients", "scores", "labels"]

NO_LIMIT: Final = {"linf": 1.0, "l2": 1000.0, "l1": 1000.0, "l0": 1_000_000.0}
"""The radius of each norm that stands for none, as in the contract."""

_UNSATURATED: Final = frozenset({"auto_attack", "carlini_wagner", "deepfool", "ead", "fab", "fmn"})
"""Attacks that climb differences of logits, whatever their parameters."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """One model of the job, in the order of the spec.

    name: `models/{model}`, as it goes into the rows; the page leaves the prefix out.
    defense: as the field of `Defense` is named: "standard", "fgsm_adversarial", "pgd_adversarial", "distillation";
        "" where unknown.
    weights_sha256: digest of the weights file, lower-case hex.
    architecture, input_shape (channels, height, width), classes, mean, std: its signature; empty mean is 0, std 1.
    component: what stands around the network, in words, e.g. "noise (sigma 0.1, votes 4)"; "" for nothing.
    answers_at_random: two answers about the same picture may differ.
    paper, citation: arXiv id and authors of the defense, e.g. "1706.06083", "Madry, ... 2017"; "" for none.
    """

    name: str
    defense: str
    weights_sha256: str
    architecture: str
    input_shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    component: str = ""
    answers_at_random: bool = False
    paper: str = ""
    citation: str = ""


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """The samples: `count` of them from `offset` on, of one split.

    dataset: the id without prefix. source: "built-in", "mounted" or "uploaded".
    digest: sha256 of the pictures, or whatever pins the data; "" where nothing does.
    class_names: in the order of the labels, or empty. note: a sentence to print, e.g. origin and licence, or "".
    """

    dataset: str
    split: str
    offset: int
    count: int
    source: str = ""
    digest: str = ""
    class_names: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """One attack at one epsilon. Each model of the job has every run.

    key: names the run in shards, stats and rows; unique in the job, without "/", and not "clean"; e.g. "a0", "c1.3".
    attack: as the field of `Attack` is named, e.g. "pgd". title: its title in the contract.
    parameters: every parameter, resolved, under its proto name, without norm; e.g. {"epsilon": 0.3, "steps": 40,
        "loss": "margin"}. `steps` tells iterated attacks (more than 1) from single steps (1, or no such parameter);
        a `loss` that contains "margin", "dlr" or "rescaled" (either case, with or without "LOSS_") is free of
        saturation.
    norm: what epsilon and every distance is measured in. epsilon: radius, in [0, 1] pixel units for linf, Euclidean
        length for l2, sum of absolute changes for l1, changed components for l0; `NO_LIMIT` of the norm for none.
    goal: the goal that the engine judged `success` by. "untargeted" is judged on every sample, a sample that is wrong
        clean counting as broken (and left alone by the engine); any other on the samples marked `attacked`.
    goal_label: the class, for goal "label".
    knowledge: what the attack asks the model for; "gradients": it has the model itself.
    minimum: it looks for the shortest perturbation; epsilon is only the largest one that counts.
    curve: index of the epsilon curve that this run is a point of; None for a run of the table.
    paper, citation, formula: from the contract's `method` option.
    stages: of an ensemble, the attacks of its stages in their order, as the field of `Attack` is named.
    """

    key: str
    attack: str
    title: str
    parameters: Mapping[str, Parameter]
    norm: Norm
    epsilon: float
    goal: Literal["untargeted", "label", "random", "least_likely", "each"] = "untargeted"
    goal_label: int | None = None
    curve: int | None = None
    paper: str = ""
    citation: str = ""
    formula: str = ""
    knowledge: Knowledge = "gradients"
    minimum: bool = False
    stages: tuple[str, ...] = ()

    @property
    def no_limit(self) -> bool:
        """Whether any perturbation counts, however long."""
        return self.minimum and self.epsilon >= NO_LIMIT[self.norm]

    @property
    def targeted(self) -> bool:
        """Whether it is after a chosen class."""
        return self.goal != "untargeted"

    @property
    def steps(self) -> int:
        """Gradient steps of one restart; 1 for a single-step attack."""
        return int(self.parameters.get("steps", 1))

    @property
    def unsaturated(self) -> bool:
        """Whether its loss keeps a gradient where the logits saturate."""
        loss = str(self.parameters.get("loss", "")).lower()
        return self.attack in _UNSATURATED or any(name in loss for name in ("margin", "dlr", "rescaled"))


@dataclass(frozen=True, kw_only=True)
class SuiteInfo:
    """Field by field `sparring.v1.Suite`: its level in lower case, its ball, and how many of the runs are its own."""

    level: str
    norm: str
    epsilon: float
    attacks: int
    curves: int


@dataclass(frozen=True, kw_only=True)
class Adaptive:
    """Field by field `sparring.v1.Adaptive`: the client's words, perhaps none."""

    adapted: str = ""
    knowledge: str = ""

    def __bool__(self) -> bool:
        """Whether anything was adapted."""
        return bool(self.adapted.strip())


@dataclass(frozen=True, kw_only=True)
class SummaryInput:
    """Everything that `summarize` needs.

    kind: "attack" (one model, one run; gives the adversarial file), "evaluation", or "training" (its final judgement;
        `runs` may be empty).
    models, data, runs: as above; runs in the order of the spec, the table first, then the curves.
    shards: in unit order, perhaps lean (`shard.lean`): unit u is model u // S, shard u % S of the selection, S a model.
    stats: one of `shard_stats` for each shard, in the same order (read back from JSON).
    seed: of the job. job: `jobs/{job}`. title: the client's words for it, or "".
    provenance: what else the bytes depend on, e.g. {"torch": "2.13.0", "device": "cpu", "threads": "1"}.
    command: the shell command that repeats the job, or "".
    course: how a training went, where it was watched.
    suite, probes: what the job was made of and what its shards were asked; None for a job without a suite.
    adaptive: what was adapted to the defense, in the client's words.
    checklist: the fourteen points, in their order; `summarize` fills it in before the page is made.
    """

    kind: Literal["attack", "evaluation", "training"]
    models: Sequence[ModelInfo]
    data: DataInfo
    runs: Sequence[RunInfo]
    shards: Sequence[Shard]
    stats: Sequence[Mapping[str, Any]]
    seed: int
    job: str
    title: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    course: Course | None = None
    suite: SuiteInfo | None = None
    probes: ProbePlan | None = None
    adaptive: Adaptive | None = None
    checklist: Sequence[ChecklistItem] = ()
