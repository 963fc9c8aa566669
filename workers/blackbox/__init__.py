"""Models that are not ours: anything that speaks the Open Inference Protocol (KServe, Triton, MLServer) over gRPC.

    Endpoint(EndpointOptions(...))    a module that answers; for attacks that read scores or labels
    Ledger(path)                      what it was asked and answered
    serve(classify, ...)              the other side of the protocol, for tests and trials
    imitate(oracle, seeds, ...)       a substitute, trained on the answers of a black box (arXiv:1602.02697)
    transfer(substitute, judge, ...)  what examples made on the substitute do to the black box

Only for endpoints that their owner has allowed you to attack.
"""

from __future__ import annotations

from workers.blackbox.endpoint import BudgetSpent, Endpoint
from workers.blackbox.ledger import Answer, Ledger
from workers.blackbox.options import EndpointOptions
from workers.blackbox.pace import Clock
from workers.blackbox.serving import Server, serve
from workers.blackbox.substitute import Imitation, Round, SubstituteOptions, imitate
from workers.blackbox.transfer import Craft, Transfer, noise, transfer

__all__ = [
    "Answer",
    "BudgetSpent",
    "Clock",
    "Craft",
    "Endpoint",
    "EndpointOptions",
    "Imitation",
    "Ledger",
    "Round",
    "Server",
    "SubstituteOptions",
    "Transfer",
    "imitate",
    "noise",
    "serve",
    "transfer",
]
