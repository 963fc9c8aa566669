"""Previews of the fake: what was asked, said back."""

# ruff: noqa: N802 - the contract's names
from __future__ import annotations

from sparring.v1 import preview_pb2, preview_pb2_grpc


class Previews(preview_pb2_grpc.PreviewServiceServicer):
    def PreviewAttack(self, request, context):
        self.enter("PreviewAttack", request, context)
        shown = [preview_pb2.ModelPreview(model=model) for model in request.models]
        return preview_pb2.PreviewAttackResponse(original=request.drawn, models=shown, attack=request.attack)

    def ListSamples(self, request, context):
        self.enter("ListSamples", request, context)
        samples = [preview_pb2.Sample(index=request.offset + number) for number in range(request.count or 16)]
        return preview_pb2.ListSamplesResponse(samples=samples, split=request.split or "test", total=100)
