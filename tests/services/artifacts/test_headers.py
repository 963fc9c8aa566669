"""Headers of uploaded files: what numpy and safetensors write is read, and nothing else gets through."""

import io
import json
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.artifacts import headers


def file(header, body=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def tensor(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def read(content):
    return headers.safetensors(content, len(content))


def test_what_safetensors_writes_is_read():
    arrays = {"w": np.zeros((2, 3, 4), np.float32), "b": np.zeros((), np.int64), "m": np.zeros((0, 5), np.uint8)}
    content = safetensors.numpy.save(arrays, metadata={"who": "me"})
    found = read(content)
    assert {name: (t.dtype, t.shape) for name, t in found.items()} == {
        "w": ("F32", (2, 3, 4)),
        "b": ("I64", ()),
        "m": ("U8", (0, 5)),
    }
    start = headers.safetensors_header_bytes(content)
    assert max(t.end for t in found.values()) == len(content) - start
    assert headers.safetensors(content[:start], len(content)) == found


BAD = {
    "empty": b"",
    "short": b"\x01\x00",
    "cut in the header": file({"a": tensor()})[:20],
    "a huge header": file({}, length=(1 << 20) + 1),
    "a header of 2^63": file({}, length=1 << 63),
    "not JSON": file(b"{'a': 1}"),
    "not UTF-8": file(b'{"\xff": 1}'),
    "not an object": file(b"[]"),
    "NaN": file(b'{"a": NaN}'),
    "deep": file(b"[" * 200_000),
    "a name twice": file(b'{"a":%(t)s,"a":%(t)s}' % {b"t": json.dumps(tensor()).encode()}, bytes(8)),
    "a key twice in a tensor": file(b'{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "no shape": file({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, bytes(8)),
    "another key": file({"a": tensor() | {"x": 1}}, bytes(8)),
    "no tensor": file({"a": 7}),
    "an unknown type": file({"a": tensor("F8")}, bytes(8)),
    "a type that is no text": file({"a": tensor(["F32"])}, bytes(8)),
    "a negative size": file({"a": tensor(shape=(-2,), offsets=(0, -8))}),
    "a fraction": file({"a": tensor(shape=(2.0,))}, bytes(8)),
    "true": file({"a": tensor(shape=(True, 2))}, bytes(8)),
    "a shape too large for its bytes": file({"a": tensor(shape=(3,))}, bytes(8)),
    "an overflow": file({"a": tensor(shape=(1 << 62, 1 << 62, 0, 1 << 63))}, bytes(8)),
    "three offsets": file({"a": tensor(offsets=(0, 8, 8))}, bytes(8)),
    "an overlap": file({"a": tensor(), "b": tensor()}, bytes(8)),
    "a hole": file({"a": tensor(), "b": tensor(offsets=(9, 17))}, bytes(17)),
    "a late start": file({"a": tensor(offsets=(1, 9))}, bytes(9)),
    "trailing bytes": file({"a": tensor()}, bytes(9)),
    "a body too short": file({"a": tensor()}, bytes(7)),
    "too many tensors": file({f"{n}": tensor(shape=(0,), offsets=(0, 0)) for n in range(10_001)}),
    "33 dimensions": file({"a": tensor(shape=(1,) * 32 + (2,))}, bytes(8)),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_everything_else_is_refused_with_a_sentence(content):
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        read(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*headers.SAFETENSORS_DTYPES]) | json_values,
        "shape": st.lists(st.integers(-1, 4), max_size=4) | json_values,
        "data_offsets": st.lists(st.integers(-1, 64), min_size=2, max_size=2) | json_values,
    }
)


@settings(max_examples=250, deadline=None)
@given(st.dictionaries(st.text(max_size=3), entries | json_values, max_size=4), st.integers(0, 64))
def test_a_header_is_read_or_refused_but_nothing_else_happens(header, body):
    content = file(header, bytes(body))
    try:
        found = read(content)
    except ValueError:
        return
    covered = sorted((t.begin, t.end) for t in found.values())
    assert sum(end - begin for begin, end in covered) == body
    # Whatever we accept, safetensors itself accepts as well (bfloat16 is unknown to numpy).
    if not any(t.dtype == "BF16" for t in found.values()) and "__metadata__" not in header:
        assert safetensors.numpy.load(content).keys() == found.keys()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
@example(headers.NPY_MAGIC + b"\x01\x00\x02\x00()")
def test_noise_is_refused(content):
    for reader in (headers.safetensors, headers.npy):
        with pytest.raises(ValueError):
            reader(content, len(content) + 1)
        with pytest.raises(ValueError):
            reader(headers.NPY_MAGIC + content, len(content) + 7)


def npy_file(array, version=None):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize(
    ("dtype", "name"), [("u1", "U8"), ("<f4", "F32"), ("<i8", "I64"), ("?", "BOOL"), ("<f2", "F16")]
)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 3, 4)])
def test_what_numpy_writes_is_read(version, dtype, name, shape):
    content = npy_file(np.zeros(shape, dtype), version)
    found = headers.npy(content, len(content))
    assert (found.dtype, found.shape) == (name, shape)


def patched(old, new):
    content = npy_file(np.zeros((2, 2), "<f4"))
    assert old in content
    padding = b" " * (len(old) - len(new)) if len(new) <= len(old) else b""
    return content.replace(old, new + padding)


BAD_NPY = {
    "nothing": b"",
    "another magic": b"\x93NUMPX\x01\x00",
    "version 4": patched(b"NUMPY\x01", b"NUMPY\x04"),
    "an object type": patched(b"'<f4'", b"'|O' "),
    "a record type": npy_file(np.zeros(2, [("a", "<f4")])),
    "big endian": npy_file(np.zeros(2, ">f4")),
    "complex": npy_file(np.zeros(2, "<c8")),
    "text": npy_file(np.zeros(2, "<U4")),
    "columns first": npy_file(np.asfortranarray(np.zeros((2, 2), "<f4"))),
    "a call": patched(b"(2, 2)", b"int(4)"),
    "a name": patched(b"False", b"a.b.c"),
    "a shape that is no tuple": patched(b"(2, 2)", b"[2, 2]"),
    "a negative shape": patched(b"(2, 2)", b"(-2,2)"),
    "true in the shape": patched(b"(2, 2)", b"(True,)"),
    "too large a shape": patched(b"(2, 2)", b"(2, 3)"),
    "no dict": patched(b"{'descr'", b"['descr'"),
    "a byte too many": npy_file(np.zeros(2, "<f4")) + b"x",
    "a byte too few": npy_file(np.zeros(2, "<f4"))[:-1],
    "cut in the header": npy_file(np.zeros(2, "<f4"))[:30],
    "a huge header": headers.NPY_MAGIC + b"\x02\x00" + struct.pack("<I", 1 << 30) + bytes(100),
    "no text": headers.NPY_MAGIC + b"\x03\x00" + struct.pack("<I", 4) + b"\xff\xff\xff\xff",
    "deep": headers.NPY_MAGIC + b"\x02\x00" + struct.pack("<I", 100_000) + b"(" * 100_000,
}


@pytest.mark.parametrize("content", BAD_NPY.values(), ids=BAD_NPY.keys())
def test_everything_else_that_calls_itself_npy_is_refused(content):
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        headers.npy(content, len(content))
