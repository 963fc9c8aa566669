"""A linear model on the pictures of the ImageNet model, at 64 x 64 x 3 as in Karpathy's post, each its own class."""

from __future__ import annotations

from typing import Final

import numpy as np

from reproductions import lite0
from reproductions.lab import Lab
from reproductions.pictures import sheet
from reproductions.samples import samples

SIDE: Final = 64  # pixels
DECAY: Final = 1e-3
# The pictures that are turned into each of the others.
TURNED: Final = (0, 4, 8, 12, 16)


def probe(lab: Lab) -> None:
    """Fit softmax regression to the 20 pictures, and turn five of them into each of the other 19."""
    large, _ = samples(lab, lite0.PICTURES, model=lite0.upload(lab))
    x = shrunk(large)
    count = len(x)
    y = np.arange(count)
    data = lab.upload_data("20 pictures of 64 x 64", x, y, classes=count)
    model = lab.train(
        "linear model of 20 pictures",
        data=data,
        architecture="softmax_regression",
        fitting={"cost": 1 / (DECAY * count)},
    )
    # Sample i is to become class i mod 20: each picture twenty times.
    chosen = np.repeat(TURNED, count)
    pairs = lab.upload_data("five pictures, twenty times", x[chosen], y[chosen], classes=count)
    held = lab.attack(model, "linear_nudge:target=each", data=pairs, count=len(chosen)).arrays
    wanted = held["target"] != held["label"]
    turned = held["success"][wanted].mean()
    far = 255 * held["distance"][wanted]
    lab.row(
        "a linear model of 20 ImageNet pictures, each its own class: five of them into any other",
        paper="kit fox to goldfish, school bus, daisy: not to be told apart by eye",
        ours=f"{100 * turned:.1f} % turned, L-infinity {far.mean():.2f} grey levels (mean), {far.max():.2f} at most",
        n=int(wanted.sum()),
        settings=f"a demonstration; 64 x 64 x 3, weight decay {DECAY:g}, linear_nudge",
    )
    made = held["x_adv"].reshape(len(TURNED), count, *x.shape[1:])
    rows = [
        [(x[TURNED[i]], f"picture {TURNED[i]}"), *((made[i, k], f"taken for {k}") for k in (3, 9, 15))]
        for i in range(3)
    ]
    lab.picture("pictures", sheet(rows, side=128), "Pictures, and what a linear model takes for other ones of the 20")


def shrunk(x: np.ndarray) -> np.ndarray:
    """Pictures (N, 3, 224, 224) at 64 x 64, float32: the mean of what each pixel covers."""
    from PIL import Image

    rows = []
    for picture in x:
        planes = [np.asarray(Image.fromarray(plane).resize((SIDE, SIDE), Image.Resampling.BOX)) for plane in picture]
        rows.append(np.stack(planes))
    small: np.ndarray = np.clip(np.stack(rows), 0, 1).astype(np.float32)
    return small
