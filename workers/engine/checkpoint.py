"""A training under way, in memory and as bytes.

The bytes are a safetensors file. Tensors:

    network/NAME         weights and buffers, by their names in the network
    average/NAME         those of their running average, if one is kept
    teacher/I/NAME       those of the networks that were trained before it, in their order
    best/NAME            those of the epoch that is selected so far, if a validation selects
    steady/NAME          those that the training would go back to, if it may
    optimizer/I/NAME     the optimiser's state of parameter number I
    memory/NAME          what the defense keeps from step to step
    total                the sum of the losses of this epoch so far

and under the key "checkpoint" of its metadata one JSON object: {"version", "plan", "round", "step", "history",
"probes", "rollbacks"}. `plan` is the digest of all that the training is made from; a checkpoint of another plan is
refused. The learning rate and every random number are functions of the step, so there is no more to keep. By how many
processes it was made is no part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from workers.engine.train_probes import Record
from workers.engine.train_validation import Probe, plain
from workers.failures import Rejected
from workers.models import Classifier

_VERSION = 3


@dataclass
class State:
    """All that changes while training goes on."""

    round: int  # from 0 on
    step: int  # steps done in this round
    network: Classifier
    teachers: tuple[Classifier, ...]  # the networks that were trained before this one, frozen
    optimizer: torch.optim.Optimizer
    total: Tensor  # sum of the losses of this epoch so far, ()
    history: list[float]  # mean loss of every epoch done, over all rounds
    average: Classifier | None = None  # the running average of the network, if one is kept
    record: Record = field(default_factory=Record)
    memory: dict[str, Tensor] = field(default_factory=dict)  # what the defense keeps from step to step
    seen: float | None = None  # the mean loss that was last read; for messages only, so no part of a checkpoint


def pack(state: State, plan: str) -> bytes:
    """The checkpoint of `state`."""
    tensors = {f"network/{name}": value for name, value in state.network.network.state_dict().items()}
    if state.average is not None:
        tensors |= {f"average/{name}": value for name, value in state.average.network.state_dict().items()}
    for number, teacher in enumerate(state.teachers):
        tensors |= {f"teacher/{number}/{name}": value for name, value in teacher.network.state_dict().items()}
    for kind, kept in (("best", state.record.best), ("steady", state.record.steady), ("memory", state.memory)):
        tensors |= {f"{kind}/{name}": value for name, value in kept.items()}
    for number, parameter in enumerate(_parameters(state.optimizer)):
        kept = state.optimizer.state[parameter]
        tensors |= {f"optimizer/{number}/{name}": value for name, value in kept.items() if isinstance(value, Tensor)}
    tensors["total"] = state.total
    content = {
        "version": _VERSION,
        "plan": _digest(plan),
        "round": state.round,
        "step": state.step,
        "history": state.history,
        "probes": plain(state.record.probes),
        "rollbacks": state.record.rollbacks,
    }
    return safetensors.torch.save(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
        {"checkpoint": json.dumps(content, sort_keys=True)},
    )


def unpack(
    data: bytes,
    plan: str,
    networks: Callable[[int], list[Classifier]],
    begin: Callable[[int, list[Classifier], list[float]], State],
) -> State:
    """The state that a checkpoint of the same plan holds.

    `networks` makes the networks of a round by its number, the teachers first, and `begin` the state of a round (its
    number, networks and history) before its first step.
    """
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
        content: dict[str, Any] = json.loads(_metadata(data)["checkpoint"])
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise Rejected("MALFORMED_CHECKPOINT", f"this is not a checkpoint of a training: {error!r}") from error
    if content["version"] != _VERSION or content["plan"] != _digest(plan):
        raise Rejected("CHECKPOINT_DOES_NOT_FIT", "the checkpoint is of another training, or of another version")
    state = begin(content["round"], networks(content["round"]), content["history"])
    device = state.total.device
    state.network.network.load_state_dict(_under(tensors, "network/"))
    if state.average is not None:
        state.average.network.load_state_dict(_under(tensors, "average/"))
    for number, teacher in enumerate(state.teachers):
        teacher.network.load_state_dict(_under(tensors, f"teacher/{number}/"))
    state.memory = _under(tensors, "memory/", device)
    for number, parameter in enumerate(_parameters(state.optimizer)):
        kept = _under(tensors, f"optimizer/{number}/")
        state.optimizer.state[parameter] = {name: _like(value, parameter) for name, value in kept.items()}
    state.record = Record(
        probes=[Probe(**probe) for probe in content["probes"]],
        rollbacks=content["rollbacks"],
        best=_under(tensors, "best/", device),
        steady=_under(tensors, "steady/", device),
    )
    state.total.copy_(tensors["total"])
    state.step = content["step"]
    return state


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """`value` on the device of its parameter, and in its memory layout where it has its shape."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value.to(parameter.device)


def _under(tensors: Mapping[str, Tensor], prefix: str, device: torch.device | None = None) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names; on `device`, if one is given."""
    found = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return found if device is None else {name: value.to(device) for name, value in found.items()}


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    (group,) = optimizer.param_groups
    parameters: list[Tensor] = group["params"]
    return parameters


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file: its first eight bytes give the length of a JSON header."""
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata


def _digest(plan: str) -> str:
    return hashlib.sha256(plan.encode()).hexdigest()
