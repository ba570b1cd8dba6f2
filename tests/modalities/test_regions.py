"""Regions without a detector: exact crops, white features, classes that are right, and the same after a checkpoint."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageDraw

from chiasm.errors import CheckpointError, ConfigError, DataError
from chiasm.modalities.crop import crop_resize
from chiasm.modalities.regions import RegionProvider, grid_cells
from chiasm.types import Box, Record

SHAPES = ("circle", "square", "triangle", "bar")
COLOURS = {"red": (220, 30, 40), "blue": (30, 60, 220)}


def scenes(n: int, seed: int, side: int = 48) -> tuple[np.ndarray, list[np.ndarray], list[list[str]]]:
    """Pictures of 1 to 4 drawn shapes, one a quarter, with exact boxes and the labels."""
    random = np.random.default_rng(seed)
    pictures, boxes, labels = [], [], []
    for _ in range(n):
        canvas = Image.new("RGB", (side, side), "white")
        draw = ImageDraw.Draw(canvas)
        found, names = [], []
        for quarter in random.permutation(4)[: random.integers(1, 5)]:
            size = int(random.integers(side // 4, side // 2))
            x, y = (
                int(c) * side // 2 + int(random.integers(0, side // 2 - size + 1)) for c in (quarter % 2, quarter // 2)
            )
            shape, colour = SHAPES[random.integers(4)], list(COLOURS)[random.integers(2)]
            corners = (x, y, x + size - 1, y + size - 1)
            if shape == "circle":
                draw.ellipse(corners, fill=COLOURS[colour])
            elif shape == "square":
                draw.rectangle(corners, fill=COLOURS[colour])
            elif shape == "bar":
                draw.rectangle((x, y + size // 3, x + size - 1, y + 2 * size // 3), fill=COLOURS[colour])
            else:
                draw.polygon(
                    [(x, y + size - 1), (x + size - 1, y + size - 1), (x + size // 2, y)], fill=COLOURS[colour]
                )
            found.append((x / side, y / side, (x + size) / side, (y + size) / side))
            names.append(f"{colour} {shape}")
        pictures.append(np.asarray(canvas))
        boxes.append(np.array(found, np.float32))
        labels.append(names)
    return np.stack(pictures), boxes, labels


@pytest.fixture(scope="module")
def boxed() -> RegionProvider:
    return RegionProvider.fit(*scenes(200, 0), kind="boxes", width=24, classes=8, crop=8)


@pytest.fixture(scope="module")
def gridded() -> RegionProvider:
    return RegionProvider.fit(scenes(120, 0)[0], kind="grid", width=24, classes=12, crop=8, grid=3)


@pytest.mark.parametrize("size", [5, 16, 40])
def test_a_crop_is_what_pillow_makes_of_it(size: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 24, 24, 3)).astype(np.uint8)
    x0, y0, x1, y1 = 3, 5, 17, 20
    box = np.array([[[x0, y0, x1, y1]]], np.float32) / 24
    cut = crop_resize(picture, box, size)[0, 0]
    wanted = Image.fromarray(picture[0, y0:y1, x0:x1]).resize((size, size), Image.Resampling.BILINEAR)
    assert np.abs(cut - np.asarray(wanted, np.float32)).max() <= 1.01  # Pillow rounds twice
    mirrored = crop_resize(picture, box, size, np.array([[True]]))[0, 0]
    np.testing.assert_allclose(mirrored, cut[:, ::-1], atol=1e-3)


def test_a_box_of_no_size_gives_finite_numbers(boxed: RegionProvider) -> None:
    features, classes = boxed.describe(scenes(1, 0)[0], np.zeros((1, 2, 4), np.float32))
    assert np.isfinite(features).all()
    np.testing.assert_allclose(classes.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("grid", [1, 3, 7])
def test_the_cells_tile_the_picture(grid: int) -> None:
    covered = np.zeros((84, 84), np.int64)
    for x0, y0, x1, y1 in np.rint(grid_cells(grid) * 84).astype(int):
        covered[y0:y1, x0:x1] += 1
    assert (covered == 1).all()


def test_features_are_white_on_what_they_were_learned_from(boxed: RegionProvider) -> None:
    pictures, boxes, _ = scenes(200, 0)
    features = np.concatenate([boxed.describe(p[None], b[None])[0][0] for p, b in zip(pictures, boxes, strict=True)])
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(features.T), np.eye(24), atol=1e-2)


def test_the_most_probable_class_is_the_true_label(boxed: RegionProvider) -> None:
    pictures, boxes, labels = scenes(60, 1)
    right = [
        boxed.names[number] == label
        for picture, box, row in zip(pictures, boxes, labels, strict=True)
        for number, label in zip(boxed.describe(picture[None], box[None])[1][0].argmax(-1), row, strict=True)
    ]
    assert np.mean(right) >= 0.98
    assert set(boxed.names) == {f"{colour} {shape}" for colour in COLOURS for shape in SHAPES}


def test_a_cell_moved_a_little_keeps_its_cluster_more_often_than_not(gridded: RegionProvider) -> None:
    pictures = scenes(40, 2)[0]
    cells = np.tile(grid_cells(3), (40, 1, 1))
    still, moved = gridded.describe(pictures, cells)[1], gridded.describe(np.roll(pictures, 1, axis=2), cells)[1]
    chance = np.bincount(still.argmax(-1).ravel()).max() / still[..., 0].size
    assert (still.argmax(-1) == moved.argmax(-1)).mean() > max(chance, 0.6)
    assert len(np.unique(still.argmax(-1))) > 6
    assert gridded.names[0] == "cell 0" and len(gridded.names) == 12


def test_a_picture_alone_is_described_as_in_a_batch(boxed: RegionProvider, gridded: RegionProvider) -> None:
    pictures = scenes(9, 3)[0]
    cells = np.tile(grid_cells(3), (9, 1, 1))
    for provider in (boxed, gridded):
        together = provider.describe(pictures, cells)
        for index in range(9):
            alone = provider.describe(pictures[index : index + 1], cells[:1])
            assert all((a[0] == t[index]).all() for a, t in zip(alone, together, strict=True))


def test_fitting_is_deterministic_and_arrays_round_trip(boxed: RegionProvider, gridded: RegionProvider) -> None:
    again = RegionProvider.fit(scenes(120, 0)[0], kind="grid", width=24, classes=12, crop=8, grid=3)
    assert all((a == b).all() for a, b in zip(again.arrays().values(), gridded.arrays().values(), strict=True))
    for provider in (boxed, gridded):
        read = RegionProvider.from_arrays(provider.arrays())
        for part in dataclasses.fields(provider):
            np.testing.assert_array_equal(getattr(read, part.name), getattr(provider, part.name))


@pytest.mark.parametrize("name", ["names", "sizes", "mean", "components", "space", "centroids", "temperature"])
def test_damaged_arrays_are_refused(boxed: RegionProvider, name: str) -> None:
    arrays = boxed.arrays()
    for broken in ({k: v for k, v in arrays.items() if k != name}, {**arrays, name: arrays[name][:-1]}):
        with pytest.raises(CheckpointError):
            RegionProvider.from_arrays(broken)


def test_boxes_come_from_the_record_or_the_grid(boxed: RegionProvider, gridded: RegionProvider) -> None:
    record = Record("a", boxes=(Box(0.0, 0.25, 0.5, 1.0, "x"), Box(0.5, 0.0, 1.0, 0.5, "y")))
    np.testing.assert_array_equal(boxed.boxes_of(record), np.array([[0, 0.25, 0.5, 1], [0.5, 0, 1, 0.5]], np.float32))
    assert boxed.boxes_of(Record("b")).shape == (0, 4)
    assert gridded.boxes_of(record).shape == (9, 4)


def test_rare_labels_have_no_class_and_pictures_of_one_colour_do_no_harm() -> None:
    pictures, boxes, labels = scenes(80, 0)
    kept = RegionProvider.fit(pictures, boxes, labels, kind="boxes", width=8, classes=3, crop=8)
    counts = {name: sum(row.count(name) for row in labels) for row in labels for name in row}
    assert list(kept.names) == sorted(counts, key=lambda name: (-counts[name], name))[:3]
    plain = RegionProvider.fit(np.full((4, 16, 16, 3), 200, np.uint8), kind="grid", width=8, classes=8, crop=4, grid=2)
    features, classes = plain.describe(np.full((1, 16, 16, 3), 200, np.uint8), grid_cells(2)[None])
    assert plain.names == ("cell 0",) and (classes == 1).all()
    np.testing.assert_allclose(features, 0, atol=1e-2)


def test_what_cannot_be_learned_is_refused() -> None:
    pictures, boxes, labels = scenes(4, 0)
    with pytest.raises(ConfigError, match="the most is 48"):
        RegionProvider.fit(pictures, kind="grid", width=49, crop=4)
    with pytest.raises(ConfigError, match="cells a side"):
        RegionProvider.fit(pictures, kind="grid", grid=0)
    with pytest.raises(ConfigError, match="boxes and labels"):
        RegionProvider.fit(pictures, boxes, kind="boxes")
    with pytest.raises(DataError, match="two boxes"):
        RegionProvider.fit(pictures, [np.zeros((0, 4), np.float32)] * 4, [[]] * 4, kind="boxes")
    with pytest.raises(DataError, match="labels"):
        RegionProvider.fit(pictures, boxes, [row[1:] for row in labels], kind="boxes")
