"""`sparring jobs ...`."""

from __future__ import annotations

import itertools

import click

from services.cli import options, output, tables, waiting, words
from services.cli.connection import connected


@click.group()
def jobs() -> None:
    """List, show, watch, cancel, retry and delete jobs."""


@jobs.command("list")
@click.option("--filter", "condition", default="", metavar="TERMS", help='E.g. "state = RUNNING AND kind = attack".')
@click.option("--limit", type=click.IntRange(1), default=50, metavar="N", help="At most so many; default 50.")
@options.common
def list_(server: str, condition: str, limit: int, *, as_json: bool) -> None:
    """List jobs, newest first."""
    with connected(server) as client:
        found = list(itertools.islice(client.jobs.list(condition, page_size=min(limit, 1000)), limit))
    output.result(found, tables.jobs, as_json=as_json)


@jobs.command()
@click.argument("job")
@options.common
def get(server: str, job: str, *, as_json: bool) -> None:
    """Show a job: what was asked, where it stands, what came of it."""
    with connected(server) as client:
        found = client.jobs.get(job)
    waiting.show(found, as_json=as_json)


@jobs.command()
@click.argument("job")
@click.option("--after", type=options.COUNT, default=0, help="Leave out events up to this number.")
@options.common
def watch(server: str, job: str, after: int, *, as_json: bool) -> int:
    """Show a job's events as they come, until it ends; exit code 0 if it succeeded.

    With --json, one object a line.
    """
    with connected(server) as client:
        for event in client.jobs.watch(job, after=after):
            if as_json:
                output.data(event, indent=None)
            else:
                output.line(f"{words.moment(event.time)[11:]}  {event.event_id:>4}  {words.event(event)}")
        ended = client.jobs.get(job)
    return waiting.exit_code(ended)


@jobs.command()
@click.argument("job")
@options.etag
@options.common
def cancel(server: str, job: str, etag: str, *, as_json: bool) -> None:
    """Ask for a job's end; what it had finished is kept."""
    with connected(server) as client:
        found = client.jobs.cancel(job, etag=etag)
    waiting.acknowledge(found, as_json=as_json)


@jobs.command()
@click.argument("job")
@options.wait
@options.common
def retry(server: str, job: str, *, wait: bool, as_json: bool) -> int:
    """Queue a failed, cancelled or quarantined job again; what it had finished is kept."""
    with connected(server) as client:
        found = client.jobs.retry(job)
        if wait:
            return waiting.follow(client, found, as_json=as_json, after=found.last_event_id)
    waiting.acknowledge(found, as_json=as_json)
    return 0


@jobs.command()
@click.argument("job")
@options.etag
@options.common
def delete(server: str, job: str, etag: str, *, as_json: bool) -> None:
    """Forget an ended job, its events and its results."""
    with connected(server) as client:
        client.jobs.delete(job, etag=etag)
    output.deleted(job, as_json=as_json)
