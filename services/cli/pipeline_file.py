"""A pipeline's YAML file: its content as plain values, and the line of each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from sparring.errors import InvalidArgument, Violation

# A file of people is far below both; aliases could make a small one endless.
MOST_NODES = 20_000
DEEPEST = 20


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a file says. `lines`: of each path, such as `steps.plain.epochs`, the line where it stands, from 1 on."""

    path: Path
    content: Any
    lines: Mapping[str, int]

    def place(self, field: str) -> str:
        """`FILE:LINE: FIELD`, by the line of the field or of the nearest part around it."""
        near = field
        while near and near not in self.lines:
            near = near.rpartition("[" if near.endswith("]") else ".")[0]
        return f"{self.path}:{self.lines.get(near, 1)}: {field}"


def load(path: Path) -> Document:
    """Read a file. InvalidArgument: it is no YAML, or a key stands twice; OSError."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise _refused(path, 1, f"is no text in UTF-8 ({error.reason}); save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = 1 if error.problem_mark is None else error.problem_mark.line + 1
        hint = "; a ${name} inside [ ] needs quotes" if "[${" in text.replace(" ", "") else ""
        raise _refused(path, line, f"{error.problem or error.context}{hint}") from error
    except yaml.YAMLError as error:
        raise _refused(path, 1, str(error)) from error
    reader = _Reader(path)
    content = None if node is None else reader.value(node, "", 0)
    return Document(path=path, content=content, lines=reader.lines)


class _Reader:
    """Turns nodes into values, and notes their lines."""

    def __init__(self, path: Path) -> None:
        self.lines: dict[str, int] = {}
        self._path, self._nodes = path, 0
        self._make = yaml.constructor.SafeConstructor()
        # Mappings that were seen already, as aliases are.
        self._flat: set[int] = set()

    def value(self, node: yaml.Node, path: str, depth: int) -> Any:
        self._nodes += 1
        line = node.start_mark.line + 1
        if depth > DEEPEST or self._nodes > MOST_NODES:
            raise _refused(self._path, line, "this is nested too deeply, or repeats itself without end")
        self.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(one, f"{path}[{index}]", depth + 1) for index, one in enumerate(node.value)]
        try:
            return self._make.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise _refused(self._path, line, f"can't be read: {error}") from error

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        if id(node) not in self._flat:
            self._check_keys(node)
            # Puts `<<: *other` in, before the own keys.
            self._make.flatten_mapping(node)
            self._flat.add(id(node))
        made: dict[str, Any] = {}
        for key, value in node.value:
            inner = f"{path}.{key.value}" if path else str(key.value)
            made[str(key.value)] = self.value(value, inner, depth + 1)
            self.lines[inner] = key.start_mark.line + 1
        return made

    def _check_keys(self, node: yaml.MappingNode) -> None:
        first: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _refused(self._path, line, "a key is a word, not a list or a mapping")
            if key.value in first:
                raise _refused(self._path, line, f"{key.value!r} stands in line {first[key.value]} already")
            first[key.value] = line


def _refused(path: Path, line: int, problem: str) -> InvalidArgument:
    return InvalidArgument.of([Violation(f"{path}:{line}", problem)], reason="BAD_PIPELINE")
