"""Features without a model tell apart what differs and hold still where nothing does."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_cases import picture, sound
from record_sheet import RecordSheet

from chiasm.dataset.features import gather
from chiasm.dataset.raw_features import (
    BINS,
    CELL,
    clip_features,
    hash_texts,
    picture_features,
    sound_features,
    words_of,
)
from chiasm.errors import ConfigError, DataError
from chiasm.types import Media, Record, Text


def test_gradients_against_a_naive_histogram() -> None:
    """Before blocks are normalised: a picture of one edge has its gradient in one orientation."""
    edge = np.zeros((32, 32, 3), np.uint8)
    edge[:, 18:] = 255
    cells = picture_features(edge)[: 8 * 8 * BINS].reshape(8, 8, BINS)
    assert cells[:, 4].argmax(axis=1).tolist() == [0] * 8  # a gradient along x: orientation 0
    assert not cells[:, :3].any()
    turned = picture_features(np.ascontiguousarray(edge.transpose(1, 0, 2)))[: 8 * 8 * BINS].reshape(8, 8, BINS)
    assert set(np.flatnonzero(turned[4, 4] > 0.1)) <= {BINS // 2, BINS // 2 + 1}
    assert CELL * 8 == 32


def test_pictures_that_are_lighter_have_the_same_gradients() -> None:
    random = np.random.default_rng(0)
    dark = random.integers(0, 100, (32, 32, 3), dtype=np.uint8)
    a, b = picture_features(dark), picture_features(dark + 100)
    gradients = 8 * 8 * BINS
    assert a[:gradients] == pytest.approx(b[:gradients], abs=1e-5)
    assert b[gradients:] - a[gradients:] == pytest.approx(np.full(48, 100 / 255), abs=1e-5)


def test_sounds_and_clips() -> None:
    t = np.arange(16_000) / 16_000
    low, high = (sound_features(np.sin(2 * np.pi * f * t).astype(np.float32)) for f in (200, 4000))
    assert low[:80].argmax() < high[:80].argmax()
    assert len(low) == len(sound_features(np.zeros(50, np.float32))) == 480
    still = np.full((4, 32, 32, 3), 99, np.uint8)
    moving = still.copy()
    moving[1::2, :8, :8] = 0
    change = clip_features(moving)[-64:].reshape(8, 8)
    assert change[:2, :2].all() and not change[2:].any()
    assert not clip_features(still)[-64:].any()


def test_words() -> None:
    assert words_of("Don't STOP, naïve_x 3D 猫狗") == ["don", "t", "stop", "naïve", "x", "3d", "猫", "狗"]
    same = hash_texts(["a red cat", "A RED, cat!", "", "blue dogs"])
    product = (same @ same.T).toarray()
    assert product[0, 1] == pytest.approx(1)
    assert product[0, 3] == 0
    assert product[2].tolist() == [0, 0, 0, 0]


def test_what_a_row_lacks_is_absent() -> None:
    records = [
        Record("a", texts=(Text("one two"),), image=(Media(data=picture(0)),)),
        Record("b", texts=(Text("two three"),), audio=(Media(data=sound(0)),)),
        Record("c", image=(Media(data=b"broken"),)),
        Record("d", texts=(Text("three four"),)),
    ]
    found = gather(RecordSheet(records), ())
    assert [part.name for part in found.parts] == ["text", "image", "audio"]
    assert [part.present.tolist() for part in found.parts] == [
        [True, True, False, True], [True, False, False, False], [False, True, False, False],
    ]  # fmt: skip
    assert found.present.tolist() == [True, True, False, True]
    unit = found.unit()
    assert np.linalg.norm(unit, axis=1) == pytest.approx([1, 1, 0, 1], abs=1e-5)
    assert not found.standardised()[2].any()


def test_measures_as_features() -> None:
    records = [Record(f"r{i}") for i in range(3)]
    sheet = RecordSheet(records, {"size": [1, 2, None], "flag": [True, False, True], "name": ["a", "b", "c"]})
    found = gather(sheet, ["column:size", "column:flag"])
    assert found.parts[0].present.tolist() == [True, True, False]
    assert found.parts[1].value.ravel().tolist() == [1, 0, 1]
    with pytest.raises(ConfigError, match="no number"):
        gather(sheet, ["column:name"])
    with pytest.raises(DataError, match="no row has"):
        gather(sheet, ["image"])
    with pytest.raises(DataError, match="no row has"):
        gather(sheet, ())
