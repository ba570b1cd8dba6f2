"""What the step *align* joins, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from measured_sheet import MeasuredSheet, drawing, encoded, sound_file, word

from chiasm.building import AlignConfig
from chiasm.config import BuildConfig
from chiasm.dataset.align import mutual_nearest, run
from chiasm.errors import ConfigError
from chiasm.types import Label, Media, Record, Text


def decide(records, model=None, **settings):
    sheet = MeasuredSheet(records)
    outcome = run(sheet, BuildConfig(align=AlignConfig(**settings)), model=model)
    ids = [record.id for record in records]
    return (
        {ids[row]: ids[into] for row, into in outcome.merged.items()},
        {ids[row]: refused.message for row, refused in outcome.removed.items()},
        outcome.facts,
    )


def picture(key, seed=0, **fields):
    return Record(key, image=(Media(data=encoded(drawing(seed))),), **fields)


def text(key, words, **fields):
    return Record(key, (Text(words),), **fields)


def sound(key, seed=0, **fields):
    return Record(key, audio=(Media(data=sound_file(word(seed))),), **fields)


def test_files_of_one_stem_come_together_across_folders():
    records = [
        picture("images/cat"),
        text("captions/cat", "a cat"),
        sound("audio/Cat", 1),
        picture("images/dog", 1),
        text("captions/cow", "a cow"),
    ]
    merged, refused, facts = decide(records, by=("stem",))
    assert merged == {"captions/cat": "images/cat", "audio/Cat": "images/cat"}
    assert refused == {}
    assert facts["joined"] == {"stem": 2}


def test_two_of_a_kind_are_ambiguous_and_stay():
    merged, _, facts = decide([picture("a/cat"), picture("b/cat", 1), text("c/cat", "a cat")], by=("stem",))
    assert merged == {}
    assert facts["ambiguous"] == 1


def test_rows_of_one_key_come_together():
    def of(value):
        return (Label("item", value),)

    records = [
        picture("p1", labels=of("1")),
        picture("p2", 1, labels=of("2")),
        text("t2", "two", labels=of("2")),
        text("t3", "three"),
    ]
    assert decide(records, by=("key",), key="item")[0] == {"t2": "p2"}
    with pytest.raises(ValueError, match="key"):
        AlignConfig(by=("key",))


def test_rows_of_one_content_come_together_where_one_holds_the_media_of_the_others():
    same = encoded(drawing(0))
    records = [
        Record("de", (Text("ein Hund", "de"),), (Media(data=same),)),
        Record("en", (Text("a dog", "en"),), (Media(data=same),), (Media(data=sound_file(word(0))),)),
        Record("two", (Text("a cat"),), (Media(data=same), Media(data=encoded(drawing(1))))),
    ]
    assert decide(records[:2], by=("content",))[0] == {"en": "de"}
    assert decide(records[1:], by=("content",))[0] == {}


class Model:
    """Texts say where they lie, and pictures lie where their width says."""

    modalities = ("text", "image")

    def embed_items(self, modality, items):
        from chiasm.modalities.image import picture_size

        degrees = [float(item.text) if modality == "text" else float(picture_size(item.data)[0]) for item in items]
        angles = np.radians(degrees)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def wide(key, width, **fields):
    return Record(key, image=(Media(data=encoded(drawing(width, width, 20))),), **fields)


def test_a_model_joins_mutual_nearest_with_a_margin():
    records = [wide("p30", 30), wide("p80", 80), text("t31", "31"), text("t60", "60"), text("t170", "170")]
    assert decide(records, Model(), by=("model",), similarity=0.95, margin=0.05)[0] == {"t31": "p30"}
    merged = decide(records, Model(), by=("model",), similarity=0.5, margin=0.0)[0]
    assert merged == {"t31": "p30", "t60": "p80"}


def test_what_does_not_belong_together_is_refused_by_id():
    records = [wide("right", 40, texts=(Text("42"),)), wide("wrong", 40, texts=(Text("150"),)), text("alone", "7")]
    merged, refused, facts = decide(records, Model(), mismatch=0.5)
    assert merged == {}
    assert list(refused) == ["wrong"]
    assert "cosine of -0.342" in refused["wrong"]
    assert facts["refused"] == 1


@pytest.mark.parametrize("settings", [{"by": ("model",)}, {"mismatch": 0.1}])
def test_without_a_model_the_error_says_so(settings):
    with pytest.raises(ConfigError, match="give `model`"):
        decide([text("a", "1")], **settings)


def test_nothing_is_joined_where_nothing_is_asked():
    assert decide([picture("a/cat"), text("b/cat", "cat")])[0] == {}


def test_mutual_nearest_against_all(monkeypatch):
    random = np.random.default_rng(0)
    left, right = (random.normal(size=(count, 5)).astype(np.float32) for count in (40, 30))
    left, right = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (left, right))
    cosines = left @ right.T
    expected = []
    for a in range(40):
        b = int(cosines[a].argmax())
        lead = min(cosines[a, b] - np.delete(cosines[a], b).max(), cosines[a, b] - np.delete(cosines[:, b], a).max())
        if cosines[:, b].argmax() == a and cosines[a, b] >= 0.6 and lead >= 0.02:
            expected.append((a, b))
    assert mutual_nearest(left, right, 0.6, 0.02) == expected
    assert expected
