"""What a worker makes of a preview: the same samples, models, plan and engine as a job's, for one picture."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from sparring.v1 import jobs_pb2, preview_pb2
from torch import Tensor

from services.errors import SparringError
from workers.engine.attack import AttackResult, run_attack
from workers.engine.frozen import device_of, frozen
from workers.engine.looking import look
from workers.engine.memory import is_out_of_memory
from workers.engine.seeds import seed_model_noise
from workers.failures import LONGEST, Rejected, account, words
from workers.lease import status
from workers.models import Classifier
from workers.run import messages
from workers.run.shards import propagator_of
from workers.run.unit import Context, Reader

logger = logging.getLogger(__name__)

Value = TypeVar("Value")


def answer(task: preview_pb2.PreviewTask, context: Context) -> preview_pb2.PreviewAnswer:
    """Do what a task asks; whatever goes wrong is an answer, too."""
    reader = Reader(tenant=task.tenant, context=context, insist=_once)
    try:
        if task.WhichOneof("kind") == "samples":
            return preview_pb2.PreviewAnswer(samples=_samples(task, reader))
        return preview_pb2.PreviewAnswer(attack=_attack(task, reader))
    except Exception as error:  # noqa: BLE001 - whoever waits is to be told, and the next preview is to be answered
        return preview_pb2.PreviewAnswer(error=_explain(error))


def _once(call: Callable[[], Value]) -> Value:
    """Call the store once: nobody waits for a preview as long as for a unit."""
    return call()


def _explain(error: Exception) -> Status:
    if isinstance(error, Rejected):
        return status(error.reason, error.message[:LONGEST])
    if is_out_of_memory(error):
        message = "the worker has no memory left for this preview; ask again, or ask for a job"
        return status("OUT_OF_MEMORY", message, code=code_pb2.RESOURCE_EXHAUSTED)
    if isinstance(error, SparringError):
        return status(error.reason, error.message, code=code_pb2.Code.Value(error.code))
    logger.error("a preview failed in a way that nobody foresaw:\n%s", account(error))
    return status("INTERNAL_ERROR", f"{words(error)}; the worker's log has more", code=code_pb2.INTERNAL)


def _samples(task: preview_pb2.PreviewTask, reader: Reader) -> preview_pb2.ListSamplesResponse:
    chosen = reader.samples(task.data)
    levels = chosen.x if chosen.x.dtype == torch.uint8 else (chosen.x * 255).round().to(torch.uint8)
    return preview_pb2.ListSamplesResponse(
        samples=[
            preview_pb2.Sample(
                index=task.data.offset + number,
                label=int(chosen.y[number]),
                picture=preview_pb2.Picture(shape=chosen.input_shape, uint8=levels[number].numpy().tobytes()),
            )
            for number in range(len(chosen))
        ]
    )


def _attack(task: preview_pb2.PreviewTask, reader: Reader) -> preview_pb2.PreviewAttackResponse:
    started, request = time.perf_counter(), task.attack
    x, label = _picture(task, reader)
    found = preview_pb2.PreviewAttackResponse(original=_packed(x), label=label)
    for resolved in task.models:
        found.models.append(_on_model(reader.model(resolved), resolved, request, x, label))
    if request.HasField("attack"):
        found.attack.CopyFrom(request.attack)
    found.seconds = time.perf_counter() - started
    return found


def _picture(task: preview_pb2.PreviewTask, reader: Reader) -> tuple[Tensor, int | None]:
    """The picture (1, C, H, W) float32, and its true class where one is known."""
    request = task.attack
    if request.HasField("sample"):
        chosen = reader.samples(task.data)
        return chosen.pixels(slice(None)).clone(), int(chosen.y[0])
    drawn = request.drawn
    if drawn.HasField("float32"):
        values = np.frombuffer(drawn.float32, dtype="<f4").astype(np.float32)
    else:
        values = np.frombuffer(drawn.uint8, dtype=np.uint8).astype(np.float32) / np.float32(255)
    x = torch.from_numpy(values.reshape(1, *drawn.shape))
    return x, request.label if request.HasField("label") else None


def _on_model(
    model: Classifier,
    resolved: jobs_pb2.ResolvedModel,
    request: preview_pb2.PreviewAttackRequest,
    x: Tensor,
    label: int | None,
) -> preview_pb2.ModelPreview:
    """Ask one model, attack it, and ask again."""
    index = request.sample.index
    clean = _probabilities(model, x, request.seed, index)
    start = int(clean.argmax()) if label is None else label
    shown = preview_pb2.ModelPreview(model=resolved.name, clean_probabilities=clean.tolist(), label=start)
    if not request.HasField("attack"):
        shown.probabilities[:] = shown.clean_probabilities
        return shown
    result = run_attack(
        model,
        x,
        torch.tensor([start]),
        messages.plan(request.attack),
        sample_ids=torch.tensor([index]),
        seed=request.seed,
        batch_size=1,
        propagator=propagator_of(model),
    )
    shown.probabilities[:] = _probabilities(model, result.x_adv, request.seed, index).tolist()
    _tell(shown, result)
    return shown


def _tell(shown: preview_pb2.ModelPreview, result: AttackResult) -> None:
    shown.adversarial.CopyFrom(_packed(result.x_adv))
    target = int(result.target[0])
    if target >= 0:
        shown.target = target
    shown.attacked, shown.success = bool(result.attacked[0]), bool(result.success[0])
    shown.distance = float(result.distance[0])
    shown.forwards, shown.backwards = int(result.forwards[0]), int(result.backwards[0])


def _probabilities(model: Classifier, x: Tensor, seed: int, index: int) -> Tensor:
    """The probability of each class, (K,); a random model draws what it would draw in the engine."""
    with frozen(model):
        seed_model_noise(seed, index, device_of(model))
        return look(model, x).softmax(dim=1).squeeze(0)


def _packed(x: Tensor) -> preview_pb2.Picture:
    """A batch of one picture as the contract has it."""
    return preview_pb2.Picture(shape=x.shape[1:], float32=x.squeeze(0).contiguous().numpy().astype("<f4").tobytes())
