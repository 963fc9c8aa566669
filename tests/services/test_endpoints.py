"""The operators' file of endpoints."""

import pytest

from services.endpoints import EndpointsFileError, parse, read
from workers.blackbox import EndpointOptions

NEEDED = """
[endpoints.digits]
address = "models.example.org:443"
model = "digits"
input_shape = [1, 28, 28]
classes = 10
output = "labels"
budget = 20_000
queries_per_s = 50
"""


def test_what_must_be_there_is_enough():
    entry = parse(NEEDED)["digits"]
    assert (entry.address, entry.input_shape, entry.budget, entry.queries_per_s) == (
        "models.example.org:443",
        (1, 28, 28),
        20_000,
        50.0,
    )
    assert entry.allows("anybody")


def test_an_entry_is_what_the_workers_ask_with(tmp_path):
    token, roots = tmp_path / "token", tmp_path / "ca.pem"
    token.write_text("s3cret\n")
    roots.write_bytes(b"pem")
    more = f"""
tenants = ["vision"]
version = "2"
input_name = "pixels"
output_name = "scores"
datatype = "UINT8"
layout = "NHWC"
pixel_max = 255
batch_limit = 8
tls = true
root_certificates_file = "{roots}"
bearer_file = "{token}"
"""
    file = tmp_path / "endpoints.toml"
    file.write_text(NEEDED + more)
    entry = read(file)["digits"]
    options = EndpointOptions(**entry.options())
    assert (options.bearer, options.root_certificates, options.budget, options.layout) == (
        "s3cret",
        b"pem",
        20_000,
        "NHWC",
    )
    assert entry.allows("vision")
    assert not entry.allows("others")
    assert "s3cret" not in repr(entry)


def test_the_fewest_settings_are_options_too():
    assert EndpointOptions(**parse(NEEDED)["digits"].options()).datatype == "FP32"


def test_no_endpoints_are_a_file_too():
    assert parse("") == {}


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('address = "models.example.org"', "address"),
        ('address = "http://models.example.org:80"', "address"),
        ('address = "models.example.org:70000"', "address"),
        ("model = 3", "model"),
        ('model = ""', "model"),
        ("input_shape = [28, 28]", "input_shape"),
        ("input_shape = [1, 0, 28]", "input_shape"),
        ("input_shape = [1, true, 28]", "input_shape"),
        ("classes = 1", "classes"),
        ('output = "words"', "output"),
        ("budget = 0", "budget"),
        ("budget = true", "budget"),
        ("queries_per_s = 0.0", "queries_per_s"),
        ("queries_per_s = nan", "queries_per_s"),
        ('tenants = "vision"', "tenants"),
        ("version = 2", "version"),
        ('datatype = "FP64"', "datatype"),
        ('datatype = "UINT8"', "pixel_max"),
        ("pixel_max = 128", "pixel_max"),
        ("pixel_max = true", "pixel_max"),
        ("batch_limit = -1", "batch_limit"),
        ('tls = "yes"', "tls"),
        ('bearer_file = "token"', "bearer_file"),
        ('root_certificates_file = "ca.pem"', "root_certificates_file"),
        ('bearer = "s3cret"', "bearer"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(line, path):
    name = line.partition(" ")[0]
    others = "\n".join(one for one in NEEDED.splitlines() if not one.startswith(f"{name} "))
    with pytest.raises(EndpointsFileError, match=rf"endpoints\.digits\.{path}: "):
        parse(others + "\n" + line)


def test_everything_that_is_wrong_is_named_at_once():
    with pytest.raises(EndpointsFileError) as caught:
        parse('other = 1\n[endpoints]\nflat = 2\n[endpoints.BAD]\nclasses = 0\nmodel = "m"')
    text = str(caught.value)
    for part in ("other:", "endpoints.flat:", "endpoints.BAD: the name", "BAD.classes:", "BAD.address: must be set"):
        assert part in text


@pytest.mark.parametrize(("text", "said"), [("endpoints = 3", "must be tables"), ("[endpoints", "not TOML")])
def test_a_file_that_is_no_such_file_is_refused(text, said):
    with pytest.raises(EndpointsFileError, match=said):
        parse(text)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "endpoints.toml").write_bytes(b"\xff")
    with pytest.raises(EndpointsFileError, match="not UTF-8"):
        read(tmp_path / "endpoints.toml")
