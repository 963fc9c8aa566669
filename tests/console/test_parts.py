"""Pictures, forms, words, settings and what the embedded stack starts."""

from __future__ import annotations

import struct
import zlib

import pytest
from sparring.errors import Violation
from sparring.v1.catalog_pb2 import ParameterInfo

from services.console import forms, orders, png, words
from services.console.settings import ConsoleSettings
from services.environment import SettingsError
from services.gateway import catalog
from services.local.launch import Launch


def unpacked(data):
    """The size, colour type and lines of a PNG, its checksums compared."""
    assert data[:8] == png.SIGNATURE
    at, chunks = 8, {}
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + content),)
        chunks[kind] = content
        at += 12 + length
    return struct.unpack(">IIBB", chunks[b"IHDR"][:10]), zlib.decompress(chunks[b"IDAT"])


def test_a_grey_picture_becomes_a_png_line_by_line():
    head, lines = unpacked(png.encode((1, 2, 3), bytes(range(6))))
    assert head == (3, 2, 8, 0)
    assert lines == b"\x00\x00\x01\x02\x00\x03\x04\x05"


def test_the_channels_of_a_colour_stand_beside_each_other():
    head, lines = unpacked(png.encode((3, 1, 2), bytes([1, 2, 10, 20, 100, 200])))
    assert head == (2, 1, 8, 2)
    assert lines == bytes([0, 1, 10, 100, 2, 20, 200])


def test_floats_become_levels_and_what_is_no_picture_is_refused():
    assert png.levels(struct.pack("<5f", 0.0, 0.5, 1.0, 7.0, float("nan"))) == bytes([0, 128, 255, 255, 0])
    for shape, size in (((2, 1, 1), 2), ((1, 2, 2), 3), ((1, 0, 0), 0)):
        with pytest.raises(ValueError, match="can't be drawn"):
            png.encode(shape, bytes(size))


def test_every_parameter_of_the_catalog_has_a_field_that_suits_it():
    for method in (*catalog.attacks(), *catalog.defenses()):
        for parameter, field in zip(method.parameters, forms.fields(method.parameters, {}, {}), strict=True):
            if parameter.type.isupper():
                assert field.kind == "choice", (method.name, parameter.name)
                assert all(name and "_" not in name for _, name in field.choices)
                assert len({name for _, name in field.choices}) == len(field.choices)
            elif parameter.type in {"double", "uint32"}:
                assert field.kind == "number"
            elif parameter.type == "bool":
                assert field.choices == [("true", "yes"), ("false", "no")]
            else:
                assert field.kind == "text"


def test_a_hint_says_range_unit_and_default():
    info = ParameterInfo(name="epsilon", type="double", minimum=0, maximum=1, minimum_exclusive=True, unit="pixel")
    info.default_value = "0.25"
    (field,) = forms.fields([info], {"p.epsilon": "0.1"}, {"epsilon": "no"})
    assert field.hint == "above 0 to 1, pixel; left empty: 0.25"
    assert (field.value, field.wrong) == ("0.1", "no")


def test_the_parameters_of_a_training_are_read_from_the_contract():
    found = {parameter.name: parameter for parameter in orders.optimization()}
    assert found["epochs"].type == "uint32"
    assert found["epochs"].default_value == "10"
    assert found["schedule"].type.startswith("SCHEDULE_ONE_CYCLE|")
    assert found["learning_rate"].minimum_exclusive


def test_violations_find_their_fields():
    bad = [
        Violation("attack.attack.bim.steps", "a"),
        Violation("attack.data.dataset", "b"),
        Violation("evaluation.models[1]", "c"),
        Violation("attack.data", "d"),
        Violation("nowhere.at.all", "e"),
    ]
    bim = next(method for method in catalog.attacks() if method.name == "bim")
    placed, rest = forms.by_field(bad, orders.known_names(bim), orders.ALIASES)
    assert placed == {"steps": "a", "dataset": "d", "models": "c"}
    assert rest == ["nowhere.at.all: e"]


def test_figures_are_written_for_people():
    assert [words.size(count) for count in (0, 1023, 1536, 3 * 2**30)] == [
        "0 bytes",
        "1023 bytes",
        "1.5 KiB",
        "3.0 GiB",
    ]
    assert [words.radius(value) for value in (8 / 255, 0.1, 1.5)] == ["0.03137 (8/255)", "0.1", "1.5"]
    assert [words.duration(value) for value in (0.4, 42, 185, 7800, 273_600)] == [
        "0.4 s", "42 s", "3 min 5 s", "2 h 10 min", "3 d 4 h",
    ]  # fmt: skip
    assert words.short("jobs/" + "a" * 20) == "a" * 12 + "…"
    assert words.short("models/first") == "first"
    assert words.percent(float("nan")) == words.DASH


def test_settings_name_every_bad_variable_and_hide_the_secret(tmp_path):
    short, long = tmp_path / "short", tmp_path / "long"
    short.write_text("too short")
    long.write_text("s" * 40)
    environ = {
        "SPARRING_CONSOLE_LISTEN": "unix:/x",
        "SPARRING_CONSOLE_HOSTS": "https://a.example",
        "SPARRING_CONSOLE_SECRET_FILE": str(short),
        "SPARRING_TLS_CERT_FILE": str(long),
    }
    with pytest.raises(SettingsError) as caught:
        ConsoleSettings.from_env(environ)
    for word in ("CONSOLE_LISTEN", "CONSOLE_HOSTS", "fewer than 32", "TLS_KEY_FILE"):
        assert word in str(caught.value)
    held = ConsoleSettings.from_env({"SPARRING_CONSOLE_SECRET_FILE": str(long), "SPARRING_CONSOLE_HOSTS": "a.b, c"})
    assert held.secret == "s" * 40
    assert held.secret not in repr(held)
    assert {"a.b", "c", "127.0.0.1"} <= held.allowed_hosts


def test_the_embedded_console_is_told_nothing_of_the_store(tmp_path):
    program = Launch(folder=tmp_path).console("127.0.0.1:1", "127.0.0.1:2", None)
    assert program.environment["SPARRING_SERVER"] == "127.0.0.1:1"
    assert not {name for name in program.environment if "REDIS" in name or "PAGE_TOKEN" in name}
    secret = program.environment["SPARRING_CONSOLE_SECRET_FILE"]
    again = Launch(folder=tmp_path).console("127.0.0.1:1", "127.0.0.1:2", None)
    assert again.environment["SPARRING_CONSOLE_SECRET_FILE"] == secret
