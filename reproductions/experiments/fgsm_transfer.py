"""What was made for one net, shown to others: does it carry, and do they agree on the wrong class?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reproductions.answers import percent
from reproductions.experiments.fgsm_nets import CLASSES, Digits
from reproductions.lab import Attacked, Lab
from reproductions.samples import UNCHANGED


def carried(lab: Lab, models: Mapping[str, str], made: Mapping[str, Attacked], held: Digits) -> None:
    """Show what was made for one net to others: errors, and how far they agree on the wrong class."""
    answers: dict[str, dict[str, np.ndarray]] = {}
    for source, found in made.items():
        data = lab.upload_data(f"made for {source}", found.arrays["x_adv"], held.y_test, classes=CLASSES)
        asked = ("maxout", "adversarial", "softmax", "rbf", "ensemble")
        seen = lab.attacked(*(lab.attacking(models[name], UNCHANGED, data=data, count=2000) for name in asked))
        answers[source] = {name: one.arrays["prediction"] for name, one in zip(asked, seen, strict=True)}
    # A digit that its source misread from the start was not changed for it.
    whole = {source: found.arrays["clean_prediction"] == held.y_test for source, found in made.items()}
    wrong = {
        (source, name): float((told != held.y_test)[whole[source]].mean())
        for source, others in answers.items()
        for name, told in others.items()
    }
    there, back = wrong["maxout", "adversarial"], wrong["adversarial", "maxout"]
    count = int(whole["maxout"].sum())
    settings = "FGSM .25, not clipped; digits that the source reads rightly"
    lab.row(
        "made for the plain net, shown to the adversarially trained; and the other way round",
        paper="19.6%; 40.9%",
        ours=f"{percent(there)}; {percent(back)}",
        n=count,
        settings=settings,
    )
    lab.row(
        "ensemble, shown what was made for one net that is not in it",
        paper="87.9% (one that is in it)",
        ours=percent(wrong["maxout", "ensemble"]),
        n=count,
        settings=settings,
    )
    lab.bar("transfer", there < back, f"{percent(there)} against {percent(back)}")
    agreement(lab, answers["maxout"], held.y_test)


def agreement(lab: Lab, answers: Mapping[str, np.ndarray], y: np.ndarray) -> None:
    """Of the examples on which maxout errs, how often others name the same wrong class."""
    fooled = answers["maxout"] != y
    same = {name: answers[name] == answers["maxout"] for name in ("softmax", "rbf")}
    share = {name: float(same[name][fooled].mean()) for name in same}
    both = {name: float(same[name][fooled & (answers[name] != y)].mean()) for name in same}
    lab.row(
        "names maxout's wrong class on maxout's examples: softmax, RBF (where both err)",
        paper="54.6%, 16.0% (84.6%, 54.3%)",
        ours=f"{', '.join(map(percent, share.values()))} ({', '.join(map(percent, both.values()))})",
        n=int(fooled.sum()),
        settings="FGSM .25 made for maxout, not clipped",
    )
    lab.bar(
        "agreement", share["softmax"] > share["rbf"], f"{percent(share['softmax'])} against {percent(share['rbf'])}"
    )
