"""The view of a record's sound: which one, how much of it, and what stands behind its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from chiasm.batches.sound_views import Sound
from chiasm.batches.store import Key
from chiasm.batches.task import Corpus, Facts, Task, TaskMaker, evaluation_batches, usable
from chiasm.errors import DataError
from chiasm.modalities.text import Tokenizer
from chiasm.types import Batch, Record

RECORDS, VOICES = 24, 3


@dataclass(frozen=True)
class Recordings:
    """The sound (row, index) is 5 + 2 · row frames that count up from 10 · index, so that each frame tells its place."""

    gone: Key | None = None

    def get(self, keys: Sequence[Key]) -> list[NDArray[np.uint8] | None]:
        return [None if key == self.gone else sound(*key) for key in keys]


def sound(row: int, index: int) -> NDArray[np.uint8]:
    return np.repeat(np.arange(5 + 2 * row)[:, None] + 60 * index, 80, 1).astype(np.uint8)


def corpus(gone: Key | None = None) -> Corpus:
    ids = [f"r{i}" for i in range(RECORDS)]
    heard = [[] if i == 3 else [0] if i == 4 else list(range(VOICES)) for i in range(RECORDS)]
    return Corpus(
        ids,
        list(range(RECORDS)),
        [Record(i) for i in ids],
        [False] * RECORDS,
        None,
        Tokenizer.train(["a"], 300),
        Facts(300),
        sounds=Recordings(gone),
        sounding=heard,
    )


def made(view: Sound, step: int, part: int = 0, parts: int = 1) -> Batch:
    return TaskMaker(corpus(), [Task("t", (view,))], 8, seed=0).make(step, part, parts)


def test_records_without_a_sound_are_not_drawn() -> None:
    assert usable(corpus(), Task("t", (Sound(1.0, 4),))).tolist() == [i for i in range(RECORDS) if i != 3]
    silent = Corpus(["a"], [0], [Record("a")], [False], None, Tokenizer.train(["a"], 300), Facts(300))
    with pytest.raises(DataError, match="a sound"):
        TaskMaker(silent, [Task("t", (Sound(1.0, 4),))], 8, seed=0)


def test_training_draws_a_voice_and_a_stretch() -> None:
    voices: set[int] = set()
    starts: set[int] = set()
    for step in range(20):
        items = made(Sound(1.0, 4, crop=10), step).items["audio"]
        assert items.value.shape[1] % 4 == 0 and items.value.shape[1] <= 12
        for value, valid in zip(items.value, items.valid, strict=True):
            frames = value[valid, 0].long()
            assert len(frames) <= 10 and bool((frames.diff() == 1).all()), "frames that follow each other"
            assert not value[~valid].any()
            voices.add(int(frames[0]) // 60)
            starts.add(int(frames[0]) % 60)
    assert voices == {0, 1, 2} and min(starts) == 0 and max(starts) > 25


def test_a_batch_depends_on_seed_and_step_and_not_on_parts() -> None:
    view = Sound(1.0, 4, crop=10)
    whole = made(view, 5).items["audio"]
    halves = [made(view, 5, part, 2).items["audio"] for part in range(2)]
    for index, half in enumerate(halves):
        length = half.value.shape[1]
        assert torch.equal(half.value, whole.value[4 * index : 4 * index + 4, :length])
        assert torch.equal(half.valid, whole.valid[4 * index : 4 * index + 4, :length])


def test_evaluation_hears_whole_sounds_of_all_voices() -> None:
    (batch,) = evaluation_batches(corpus(), Task("t", (Sound(1.0, 4, crop=10),)), 64, 100)
    items = batch.items["audio"]
    first = items.value[:, 0, 0] // 60
    for row, (id, valid) in enumerate(zip(batch.ids, items.valid, strict=True)):
        assert int(valid.sum()) == 5 + 2 * int(id[1:])
        assert int(first[row]) == (0 if id == "r4" else int(id[1:]) % VOICES)


def test_a_sound_that_went_away_is_named() -> None:
    task = Task("t", (Sound(1.0, 4),))
    with pytest.raises(DataError, match="r8: its sound"):
        evaluation_batches(corpus(gone=(8, 2)), task, 64, 100)
