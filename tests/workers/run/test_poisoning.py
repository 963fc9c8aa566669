"""Poisonings from their job's message to the table, the page and the manifest."""

from __future__ import annotations

import json
import shlex

import pytest
from sparring.v1 import datasets_pb2, jobs_pb2, poisoning_pb2

from services.jobs.states import State
from workers.lease import Drain, Heartbeat, LeaseLost, Limits
from workers.poisoning.packing import unpack
from workers.run import run_unit

FLIPS = poisoning_pb2.Poison(label_flip=poisoning_pb2.LabelFlip(choice=poisoning_pb2.FLIP_CHOICE_LOSS))
TRIGGER = poisoning_pb2.Poison(
    backdoor=poisoning_pb2.Backdoor(trigger_label=7, trigger_size=2, trigger_value=1.0),
)
COLLISION = poisoning_pb2.Poison(
    feature_collision=poisoning_pb2.FeatureCollision(
        base_label=1, targets=2, collision_steps=10, collision_step_size=10, closeness=0.003
    )
)
MACHINE = poisoning_pb2.Poison(
    svm_gradient=poisoning_pb2.SvmGradient(
        attacking_label=7, attacked_label=1, svm_samples=40, svm_validation=60, ascent_steps=5, ascent_step_size=0.3
    )
)


@pytest.fixture
def poisoning(make):
    """A poisoning of 600 digits as the gateway would have resolved it."""

    def built(poison=FLIPS, *, sanitizer=poisoning_pb2.SANITIZER_NONE, fractions=(0.0, 0.2)) -> jobs_pb2.Job:
        spec = poisoning_pb2.PoisoningSpec(
            architecture="mlp",
            data=datasets_pb2.DataSelection(dataset="digits", split="train", count=600),
            evaluation_data=datasets_pb2.DataSelection(dataset="digits", split="test", count=150),
            poison=poison,
            fractions=fractions,
            sanitizer=sanitizer,
            seed=2**63 + 3,
            device=jobs_pb2.DEVICE_ANY,
        )
        if poison.HasField("svm_gradient"):
            spec.architecture = "linear_svm"
            spec.fitting.cost, spec.fitting.solver_rounds = 1.0, 1000
        else:
            learning = make.training(None, epochs=5).training.optimization
            spec.optimization.CopyFrom(learning)
        data, judged = make.digits("train", 600), make.digits("test", 150)
        resolution = jobs_pb2.Resolution(data=data, evaluation_data=judged, shards=1, units=len(fractions))
        return jobs_pb2.Job(poisoning=spec, resolution=resolution, display_name="a <b>")

    return built


def test_a_poisoning_ends_with_a_row_for_each_fraction(bench, poisoning) -> None:
    result = bench.result(poisoning(sanitizer=poisoning_pb2.SANITIZER_LOSS))
    clean, flipped = result.poisoning_rows
    assert [(row.fraction, row.poisoned, row.samples, row.n) for row in (clean, flipped)] == [
        (0.0, 0, 600, 150),
        (0.2, 120, 600, 150),
    ]
    assert clean.error == clean.clean_error == flipped.clean_error
    assert flipped.error.value > clean.error.value + 0.02
    assert flipped.error.low <= flipped.error.value <= flipped.error.high
    assert flipped.sanitized_error.value != flipped.error.value
    assert (flipped.dropped, clean.dropped) == (120, 0)
    assert 0 < flipped.caught <= 120
    assert not flipped.HasField("trigger_rate")
    assert flipped.seconds > 0
    assert len(result.rows) == 0
    assert [artifact.role for artifact in result.artifacts] == ["report", "metrics", "manifest"]


@pytest.mark.parametrize(("poison", "chances"), [(TRIGGER, 135), (COLLISION, 2)], ids=["backdoor", "collision"])
def test_what_a_poison_is_for_has_a_rate(bench, poisoning, poison, chances) -> None:
    result = bench.result(poisoning(poison, fractions=(0.0, 0.05)))
    done = [unpack(bench.artifacts.get("default", unit.digest)) for unit in bench.store.unit_results("default", "job")]
    assert {one.plain.chances for one in done} == {chances}
    clean, poisoned = result.poisoning_rows
    assert poisoned.trigger_rate.value >= clean.trigger_rate.value
    assert not poisoned.HasField("sanitized_error")
    assert result.warnings == []


def test_a_machine_is_poisoned_by_points_that_are_added(bench, poisoning) -> None:
    clean, poisoned = bench.result(poisoning(MACHINE, fractions=(0.0, 0.1))).poisoning_rows
    assert (clean.samples, poisoned.samples, poisoned.poisoned) == (40, 44, 4)
    assert poisoned.error.value > clean.error.value


def test_the_page_and_the_figures_say_what_was_done(bench, poisoning) -> None:
    result = bench.result(poisoning(TRIGGER, sanitizer=poisoning_pb2.SANITIZER_TRIMMED, fractions=(0.0, 0.1)))
    page, figures = bench.file(result, "report").decode(), json.loads(bench.file(result, "metrics"))
    assert page.startswith("<!doctype html>")
    assert "a &lt;b&gt;" in page
    assert page.count('<svg class="plot"') == 2
    assert page.count("data:image/png") == 16
    assert "1708.06733" in page
    assert figures["poison"] == {
        "name": "backdoor",
        "parameters": {"trigger_label": 7, "trigger_size": 2, "trigger_value": 1.0},
    }
    assert [row["fraction"] for row in figures["rows"]] == [0.0, 0.1]
    assert figures["rows"][1]["trigger_rate"]["of"] > 0
    assert "told how much is poison" in result.warnings[0]


def test_the_command_on_the_page_asks_for_the_same(bench, poisoning) -> None:
    from sparring import values

    from services.cli import poison as command_line

    result = bench.result(poisoning(TRIGGER, fractions=(0.0, 0.05)))
    words = shlex.split(json.loads(bench.file(result, "metrics"))["command"])
    assert words[:3] == ["sparring", "poison", "backdoor"]
    command = command_line.poison.get_command(None, "backdoor")
    assert command is not None
    given = command.make_context("backdoor", words[3:]).params
    assert given["fractions"] == [0.0, 0.05]
    assert (given["trigger_label"], given["seed"], given["count"]) == (7, 2**63 + 3, 600)
    assert given["evaluation_count"] == 150
    assert values.choices(poisoning_pb2.Sanitizer.DESCRIPTOR)["none"] == given["sanitizer"]


def test_the_manifest_has_every_unit_and_the_inputs(bench, poisoning) -> None:
    result = bench.result(poisoning())
    manifest = json.loads(bench.file(result, "manifest"))
    digests = [unit.digest for unit in bench.store.unit_results("default", "job")]
    assert manifest["kind"] == "poisoning"
    assert manifest["models"] == []
    assert manifest["units"] == [
        {"unit": number, "fraction": fraction, "sha256": digest}
        for number, (fraction, digest) in enumerate(zip((0.0, 0.2), digests, strict=True))
    ]
    assert (manifest["inputs"]["count"], manifest["evaluation_inputs"]["count"]) == (600, 150)


def test_a_fraction_alone_commits_the_bytes_that_it_commits_among_others(bench, poisoning) -> None:
    bench.result(poisoning(fractions=(0.0, 0.1, 0.3)), "all")
    bench.result(poisoning(fractions=(0.3,)), "one")
    every, one = ([unit.digest for unit in bench.store.unit_results("default", name)] for name in ("all", "one"))
    assert one == [every[2]]


def test_data_that_do_not_suffice_fail_the_job_with_words(bench, poisoning) -> None:
    job = poisoning(MACHINE, fractions=(0.0,))
    job.poisoning.poison.svm_gradient.svm_samples = 500
    reason, message = bench.failure(job)
    assert reason == "TOO_FEW_SAMPLES"
    assert "560 samples of the two classes" in message


def test_a_poisoning_that_is_cancelled_stops_between_two_steps(bench, poisoning) -> None:
    job = poisoning(fractions=(0.0,))
    job.poisoning.optimization.epochs = 10_000
    bench.submit(job)

    class Cancelling:
        """Cancels the job once the training has begun."""

        def __init__(self, heartbeat) -> None:
            self.heartbeat, self.asked = heartbeat, False

        def __getattr__(self, name):
            return getattr(self.heartbeat, name)

        def tick(self, fraction: float, message: str = "") -> None:
            if fraction > 0 and not self.asked:
                self.asked = True
                bench.store.cancel("default", "job", "")
            self.heartbeat.tick(fraction, message)

    bench.serve(Cancelling)
    assert bench.store.get("default", "job").state is State.CANCELLED


@pytest.mark.parametrize("poison", [FLIPS, TRIGGER, COLLISION, MACHINE], ids=lambda poison: poison.WhichOneof("kind"))
def test_a_unit_whose_workers_die_commits_what_it_would_have(bench, poisoning, poison) -> None:
    job = poisoning(poison, sanitizer=poisoning_pb2.SANITIZER_LOSS, fractions=(0.05,))
    digests, deaths = [], (0, 1, 5, 12)
    for number, tick in enumerate(deaths):
        bench.submit(job, f"job-{number}")
        for life in range(1 if tick == 0 else 2):
            lease = bench.store.claim(f"claim {number} {life}", "w", "cpu", 600_000)
            with Heartbeat(bench.store, lease, "w", limits=Limits(), drain=Drain()) as heartbeat:
                dying = Dying(heartbeat, tick if life == 0 else 0)
                if tick and life == 0:
                    with pytest.raises(LeaseLost):
                        run_unit(lease, dying, bench.context)
                else:
                    digests.append(run_unit(lease, dying, bench.context).digest)
            bench.store.release(lease, "w")
        bench.store.cancel("default", f"job-{number}", "")
    assert len(set(digests)) == 1
    assert len(digests) == len(deaths)


class Dying:
    """A heartbeat of a worker that dies at tick number `tick`; at none for 0."""

    def __init__(self, heartbeat: Heartbeat, tick: int) -> None:
        self._heartbeat, self._left = heartbeat, tick

    def __getattr__(self, name: str):
        return getattr(self._heartbeat, name)

    def tick(self, fraction: float, message: str = "") -> None:
        self._left -= 1
        if self._left == 0:
            raise LeaseLost
        self._heartbeat.tick(fraction, message)
