"""What goes over the wire, in every form of the protocol, and which answers are not believed."""

import numpy as np
import pytest
import torch

from tests.workers.blackbox.conftest import CLASSES, SHAPE, linear
from workers.blackbox import wire
from workers.failures import Rejected

X = torch.rand(7, *SHAPE, generator=torch.Generator().manual_seed(2))


def expected(x=X):
    return torch.from_numpy(linear(x.numpy()))


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "FLAT"])
def test_the_scores_of_a_served_model_are_the_models_own(bench, raw, layout):
    endpoint = bench.endpoint(raw_input=raw, layout=layout)
    torch.testing.assert_close(endpoint(X), expected(), rtol=0, atol=1e-5)
    question = bench.server.questions[0]
    assert bool(question.raw_input_contents) is raw
    assert bool(question.inputs[0].contents.fp32_contents) is not raw
    assert list(question.inputs[0].shape) == {"NCHW": [7, 2, 3, 4], "NHWC": [7, 3, 4, 2], "FLAT": [7, 24]}[layout]


@pytest.mark.parametrize("raw", [True, False])
def test_pixels_of_one_byte_are_rounded(bench, raw):
    found = bench.endpoint(datatype="UINT8", pixel_max=255, raw_input=raw)(X)
    torch.testing.assert_close(found, expected((X * 255).round() / 255), rtol=0, atol=1e-5)


def test_pixels_up_to_255_can_be_sent_as_floats(bench):
    bench.endpoint(pixel_max=255)(X)
    sent = np.frombuffer(bench.server.questions[0].raw_input_contents[0], "<f4")
    np.testing.assert_allclose(sent, 255 * X.numpy().ravel(), rtol=1e-6)


def test_probabilities_come_back_as_logits_whose_softmax_they_are(bench):
    probability = expected().softmax(dim=1)
    bench.server.classify = lambda x: torch.from_numpy(linear(x)).softmax(dim=1).numpy()
    found = bench.endpoint(output="probabilities")(X)
    torch.testing.assert_close(found.softmax(dim=1), probability)
    assert [line["score"] for line in bench.lines] == pytest.approx(probability.amax(dim=1).tolist())


def test_a_probability_of_zero_is_a_finite_logit(bench):
    bench.server.classify = lambda x: np.eye(CLASSES, dtype="<f4")[np.zeros(len(x), int)]
    assert bench.endpoint(output="probabilities")(X).isfinite().all()


@pytest.mark.parametrize("served", ["labels", "column", "whole floats", "scores"])
def test_with_labels_only_nothing_but_the_label_comes_through(bench, served):
    label = expected().argmax(dim=1)
    forms = {
        "labels": lambda x: linear(x).argmax(1),
        "column": lambda x: linear(x).argmax(1)[:, None],
        "whole floats": lambda x: linear(x).argmax(1).astype("<f4"),
        "scores": linear,
    }
    bench.server.classify = forms[served]
    found = bench.endpoint(output="labels")(X)
    assert torch.equal(found, torch.nn.functional.one_hot(label, CLASSES).float())
    assert [line["label"] for line in bench.lines] == label.tolist()
    assert all(line["score"] is None for line in bench.lines)


def test_half_and_double_precision_and_a_named_output_are_read(bench):
    def alter(answer):
        scores = np.frombuffer(answer.raw_output_contents[0], "<f4")
        answer.outputs[0].datatype = "FP16"
        answer.raw_output_contents[0] = scores.astype("<f2").tobytes()
        answer.outputs.add(name="other", datatype="FP64", shape=[7, CLASSES])
        answer.raw_output_contents.append((2 * scores).astype("<f8").tobytes())

    bench.server.alter = alter
    torch.testing.assert_close(bench.endpoint(output_name="output")(X), expected(), rtol=0, atol=0.01)


def _set(field, value):
    return lambda answer: setattr(answer.outputs[0], field, value)


def _raw(data):
    return lambda answer: answer.raw_output_contents.__setitem__(0, data)


def _second(answer):
    answer.outputs.add(name="other", datatype="FP32", shape=[0])
    answer.raw_output_contents.append(b"")


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (_raw(np.full((7, CLASSES), np.nan, "<f4").tobytes()), "NaN"),
        (_raw(np.full((7, CLASSES), np.inf, "<f4").tobytes()), "infinite"),
        (_raw(b"\0" * 8), "came with 2 elements"),
        (_raw(b"\0" * 7), "7 bytes"),
        (lambda answer: answer.raw_output_contents.append(b""), "raw bytes of 2"),
        (_set("datatype", "BYTES"), "'BYTES'"),
        (lambda answer: answer.outputs[0].shape.__setitem__(0, -7), "came with 35 elements"),
        (lambda answer: answer.outputs[0].shape.__setitem__(slice(None), [5, 7]), "[5, 7]"),
        (lambda answer: answer.outputs[0].shape.__setitem__(slice(None), [35]), "[35]"),
        (lambda answer: answer.ClearField("outputs"), "outputs []"),
        (_second, "say which one"),
    ],
)
def test_an_answer_that_cannot_be_right_is_not_believed_and_is_no_query(bench, alter, said):
    bench.server.alter = alter
    endpoint = bench.endpoint()
    with pytest.raises(Rejected) as caught:
        endpoint(X)
    assert caught.value.reason == "BAD_ANSWER"
    assert said in caught.value.message
    assert (endpoint.ledger.queries, endpoint.ledger.sent, bench.lines) == (0, 7, [])


@pytest.mark.parametrize("label", [-1, CLASSES, 0.5, float("nan")])
def test_a_label_that_is_no_class_is_not_believed(bench, label):
    bench.server.classify = lambda x: np.full(len(x), label, "<f4")
    with pytest.raises(Rejected, match="labels are none of"):
        bench.endpoint(output="labels")(X)


@pytest.mark.parametrize("scores", [[-0.5, 0.5, 0.5, 0.5, 0], [1, 1, 0, 0, 0]])
def test_scores_that_are_no_probabilities_are_not_taken_for_them(bench, scores):
    bench.server.classify = lambda x: np.tile(np.array(scores, "<f4"), (len(x), 1))
    with pytest.raises(Rejected, match="no probabilities"):
        bench.endpoint(output="probabilities")(X)


def test_half_precision_needs_raw_bytes():
    from workers.blackbox import oip_pb2

    tensor = oip_pb2.ModelInferResponse.InferOutputTensor(name="t", datatype="FP16", shape=[1])
    with pytest.raises(ValueError, match="raw bytes only"):
        wire.elements(tensor, None)


def test_the_committed_stub_is_what_the_proto_generates(tmp_path):
    from pathlib import Path

    from grpc_tools import protoc

    root = Path(wire.__file__).parents[2]
    assert protoc.main(["", f"-I{root}", f"--python_out={tmp_path}", str(root / "workers/blackbox/oip.proto")]) == 0
    fresh = (tmp_path / "workers/blackbox/oip_pb2.py").read_text()
    assert fresh == (root / "workers/blackbox/oip_pb2.py").read_text()
