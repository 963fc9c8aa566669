"""Fresh weights, weights out, and a stranger's weights in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from workers.failures import Rejected
from workers.models.classical import FITTED
from workers.models.classifier import Classifier
from workers.models.registry import architecture, fitted
from workers.models.signature import Signature

_MAX_PARAMETERS = 10**9
_NAMED = 5


def build(signature: Signature, *, seed: int) -> Classifier:
    """A model with fresh weights, drawn from a generator of its own that starts at `seed`."""
    parameters = sum(parameter.numel() for parameter in skeleton(signature).parameters())
    if parameters > _MAX_PARAMETERS:
        raise Rejected("MODEL_TOO_LARGE", f"it would have {parameters} parameters; {_MAX_PARAMETERS} is the most")
    with _own_random_state(seed):
        model = architecture(signature.architecture).construct(signature).eval()
    return _laid_out(model)


def save(model: Classifier) -> bytes:
    """The network's weights and buffers as safetensors; equal weights give equal bytes."""
    state = model.network.state_dict()
    return safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in state.items()})


def count(model: Classifier) -> int:
    """How many parameters it has; what is fitted and has none, such as a tree, counts the values of its tensors."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    fitted_to = model.signature.architecture in FITTED
    return sum(tensor.numel() for tensor in model.network.state_dict().values()) if fitted_to else parameters


def load(data: bytes, signature: Signature) -> Classifier:
    """The model that `data` (safetensors) holds, once names, shapes, types and values have been checked.

    Raises Rejected: MALFORMED_SAFETENSORS, MODEL_DOES_NOT_FIT, NOT_FINITE.
    """
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise Rejected("MALFORMED_SAFETENSORS", f"the weights are not a safetensors file: {error}") from error
    # Cloned into memory of torch's own alignment, so that the same weights take the same code paths.
    state = {name: tensor.clone() for name, tensor in tensors.items()}
    model = fitted(signature, state) if signature.architecture in FITTED else _trained(signature, state)
    _check_answer(_laid_out(model))
    return model


def _trained(signature: Signature, state: dict[str, Tensor]) -> Classifier:
    """The model whose shapes are the architecture's."""
    model = skeleton(signature)
    expected = model.network.state_dict()
    _check_fit(state, expected)
    _check_values(state, expected)
    model.network.load_state_dict(state, strict=True, assign=True)
    return model


def _laid_out(model: Classifier) -> Classifier:
    """Convolution weights in the layout that convolutions are fastest in; measured 1.25 times on a CPU at batch 100."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]


def skeleton(signature: Signature) -> Classifier:
    """The model with its large weights on torch's `meta` device: names, shapes and types without the memory."""
    with _own_random_state(0), _WeightsOnMeta():
        return architecture(signature.architecture).construct(signature).eval()


class _WeightsOnMeta(TorchFunctionMode):
    """Sends what `torch.empty` allocates, as layers do for their weights, to `meta`.

    The device as a whole can't be `meta`, as some networks compute their widths with tensors; and what they compute
    for keeps, such as tables of relative positions, is here for `_check_values` to compare with.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        given = dict(kwargs or {})
        if func is torch.empty and given.get("device") is None:
            given["device"] = "meta"
        return func(*args, **given)


@contextmanager
def _own_random_state(seed: int) -> Iterator[None]:
    """Torch's default CPU generator started at `seed`, and put back as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _check_fit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Names, shapes and types equal to those of the architecture."""
    faults = [f"{name} is missing" for name in expected if name not in tensors]
    faults += [f"{name} is not part of the architecture" for name in sorted(tensors) if name not in expected]
    for name, want in expected.items():
        have = tensors.get(name)
        if have is not None and (have.shape != want.shape or have.dtype != want.dtype):
            faults.append(f"{name} is {_describe(have)}, not {_describe(want)}")
    if faults:
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise Rejected("MODEL_DOES_NOT_FIT", "the weights do not fit: " + "; ".join(faults[:_NAMED]) + more)


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _check_values(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Finite numbers everywhere, and tables of indices as the architecture computes them: they address memory."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise Rejected("NOT_FINITE", f"{name} holds values that are not finite numbers")
        counter = name.endswith("num_batches_tracked")
        if not tensor.is_floating_point() and not counter and not torch.equal(tensor, expected[name]):
            raise Rejected("MODEL_DOES_NOT_FIT", f"{name} must hold what the architecture computes for it")


def _check_answer(model: Classifier) -> None:
    """One grey picture gets finite logits; a negative variance, say, or weights near the largest float do not."""
    with torch.no_grad(), _own_random_state(0):  # a component may be random
        logits = model(torch.full((1, *model.signature.input_shape), 0.5))
    if not bool(torch.isfinite(logits).all()):
        raise Rejected("NOT_FINITE", "the model answers a grey picture with values that are not finite numbers")
