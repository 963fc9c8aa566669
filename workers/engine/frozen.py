"""Lending a model to an attack and giving it back unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Hold the model in evaluation mode, without parameter gradients, until the block ends, however it ends.

    Inside: every module has `training` False (batch norm uses and keeps its statistics, dropout is off), no parameter
    requires a gradient, gradients are off unless asked for, autocast is off. Afterwards each module's mode, each
    parameter's `requires_grad`, each buffer's identity and bits and torch's global random state are what they were.
    Modes are saved one by one: `model.train()` would also wake a batch norm that was put to sleep on purpose.
    """
    device = device_of(model)
    with ExitStack() as undo:
        undo.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
        undo.enter_context(torch.inference_mode(mode=False))
        undo.enter_context(torch.no_grad())
        undo.enter_context(torch.autocast(device.type, enabled=False))
        undo.callback(_restore_modes, [(module, module.training) for module in model.modules()])
        undo.callback(_restore_buffers, _buffers(model))
        undo.callback(_restore_gradients, [p for p in model.parameters() if p.requires_grad])
        for module in model.modules():
            module.training = False
        for parameter in model.parameters():
            parameter.requires_grad = False
        yield


def device_of(model: nn.Module) -> torch.device:
    """Return where the model's parameters are; the CPU for a model without any."""
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _buffers(model: nn.Module) -> list[tuple[nn.Module, str, Tensor, Tensor]]:
    """Return every buffer with its owner, its name and a copy of its content."""
    return [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]


def _restore_buffers(buffers: list[tuple[nn.Module, str, Tensor, Tensor]]) -> None:
    for module, name, buffer, content in buffers:
        if not torch.equal(buffer, content):
            buffer.copy_(content)
        if getattr(module, name) is not buffer:
            setattr(module, name, buffer)


def _restore_modes(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, training in modes:
        module.training = training


def _restore_gradients(parameters: list[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.requires_grad = True
