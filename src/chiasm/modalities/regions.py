"""Regions of pictures without a detector: boxes, features and class distributions, computed from the pixels.

The region systems (ViLBERT, UNITER, VL-BERT …) were trained on the output of a Faster R-CNN: 36 boxes a picture, 2,048 numbers and a distribution
over 1,601 classes each (bottom-up attention, arXiv 1707.07998). Here boxes are the ones that a record brings, or the cells of a grid; features are
whitened principal components of the resized crop; classes are the boxes' labels, or clusters of the cells ("visual words").
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import CheckpointError, ConfigError, DataError
from chiasm.modalities.crop import crop_resize
from chiasm.modalities.region_classes import clusters, discriminate, distances, project, softmax, whiten
from chiasm.types import Record

Floats = NDArray[np.float32]
Pictures = NDArray[np.uint8]

CHUNK = 128
"""Pictures that are cropped at once while fitting."""
MOST_CELLS = 64
"""Cells a side that a grid may have."""


@dataclass(frozen=True)
class RegionProvider:
    """Boxes of a record; features and classes of boxes. Made by `fit`, kept with `arrays`.

    names: of the C classes · grid: cells a side, 0 where boxes are the records' own · crop: side in pixels to which a box is resized, D = 3·crop² ·
    mean [D], components [D, F]: a crop's pixels (0 … 1) → whitened features · space [F, L], centroids [C, L]: where distances to classes are
    measured · temperature: of the softmax over −distance²
    """

    names: tuple[str, ...]
    grid: int
    crop: int
    mean: Floats
    components: Floats
    space: Floats
    centroids: Floats
    temperature: float

    @classmethod
    def fit(
        cls,
        pictures: Pictures,
        boxes: Sequence[Floats] | None = None,
        labels: Sequence[Sequence[str]] | None = None,
        *,
        kind: Literal["grid", "boxes"],
        width: int = 64,
        classes: int = 64,
        crop: int = 12,
        grid: int = 4,
        seed: int = 0,
    ) -> RegionProvider:
        """Learn features and classes. pictures: uint8 [n, S, S, 3]; kind "boxes" wants boxes, float32 [k, 4] a picture (x0 y0 x1 y1 as fractions
        of the sides), and their labels; "grid" wants neither. width: F; classes: at most so many, the most frequent labels or the clusters.

        Deterministic in its arguments. Raises ConfigError where F exceeds the pixels of a crop and DataError where there is nothing to learn from.
        """
        if not 0 < width <= 3 * crop * crop:
            raise ConfigError(
                f"regions of {width} numbers cannot be had from crops of {crop} × {crop} pixels; the most is {3 * crop * crop}"
            )
        if not 0 < grid <= MOST_CELLS:
            raise ConfigError(f"a grid has 1 to {MOST_CELLS} cells a side, not {grid}")
        if kind == "grid":
            boxes = [grid_cells(grid)] * len(pictures)
        elif boxes is None or labels is None:
            raise ConfigError("a provider of the records' own boxes is learned from boxes and labels")
        if sum(map(len, boxes)) < 2:
            raise DataError("regions are learned from at least two boxes")
        crops = _crops(pictures, boxes, crop)
        mean, components, scale = whiten(crops, width)
        features = project(crops, mean, components)
        random = np.random.default_rng(seed)
        if kind == "grid":
            moved = project(_crops(pictures, [_nudged(grid)] * len(pictures), crop), mean, components)
            fitted = clusters(features, moved, scale, classes, seed, random)
            names = tuple(f"cell {index}" for index in range(len(fitted[1])))
        else:
            assert labels is not None
            flat = [label for row in labels for label in row]
            if len(flat) != len(features):
                raise DataError(f"{len(features)} boxes have {len(flat)} labels")
            names = _frequent(flat, classes)
            number = {name: index for index, name in enumerate(names)}
            fitted = discriminate(features, np.array([number.get(label, -1) for label in flat]), len(names), random)
        return cls(names, grid if kind == "grid" else 0, crop, mean, components, *fitted)

    @property
    def width(self) -> int:
        """F, numbers that describe a region."""
        return self.components.shape[1]

    def boxes_of(self, record: Record) -> Floats:
        """float32 [k, 4]: the record's own boxes in their order (none: k = 0), or the cells of the grid, row by row."""
        if self.grid:
            return grid_cells(self.grid)
        return np.array([(b.x0, b.y0, b.x1, b.y1) for b in record.boxes], np.float32).reshape(-1, 4)

    def describe(self, pictures: Pictures, boxes: Floats) -> tuple[Floats, Floats]:
        """pictures: uint8 [B, S, S, 3]; boxes: [B, R, 4] → features [B, R, F] and class distributions [B, R, C].

        A picture's result does not depend on the rest of its batch.
        """
        B, R = boxes.shape[:2]
        crops = crop_resize(pictures, boxes, self.crop).reshape(B, R, -1) / np.float32(255)
        features = project(crops, self.mean, self.components)
        logits = -distances(project(features, None, self.space), self.centroids) / np.float32(self.temperature)
        return features, softmax(logits)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What `from_arrays` makes the same provider of; numbers only, as a safetensors file wants them."""
        names = np.frombuffer(json.dumps(self.names).encode(), np.uint8).copy()
        return {
            "names": names,
            "sizes": np.array([self.grid, self.crop], np.int64),
            "temperature": np.array([self.temperature], np.float64),
            **{name: getattr(self, name) for name in _FLOATS},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> RegionProvider:
        """Raises CheckpointError where the arrays are not those of a provider."""
        try:
            names = tuple(str(name) for name in json.loads(arrays["names"].astype(np.uint8).tobytes()))
            grid, crop = (int(size) for size in arrays["sizes"].tolist())
            mean, components, space, centroids = (np.ascontiguousarray(arrays[name], np.float32) for name in _FLOATS)
            temperature = float(arrays["temperature"].astype(np.float64)[0])
        except (KeyError, ValueError, TypeError, IndexError, RecursionError) as error:
            raise CheckpointError(f"the region provider cannot be read: {error!r}") from None
        provider = cls(names, grid, crop, mean, components, space, centroids, temperature)
        if not provider._whole():
            raise CheckpointError("the parts of the region provider do not fit each other")
        return provider

    def _whole(self) -> bool:
        shapes = [getattr(self, name).shape for name in _FLOATS]
        if [len(shape) for shape in shapes] != [1, 2, 2, 2]:
            return False
        (D,), (rows, F), (between, L), (C, last) = shapes
        fit = (3 * self.crop**2, between, last, len(self.names)) == (D, F, L, C) and rows == D
        return fit and C > 0 and 0 <= self.grid <= MOST_CELLS and 0 < self.temperature < np.inf


_FLOATS = ("mean", "components", "space", "centroids")


def grid_cells(grid: int) -> Floats:
    """The cells of a picture cut `grid` times each way, row by row: float32 [grid², 4]."""
    edges = np.linspace(0, 1, grid + 1, dtype=np.float32)
    y, x = np.divmod(np.arange(grid * grid), grid)
    return np.stack([edges[x], edges[y], edges[x + 1], edges[y + 1]], 1)


def _nudged(grid: int) -> Floats:
    """The cells moved by an eighth of their side towards the middle of the picture."""
    cells = grid_cells(grid)
    centre = (cells[:, :2] + cells[:, 2:]) / 2
    return cells + np.tile(np.where(centre < 0.5, 1, -1) / np.float32(8 * grid), 2).astype(np.float32)


def _crops(pictures: Pictures, boxes: Sequence[Floats], crop: int) -> Floats:
    """All boxes of all pictures, in order: [boxes, D], 0 … 1."""
    return np.concatenate(list(_chunks(pictures, boxes, crop)))


def _chunks(pictures: Pictures, boxes: Sequence[Floats], crop: int) -> Iterator[Floats]:
    for start in range(0, len(pictures), CHUNK):
        part = boxes[start : start + CHUNK]
        padded = np.zeros((len(part), max(1, *map(len, part), 1), 4), np.float32)
        real = np.zeros(padded.shape[:2], np.bool_)
        for row, box in enumerate(part):
            padded[row, : len(box)], real[row, : len(box)] = box, True
        cut = crop_resize(pictures[start : start + CHUNK], padded, crop)
        yield cut[real].reshape(-1, 3 * crop * crop) / np.float32(255)


def _frequent(labels: Sequence[str], most: int) -> tuple[str, ...]:
    return tuple(name for name, _ in sorted(Counter(labels).items(), key=lambda item: (-item[1], item[0]))[:most])
