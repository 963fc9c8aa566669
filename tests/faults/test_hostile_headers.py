"""F15: no file header makes a reader do anything but read it or refuse it, soon and in little memory."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from services.artifacts import headers

from .results import Row
from .stack import missing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).with_name("corpus")
TARGETS = ("gateway-safetensors", "gateway-npy", "worker-npy")
RUNS = 100_000
SECONDS = 15
# What libFuzzer calls a hang, and too much memory; torch alone takes a quarter of it.
HANG_S, MEMORY_MB = 5, 1500
LARGEST = 4096


def npy_header(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    """The text of an array's header."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()[10 if version == (1, 0) else 12 :].partition(b"\n")[0] + b"\n"


def seeds(target: str) -> Iterator[bytes]:
    """Good files and nearly good ones, as `fuzz_headers.whole_file` reads them."""

    def fitting(header: bytes, body: int) -> bytes:
        return b"\1" + body.to_bytes(2, "little") + header

    if target == "gateway-safetensors":
        two = {
            "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
            "b": {"dtype": "U8", "shape": [5], "data_offsets": [24, 29]},
            "__metadata__": {"format": "pt"},
        }
        empty = {"e": {"dtype": "I64", "shape": [0, 7], "data_offsets": [0, 0]}}
        scalar = {"s": {"data_offsets": [0, 2], "shape": [], "dtype": "BF16"}}
        for entries, body in ((two, 29), (empty, 0), (scalar, 2), ({}, 0)):
            yield fitting(json.dumps(entries).encode(), body)
        yield fitting(json.dumps(two, indent=1).encode() + b"   ", 29)
        return
    for array in (np.zeros((2, 3), "<f4"), np.zeros(5, "u1"), np.zeros((), "<i8"), np.zeros((0, 2), "<f8")):
        yield fitting(npy_header(array), array.nbytes)
        yield b"\0" + headers.NPY_MAGIC + b"\2\0" + len(npy_header(array)).to_bytes(4, "little") + npy_header(array)
    for text in (
        b"{'descr':'|b1','fortran_order':False,'shape':(2,)}",
        b"{'descr':'<f4','fortran_order':True,'shape':()}",
    ):
        yield fitting(text, 2)
    yield fitting(b"{'descr': [('x', '<f4'), ('y', '|O')], 'fortran_order': False, 'shape': (1,), }", 12)


def fuzz(target: str, folder: Path, scale: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Run the fuzzer for a while."""
    corpus, found = folder / "corpus", folder / "found"
    corpus.mkdir(parents=True)
    found.mkdir()
    for number, content in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(content)
    for kept in sorted((CORPUS / target).glob("*")):
        (corpus / kept.name).write_bytes(kept.read_bytes())
    flags = [
        f"-runs={RUNS * scale}",
        f"-max_total_time={SECONDS * scale}",
        f"-timeout={HANG_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-max_len={LARGEST}",
        f"-seed={seed % (1 << 31) + 1}",
        f"-artifact_prefix={found}/",
    ]
    return subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzz_headers.py")), target, *flags, str(corpus)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=240 * scale,
        check=False,
    )


@pytest.fixture
def atheris() -> None:
    """Where there is no wheel of it, there is no such test."""
    if importlib.util.find_spec("atheris") is None:
        missing("atheris")


def test_readers_accept_what_the_references_accept_and_raise_what_they_say(
    atheris, tmp_path, faults_seed, scaled, report
):
    with ThreadPoolExecutor(2) as pool:
        runs = {target: pool.submit(fuzz, target, tmp_path / target, scaled(1), faults_seed) for target in TARGETS}
    total = 0
    for target, run in runs.items():
        output = run.result().stdout
        found = {path.name: path.read_bytes().hex()[:2000] for path in (tmp_path / target / "found").iterdir()}
        assert run.result().returncode == 0, f"{target}: {found}\n{output[-3000:]}"
        done = re.search(r"Done (\d+) runs in", output)
        assert done is not None, output[-2000:]
        print(f"{target}: {done.group(1)} runs")
        assert int(done.group(1)) > 1000
        total += int(done.group(1))
    report(Row(fault="F15 headers of files", store="-", runs=len(TARGETS), injections=total))


LARGE = {
    "numbers": b"(" + b"1," * 500_000 + b")",
    "lists": b"[" + b"[]," * 330_000 + b"]",
    "nested": b"(" * 1_000_000,
    "signs": b"-" * 1_000_000 + b"1",
    "sums": b"1" + b"+1j" * 330_000,
    "digits": b"9" * 1_000_000,
}


@pytest.mark.parametrize("what", LARGE)
def test_a_large_header_is_refused_before_it_costs_anything(what):
    text = LARGE[what]
    began = time.process_time()
    with pytest.raises(ValueError) as caught:
        headers.npy(headers.NPY_MAGIC + b"\2\0" + len(text).to_bytes(4, "little") + text, len(text) + 100)
    assert time.process_time() - began < 0.1
    assert len(str(caught.value)) < 500
    began = time.process_time()
    with pytest.raises(ValueError) as caught:
        headers.safetensors(len(text).to_bytes(8, "little") + text.replace(b"(", b"["), len(text) + 100)
    assert time.process_time() - began < 1.0
    assert len(str(caught.value)) < 500
