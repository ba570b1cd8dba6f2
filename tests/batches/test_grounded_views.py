"""Captions with tags and with a scene graph: what may be asked, and what must stay visible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from text_cases import COLOURS, GERMAN, THINGS, draft, make_corpus, scene

from chiasm.batches.grounded_views import ATTRIBUTE, OBJECT, RELATION, SceneCaption, TaggedCaption, nodes
from chiasm.batches.masking import Mask
from chiasm.modalities.text import EOS, MASK
from chiasm.types import IGNORE, Box, Record, Relation, Text

UNTOUCHED = Mask(replace=0.0, random=0.0)


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(regions=True)


def test_tags_are_the_names_of_the_regions(corpus) -> None:
    assert corpus.regions is not None
    shares, asked = [], set()
    for step in range(6):
        made = draft(corpus, TaggedCaption(80, 5, UNTOUCHED), step=step)
        text, matched = made.items["text"], made.labels["tags_matched"].tolist()
        tags = corpus.tokenizer.decode(
            [row[part == 1].tolist() for row, part in zip(text.value, text.segment, strict=True)]
        )
        words = corpus.tokenizer.decode(
            [row[v & (part == 0)].tolist() for row, part, v in zip(text.value, text.segment, text.valid, strict=True)]
        )
        for record, tag, says, yes, target, part in zip(
            corpus.records, tags, words, matched, text.target, text.segment, strict=True
        ):
            assert says in {t.text.lower() for t in record.texts}
            assert set(tag.split()) <= set(THINGS)
            assert (set(tag.split()) == {box.label for box in record.boxes}) == bool(yes)
            assert bool((target != IGNORE).any()) == bool(yes)
            asked |= set(part[target != IGNORE].tolist())
        shares.append(np.mean(matched))
    assert asked == {0, 1}, "words and tags are predicted"
    # Half are replaced, and of those one in ten has the same two tags of five things: 0.55 match.
    assert abs(np.mean(shares) - 0.55) < 0.1


def test_tags_are_bounded_and_need_regions(corpus) -> None:
    text = draft(corpus, TaggedCaption(80, 1, UNTOUCHED, replaced=0.0)).items["text"]
    tags = corpus.tokenizer.decode(
        [row[part == 1].tolist() for row, part in zip(text.value, text.segment, strict=True)]
    )
    assert tags == [record.boxes[0].label for record in corpus.records]
    short = draft(corpus, TaggedCaption(8, 2, UNTOUCHED)).items["text"]
    assert short.value.shape[1] == 8
    assert (short.value[:, 7] == EOS).all()
    assert not TaggedCaption(8, 2, Mask()).usable(make_corpus(), 0)
    bare = make_corpus([*(scene(n) for n in range(9)), replace(scene(10), boxes=())], regions=True)
    assert [TaggedCaption(8, 2, Mask()).usable(bare, p) for p in (0, 9)] == [True, False]


def found(record: Record, caption: str) -> list[tuple[str, int]]:
    return [(caption[node.start : node.stop], node.category) for node in nodes(record, caption)]


def test_nodes_are_the_phrases_of_the_scene_graph() -> None:
    record = Record(
        "r",
        boxes=tuple(Box(0, 0, 1, 1, label) for label in ("apple", "green apple", "cat", "ball (red)", "")),
        relations=(
            Relation("apple", "is", "red"),
            Relation("cat", "is", "very old"),
            Relation("dog", "is", "brown"),
            Relation("cat", "left of", "apple"),
            Relation("cat", "above", "dog"),
        ),
    )
    assert found(record, "Two Cats left of a red apple") == [
        ("Cats", OBJECT), ("left of", RELATION), ("red", ATTRIBUTE), ("apple", OBJECT),
    ]  # fmt: skip
    assert found(record, "a green apple") == [("green apple", OBJECT)], "the longest phrase, and no apple in it"
    assert found(record, "a category of pineapple, reddish") == [], "whole words only"
    assert found(record, "the cat above it, brown and left of nothing") == [("cat", OBJECT)], (
        "what is not there asks nothing"
    )
    assert found(record, "a very old cat") == [("very old", ATTRIBUTE), ("cat", OBJECT)]
    assert found(record, "the ball (red)") == [("ball (red)", OBJECT)], "labels are no patterns"
    both = Record(
        "b",
        boxes=(Box(0, 0, 1, 1, "cat"), Box(0, 0, 1, 1, "dog")),
        relations=(Relation("cat", "is", "red"), Relation("dog", "is", "red")),
    )
    assert nodes(both, "red cat, red dog")[0].needs == {"cat", "dog"}


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_what_is_asked_of_must_be_visible(corpus, share: float) -> None:
    counts = {OBJECT: 0, ATTRIBUTE: 0, RELATION: 0}
    masked = asked_phrases = all_phrases = 0
    for step in range(12):
        made = draft(corpus, SceneCaption(60, share), step=step)
        text, category = made.items["text"], made.labels["category"]
        assert torch.equal(category > 0, text.target != IGNORE)
        assert category.shape == text.value.shape
        original = torch.where(category > 0, text.target, text.value)
        says = corpus.tokenizer.decode(original)
        for record, caption, row, seen, kinds in zip(corpus.records, says, original, text.value, category, strict=True):
            assert caption in {t.text.lower() for t in record.texts if t.language == "en"}
            hidden: dict[int, list[str]] = {1: [], 2: [], 3: []}
            places = nodes(record, caption)
            spans = corpus.tokenizer.spans([caption])[0]
            for node in places:
                columns = [i for i, (_, a, b) in enumerate(spans, 1) if a < node.stop and node.start < b]
                values = set(kinds[columns].tolist())
                assert values in ({0}, {node.category}), "a phrase is masked whole or not at all"
                if values != {0}:
                    hidden[node.category].append(caption[node.start : node.stop])
                    counts[node.category] += 1
                    kept = (seen[columns] == row[columns]).all()
                    masks = (seen[columns] == MASK).all()
                    masked += bool(masks)
                    assert masks or kept or (seen[columns] != MASK).all(), "and treated as one"
            asked = sum(map(len, hidden.values()))
            assert asked >= 1
            if share == 1.0:
                assert hidden[OBJECT] == [] or not hidden[RELATION]
            for colour in hidden[ATTRIBUTE]:
                (owner,) = {r.subject for r in record.relations if r.predicate == "is" and r.object == colour}
                assert owner not in hidden[OBJECT]
            if hidden[RELATION]:
                assert not hidden[OBJECT]
            asked_phrases += asked
            all_phrases += len(places)
    assert all(count > 50 for count in counts.values())
    assert abs(masked / asked_phrases - 0.8) < 0.06
    if share == 0.3:
        assert abs(asked_phrases / all_phrases - 0.3) < 0.05


def test_only_english_captions_that_name_something_are_used(corpus) -> None:
    assert set(COLOURS) & set(GERMAN)
    record = scene(0)
    silent = replace(record, texts=(Text("nothing of it", "en"), *record.texts[1:3]))
    case = make_corpus([replace(record, id="a"), replace(silent, id="b")])
    assert [SceneCaption(40).usable(case, p) for p in (0, 1)] == [True, False]


def test_a_relation_whose_object_was_cut_is_not_asked() -> None:
    boxes = (Box(0, 0, 1, 1, "cat"), Box(0, 0, 1, 1, "dog"))
    record = Record("r", (Text("cat left of dog", "en"),), boxes=boxes, relations=(Relation("cat", "left of", "dog"),))
    corpus = make_corpus([replace(record, id=f"{n}") for n in range(60)])
    whole = len(corpus.tokenizer.ids(["cat left of dog"])[0]) + 2
    asked = [
        set(draft(corpus, SceneCaption(length, 1.0)).labels["category"].unique().tolist())
        for length in (whole, whole - 1, 3)
    ]
    assert asked == [{0, OBJECT, RELATION}, {0, OBJECT}, {0, OBJECT}]
