"""What Prometheus and Grafana are given holds together: names, places, sections, addresses; no server is needed."""

import itertools
import os
import re
import shutil
import subprocess

import pytest
import yaml

from services.telemetry import metrics_page
from services.telemetry.metrics import METRICS
from tools.dashboard import __main__ as made

from .description import FOLDER, ROOT, dashboard, measured, queries, rules

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = re.compile(r"sparring_\w+")
EXPRESSIONS = [*queries(), *((rule["alert"], rule["expr"]) for rule in rules())]


def row_of(name: str) -> str:
    """The name in the table of what a query asks for."""
    return name if name in METRICS else re.sub("_(bucket|count|sum)$", "", name)


def test_the_page_has_the_table_as_it_is():
    page = metrics_page.PAGE.read_text()
    assert page == metrics_page.updated(page), "run python -m services.telemetry.metrics_page"
    with pytest.raises(ValueError, match="lacks the lines"):
        metrics_page.updated("# Metrics\n")


def test_the_dashboard_is_the_one_that_is_described():
    assert dashboard() == made.dashboard(), "run python -m tools.dashboard"


def test_names_have_a_prefix_a_unit_and_a_sentence():
    for name, metric in METRICS.items():
        assert re.fullmatch(r"sparring(_[a-z]+)+", name)
        assert name.endswith("_total") is (metric.kind == "counter")
        assert (metric.kind == "histogram") <= name.endswith("_seconds")
        assert metric.help.endswith(".") or metric.help.endswith(")")
        assert not {"job", "key", "model", "worker", "peer", "artifact"} & set(metric.labels)


@pytest.mark.parametrize(("where", "expr"), EXPRESSIONS, ids=lambda text: text[:40])
def test_a_query_asks_for_what_there_is_by_labels_that_it_has(where, expr):
    asked = OURS.findall(expr)
    assert asked or "up{" in expr, where
    for name in asked:
        assert row_of(name) in METRICS, where
    for name, inside in re.findall(r"(sparring_\w+)\{([^}]*)\}", expr):
        assert set(re.findall(r"(\w+)\s*[=!]", inside)) <= set(METRICS[row_of(name)].labels), where


def test_every_metric_but_those_in_the_page_only_is_on_the_dashboard_or_in_a_rule():
    asked = {row_of(name) for _, expr in EXPRESSIONS for name in OURS.findall(expr)}
    left_out = {
        "sparring_exporter_read_seconds",
        "sparring_gateway_audit_entries_total",
        "sparring_gateway_audit_waiting",
        "sparring_gateway_refused_strangers_total",
        "sparring_gateway_stream_messages_total",
        "sparring_jobs_queued",
        "sparring_tenant_artifact_bytes",
        "sparring_tenant_jobs",
        "sparring_worker_checkpoints_total",
        "sparring_worker_info",
        "sparring_worker_units_total",
    }
    assert set(METRICS) - asked == left_out


def test_panels_have_numbers_of_their_own_and_places_that_do_not_overlap():
    board = dashboard()
    panels = board["panels"]
    assert board["schemaVersion"] >= 36
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        columns = range(place["x"], place["x"] + place["w"])
        cells = set(itertools.product(columns, range(place["y"], place["y"] + place["h"])))
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_panel_asks_the_datasource_that_is_chosen_and_says_what_it_shows():
    board = dashboard()
    (variable,) = board["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_to_do_and_has_a_section_that_does(rule):
    page = (ROOT / "docs" / "metrics.md").read_text()
    note = rule["annotations"]
    assert measured(rule)
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert note["runbook_url"] == f"docs/metrics.md#{rule['alert'].lower()}"
    section = page.partition(f"### {rule['alert']}\n")[2].partition("\n### ")[0]
    assert note["runbook"].strip() in section
    assert rule["expr"].strip() in section


@pytest.mark.parametrize(
    "command",
    [["check", "rules", "alerts.yml"], ["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]],
    ids=" ".join,
)
def test_promtool_takes_the_files_and_the_rules_fire_when_they_should(command):
    if shutil.which("promtool") is None:
        assert os.environ.get("SPARRING_SYSTEM_MUST_RUN") != "1"
        pytest.skip("there is no promtool (Debian package prometheus)")
    done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_asks_the_services_of_the_compose_file_where_they_listen():
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    asked = [(name, found["port"]) for job in jobs for found in job["dns_sd_configs"] for name in found["names"]]
    assert {name for name, _ in asked} == {"gateway", "worker", "worker-gpu", "exporter"}
    for name, port in asked:
        assert COMPOSE[name]["environment"]["SPARRING_METRICS_LISTEN"] == f"0.0.0.0:{port}"
        assert "data" in COMPOSE[name]["networks"]
    assert "data" in COMPOSE["prometheus"]["networks"]


@pytest.mark.parametrize("name", ["exporter", "prometheus", "grafana"])
def test_what_looks_on_is_hardened_like_the_rest_and_reached_from_this_machine_alone(name):
    service = COMPOSE[name]
    assert service["profiles"] == ["observability"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["user"].partition(":")[0] not in {"", "0", "root"}
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert ":" in service["image"].rpartition("}")[0] or "sparring/" in service["image"]
    assert not service["image"].endswith(":latest}")


def test_grafana_is_provisioned_with_the_datasource_and_the_dashboard():
    folder = FOLDER / "grafana"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = yaml.safe_load((folder / "dashboards" / "sparring.yml").read_text())["providers"]
    mounts = [mount.split(":")[1] for mount in COMPOSE["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/dashboard.json" in mounts
    assert "/etc/grafana/provisioning" in mounts
