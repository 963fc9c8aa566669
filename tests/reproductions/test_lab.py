"""What experiments ask of the service, and what they write down."""

from __future__ import annotations

import io
import uuid

import numpy as np
import pytest
from safetensors.numpy import load
from sparring.errors import JobFailed
from sparring.v1.jobs_pb2 import Job

from reproductions import asking


def test_the_same_question_has_the_same_request_id_and_another_question_another_one():
    def asked(epsilon, title="trial"):
        request = asking.attack("models/net", f"fgsm:epsilon={epsilon}", asking.selection("mnist10k/test", 10))
        return asking.identified(request, title).request_id

    assert asked(0.1) == asked(0.1)
    assert len({asked(0.1), asked(0.2), asked(0.1, "another title")}) == 3
    assert str(uuid.UUID(asked(0.1))) == asked(0.1)


def test_a_repeated_run_finds_the_jobs_that_it_has(lab, client):
    assert lab.train("net", architecture="mlp") == lab.train("net", architecture="mlp") == "models/net"
    assert len(client.jobs.by_request) == 1


def test_the_seed_of_the_lab_is_that_of_its_jobs_unless_another_is_given(lab, client):
    lab.train("net", architecture="mlp")
    lab.train("net", architecture="mlp", seed=9)
    assert [request.training.seed for request in client.jobs.created] == [3, 9]


def test_a_training_takes_parameters_of_defense_optimization_and_validation_by_their_names(lab, client):
    lab.train(
        "net",
        data="datasets/0123/part",
        count=50,
        offset=5,
        architecture="mlp",
        defense="fgsm_adversarial",
        parameters={"epsilon": 0.2},
        optimization={"epochs": 4},
        validation={"held_out": 0.1},
        mean=(0.5,),
        std=(0.25,),
    )
    spec = client.jobs.created[0].training
    assert (spec.data.dataset, spec.data.split, spec.data.count, spec.data.offset) == ("datasets/0123", "part", 50, 5)
    assert (spec.defense.fgsm_adversarial.epsilon, spec.optimization.epochs, spec.validation.held_out) == (0.2, 4, 0.1)
    assert (list(spec.mean), list(spec.std)) == ([0.5], [0.25])
    assert not spec.HasField("fitting")


def test_an_empty_fitting_fits_and_none_trains(lab, client):
    lab.train("net", architecture="softmax_regression", fitting={})
    assert client.jobs.created[0].training.HasField("fitting")


def test_a_job_that_failed_before_is_tried_again_and_its_own_message_ends_the_experiment(lab, client):
    client.jobs.fails.add("trial: net")
    with pytest.raises(JobFailed, match="of another shape"):
        lab.train("net", architecture="mlp")
    assert client.jobs.retried == []
    with pytest.raises(JobFailed, match="of another shape"):
        lab.train("net", architecture="mlp")
    assert client.jobs.retried == ["jobs/0"]


@pytest.mark.parametrize("state", [Job.STATE_FAILED, Job.STATE_CANCELLED, Job.STATE_QUARANTINED])
def test_what_was_stopped_goes_on(lab, client, state):
    lab.start(asking.training(asking.selection("mnist10k/train"), architecture="mlp"))
    client.jobs.by_request[client.jobs.created[0].request_id].state = state
    lab.start(asking.training(asking.selection("mnist10k/train"), architecture="mlp"))
    assert client.jobs.retried == ["jobs/0"]


def test_an_attack_gives_its_figures_and_its_examples(lab):
    found = lab.attack("models/net", "fgsm:epsilon=0.1", count=4)
    assert (found.row.attack, found.row.n, found.error()) == ("fgsm", 4, 0.25)


def test_weights_go_up_as_they_are_scalars_too(lab, client):
    tensors = {"count": np.array(7), "weight": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    assert lab.upload_model("net", "mlp", tensors, input_shape=(1, 2, 2), classes=2) == "models/1"
    held = load(client.models.uploads[0][0][0])
    assert held["count"].shape == ()
    np.testing.assert_array_equal(held["weight"], tensors["weight"])


def test_the_same_weights_behind_another_normalisation_are_another_model(lab, client):
    for mean in ((), (0.5,), ()):
        lab.upload_model("net", "mlp", {"w": np.ones(3)}, input_shape=(1, 2, 2), classes=2, mean=mean)
    first, other, again = (settings["model_id"] for _, settings in client.models.uploads)
    assert first == again != other


def test_pictures_go_up_as_float32_or_as_bytes_and_labels_as_whole_numbers(lab, client):
    for kind, sent in ((np.float64, np.float32), (np.uint8, np.uint8)):
        lab.upload_data("pictures", np.ones((2, 1, 2, 2), dtype=kind), np.zeros(2), classes=2)
        images, labels = client.datasets.uploads[-1][0]
        assert np.lib.format.read_magic(io.BytesIO(images)) == (1, 0)
        assert np.load(io.BytesIO(images)).dtype == sent
        assert np.load(io.BytesIO(labels)).dtype == np.int64


def test_a_bar_is_judged_once_and_only_one_that_there_is(lab):
    lab.bar("high", True, "9")
    with pytest.raises(ValueError, match="judged before"):
        lab.bar("high", True, "9")
    with pytest.raises(ValueError, match="no bar 'low'"):
        lab.bar("low", True, "9")
    with pytest.raises(ValueError, match="no bar 'low'"):
        lab.explain("low", "why")


def test_a_bar_that_was_not_judged_is_an_error_unless_only_the_full_run_judges_it(lab):
    with pytest.raises(ValueError, match=r"not judged: high$"):
        lab.verdicts()
    lab.bar("high", False, "3")
    high, long = lab.verdicts()
    assert (high.met, long.met, long.measured) == (False, None, "judged in the full run only")
    lab.quick = False
    with pytest.raises(ValueError, match=r"not judged: long$"):
        lab.verdicts()


def test_what_is_not_met_is_explained_and_where_nothing_explains_it_that_is_said(lab):
    lab.bar("high", False, "3")
    assert "expected to be met" in lab.verdicts()[0].why
    lab.explain("high", "too little data")
    assert lab.verdicts()[0].why == "too little data"


def test_a_line_of_the_table_has_no_empty_cell(lab):
    with pytest.raises(ValueError, match="lacks something"):
        lab.row("a net", paper="", ours="1", n=1, settings="as said")
    with pytest.raises(ValueError, match="lacks something"):
        lab.row("a net", paper="1", ours="1", n=0, settings="as said")


def test_lines_and_bars_are_printed_as_they_come(lab, said):
    lab.row("a net", paper="90 %", ours="89 %", n=10, settings="as said")
    lab.bar("high", False, "3")
    assert said == ["a net: paper 90 %, ours 89 % (n = 10; as said)", "not met  high enough: 3"]


def test_the_same_plot_gives_the_same_bytes(lab, tmp_path):
    from matplotlib.figure import Figure

    drawn = []
    for _ in range(2):
        figure = Figure(figsize=(2, 2))
        figure.add_subplot().plot([0, 1], [1, 0])
        lab.figure("line", figure, "A line")
        drawn.append((tmp_path / "line.svg").read_bytes())
    assert drawn[0] == drawn[1]
    assert lab.pictures == (("line.svg", "A line"),)
