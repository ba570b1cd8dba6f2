"""Chosen examples as tensors: what is given by modality, what is wanted as codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chiasm.batches.augment import PICTURE_DRAWS, SOUND_DRAWS, augment_pictures, augment_sound, keep_tokens, shifts
from chiasm.batches.conversion import TURNS, ConversionFacts, Example
from chiasm.batches.draws import Draws
from chiasm.batches.maker import pad_sounds
from chiasm.config import RunConfig
from chiasm.declare import TaskConfig
from chiasm.errors import DataError
from chiasm.modalities.text import BOS, EOS, PAD, Tokenizer
from chiasm.types import IGNORE, Batch, Box, Items

Array = NDArray[np.uint8]
Fetch = Callable[[str, int, int], Array | None]
"""(modality, record, index of the medium) → its decoded array, None where it cannot be read."""
Codes = Callable[[str, int, int], NDArray[np.int64] | None]
"""(modality, record, index of the medium) → what its quantiser makes of it, int64 [L, G]."""


UNTOLD = 0.2
"""Share of training examples of which the writer is not told language and maker."""


@dataclass(frozen=True)
class Collator:
    """Lays out the examples of one task. mask: (record) → int64 [h, w], labels of the cells of its first picture."""

    name: str
    task: TaskConfig
    config: RunConfig
    facts: ConversionFacts
    tokenizer: Tokenizer
    fetch: Fetch
    codes: Codes
    mask: Callable[[int], NDArray[np.int64]]

    def batch(
        self,
        ids: Sequence[str],
        identity: NDArray[np.int64],
        records: Sequence[int],
        examples: Sequence[Example],
        draws: Draws | None,
        wanted: bool = True,
    ) -> Batch:
        """draws: None where nothing is augmented, blanked or dropped. wanted: False to lay out what is given alone."""
        items: dict[str, Items] = {}
        labels: dict[str, Tensor] = {}
        history = self.task.given[0].of == "history"
        if history:
            examples = [self._readable(r, e) for r, e in zip(records, examples, strict=True)]
            items["history.text"] = self._history_text(examples)
        elif any(e.texts for e in examples):
            items["text"] = self._given_text(examples)
        for modality in ("image", "audio", "video"):
            made = self._media(modality, records, examples, draws)
            if made is not None:
                items[f"history.{modality}" if history else modality] = made
        if self.task.together > 1:
            items["asked"] = self._asked(examples)
        if wanted and self.task.writer not in ("space", "item", "mask", "cells"):
            items["wanted"] = self._wanted(records, examples, ids, draws)
        labels["language"] = torch.tensor([_place(self.facts.languages, e.language) for e in examples])
        labels["maker"] = torch.tensor([_place(self.facts.makers, e.maker) for e in examples])
        if draws is not None:  # so that it can also be asked without
            untold = torch.from_numpy(draws.uniform("untold", 1)[:, 0] < UNTOLD)
            labels = {name: value.masked_fill(untold, 0) for name, value in labels.items()}
        if self.task.wanted.of == "item" and wanted:
            items.update(self._item(records, examples, ids))
            # Which items are one, of all histories and then of all that follow: those of one name.
            named = [text.casefold() for e in examples for text, _ in e.texts] + [
                e.written[0].casefold() for e in examples
            ]
            labels["item"] = torch.from_numpy(np.unique(named, return_inverse=True)[1].astype(np.int64))
        if self.task.wanted.of == "mask" and wanted:
            labels["mask"] = torch.from_numpy(self._masks(records, draws))
        if self.task.writer == "cells" and wanted:
            labels["objects"], labels["boxes"] = self._places(examples, draws)
        if draws is not None and self.task.blank > 0:
            labels["blank"] = torch.from_numpy(draws.uniform("blank", 1)[:, 0] < self.task.blank)
        if self.task.order == "parallel" and "wanted" in items:
            labels["known"] = self._known(items["wanted"], draws)
        if draws is not None and self.task.word_dropout > 0 and "wanted" in items:
            shape = items["wanted"].valid.shape
            u = draws.uniform("words", shape.numel() // len(examples)).reshape(shape)
            labels["recalled"] = torch.from_numpy(u >= self.task.word_dropout)
        return Batch(tuple(ids), torch.from_numpy(identity), items, labels, self.name)

    def _given_text(self, examples: Sequence[Example]) -> Items:
        """All parts of a given text one after the other, each between <bos> and <eos>; segment: the turn of each token."""
        length = self.config.model.text.length
        rows: list[list[int]] = []
        turns: list[list[int]] = []
        for example in examples:
            row: list[int] = []
            turn: list[int] = []
            # The latest parts last, and cut from the front: what was said last matters most.
            for ids, (_, at) in zip(self.tokenizer.ids([t for t, _ in example.texts]), example.texts, strict=True):
                row += [BOS, *ids, EOS]
                turn += [min(at, TURNS - 1)] * (len(ids) + 2)
            if len(example.texts) == 1 and len(row) > length:
                row, turn = [*row[: length - 1], EOS], turn[:length]
            rows.append(row[-length:])
            turns.append(turn[-length:])
        value, valid = _padded(rows)
        segment, _ = _padded(turns)
        made = Items(torch.from_numpy(value), torch.from_numpy(valid), torch.arange(len(rows)))
        if self._has_turns:
            made = replace(made, segment=torch.from_numpy(segment))
        if self.task.wanted.of == "space":  # a record without a text has no item
            kept = torch.tensor([i for i, e in enumerate(examples) if e.texts])
            made = replace(made, value=made.value[kept], valid=made.valid[kept], owner=kept)
        return made

    def _readable(self, record: int, example: Example) -> Example:
        """A history without the items whose picture cannot be read."""
        pictures = example.media["image"]
        kept = [k for k, (index, _) in enumerate(pictures) if self.fetch("image", record, index) is not None]
        media = {"image": tuple(pictures[k] for k in kept)}
        return replace(example, texts=tuple(example.texts[k] for k in kept), media=media)

    def _history_text(self, examples: Sequence[Example]) -> Items:
        """The text of every item of every history."""
        value, valid = self.tokenizer.encode([t for e in examples for t, _ in e.texts], self.config.model.text.length)
        owner = torch.tensor([i for i, e in enumerate(examples) for _ in e.texts], dtype=torch.int64)
        return Items(torch.from_numpy(value), torch.from_numpy(valid), owner)

    def _asked(self, examples: Sequence[Example]) -> Items:
        length = self.config.model.text.length
        value, valid = self.tokenizer.encode([q for e in examples for q in e.asked], length)
        return Items(
            torch.from_numpy(value),
            torch.from_numpy(valid),
            torch.tensor([i for i, e in enumerate(examples) for _ in e.asked]),
        )

    def _media(
        self, modality: str, records: Sequence[int], examples: Sequence[Example], draws: Draws | None
    ) -> Items | None:
        arrays: list[Array] = []
        owner: list[int] = []
        turns: list[int] = []
        for position, (record, example) in enumerate(zip(records, examples, strict=True)):
            for index, turn in example.media.get(modality, ()):
                array = self.fetch(modality, record, index)
                if array is not None:
                    arrays.append(array)
                    owner.append(position)
                    turns.append(min(turn, TURNS - 1))
        if not arrays:
            return None
        return self.lay_out(modality, arrays, np.array(owner, np.int64), turns, draws)

    def lay_out(
        self,
        modality: str,
        arrays: Sequence[Array],
        owner: NDArray[np.int64],
        turns: Sequence[int],
        draws: Draws | None,
    ) -> Items:
        model, strength = self.config.model, self._strength(modality)
        if modality == "audio":
            if draws is not None and strength > 0:
                u = draws.uniform("sound", SOUND_DRAWS)
                limit = round(model.audio.seconds * 100)
                arrays = [augment_sound(a, u[o], strength, limit) for a, o in zip(arrays, owner, strict=True)]
            made = pad_sounds(arrays, owner, model.audio.patch)
        elif modality == "image":
            value, keep = np.stack(arrays), None
            if draws is not None:
                if strength > 0:
                    u = draws.uniform("picture", PICTURE_DRAWS)[owner]
                    value = augment_pictures(value, u, strength, False, self._pixels)
                drop = model.image.drop if self.task.wanted.of == "space" else self.task.drop
                if drop > 0:
                    u = draws.uniform("keep", (model.image.size // model.image.patch) ** 2)[owner]
                    keep = keep_tokens(u, drop)
            made = Items(
                torch.from_numpy(value),
                torch.ones(len(owner), 1, dtype=torch.bool),
                torch.from_numpy(owner),
                None if keep is None else torch.from_numpy(keep),
            )
        else:
            value = np.stack(arrays)
            if draws is not None and strength > 0:  # all frames of a clip alike
                u = draws.uniform("clip", PICTURE_DRAWS)[owner].repeat(value.shape[1], 0)
                frames = value.reshape(-1, *value.shape[2:])
                value = augment_pictures(frames, u, strength, False).reshape(value.shape)
            made = Items(
                torch.from_numpy(value), torch.ones(value.shape[:2], dtype=torch.bool), torch.from_numpy(owner)
            )
        return replace(made, segment=torch.tensor(turns)[:, None]) if self._has_turns and turns else made

    @property
    def _has_turns(self) -> bool:
        """By what the task gives and never by what a batch holds: a record reads the same in any company."""
        return any(f.of in ("turns", "history") for f in self.task.given)

    def _strength(self, modality: str) -> float:
        if self.task.augment is not None:
            return self.task.augment
        return {"image": self.config.model.image.augment, "audio": self.config.model.audio.augment}.get(modality, 0.0)

    @property
    def _pixels(self) -> int:
        """Pictures whose cells are labelled move by whole cells."""
        model = self.config.model.image
        return max(model.patch // self.config.conversion.cells, 1) if self.task.wanted.of == "mask" else 1

    def _moved(self, draws: Draws | None) -> NDArray[np.int64] | None:
        """By how many pixels down and to the right the batch's pictures are moved: [B, 2]; None where they stay."""
        strength = self._strength("image")
        if draws is None or strength <= 0:
            return None
        return shifts(draws.uniform("picture", PICTURE_DRAWS), strength, self.config.model.image.size, self._pixels)

    def _masks(self, records: Sequence[int], draws: Draws | None) -> NDArray[np.int64]:
        """Labels of the cells of each picture as it is shown: [B, h, w]."""
        masks = np.stack([self.mask(r) for r in records])
        moved = self._moved(draws)
        if moved is None:
            return masks
        place = np.arange(masks.shape[1])
        ys, xs = (place[None] - moved[:, i, None] // self._pixels for i in (0, 1))
        inside = ((ys >= 0) & (ys < len(place)))[:, :, None] & ((xs >= 0) & (xs < len(place)))[:, None]
        ys, xs = ys.clip(0, len(place) - 1), xs.clip(0, len(place) - 1)
        return np.where(inside, masks[np.arange(len(masks))[:, None, None], ys[:, :, None], xs[:, None]], 0)

    def _shown(self, examples: Sequence[Example], draws: Draws | None) -> list[list[Box]]:
        """The boxes of the classes that there are, in the pictures as they are shown."""
        moved = self._moved(draws)
        found: list[list[Box]] = []
        for index, example in enumerate(examples):
            down, right = (0.0, 0.0) if moved is None else (moved[index] / self.config.model.image.size).tolist()
            boxes = [
                replace(
                    b,
                    x0=min(max(b.x0 + right, 0.0), 1.0),
                    y0=min(max(b.y0 + down, 0.0), 1.0),
                    x1=min(max(b.x1 + right, 0.0), 1.0),
                    y1=min(max(b.y1 + down, 0.0), 1.0),
                )
                for b in example.boxes
                if b.label in self.facts.objects
            ]
            found.append([b for b in boxes if b.x1 > b.x0 and b.y1 > b.y0])
        return found

    def _places(self, examples: Sequence[Example], draws: Draws | None) -> tuple[Tensor, Tensor]:
        """Classes int64 [B, G], IGNORE for padding, and boxes float32 [B, G, 4]."""
        shown = self._shown(examples, draws)
        most = max(max(len(boxes) for boxes in shown), 1)
        kinds = np.full((len(shown), most), IGNORE, np.int64)
        places = np.zeros((len(shown), most, 4), np.float32)
        for row, boxes in enumerate(shown):
            for at, b in enumerate(boxes):
                kinds[row, at] = self.facts.objects.index(b.label)
                places[row, at] = b.x0, b.y0, b.x1, b.y1
        return torch.from_numpy(kinds), torch.from_numpy(places)

    def _wanted(
        self, records: Sequence[int], examples: Sequence[Example], ids: Sequence[str], draws: Draws | None
    ) -> Items:
        """value: int64 [W, L, G], the codes that are to be written, their end among them."""
        writer, settings = self.task.writer, self.config.conversion
        if writer == "text":
            length = self.task.length or settings.text_length
            tokens = self.tokenizer.ids([text for e in examples for text in e.written])
            rows = [np.array([*row[: length - 1], EOS], np.int64)[:, None] for row in tokens]
        elif writer == "boxes":
            rows = [self._boxes(boxes)[:, None] for boxes in self._shown(examples, draws)]
        else:
            rows = []
            for record, example, name in zip(records, examples, ids, strict=True):
                assert example.medium is not None
                codes = self.codes(writer, record, example.medium)
                if codes is None:
                    raise DataError(f"{name}: its {writer} can no longer be read; build the table again")
                rows.append(codes)
            if self.task.order == "parallel" and writer == "audio":
                # All places are filled in: ends to the last place, so that the length is learned and not told.
                full = settings.audio_length + 1
                rows = [np.concatenate([row, np.repeat(row[-1:], full - len(row), 0)]) for row in rows]
        value, valid = _padded_codes(rows)
        each = self.task.together if writer == "text" else 1
        return Items(
            torch.from_numpy(value), torch.from_numpy(valid), torch.arange(len(examples)).repeat_interleave(each)
        )

    def _boxes(self, boxes: Sequence[Box]) -> NDArray[np.int64]:
        """x0 y0 x1 y1 class for each box from left to right, then the end (Pix2Seq, arXiv 2109.10852, 3.1)."""
        settings, objects = self.config.conversion, self.facts.objects
        known = sorted(boxes, key=lambda b: (b.x0, b.y0))[: settings.boxes]
        row: list[int] = []
        for b in known:
            row += [round(c * (settings.bins - 1)) for c in (b.x0, b.y0, b.x1, b.y1)]
            row.append(settings.bins + objects.index(b.label))
        return np.array([*row, settings.bins + len(objects)], np.int64)

    def _item(self, records: Sequence[int], examples: Sequence[Example], ids: Sequence[str]) -> dict[str, Items]:
        """The wanted item's picture and text."""
        arrays: list[Array] = []
        for record, example, name in zip(records, examples, ids, strict=True):
            array = self.fetch("image", record, example.item or 0)
            if array is None:
                raise DataError(f"{name}: its last picture can no longer be read; build the table again")
            arrays.append(array)
        value, valid = self.tokenizer.encode([e.written[0] for e in examples], self.config.model.text.length)
        return {
            "item.image": self.lay_out("image", arrays, np.arange(len(examples)), [], None),
            "item.text": Items(torch.from_numpy(value), torch.from_numpy(valid), torch.arange(len(examples))),
        }

    def _known(self, wanted: Items, draws: Draws | None) -> Tensor:
        """bool [W, L]: which codes a step of parallel decoding is shown; a cosine share of them stays hidden (MaskGIT, 3.1)."""
        W, L = wanted.valid.shape
        u = np.full((W, L + 1), 0.5) if draws is None else draws.uniform("known", L + 1)
        hidden = np.maximum(np.ceil(np.cos(u[:, 0] * np.pi / 2) * L), 1)
        rank = u[:, 1:].argsort(1).argsort(1)
        return torch.from_numpy(rank >= hidden[:, None])


def _place(names: Sequence[str], name: str | None) -> int:
    """1 + its place in `names`; 0 where it is unknown."""
    return names.index(name) + 1 if name in names else 0


def _padded(rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    lengths = np.array([len(row) for row in rows])
    valid = np.arange(max(int(lengths.max()), 1))[None] < lengths[:, None]
    value = np.full(valid.shape, PAD, np.int64)
    value[valid] = np.concatenate([np.asarray(row, np.int64) for row in rows])
    return value, valid


def _padded_codes(rows: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    lengths = np.array([len(row) for row in rows])
    valid = np.arange(int(lengths.max()))[None] < lengths[:, None]
    value = np.zeros((*valid.shape, rows[0].shape[1]), np.int64)
    value[valid] = np.concatenate(rows)
    return value, valid
