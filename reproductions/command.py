"""`sparring reproduce`: the tutorial's experiments, with a page each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sparring.client import Client

    from reproductions.experiment import Experiment
    from reproductions.results import Results
    from reproductions.running import Ended, Run

_EXAMPLE = """
\b
sparring reproduce --list
sparring reproduce fgsm linearity --quick
sparring reproduce --all --quick
"""


@click.command(epilog=_EXAMPLE)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Every experiment.")
@click.option("--list", "listed", is_flag=True, help="Show the experiments, and nothing else.")
@click.option("--quick", is_flag=True, help="Smaller numbers and the same bars; all of them in less than an hour.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out/reproductions"),
    show_default=True,
    help="Where pages are written, and the state of the embedded service.",
)
@click.option(
    "--docs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Copy the pages here, and write the table of all pages that stand here.",
)
@click.option("--server", metavar="HOST:PORT", help="Run them on this service; left out, on an embedded one.")
@click.option(
    "--key-file",
    envvar="SPARRING_KEY_FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of your key, where the service asks for one; also $SPARRING_KEY_FILE.",
)
@click.option("--tls-ca", type=click.Path(dir_okay=False, path_type=Path), help="Use TLS, with this authority.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    metavar="N",
    help="Experiments at once; the embedded service has two workers.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N", help="Seed of everything random.")
@click.option("--strict", is_flag=True, help="End with 1 where a bar was not met, too.")
def reproduce(
    names: tuple[str, ...],
    *,
    everything: bool,
    listed: bool,
    quick: bool,
    out: Path,
    docs: Path | None,
    server: str | None,
    key_file: Path | None,
    tls_ca: Path | None,
    jobs: int,
    seed: int,
    strict: bool,
) -> int:
    """Run experiments of the tutorial and print the paper's figures beside ours, with a page each.

    What has been run before, with the same code and settings, is not run again; an interrupted run goes on with the
    jobs that it had. Ends with 1 where an experiment could not be run to its end.
    """
    from reproductions.experiments import NAMES, find

    if listed:
        for name in NAMES:
            click.echo(f"{name:30}{find(name).title}")
        return 0
    wanted = NAMES if everything else names
    if not wanted:
        raise click.UsageError("name experiments, or give --all; --list shows them")
    try:
        experiments = [find(name) for name in dict.fromkeys(wanted)]
        with _connected(server, key_file, tls_ca, out) as client:
            from reproductions.running import Run

            run = Run(client=client, out=out, quick=quick, seed=seed, say=_say)
            ended = list(_ends(run, experiments, jobs))
    except ImportError as error:
        raise click.ClickException(f"{error}; pip install sparring[reproductions] brings what is missing") from error
    except (LookupError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    if docs is not None:
        from reproductions.running import publish

        publish(out, docs, [experiment.name for experiment in experiments], NAMES)
    return _sum_up(ended, strict=strict)


@contextmanager
def _connected(server: str | None, key_file: Path | None, tls_ca: Path | None, out: Path) -> Iterator[Client]:
    """A client of the service that is named, or of an embedded one whose state is kept in `out`."""
    from sparring.client import connect

    from reproductions.stack import embedded

    if server is not None:
        key = None if key_file is None else key_file.read_text(encoding="utf-8").strip()
        with connect(server, key=key, tls_ca=tls_ca) as client:
            yield client
        return
    click.echo("Starting the embedded service ...")
    with embedded(out / "state") as address, connect(address) as client:
        yield client


def _ends(run: Run, experiments: Sequence[Experiment], at_once: int) -> Iterator[Ended]:
    """Run experiments and yield each as it ends."""
    from reproductions.running import run_all

    queue = run_all(run, experiments, at_once)
    for _ in experiments:
        ended = queue.get()
        if ended.results is None:
            _say(f"{ended.name}: FAILED: {ended.failure}")
        elif ended.again:
            _say(f"{ended.name}: done in {ended.results.seconds:.0f} s, {run.out / ended.name / 'page.md'}")
        else:
            _recall(ended.results)
        yield ended


def _recall(results: Results) -> None:
    """Show what stands from the last run."""
    _say(f"{results.name}: nothing has changed since the last run, which found:")
    for row in results.rows:
        _say(f"{results.name}: {row.what}: paper {row.paper}, ours {row.ours} (n = {row.n}; {row.settings})")
    for verdict in results.verdicts:
        said = "unjudged" if verdict.met is None else ("met    " if verdict.met else "not met")
        _say(f"{results.name}: {said} {verdict.text}: {verdict.measured}")


def _sum_up(ended: Sequence[Ended], *, strict: bool) -> int:
    """Show what was met and what was not, and why; the exit code."""
    missed = 0
    for one in ended:
        if one.results is not None:
            missed += len(one.results.missed)
            met = len(one.results.judged) - len(one.results.missed)
            _say(f"{one.name:30}{met} of {len(one.results.judged)} bars met")
            for verdict in one.results.missed:
                _say(f"{'':30}not met: {verdict.text}: {verdict.measured}. {verdict.why}")
        else:
            _say(f"{one.name:30}FAILED")
    failed = any(one.results is None for one in ended)
    return 1 if failed or (strict and missed > 0) else 0


def _say(line: str) -> None:
    """Print a line at once, and in one piece, whichever thread it comes from."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
