"""The checkpoint that is shipped, asked as a reader asks it. What it says is its own affair; that it answers is not."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from cli_cases import as_json, ok
from PIL import Image

from chiasm import Media, Question, Record, load
from chiasm.errors import ConfigError
from chiasm.train.converting import ConvertingModel, sureness
from chiasm.types import Converted

SHAPES, QUESTION = ("shapes", "scene"), "is there a red shape?"


@pytest.fixture(scope="module")
def starter() -> ConvertingModel:
    model = load("starter", device="cpu")
    assert isinstance(model, ConvertingModel)
    return model


@pytest.fixture(scope="module")
def disc() -> bytes:
    y, x = np.mgrid[:64, :64]
    pixels = np.full((64, 64, 3), 255, np.uint8)
    pixels[(x - 32) ** 2 + (y - 32) ** 2 < 400] = (220, 30, 30)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_picture_a_question_and_a_text_are_converted(starter: ConvertingModel, disc: bytes) -> None:
    named = starter.convert(image=disc)
    assert named.task == "caption" and named.text
    shown: list[str] = []
    answer = starter.convert(image=disc, text=QUESTION, show=shown.append)
    assert answer.task in SHAPES and answer.text in starter.choices(answer.task) and shown == [answer.text]
    drawn = starter.convert(text="red apple", to="image")
    assert drawn.task == "draw" and drawn.image is not None and drawn.image.dtype == np.uint8


def test_the_surest_of_two_tasks_is_kept(starter: ConvertingModel, disc: bytes) -> None:
    alone = {name: starter.convert(image=disc, text=QUESTION, task=name) for name in SHAPES}
    assert all(made.score is not None and made.score <= 0 for made in alone.values())
    answer = starter.convert(image=disc, text=QUESTION)
    assert answer.task is not None
    assert answer.task == max(alone, key=lambda name: sureness(alone[name]))
    with pytest.raises(ConfigError, match="cannot be compared"):
        starter.run(("caption", "mask"), [])
    kept = alone[answer.task]
    assert (answer.text, answer.score) == (kept.text, pytest.approx(kept.score, abs=1e-3))


def test_a_longer_text_is_not_the_less_sure_one_for_its_length(starter: ConvertingModel, disc: bytes) -> None:
    short, long = Converted(text="one", score=-0.9, steps=2), Converted(text="a runner", score=-1.5, steps=5)
    assert sureness(long) > sureness(short) and sureness(Converted(text="one")) == -math.inf
    caption, answer = (starter.convert(image=disc, text=t, to="text") for t in (None, QUESTION))
    for made in (caption, answer):  # and its end
        assert made.steps == len(starter.tokenizer.ids([made.text or ""])[0]) + 1


def test_what_two_tasks_read_is_decoded_once(starter: ConvertingModel, disc: bytes) -> None:
    read: list[Media] = []

    def reader(medium: Media) -> bytes:
        read.append(medium)
        return medium.data or b""

    record = Record("a", image=(Media(data=disc),), questions=(Question(QUESTION, ()),))
    (made,) = starter.run(SHAPES, [record], read=reader)
    assert made.task in SHAPES and read == [record.image[0]]


def test_the_first_command_of_the_documentation(disc: bytes, tmp_path: Path) -> None:
    picture = tmp_path / "disc.png"
    picture.write_bytes(disc)
    asked = ("--image", picture, "--text", QUESTION)
    said = ok("convert", *asked, "--to", "text")
    found = as_json("convert", *asked, "--image", picture)
    assert found["task"] in SHAPES and [entry["task"] for entry in found["results"]] == [found["task"]] * 2
    assert said.stdout == found["results"][0]["text"] + "\n"
    assert f"note: the surest of shapes, scene: {found['task']}; --task" in said.stderr
    both = ok("convert", *asked, "--image", picture, "--out", tmp_path / "said", "--task", "scene")
    assert "note" not in both.stderr
    told = ok("convert", *asked, "--out", tmp_path / "answer.json")
    assert json.loads((tmp_path / "answer.json").read_text())["task"] in SHAPES and "note: the surest" in told.stderr
