"""What is taken out of texts, pictures and clips, against what was put in."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from record_sheet import RecordSheet

from chiasm.config import BuildConfig, load_config
from chiasm.dataset.extract import run
from chiasm.dataset.extract_motion import find_motion
from chiasm.dataset.extract_regions import find_regions, otsu
from chiasm.dataset.extract_text import find_entities, find_events, find_relations, read_gazetteer
from chiasm.dataset.extract_words import FORMS, singular
from chiasm.errors import ConfigError, DataError
from chiasm.modalities.video import write_video
from chiasm.types import Box, Label, Media, Record, Relation, Text

Pixels = NDArray[np.uint8]


def config(**extract: Any) -> BuildConfig:
    return load_config(BuildConfig, None, [f"extract={json.dumps(extract)}"])


def png(pixels: Pixels) -> Media:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return Media(data=file.getvalue())


# --- texts -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("colour", "A Red ball on grey ground", ["red", "grey"]),
        ("animal", "two dogs and a buTTerfly, catfish", ["dog", "butterfly"]),
        ("place", "From Paris to the Netherlands", ["paris", "netherlands"]),
        ("number", "3 of 1,5 and 2.75 on 2020-05-06; twelve", ["3", "1.5", "2.75", "12"]),
        ("number", "1,000 of 12,345,678.5 and 1,0000", ["1000", "12345678.5", "1.0000"]),
        ("count", "three red apples, two men and a dog; 7 of them", ["3 apple", "2 man"]),
        ("date", "on 4 March 1987, 2020-05-06, June 3rd or in 1999; 2020-13-40", ["2020-05-06", "1987-03-04", "---06-03", "1999"]),
        ("name", "She says Anna Karenina met Bob. Then I saw The Hague.", ["Anna Karenina", "Bob", "The Hague"]),
        ("name", "A Title In Title Case", []),
        ("name", "Dog. Cat. He ran.", []),
    ],
)  # fmt: skip
def test_entities(kind: str, text: str, found: list[str]) -> None:
    assert [name for _, name in find_entities(Text(text), (kind,), {})] == found


def test_english_lists_are_for_english() -> None:
    assert list(find_entities(Text("orange red", "de"), ("colour", "food"), {})) == []
    assert list(find_entities(Text("orange", "en_GB"), ("colour", "food"), {})) == [
        ("colour", "orange"),
        ("food", "orange"),
    ]


def test_gazetteers_of_the_user(tmp_path: Path) -> None:
    path = tmp_path / "tools.txt"
    path.write_text("# tools\nhammer\nscrew driver\tscrewdriver\nscrew\n\n", encoding="utf8")
    tools = read_gazetteer(path)
    found = find_entities(Text("Two HAMMERS, a screw driver; a screw", "fr"), (), {"tool": tools})
    assert list(found) == [("tool", "hammer"), ("tool", "screwdriver"), ("tool", "screw")]
    path.write_text("# nothing\n", encoding="utf8")
    with pytest.raises(DataError, match="no term"):
        read_gazetteer(path)
    with pytest.raises(DataError, match="No such file"):
        read_gazetteer(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A cat on a mat", ["cat on mat"]),
        ("a bowl of soup next to two glasses", ["bowl of soup", "soup next to glass"]),
        ("A black dog is chasing a red ball in the park", ["dog chase ball", "ball in park"]),
        ("Two men sitting on a bench", ["man sit on bench"]),
        ("A ball is thrown by a boy", ["boy throw ball"]),
        ("Children play football", ["child play football"]),
        ("A woman wearing a hat walks her dog", ["woman wear hat", "woman walk dog"]),
        ("a tree in front of the old brick house", ["tree in front of house"]),
        ("A dog. On the mat.", []),
        ("sunshine", []),
        ("", []),
    ],
)
def test_relations(text: str, found: list[str]) -> None:
    assert [f"{r.subject} {r.predicate} {r.object}" for r in find_relations(text)] == found


def test_events_are_verbs_where_verbs_stand() -> None:
    assert find_events("A man running and jumping over the painting while a dog barks") == ["run", "jump", "bark"]
    assert find_events("the run of a play in a building") == []


def test_forms_of_words() -> None:
    known = {"running": "run", "swims": "swim", "danced": "dance", "carries": "carry", "stopped": "stop", "sat": "sit", "eating": "eat",
             "looking": "look", "walked": "walk", "holding": "hold", "washes": "wash", "lying": "lie"}  # fmt: skip
    assert {form: FORMS.get(form) for form in known} == known
    plurals = {
        "berries": "berry",
        "boxes": "box",
        "men": "man",
        "glass": "glass",
        "paris": "paris",
        "dogs": "dog",
        "bus": "bus",
    }
    assert {word: singular(word) for word in plurals} == plurals


# --- pictures ----------------------------------------------------------------------------------------------------------------


def scene(boxes: Sequence[tuple[int, int, int, int]], height: int = 120, width: int = 160, noise: float = 6) -> Pixels:
    """Coloured rectangles, x0 y0 x1 y1 in pixels, on a noisy ground."""
    random = np.random.default_rng(0)
    picture = np.full((height, width, 3), (200, 205, 190), np.float64)
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        picture[y0:y1, x0:x1] = [(180, 30, 30), (20, 60, 160), (30, 120, 40)][number % 3]
    return np.clip(picture + noise * random.standard_normal(picture.shape), 0, 255).astype(np.uint8)


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_regions_are_the_things_that_were_put_there() -> None:
    true = [(10, 20, 60, 70), (90, 10, 150, 40), (100, 70, 130, 110)]
    found = find_regions(scene(true), 8)
    assert len(found) == 3
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in found]
    assert areas == sorted(areas, reverse=True)
    for x0, y0, x1, y1 in true:
        assert max(overlap((x0 / 160, y0 / 120, x1 / 160, y1 / 120), box) for box in found) > 0.85
    assert len(find_regions(scene(true), 2)) == 2


def test_where_nothing_stands_out_there_is_nothing() -> None:
    assert find_regions(scene([]), 8) == []
    assert find_regions(scene([(0, 0, 160, 120)]), 8) == []
    assert find_regions(np.zeros((1, 300, 3), np.uint8), 8) == []
    assert find_regions(np.full((40, 40, 3), 7, np.uint8), 8) == []
    assert otsu(np.full(9, 3.0)) == 3


def test_otsu_against_every_threshold() -> None:
    random = np.random.default_rng(0)
    value = np.concatenate([random.normal(10, 2, 300), random.normal(50, 5, 100)])

    def between(limit: float) -> float:
        low, high = value[value <= limit], value[value > limit]
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2 if len(low) and len(high) else 0

    best = max(between(v) for v in value)
    assert between(otsu(value)) >= 0.999 * best


class Hue:
    """A model that knows red from blue."""

    modalities = ("text", "image")

    def embed_items(self, modality: str, items: Sequence[Any]) -> NDArray[np.float32]:
        if modality == "text":
            rows = [[1, 0] if item.text == "red thing" else [0, 1] for item in items]
        else:
            rows = [np.asarray(Image.open(io.BytesIO(item.data))).mean(axis=(0, 1))[[0, 2]] for item in items]
        vectors = np.array(rows, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_regions_become_boxes_with_names() -> None:
    own = Record("own", image=(png(scene([(10, 20, 60, 70)])),), boxes=(Box(0, 0, 1, 1, "mine"),))
    records = [
        Record("a", image=(png(scene([(10, 20, 60, 70), (90, 10, 150, 40)])),)),
        own,
        Record("t", texts=(Text("x"),)),
    ]
    outcome = run(RecordSheet(records), config(regions=4))
    assert {row: [box.label for box in boxes] for row, boxes in outcome.boxes.items()} == {0: ["region", "region"]}
    assert outcome.facts["regions"] == {
        "rows": 1, "found": 2, "values": 1, "most": {"region": 2}, "unread": 0, "with_boxes_of_their_own": 1,
    }  # fmt: skip
    for box in outcome.boxes[0]:
        assert 0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1
    names = ["red thing", "blue thing"]
    outcome = run(RecordSheet(records), config(regions=4, region_names=names), model=Hue())
    assert [box.label for box in outcome.boxes[0]] == names
    with pytest.raises(ConfigError, match="trained model"):
        run(RecordSheet(records), config(regions=4, region_names=names))


# --- clips -------------------------------------------------------------------------------------------------------------------


def clip(way: tuple[float, float], grow: float = 0, frames: int = 8, side: int = 64) -> Pixels:
    """A dark square that goes `way` sides of the picture, and grows by `grow` sides, from the middle."""
    found = np.full((frames, side, side, 3), 230, np.uint8)
    for number in range(frames):
        t = number / (frames - 1)
        half = round(side * (0.08 + grow * t / 2))
        x, y = (round(side * (0.5 + d * (t - 0.5))) for d in way)
        found[number, max(0, y - half) : y + half, max(0, x - half) : x + half] = 20
    return found


@pytest.mark.parametrize(
    ("frames", "amount", "direction"),
    [
        (clip((0.6, 0)), "slow", "right"), (clip((-0.6, 0.1)), "slow", "left"), (clip((0, 0.5)), "slow", "down"),
        (clip((0.1, -0.5)), "slow", "up"), (clip((0, 0)), "still", None), (clip((0, 0), 0.5), "slow", "nearer"),
        (clip((0, 0), 0.5)[::-1], "slow", "farther"), (clip((0, 0))[:1], "still", None),
    ],
)  # fmt: skip
def test_motion(frames: Pixels, amount: str, direction: str | None) -> None:
    motion = find_motion(frames)
    assert (motion.amount, motion.direction, motion.camera) == (amount, direction, False)


def test_a_moving_camera() -> None:
    random = np.random.default_rng(0)
    world = np.asarray(Image.fromarray(random.integers(0, 256, (12, 24, 3), dtype=np.uint8)).resize((160, 64)))
    frames = np.stack([world[:, 6 * k : 6 * k + 64] for k in range(8)])
    motion = find_motion(frames)
    assert (motion.camera, motion.direction, motion.amount) == (True, "left", "fast")


def test_clips_are_labelled() -> None:
    moving = Media(data=write_video(np.repeat(clip((0.7, 0)), 2, axis=0), 8))
    records = [
        Record("a", video=(moving,)),
        Record("b", video=(Media(data=b"no clip"),)),
        Record("c", texts=(Text("x"),)),
    ]
    outcome = run(RecordSheet(records), config(actions=True))
    assert set(outcome.labels) == {0}
    assert Label("direction", "right") in outcome.labels[0]
    assert outcome.facts["motion"]["unread"] == 1


# --- the step ----------------------------------------------------------------------------------------------------------------


def test_the_step_adds_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "tools.txt").write_text("hammer\n", encoding="utf8")
    records = [
        Record(
            "a", texts=(Text("A red cat on a mat"), Text("ein Hammer", "de")), labels=(Label("entity:colour", "red"),)
        ),
        Record("b", texts=(Text("nothing"),)),
        Record("c", texts=(Text("A cat sits on a mat"),), relations=(Relation("cat", "sit on", "mat"),)),
    ]
    wanted = config(
        entities=["colour", "animal"], gazetteers={"tool": str(tmp_path / "tools.txt")}, relations=True, events=True
    )
    outcome = run(RecordSheet(records), wanted)
    assert outcome.labels == {
        0: (Label("entity:animal", "cat"), Label("entity:tool", "Hammer".lower())),
        2: (Label("entity:animal", "cat"), Label("event", "sit")),
    }
    assert outcome.relations == {0: (Relation("cat", "on", "mat"),)}
    assert outcome.facts["entities"]["animal"] == {"rows": 2, "found": 2, "values": 1, "most": {"cat": 2}}
    assert outcome.facts["relations"]["rows"] == 2
    assert not run(RecordSheet(records), BuildConfig()).facts


@pytest.mark.slow
def test_a_pipeline_as_plug_in(tmp_path: Path) -> None:
    """A BERT of one tiny block, written here, classifies texts; a folder of pickled weights is refused."""
    transformers = pytest.importorskip("transformers")
    from chiasm.errors import ModelError

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "dog"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf8")
    shape = transformers.BertConfig(
        vocab_size=7,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        id2label={0: "A", 1: "B"},
    )
    folder = tmp_path / "model"
    transformers.BertForSequenceClassification(shape).save_pretrained(folder)
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(folder)
    pipeline = {"task": "text-classification", "model": str(folder), "least": 0.0}
    records = [Record("a", texts=(Text("cat"),)), Record("b")]
    outcome = run(RecordSheet(records), config(pipelines={"mood": pipeline}))
    ((label,),) = outcome.labels.values()
    assert label.name == "mood" and label.value in "AB"
    assert outcome.facts["pipeline:mood"]["rows"] == 1
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no model for text-classification"):
        run(RecordSheet(records), config(pipelines={"mood": pipeline}))
