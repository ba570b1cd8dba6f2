"""From rows to a Batch: choose a text and a sound, fetch what is decoded, augment, drop, pad.

Everything random about a step comes from generators seeded by (seed, step, purpose) and drawn for the whole batch; a process takes its slice.
So a batch does not depend on how many processes, threads or restarts there were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from chiasm.batches.augment import PICTURE_DRAWS, SOUND_DRAWS, augment_pictures, augment_sound, keep_tokens
from chiasm.batches.sampler import Sampler
from chiasm.batches.store import Key, Store
from chiasm.config import DataConfig, ModelConfig
from chiasm.modalities.text import Tokenizer
from chiasm.types import Batch, Items


@dataclass(frozen=True)
class Choices:
    """What each training record has to choose from, after languages and held-out makers are filtered: parallel lists, one entry a record.

    row: position in the table · identity: equal for records that count as the same thing · texts, first text first ·
    media: indices of the row's usable media by modality, first first · weights: how often each text or medium is drawn against its neighbours.
    """

    ids: list[str]
    row: list[int]
    identity: NDArray[np.int64]
    texts: list[list[str]]
    media: Mapping[str, list[list[int]]]
    weights: Mapping[str, list[list[float]]]

    def __len__(self) -> int:
        return len(self.ids)


class Maker:
    """Makes the batch of any step, or of any records without randomness (`plain`)."""

    def __init__(
        self,
        choices: Choices,
        stores: Mapping[str, Store],
        tokenizer: Tokenizer,
        modalities: Sequence[str],
        data: DataConfig,
        model: ModelConfig,
        sampler: Sampler,
        batch: int,
        seed: int,
    ) -> None:
        self._choices, self._stores, self._tokenizer = choices, stores, tokenizer
        self._modalities, self._data, self._model = tuple(modalities), data, model
        self._sampler, self._batch, self._seed = sampler, batch, seed
        # Of all records, not of a batch's: every process must draw the same numbers.
        self._most = {m: max(map(len, per_record), default=0) for m, per_record in choices.weights.items()}

    def make(self, step: int, part: int = 0, parts: int = 1) -> Batch:
        """Slice `part` of `parts` equal ones of step `step`'s batch."""
        chosen = self._sampler.rows(step, self._batch)
        size = self._batch // parts
        mine = slice(part * size, (part + 1) * size)
        return self._assemble(chosen[mine], _Draws(self._seed, step, self._batch, mine))

    def plain(self, records: Sequence[int]) -> Batch:
        """First text, first picture, first sound of these records (positions in the choices), nothing dropped or changed."""
        return self._assemble(np.asarray(records, np.int64), None)

    def _assemble(self, records: NDArray[np.int64], draws: _Draws | None) -> Batch:
        items: dict[str, Items] = {}
        for modality in self._modalities:
            made = {"text": self._texts, "image": self._images, "audio": self._sounds}[modality](records, draws)
            if made is not None:
                items[modality] = made
        ids = tuple(self._choices.ids[r] for r in records)
        return Batch(ids, torch.from_numpy(self._choices.identity[records]), items)

    def _texts(self, records: NDArray[np.int64], draws: _Draws | None) -> Items | None:
        texts: list[str] = []
        owner: list[int] = []
        count = 1 if draws is None else self._data.texts_per_record
        u = None if draws is None else draws.uniform("text", self._most["text"])
        for position, record in enumerate(records):
            mine = self._choices.texts[record]
            for index in self._draw("text", record, len(mine), count, None if u is None else u[position]):
                texts.append(mine[index])
                owner.append(position)
        if not texts:
            return None
        ids, valid = self._tokenizer.encode(texts, self._model.text.length)
        return Items(torch.from_numpy(ids), torch.from_numpy(valid), torch.tensor(owner))

    def _images(self, records: NDArray[np.int64], draws: _Draws | None) -> Items | None:
        arrays, owner = self._fetch("image", records, draws, 1)
        if not arrays:
            return None
        value, keep = np.stack(arrays), None
        if draws is not None:
            config = self._model.image
            u = draws.uniform("picture", PICTURE_DRAWS)[owner]
            if config.augment > 0 or config.flip:
                value = augment_pictures(value, u, config.augment, config.flip)
            keep = keep_tokens(draws.uniform("keep", (config.size // config.patch) ** 2)[owner], config.drop)
        return Items(
            torch.from_numpy(value),
            torch.ones(len(owner), 1, dtype=torch.bool),
            torch.from_numpy(owner),
            None if keep is None else torch.from_numpy(keep),
        )

    def _sounds(self, records: NDArray[np.int64], draws: _Draws | None) -> Items | None:
        count = 1 if draws is None else self._data.audio_per_record
        arrays, owner = self._fetch("audio", records, draws, count)
        if not arrays:
            return None
        if draws is not None and self._model.audio.augment > 0:
            u = draws.uniform("sound", SOUND_DRAWS)
            arrays = [augment_sound(a, u[o], self._model.audio.augment) for a, o in zip(arrays, owner, strict=True)]
        return pad_sounds(arrays, owner, self._model.audio.patch)

    def _fetch(
        self, modality: str, records: NDArray[np.int64], draws: _Draws | None, count: int
    ) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
        """Up to `count` media a record, drawn without replacement, the first ones without draws; unreadable ones are left out."""
        indices = [self._choices.media[modality][record] for record in records]
        u = None if draws is None else draws.uniform(modality, self._most[modality])
        keys: list[Key] = []
        owner: list[int] = []
        for position, (record, mine) in enumerate(zip(records, indices, strict=True)):
            for index in self._draw(modality, record, len(mine), count, None if u is None else u[position]):
                keys.append((self._choices.row[record], mine[index]))
                owner.append(position)
        arrays = self._stores[modality].get(keys)
        found = [(array, o) for array, o in zip(arrays, owner, strict=True) if array is not None]
        return [array for array, _ in found], np.array([o for _, o in found], np.int64)

    def _draw(self, modality: str, record: int, n: int, count: int, u: NDArray[np.float64] | None) -> Sequence[int]:
        """`count` of n items without replacement, each in proportion to its weight: the first arrivals of a race of exponentials."""
        if u is None or n <= count:
            return range(min(n, count))
        arrival = -np.log1p(-u[:n]) / self._choices.weights[modality][record]
        return np.argsort(arrival)[:count].tolist()


def pad_sounds(arrays: Sequence[NDArray[np.uint8]], owner: NDArray[np.int64], patch: int) -> Items:
    """Log-mels [T, M] of different lengths → Items padded to a multiple of `patch` frames."""
    longest = max(max(len(a) for a in arrays), 1)
    T = -(-longest // patch) * patch
    value = np.zeros((len(arrays), T, arrays[0].shape[1]), np.uint8)
    valid = np.zeros((len(arrays), T), np.bool_)
    for index, array in enumerate(arrays):
        value[index, : len(array)] = array
        valid[index, : max(len(array), 1)] = True  # a sound of no frames is one frame of silence, not nothing
    return Items(torch.from_numpy(value), torch.from_numpy(valid), torch.from_numpy(owner))


class _Draws:
    """Uniform numbers of one step, one row a record of this process's slice."""

    def __init__(self, seed: int, step: int, batch: int, mine: slice) -> None:
        self._seed, self._step, self._batch, self._mine = seed, step, batch, mine

    def uniform(self, purpose: str, columns: int) -> NDArray[np.float64]:
        key = ("text", "image", "audio", "picture", "sound", "keep").index(purpose)
        return np.random.default_rng((self._seed, self._step, key)).random((self._batch, columns))[self._mine]
