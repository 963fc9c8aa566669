"""The table of a poisoning, from what was measured at each fraction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workers.evaluation import Proportion
from workers.evaluation.proportions import wilson
from workers.poisoning.measure import Measurement, Outcome


@dataclass(frozen=True, kw_only=True)
class PoisoningRow:
    """One fraction; the fields are those of `sparring.v1.PoisoningRow`, None for those that are left unset there."""

    fraction: float
    samples: int
    poisoned: int
    n: int
    error: Proportion
    clean_error: Proportion
    trigger_rate: Proportion | None
    sanitized_error: Proportion | None
    sanitized_trigger_rate: Proportion | None
    dropped: int
    caught: int
    seconds: float


def rows_of(
    fractions: Sequence[float], measured: Sequence[Measurement], seconds: Sequence[float]
) -> list[PoisoningRow]:
    """One row for each fraction, in their order; the first is without poison.

    Where several models were fitted at a fraction, errors are their mean, on as many samples as one of them was judged
    on: they were judged on the same.
    """
    clean = _error(measured[0].plain, measured[0].attempts)
    return [_row(fraction, one, clean, time) for fraction, one, time in zip(fractions, measured, seconds, strict=True)]


def _row(fraction: float, one: Measurement, clean: Proportion, seconds: float) -> PoisoningRow:
    sanitized = one.sanitized
    return PoisoningRow(
        fraction=fraction,
        samples=one.samples,
        poisoned=one.poisoned,
        n=one.plain.judged // one.attempts,
        error=_error(one.plain, one.attempts),
        clean_error=clean,
        trigger_rate=_fired(one.plain),
        sanitized_error=None if sanitized is None else _error(sanitized, one.attempts),
        sanitized_trigger_rate=None if sanitized is None else _fired(sanitized),
        dropped=0 if sanitized is None else round(sanitized.dropped / one.attempts),
        caught=0 if sanitized is None else round(sanitized.caught / one.attempts),
        seconds=seconds,
    )


def _error(outcome: Outcome, attempts: int) -> Proportion:
    return wilson(round(outcome.wrong / attempts), outcome.judged // attempts)


def _fired(outcome: Outcome) -> Proportion | None:
    return wilson(outcome.fired, outcome.chances) if outcome.chances else None
