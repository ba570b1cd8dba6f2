"""Which task is meant: on small declarations, and on those of the checkpoint that is shipped."""

from __future__ import annotations

import pytest

from chiasm.config import RunConfig, load_kept
from chiasm.declare import TaskConfig
from chiasm.errors import ConfigError
from chiasm.train.abilities import abilities, are_one, find_tasks, record_for, target_of
from chiasm.train.checkpoint import shipped
from chiasm.types import Media, Question, Record, Text


def task(given: list[str], wanted: str, **settings: object) -> TaskConfig:
    return TaskConfig.model_validate({"given": given, "wanted": wanted, **settings})


@pytest.fixture(scope="module")
def starter() -> RunConfig:
    config = load_kept(shipped() / "config.yaml")
    assert isinstance(config, RunConfig)
    return config


def test_the_task_that_needs_most_of_what_is_given_is_chosen() -> None:
    tasks = {
        "de": task(["text.en", "image?"], "text.de"),
        "fr": task(["text.en", "image?"], "text.fr"),
        "ask": task(["image", "question"], "answer"),
        "mood": task(["text"], "label:mood"),
    }
    assert find_tasks(tasks, {"text", "image"}, "text") == ("ask",)
    assert find_tasks(tasks, {"text"}, "text", language="fr") == find_tasks(tasks, {"text"}, "text.fr") == ("fr",)
    assert find_tasks(tasks, {"text"}, "label") == ("mood",)
    with pytest.raises(ConfigError, match=r"model\.recommend"):
        find_tasks(tasks, {"text"}, "item")
    with pytest.raises(ConfigError, match=r"cannot make label:tone from text"):
        find_tasks(tasks, {"text"}, "label:tone")


def test_tasks_that_want_the_same_of_the_same_are_one_conversion() -> None:
    tasks = {
        "a": task(["image", "question"], "answer"),
        "b": task(["image", "question.en"], "answer"),
        "say": task(["text.en", "image?"], "text.de"),
        "more": task(["text.en"], "text.de"),
        "find": task(["image"], "boxes", order="parallel"),
        "seek": task(["image"], "boxes", order="parallel"),
    }
    assert find_tasks(tasks, {"image", "text"}, "answer") == ("a", "b")
    assert find_tasks(tasks, {"image", "text"}, "answer", task="b") == ("b",)
    assert find_tasks(tasks, {"image", "text"}, "answer", language="en") == ("a", "b")
    with pytest.raises(ConfigError, match="'b' writes en, not de"):
        find_tasks(tasks, {"image", "text"}, "answer", task="b", language="de")
    assert find_tasks(tasks, {"text"}, "text") == ("say", "more"), "the picture that is not given makes no difference"
    german = Record("r", questions=(Question("ist es rot", (), "de"),), image=(Media(data=b""),))
    assert find_tasks(tasks, None, "answer", record=german) == ("a",)
    with pytest.raises(ConfigError, match=r"(?s)find, seek; say which with one of.*--task find.*--task seek"):
        find_tasks(tasks, {"image"}, "boxes")
    assert are_one([tasks["a"], tasks["b"]])
    assert not are_one([tasks["find"], tasks["seek"]]) and not are_one([tasks["a"], tasks["say"]])


def test_a_part_of_a_task_is_asked_for_by_the_name_of_the_whole() -> None:
    tasks = {"hear": task(["audio.en"], "text"), "digits": task(["audio"], "text", part_of="hear")}
    assert find_tasks(tasks, {"audio"}, "text") == ("hear",)
    assert find_tasks(tasks, {"audio"}, "text", task="digits") == ("digits",)
    assert "digits" not in abilities(tasks)


def test_each_way_to_say_which_is_told_and_works() -> None:
    tasks = {
        "short_de": task(["text:article"], "text:summary.de"),
        "short_en": task(["text:article"], "text:summary.en"),
        "title": task(["text:article"], "text:title.en"),
        "any": task(["text:article"], "text"),
        "speak": task(["text:article"], "audio.de"),
    }
    with pytest.raises(ConfigError) as told:
        find_tasks(tasks, {"text"}, "text")
    ways = [line.strip().split(": ")[0] for line in str(told.value).splitlines()[1:]]
    assert ways == ["--language de", "--to text:summary.en", "--to text:title", "--task any"]
    assert find_tasks(tasks, {"text"}, "text", language="de") == ("short_de",)
    assert find_tasks(tasks, {"text"}, "text:summary.en") == ("short_en",)
    assert find_tasks(tasks, {"text"}, "text:title") == ("title",)
    with pytest.raises(ConfigError, match=r"(?s)--language de.*--language en"):
        find_tasks(tasks, {"text"}, "text:summary")


def test_a_target_is_a_wanted_field() -> None:
    assert str(target_of("label:intent")) == "label:intent"
    assert str(target_of("text", "de")) == str(target_of("text.de", "de")) == "text.de"
    for to, language, message in (
        ("text.de", "fr", "in de, not in fr"),
        ("imge", None, "did you mean 'image'"),
        ("smell", None, "no field 'smell'; there are text, image"),
        ("?", None, "no field"),
    ):
        with pytest.raises(ConfigError, match=message):
            target_of(to, language)


ASKED = [
    ({"image"}, "text", ("caption",)),
    ({"image"}, "boxes", ("boxes",)),
    ({"image"}, "mask", ("mask",)),
    ({"image", "text"}, "text", ("shapes", "scene")),
    ({"image", "text"}, "answer", ("shapes", "scene")),
    ({"image", "text"}, "text.de", ("to_german",)),
    ({"text"}, "image", ("draw",)),
    ({"text"}, "audio", ("say",)),
    ({"text"}, "text.de", ("to_german",)),
    ({"text"}, "text.zh", ("to_chinese",)),
    ({"text"}, "label:intent", ("command_text",)),
    ({"text"}, "label:sentiment", ("sentiment",)),
    ({"audio"}, "text", ("hear",)),
    ({"audio"}, "text.en", ("hear",)),
    ({"image", "text"}, "text.en", ("shapes", "scene")),
    ({"image", "text"}, "answer.en", ("shapes", "scene")),
    ({"audio"}, "label", ("command",)),
    ({"video"}, "text", ("watch",)),
    ({"video"}, "label", ("action",)),
    ({"video", "text"}, "text", ("clip_question",)),
    ({"turns"}, "answer", ("dialogue",)),
    ({"turns"}, "text", ("dialogue",)),
]


@pytest.mark.parametrize(("given", "to", "found"), ASKED)
def test_what_a_reader_asks_of_the_shipped_checkpoint(
    starter: RunConfig, given: set[str], to: str, found: tuple[str, ...]
) -> None:
    assert find_tasks(starter.tasks, given, to) == found
    assert are_one([starter.tasks[name] for name in found])


def test_what_the_shipped_checkpoint_asks_back(starter: RunConfig) -> None:
    with pytest.raises(ConfigError, match=r"(?s)--language de: to_german.*--language zh: to_chinese"):
        find_tasks(starter.tasks, {"text"}, "text")
    with pytest.raises(ConfigError, match=r"(?s)--to label:intent: command_text.*--to label:sentiment: sentiment"):
        find_tasks(starter.tasks, {"text"}, "label")
    with pytest.raises(ConfigError, match=r"cannot make image from audio; the task 'draw' makes it from text\.en: add"):
        find_tasks(starter.tasks, {"audio"}, "image")


def test_what_is_given_is_of_the_kind_that_the_task_reads() -> None:
    record = record_for(task(["text:summary", "audio:speech"], "label:mood"), text="a", audio=b"sound")
    assert record.texts == (Text("a", None, "summary"),)
    assert record.audio == (Media(data=b"sound", kind="speech"),)
