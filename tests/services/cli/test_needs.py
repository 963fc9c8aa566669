"""`--device-class` and `--min-device-memory-gib`, and what `sparring info` says of devices."""

from __future__ import annotations

import pytest
from sparring import submit
from sparring.pipeline_document import read
from sparring.v1.catalog_pb2 import ServerInfo, WorkerInfo
from sparring.v1.jobs_pb2 import DEVICE_GPU, Execution

from services.cli import listings, output

FLAGS = "--device gpu --device-class h100 --min-device-memory-gib 40"
ASKED = {"device": "gpu", "device_class": "h100", "min_device_memory_gib": 40}
COMMANDS = {
    "attack": "attack bim --model net --dataset mnist10k",
    "evaluation": "evaluate --model net --dataset mnist10k --attack bim",
    "training": "train standard --dataset mnist10k --architecture wong_cnn",
    "poisoning": "poison backdoor --dataset mnist10k --architecture wong_cnn --fractions 0.1 --trigger-label 7",
}


def told(spec):
    """What a spec says of the device."""
    part = spec.execution if hasattr(spec, "execution") else spec
    return part.device, part.device_class, part.min_device_memory_gib


@pytest.mark.parametrize("kind", COMMANDS)
def test_every_kind_of_job_takes_the_flags(sparring, service, kind):
    assert sparring(f"{COMMANDS[kind]} {FLAGS}").code == 0
    request = service.requests("CreateJob")[-1]
    assert told(getattr(request, kind)) == (DEVICE_GPU, "h100", 40)


@pytest.mark.parametrize("memory", ["40GB", "-1", "1.5"])
def test_memory_is_a_whole_number(sparring, memory):
    done = sparring(f"{COMMANDS['attack']} --min-device-memory-gib {memory}")
    assert done.code == 2
    assert "--min-device-memory-gib" in done.err


def test_the_client_takes_them_by_the_names_of_the_contract():
    requests = {
        "attack": submit.attack("net", "d", "fgsm", **ASKED),
        "evaluation": submit.evaluate("net", "d", ["fgsm"], **ASKED),
        "training": submit.train("d", architecture="mlp", **ASKED),
        "poisoning": submit.poison("d", "backdoor", [0.1], architecture="mlp", trigger_label=1, **ASKED),
    }
    assert {kind: told(getattr(request, kind)) for kind, request in requests.items()} == dict.fromkeys(
        requests, (DEVICE_GPU, "h100", 40)
    )
    assert submit.attack("net", "d", "fgsm").attack.execution == Execution()


def test_a_step_of_a_pipeline_takes_them():
    step = {"attack": "bim", "model": "net", "dataset": "digits", **ASKED}
    assert read({"steps": {"broken": step}}).check() is None
    with pytest.raises(ValueError, match="min_device_memory_gib"):
        read({"steps": {"broken": step | {"min_device_memory_gib": "much"}}})


def test_the_list_of_workers_names_class_and_memory_of_those_that_tell(capsys):
    workers = [
        WorkerInfo(id="a", device="gpu", device_name="H100", memory_bytes=79 << 30, device_class="big"),
        WorkerInfo(id="b", device="cpu", device_name="EPYC"),
    ]
    output.show(listings.info(ServerInfo(workers=workers)))
    said = " ".join(capsys.readouterr().out.split())
    assert "gpu (H100, 79.0 GiB, class big)" in said
    assert "cpu (EPYC)" in said
