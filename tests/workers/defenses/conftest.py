"""One thread, as every CPU worker has."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
