"""Which samples are chosen, how they become files, and sheets of them."""

from __future__ import annotations

import numpy as np
import pytest

from reproductions.pictures import in_files, of_each_class, sheet


def test_as_many_of_each_class_are_chosen_and_only_what_is_right() -> None:
    label = np.array([1, 0, 1, 1, 0, 0, 1])
    right = np.array([True, False, False, True, True, True, True])
    assert of_each_class(label, right, 2).tolist() == [4, 5, 0, 3]


def test_a_class_with_too_few_is_no_small_matter() -> None:
    with pytest.raises(ValueError, match="fewer than 3"):
        of_each_class(np.array([0, 0, 1, 1]), np.ones(4, dtype=bool), 3)


def test_files_hold_the_nearest_grey_level() -> None:
    levels = np.arange(256)
    assert in_files((levels + 0.4) / 255).tolist() == [*range(255), 255]
    assert in_files(np.array([-0.1, 1.1])).tolist() == [0, 255]


def test_a_sheet_shows_the_pixels_of_small_pictures_as_squares() -> None:
    x = np.array([[[0.0, 1.0], [1.0, 0.0]]])
    page = sheet([[(x, "a"), (x, "b")]], side=20)
    assert page.getpixel((5, 5)) == (0, 0, 0)
    assert page.getpixel((22, 5)) == (255, 255, 255)
    coloured = sheet([[(np.stack([x[0], 0 * x[0], 0 * x[0]]), "red")]], side=20)
    assert coloured.getpixel((22, 5)) == (255, 0, 0)
