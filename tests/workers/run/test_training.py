"""Trainings from their job's message to the model that they make known."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from sparring.v1 import defenses_pb2, jobs_pb2, models_pb2

from services.errors import ResourceExhausted
from workers.engine import train_probes

STANDARD = defenses_pb2.Defense(standard=defenses_pb2.StandardTraining())
HARDENED = defenses_pb2.Defense(
    fgsm_adversarial=defenses_pb2.FgsmAdversarialTraining(
        epsilon=0.05, alpha=0.5, attack_label=defenses_pb2.ATTACK_LABEL_PREDICTED
    )
)


def test_a_training_registers_its_model_and_judges_it(bench, make) -> None:
    result = bench.result(make.training(STANDARD))
    model = models_pb2.Model.FromString(bench.store.lookup("default", "model", "mine"))
    assert (model.name, model.job, model.defense) == ("models/mine", "jobs/job", "standard")
    assert model.state == models_pb2.Model.STATE_READY
    assert model.parameters == 650
    assert result.model == "models/mine"
    assert f"artifacts/{bench.store.unit_results('default', 'job')[0].digest}" == model.weights
    assert result.rows[0].clean_accuracy.value > 0.7
    assert len(result.rows) == 1


def test_an_adversarial_training_is_judged_at_its_own_radius(bench, make) -> None:
    result = bench.result(make.training(HARDENED))
    assert [(row.attack, row.epsilon) for row in result.rows[:3]] == [("clean", 0), ("fgsm", 0.05), ("pgd", 0.05)]
    assert result.rows[2].parameters.pgd.steps == 10


def test_a_name_that_was_taken_meanwhile_gives_way_to_the_job_s(bench, make) -> None:
    bench.result(make.training(STANDARD), "first")
    assert bench.result(make.training(STANDARD), "second").model == "models/second"


def test_without_test_data_the_model_is_kept_and_the_result_says_so(bench, make) -> None:
    job = make.training(STANDARD, epochs=1)
    job.resolution.ClearField("evaluation_data")
    result = bench.result(job)
    assert [artifact.role for artifact in result.artifacts] == ["weights", "manifest"]
    assert "not judged" in result.warnings[0]


@pytest.mark.parametrize("kept", [False, True], ids=["gone", "of another version"])
def test_a_checkpoint_that_can_not_be_used_costs_time_only(bench, make, *, kept: bool) -> None:
    job = make.training(STANDARD)
    bench.result(job, "whole")
    digest = bench.artifacts.put("default", b"not what a training writes today") if kept else "0" * 64
    bench.submit(job, "stopped")
    lease = bench.store.claim("c", "w", "cpu", 60_000)
    assert lease is not None
    bench.store.renew(lease, "w", 60_000, checkpoint=digest)
    bench.store.release(lease, "w")
    bench.serve()
    whole, stopped = (bench.store.unit_results("default", name)[0] for name in ("whole", "stopped"))
    assert whole.digest == stopped.digest


def test_only_the_last_checkpoint_is_kept_and_only_until_the_training_has_ended(bench, make, redis) -> None:
    held: list[int] = []
    put = bench.artifacts.put

    def counted(*arguments: object) -> str:
        digest = put(*arguments)
        held.append(len(redis.keys("{sparring}:a:*:m")))
        return digest

    bench.artifacts.put = counted
    result = bench.result(make.training(STANDARD, epochs=6))
    # A new checkpoint is there before the old one goes.
    assert max(held[:6]) == 2
    assert len(redis.keys("{sparring}:a:*:m")) == len(result.artifacts) == 5


def test_a_store_without_room_for_checkpoints_stops_no_training(bench, make, monkeypatch: pytest.MonkeyPatch) -> None:
    put = bench.artifacts.put

    def full(tenant: str, data: bytes, media_type: str = "", ttl_s: float | None = None) -> str:
        if ttl_s is not None:
            raise ResourceExhausted("the store is full")
        return put(tenant, data, media_type)

    monkeypatch.setattr(bench.artifacts, "put", full)
    assert bench.result(make.training(STANDARD)).model == "models/mine"


WATCHED = jobs_pb2.Validation(
    held_out=0.2,
    select=jobs_pb2.SELECTION_ROBUST,
    probe_epsilon=0.05,
    probe_steps=3,
    probe_samples=100,
    probe_every=1,
)


def test_a_watched_training_tells_its_course(bench, make) -> None:
    """The probes are in what is committed, in the report, in the figures, and heard of while it goes on."""
    job = make.training(HARDENED)
    job.training.validation.CopyFrom(WATCHED)
    result = bench.result(job)
    stats = bench.store.unit_results("default", "job")[0].stats
    assert [probe["epoch"] for probe in stats["probes"]] == [1, 2, 3]
    best = max(stats["probes"], key=lambda probe: (probe["held_out_robust"], probe["held_out_clean"], -probe["epoch"]))
    assert stats["selected"] == best["epoch"]
    told = json.loads(bench.file(result, "metrics"))["training"]
    assert [look["held_out_robust"] for look in told["looks"]] == [p["held_out_robust"] for p in stats["probes"]]
    assert "How it was trained" in bench.file(result, "report").decode()
    manifest = json.loads(bench.file(result, "manifest"))
    assert manifest["spec"]["training"]["validation"]["select"] == "SELECTION_ROBUST"


def test_what_a_training_warns_of_is_said_without_a_report_too(bench, make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drop that any training has makes it go back; without test data the result's own warnings say so."""
    job = make.training(STANDARD, epochs=4)
    job.training.validation.CopyFrom(WATCHED)
    job.training.validation.MergeFrom(jobs_pb2.Validation(overfitting_drop=0.5))
    job.resolution.ClearField("evaluation_data")
    looks = iter([0.9, 0.1, 0.9, 0.9])
    seen = train_probes.Watch.look

    def look(watch, network, epoch):
        return replace(seen(watch, network, epoch), probe_robust=next(looks))

    monkeypatch.setattr(train_probes.Watch, "look", look)
    result = bench.result(job)
    assert "not judged" in result.warnings[0]
    assert any("Catastrophic overfitting: after epoch 2" in warning for warning in result.warnings[1:])


def test_a_training_is_spread_over_the_worker_s_processes(bench, make) -> None:
    """Through the whole of a worker's part: the same model but for rounding, and the result says by how many."""
    bench.result(make.training(STANDARD, epochs=1), "alone")
    bench.context = replace(bench.context, devices=(torch.device("cpu"),) * 2)
    result = bench.result(make.training(STANDARD, epochs=1), "both")
    assert result.provenance["processes"] == "2"
    digests = [bench.store.unit_results("default", name)[0].digest for name in ("alone", "both")]
    one, two = (safetensors.torch.load(bench.artifacts.get("default", digest)) for digest in digests)
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
