"""A runtime for MLServer: a net of fully connected layers in numpy, so that its environment needs no torch."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class FullyConnected(MLModel):
    """... relu(relu(x w0 + b0) w1 + b1) w2 + b2, from the arrays w0, b0, w1, b1, ... of an .npz file."""

    async def load(self) -> bool:
        """Read the weights."""
        with np.load(self.settings.parameters.uri, allow_pickle=False) as arrays:
            self._layers = [(arrays[f"w{i}"], arrays[f"b{i}"]) for i in range(len(arrays.files) // 2)]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Classify pictures (N, C, H, W) of pixels in [0, 1]: scores (N, K)."""
        h = NumpyCodec.decode_input(payload.inputs[0])
        h = h.reshape(len(h), -1)
        for number, (w, b) in enumerate(self._layers):
            h = (np.maximum(h, 0) if number else h) @ w + b
        scores = NumpyCodec.encode_output("scores", h.astype(np.float32))
        return InferenceResponse(model_name=self.name, outputs=[scores])
