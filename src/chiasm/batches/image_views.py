"""Views of a record's picture: whole, twice augmented, or as regions; its objects and its class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from chiasm.batches.augment import PICTURE_DRAWS, augment_pictures
from chiasm.batches.task import Corpus, Draft
from chiasm.batches.views_augment import RECIPES, VIEW_DRAWS, augment_view
from chiasm.errors import ConfigError
from chiasm.modalities.crop import crop_resize
from chiasm.types import IGNORE, Items, Record

WHOLE = (0.0, 0.0, 1.0, 1.0)
"""The box of the whole picture."""


@dataclass(frozen=True)
class Picture:
    """items[role]: value uint8 [B, side, side, 3], valid [B, 1].

    augment, in training: "shift" moves and tints a little and keeps left and right (a caption stays true), "shift_flip" mirrors too;
    "crop_flip" cuts and mirrors.
    """

    needs = "a picture"

    side: int
    role: str = "image"
    augment: Literal["none", "shift", "shift_flip", "crop_flip"] = "none"

    @property
    def picture(self) -> int:
        return self.side

    def usable(self, corpus: Corpus, position: int) -> bool:
        return corpus.pictured[position]

    def add(self, draft: Draft) -> None:
        value = _pictures(draft, self.side)
        if draft.training and self.augment in ("shift", "shift_flip"):
            u = draft.draws.uniform(f"{self.role}.shift", PICTURE_DRAWS)
            value = augment_pictures(value, u, 1.0, self.augment == "shift_flip")
        elif draft.training and self.augment == "crop_flip":
            value = augment_view(value, draft.draws.uniform(f"{self.role}.crop", VIEW_DRAWS), RECIPES["crop_flip"])
        draft.items[self.role] = _whole(draft, value)


@dataclass(frozen=True)
class TwoPictures:
    """items["image"] and items["image2"]: two views of the picture, augmented each for itself by the recipe of a paper (views_augment.py); both
    the plain picture outside of training."""

    needs = "a picture"

    side: int
    recipe: Literal["simclr", "cifar", "moco_v1", "moco_v2"] = "simclr"

    @property
    def picture(self) -> int:
        return self.side

    def usable(self, corpus: Corpus, position: int) -> bool:
        return corpus.pictured[position]

    def add(self, draft: Draft) -> None:
        plain = _pictures(draft, self.side)
        for role in ("image", "image2"):
            value = plain
            if draft.training:
                value = augment_view(plain, draft.draws.uniform(f"{role}.view", VIEW_DRAWS), RECIPES[self.recipe])
            draft.items[role] = _whole(draft, value)


@dataclass(frozen=True)
class Regions:
    """items["regions"]: value float32 [B, R, F], boxes [B, R, 4], classes [B, R, C], valid, and where `mask` > 0 target and hidden.

    R is `most`, and one more where `whole` puts the whole picture's box first. A share `mask` of a record's regions is masked, at least one: their
    target is their class, and a share `hide` of them is hidden (the rest stays visible, ViLBERT, arXiv 1908.02265). The class is the true
    label of a box, and a grid's most probable cluster; a box whose label is none of the classes is never masked. In the whole picture's
    features the hidden boxes are blank, or they would tell what is asked (VL-BERT, arXiv 1908.08530, 3.3).
    side: pixels at which pictures are decoded for it.
    """

    needs = "regions (a picture with boxes, or data.regions=grid)"

    most: int
    mask: float = 0.0
    hide: float = 0.9
    whole: bool = False
    side: int = 96

    @property
    def picture(self) -> int:
        return self.side

    def usable(self, corpus: Corpus, position: int) -> bool:
        if corpus.regions is None or not corpus.pictured[position]:
            return False
        if corpus.regions.grid:
            return True
        known = set(corpus.regions.names)
        boxes = corpus.records[position].boxes[: self.most]
        return any(box.label in known for box in boxes) if self.mask > 0 else bool(boxes)

    def add(self, draft: Draft) -> None:
        provider = draft.corpus.regions
        assert provider is not None
        if provider.grid**2 > self.most:
            raise ConfigError(
                f"a grid has {provider.grid**2} regions, the view takes {self.most}; raise change.regions or lower data.grid"
            )
        pictures = draft.corpus.picture(draft.rows)
        records = [draft.corpus.records[row] for row in draft.rows]
        boxes, valid = _padded([provider.boxes_of(record)[: self.most] for record in records], self.most)
        value, classes = provider.describe(pictures, boxes)
        target = hidden = None
        if self.mask > 0:
            number = classes.argmax(-1) if provider.grid else _numbers(records, provider.names, self.most)
            masked = self._mask(draft, valid & (number >= 0))
            target = np.where(masked, number, IGNORE)
            hidden = masked & (draft.draws.uniform("regions.hide", self.most) < self.hide)
        if self.whole:
            one = np.tile(np.array(WHOLE, np.float32), (len(records), 1, 1))
            seen = pictures if hidden is None else _blanked(pictures, boxes, hidden)
            parts = (
                (value, classes, boxes, valid),
                (*provider.describe(seen, one), one, np.ones((len(records), 1), np.bool_)),
            )
            value, classes, boxes, valid = (
                np.concatenate([first, rest], 1) for rest, first in zip(*parts, strict=True)
            )
            if target is not None and hidden is not None:
                target = np.pad(target, ((0, 0), (1, 0)), constant_values=IGNORE)
                hidden = np.pad(hidden, ((0, 0), (1, 0)))
        draft.items["regions"] = Items(
            torch.from_numpy(value * valid[..., None]),
            torch.from_numpy(valid),
            draft.owner,
            target=None if target is None else torch.from_numpy(target),
            hidden=None if hidden is None else torch.from_numpy(hidden),
            boxes=torch.from_numpy(boxes),
            classes=torch.from_numpy(classes * valid[..., None]),
        )

    def _mask(self, draft: Draft, candidates: NDArray[np.bool_]) -> NDArray[np.bool_]:
        u = np.where(candidates, draft.draws.uniform("regions.mask", self.most), 2.0)
        least = u == u.min(1, keepdims=True)
        return candidates & ((u < self.mask) | least)


@dataclass(frozen=True)
class Objects:
    """items["objects"]: the record's boxes of known classes, the first `most`: value int64 [B, K] numbers in facts.objects, valid, boxes."""

    needs = "boxes"

    most: int

    @property
    def picture(self) -> None:
        return None

    def usable(self, corpus: Corpus, position: int) -> bool:
        return any(box.label in corpus.facts.objects for box in corpus.records[position].boxes)

    def add(self, draft: Draft) -> None:
        number = {name: index for index, name in enumerate(draft.corpus.facts.objects)}
        known = [[b for b in draft.corpus.records[row].boxes if b.label in number][: self.most] for row in draft.rows]
        boxes, valid = _padded(
            [np.array([(b.x0, b.y0, b.x1, b.y1) for b in found], np.float32) for found in known], self.most
        )
        value = np.zeros(valid.shape, np.int64)
        value[valid] = [number[b.label] for found in known for b in found]
        draft.items["objects"] = Items(
            torch.from_numpy(value), torch.from_numpy(valid), draft.owner, boxes=torch.from_numpy(boxes)
        )


@dataclass(frozen=True)
class ClassLabel:
    """labels[role]: int64 [B], the number in facts.classes of the record's label corpus.label."""

    needs = "a label"

    role: str = "class"

    @property
    def picture(self) -> None:
        return None

    def usable(self, corpus: Corpus, position: int) -> bool:
        return _label(corpus, position) in corpus.facts.classes

    def add(self, draft: Draft) -> None:
        number = {name: index for index, name in enumerate(draft.corpus.facts.classes)}
        found = [number.get(_label(draft.corpus, row) or "", IGNORE) for row in draft.rows]
        draft.labels[self.role] = torch.tensor(found)


def _label(corpus: Corpus, position: int) -> str | None:
    return next((label.value for label in corpus.records[position].labels if label.name == corpus.label), None)


def _pictures(draft: Draft, side: int) -> NDArray[np.uint8]:
    found = draft.corpus.picture(draft.rows)
    if found.shape[1] == side:
        return found
    # Another view of the task wants them larger.
    whole = np.tile(np.array(WHOLE, np.float32), (len(found), 1, 1))
    return np.rint(crop_resize(found, whole, side)[:, 0]).astype(np.uint8)


def _whole(draft: Draft, value: NDArray[np.uint8]) -> Items:
    return Items(torch.from_numpy(value), torch.ones(len(value), 1, dtype=torch.bool), draft.owner)


def _padded(boxes: Sequence[NDArray[np.float32]], most: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """[k ≤ most, 4] a record → boxes [B, most, 4] and valid [B, most]."""
    out, valid = np.zeros((len(boxes), most, 4), np.float32), np.zeros((len(boxes), most), np.bool_)
    for row, found in enumerate(boxes):
        out[row, : len(found)], valid[row, : len(found)] = found, True
    return out, valid


def _numbers(records: Sequence[Record], names: Sequence[str], most: int) -> NDArray[np.int64]:
    """Class numbers of the records' boxes [B, most]; −1 where there is no box or its label is none of the classes."""
    number = {name: index for index, name in enumerate(names)}
    out = np.full((len(records), most), -1, np.int64)
    for row, record in enumerate(records):
        for column, box in enumerate(record.boxes[:most]):
            out[row, column] = number.get(box.label, -1)
    return out


def _blanked(pictures: NDArray[np.uint8], boxes: NDArray[np.float32], hidden: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Copies whose hidden boxes are filled with the picture's mean colour."""
    out = pictures.copy()
    S = pictures.shape[1]
    for row, column in np.argwhere(hidden):
        x0, y0, x1, y1 = boxes[row, column] * S
        out[row, int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = pictures[row].mean((0, 1)).astype(np.uint8)
    return out
