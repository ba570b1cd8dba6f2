"""What of a record is given and what is wanted, and how a batch of it is laid out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from chiasm.batches.augment import PICTURE_DRAWS, shifts
from chiasm.batches.collate import UNTOLD, Collator
from chiasm.batches.conversion import CHOICE_DRAWS, TURNS, ConversionFacts, Example, before_last, choose
from chiasm.batches.draws import Draws
from chiasm.config import RunConfig, load_config
from chiasm.declare import TaskConfig
from chiasm.errors import DataError
from chiasm.modalities.text import BOS, EOS, Tokenizer
from chiasm.types import Box, Items, Label, Media, Question, Record, Text

KEY = Media(data=b"-")

THING = Record(
    "thing",
    texts=(Text("a red cat", "en"), Text("cat", "en", "name"), Text("eine rote Katze", "de"), Text("un chat", "fr")),
    image=(replace(KEY, by="ann"), replace(KEY, by="bob"), replace(KEY, kind="item:0")),
    audio=(
        replace(KEY, by="v1", language="en", text="the red cat"),
        replace(KEY, by="v2", language="de"),
        replace(KEY, by="v3", language="xx"),
    ),
    labels=(Label("intent", "go"), Label("intent", "run"), Label("size", "small")),
    boxes=(Box(0.5, 0.1, 0.9, 0.4, "cat"), Box(0.0, 0.0, 0.25, 1.0, "dog"), Box(0.2, 0.2, 0.3, 0.3, "yak")),
    mask=KEY,
    questions=(
        Question("what is it", ("cat", "a cat"), "en"),
        Question("what colour", ("red",), "en"),
        Question("welche Farbe", ("rot",), "de"),
        Question("unanswered", (), "en"),
    ),
)
DIALOGUE = Record(
    "talk",
    image=(replace(KEY, kind="turn:0"), replace(KEY, kind="turn:2"), replace(KEY, kind="turn:1", by="held")),
    audio=(replace(KEY, kind="turn:1", by="v1"),),
    questions=(Question("who is it", ("ann",)), Question("what does she", ("sing",)), Question("and now", ("dance",))),
)
SESSION = Record(
    "session", texts=tuple(Text(f"item {k}") for k in range(4)), image=tuple(replace(KEY, kind=f"item:{k}") for k in range(4))
)  # fmt: skip


def task(given: Sequence[str], wanted: str, **more: Any) -> TaskConfig:
    return TaskConfig.model_validate({"given": given, "wanted": wanted, **more})


def drawn(record: Record, of: TaskConfig, count: int = 300, **more: Any) -> list[Example]:
    u = np.random.default_rng(0).random((count, CHOICE_DRAWS))
    found = [choose(record, of, row, **more) for row in u]
    assert [choose(record, of, row, **more) for row in u] == found, "a function of its draws alone"
    assert all(e is not None for e in found)
    return [e for e in found if e is not None]


def given_texts(examples: Sequence[Example]) -> set[str]:
    return {t for e in examples for t, _ in e.texts}


def first(record: Record, of: TaskConfig, **more: Any) -> Example:
    example = choose(record, of, None, **more)
    assert example is not None
    return example


# What is chosen.


def test_without_draws_it_is_the_first_of_everything() -> None:
    example = first(THING, task(["text.en", "image?"], "text.de"))
    assert example.texts == (("a red cat", 0),)
    assert example.media == {"image": ((0, 0),)}
    assert (example.written, example.language) == (("eine rote Katze",), "de")


def test_languages_and_kinds_are_kept_to() -> None:
    assert given_texts(drawn(THING, task(["text.en"], "text.de"))) == {"a red cat", "cat"}
    assert given_texts(drawn(THING, task(["text:name.en"], "text.de"))) == {"cat"}
    assert {e.written for e in drawn(THING, task(["image"], "text:name"))} == {("cat",)}
    assert {e.media["audio"][0][0] for e in drawn(THING, task(["audio.de"], "text"))} == {1}
    unmarked = replace(THING, texts=(Text("no language known"),))
    assert given_texts(drawn(unmarked, task(["text.en"], "label:intent"))) == {"no language known"}
    assert choose(THING, task(["text.ja"], "label:intent"), None) is None
    assert choose(THING, task(["text:poem"], "label:intent"), None) is None


def test_every_language_is_drawn_and_the_first_ones_leads() -> None:
    counts = Counter(e.language for e in drawn(THING, task(["image"], "text"), 4000))
    assert set(counts) == {"en", "de", "fr"}
    assert counts["en"] / 4000 == pytest.approx(0.75, abs=0.03)
    assert counts["de"] / 4000 == pytest.approx(0.125, abs=0.03)


def test_media_are_drawn_but_for_those_of_held_out_makers_and_of_turns() -> None:
    pictures = task(["image"], "label:intent")
    assert {e.media["image"] for e in drawn(THING, pictures)} == {((0, 0),), ((1, 0),)}
    assert {e.media["image"] for e in drawn(THING, pictures, held_out=frozenset({"ann"}))} == {((1, 0),)}
    assert choose(THING, pictures, None, frozenset({"ann", "bob"})) is None
    wanted = drawn(THING, task(["text"], "audio"), held_out=frozenset({"v1"}))
    assert {(e.medium, e.maker, e.language) for e in wanted} == {(1, "v2", "de"), (2, "v3", "xx")}


def test_what_is_said_in_a_sound_goes_with_it() -> None:
    pairs = {(e.media["audio"][0][0], e.written[0]) for e in drawn(THING, task(["audio"], "text"), 1000)}
    assert {text for index, text in pairs if index == 0} == {"the red cat"}
    assert {text for index, text in pairs if index == 1} == {"eine rote Katze"}
    assert len({text for index, text in pairs if index == 2}) > 1, "no text in the sound's language: any"
    said = {(e.medium, e.texts[0][0]) for e in drawn(THING, task(["text"], "audio"), 1000)}
    assert {text for index, text in said if index == 0} == {"the red cat"}
    assert {text for index, text in said if index == 1} == {"eine rote Katze"}
    together = {(e.media["audio"][0][0], e.texts[0][0]) for e in drawn(THING, task(["text", "audio"], "space"), 1000)}
    assert {text for index, text in together if index == 1} == {"eine rote Katze"}


def test_a_text_of_one_language_and_speech_of_another_keep_to_what_they_were_declared() -> None:
    examples = drawn(THING, task(["text.en"], "audio.de"))
    assert given_texts(examples) == {"a red cat", "cat"}
    assert {e.medium for e in examples} == {1}


def test_a_text_is_not_asked_for_again() -> None:
    for example in drawn(THING, task(["text"], "text"), 1000):
        assert example.written[0] != example.texts[0][0]
    assert choose(replace(THING, texts=THING.texts[:1]), task(["text"], "text"), None) is None


def test_a_medium_is_not_asked_for_again() -> None:
    for example in drawn(THING, task(["image"], "image")):
        assert example.media["image"] == ((1 - (example.medium or 0), 0),)
    assert choose(replace(THING, image=THING.image[:1]), task(["image"], "image"), None) is None


def test_what_is_usable_does_not_depend_on_the_draws() -> None:
    """The only German text is never drawn as what is given where it is what is wanted."""
    two = replace(THING, texts=(Text("cat", "en"), Text("Katze", "de")))
    assert {(e.texts[0][0], e.written) for e in drawn(two, task(["text"], "text.de"))} == {("cat", ("Katze",))}


def test_labels_boxes_and_masks() -> None:
    assert {e.written for e in drawn(THING, task(["image"], "label:intent"))} == {("go",), ("run",)}
    assert choose(THING, task(["image"], "label:mood"), None) is None
    assert first(THING, task(["image"], "boxes")).boxes == THING.boxes
    assert choose(replace(THING, boxes=()), task(["image"], "boxes"), None) is None
    assert choose(replace(THING, mask=None), task(["image"], "mask"), None) is None
    assert choose(replace(THING, boxes=()), task(["image"], "mask"), None) is None


def test_a_question_is_drawn_with_its_best_answer() -> None:
    found = {(e.texts, e.written, e.asked) for e in drawn(THING, task(["image", "question"], "answer"))}
    assert found == {
        ((("what is it", 0),), ("cat",), ()),
        ((("what colour", 0),), ("red",), ()),
        ((("welche Farbe", 0),), ("rot",), ()),
    }
    assert given_texts(drawn(THING, task(["image", "question.de"], "answer"))) == {"welche Farbe"}
    unanswered = replace(THING, questions=(Question("why", ()),))
    assert choose(unanswered, task(["image", "question"], "answer"), None) is None
    assert first(unanswered, task(["image", "question"], "answer"), wanted=False).texts == (("why", 0),)


def test_questions_of_one_record_share_it() -> None:
    of = task(["image", "question"], "answer", together=2)
    answers = {q.question: q.answers[0] for q in THING.questions if q.answers}
    pairs: Counter[tuple[str, ...]] = Counter()
    for example in drawn(THING, of, 600):
        assert len(set(example.asked)) == 2 and example.texts == ()
        assert example.written == tuple(answers[q] for q in example.asked)
        pairs[example.asked] += 1
    assert len(pairs) == 6 and min(pairs.values()) > 50, "every pair in both orders"
    many = first(THING, task(["image", "question"], "answer", together=5))
    assert many.asked == ("what is it", "what colour", "welche Farbe", "what is it", "what colour")
    assert first(THING, of, wanted=False).asked == ("what is it",)


def test_a_dialogue_is_given_up_to_its_last_question() -> None:
    of = task(["turns"], "answer")
    last = first(DIALOGUE, of)
    # The middle question is spoken: its words are not given, only its sound.
    assert last.texts == (("who is it", 2), ("ann", 2), ("sing", 1), ("and now", 0))
    assert last.media == {"image": ((0, 2), (1, 0), (2, 1)), "audio": ((0, 1),)}
    assert last.written == ("dance",)
    found = {(e.written, e.media["image"], e.media.get("audio")) for e in drawn(DIALOGUE, of)}
    assert found == {
        (("ann",), ((0, 0),), None),
        (("sing",), ((0, 1), (2, 0)), ((0, 0),)),
        (("dance",), ((0, 2), (1, 0), (2, 1)), ((0, 1),)),
    }
    without = first(DIALOGUE, of, held_out=frozenset({"v1", "held"}))
    assert ("what does she", 1) in without.texts and "audio" not in without.media
    assert without.media["image"] == ((0, 2), (1, 0))


def test_a_history_is_all_but_the_last_item() -> None:
    example = first(SESSION, task(["history"], "item"))
    assert example.texts == (("item 0", 2), ("item 1", 1), ("item 2", 0))
    assert example.media == {"image": ((0, 2), (1, 1), (2, 0))}
    assert (example.item, example.written) == (3, ("item 3",))
    one = replace(SESSION, texts=SESSION.texts[:1])
    assert choose(one, task(["history"], "item"), None) is None
    barred = replace(SESSION, image=(*SESSION.image[:3], replace(SESSION.image[3], by="ann")))
    assert choose(barred, task(["history"], "item"), None, frozenset({"ann"})) is None


def test_optional_fields_are_left_out_at_the_declared_share_and_may_lack() -> None:
    of = task(["text.en", "image?"], "text.de", without=0.2)
    share = np.mean(["image" not in e.media for e in drawn(THING, of, 3000)])
    assert share == pytest.approx(0.2, abs=0.03)
    assert first(replace(THING, image=()), of).media == {}
    assert choose(replace(THING, image=()), task(["text.en", "image"], "text.de"), None) is None


def test_a_space_takes_what_there_is_of_two_or_more() -> None:
    of = task(["text", "image", "audio"], "space")
    assert first(replace(THING, audio=()), of).media == {"image": ((0, 0),)}
    assert choose(replace(THING, audio=(), image=()), of, None) is None


def test_for_a_conversion_nothing_wanted_is_needed() -> None:
    bare = Record("given", texts=(Text("a cat"),), image=(KEY,))
    for wanted in ("text.de", "label:intent", "boxes", "audio", "image"):
        assert choose(bare, task(["text", "image"], wanted), None) is None, wanted
        assert first(bare, task(["text", "image"], wanted), wanted=False).texts == (("a cat", 0),)


# How it is laid out.

TOKENIZER = Tokenizer.train(["a red cat sits", "a blue dog runs", "what colour is it", "red", "blue"] * 3, 300)
FACTS = ConversionFacts(TOKENIZER.size, ("en", "de"), ("v1", "v2"), ("cat", "dog"))
SIZE = 16


def config(**conversion: Any) -> RunConfig:
    base: dict[str, Any] = {
        "data": {"table": "-"},
        "model": {"width": 16, "heads": 2, "text": {"length": 12}, "image": {"size": SIZE, "patch": 4}},
        "conversion": {"bins": 11, "boxes": 2, "audio_length": 6, "text_length": 5, **conversion},
        "train": {"steps": 1},
    }
    return load_config(RunConfig, base=base)


def fetch(modality: str, record: int, index: int) -> NDArray[np.uint8] | None:
    """Media that tell which they are; of record 9, none can be read."""
    if record == 9:
        return None
    shape = {"image": (SIZE, SIZE, 3), "audio": (10 + 8 * index, 80), "video": (4, SIZE, SIZE, 3)}[modality]
    return np.full(shape, 10 * record + index + 1, np.uint8)


def codes(modality: str, record: int, index: int) -> NDArray[np.int64] | None:
    if record == 9:
        return None
    steps = 4 if modality == "image" else 2 + record
    made = np.full((steps, 3), record, np.int64)
    return made if modality == "image" else np.concatenate([made, [[7, 0, 0]]])


def collator(of: TaskConfig, fetch: Callable[..., Any] = fetch, **conversion: Any) -> Collator:
    return Collator("t", of, config(**conversion), FACTS, TOKENIZER, fetch, codes, lambda r: np.full((8, 8), r))


def laid(of: TaskConfig, examples: Sequence[Example], draws: Draws | None = None, **more: Any) -> Any:
    ids = [f"r{i}" for i in range(len(examples))]
    records = more.pop("records", range(len(examples)))
    return collator(of, **more).batch(ids, np.arange(len(examples)), records, examples, draws)


def rows_of(items: Items) -> list[list[int]]:
    return [row[ok].flatten().tolist() for row, ok in zip(items.value, items.valid, strict=True)]


def test_a_written_text_ends_and_a_long_one_is_cut() -> None:
    of = task(["image"], "text")
    example = Example(media={"image": ((0, 0),)}, written=("a red cat sits a red cat sits",))
    short = replace(example, written=("red",))
    tokens = TOKENIZER.ids([example.written[0], "red"])
    assert len(tokens[0]) > 5
    assert rows_of(laid(of, [example, short]).items["wanted"]) == [[*tokens[0][:4], EOS], [*tokens[1], EOS]]
    shorter = task(["image"], "text", length=3)
    assert rows_of(laid(shorter, [example]).items["wanted"]) == [[*tokens[0][:2], EOS]]


def test_parts_of_a_given_text_follow_each_other_with_their_turns() -> None:
    of = task(["turns"], "answer")
    example = Example(texts=(("red", 2), ("blue", TURNS + 5), ("red", 0)), written=("cat",))
    items = laid(of, [example, Example(texts=(("red", 0),), written=("cat",))]).items["text"]
    red, blue = TOKENIZER.ids(["red", "blue"])
    assert rows_of(items)[0] == [BOS, *red, EOS, BOS, *blue, EOS, BOS, *red, EOS]
    expected = [2] * (len(red) + 2) + [TURNS - 1] * (len(blue) + 2) + [0] * (len(red) + 2)
    assert items.segment is not None and items.segment[0].tolist() == expected
    long = Example(texts=(("a blue dog runs a blue dog runs", 1), ("what colour is it", 0)), written=("cat",))
    (row,) = rows_of(laid(of, [long]).items["text"])
    asked = TOKENIZER.ids(["what colour is it"])[0]
    assert len(row) == 12 and row[-len(asked) - 2 :] == [BOS, *asked, EOS], "what was said last is kept"
    (alone,) = rows_of(
        laid(of, [Example((("a blue dog runs a blue dog runs a blue dog", 0),), written=("cat",))]).items["text"]
    )
    assert alone[0] == BOS and alone[-1] == EOS and len(alone) == 12, "a single text is cut at its end"


def test_boxes_from_left_to_right_then_the_end() -> None:
    """10 steps of a coordinate; classes cat = 11, dog = 12; the end = 13. An unknown class is left out, of the others two are kept."""
    of = task(["image"], "boxes")
    example = first(replace(THING, boxes=(*THING.boxes, Box(0.95, 0, 1, 1, "cat"))), of)
    assert rows_of(laid(of, [example]).items["wanted"]) == [[0, 0, 2, 10, 12, 5, 1, 9, 4, 11, 13]]
    nothing = replace(example, boxes=(Box(0, 0, 1, 1, "yak"),))
    assert rows_of(laid(of, [nothing]).items["wanted"]) == [[13]]


def test_several_media_a_record_or_none() -> None:
    of = task(["turns"], "answer")
    of_media: list[dict[str, Any]] = [{"image": ((0, 1), (2, 0))}, {}, {"image": ((1, 0),), "audio": ((0, 0), (1, 3))}]
    batch = laid(of, [Example((("red", 0),), media, written=("a",)) for media in of_media])
    image, audio = batch.items["image"], batch.items["audio"]
    assert image.owner.tolist() == [0, 0, 2] and audio.owner.tolist() == [2, 2]
    assert image.value[:, 0, 0, 0].tolist() == [1, 3, 22]
    assert image.segment is not None and image.segment.tolist() == [[1], [0], [0]]
    assert audio.segment is not None and audio.segment.tolist() == [[0], [3]]
    assert audio.valid.sum(1).tolist() == [10, 18]


def test_what_cannot_be_read_is_left_out_and_never_moves_what_can() -> None:
    of = task(["image"], "text")
    examples = [Example(media={"image": ((0, 0),)}, written=("red",))] * 3
    assert laid(of, examples, records=[1, 9, 2]).items["image"].owner.tolist() == [0, 2]
    assert "image" not in laid(of, examples, records=[9, 9, 9]).items
    history = task(["history"], "item")

    def broken(modality: str, record: int, index: int) -> NDArray[np.uint8] | None:
        return None if (record, index) == (0, 1) else fetch(modality, record, index)

    batch = laid(history, [first(SESSION, history)] * 2, fetch=broken)
    assert batch.items["history.image"].owner.tolist() == batch.items["history.text"].owner.tolist() == [0, 0, 1, 1, 1]
    assert batch.items["history.image"].value[:, 0, 0, 0].tolist() == [1, 3, 11, 12, 13]
    with pytest.raises(DataError, match="r1: its image can no longer be read"):
        laid(task(["text"], "image"), [Example((("red", 0),), medium=0)] * 2, records=[0, 9])


def test_codes_are_padded_and_a_sounds_end_is_among_them() -> None:
    batch = laid(task(["text"], "audio"), [Example((("red", 0),), medium=0)] * 3)
    assert batch.items["wanted"].valid.sum(1).tolist() == [3, 4, 5]
    assert batch.items["wanted"].value[1].tolist() == [[1, 1, 1]] * 3 + [[7, 0, 0]] + [[0, 0, 0]]


def test_a_sound_filled_in_in_parallel_ends_to_the_last_place() -> None:
    """Which places are filled in would otherwise tell how long it is."""
    batch = laid(task(["text"], "audio", order="parallel"), [Example((("red", 0),), medium=0)] * 2)
    wanted = batch.items["wanted"]
    assert wanted.valid.shape == (2, 7) and wanted.valid.all()
    assert wanted.value[0, :, 0].tolist() == [0, 0, 7, 7, 7, 7, 7]


def test_the_wanted_item_is_the_last_of_its_record() -> None:
    one = first(SESSION, task(["history"], "item"))
    batch = laid(task(["history"], "item"), [one, replace(one, written=(one.texts[0][0].upper(),))])
    assert batch.items["item.image"].value[:, 0, 0, 0].tolist() == [4, 14]
    shown = len(one.texts)
    same = batch.labels["item"].tolist()
    assert same[:shown] == same[shown : 2 * shown] and len({*same[:shown], same[-2]}) == shown + 1
    assert same[-1] == same[0], "an item is known by its name"


def test_asked_questions_stand_next_to_each_other() -> None:
    of = task(["image", "question"], "answer", together=2)
    batch = laid(of, [first(THING, of)] * 2)
    assert batch.items["asked"].owner.tolist() == batch.items["wanted"].owner.tolist() == [0, 0, 1, 1]
    assert "text" not in batch.items


def test_a_writer_is_told_language_and_maker_but_in_a_share_of_examples() -> None:
    of = task(["text"], "audio")
    examples = [Example((("red", 0),), medium=0, language="de", maker="v1")] * 4000
    many = laid(of, examples, Draws(0, 0, 4000, slice(None)), records=[1] * 4000)
    untold = many.labels["language"] == 0
    assert float(untold.float().mean()) == pytest.approx(UNTOLD, abs=0.02)
    assert torch.equal(many.labels["maker"] == 0, untold)
    assert set(many.labels["language"].tolist()) == {0, 2} and set(many.labels["maker"].tolist()) == {0, 1}
    plain = laid(of, [examples[0], replace(examples[0], language="xx", maker=None)])
    assert plain.labels["language"].tolist() == [2, 0] and plain.labels["maker"].tolist() == [1, 0]


def test_shares_of_blank_examples_and_of_known_codes() -> None:
    of = task(["text"], "image", order="parallel", blank=0.25)
    n = 3000
    batch = laid(of, [Example((("red", 0),), medium=0)] * n, Draws(0, 0, n, slice(None)), records=[1] * n)
    assert float(batch.labels["blank"].float().mean()) == pytest.approx(0.25, abs=0.03)
    hidden = (~batch.labels["known"]).sum(1)
    assert hidden.min() >= 1 and set(hidden.tolist()) == {1, 2, 3, 4}
    # γ(u) = cos(πu/2): more than half of u hides 3 of 4 or more, as ⌈4 cos⌉ ≥ 3 up to u = 2/3.
    assert float((hidden >= 3).float().mean()) == pytest.approx(2 / 3, abs=0.04)
    places = (~batch.labels["known"]).float().mean(0)
    assert float(places.max() - places.min()) < 0.06, "every place alike"
    assert "blank" not in laid(of, [Example((("red", 0),), medium=0)]).labels


def test_a_share_of_what_was_written_is_hidden_in_training_only() -> None:
    of = task(["text"], "image", word_dropout=0.25)
    n = 2000
    examples = [Example((("red", 0),), medium=0)] * n
    batch = laid(of, examples, Draws(0, 0, n, slice(None)), records=[1] * n)
    recalled, wanted = batch.labels["recalled"], batch.items["wanted"]
    assert recalled.shape == wanted.valid.shape
    assert torch.allclose(recalled.float().mean(0), torch.tensor(0.75), atol=0.04), "every place alike"
    assert len({tuple(row) for row in recalled.tolist()}) > 5, "each example has its own"
    assert "recalled" not in laid(of, examples[:2]).labels
    asking = task(["image", "question"], "answer", together=2, word_dropout=0.5)
    shared = laid(asking, [first(THING, asking)] * 64, Draws(0, 0, 64, slice(None)), records=[1] * 64).labels[
        "recalled"
    ]
    assert len(shared) == 128 and not torch.equal(shared[::2], shared[1::2]), "questions of one record have their own"
    plain = laid(task(["text"], "image"), examples, Draws(0, 0, n, slice(None)), records=[1] * n)
    assert "recalled" not in plain.labels and torch.equal(plain.items["wanted"].value, wanted.value)
    for wanted_field, more in (("image", {"order": "parallel"}), ("space", {}), ("mask", {})):
        given = ["text", "image"] if wanted_field == "space" else ["image"] if wanted_field == "mask" else ["text"]
        with pytest.raises(ValidationError, match="word_dropout: is for what is written one after the other"):
            task(given, wanted_field, word_dropout=0.1, **more)


def test_guidance_is_refused_where_nothing_was_learned_to_compare_with() -> None:
    with pytest.raises(ValidationError, match="guidance: compares with examples that show nothing"):
        task(["text"], "image", guidance=2)
    assert task(["text"], "image", guidance=2, blank=0.1).guidance == 2


def test_pictures_are_augmented_and_thinned_only_in_training_and_places_move_along() -> None:
    example = first(THING, task(["image"], "boxes"))

    def varied(modality: str, record: int, index: int) -> NDArray[np.uint8]:
        return np.random.default_rng(record).integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)

    draws = Draws(0, 0, 8, slice(None))
    plain = laid(task(["image"], "boxes"), [example] * 8, fetch=varied).items["image"].value
    still = laid(task(["image"], "boxes", augment=0.0), [example] * 8, draws, fetch=varied)
    assert torch.equal(still.items["image"].value, plain)
    cells = task(["image"], "boxes", order="parallel", augment=1.0)
    moved, there = (laid(cells, [example] * 8, d, fetch=varied).labels for d in (draws, None))
    far = shifts(draws.uniform("picture", PICTURE_DRAWS), 1.0, SIZE)[:, [1, 0, 1, 0]] / SIZE
    assert len(np.unique(far)) > 1
    whole = (there["boxes"][:, 0].numpy() + far).clip(0, 1)
    assert np.allclose(moved["boxes"][:, 0].numpy(), whole, atol=1e-6)
    assert torch.equal(moved["objects"], there["objects"])
    changed = laid(task(["image"], "boxes", augment=1.0, drop=0.5), [example] * 8, draws, fetch=varied).items["image"]
    assert not torch.equal(changed.value, plain)
    assert changed.keep is not None and changed.keep.shape == (8, 8)
    assert laid(task(["image"], "boxes", drop=0.5), [example] * 8, fetch=varied).items["image"].keep is None


def test_the_frames_of_a_clip_are_changed_alike_and_only_where_the_task_says_so() -> None:
    clip = np.random.default_rng(0).integers(0, 255, (1, SIZE, SIZE, 3)).astype(np.uint8).repeat(4, 0)
    example = Example((), {"video": ((0, 0),)}, written=("red",))
    draws = Draws(0, 0, 8, slice(None))
    still, moved = (
        laid(task(["video"], "label:action", **settings), [example] * 8, draws, fetch=lambda *_: clip)
        .items["video"]
        .value
        for settings in ({}, {"augment": 1.0})
    )
    assert torch.equal(still, torch.from_numpy(clip)[None].expand(8, -1, -1, -1, -1))
    assert torch.equal(moved, moved[:, :1].expand_as(moved)) and len({one.numpy().tobytes() for one in moved}) == 8


def test_a_batch_is_a_function_of_its_draws() -> None:
    of = task(["text", "image?"], "image", order="parallel", blank=0.5)
    examples = [Example((("red", 0),), {"image": ((0, 0),)}, medium=0)] * 4
    one, two, other = (laid(of, examples, Draws(0, step, 4, slice(None))) for step in (3, 3, 4))
    assert torch.equal(one.labels["known"], two.labels["known"]) and torch.equal(
        one.items["image"].value, two.items["image"].value
    )
    assert not torch.equal(one.labels["known"], other.labels["known"])


def test_a_record_without_a_text_has_no_item_in_a_space() -> None:
    of = task(["text", "image", "audio"], "space")
    media: dict[str, Any] = {"image": ((0, 0),), "audio": ((0, 0),)}
    batch = laid(of, [Example((), media), Example((("red", 0),), media)])
    assert batch.items["text"].owner.tolist() == [1]
    assert len(batch.items["text"].value) == 1 and batch.items["image"].owner.tolist() == [0, 1]
    assert "wanted" not in batch.items


def test_masks_are_those_of_the_records() -> None:
    batch = laid(task(["image"], "mask"), [first(THING, task(["image"], "mask"))] * 2, records=[3, 5])
    assert batch.labels["mask"].shape == (2, 8, 8)
    assert batch.labels["mask"][:, 0, 0].tolist() == [3, 5]


def test_a_conversion_is_shown_every_item_of_a_history() -> None:
    of = task(["history"], "item")
    assert len(first(SESSION, of, wanted=False).texts) == 4
    cut, trained = first(before_last(SESSION), of, wanted=False), first(SESSION, of)
    assert (cut.texts, cut.media) == (trained.texts, trained.media), "what training was shown"


def test_a_shared_question_is_asked_once_and_apart_also_in_a_conversion() -> None:
    example = first(THING, task(["image", "question"], "answer", together=3), wanted=False)
    assert example.texts == () and example.asked == ("what is it",)


def test_places_are_those_of_the_first_picture() -> None:
    assert {e.media["image"] for e in drawn(THING, task(["image"], "boxes"))} == {((0, 0),)}


def test_the_given_text_is_never_the_wanted_one() -> None:
    spoken = Record("r", texts=(Text("a dog", "en"),), audio=(replace(KEY, language="en", text="a dog"),))
    assert choose(spoken, task(["audio", "text?"], "text"), None) is None
    same = Record("r", texts=(Text("a dog", "en"), Text("a dog", "en", "title")))
    assert choose(same, task(["text"], "text"), None) is None


def test_turns_are_told_also_where_a_batch_has_first_ones_only() -> None:
    of = task(["turns"], "answer")
    short = replace(DIALOGUE, questions=DIALOGUE.questions[:1], audio=())
    alone, mixed = laid(of, [first(short, of)]), laid(of, [first(short, of), first(DIALOGUE, of)])
    for name in ("text", "image"):
        one, two = alone.items[name].segment, mixed.items[name].segment
        assert one is not None and two is not None and not one.any() and two.any()
