"""A request that passed becomes a job that means the same for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sparring.v1 import attacks_pb2, datasets_pb2, defenses_pb2, jobs_pb2, models_pb2

from services.errors import InvalidArgument
from services.gateway import catalog, plan
from services.gateway.check_references import check_name, check_references
from services.gateway.checks import check_request
from services.gateway.references import References
from services.gateway.resolve import lane, resolve

SHA = "a" * 64


def model(name="m", architecture="wong_cnn", shape=(1, 28, 28), classes=10):
    return models_pb2.Model(
        name=f"models/{name}",
        state=models_pb2.Model.STATE_READY,
        weights=f"artifacts/{SHA}",
        signature=models_pb2.ModelSignature(architecture=architecture, input_shape=shape, classes=classes),
        defense="standard",
    )


def dataset(name="pictures", splits=(("all", 500),), shape=(1, 28, 28), classes=10, digest=f"{'b' * 64}+{'c' * 64}"):
    return datasets_pb2.Dataset(
        name=f"datasets/{name}",
        state=datasets_pb2.Dataset.STATE_READY,
        source=datasets_pb2.DATASET_SOURCE_UPLOADED,
        input_shape=shape,
        classes=classes,
        splits=[datasets_pb2.Split(name=split, count=count) for split, count in splits],
        digest=digest,
    )


FOUND = References(
    models={"m": model(), "models/m": model(), "jobs/t": model("t"), "r": model("r", "resnet18", (3, 224, 224), 1000)},
    datasets={**catalog.built_in_datasets(), "pictures": dataset()},
)
BIM = attacks_pb2.Attack(bim=attacks_pb2.Bim())


def request(kind, **fields):
    return jobs_pb2.CreateJobRequest(**{kind: fields})


def selection(**fields):
    return datasets_pb2.DataSelection(**{"dataset": "mnist10k", **fields})


def problems(asked, found=FOUND, max_samples=100_000):
    listed = [
        *check_request(asked, max_samples=max_samples),
        *check_references(asked, found, max_samples=max_samples),
        *check_name(asked.training, found),
    ]
    return {violation.field: violation.description for violation in listed}


def test_an_attack_is_filled_in_pinned_and_cut_up():
    job = resolve(request("attack", model="m", data=selection(), attack=BIM, seed=7), FOUND)
    assert (job.attack.data.split, job.attack.data.count, job.attack.seed) == ("test", 2000, 7)
    assert job.attack.attack.bim.steps == 81
    assert job.attack.attack.goal.WhichOneof("kind") == "untargeted"
    assert (job.attack.execution.batch_size, job.attack.execution.shard_size) == (256, 256)
    assert job.attack.execution.device == jobs_pb2.DEVICE_ANY
    assert (job.resolution.shards, job.resolution.units) == (8, 8)
    pinned = job.resolution.models[0]
    assert (pinned.name, pinned.weights_sha256, pinned.defense) == ("models/m", SHA, "standard")
    assert job.resolution.data.dataset == "mnist10k"
    assert list(job.resolution.data.input_shape) == [1, 28, 28]
    assert not job.name


def test_an_uploaded_dataset_is_pinned_by_both_its_digests():
    job = resolve(request("attack", model="m", data=selection(dataset="pictures"), attack=BIM), FOUND)
    assert (job.resolution.data.images_sha256, job.resolution.data.labels_sha256) == ("b" * 64, "c" * 64)
    assert job.resolution.data.split == "all"
    single = References(models=FOUND.models, datasets={"pictures": dataset(digest="d" * 64)})
    job = resolve(request("attack", model="m", data=selection(dataset="pictures"), attack=BIM), single)
    assert (job.resolution.data.images_sha256, job.resolution.data.labels_sha256) == ("d" * 64, "d" * 64)


def test_units_of_an_evaluation_are_models_times_shards():
    asked = request("evaluation", models=["m", "jobs/t", "m"], data=selection(offset=100, count=300), attacks=[BIM])
    asked.evaluation.execution.batch_size = 64
    asked.evaluation.execution.shard_size = 100
    job = resolve(asked, FOUND)
    assert job.evaluation.execution.shard_size == 128, "rounded up to whole batches"
    assert (job.resolution.shards, job.resolution.units) == (3, 9)
    assert [pinned.name for pinned in job.resolution.models] == ["models/m", "models/t", "models/m"]


def test_a_curve_counts_its_steps_as_given():
    curve = jobs_pb2.EpsilonCurve(attack=BIM, epsilons=[0.1])
    job = resolve(request("evaluation", models=["m"], data=selection(), curves=[curve]), FOUND)
    bim = job.evaluation.curves[0].attack.bim
    assert bim.step_size == pytest.approx(2.5 * bim.epsilon / bim.steps)


def test_a_training_is_one_unit_judged_on_the_test_split():
    asked = request("training", architecture="wong_cnn", data=selection())
    asked.training.defense.distillation.SetInParent()
    asked.training.optimization.epochs = 3
    job = resolve(asked, FOUND)
    assert (job.training.data.split, job.training.data.count) == ("train", 8000)
    assert (job.resolution.evaluation_data.split, job.resolution.evaluation_data.count) == ("test", 2000)
    assert job.training.defense.distillation.teacher_epochs == 3
    assert job.training.optimization.optimizer == jobs_pb2.OPTIMIZER_ADAM
    assert (job.resolution.shards, job.resolution.units, len(job.resolution.models)) == (1, 1, 0)


def test_an_undefended_training_says_so():
    job = resolve(request("training", architecture="mlp", data=selection(dataset="pictures")), FOUND)
    assert job.training.defense.WhichOneof("kind") == "standard"
    assert not job.resolution.HasField("evaluation_data"), "there is no test split to judge it on"


def test_a_training_may_go_on_from_a_model():
    job = resolve(request("training", initial_model="m", data=selection()), FOUND)
    assert job.training.architecture == "wong_cnn"
    assert job.resolution.models[0].weights_sha256 == SHA


@pytest.mark.parametrize("kind", ["attack", "evaluation", "training"])
def test_a_resolved_spec_is_a_valid_request_that_resolves_to_itself(kind):
    asked = {
        "attack": request("attack", model="m", data=selection(), attack=BIM),
        "evaluation": request(
            "evaluation",
            models=["m"],
            data=selection(),
            attacks=[BIM, attacks_pb2.Attack(iterative_least_likely=attacks_pb2.IterativeLeastLikely())],
            curves=[jobs_pb2.EpsilonCurve(attack=attacks_pb2.Attack(pgd=attacks_pb2.Pgd()), epsilons=[0, 0.1])],
        ),
        "training": request("training", architecture="mlp", data=selection(), defense=defenses_pb2.Defense()),
    }[kind]
    if kind == "training":
        asked.training.defense.pgd_adversarial.SetInParent()
    job = resolve(asked, FOUND)
    again = request(kind)
    getattr(again, kind).CopyFrom(getattr(job, kind))
    assert problems(again) == {}
    assert resolve(again, FOUND).SerializeToString(deterministic=True) == job.SerializeToString(deterministic=True)


def test_the_request_is_left_as_it_was():
    asked = request("attack", model="m", data=selection(), attack=BIM)
    before = asked.SerializeToString(deterministic=True)
    resolve(asked, FOUND)
    assert asked.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("device", "name"), [(0, "any"), (jobs_pb2.DEVICE_ANY, "any"), (jobs_pb2.DEVICE_CPU, "cpu"), (3, "gpu")]
)
def test_the_lane_follows_the_device(device, name):
    asked = request("attack", model="m", data=selection(), attack=BIM, execution=jobs_pb2.Execution(device=device))
    assert lane(resolve(asked, FOUND)) == name
    assert lane(resolve(request("training", architecture="mlp", data=selection(), device=device), FOUND)) == name


def test_too_many_units_are_refused():
    asked = request("evaluation", models=["m"] * 16, data=selection(), attacks=[BIM])
    asked.evaluation.execution.batch_size = 1
    asked.evaluation.execution.shard_size = 1
    with pytest.raises(InvalidArgument, match="32000 units of work, at most 10000"):
        resolve(asked, FOUND)
    asked.evaluation.execution.ClearField("shard_size")
    assert resolve(asked, FOUND).resolution.units <= plan.MAX_UNITS


def test_large_networks_get_small_batches():
    big = References(models=FOUND.models, datasets={"i": dataset("i", (("test", 100),), (3, 224, 224), 1000)})
    asked = request("attack", model="r", data=selection(dataset="i"), attack=BIM)
    assert resolve(asked, big).attack.execution.batch_size == 2
    asked.attack.execution.device = jobs_pb2.DEVICE_GPU
    assert resolve(asked, big).attack.execution.batch_size == 128


@given(cost=st.floats(1e-6, 1e4), count=st.integers(1, 10**6), models=st.integers(1, 16), gpu=st.booleans())
def test_the_plan_stays_in_its_bounds(cost, count, models, gpu):
    batch = plan.choose_batch_size([cost], gpu=gpu)
    assert 1 <= batch <= plan.MAX_BATCH_SIZE
    assert batch & (batch - 1) == 0
    shard = plan.choose_shard_size(count, models, batch)
    assert shard % batch == 0
    assert models * plan.shards(count, shard) <= plan.MAX_UNITS


@given(asked=st.integers(1, 10**6), batch=st.integers(1, 65536))
def test_shards_are_whole_batches_within_the_range(asked, batch):
    rounded = plan.round_shard_size(asked, batch)
    assert rounded % batch == 0
    assert 1 <= rounded <= plan.MAX_SHARD_SIZE
    assert plan.round_shard_size(rounded, batch) == rounded


def test_references_are_checked_together():
    found = References(
        models={"m": model(), "small": model("small", shape=(1, 8, 8), classes=3)},
        datasets={"mnist10k": catalog.built_in_datasets()["mnist10k"]},
    )
    dlr = attacks_pb2.Attack(pgd=attacks_pb2.Pgd(loss=attacks_pb2.LOSS_DLR))
    targeted = attacks_pb2.Attack(
        fgsm=attacks_pb2.Fgsm(), goal=attacks_pb2.Goal(targeted=attacks_pb2.Targeted(label=5))
    )
    asked = request(
        "evaluation",
        models=["m", "small"],
        data=selection(split="tst", offset=5),
        attacks=[dlr],
        curves=[jobs_pb2.EpsilonCurve(attack=targeted, epsilons=[0.1])],
    )
    listed = problems(asked, found)
    assert set(listed) == {
        "evaluation.data.split",
        "evaluation.models[1]",
        "evaluation.curves[0].attack.goal.targeted.label",
    }
    assert "did you mean 'test'" in listed["evaluation.data.split"]
    assert "below the number of classes, 3" in listed["evaluation.curves[0].attack.goal.targeted.label"]


def test_a_model_is_judged_once_whatever_names_it_has():
    listed = problems(request("evaluation", models=["m", "jobs/t", "models/m"], data=selection()))
    assert listed == {
        "evaluation.models[2]": "'models/m' is models/m, as evaluation.models[0] is; leave one of them out"
    }


@pytest.mark.parametrize(
    ("classes", "targeted", "refused"), [(2, False, True), (3, False, False), (3, True, True), (4, True, False)]
)
def test_dlr_needs_three_classes_and_four_with_a_target(classes, targeted, refused):
    found = References(models={"m": model("m", classes=classes)}, datasets={"d": dataset("d", classes=classes)})
    dlr = attacks_pb2.Attack(pgd=attacks_pb2.Pgd(loss=attacks_pb2.LOSS_DLR))
    if targeted:
        dlr.goal.targeted.label = 0
    listed = problems(request("attack", model="m", data=selection(dataset="d"), attack=dlr), found)
    assert set(listed) == ({"attack.attack.pgd.loss"} if refused else set())


@pytest.mark.parametrize(
    ("offset", "count", "field"), [(2000, 0, "offset"), (1999, 2, "count"), (0, 2001, "count"), (1999, 1, None)]
)
def test_a_selection_lies_within_its_split(offset, count, field):
    asked = request("attack", model="m", data=selection(offset=offset, count=count), attack=BIM)
    assert set(problems(asked)) == ({f"attack.data.{field}"} if field else set())


def test_all_of_a_split_may_be_too_much():
    asked = request("attack", model="m", data=selection(), attack=BIM)
    assert "one job may take 1999" in problems(asked, max_samples=1999)["attack.data.count"]
    assert problems(asked, max_samples=2000) == {}


def test_what_only_a_training_has_is_checked():
    taken = References(models=FOUND.models, datasets=FOUND.datasets, id_taken=True)
    asked = request("training", architecture="mlp", data=selection(), model_id="m", mean=[0.1, 0.2, 0.3], std=[1.0])
    assert set(problems(asked, taken)) == {"training.model_id", "training.mean"}
    asked = request("training", architecture="mlp", initial_model="m", data=selection(), mean=[0.1])
    assert set(problems(asked)) == {"training.architecture", "training.mean"}
    asked = request(
        "training", architecture="mlp", data=selection(), evaluation_data=selection(dataset="digits", split="test")
    )
    assert set(problems(asked)) == {"training.evaluation_data.dataset"}
