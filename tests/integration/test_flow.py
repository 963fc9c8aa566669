"""Jobs from acceptance to result, through a real gateway and real worker processes."""

from __future__ import annotations

import json
import math

import grpc
import numpy as np
import pytest
from safetensors.numpy import load, save
from sparring.v1 import attacks_pb2, datasets_pb2, defenses_pb2, jobs_pb2, models_pb2

pytestmark = pytest.mark.xdist_group("stack")
Job = jobs_pb2.Job


def test_a_training_makes_a_model_that_the_next_job_can_name(api) -> None:
    trained = api.run(api.training())
    assert trained.result.rows[0].attack == "clean"
    assert trained.result.rows[0].clean_accuracy.value > 0.8
    roles = {artifact.role for artifact in trained.result.artifacts}
    assert roles == {"report", "metrics", "markdown", "weights", "manifest"}
    assert trained.result.model == f"models/{trained.name.removeprefix('jobs/')}"
    known = api.models.GetModel(models_pb2.GetModelRequest(name=trained.result.model))
    assert known.state == models_pb2.Model.STATE_READY
    assert known.parameters > 0
    assert (known.job, known.defense) == (trained.name, "standard")
    losses = [event.metric for event in api.events(trained.name) if event.HasField("metric")]
    assert [metric.step for metric in losses if metric.name == "loss"] == sorted({metric.step for metric in losses})
    attacked = api.run(api.attack(trained.name, api.fgsm()))
    assert attacked.resolution.models[0].name == trained.result.model


def test_an_attack_keeps_its_promises(api, model: str) -> None:
    job = api.run(api.attack(model, api.fgsm(0.2), batch_size=64, shard_size=64))
    assert job.resolution.units == math.ceil(300 / 64)
    clean, attacked = job.result.rows
    assert attacked.robust_accuracy.value < clean.clean_accuracy.value - 0.2
    assert attacked.violations == 0
    assert attacked.parameters.fgsm.epsilon == 0.2
    # One gradient of each sample that was right.
    assert attacked.backwards == round(clean.clean_accuracy.value * 300)
    assert attacked.forwards >= 300 + attacked.backwards
    tensors = load(api.download(job, "adversarial"))
    assert tensors["x_adv"].shape == (300, 1, 28, 28)
    assert tensors["x_adv"].min() >= 0
    assert tensors["x_adv"].max() <= 1
    assert float(tensors["distance"].max()) <= 0.2 + 1e-6
    assert (tensors["prediction"] == tensors["label"]).mean() == pytest.approx(attacked.robust_accuracy.value)
    assert json.loads(api.download(job, "metrics"))["rows"][1]["n"] == 300
    assert api.download(job, "report").startswith(b"<!doctype html>")
    assert job.result.provenance["threads"] == "1"


def test_an_evaluation_compares_models_attacks_and_radii(api, model: str) -> None:
    hardened = api.training(
        defense=defenses_pb2.Defense(fgsm_adversarial=defenses_pb2.FgsmAdversarialTraining(epsilon=0.1))
    )
    second = api.run(hardened)
    judged = [row.attack for row in second.result.rows]
    assert judged[:3] == ["clean", "fgsm", "pgd"]
    spec = jobs_pb2.EvaluationSpec(
        models=[model, second.name],
        data=datasets_pb2.DataSelection(dataset="mnist10k", offset=100, count=100),
        attacks=[api.fgsm(0.1), attacks_pb2.Attack(bim=attacks_pb2.Bim(epsilon=0.1, steps=5))],
        curves=[jobs_pb2.EpsilonCurve(attack=api.fgsm(), epsilons=[0, 0.05, 0.1])],
        execution=jobs_pb2.Execution(batch_size=32, shard_size=32),
    )
    job = api.run(spec)
    assert job.resolution.units == 2 * 4
    table = [row for row in job.result.rows if not row.curve]
    assert [row.attack for row in table] == ["clean", "fgsm", "bim", "worst_case"] * 2
    assert [row.defense for row in table] == ["standard"] * 4 + ["fgsm_adversarial"] * 4
    assert table[6].robust_accuracy.value > table[2].robust_accuracy.value
    curve = [row.robust_accuracy.value for row in job.result.rows if row.curve]
    assert curve[:3] == sorted(curve[:3], reverse=True)
    assert [row.epsilon for row in job.result.rows if row.curve] == [0, 0.05, 0.1] * 2
    assert b"<!doctype html>" in api.download(job, "report")[:100].lower()


def test_the_same_seed_trains_the_same_bytes(api, model: str) -> None:
    again = api.run(api.training(model_id="again"))
    weights = [api.models.GetModel(models_pb2.GetModelRequest(name=name)).weights for name in (model, "models/again")]
    assert weights[0] == weights[1]
    assert again.result.model == "models/again"


def test_two_trainings_under_one_name_both_keep_their_model(api) -> None:
    short = jobs_pb2.Optimization(epochs=1, batch_size=50)
    names = [api.create(api.training(model_id="wanted", optimization=short, seed=seed)) for seed in (1, 2)]
    made = {name: api.wait(name).result.model for name in names}
    assert "models/wanted" in made.values()
    for name, model in made.items():
        assert api.models.GetModel(models_pb2.GetModelRequest(name=model)).job == name


def test_training_goes_on_from_another_model(api, model: str) -> None:
    job = api.run(api.training(architecture="", initial_model=model, optimization=jobs_pb2.Optimization(epochs=1)))
    assert job.training.architecture == "wong_cnn"
    assert job.result.rows[0].clean_accuracy.value > 0.8


def test_a_training_that_runs_away_says_so(api) -> None:
    wild = jobs_pb2.Optimization(epochs=2, learning_rate=100, optimizer=jobs_pb2.OPTIMIZER_SGD)
    job = api.wait(api.create(api.training(std=[1e-20], optimization=wild)))
    assert job.state == Job.STATE_FAILED
    assert "learning_rate" in job.error.message


class TestIntake:
    """Uploads, good and bad."""

    def register(self, api, content: bytes, model_id: str, architecture: str = "wong_cnn") -> models_pb2.Model:
        signature = models_pb2.ModelSignature(architecture=architecture, input_shape=[1, 28, 28], classes=10)
        request = models_pb2.RegisterModelRequest(model_id=model_id, weights=api.upload(content), signature=signature)
        model = api.models.RegisterModel(request, timeout=10)
        api.wait(model.job)
        return api.models.GetModel(models_pb2.GetModelRequest(name=model.name))

    def weights(self, api, model: str) -> dict[str, np.ndarray]:
        known = api.models.GetModel(models_pb2.GetModelRequest(name=model))
        training = api.get(known.job)
        return load(api.download(training, "weights"))

    def test_a_good_model_becomes_ready_and_can_be_attacked(self, api, model: str) -> None:
        uploaded = self.register(api, save(self.weights(api, model)), "uploaded")
        assert uploaded.state == models_pb2.Model.STATE_READY
        assert uploaded.parameters > 0
        api.run(api.attack("models/uploaded", api.fgsm(), count=32))

    def test_weights_that_are_not_numbers_are_rejected(self, api, model: str) -> None:
        tensors = self.weights(api, model)
        first = min(tensors)
        tensors[first] = np.full_like(tensors[first], np.nan)
        rejected = self.register(api, save(tensors), "not-finite")
        assert rejected.state == models_pb2.Model.STATE_REJECTED
        assert api.reason(rejected.error) == "NOT_FINITE"
        with pytest.raises(grpc.RpcError) as caught:
            api.create(api.attack("not-finite", api.fgsm()))
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION

    def test_weights_of_another_architecture_are_rejected(self, api, model: str) -> None:
        rejected = self.register(api, save(self.weights(api, model)), "misfit", architecture="mlp")
        assert rejected.state == models_pb2.Model.STATE_REJECTED
        assert api.reason(rejected.error) == "MODEL_DOES_NOT_FIT"

    def test_a_file_that_is_no_safetensors_is_refused_at_once(self, api) -> None:
        header = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,99999]}}'
        hostile = len(header).to_bytes(8, "little") + header + b"\0" * 16
        with pytest.raises(grpc.RpcError) as caught:
            self.register(api, hostile, "hostile")
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT

    def dataset(self, api, images: np.ndarray, labels: np.ndarray, dataset_id: str) -> datasets_pb2.Dataset:
        request = datasets_pb2.RegisterDatasetRequest(
            dataset_id=dataset_id,
            images=api.upload(api.npy(images)),
            labels=api.upload(api.npy(labels)),
            classes=10,
        )
        dataset = api.datasets.RegisterDataset(request, timeout=10)
        api.wait(dataset.job)
        return api.datasets.GetDataset(datasets_pb2.GetDatasetRequest(name=dataset.name))

    def test_a_good_dataset_becomes_ready_and_can_be_attacked(self, api, model: str) -> None:
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (40, 28, 28), dtype=np.uint8)
        labels = np.arange(40) % 8
        uploaded = self.dataset(api, images, labels, "mine")
        assert uploaded.state == datasets_pb2.Dataset.STATE_READY
        assert list(uploaded.input_shape) == [1, 28, 28]
        assert [(split.name, split.count, list(split.class_counts)) for split in uploaded.splits] == [
            ("all", 40, [5] * 8 + [0, 0])
        ]
        job = api.run(api.attack(model, api.fgsm(), dataset="mine", count=0))
        assert job.result.rows[1].n == 40

    @pytest.mark.parametrize(
        ("name", "pixel", "label", "reason"),
        [
            ("nan", np.nan, 0, "NOT_FINITE"),
            ("bright", 7.0, 0, "PIXEL_OUT_OF_RANGE"),
            ("label", 0.5, 10, "LABEL_OUT_OF_RANGE"),
        ],
    )
    def test_a_bad_dataset_is_rejected(self, api, name: str, pixel: float, label: int, reason: str) -> None:
        images = np.zeros((20, 1, 28, 28), np.float32)
        images[13, 0, 2, 3] = pixel
        labels = np.zeros(20, np.int64)
        labels[5] = label
        rejected = self.dataset(api, images, labels, f"bad-{name}")
        assert rejected.state == datasets_pb2.Dataset.STATE_REJECTED
        assert api.reason(rejected.error) == reason
