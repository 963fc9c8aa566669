"""A print and a photograph, simulated: what a picture goes through between the file and the camera's file.

Nothing here was printed or photographed. Each step is a small differentiable function of pictures x (N, C, H, W) in
[0, 1], C = 1 (grey) or 3 (red, green, blue), and of one number per sample; results stay in [0, 1].

    light.py      brightness, contrast, gamma (the print's tones), noise (the sensor's)
    optics.py     perspective, crop, blur
    jpeg.py       JPEG with a straight-through gradient, and the true one through Pillow for measuring
    pipeline.py   `Strengths` -> `draw_shots` -> `photograph`: all of it, with random numbers of each sample's own
    destruction.py   how many adversarial examples a transformation makes harmless

Sources: arXiv:1607.02533, sections 3 and 4 (photographs of prints, artificial transformations, destruction rate);
arXiv:1707.07397 (attacks through a distribution of transformations).
"""

from __future__ import annotations

from workers.photo.destruction import Destruction, destruction, right_within
from workers.photo.jpeg import jpeg, jpeg_file
from workers.photo.light import brightness, contrast, gamma, noise
from workers.photo.optics import blur, crop, perspective
from workers.photo.pipeline import Shots, Strengths, draw_shots, photograph

__all__ = [
    "Destruction",
    "Shots",
    "Strengths",
    "blur",
    "brightness",
    "contrast",
    "crop",
    "destruction",
    "draw_shots",
    "gamma",
    "jpeg",
    "jpeg_file",
    "noise",
    "perspective",
    "photograph",
    "right_within",
]
