"""The grammar of fields and the checks of a task's declaration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chiasm.config import RunConfig, dump_config, load_config, validate
from chiasm.declare import ConversionConfig, RecordField, TaskConfig, parse_field
from chiasm.errors import ConfigError

BASE: dict[str, Any] = {"data": {"table": "t.lance"}, "train": {"steps": 1}}


def run_of(tasks: dict[str, Any]) -> RunConfig:
    return load_config(RunConfig, base={**BASE, "tasks": tasks})


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("image", RecordField(of="image")),
        ("image?", RecordField(of="image", optional=True)),
        ("text.de", RecordField(of="text", language="de")),
        ("text.zh-hant?", RecordField(of="text", language="zh-hant", optional=True)),
        ("text:caption.en", RecordField(of="text", name="caption", language="en")),
        ("label:intent", RecordField(of="label", name="intent")),
        ("label:kind of thing", RecordField(of="label", name="kind of thing")),
    ],
)
def test_a_field_is_read_and_written_back(text: str, field: RecordField) -> None:
    assert parse_field(text) == field
    assert str(field) == text
    assert parse_field(f"  {text} ") == field


@pytest.mark.parametrize(
    "text", ["", "?", "text.", "text:", "text.de.en", "image ?", "image??", "Text", "text..de", ".en"]
)
def test_what_is_no_field_is_said_with_examples(text: str) -> None:
    with pytest.raises(ConfigError, match="is no field: write") as error:
        run_of({"a": {"given": [text], "wanted": "text"}})
    assert repr(text) in str(error.value)
    assert "tasks.a.given.0" in str(error.value)


def test_tasks_pass_through_yaml_unchanged(tmp_path: Path) -> None:
    config = run_of(
        {
            "translate": {"given": ["text.en", "image?"], "wanted": "text.de", "weight": 2.0, "length": 7},
            "command": {"given": ["audio"], "wanted": "label:intent", "table": "other.lance", "where": "source = 'a'"},
            "draw": {"given": ["text"], "wanted": "image", "order": "parallel", "blank": 0.1},
            "scene": {"given": ["image", "question.en"], "wanted": "answer", "together": 4},
            "space": {"given": ["text", "image", "audio"], "wanted": "space"},
        }
    )
    file = tmp_path / "config.yaml"
    file.write_text(dump_config(config), encoding="utf8")
    again = load_config(RunConfig, file)
    assert again == config
    assert list(again.tasks) == list(config.tasks), "the order decides which random numbers a task draws"
    assert again.tasks["translate"].given[1] == RecordField(of="image", optional=True)


def test_an_unquoted_question_mark_is_met_with_a_hint(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("tasks:\n  a: {given: [text, image?], wanted: text.de}\n", encoding="utf8")
    with pytest.raises(ConfigError, match=r'not valid YAML.*quote a field that may be missing: \["image\?"\]'):
        load_config(RunConfig, file)
    file.write_text("tasks: [a, b\n", encoding="utf8")
    with pytest.raises(ConfigError) as error:
        load_config(RunConfig, file)
    assert "quote a field" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "wanted", "more", "says"),
    [
        (["smell"], "text", {}, "no field 'smell'"),
        (["label:a"], "text", {}, "no field 'label'"),
        (["text"], "smell", {}, "no field 'smell'"),
        (["text"], "video", {}, "no field 'video'"),
        ([], "text", {}, "at least one field"),
        (["text.en", "text.de"], "image", {}, "each once"),
        (["image?"], "text", {}, "must not be optional"),
        (["image"], "text.de?", {}, "cannot be optional"),
        (["image"], "answer", {}, "needs a question or turns"),
        (["text"], "item", {}, "follows a history"),
        (["history"], "text", {}, "follows a history"),
        (["history", "image"], "item", {}, "follows a history"),
        (["turns", "image"], "answer", {}, "bring their own"),
        (["text"], "mask", {}, "give an image"),
        (["text"], "space", {}, "two or more modalities"),
        (["text", "question"], "space", {}, "two or more modalities"),
        (["image"], "label", {}, "name the label"),
        (["image"], "text", {"together": 2}, "only questions of one record"),
        (["turns"], "answer", {"together": 2}, "only questions of one record"),
        (["image"], "mask", {"drop": 0.5}, "none can be left out"),
        (["image"], "mask", {"blank": 0.1}, "guidance is for what is written"),
        (["image"], "text", {"order": "parallel"}, "only codes of pictures and sounds"),
        (["text"], "image", {"length": 5}, "a length of its own"),
        (["image"], "boxes", {"length": 5}, "a length of its own"),
        (["image"], "text", {"weight": 0}, "greater than 0"),
        (["image"], "text", {"blank": 1}, "less than 1"),
        (["image"], "text", {"together": 0}, "greater than 0"),
        (["image"], "text", {"lenght": 5}, "lenght"),
    ],
)
def test_what_does_not_fit_together_is_refused(given: list[str], wanted: str, more: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        run_of({"a": {"given": given, "wanted": wanted, **more}})


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"given": ["audio"], "wanted": "text", "part_of": "listen"}, "'listen' is no whole task"),
        ({"given": ["audio"], "wanted": "text", "part_of": "digits"}, "'digits' is no whole task"),
        ({"given": ["image"], "wanted": "text", "part_of": "hear"}, "digits and hear differ"),
        ({"given": ["audio"], "wanted": "label:digit", "part_of": "hear"}, "digits and hear differ"),
        ({"given": ["audio"], "wanted": "text.de", "part_of": "hear"}, "digits and hear differ"),
        ({"given": ["audio"], "wanted": "text.en", "part_of": "hear", "length": 5}, "digits and hear differ"),
    ],
)
def test_a_part_is_of_a_task_of_its_kind(part: dict[str, Any], says: str) -> None:
    hear = {"given": ["audio.en"], "wanted": "text.en"}
    run_of({"hear": hear, "digits": {"given": ["audio"], "wanted": "text.en", "part_of": "hear", "table": "d.lance"}})
    with pytest.raises(ConfigError, match=says):
        run_of({"hear": hear, "digits": part})


@pytest.mark.parametrize(
    ("given", "wanted", "modalities", "writer"),
    [
        (["audio", "text.en"], "label:intent", ("text", "audio"), "text"),
        (["image", "question"], "answer", ("text", "image"), "text"),
        (["turns"], "answer", ("text", "image", "audio"), "text"),
        (["history"], "item", ("text", "image"), "item"),
        (["video", "text?"], "audio.en", ("text", "video"), "audio"),
        (["image"], "boxes", ("image",), "boxes"),
    ],
)
def test_what_a_task_reads_and_which_part_writes_it(
    given: list[str], wanted: str, modalities: tuple[str, ...], writer: str
) -> None:
    task = TaskConfig.model_validate({"given": given, "wanted": wanted})
    assert task.modalities == modalities
    assert task.writer == writer


@pytest.mark.parametrize("bad", [{"mixing": 1.5}, {"bins": 4}, {"quantizers": {"text": "run"}}, {"tune": "some"}])
def test_what_all_tasks_share_is_bounded(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        ConversionConfig.model_validate(bad)


def test_a_misspelt_key_of_a_task_is_recognised() -> None:
    tree = {"data": {"table": "t"}, "train": {"steps": 1}, "tasks": {"caption": {"givn": ["image"], "wanted": "text"}}}
    with pytest.raises(ConfigError, match=r"unknown key 'tasks\.caption\.givn'; did you mean 'tasks\.caption\.given'"):
        validate(RunConfig, tree)
