"""Why a target is missed, where it is known; shown beside the figure only while it is missed."""

from __future__ import annotations

_LOOKS = (
    "ours takes two forwards and a backward, torchattacks one and one: it never looks at its results. "
    'The column "with a look" compares the same answers.'
)
_LOOP = (
    "the time is that of the net: ours runs at the speed of the bare loop in channels_last with the memory kept, "
    'and whoever is given both is as fast (column "favoured").'
)
_FEW_STEPS = "with few steps there is little to spare: the engine looks for survivors after 4, 8, 16, 24, ... steps."
_LAST_BITS = (
    "the shortest ways end on the boundary itself, by the last bits of a logit: another memory layout, batch size or "
    "device puts some of them on the other side. Ours has confirmed each one in its own layout."
)
_QUERIES = "on a robust net most of the time goes to the 5,000 queries of Square, which are as many on both sides."
_STARTS = "a sample is half a point or more here, and the random starts differ."

# Beginnings of a case's name and of a target's sentence, and what is to be said. The first that fits is taken.
REASONS: tuple[tuple[str, str, str], ...] = (
    ("fgsm", "every step", _LOOKS),
    ("bim", "every step", _LOOP),
    ("pgd", "every step", _LOOP),
    ("mi_fgsm", "every step", _LOOP),
    ("mi_fgsm", "survivors only", _FEW_STEPS),
    ("bim", "survivors only", _FEW_STEPS),
    ("carlini_wagner", "success rate", _LAST_BITS),
    ("deepfool", "success rate", _LAST_BITS),
    ("ddn", "success rate", _LAST_BITS),
    ("fmn", "success rate", _LAST_BITS),
    ("auto_attack", "at most", _QUERIES),
    ("", "robust accuracy", _STARTS),
)


def reason(case: str, sentence: str) -> str:
    """Return the explanation, or that there is none yet."""
    for of_case, of_sentence, words in REASONS:
        if case.startswith(of_case) and sentence.startswith(of_sentence):
            return words
    return "not explained yet"
