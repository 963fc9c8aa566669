"""A map of features: t-SNE of clean samples and their adversarial examples together."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from workers.evaluation.features import Features

FEWEST: Final = 10
"""Samples below which there is no map."""

PERPLEXITY: Final = 30.0
"""Neighbours that count for a point, about; fewer where there are few points."""

STEPS: Final = 500
"""Gradient steps of t-SNE, the first 250 of them with exaggerated attraction."""

TSNE_PAPER: Final = ("", "van der Maaten, Hinton 2008")


def place(features: Features, seed: int) -> npt.NDArray[np.float64] | None:
    """Return the points of a map, (2 m, 2) float64 in [0, 1]: the m clean samples, then the m adversarial examples.

    t-SNE of all of them together, from their principal components on, in one thread, so that equal features give equal
    maps. None for fewer samples than `FEWEST`, or for features that are all the same.
    Source: van der Maaten, Hinton, J. Mach. Learn. Res. 9 (2008) 2579.
    """
    # Imported where a map is drawn: it takes a second.
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    points = torch.cat([features.before, features.after]).double().numpy()
    spread = points.std()
    if len(features.before) < FEWEST or not np.isfinite(spread) or spread == 0:
        return None
    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    method = TSNE(perplexity=perplexity, init="pca", max_iter=STEPS, random_state=seed % 2**32)
    with threadpool_limits(limits=1):
        found = np.asarray(method.fit_transform((points - points.mean(0)) / spread), dtype=np.float64)
    low, high = found.min(0), found.max(0)
    return np.asarray((found - low) / np.maximum(high - low, 1e-12))
