"""`sparring run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from sparring.errors import InvalidArgument

from services.cli import options, output, tables, words
from services.cli.connection import connected
from services.cli.failures import BAD_ARGUMENTS, FAILED, INTERRUPTED

if TYPE_CHECKING:
    from rich.table import Table
    from sparring.comparison import Comparison
    from sparring.pipeline import Pipeline, PipelineRun
    from sparring.v1.jobs_pb2 import Job

    from services.cli.pipeline_file import Document

_EXAMPLE = """
\b
sparring run examples/pipeline.yaml --var epsilon=0.2 --wait
"""
DIGITS = 12


@click.command("run", epilog=_EXAMPLE)
@click.argument("spec", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="A value for ${NAME}; may be repeated.")
@click.option("--fresh", is_flag=True, help="Make every job anew, even where the same has been computed already.")
@options.wait
@options.common
def run(server: str, spec: Path, variables: tuple[str, ...], *, fresh: bool, wait: bool, as_json: bool) -> int:
    """Run a pipeline: the steps of a YAML file, each a job that waits for the others on the service.

    What has been computed already is not computed again, so that a second run is over at once. docs/pipelines.md shows
    the file.
    """
    from services.cli import pipeline_file

    place: Callable[[str], str] = str
    try:
        document = pipeline_file.load(spec)
        place = document.place
        pipeline = _read(document, variables, fresh=fresh)
        with connected(server) as client:
            under_way = pipeline.submit(client)
            ended = not wait or _stay(under_way)
            comparisons = under_way.comparisons() if ended else {}
    except InvalidArgument as error:
        output.note(f"sparring: {spec} is no pipeline that can run")
        for problem in error.violations:
            output.note(f"  {place(problem.field)}: {problem.description}")
        return BAD_ARGUMENTS
    show(under_way, comparisons, as_json=as_json)
    if not ended:
        output.note("The jobs go on. Stop one, and with it what comes after it: sparring jobs cancel JOB")
        return INTERRUPTED
    states = {words.state(job) for job in under_way.jobs.values()}
    if not wait and states != {"SUCCEEDED"}:
        output.note("The jobs go on by themselves. See how far they are by running the same again, with --wait.")
        return 0
    return 0 if states <= {"SUCCEEDED"} else FAILED


def _read(document: Document, variables: tuple[str, ...], *, fresh: bool) -> Pipeline:
    from sparring.pipeline_document import read

    given = {}
    for text in variables:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--var: {text!r} is not of the form NAME=VALUE")
        given[name] = value
    return read(document.content, given, reuse=not fresh)


def _stay(under_way: PipelineRun) -> bool:
    """Wait for every job and tell of each; False where Ctrl-C came before."""

    def on_end(name: str, job: Job) -> None:
        reused = " (computed before)" if name in under_way.reused else ""
        output.note(f"{name}: {job.name} {words.state(job)}{reused}")

    try:
        under_way.wait(on_end=on_end)
    except KeyboardInterrupt:
        return False
    return True


def show(under_way: PipelineRun, comparisons: Mapping[str, Comparison], *, as_json: bool) -> None:
    """Show the steps, and the comparisons among them."""
    if as_json:
        compared = {name: found.as_dict() for name, found in comparisons.items()}
        output.data({"steps": [_described(under_way, name) for name in under_way.pipeline.steps], "compared": compared})
        return
    output.show(_table(under_way, comparisons))
    for name, found in comparisons.items():
        from services.cli import compare, sheets

        output.line("")
        output.line(name)
        output.show(sheets.terminal(compare.sheet_of(found)))


def _described(under_way: PipelineRun, name: str) -> dict[str, Any]:
    """A step as JSON's types; a comparison has no job."""
    from sparring.pipeline import main_digest

    step, job = under_way.pipeline.steps[name], under_way.jobs.get(name)
    plain: dict[str, Any] = {"name": name, "kind": step.kind}
    if job is None:
        return plain
    state, error = words.state(job), job.error.message
    reused = name in under_way.reused
    return {**plain, "job": job.name, "state": state, "digest": main_digest(job), "reused": reused, "error": error}


def _table(under_way: PipelineRun, comparisons: Mapping[str, Comparison]) -> Table:
    """A line for each step: its job, its state, and the first digits of what it made."""
    from rich.text import Text

    made = tables.table("Step", "Kind", "Job", "State", "Digest")
    for name, step in under_way.pipeline.steps.items():
        found = _described(under_way, name)
        if "job" not in found:
            made.add_row(Text(name), step.kind, "", "DONE" if name in comparisons else "", "")
            continue
        state = f"{found['state']}, reused" if found["reused"] else found["state"]
        made.add_row(Text(name), step.kind, tables.bare(found["job"]), state, found["digest"][:DIGITS])
        if found["error"]:
            made.add_row("", "", Text(found["error"]), "", "")
    return made
