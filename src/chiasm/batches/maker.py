"""From rows to a Batch: choose a text and a sound, fetch what is decoded, augment, drop, pad.

Everything random about a step comes from generators seeded by (seed, step, purpose) and drawn for the whole batch; a process takes its slice.
So a batch does not depend on how many processes, threads or restarts there were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from chiasm.batches.augment import (
    PICTURE_DRAWS,
    RAND_DRAWS,
    SOUND_DRAWS,
    augment_pictures,
    augment_sound,
    keep_tokens,
    rand_augment,
)
from chiasm.batches.draws import Draws
from chiasm.batches.sampler import Sampler
from chiasm.batches.store import Key, Store
from chiasm.config import DataConfig, ModelConfig
from chiasm.modalities.modality import MODALITY_TABLE
from chiasm.modalities.text import EOS, Tokenizer
from chiasm.types import Batch, Items


@dataclass(frozen=True)
class Choices:
    """What each training record has to choose from, after languages and held-out makers are filtered: parallel lists, one entry a record.

    row: position in the table · identity: equal for records that count as the same thing · texts, first text first ·
    media: indices of the row's usable media by modality, first first · weights: how often each text or medium is drawn against its neighbours ·
    languages: a number for each text's or medium's language, −1 where it is unknown.
    """

    ids: list[str]
    row: list[int]
    identity: NDArray[np.int64]
    texts: list[list[str]]
    media: Mapping[str, list[list[int]]]
    weights: Mapping[str, list[list[float]]]
    languages: Mapping[str, list[list[int]]]

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
        return self._assemble(chosen[mine], Draws(self._seed, step, self._batch, mine))

    def plain(self, records: Sequence[int]) -> Batch:
        """First text, first picture, first sound, first clip of these records (positions in the choices), nothing dropped or changed."""
        return self._assemble(np.asarray(records, np.int64), None)

    def _assemble(self, records: NDArray[np.int64], draws: Draws | None) -> Batch:
        # The first text drawn sets the language that the record speaks in this step: its voice follows where it can.
        texts = self._texts(records, draws) if "text" in self._modalities else None
        made = {
            "text": texts,
            "image": self._images(records, draws) if "image" in self._modalities else None,
            "audio": self._sounds(records, draws, texts) if "audio" in self._modalities else None,
            "video": self._clips(records, draws) if "video" in self._modalities else None,
        }
        items = {m: made[m] for m in self._modalities}
        ids = tuple(self._choices.ids[r] for r in records)
        return Batch(
            ids,
            torch.from_numpy(self._choices.identity[records]),
            {m: part for m, part in items.items() if part is not None},
        )

    def _texts(self, records: NDArray[np.int64], draws: Draws | None) -> Items | None:
        texts: list[str] = []
        owner: list[int] = []
        language: list[int] = []
        count = 1 if draws is None else self._data.texts_per_record
        u = None if draws is None else draws.uniform("text", self._most["text"])
        for position, record in enumerate(records):
            mine = self._choices.texts[record]
            for index in self._draw("text", record, len(mine), count, None if u is None else u[position]):
                texts.append(mine[index])
                owner.append(position)
                language.append(self._choices.languages["text"][record][index])
        if not texts:
            return None
        ids, valid = self._tokenizer.encode(texts, self._model.text.length)
        if draws is not None and self._model.text.drop > 0:
            u = draws.uniform("word", count * self._model.text.length).reshape(len(records), count, -1)
            turn = [owner[:index].count(o) for index, o in enumerate(owner)] if count > 1 else [0] * len(owner)
            kept = u[owner, turn, : ids.shape[1]] >= self._model.text.drop
            # Both ends stay, so that no text is ever empty.
            kept[:, 0] = True
            kept[ids == EOS] = True
            valid &= kept
        return Items(
            torch.from_numpy(ids), torch.from_numpy(valid), torch.tensor(owner), language=torch.tensor(language)
        )

    def _images(self, records: NDArray[np.int64], draws: Draws | None) -> Items | None:
        arrays, owner, _ = self._fetch("image", records, draws, 1, None)
        if not arrays:
            return None
        value, keep = np.stack(arrays), None
        if draws is not None:
            config = self._model.image
            u = draws.uniform("picture", PICTURE_DRAWS)[owner]
            if config.augment > 0 or config.flip:
                value = augment_pictures(value, u, config.augment, config.flip)
            if config.randaugment > 0:
                value = rand_augment(value, draws.uniform("rand", RAND_DRAWS)[owner], config.randaugment)
            keep = keep_tokens(draws.uniform("keep", (config.size // config.patch) ** 2)[owner], config.drop)
        return Items(
            torch.from_numpy(value),
            torch.ones(len(owner), 1, dtype=torch.bool),
            torch.from_numpy(owner),
            None if keep is None else torch.from_numpy(keep),
        )

    def _sounds(self, records: NDArray[np.int64], draws: Draws | None, texts: Items | None) -> Items | None:
        count = 1 if draws is None else self._data.audio_per_record
        spoken = np.full(len(records), -1, np.int64)
        if draws is not None and texts is not None and texts.language is not None:
            # Backwards, so that a record's first text has the last word.
            spoken[texts.owner.numpy()[::-1]] = texts.language.numpy()[::-1]
        arrays, owner, language = self._fetch("audio", records, draws, count, spoken)
        if not arrays:
            return None
        if draws is not None and self._model.audio.augment > 0:
            u = draws.uniform("sound", SOUND_DRAWS)
            settings = self._model.audio
            limit = round(settings.seconds * 100)
            arrays = [augment_sound(a, u[o], settings.augment, limit) for a, o in zip(arrays, owner, strict=True)]
        return replace(pad_sounds(arrays, owner, self._model.audio.patch), language=torch.from_numpy(language))

    def _clips(self, records: NDArray[np.int64], draws: Draws | None) -> Items | None:
        arrays, owner, _ = self._fetch("video", records, draws, 1, None)
        if not arrays:
            return None
        made, keep = stack_clips(arrays, owner), None
        if draws is not None:
            u = draws.uniform("tubelet", MODALITY_TABLE["video"].tokens(self._model))[owner]
            keep = keep_tokens(u, self._model.video.drop)
        return replace(made, keep=None if keep is None else torch.from_numpy(keep))

    def _fetch(
        self,
        modality: str,
        records: NDArray[np.int64],
        draws: Draws | None,
        count: int,
        spoken: NDArray[np.int64] | None,
    ) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64], NDArray[np.int64]]:
        """Up to `count` media a record, drawn without replacement, those of the language `spoken` [B] before others; the first ones
        without draws. → arrays, owners and languages; unreadable media are left out."""
        indices = [self._choices.media[modality][record] for record in records]
        u = None if draws is None else draws.uniform(modality, self._most[modality])
        keys: list[Key] = []
        owner: list[tuple[int, int]] = []
        for position, (record, mine) in enumerate(zip(records, indices, strict=True)):
            wanted = -1 if spoken is None else int(spoken[position])
            for index in self._draw(modality, record, len(mine), count, None if u is None else u[position], wanted):
                keys.append((self._choices.row[record], mine[index]))
                owner.append((position, self._choices.languages[modality][record][index]))
        arrays = self._stores[modality].get(keys)
        kept = [o for array, o in zip(arrays, owner, strict=True) if array is not None]
        numbers = np.array(kept, np.int64).reshape(-1, 2)
        return [array for array in arrays if array is not None], numbers[:, 0].copy(), numbers[:, 1].copy()

    def _draw(
        self, modality: str, record: int, n: int, count: int, u: NDArray[np.float64] | None, language: int = -1
    ) -> Sequence[int]:
        """`count` of n items without replacement, each in proportion to its weight: the first arrivals of a race of exponentials."""
        if u is None or n <= count:
            return range(min(n, count))
        arrival = -np.log1p(-u[:n]) / self._choices.weights[modality][record]
        if language >= 0:
            arrival[np.array(self._choices.languages[modality][record]) != language] += 1e9
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


def stack_clips(arrays: Sequence[NDArray[np.uint8]], owner: NDArray[np.int64]) -> Items:
    """Clips, uint8 [F, S, S, 3] each → Items whose frames are all valid."""
    valid = torch.ones(len(arrays), len(arrays[0]), dtype=torch.bool)
    return Items(torch.from_numpy(np.stack(arrays)), valid, torch.from_numpy(owner))
