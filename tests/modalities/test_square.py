"""Boxes and labels in a picture and in its square, held against what padding does to the pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from chiasm.modalities.image import read_image
from chiasm.modalities.square import into_square, labels_into_square, labels_out_of_square, out_of_square
from chiasm.types import Box


@pytest.mark.parametrize(("width", "height"), [(80, 40), (40, 80), (64, 64)])
def test_a_box_lies_where_the_pixels_went(width: int, height: int) -> None:
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[height // 4 : height // 2, width // 2 : width * 3 // 4] = 0
    box = Box(0.5, 0.25, 0.75, 0.5, "black")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    side = max(width, height)
    dark = read_image(file.getvalue(), size=side)[..., 0] < 128
    (moved,) = into_square([box], width, height)
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / side
    assert np.allclose(found, [moved.x0, moved.y0, moved.x1, moved.y1], atol=1 / side)
    (back,) = out_of_square([moved], width, height)
    assert np.allclose([back.x0, back.y0, back.x1, back.y1], [0.5, 0.25, 0.75, 0.5])


def test_a_box_in_the_margin_is_none() -> None:
    assert out_of_square([Box(0.1, 0.0, 0.2, 0.2, "above")], 80, 40) == ()
    (cut,) = out_of_square([Box(0.1, 0.0, 0.2, 0.5, "half")], 80, 40)
    assert (cut.y0, cut.y1) == (0.0, 0.5)


@pytest.mark.parametrize("shape", [(4, 8), (8, 4), (6, 6)])
def test_labels_come_back(shape: tuple[int, int]) -> None:
    labels = np.arange(1, shape[0] * shape[1] + 1).reshape(shape)
    square = labels_into_square(labels)
    assert square.shape == (max(shape), max(shape)) and (square > 0).sum() == labels.size
    assert np.array_equal(labels_out_of_square(square, shape[1], shape[0]), labels)
