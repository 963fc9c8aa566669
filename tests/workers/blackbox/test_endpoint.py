"""The module as the engine meets it: attacks on it, gradients of it, what it checks before it asks."""

import copy

import grpc
import pytest
import torch

from services.cli.authority import Authority
from tests.workers.blackbox.conftest import CLASSES, SHAPE, linear
from workers.blackbox import Endpoint, EndpointOptions, Server, serve
from workers.engine.attack import AttackPlan, run_attack
from workers.failures import Rejected

X = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(4))
Y = torch.from_numpy(linear(X.numpy())).argmax(dim=1)
SQUARE = AttackPlan(
    name="square", epsilon=0.3, parameters={"queries": 40, "p_init": 0.8, "restarts": 1, "loss": "margin"}
)
BOUNDARY = AttackPlan(
    name="boundary",
    epsilon=1000.0,
    norm="l2",
    parameters={"queries": 60, "spherical_step": 0.01, "source_step": 0.01, "step_adaptation": 1.5},
)


def attack(endpoint, plan):
    return run_attack(endpoint, X, Y, plan, sample_ids=torch.arange(6), seed=1, batch_size=6)


@pytest.mark.parametrize(("plan", "output"), [(SQUARE, "logits"), (BOUNDARY, "labels")], ids=["square", "boundary"])
def test_attacks_that_need_no_gradients_run_against_an_endpoint_and_are_charged_what_the_ledger_says(
    bench, plan, output
):
    endpoint = bench.endpoint(output=output)
    found = attack(endpoint, plan)
    assert found.success.float().mean() >= 0.5
    assert torch.equal(torch.from_numpy(linear(found.x_adv.numpy())).argmax(dim=1), found.prediction)
    assert int(found.forwards.sum()) == endpoint.ledger.queries == len(bench.lines)


@pytest.mark.parametrize("name", ["fgsm", "bim"])
def test_an_attack_that_needs_gradients_is_told_that_there_are_none(bench, name):
    parameters = {} if name == "fgsm" else {"steps": 3, "step_size": 0.1}
    with pytest.raises(Rejected, match="black box") as caught:
        attack(bench.endpoint(), AttackPlan(name=name, epsilon=0.1, parameters=parameters))
    assert caught.value.reason == "BLACK_BOX"


def test_a_gradient_through_layers_around_it_is_an_error_too(bench):
    model = torch.nn.Sequential(torch.nn.Hardtanh(0, 1), bench.endpoint(), torch.nn.Softmax(dim=1))
    point = X.clone().requires_grad_()
    with pytest.raises(Rejected, match="black box"):
        torch.autograd.grad(model(point).sum(), point)


def test_a_copy_is_the_same_endpoint_with_the_same_books(bench):
    endpoint = bench.endpoint()
    copy.deepcopy(endpoint)(X)
    assert endpoint.ledger.queries == 6
    assert list(endpoint.parameters()) == []


def test_no_samples_are_no_query(bench):
    assert bench.endpoint(budget=0)(X[:0]).shape == (0, CLASSES)
    assert bench.server.questions == []


@pytest.mark.parametrize(
    ("x", "reason"), [(X[:, :1], "SHAPE_MISMATCH"), (torch.full_like(X, torch.nan), "INPUT_NOT_FINITE")]
)
def test_what_cannot_be_asked_is_not_sent(bench, x, reason):
    with pytest.raises(Rejected) as caught:
        bench.endpoint()(x)
    assert caught.value.reason == reason
    assert bench.server.questions == []


@pytest.mark.parametrize(
    "wrong",
    [{"input_name": "pixels"}, {"datatype": "UINT8", "pixel_max": 255}, {"layout": "NHWC"}, {"layout": "FLAT"}],
)
def test_a_model_that_takes_something_else_is_found_before_the_first_query(bench, wrong):
    bench.endpoint().check()
    with Endpoint(EndpointOptions(**_options(bench) | wrong)) as other, pytest.raises(Rejected) as caught:
        other.check()
    assert caught.value.reason == "ENDPOINT_MISMATCH"
    assert bench.server.questions == []


def test_a_model_that_is_not_there_is_found_before_the_first_query(bench):
    with Endpoint(EndpointOptions(**_options(bench) | {"model": "other"})) as other, pytest.raises(Rejected) as caught:
        other.check()
    assert caught.value.reason == "ENDPOINT_REFUSED"
    with (
        Endpoint(EndpointOptions(**_options(bench) | {"address": "127.0.0.1:1"})) as none,
        pytest.raises(Rejected) as caught,
    ):
        none.check()
    assert caught.value.reason == "ENDPOINT_UNAVAILABLE"


def test_a_bearer_token_travels_under_tls_only(bench, tmp_path):
    files = Authority(tmp_path / "ca", days=1)
    issued = files.server(["127.0.0.1"], days=1)
    credentials = grpc.ssl_server_credentials([(issued.key.read_bytes(), issued.certificate.read_bytes())])
    roots = files.files.certificate.read_bytes()
    with serve(bench.server, credentials=credentials) as address:
        options = _options(bench) | {"address": address, "bearer": "s3cret", "tls": True, "root_certificates": roots}
        with Endpoint(EndpointOptions(**options)) as endpoint:
            endpoint(X)
    assert bench.server.headers["authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(EndpointOptions(**options))
    with pytest.raises(Rejected, match="without tls"):
        EndpointOptions(**_options(bench), bearer="s3cret")


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": 1},
        {"input_shape": (28, 28)},
        {"datatype": "FP64"},
        {"datatype": "UINT8"},
        {"layout": "CHW"},
        {"output": "words"},
        {"batch_limit": 0},
        {"attempts": 0},
        {"budget": -1},
        {"queries_per_s": 0.0},
        {"deadline_s": float("nan")},
        {"model": ""},
        {"root_certificates": b"pem"},
    ],
)
def test_options_that_no_server_could_be_asked_with_are_refused(bench, wrong):
    with pytest.raises(Rejected) as caught:
        EndpointOptions(**_options(bench) | wrong)
    assert caught.value.reason == "BAD_ENDPOINT"


def test_a_server_that_is_told_the_wrong_input_says_so(bench):
    address = bench.stack.enter_context(serve(Server(classify=linear, model="m", input_name="pixels")))
    endpoint = bench.endpoint(address=address)
    with pytest.raises(Rejected, match="the input is 'pixels'"):
        endpoint(X)


def _options(bench):
    return {"address": bench.address, "model": "m", "input_shape": SHAPE, "classes": CLASSES}
