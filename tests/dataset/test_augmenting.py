"""The step augment: copies of training rows alone, in their groups, seeded by id; what must stay true does."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from dataset_cases import picture, sound
from PIL import Image

from chiasm.config import BuildConfig, load_config
from chiasm.dataset.augmenting import MARK, Augmenter, read_words, run
from chiasm.dataset.split import Key
from chiasm.errors import ConfigError
from chiasm.modalities.audio import read_audio
from chiasm.modalities.image import read_image
from chiasm.modalities.video import read_video, write_video
from chiasm.types import Box, Label, Media, Record, Text


class Rows:
    """A sheet of the records that it is given."""

    root = None

    def __init__(self, records: Sequence[Record]) -> None:
        self.kept = list(records)
        self.rows = np.arange(len(records), dtype=np.int64)
        self.keys = [Key(r.id, r.group, r.split) for r in records]
        self.measures = pa.table({})

    def records(
        self, rows: Sequence[int] | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[int, Record]]:
        for row in range(len(self.kept)) if rows is None else rows:
            yield row, self.kept[row]


def smooth(seed: int, side: int = 24) -> bytes:
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    Image.fromarray(
        np.repeat(np.repeat(rng.integers(0, 255, (4, 4, 3)), side // 4, 0), side // 4, 1).astype(np.uint8)
    ).save(file, "PNG")
    return file.getvalue()


def rows(count: int = 8) -> list[Record]:
    return [
        Record(
            f"r{n}",
            texts=(Text(f"a picture of thing number {n}", "en"),),
            image=(Media(data=smooth(n), by="me"),),
            audio=(Media(data=sound(n, 0.3), kind="turn:0"),),
            labels=(Label("kind", "thing"),),
            group="g" if n < 2 else None,
            split="train" if n % 4 else "test",
        )
        for n in range(count)
    ]


def configured(**augment: Any) -> BuildConfig:
    return load_config(BuildConfig, base={"augment": {"copies": 2, **augment}})


def added(records: Sequence[Record], config: BuildConfig) -> list[tuple[int, Record]]:
    found = run(Rows(records), config).added
    assert found is not None
    return list(found)


def test_training_rows_alone_are_copied_into_their_groups() -> None:
    records = rows()
    made = added(records, configured())
    assert [(row, copy.id) for row, copy in made] == [(n, f"r{n}~{k}") for n in (1, 2, 3, 5, 6, 7) for k in (1, 2)]
    for row, copy in made:
        origin = records[row]
        assert copy.split == "train" and copy.labels == origin.labels and copy.texts == origin.texts
        assert copy.group == (origin.group or origin.id)
        assert (copy.image[0].kind or "").startswith(MARK) and copy.image[0].by == "me"
        assert copy.audio[0].kind == "turn:0"  # its place in a dialogue
        assert copy.audio[0].data != origin.audio[0].data
        assert read_image(copy.image[0].data or b"").shape == (24, 24, 3)
    assert run(Rows(records), BuildConfig()).added is None


def test_a_copy_depends_on_its_id_and_the_seed_alone() -> None:
    records = rows()
    first = {copy.id: copy for _, copy in added(records, configured(text=["drop"]))}
    turned = {copy.id: copy for _, copy in added(records[::-1], configured(text=["drop"]))}
    assert first == turned
    other = {copy.id: copy for _, copy in added(records, configured(text=["drop"]).model_copy(update={"seed": 1}))}
    assert sum(first[name] != other[name] for name in first) >= len(first) - 1
    assert first["r1~1"].image != first["r1~2"].image or first["r1~1"].audio != first["r1~2"].audio


def test_boxes_stay_where_they_were() -> None:
    plain = np.full((24, 24, 3), 250, np.uint8)
    plain[6:12, 6:12] = (220, 30, 40)
    file = io.BytesIO()
    Image.fromarray(plain).save(file, "PNG")
    boxed = Record("b", image=(Media(data=file.getvalue()),), boxes=(Box(0.25, 0.25, 0.5, 0.5, "red"),), split="train")
    shown = 0
    for _, copy in added([replace(boxed, id=f"b{n}") for n in range(12)], configured(mix=1, magnitude=6)):
        pixels = read_image(copy.image[0].data or b"").astype(int)
        inside, ground = pixels[7:11, 7:11], np.concatenate([pixels[:5], pixels[13:]])
        assert not np.ptp(inside, axis=(0, 1)).any() and not np.ptp(ground, axis=(0, 1)).any()
        shown += bool((inside[0, 0] != ground[0, 0]).any())
    assert shown >= 20  # equalising two colours may make them one


def test_mixing_brings_in_the_row_before() -> None:
    records = [replace(record, split="train") for record in rows(4)]
    made = added(records, configured(copies=1, image=[], audio=[], mix=1.0))
    assert [("mixup" in (c.image[0].kind or "")) or ("cutmix" in (c.image[0].kind or "")) for _, c in made] == [
        False,
        True,
        True,
        True,
    ]
    origin, other = (read_image(records[n].image[0].data or b"").astype(float) for n in (1, 0))
    changed = read_image(made[1][1].image[0].data or b"").astype(float)
    assert 0 < np.abs(changed - origin).mean() < np.abs(changed - other).mean()


def test_clips_are_changed_frame_for_frame_alike() -> None:
    frames = np.full((12, 32, 32, 3), 200, np.uint8)
    frames[:, 8:20, 8:20] = (30, 90, 200)
    clip = Record("c", video=(Media(data=write_video(frames, 6)),), split="train")
    (_, copy), _ = added([clip], configured(image=["color"], magnitude=25))
    assert copy.video[0].kind == f"{MARK}color, color"
    seen = read_video(copy.video[0].data or b"", 32, 4).astype(int)
    assert np.abs(seen - seen[0]).mean() < 3
    assert np.abs(seen[0] - frames[0].astype(int)).mean() > 3


def test_ids_that_are_taken_are_passed_over_and_broken_media_left_out() -> None:
    record = Record("a", texts=(Text("x"),), image=(Media(data=b"no picture"), Media(data=picture(1))), split="train")
    made = added([record, Record("a~1", texts=(Text("y"),), split="test")], configured())
    assert [copy.id for _, copy in made] == ["a~2", "a~3"]
    assert len(made[0][1].image) == 1


def test_sounds_stay_sounds() -> None:
    augmenter = Augmenter(configured(copies=12, magnitude=30, operations=3, mix=0.5).augment, 0)
    for n in range(2):
        for copy in augmenter.copies(Record(f"s{n}", audio=(Media(data=sound(n, 0.4)),), split="train")):
            samples = read_audio(copy.audio[0].data or b"")
            assert 0.25 * 16_000 < len(samples) < 0.6 * 16_000
            assert 0.005 < float(np.abs(samples).max()) <= 1


def test_words_back_off(tmp_path: Path) -> None:
    file = tmp_path / "words.tsv"
    file.write_text("thing\tobject\n\npicture\tdrawing\n", encoding="utf8")
    config = configured(text=["back_off"], words=str(file), magnitude=30, image=[], audio=[], copies=1)
    assert {copy.texts[0].text for _, copy in added(rows(2), config)} == {"a drawing of object number 1"}
    file.write_text("thing object\n", encoding="utf8")
    with pytest.raises(ConfigError, match="line 1"):
        read_words(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_words(tmp_path / "none")


def test_without_train_there_is_nothing_to_copy() -> None:
    with pytest.raises(ConfigError, match="no row is in train"):
        run(Rows([Record("a", texts=(Text("x"),), split="test")]), configured())
