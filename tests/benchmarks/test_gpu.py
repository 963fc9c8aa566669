"""benchmarks/gpu.py on a CPU, where it runs the same code; and what `make gpu-check` does where there is no GPU."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def loaded(path):
    spec = importlib.util.spec_from_file_location("loaded_for_a_test", ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gpu():
    return loaded("benchmarks/gpu.py")


def test_it_measures_every_row_on_a_cpu_and_writes_device_and_versions(gpu, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "NETS", {"wong_cnn": (1, 28, 28)})
    (tmp_path / "other.json").write_text('{"rows": [1]}')
    out = tmp_path / "deep" / "gpu.json"
    options = ["--device", "cpu", "--quick", "--rounds", "1", "--include", f"other={tmp_path / 'other.json'}"]
    assert gpu.main([*options, "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert (found["kind"], found["cuda"], found["cudnn"]) == ("cpu", None, None)
    assert found["device"]
    assert found["date"]
    assert found["memory_bytes"] > 1 << 28
    assert set(found["versions"]) == {"python", "torch", "sparring"}
    assert found["other"] == {"rows": [1]}
    measured = {(row["what"], row["precision"], row["side"]) for row in found["rows"]}
    assert measured == {
        ("gradient", "float32", "bare"),
        ("gradient", "bfloat16", "bare"),
        ("pgd", "float32", "bare"),
        ("pgd", "float32", "engine"),
        ("training", "float32", "bare"),
        ("training", "bfloat16", "bare"),
    }
    assert all(row["samples_per_s"] > 0 and row["ms"] > 0 and row["peak_bytes"] is None for row in found["rows"])
    (engine,) = (row for row in found["rows"] if row["side"] == "engine")
    assert engine["steps_per_s"] * engine["n"] == pytest.approx(engine["samples_per_s"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_writes_nothing(gpu, capsys, tmp_path):
    assert gpu.main(["--quick", "--out", str(tmp_path / "none.json")]) == 2
    assert "sees no GPU" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_only_a_gpus_figures_are_kept_and_under_its_name(gpu):
    assert gpu.place({"kind": "cuda", "device": "NVIDIA H100 80GB HBM3"}) == (
        ROOT / "benchmarks/results/gpu-nvidia-h100-80gb-hbm3.json"
    )
    assert gpu.place({"kind": "cpu", "device": "AMD EPYC"}) == Path("out/benchmarks/gpu-amd-epyc.json")


def test_the_median_leaves_the_first_call_out(gpu, monkeypatch):
    clock = iter([0.0, 9.0, 10.0, 11.0, 20.0, 23.0, 30.0, 32.0])
    monkeypatch.setattr(gpu.time, "perf_counter", lambda: next(clock))
    assert gpu.seconds(lambda: None, CPU, 3) == 2.0


@pytest.mark.parametrize(
    ("tool", "said", "expected"),
    [
        (None, None, None),
        ("nvidia-smi", SimpleNamespace(returncode=0, stdout="580.65.06\n580.65.06\n"), "580.65.06"),
        ("nvidia-smi", SimpleNamespace(returncode=9, stdout="no devices"), None),
    ],
)
def test_the_driver_is_what_its_own_tool_says(gpu, monkeypatch, tool, said, expected):
    monkeypatch.setattr(gpu.shutil, "which", lambda _: tool)
    monkeypatch.setattr(gpu.subprocess, "run", lambda *_, **__: said)
    assert gpu.driver() == expected


def test_tensor_cores_are_as_before_afterwards(gpu):
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    with gpu.tensor_cores(allowed=not before[0]):
        assert torch.backends.cudnn.allow_tf32 is not before[0]
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before


@pytest.mark.parametrize(("asked", "there", "ends"), [("1", False, True), ("1", True, False), ("", False, False)])
def test_tests_that_need_a_gpu_end_the_run_where_one_was_asked_for_and_is_not_there(monkeypatch, asked, there, ends):
    conftest = loaded("tests/gpu/conftest.py")
    monkeypatch.setenv("SPARRING_NEED_GPU", asked)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    marked = SimpleNamespace(get_closest_marker={"gpu": True}.get)
    with pytest.raises(pytest.exit.Exception, match="no GPU: torch") if ends else contextlib.nullcontext() as ended:
        conftest.pytest_collection_finish(SimpleNamespace(items=[marked]))
    assert not ends or ended.value.returncode == 1
    conftest.pytest_collection_finish(SimpleNamespace(items=[]))
