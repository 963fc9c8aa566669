"""Mounted folders, in the real file formats, against torchvision's own reading of the same files."""

from __future__ import annotations

import gzip
import json
import pickle
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from workers.data import SplitInfo, folders, mounted, scan
from workers.failures import Rejected
from workers.models.torchvision_compat import torchvision_models

RNG = np.random.default_rng(0)


def idx(array):
    """An idx file of unsigned bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype("u1").tobytes()


def make_mnist(folder, *, packed=False, counts=(("train", 6), ("t10k", 4))):
    """MNIST's four files."""
    folder.mkdir(parents=True)
    for prefix, count in counts:
        files = {"images-idx3": RNG.integers(0, 256, (count, 5, 4)), "labels-idx1": np.arange(count) % 3}
        for what, array in files.items():
            data = idx(array)
            name = f"{prefix}-{what}-ubyte" + (".gz" if packed else "")
            (folder / name).write_bytes(gzip.compress(data) if packed else data)


def python2_pickle(data, labels):
    """A batch as CIFAR-10's were written: by Python 2, in protocol 2, with byte strings."""

    def string(text):
        return b"U" + bytes([len(text)]) + text

    body = data.tobytes()
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + string(b"b") + b"tR(K\x01"
        b"(M" + struct.pack("<H", data.shape[0]) + b"M" + struct.pack("<H", data.shape[1]) + b"t"
        b"cnumpy\ndtype\n(" + string(b"u1") + b"K\x00K\x01tR(K\x03" + string(b"|") + b"NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", len(body)) + body + b"tb"
    )
    return b"\x80\x02}(" + string(b"data") + array + string(b"labels") + b"](" + numbers + b"eu."


def make_cifar(folder):
    """CIFAR-10's six batches, smaller."""
    folder.mkdir(parents=True)
    for name in [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]:
        data, labels = RNG.integers(0, 256, (3, 3072)).astype("u1"), RNG.integers(0, 10, 3)
        (folder / name).write_bytes(python2_pickle(data, labels.tolist()))
    meta = {"label_names": [f"class {number}" for number in range(10)]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))


def make_pictures(folder, sizes, *, mode="RGB"):
    """A folder of pictures, one for each size (width, height)."""
    folder.mkdir(parents=True)
    for number, (width, height) in enumerate(sizes):
        shape = (height, width, 3) if mode == "RGB" else (height, width)
        Image.fromarray(RNG.integers(0, 256, shape).astype("u1")).save(folder / f"{number}.png")


@pytest.fixture
def tree(tmp_path):
    """An image folder: two classes, pictures of 6x5."""
    for split, count in (("train", 3), ("val", 2)):
        make_pictures(tmp_path / "pets" / split / "cat", [(6, 5)] * count)
        make_pictures(tmp_path / "pets" / split / "dog" / "deeper", [(6, 5)])
        make_pictures(tmp_path / "pets" / split / "dog" / "flat", [(6, 5)])
    return tmp_path


def rejection(root, name, split="train"):
    """Why a folder is refused."""
    with pytest.raises(Rejected) as caught:
        mounted(str(root), name, split)
    return caught.value


@pytest.mark.parametrize("where", ["digits", "digits/raw", "digits/MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_mnist_wherever_its_files_lie(tmp_path, where, packed):
    """Packed or not, in the folder or below: the same samples, with splits and per-class counts."""
    make_mnist(tmp_path / where, packed=packed)
    (info,) = scan(str(tmp_path))
    assert (info.name, info.input_shape, info.classes) == ("digits", (1, 5, 4), 3)
    assert dict(info.splits) == {"train": SplitInfo(6, (2, 2, 2)), "test": SplitInfo(4, (2, 1, 1))}
    assert mounted(str(tmp_path), "digits", "test").y.tolist() == [0, 1, 2, 0]


def test_mnist_as_torchvision_reads_it(tmp_path):
    """The same files give torchvision's pictures and labels."""
    make_mnist(tmp_path / "digits" / "MNIST" / "raw")
    torchvision_models()
    from torchvision.datasets import MNIST

    for split in ("train", "test"):
        theirs, ours = MNIST(tmp_path / "digits", train=split == "train"), mounted(str(tmp_path), "digits", split)
        assert torch.equal(ours.x.squeeze(1), theirs.data)
        assert torch.equal(ours.y, theirs.targets)


def test_cifar_as_torchvision_reads_it(tmp_path, monkeypatch):
    """The same batches give torchvision's pictures and labels, in the same order."""
    make_cifar(tmp_path / "objects" / "cifar-10-batches-py")
    torchvision_models()
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda _: True)
    monkeypatch.setitem(CIFAR10.meta, "md5", None)
    (info,) = scan(str(tmp_path))
    assert (info.input_shape, info.classes) == ((3, 32, 32), 10)
    for split, count in (("train", 15), ("test", 3)):
        theirs, ours = CIFAR10(tmp_path / "objects", train=split == "train"), mounted(str(tmp_path), "objects", split)
        assert info.splits[split].count == count
        assert torch.equal(ours.x.permute(0, 2, 3, 1), torch.from_numpy(theirs.data))
        assert ours.y.tolist() == theirs.targets
        assert ours.class_counts() == info.splits[split].class_counts


def test_cifar_pickled_again(tmp_path):
    """A batch that somebody pickled anew with Python 3 is read too."""
    folder = tmp_path / "objects"
    folder.mkdir()
    data = RNG.integers(0, 256, (2, 3072)).astype("u1")
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": data, b"labels": [9, 0]}, protocol=2))
    ours = mounted(str(tmp_path), "objects", "test")
    assert ours.y.tolist() == [9, 0]
    assert torch.equal(ours.x.flatten(1), torch.from_numpy(data))
    assert rejection(tmp_path, "objects", "train").reason == "UNKNOWN_SPLIT"


@pytest.mark.parametrize(
    "content",
    [
        {b"data": np.zeros((2, 3072), "f4"), b"labels": [0, 1]},
        {b"data": np.zeros((2, 3072), "u1"), b"labels": [0]},
        {b"data": np.zeros((2, 3072), "u1"), b"labels": [0, 10]},
        {b"data": [1, 2], b"labels": ["a"]},
        [1, 2],
    ],
)
def test_cifar_with_other_content(tmp_path, content):
    """A batch must hold bytes of 3x32x32 and labels below ten."""
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "test_batch").write_bytes(pickle.dumps(content, protocol=2))
    assert rejection(tmp_path, "objects", "test").reason == "MALFORMED_BATCH"


def test_cifar_can_run_no_code(tmp_path):
    """A batch that would call something is refused before it is called."""

    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("the pickle was run",)

    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "test_batch").write_bytes(pickle.dumps({b"data": Bomb(), b"labels": [1]}))
    error = rejection(tmp_path, "objects", "test")
    assert error.reason == "MALFORMED_BATCH"
    assert "has no place" in error.message


def test_image_folder_as_torchvision_reads_it(tree):
    """The same pictures, labels and order as torchvision's ImageFolder; "val" is the test split."""
    torchvision_models()
    from torchvision.datasets import ImageFolder

    (info,) = scan(str(tree))
    assert (info.input_shape, info.classes) == ((3, 5, 6), 2)
    assert dict(info.splits) == {"train": SplitInfo(5, (3, 2)), "test": SplitInfo(4, (2, 2))}
    for split, folder in (("train", "train"), ("test", "val")):
        theirs, ours = ImageFolder(tree / "pets" / folder), mounted(str(tree), "pets", split)
        assert ours.y.tolist() == theirs.targets
        for number, (picture, _) in enumerate(theirs):
            assert np.array_equal(ours.x[number].permute(1, 2, 0), np.array(picture))


def test_only_the_selected_pictures_are_opened(tree):
    """A selection is read without the others: a broken picture outside it does no harm."""
    whole = mounted(str(tree), "pets", "train")
    (tree / "pets" / "train" / "cat" / "1.png").write_bytes(b"no picture")
    part = mounted(str(tree), "pets", "train", offset=2, count=2)
    assert torch.equal(part.x, whole.x[2:4])
    assert part.y.tolist() == [0, 1]
    error = rejection(tree, "pets")
    assert error.reason == "MALFORMED_IMAGE"
    assert "train/cat/1.png" in error.message


def test_pictures_of_several_sizes(tree):
    """They need a size in dataset.json; then each is scaled to cover it and cut to its middle."""
    make_pictures(tree / "pets" / "train" / "eel", [(12, 5)])
    error = rejection(tree, "pets")
    assert error.reason == "WRONG_SHAPE"
    assert '"size"' in error.message
    (tree / "pets" / "dataset.json").write_text(json.dumps({"size": [5, 6], "channels": 1, "licence": "own"}))
    (info,) = scan(str(tree))
    assert (info.input_shape, info.classes, info.licence) == ((1, 5, 6), 3, "own")
    last = mounted(str(tree), "pets", "train", offset=5)
    wide = Image.open(tree / "pets" / "train" / "eel" / "0.png").convert("L")
    assert np.array_equal(last.x[0, 0], np.array(wide)[:, 3:9])


def test_classes_in_an_order_of_their_own(tree):
    """dataset.json may name the class folders in the order of their labels."""
    (tree / "pets" / "dataset.json").write_text(json.dumps({"classes": ["dog", "cat"], "description": "Pets."}))
    (info,) = scan(str(tree))
    assert info.description == "Pets."
    assert mounted(str(tree), "pets", "train").y.tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"colour": 1}',
        '{"size": [5]}',
        '{"size": [0, 5]}',
        '{"channels": 2}',
        '{"channels": true}',
        '{"classes": ["a"]}',
        '{"classes": ["a", "a"]}',
        '{"licence": 3}',
    ],
)
def test_dataset_json_that_makes_no_sense(tree, text):
    """A description with an unknown key or an impossible value is refused."""
    (tree / "pets" / "dataset.json").write_text(text)
    assert rejection(tree, "pets").reason == "BAD_DATASET_JSON"


def test_pictures_that_are_too_large(tree, monkeypatch):
    """A picture is refused by its head, before its pixels are decoded."""
    monkeypatch.setattr(folders, "_MAX_PIXELS", 29)
    assert rejection(tree, "pets").reason == "IMAGE_TOO_LARGE"


def test_idx_files_that_lie(tmp_path):
    """A head that does not fit its body, another type of number, a packed file cut off, labels of another count."""
    make_mnist(tmp_path / "digits")
    labels = tmp_path / "digits" / "train-labels-idx1-ubyte"
    good = labels.read_bytes()
    for bad in (good[:-1], good + b"\0", b"\0\0\x0d\x01" + good[4:], good[:6]):
        labels.write_bytes(bad)
        assert rejection(tmp_path, "digits").reason == "MALFORMED_IDX"
    labels.write_bytes(idx(np.zeros(5)))
    assert rejection(tmp_path, "digits").reason == "COUNT_MISMATCH"
    labels.unlink()
    assert rejection(tmp_path, "digits").reason == "MISSING_FILE"
    packed = gzip.compress(good)
    for bad in (packed[:-9], packed[:10] + b"\xff" * 9, b"\x1f\x8b nothing"):
        labels.with_suffix(".gz").write_bytes(bad)
        assert rejection(tmp_path, "digits").reason == "MALFORMED_IDX"


@pytest.mark.parametrize(
    ("name", "split", "reason"),
    [
        ("../pets", "train", "BAD_DATASET_NAME"),
        ("pets/train", "train", "BAD_DATASET_NAME"),
        ("cars", "train", "UNKNOWN_DATASET"),
        ("pets", "validation", "UNKNOWN_SPLIT"),
    ],
)
def test_names_that_lead_nowhere(tree, name, split, reason):
    """Nothing outside the root is looked at."""
    assert rejection(tree, name, split).reason == reason


def test_a_bad_folder_does_not_hide_the_others(tree, caplog):
    """Folders that can't be used are left out, with the cause in the log."""
    make_mnist(tree / "digits", counts=(("train", 3),))
    (tree / "notes").mkdir()
    (tree / "a b").mkdir()
    (tree / "readme.txt").write_text("nothing")
    assert [info.name for info in scan(str(tree))] == ["digits", "pets"]
    assert "notes is in none of the layouts" in caplog.text
    assert "'a b' must be letters" in caplog.text
