"""A gate's outcomes as JUnit XML, as GitHub's actions, GitLab and Jenkins read it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from services.cli.criteria import Outcome

SUITE = "sparring gate"
# What XML 1.0 can't hold at all, escaped or not.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(path: Path, outcomes: Sequence[Outcome], *, seconds: float, about: Mapping[str, str]) -> None:
    """Write one testcase for each outcome; `about` becomes the suite's properties. Raises OSError."""
    cases = []
    for outcome in outcomes:
        case = TestCase(_legal(outcome.name), f"sparring.{outcome.group}")
        said = _legal("\n".join(filter(None, (outcome.sentence, outcome.text))))
        if outcome.status == "failed":
            failure = Failure(_legal(outcome.sentence), outcome.group)
            failure.text = said
            case.result = [failure]
        elif outcome.status == "waived":
            case.result = [Skipped(_legal(f"allowed: {outcome.sentence}"))]
        case.system_out = said
        cases.append(case)
    _write(path, cases, seconds=seconds, about=about)


def write_error(path: Path, message: str, *, about: Mapping[str, str]) -> None:
    """Write that nothing could be judged, and why."""
    case = TestCase("the model is judged", "sparring.gate")
    case.result = [Error(_legal(message), "could not judge")]
    _write(path, [case], seconds=0.0, about=about)


def _write(path: Path, cases: Sequence[TestCase], *, seconds: float, about: Mapping[str, str]) -> None:
    if cases:
        # All were found by one evaluation; the sum of the times is what readers show.
        cases[0].time = seconds
    suite = TestSuite(SUITE)
    for name, value in about.items():
        suite.add_property(name, _legal(value))
    suite.add_testcases(list(cases))
    document = JUnitXml(SUITE)
    document.add_testsuite(suite)
    path.parent.mkdir(parents=True, exist_ok=True)
    document.write(str(path), pretty=True)


def _legal(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
