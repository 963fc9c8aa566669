"""Lending a model to an attack and giving it back unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Hold the model in evaluation mode, without parameter gradients, until the block ends, however it ends.

    Inside: every module has `training` False (batch norm uses and keeps its statistics, dropout is off), no parameter
    requires a gradient, so there is a graph only where an input does; autocast is off, and so is TF32, in which a GPU's
    convolutions keep ten bits. Afterwards each module's mode, each parameter's `requires_grad`, each buffer's identity
    and bits and torch's global random state are what they were. Modes are saved one by one: `model.train()` would also
    wake a batch norm that was put to sleep on purpose.
    """
    device = device_of(model)
    with ExitStack() as undo:
        undo.callback(torch.set_rng_state, torch.get_rng_state())
        if device.type == "cuda":
            undo.callback(torch.cuda.set_rng_state, torch.cuda.get_rng_state(device), device)
        undo.enter_context(torch.inference_mode(mode=False))  # enables gradients too, under `no_grad` as well
        undo.enter_context(torch.autocast(device.type, enabled=False))
        undo.callback(setattr, torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
        torch.backends.cudnn.allow_tf32 = False
        awake = [module for module in model.modules() if module.training]
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        buffers = [(name, buffer, buffer.clone()) for name, buffer in model.named_buffers()]
        undo.callback(_set, awake, "training", value=True)
        undo.callback(_set, trainable, "requires_grad", value=True)
        undo.callback(_restore, model, buffers)
        _set(awake, "training", value=False)
        _set(trainable, "requires_grad", value=False)
        yield


def device_of(model: nn.Module) -> torch.device:
    """Return where the parameters are, or the buffers of a model without parameters; the CPU for one without either."""
    held = next(model.parameters(), next(model.buffers(), None))
    return torch.device("cpu") if held is None else held.device


def _set(things: Iterable[object], name: str, *, value: bool) -> None:
    for thing in things:
        setattr(thing, name, value)


def _restore(model: nn.Module, buffers: list[tuple[str, Tensor, Tensor]]) -> None:
    for path, buffer, content in buffers:
        if not torch.equal(buffer, content):
            buffer.copy_(content)
        if model.get_buffer(path) is not buffer:
            owner, _, name = path.rpartition(".")
            setattr(model.get_submodule(owner), name, buffer)
