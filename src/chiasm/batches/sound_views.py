"""A view of a record's sound: one of its recordings, whole or a stretch of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.batches.maker import pad_sounds
from chiasm.batches.task import Corpus, Draft


@dataclass(frozen=True)
class Sound:
    """items[role]: log-mel value uint8 [B, T, M], valid [B, T], T a multiple of `patch`.

    In training one of the record's sounds is drawn, and `crop` frames of it where it is longer; otherwise it is whole, and which one goes by
    the record's place, so that all voices are heard.
    seconds: longer sounds are cut there when they are decoded.
    """

    needs = "a sound"

    seconds: float
    patch: int
    crop: int | None = None
    role: str = "audio"

    @property
    def picture(self) -> None:
        return None

    def usable(self, corpus: Corpus, position: int) -> bool:
        return bool(corpus.sounding) and bool(corpus.sounding[position])

    def add(self, draft: Draft) -> None:
        known = [draft.corpus.sounding[row] for row in draft.rows]
        if not draft.training:
            sounds = draft.corpus.sound(
                draft.rows,
                [indices[row % len(indices)] for indices, row in zip(known, draft.rows.tolist(), strict=True)],
            )
        else:
            u = draft.draws.uniform(f"{self.role}.sound", 2)
            chosen = [indices[int(x * len(indices))] for indices, x in zip(known, u[:, 0], strict=True)]
            sounds = [self._stretch(s, x) for s, x in zip(draft.corpus.sound(draft.rows, chosen), u[:, 1], strict=True)]
        draft.items[self.role] = pad_sounds(sounds, np.arange(len(draft.rows)), self.patch)

    def _stretch(self, sound: NDArray[np.uint8], x: float) -> NDArray[np.uint8]:
        if self.crop is None or len(sound) <= self.crop:
            return sound
        start = int(x * (len(sound) - self.crop + 1))
        return sound[start : start + self.crop]
