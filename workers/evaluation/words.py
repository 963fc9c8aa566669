"""How numbers and names are put into words, on the page and in warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workers.evaluation.inputs import NO_LIMIT, Parameter, RunInfo
from workers.evaluation.proportions import Proportion

NORMS = {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "L0"}

_ATTACKS = {
    "fgsm": "FGSM",
    "bim": "BIM",
    "pgd": "PGD",
    "iterative_least_likely": "Least-likely",
    "mi_fgsm": "MI-FGSM",
    "apgd": "APGD",
    "fab": "FAB",
    "square": "Square",
    "auto_attack": "AutoAttack",
    "lbfgs": "L-BFGS",
    "deepfool": "DeepFool",
    "carlini_wagner": "Carlini-Wagner",
    "ead": "EAD",
    "ddn": "DDN",
    "fmn": "FMN",
    "jsma": "JSMA",
    "linear_nudge": "Linear nudge",
    "nes": "NES",
    "simba": "SimBA",
    "boundary": "Boundary attack",
    "hop_skip_jump": "HopSkipJump",
    "tree_walk": "Tree walk",
    "nearest_neighbor": "Soft nearest neighbour",
    "eot_pgd": "EOT-PGD",
    "fooling_gradient": "Fooling by gradient",
    "fooling_map_elites": "Fooling by MAP-Elites",
    "fooling_cppn": "Fooling by CPPN",
}
_DEFENSES = {
    "": "defense not stated",
    "standard": "standard training",
    "fgsm_adversarial": "FGSM adversarial training",
    "pgd_adversarial": "PGD adversarial training",
    "distillation": "defensive distillation",
    "label_smoothing": "label smoothing",
    "adversarial_at_scale": "adversarial training at scale",
    "fgsm_rs": "FGSM training with random start",
    "free": "free adversarial training",
    "trades": "TRADES",
    "mart": "MART",
    "awp": "adversarial weight perturbation",
    "ensemble_adversarial": "ensemble adversarial training",
    "virtual_adversarial": "virtual adversarial training",
    "adversarial_refit": "adversarial refitting",
    "noise_training": "training with noise",
    "weight_penalty": "weight decay",
    "double_backprop": "double backpropagation",
    "generative_pretraining": "generative pretraining",
    "test_time_noise": "noise at test time",
    "autoencoder": "autoencoder in front",
    "committee": "ensemble",
    "confidence_reduction": "confidence reduction",
    "output_code": "output code",
    "glimpses": "multiple glimpses",
}
_NONE = "–"


def percent(value: float) -> str:
    """Return 0.9736 as "97.4 %"; never rounded to 0 or 100 unless it is."""
    shown = f"{100 * value:.1f}"
    if shown == "0.0" and value > 0:
        shown = "<0.1"
    elif shown == "100.0" and value < 1:
        shown = ">99.9"
    return f"{shown}\N{NO-BREAK SPACE}%"


def share(proportion: Proportion) -> str:
    """Return the value of a proportion in percent, or a dash where no sample was judged."""
    return percent(proportion.value) if proportion.known else _NONE


def interval(proportion: Proportion) -> str:
    """Return the 95 % interval, e.g. "96.6–98.0"."""
    return f"{100 * proportion.low:.1f}–{100 * proportion.high:.1f}" if proportion.known else "no sample judged"


def number(value: float) -> str:
    """Return a parameter's value with up to four digits that mean something."""
    return f"{value:.4g}"


def distance(value: float) -> str:
    """Return a distance with three digits."""
    return f"{value:.3g}"


def samples(n: int) -> str:
    """Return "1 sample", "2,000 samples"."""
    return "1 sample" if n == 1 else f"{n:,} samples"


def count(value: int) -> str:
    """Return 2000 as "2,000"."""
    return f"{value:,}"


def per_sample(passes: int, n: int) -> str:
    """Return the passes that one sample took on average."""
    return f"{passes / n:,.1f}" if n else _NONE


def seconds(value: float) -> str:
    """Return a duration, e.g. "420 ms", "4.20 s", "3 min 20 s"."""
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < 60:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def radius(norm: str, epsilon: float) -> str:
    """Return a radius in words: "0.2 (51/255)", "8/255 (0.0314)"; other norms than linf have no grey levels."""
    if unlimited(norm, epsilon):
        return "no limit"
    if norm != "linf":
        return number(epsilon)
    levels = 255 * epsilon
    if abs(levels - round(levels)) < 1e-6 and round(epsilon, 3) != epsilon:
        return f"{levels:.0f}/255 ({epsilon:.3g})"
    return f"{number(epsilon)} ({round(levels, 2):g}/255)"


def unlimited(norm: str, epsilon: float) -> bool:
    """Tell whether a radius stands for none."""
    return epsilon >= NO_LIMIT[norm]


def attack_name(run: RunInfo) -> str:
    """Return the short name that people use; a plug-in has its own."""
    own = run.parameters.get("name") if run.attack == "plugin" else None
    return method_name(run.attack) if own is None else f"{own} (plug-in)"


def method_name(attack: str) -> str:
    """Return the short name of an attack by its field in the contract."""
    return _ATTACKS.get(attack, attack)


def defense_name(defense: str) -> str:
    """Return a defense in words."""
    return _DEFENSES.get(defense, defense)


def short(name: str) -> str:
    """Return a resource name without its collection."""
    return name.rpartition("/")[2]


def goal(run: RunInfo) -> str:
    """Return what an attack is after, in words."""
    return {
        "untargeted": "any wrong class",
        "label": f"class {run.goal_label}",
        "random": "a random wrong class",
        "least_likely": "the least likely class",
        "each": "each class in turn",
    }[run.goal]


def parameter(name: str, value: Parameter, norm: str) -> str:
    """Return one parameter's value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value.removeprefix("LOSS_").lower().replace("_", " ")
    if name in {"epsilon", "step_size"}:
        return radius(norm, float(value))
    return number(value) if isinstance(value, float) else count(value)


def listed(names: Sequence[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


def labels(runs: Sequence[RunInfo], among: Sequence[RunInfo]) -> dict[str, str]:
    """Return a short label for each of `runs` by key: "PGD", with the parameters that tell it from the others added.

    The loss is named wherever the job, `among`, has the same attack with another one.
    """
    return {run.key: ", ".join([attack_name(run), *_telling(run, runs, among)]) for run in runs}


def curve_heads(runs: Sequence[RunInfo]) -> dict[int, RunInfo]:
    """Return the first run of each curve by the curve's index."""
    heads = {run.curve: run for run in reversed(runs) if run.curve is not None}
    return dict(sorted(heads.items()))


def curve_labels(runs: Sequence[RunInfo]) -> dict[int, str]:
    """Return a short label for each curve by its index; radii don't tell curves apart."""
    heads = curve_heads(runs)
    alike = [replace(run, epsilon=0.0) for run in heads.values()]
    named = labels(alike, runs)
    return {number: named[run.key] for number, run in heads.items()}


def _telling(run: RunInfo, runs: Sequence[RunInfo], among: Sequence[RunInfo]) -> list[str]:
    twins = [other for other in among if attack_name(other) == attack_name(run)]
    beside = [other for other in runs if attack_name(other) == attack_name(run) and _place(other) == _place(run)]
    words = [f"to {goal(run)}"] if run.targeted and run.attack != "iterative_least_likely" else []
    for name, value in run.parameters.items():
        # The loss is always worth a word; steps often follow epsilon and tell nothing that the radius does not.
        rivals = twins if name == "loss" else beside
        if name != "epsilon" and any(other.parameters.get(name) != value for other in rivals):
            words.append(f"{name.replace('_', ' ')} {parameter(name, value, run.norm)}")
    return words


def _place(run: RunInfo) -> tuple[object, ...]:
    return (run.norm, run.epsilon, run.goal, run.goal_label)
