"""Requests that no honest client sends: built from descriptors with extreme values, mutated valid ones, plain noise.

All of it comes from one `random.Random`, so a seed repeats a run; what a case was is told by its bytes.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

DEEPEST = 4
FLOATS = [0.0, -0.0, 1.0, 0.5, -1.0, 1e-308, 5e-324, 1e308, -1e308, float("inf"), float("-inf"), float("nan"), 1e16]
WORDS = [
    "",
    "\0",
    "x" * 5000,
    "../../etc/passwd",
    "jobs/",
    "jobs/-",
    "models/" + "a" * 300,
    "artifacts/" + "0" * 64,
    "datasets/mnist10k",
    "mnist10k",
    "wong_cnn",
    "%s%n%x{0}{{",
    "\u202e\ufeff\U0001f600",
    "a\r\nb: c",
    "'; FLUSHALL; --",
    "{sparring}:fence",
    'state = RUNNING AND create_time > "2020-01-01T00:00:00Z"',
    "(" * 500,
    "NOT " * 300 + "state = RUNNING",
    "2" * 400,
    "-1",
    "NaN",
]
BYTES = [b"", b"\0", b"\xff" * 1000, bytes(70_000)]
INTEGERS = {
    FieldDescriptor.TYPE_INT32: [0, 1, -1, 2**31 - 1, -(2**31), 1000],
    FieldDescriptor.TYPE_UINT32: [0, 1, 2**32 - 1, 2**31, 1000],
    FieldDescriptor.TYPE_INT64: [0, 1, -1, 2**63 - 1, -(2**63), 2**53 + 1, 100],
    FieldDescriptor.TYPE_UINT64: [0, 1, 2**64 - 1, 2**63, 7],
    FieldDescriptor.TYPE_ENUM: [0, 1, 2, 3, 99, -1, 2**31 - 1],
    FieldDescriptor.TYPE_BOOL: [True, False],
}
_WIRE_EXTREMES = [
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80" * 12,
    b"\xff\xff\xff\xff\x0f",
    b"\x0b" * 200,  # groups in groups, never closed
    b"\xf8\xff\xff\xff\x0f\x01",  # the largest field number, as unknown field
    struct.pack("<d", float("nan")),
]


class Fuzzer:
    """Makes requests for one service after the other; `known` are words that lead to something that is there."""

    def __init__(self, seed: str, known: Sequence[str]) -> None:
        self.random = random.Random(seed)
        self._words = [*WORDS, *known, *known]

    def case(self, descriptor: Descriptor, valid: Sequence[Message]) -> bytes:
        """The bytes of one request."""
        makers: list[Callable[[], bytes]] = [
            lambda: self.message(descriptor).SerializeToString(),
            lambda: self.message(descriptor).SerializeToString(),
            lambda: self.random.randbytes(self.random.choice([0, 1, 3, 20, 300])),
            lambda: self._nested(descriptor),
        ]
        if valid:
            makers += [
                lambda: self._changed(self.random.choice(valid)).SerializeToString(),
                lambda: self._changed(self.random.choice(valid)).SerializeToString(),
                lambda: self._damaged(self.random.choice(valid).SerializeToString()),
            ]
        return self.random.choice(makers)()

    def message(self, descriptor: Descriptor, depth: int = 0) -> Message:
        """A message with some of its fields set, to anything."""
        message = message_factory.GetMessageClass(descriptor)()
        for field in descriptor.fields:
            if self.random.random() < 0.5:
                self._set(message, field, depth)
        return message

    def _set(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        if field.message_type is not None:
            self._set_message(message, field, depth)
        elif field.is_repeated:
            getattr(message, field.name).extend(self._value(field) for _ in range(self.random.choice([0, 1, 3, 200])))
        else:
            setattr(message, field.name, self._value(field))

    def _set_message(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        assert field.message_type is not None
        if depth >= DEEPEST:
            return
        if field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            if value.message_type is None:
                getattr(message, field.name)[self.random.choice(self._words)] = self._value(value)
        elif field.is_repeated:
            for _ in range(self.random.choice([0, 1, 3])):
                getattr(message, field.name).add().MergeFrom(self.message(field.message_type, depth + 1))
        else:
            getattr(message, field.name).CopyFrom(self.message(field.message_type, depth + 1))

    def _value(self, field: FieldDescriptor) -> Any:
        if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
            return self.random.choice(FLOATS)
        if field.type == FieldDescriptor.TYPE_STRING:
            return self.random.choice(self._words)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self.random.choice(BYTES)
        return self.random.choice(INTEGERS[field.type])

    def _changed(self, valid: Message) -> Message:
        """A valid request with one field, at any depth, set to something else."""
        message = type(valid)()
        message.CopyFrom(valid)
        target = message
        while True:
            inner = [
                value
                for field, value in target.ListFields()
                if field.message_type is not None and not field.is_repeated
            ]
            if not inner or self.random.random() < 0.3:
                break
            target = self.random.choice(inner)
        if target.DESCRIPTOR.fields:
            self._set(target, self.random.choice(target.DESCRIPTOR.fields), 0)
        return message

    def _damaged(self, raw: bytes) -> bytes:
        """The bytes of a valid request, a few of them other ones."""
        damaged = bytearray(raw)
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randint(0, len(damaged))
            match self.random.randrange(5):
                case 0 if damaged:
                    damaged[at % len(damaged)] ^= 1 << self.random.randrange(8)
                case 1:
                    del damaged[at:]
                case 2:
                    damaged[at:at] = self.random.choice(_WIRE_EXTREMES)
                case 3:
                    damaged[at:at] = damaged[:at]
                case _:
                    damaged[at : at + 1] = self.random.randbytes(3)
        return bytes(damaged)

    def _nested(self, descriptor: Descriptor) -> bytes:
        """Messages in messages, thousands deep, as the first field that may hold one, or as an unknown one."""
        number = next((field.number for field in descriptor.fields if field.message_type is not None), 500)
        tag = _varint(number << 3 | 2)
        raw = b""
        for _ in range(self.random.choice([10, 101, 1000])):
            raw = tag + _varint(len(raw)) + raw
        return raw


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])
