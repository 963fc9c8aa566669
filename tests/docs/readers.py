"""What reads the data that pages show: each reader raises where it would refuse a user's file of the same text."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from configparser import ConfigParser
from typing import Any

import yaml
from sparring import pipeline_document

from services import endpoints
from services.tenants import parse as tenants


def _ini(text: str) -> None:
    ConfigParser().read_string(text)


def _each_yaml(text: str) -> list[Any]:
    return list(yaml.safe_load_all(text))


# Whatever the language is, its parser has to take the text.
PARSERS: dict[str, Callable[[str], Any]] = {
    "yaml": _each_yaml,
    "yml": _each_yaml,
    "json": json.loads,
    "toml": tomllib.loads,
    "ini": _ini,
}
# By the name in a mark `read by`.
READERS: dict[str, Callable[[str], Any]] = {
    "tenants": tenants.parse,
    "endpoints": endpoints.parse,
    "pipelines": lambda text: pipeline_document.read(yaml.safe_load(text)),
}
