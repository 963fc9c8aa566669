"""Uploaded arrays: what is taken, and what is refused with the first offender's place."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.data import from_arrays
from workers.failures import Rejected

PICTURES = np.arange(3 * 2 * 4 * 5, dtype=np.uint8).reshape(3, 2, 4, 5)
LABELS = np.array([2, 0, 1])


def npy(array, **options):
    """The array as the bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def rejection(images, labels, classes=3):
    """Why an upload is refused."""
    with pytest.raises(Rejected) as caught:
        from_arrays(images, labels, classes)
    return caught.value


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", ">i8", "uint64"])
def test_bytes_and_any_integer_labels(dtype):
    """Pictures of bytes stay bytes; labels of every integer type become int64."""
    data = from_arrays(npy(PICTURES), npy(LABELS.astype(dtype)), 3)
    assert torch.equal(data.x, torch.from_numpy(PICTURES))
    assert data.y.dtype == torch.int64
    assert data.y.tolist() == LABELS.tolist()


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f8", "f2"])
def test_floats_of_any_kind(dtype):
    """Floats in [0, 1] become float32, whatever their width and byte order."""
    x = (PICTURES / 128).astype(dtype)
    data = from_arrays(npy(x), npy(LABELS), 3)
    assert data.x.dtype == torch.float32
    np.testing.assert_array_equal(data.x.numpy(), x.astype("f4"))


def test_grey_pictures_without_a_channel_axis():
    """(N, H, W) is taken for one channel."""
    assert from_arrays(npy(PICTURES[:, 0]), npy(LABELS), 3).input_shape == (1, 4, 5)


def test_fortran_order():
    """Columns first or rows first, the pictures are the same."""
    data = from_arrays(npy(np.asfortranarray(PICTURES)), npy(LABELS), 3)
    assert torch.equal(data.x, torch.from_numpy(PICTURES))


def test_safetensors_with_both():
    """One safetensors file may hold pictures and labels."""
    both = safetensors.numpy.save({"x": PICTURES, "y": LABELS})
    for labels in (None, npy(LABELS), both):
        assert from_arrays(both, labels, 3).y.tolist() == LABELS.tolist()


def test_bytes_are_copied():
    """The dataset does not hang on to the upload's buffer."""
    upload = bytearray(npy(PICTURES))
    data = from_arrays(bytes(upload), npy(LABELS), 3)
    data.x[0, 0, 0, 0] = 9  # would fail or warn on memory that is read-only


@pytest.mark.parametrize(
    ("images", "labels", "reason"),
    [
        (b"", npy(LABELS), "MALFORMED_SAFETENSORS"),
        (pickle.dumps(PICTURES), npy(LABELS), "MALFORMED_SAFETENSORS"),
        (npy(PICTURES)[:-1], npy(LABELS), "MALFORMED_NPY"),
        (npy(PICTURES) + b"\0", npy(LABELS), "MALFORMED_NPY"),
        (npy(PICTURES)[:20], npy(LABELS), "MALFORMED_NPY"),
        (b"\x93NUMPY\x09\x00" + npy(PICTURES)[8:], npy(LABELS), "MALFORMED_NPY"),
        (npy(np.array([{}, {}, {}]), allow_pickle=True), npy(LABELS), "WRONG_DTYPE"),
        (npy(np.array(["a", "b"])), npy(LABELS), "WRONG_DTYPE"),
        (npy(PICTURES.astype("i4")), npy(LABELS), "WRONG_DTYPE"),
        (npy(PICTURES), npy(LABELS.astype("f4")), "WRONG_DTYPE"),
        (npy(PICTURES[0, 0]), npy(LABELS), "WRONG_SHAPE"),
        (npy(PICTURES), npy(LABELS[:, None]), "WRONG_SHAPE"),
        (npy(np.zeros((1, 4097, 1), np.uint8)), npy(LABELS[:1]), "WRONG_SHAPE"),
        (npy(PICTURES[:0]), npy(LABELS[:0]), "EMPTY_DATASET"),
        (npy(PICTURES), npy(LABELS[:2]), "COUNT_MISMATCH"),
        (safetensors.numpy.save({"pictures": PICTURES}), npy(LABELS), "MISSING_TENSOR"),
        (safetensors.numpy.save({"x": PICTURES}), None, "MISSING_TENSOR"),
    ],
)
def test_what_is_refused(images, labels, reason):
    """Files that can't be read, and arrays of the wrong kind."""
    assert rejection(images, labels).reason == reason


@pytest.mark.parametrize(
    ("value", "reason", "hint"),
    [
        (np.nan, "NOT_FINITE", "nan"),
        (-np.inf, "NOT_FINITE", "-inf"),
        (-1e-6, "PIXEL_OUT_OF_RANGE", "-1e-06"),
        (255.0, "PIXEL_OUT_OF_RANGE", "divide by 255"),
    ],
)
@settings(deadline=None)
@given(place=st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 2), st.integers(0, 3)))
def test_first_bad_pixel_is_named(value, reason, hint, place):
    """One bad pixel anywhere, and others behind it: the first is named."""
    x = np.full((6, 2, 3, 4), 0.5, np.float32)
    x[place], x[5] = value, np.nan
    error = rejection(npy(x), npy(np.zeros(6, int)))
    assert error.reason == reason
    sample, channel, row, column = place
    assert f"sample {sample} " in error.message
    assert f"channel {channel}, row {row}, column {column}" in error.message
    assert hint in error.message


@pytest.mark.parametrize("label", [-1, 3, 2**62])
def test_first_bad_label_is_named(label):
    """Labels lie below the number of classes."""
    error = rejection(npy(PICTURES), npy(np.array([0, label, -5])))
    assert error.reason == "LABEL_OUT_OF_RANGE"
    assert f"sample 1 has label {label}" in error.message


@settings(deadline=None)
@given(position=st.integers(0, len(npy(LABELS)) - 1), change=st.binary(max_size=6), removed=st.integers(0, 6))
def test_no_file_does_harm(position, change, removed):
    """Whatever becomes of a file's bytes, it is read or refused, and nothing else happens."""
    good = npy(LABELS)
    try:
        from_arrays(npy(PICTURES), good[:position] + change + good[position + removed :], 3)
    except Rejected as error:
        assert error.message  # noqa: PT017 - both outcomes are right
