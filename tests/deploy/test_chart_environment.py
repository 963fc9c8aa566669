"""Every variable that the chart sets is read by the program that gets it, and its value is one that it takes."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from services.console.settings import ConsoleSettings
from services.environment import SettingsError
from services.exporter.settings import ExporterSettings
from services.gateway.options import Options
from services.settings import GatewaySettings, StoreSettings, WorkerSettings
from services.telemetry.settings import TelemetrySettings

from .rendering import CASES, Release, container, environment, files

# What the images set, and what they use that is not ours.
OF_THE_IMAGE = {"gateway": {"SPARRING_LISTEN": "0.0.0.0:50051"}}
FOREIGN = {"NVIDIA_DRIVER_CAPABILITIES"}
# The `sparring` command in the gateway's container: services/cli/connection.py.
OF_THE_COMMAND = {"SPARRING_CA_FILE", "SPARRING_KEY_FILE"}
READERS = {
    "gateway": (GatewaySettings, Options, TelemetrySettings),
    "init": (StoreSettings,),
    "worker": (WorkerSettings, TelemetrySettings),
    "console": (ConsoleSettings, TelemetrySettings),
    "exporter": (ExporterSettings, TelemetrySettings),
}


class Recorder(Mapping[str, str]):
    """An environment that remembers what was asked for."""

    def __init__(self, given: dict[str, str]) -> None:
        self._given = given
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)


def with_files(given: dict[str, str], folder: Path) -> dict[str, str]:
    """The same variables, with a file of our own for every path."""
    content = folder / "content"
    content.write_text("a secret of more than thirty-two characters")
    return {name: str(content) if value.startswith("/") else value for name, value in given.items()}


def ours(release: Release):
    for name, pod in release.pods().items():
        for each in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            if environment(each):
                yield name, pod, each


@pytest.mark.parametrize("case", CASES)
def test_every_variable_is_read_and_its_value_taken(releases, case, tmp_path):
    seen = set()
    for _, _, each in ours(releases[case]):
        if each["name"] == "prepare":
            assert environment(each).keys() == {"SPARRING_HOSTS"}
            continue
        seen.add(each["name"])
        given = environment(each)
        recorder = Recorder(with_files(OF_THE_IMAGE.get(each["name"], {}) | given, tmp_path))
        for reader in READERS[each["name"]]:
            reader.from_env(recorder)
        unread = given.keys() - recorder.asked - FOREIGN
        assert unread <= (OF_THE_COMMAND if each["name"] == "gateway" else set()), each["name"]
    assert seen >= {"gateway", "init", "worker", "exporter"}


def test_a_wrong_value_would_be_noticed(releases, tmp_path):
    given = environment(container(releases["defaults"].pods()["gateway"], "gateway")) | {"SPARRING_DRAIN_S": "soon"}
    with pytest.raises(SettingsError, match="SPARRING_DRAIN_S"):
        Options.from_env(with_files(given, tmp_path))


@pytest.mark.parametrize("case", CASES)
def test_every_file_that_a_variable_names_is_mounted(releases, secrets_of_prepare, case):
    for name, pod, each in ours(releases[case]):
        mounted = files(pod, each)
        for variable, path in environment(each).items():
            if not path.startswith("/var/lib/sparring/"):
                continue
            whole = f"{path.rpartition('/')[0]}/*"
            assert path in mounted or whole in mounted, (name, variable)
            secret = mounted.get(path, mounted.get(whole))[0]
            if case == "defaults" and path not in mounted:
                assert path.rpartition("/")[2] in secrets_of_prepare.secrets[secret], (name, variable)


def test_whole_numbers_stay_whole_and_the_unset_is_left_out(releases):
    everything = environment(container(releases["everything"].pods()["gateway"], "gateway"))
    assert everything["SPARRING_MAX_ARTIFACT_BYTES"] == str(4 << 30)
    assert everything["SPARRING_TRACES_RATIO"] == "0.1"
    assert "SPARRING_MAX_SAMPLES" not in environment(container(releases["defaults"].pods()["gateway"], "gateway"))
