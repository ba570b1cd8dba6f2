"""Figures of constructed media, and that examining decodes once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from dataset_cases import picture, sound
from measured_sheet import drawing, encoded, sound_file
from PIL import Image

from chiasm.dataset import clean
from chiasm.dataset.clean import check_record
from chiasm.dataset.examine import examine
from chiasm.dataset.measure import MEASURES, measure, picture_figures, sound_figures
from chiasm.modalities.video import write_video
from chiasm.types import Media, Record, Text


def look(record, vouched=frozenset()):
    return examine(record, None, vouched, True)


def clip():
    frames = np.random.default_rng(0).integers(0, 256, (10, 32, 48, 3), dtype=np.uint8)
    return write_video(frames, 5)


FULL = Record(
    "full",
    (Text("A brown dog runs over the wide green lawn.", "en"), Text("Ein Hund", "de")),
    (Media(data=encoded(drawing(0))), Media(data=picture(1))),
    (Media(data=sound(0, 0.5)),),
    (Media(data=clip()),),
)


def test_a_row_has_every_column_and_fits_the_schema():
    row = look(FULL).measures
    assert row is not None
    assert list(row) == MEASURES.names
    table = pa.Table.from_pylist([row], schema=MEASURES)
    found = table.to_pylist()[0]
    assert (found["image_width"], found["image_height"]) == (96, 72)
    assert (found["video_width"], found["video_height"], found["video_frames"]) == (48, 32, 10)
    assert found["video_seconds"] == pytest.approx(2.0)
    assert found["audio_seconds"] == pytest.approx(0.5)
    assert (found["text_language"], found["text_declared"], found["text_words"]) == ("en", "en", 9)
    assert [len(found[name]) for name in ("image_hash", "audio_hash", "video_hash", "text_digest")] == [2, 1, 1, 2]


def test_examining_is_checking_and_measuring_with_each_medium_decoded_once(monkeypatch):
    calls: Counter[str] = Counter()

    def counted(name, read):
        def reader(data):
            calls[name] += 1
            return read(data)

        return reader

    monkeypatch.setattr(clean, "_READERS", {name: counted(name, read) for name, read in clean._READERS.items()})
    examined = look(FULL)
    assert calls == {"image": 2, "audio": 1, "video": 1}
    checked = check_record(FULL, None)
    assert (examined.record, examined.rejected, examined.key) == (checked.record, checked.rejected, checked.key)
    assert examined.measures == measure(FULL, None)


def test_what_is_refused_or_vouched_for_is_not_measured():
    refused = look(Record("r", image=(Media(data=b"no picture"),)))
    assert refused.record is None
    assert refused.measures is None
    assert refused.rejected[0].reason == "format"
    assert look(FULL, frozenset({"image"})).measures is None


def test_a_part_that_is_dropped_leaves_its_columns_empty():
    row = look(Record("r", (Text("hello"),), (Media(data=b"no picture"),))).measures
    assert row is not None
    assert row["image_width"] is None
    assert row["image_hash"] == []
    assert row["text_characters"] == 5


def test_pictures_of_nothing_have_no_ink_and_no_information():
    flat = picture_figures(np.full((20, 30), 200, np.float32))
    assert flat == {"image_blur": 0.0, "image_entropy": 0.0, "image_ink": 0.0}
    halves = np.zeros((20, 30), np.float32)
    halves[:, 15:] = 255
    assert picture_figures(halves)["image_ink"] == pytest.approx(0.5)
    assert picture_figures(halves)["image_entropy"] == pytest.approx(1.0)


def test_a_blurred_picture_has_a_smaller_laplacian():
    from PIL import ImageFilter

    sharp = drawing(2, 128, 128)
    figures = [
        measure(Record("p", image=(Media(data=encoded(one)),)), None)["image_blur"]
        for one in (sharp, sharp.filter(ImageFilter.GaussianBlur(3)))
    ]
    assert figures[0] > 10 * figures[1]


def test_the_white_beside_a_tall_picture_is_not_measured():
    black = Image.new("RGB", (20, 100), "black")
    row = measure(Record("p", image=(Media(data=encoded(black)),)), None)
    assert row["image_entropy"] == 0.0


def test_loudness_clipping_and_silence():
    time = np.arange(16_000, dtype=np.float32) / 16_000
    sine = np.sin(2 * np.pi * 400 * time).astype(np.float32)
    assert sound_figures(0.5 * sine)["audio_rms"] == pytest.approx(-9.03, abs=0.01)
    assert sound_figures(0.5 * sine)["audio_clipped"] == 0
    assert 0.4 < sound_figures(np.clip(2 * sine, -1, 1))["audio_clipped"] < 0.7
    quiet = np.concatenate([0.5 * sine, np.zeros(16_000, np.float32)])
    assert sound_figures(quiet)["audio_silent"] == pytest.approx(0.5, abs=0.02)
    assert sound_figures(np.zeros(5, np.float32))["audio_silent"] == 1.0


def test_a_clips_sound_track_is_measured_as_its_sound(tmp_path):
    row = look(Record("s", audio=(Media(data=sound_file(np.full(800, 0.1, np.float32))),))).measures
    assert row is not None
    assert row["audio_peak"] == pytest.approx(0.1, abs=1e-3)
