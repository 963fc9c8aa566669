"""What Grafana's dashboard shows, row by row.

Numbers of the store are the same at every exporter, so queries take the greatest; those of gateways and workers add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Grafana's own variable: a time that at least four scrapes fall into.
RATE = "$__rate_interval"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel: what it shows, in which of Grafana's units, and its queries with their legends."""

    title: str
    about: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: Literal["timeseries", "stat"] = "timeseries"
    width: int = 8
    stacked: bool = False


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Of a counter of gateways or workers: how fast it grows, added up."""
    return f"sum {f'by ({by}) ' if by else ''}(rate({metric}{where}[{RATE}]))"


def stored(metric: str, by: str, where: str = "") -> str:
    """Of a gauge of the store."""
    return f"max by ({by}) ({metric}{where})"


def grown(metric: str, by: str, where: str = "") -> str:
    """Of a counter of the store: how fast it grows."""
    return f"max by ({by}) (rate({metric}{where}[{RATE}]))"


def quantiles(metric: str, by: str = "") -> tuple[tuple[str, str], ...]:
    """The median and the 99th percentile of a histogram."""
    legend = f" {{{{{by}}}}}" if by else ""
    labels = f"le, {by}" if by else "le"
    return tuple(
        (f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket[{RATE}])))", f"p{q * 100:g}{legend}")
        for q in (0.5, 0.99)
    )


def stored_quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    """The same of a histogram of the store, for each kind of job."""
    return tuple(
        (f"histogram_quantile({q}, max by (le, kind) (rate({metric}_bucket[{RATE}])))", f"p{q * 100:g} {{{{kind}}}}")
        for q in (0.5, 0.99)
    )


ERRORS = '{code=~"INTERNAL|UNKNOWN|DATA_LOSS|UNAVAILABLE"}'
REQUESTS = "sparring_gateway_requests_total"
LOST = '{outcome=~"lost|told"}'
CACHE, HIT = "sparring_worker_cache_total", '{outcome="hit"}'

ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        Panel(
            title="Store", about="1: it answers.", unit="bool_on_off", kind="stat", width=4,
            queries=(("max(sparring_store_up)", ""),),
        ),
        Panel(
            title="Workers", about="Heard of within 15 s.", unit="short", kind="stat", width=4,
            queries=((f"sum({stored('sparring_workers', 'lane, device, state')})", ""),),
        ),
        Panel(
            title="Units ready", about="What waits for a worker.", unit="short", kind="stat", width=4,
            queries=((f"""sum({stored('sparring_units', 'lane', '{state="ready"}')})""", ""),),
        ),
        Panel(
            title="Oldest ready", about="How long the first in the queue has waited.", unit="s", kind="stat", width=4,
            queries=(("max(sparring_oldest_ready_seconds)", ""),),
        ),
        Panel(
            title="Redis memory", about="New work is refused above 80 %.", unit="percentunit", kind="stat", width=4,
            queries=(("max(sparring_redis_memory_ratio)", ""),),
        ),
        Panel(
            title="Errors of gateways", about="Share of calls.", unit="percentunit", kind="stat", width=4,
            queries=((f"({rate(REQUESTS, where=ERRORS)} or vector(0)) / {rate(REQUESTS)}", ""),),
        ),
    ),
    "Jobs and units": (
        Panel(
            title="Jobs by state", about="Those that are kept.", unit="short", stacked=True,
            queries=((f"sum by (state) ({stored('sparring_jobs', 'state, kind')})", "{{state}}"),),
        ),
        Panel(
            title="Units ready and running", about="By lane; autoscalers read this.", unit="short",
            queries=((stored("sparring_units", "lane, state"), "{{state}} {{lane}}"),),
        ),
        Panel(
            title="Oldest ready", about="By lane of the job.", unit="s",
            queries=((stored("sparring_oldest_ready_seconds", "lane"), "{{lane}}"),),
        ),
        Panel(
            title="Units a second", about="Committed, by kind of job.", unit="ops",
            queries=((grown("sparring_units_ended_total", "kind", '{outcome="committed"}'), "{{kind}}"),),
        ),
        Panel(
            title="Wait for a worker", about="From ready to taken.", unit="s",
            queries=stored_quantiles("sparring_job_wait_seconds"),
        ),
        Panel(
            title="Run", about="Time with some unit at work, of jobs that ended.", unit="s",
            queries=stored_quantiles("sparring_job_run_seconds"),
        ),
        Panel(
            title="Jobs accepted and ended", about="A second.", unit="ops",
            queries=(
                (f"sum({grown('sparring_jobs_submitted_total', 'kind')})", "accepted"),
                (f"sum by (state) ({grown('sparring_jobs_ended_total', 'state, kind')})", "{{state}}"),
            ),
        ),
        Panel(
            title="Failures", about="Workers lost, stale tokens, second attempts, jobs put aside.", unit="ops",
            queries=(
                (f"sum({grown('sparring_units_ended_total', 'outcome, kind', LOST)})", "units lost"),
                (f"sum({grown('sparring_stale_tokens_total', 'call')})", "stale tokens"),
                (grown("sparring_units_claimed_total", "attempt", '{attempt="again"}'), "attempts again"),
                (f"""sum({grown('sparring_jobs_ended_total', 'kind', '{state="QUARANTINED"}')})""", "quarantined"),
            ),
        ),
        Panel(
            title="Repeated submits, events, bells", about="Bells that nobody has heard do no harm.", unit="short",
            queries=(
                (f"max(rate(sparring_submits_repeated_total[{RATE}]))", "repeated submits/s"),
                (f"sum({grown('sparring_job_events_total', 'type')})", "events/s"),
                (stored("sparring_doorbells", "lane"), "bells {{lane}}"),
            ),
        ),
    ),
    "Gateways": (
        Panel(
            title="Calls a second", about="By method.", unit="reqps",
            queries=((rate(REQUESTS, "method"), "{{method}}"),),
        ),
        Panel(
            title="Calls by code", about="A second.", unit="reqps",
            queries=((rate(REQUESTS, "code"), "{{code}}"),),
        ),
        Panel(
            title="Duration of calls", about="Those that are no streams.", unit="s",
            queries=quantiles("sparring_gateway_request_seconds", "method"),
        ),
        Panel(
            title="Open", about="Calls under way, streams.", unit="short",
            queries=(
                ("sum(sparring_gateway_requests_in_flight)", "calls"),
                ("sum by (method) (sparring_gateway_streams_open)", "{{method}}"),
            ),
        ),
        Panel(
            title="Bytes and events", about="Events as they are sent to those who watch.", unit="Bps",
            queries=(
                (rate("sparring_gateway_received_bytes_total"), "received"),
                (rate("sparring_gateway_sent_bytes_total"), "sent"),
                (rate("sparring_gateway_events_total"), "events/s"),
            ),
        ),
        Panel(
            title="Event loop", about="How late it wakes up.", unit="s",
            queries=quantiles("sparring_gateway_loop_lag_seconds"),
        ),
    ),
    "Workers": (
        Panel(
            title="Workers", about="By lane, busy or idle.", unit="short", stacked=True,
            queries=(
                (f"sum by (lane, state) ({stored('sparring_workers', 'lane, device, state')})", "{{lane}} {{state}}"),
            ),
        ),
        Panel(
            title="Device busy", about="Share of the time with a unit.", unit="percentunit",
            queries=((f"rate(sparring_worker_busy_seconds_total[{RATE}])", "{{instance}}"),),
        ),
        Panel(
            title="Seconds of a unit", about="By kind of job.", unit="s",
            queries=quantiles("sparring_worker_unit_seconds", "kind"),
        ),
        Panel(
            title="Samples through models", about="A second, forwards and backwards, by attack.", unit="ops",
            queries=(
                (rate("sparring_worker_forwards_total", "attack"), "{{attack}} forward"),
                (rate("sparring_worker_backwards_total", "attack"), "{{attack}} backward"),
            ),
        ),
        Panel(
            title="Memory of devices", about="Of the GPU; of a CPU's process and machine.", unit="bytes",
            queries=(("sparring_worker_device_memory_bytes", "{{instance}} {{state}}"),),
        ),
        Panel(
            title="Late heartbeats, memory that ran out", about="99th percentile; batches and jobs.", unit="s",
            queries=(
                *quantiles("sparring_worker_heartbeat_late_seconds")[1:],
                (rate("sparring_worker_out_of_memory_total", "outcome"), "out of memory: {{outcome}}"),
            ),
        ),
    ),
    "Store": (
        Panel(
            title="Redis memory", about="Used, and its limit.", unit="bytes",
            queries=((stored("sparring_redis_memory_bytes", "state"), "{{state}}"),),
        ),
        Panel(
            title="Artifacts and checkpoints", about="Bytes of all artifacts; checkpoints kept.", unit="bytes",
            queries=(
                ("max(sparring_artifact_bytes)", "artifacts"),
                (rate("sparring_worker_checkpoint_bytes_total"), "checkpoints/s"),
            ),
        ),
        Panel(
            title="Caches of workers", about="Share of models and datasets that were still there.", unit="percentunit",
            queries=(
                (f"{rate(CACHE, 'cache', HIT)} / {rate(CACHE, 'cache')}", "{{cache}}"),
            ),
        ),
    ),
}  # fmt: skip
