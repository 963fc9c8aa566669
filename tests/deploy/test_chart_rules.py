"""What the chart renders is valid to the last field, restricted, and consistent in itself."""

import json

import jsonschema
import kubernetes_validate
import pytest

from services.telemetry import metrics
from tools import chart

from .crds import SCHEMAS
from .rendering import CASES, CHART, NAME, NAMESPACE, container, containers, files, run_helm
from .standards import violations

# The oldest that Chart.yaml lets in, and the newest whose schemas the package has.
VERSIONS = ("1.29", "1.37")


@pytest.mark.parametrize("case", CASES)
def test_helm_s_own_lint_finds_nothing(helm, case):
    done = run_helm(helm, "lint", "--strict", str(CHART), *CASES[case])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_to_the_last_field(release, version):
    for found in release.objects:
        if found["kind"] in SCHEMAS:
            jsonschema.validate(found, SCHEMAS[found["kind"]], cls=jsonschema.Draft202012Validator)
        else:
            assert kubernetes_validate.validate(found, version, strict=True) == version


def test_the_schemas_would_notice_a_field_that_is_not_there(releases):
    deployment = releases["defaults"].one("Deployment", "gateway")
    deployment = json.loads(json.dumps(deployment))
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)
    scaled = json.loads(json.dumps(releases["everything"].of("ScaledObject")[0]))
    scaled["spec"]["cooldown"] = 3
    with pytest.raises(jsonschema.ValidationError, match="cooldown"):
        jsonschema.validate(scaled, SCHEMAS["ScaledObject"])


def test_names_are_used_once(release):
    names = [(found["kind"], found["metadata"]["name"]) for found in release.objects]
    assert len(set(names)) == len(names)
    assert all(name == NAME or name.startswith(f"{NAME}-") for _, name in names)


def test_every_pod_is_restricted(release):
    assert release.pods()
    for name, pod in release.pods().items():
        assert not list(violations(pod)), name
        for each in containers(pod):
            assert each["securityContext"]["readOnlyRootFilesystem"] is True
            assert {"requests", "limits"} <= set(each["resources"])
            assert "memory" in each["resources"]["limits"]


def test_the_standard_would_notice(releases):
    pod = json.loads(json.dumps(releases["defaults"].pods()["gateway"]))
    pod["spec"]["volumes"].append({"name": "host", "hostPath": {"path": "/"}})
    pod["spec"]["securityContext"].pop("seccompProfile")
    pod["spec"]["containers"][0]["securityContext"].pop("capabilities")
    assert len(list(violations(pod))) == 4


def test_only_the_job_that_makes_secrets_has_a_token(release):
    for name, pod in release.pods().items():
        assert pod["spec"]["automountServiceAccountToken"] is (name == "prepare"), name
    accounts = {found["metadata"]["name"] for found in release.of("ServiceAccount")}
    assert {pod["spec"]["serviceAccountName"] for pod in release.pods().values()} == accounts


def test_the_job_s_rights_are_on_its_own_secrets_and_end_with_it(releases):
    (role,) = releases["defaults"].of("Role")
    given = {
        (verb, name) for rule in role["rules"] for verb in rule["verbs"] for name in rule.get("resourceNames", ["*"])
    }
    parts = ("redis", "init", "gateway", "worker", "console")
    assert given == {("create", "*")} | {(verb, f"{NAME}-{part}") for verb in ("get", "patch") for part in parts}
    hooks = [found for kind in ("Role", "RoleBinding", "Job") for found in releases["defaults"].of(kind)]
    for found in hooks:
        annotations = found["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"


def test_every_selector_finds_the_pods_that_it_is_for(release):
    pods = {name: pod["metadata"]["labels"] for name, pod in release.pods().items()}

    def found_by(selector):
        return {name for name, labels in pods.items() if selector.items() <= labels.items()}

    for service in release.of("Service"):
        part = service["metadata"]["name"].removeprefix(f"{NAME}-").removesuffix("-headless")
        assert found_by(service["spec"]["selector"]) == {part}
        (target,) = (port["targetPort"] for port in service["spec"]["ports"])
        assert target in {port["name"] for each in containers(release.pods()[part]) for port in each.get("ports", [])}
    for owner in release.with_pods():
        if owner["kind"] != "Job":
            assert found_by(owner["spec"]["selector"]["matchLabels"]) == {
                owner["metadata"]["name"].removeprefix(f"{NAME}-")
            }
    for budget in release.of("PodDisruptionBudget"):
        name = budget["metadata"]["name"].removeprefix(f"{NAME}-")
        assert found_by(budget["spec"]["selector"]["matchLabels"]) == {name}
    for monitor in release.of("PodMonitor"):
        ported = {name for name, pod in release.pods().items() if '"metrics"' in json.dumps(pod["spec"])}
        assert ported <= found_by(monitor["spec"]["selector"]["matchLabels"])
        assert "exporter" in ported


def test_what_scales_finds_its_deployment_and_its_metric(releases):
    release = releases["everything"]
    scaled = {found["metadata"]["name"]: found["spec"] for found in release.of("ScaledObject")}
    assert set(scaled) == {f"{NAME}-worker-cpu", f"{NAME}-worker-gpu"}
    for name, spec in scaled.items():
        assert spec["scaleTargetRef"]["name"] == name
        deployment = release.one("Deployment", name.removeprefix(f"{NAME}-"))
        assert "replicas" not in deployment["spec"], "an upgrade would take busy workers away"
        query = spec["triggers"][0]["metadata"]["query"]
        assert query.count(metrics.UNITS) == 2
        assert f'namespace="{NAMESPACE}"' in query
        assert metrics.METRICS[metrics.UNITS].labels == ("lane", "state")
    assert "replicas" in release.one("Deployment", "worker-gpu-pairs")["spec"]


def test_the_exporter_of_what_scales_can_t_be_left_out(helm):
    values = ["--set", "workers.cpu.scaling.enabled=true,keda.prometheus=http://p:9090,exporter.enabled=false"]
    done = run_helm(helm, "template", NAME, str(CHART), *values)
    assert done.returncode != 0
    assert "exporter.enabled" in done.stderr


def test_probes_ask_the_store_for_readiness_and_nobody_but_the_process_for_life(releases):
    pods = releases["defaults"].pods()
    gateway = container(pods["gateway"], "gateway")
    assert gateway["readinessProbe"]["grpc"] == {"port": 50052}
    assert gateway["livenessProbe"]["grpc"] == {"port": 50052, "service": "live"}
    assert "redis" not in json.dumps(container(pods["worker-cpu"], "worker")["livenessProbe"])
    redis = container(pods["redis"], "redis")
    assert "^loading:0'" in redis["readinessProbe"]["exec"]["command"][-1]
    assert "^loading:'" in redis["livenessProbe"]["exec"]["command"][-1]


def test_every_secret_and_every_key_that_is_mounted_is_made(releases, secrets_of_prepare):
    made = secrets_of_prepare.secrets
    for name, pod in releases["defaults"].pods().items():
        for each in containers(pod):
            for path, (secret, key) in files(pod, each).items():
                assert secret in made, (name, path)
                assert key == "*" or key in made[secret], (name, path)


def test_what_the_chart_repeats_of_other_files_is_what_they_say():
    differing = [path.name for path, text in chart.wanted().items() if path.read_text() != text]
    assert not differing, "run `make docs`"
