"""A model that somebody else serves, as a module that answers and has nothing else to show."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from workers.blackbox import wire
from workers.blackbox.calls import Caller
from workers.blackbox.ledger import Answer, Ledger
from workers.blackbox.options import EndpointOptions
from workers.blackbox.pace import Clock
from workers.failures import Rejected


class BudgetSpent(Rejected):
    """Raised before a query that would go beyond the budget; nothing of it was sent."""

    def __init__(self, *, budget: int, answered: int, wanted: int) -> None:
        """Of a budget of `budget` queries `answered` are spent; `wanted` more do not fit in."""
        super().__init__(
            "QUERY_BUDGET_SPENT",
            f"{wanted} more queries do not fit into the budget of {budget}, of which {answered} are spent; "
            "ask about fewer samples, or in fewer steps",
        )
        self.budget, self.answered, self.wanted = budget, answered, wanted


class Endpoint(nn.Module):
    """forward(x (N, C, H, W) float in [0, 1]) -> scores (N, K) float32, from a server of the Open Inference Protocol.

    The scores are logits as they came, or the logarithms of probabilities (so that softmax gives them back), or one-hot
    where labels are all that is asked for. There are no parameters, and no gradients: whoever asks for one gets
    `Rejected` (BLACK_BOX). Every sample is a query, the ones that check results included; `ledger` has them all.

    `forward` raises `BudgetSpent` before anything is sent where not all of `x` would fit into the budget, and otherwise
    `Rejected`: SHAPE_MISMATCH, INPUT_NOT_FINITE, ENDPOINT_UNAVAILABLE, ENDPOINT_REFUSED, BAD_ANSWER. Answers that came
    before an error stay in the ledger.

    `waiting` is called twice a second while the module waits for its rate or between attempts, and may raise to end
    that; it can't end a call under way, which takes `deadline_s` at most. For one thread at a time.
    """

    def __init__(
        self,
        options: EndpointOptions,
        *,
        ledger: Ledger | None = None,
        clock: Clock | None = None,
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.options = options
        self.ledger = Ledger() if ledger is None else ledger
        clock = Clock() if clock is None else clock
        self._caller = Caller(options, self.ledger, clock=clock, waiting=waiting)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (N, K), on the device of `x`; see the class."""
        answer: Tensor = _Opaque.apply(x, self._ask)  # type: ignore[no-untyped-call]
        return answer

    def check(self) -> None:
        """Ask, without a query, whether the model is there and is what the options say. Raises `Rejected`.

        What the server does not tell is not compared; a side of -1 may have any length.
        """
        if not self._caller.live():
            raise Rejected("ENDPOINT_UNAVAILABLE", f"no live server of the protocol at {self.options.address}")
        told, options = self._caller.metadata(), self.options
        inputs = {tensor.name: tensor for tensor in told.inputs}
        if not inputs:
            return
        where = f"{options.address}, model {options.model!r}"
        if options.input_name not in inputs:
            raise Rejected("ENDPOINT_MISMATCH", f"{where}: its inputs are {list(inputs)}, not {options.input_name!r}")
        tensor = inputs[options.input_name]
        wanted = wire.pixels(torch.zeros(1, *options.input_shape), options).shape[1:]
        sides = tuple(tensor.shape)[1:]
        fits = len(sides) == len(wanted) and all(s in (-1, w) for s, w in zip(sides, wanted, strict=True))
        if tensor.datatype != options.datatype or (sides and not fits):
            found = f"{tensor.datatype} {list(tensor.shape)}"
            raise Rejected(
                "ENDPOINT_MISMATCH", f"{where}: it takes {found}, the options say {options.datatype} [-1, {wanted}]"
            )

    def close(self) -> None:
        """End the connection and let go of the ledger's file."""
        self._caller.close()
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """The endpoint itself: a copy would ask the same server, and must not have a budget of its own."""
        return self

    def _ask(self, x: Tensor) -> Tensor:
        """Ask about all of `x`, a batch at a time."""
        options = self.options
        if tuple(x.shape[1:]) != options.input_shape:
            raise Rejected(
                "SHAPE_MISMATCH", f"the endpoint takes {list(options.input_shape)}, got {list(x.shape[1:])} per sample"
            )
        if not bool(x.isfinite().all()):
            raise Rejected("INPUT_NOT_FINITE", "some pixels are NaN or infinite; nothing was asked")
        if options.budget is not None and self.ledger.queries + len(x) > options.budget:
            raise BudgetSpent(budget=options.budget, answered=self.ledger.queries, wanted=len(x))
        if len(x) == 0:
            return x.new_empty(0, options.classes, dtype=torch.float32)
        return torch.cat([self._batch(part) for part in torch.split(x, options.batch_limit)]).to(x.device)

    def _batch(self, x: Tensor) -> Tensor:
        """Ask about one batch, and write down the answers."""
        sent = wire.pixels(x, self.options)
        brought = self._caller.infer(wire.request(sent, self.options), len(x))
        found = wire.scores(brought.response, self.options, len(x))
        top = [None] * len(x) if found.top is None else found.top.tolist()
        self.ledger.enter(
            [
                Answer(
                    sha256=hashlib.sha256(row.tobytes()).hexdigest(),
                    label=label,
                    score=score,
                    milliseconds=round(brought.milliseconds, 3),
                    attempts=brought.attempts,
                )
                for row, label, score in zip(sent, found.label.tolist(), top, strict=True)
            ]
        )
        return found.returned


class _Opaque(torch.autograd.Function):
    """An answer that was not computed here: differentiating it is an error, and not a gradient of 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ask: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the answer about `x`."""
        del ctx
        return ask(x.detach())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Raise `Rejected`."""
        del ctx, gradients
        raise Rejected(
            "BLACK_BOX",
            "this model is a black box: it answers and has no gradients; take an attack that reads scores or labels, "
            "or attack a substitute of it",
        )
