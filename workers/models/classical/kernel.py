"""Support vector machine with a Gaussian kernel."""

from __future__ import annotations

from torch import Tensor, nn

from workers.models.classical.distances import squared_distances


class RbfSvm(nn.Module):
    """One machine per class against the rest; they share their support vectors.

        z_k(x) = sum_i a_ki exp(-gamma |x - s_i|^2) + b_k

    Smooth in x, so every attack by gradients works on it. Far from all support vectors z tends to b, whatever x is.
    """

    support: Tensor  # (S, D)
    dual: Tensor  # (K, S), a_ki: 0 where s_i is no support vector of class k's machine
    bias: Tensor  # (K,)
    gamma: Tensor  # (), above 0

    def __init__(self, support: Tensor, dual: Tensor, bias: Tensor, gamma: Tensor) -> None:
        super().__init__()
        for name, tensor in (("support", support), ("dual", dual), ("bias", bias), ("gamma", gamma)):
            self.register_buffer(name, tensor.float())

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> scores (N, K)."""
        kernel = (-self.gamma * squared_distances(x.flatten(1), self.support)).exp()  # (N, S)
        return kernel @ self.dual.T + self.bias
