"""Two ways to serve a net by the Open Inference Protocol: from another process of this program, and from MLServer."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from mlserver_process import environment, export, serving

from workers import models
from workers.blackbox import Server, serve
from workers.models import Classifier, Signature


@contextmanager
def by_process(oracle: Classifier, model: str) -> Iterator[str]:
    """Serve the net in another process until the block ends."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(
        target=serve_until_told, args=(models.save(oracle), oracle.signature, model, theirs), daemon=True
    )
    child.start()
    try:
        yield ours.recv()
    finally:
        ours.send("enough")
        child.join(timeout=10)


def serve_until_told(weights: bytes, signature: Signature, model: str, pipe: Connection) -> None:
    """Answer for the net; the other process's whole task."""
    torch.set_num_threads(1)
    net = models.load(weights, signature)

    def classify(x: Any) -> Any:
        with torch.no_grad():
            return net(torch.from_numpy(x.copy())).numpy()

    with serve(Server(classify=classify, model=model, shape=signature.input_shape)) as address:
        pipe.send(address)
        pipe.recv()


@contextmanager
def by_mlserver(oracle: Classifier, model: str, out: Path) -> Iterator[str]:
    """Serve the net by a real MLServer until the block ends."""
    print("   MLServer: the first run makes its environment, which takes a minute")
    python = environment()
    export(oracle, out / "weights.npz")
    shape = oracle.signature.input_shape
    with serving(python, out / "mlserver", out / "weights.npz", model=model, shape=shape) as address:
        yield address
