"""The variables of logs and traces."""

import pytest

from services.environment import SettingsError
from services.telemetry.settings import TelemetrySettings


def test_without_variables_logs_are_plain_and_nothing_is_traced():
    assert TelemetrySettings.from_env({}) == TelemetrySettings(log_format="plain", traces=None, traces_ratio=1.0)


def test_what_is_set_is_read():
    read = TelemetrySettings.from_env(
        {"SPARRING_LOG_FORMAT": "json", "SPARRING_TRACES": "http://otel:4317", "SPARRING_TRACES_RATIO": "0.25"}
    )
    assert read == TelemetrySettings(log_format="json", traces="http://otel:4317", traces_ratio=0.25)
    assert TelemetrySettings.from_env({"SPARRING_TRACES": "file:/tmp/x"}).traces == "file:/tmp/x"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPARRING_LOG_FORMAT", "xml"),
        ("SPARRING_TRACES", "otel:4317"),
        ("SPARRING_TRACES", "http://otel"),
        ("SPARRING_TRACES", "http://otel:port"),
        ("SPARRING_TRACES", "file:spans.jsonl"),
        ("SPARRING_TRACES_RATIO", "2"),
        ("SPARRING_TRACES_RATIO", "half"),
        ("SPARRING_TRACES_RATIO", "nan"),
    ],
)
def test_what_is_wrong_is_named(name, value):
    with pytest.raises(SettingsError, match=name):
        TelemetrySettings.from_env({name: value})
