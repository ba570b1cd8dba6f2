"""Settings of a conversion that would have no effect are errors that say what to do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from chiasm.batches.conversion import ConversionFacts
from chiasm.config import DecodingConfig, RunConfig, dump_config
from chiasm.declare import TaskConfig
from chiasm.errors import ConfigError
from chiasm.train.asked import SCORED, check_asked, check_decoding, has_space

ANSWER = {"given": ["image", "question"], "wanted": "answer"}
DRAW = {"given": ["text"], "wanted": "image", "order": "parallel"}
SPACE = {"given": ["text", "image"], "wanted": "space"}
SAMPLED, MANY = DecodingConfig(kind="sample"), DecodingConfig(kind="sample", candidates=2)


def config(tasks: Mapping[str, object], init: Path | None = None) -> RunConfig:
    return RunConfig.model_validate(
        {
            "data": {"table": "t.lance"},
            "train": {"steps": 1},
            "tasks": tasks,
            "conversion": {"init": None if init is None else str(init)},
        }
    )


def check(task: Mapping[str, object], options: DecodingConfig, choices: list[str] | None = None) -> None:
    run = config({"one": task, "space": SPACE})
    check_decoding("one", run.tasks["one"], options, choices, run)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SAMPLED, r"^kind=sample: of no effect"),
        (DecodingConfig(kind="beam", beams=2), r"^kind=beam: of no effect"),
        (DecodingConfig(guidance=2), r"^guidance=2: of no effect"),
    ],
)
def test_choices_that_are_all_scored_leave_nothing_to_decode(options: DecodingConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(ANSWER, options, ["yes", "no"])
    many = [str(k) for k in range(SCORED + 1)]
    check(ANSWER, options, many)  # the decoder is kept to them
    check(ANSWER, options, None)  # any text
    check(ANSWER, MANY, ["yes", "no"])  # candidates are drawn
    check(ANSWER, DecodingConfig(), ["yes", "no"])


def test_what_comes_in_parallel_has_neither_beams_nor_candidates() -> None:
    with pytest.raises(ConfigError, match=r"candidates: .*--kind sample --seed N"):
        check(DRAW, MANY)
    with pytest.raises(ConfigError, match="no beams"):
        check(DRAW, DecodingConfig(kind="beam"))
    check(DRAW, SAMPLED)
    with pytest.raises(ConfigError, match="all cells at once"):
        check({"given": ["image"], "wanted": "mask"}, SAMPLED)


def test_candidates_need_a_space_that_was_learned(tmp_path: Path) -> None:
    def kept(name: str, tasks: Mapping[str, object], init: Path | None = None) -> Path:
        path = tmp_path / name
        path.mkdir()
        (path / "state.json").write_text("{}")
        (path / "config.yaml").write_text(dump_config(config(tasks, init)))
        return path

    embeds, shows, answers = kept("e", {}), kept("s", {"space": SPACE}), kept("a", {"one": ANSWER})
    grandchild = kept("g", {"one": ANSWER}, shows)
    loop = kept("l", {"one": ANSWER}, tmp_path / "l")
    found = {run.name: has_space(config({"one": ANSWER}, run)) for run in (embeds, shows, answers, grandchild, loop)}
    imported = tmp_path / "i"
    imported.mkdir()
    (imported / "state.json").write_text("{}")
    assert has_space(config({"one": ANSWER}, imported))
    assert found == {"e": True, "s": True, "a": False, "g": True, "l": False}
    assert has_space(config({"one": ANSWER}, tmp_path / "gone")) and not has_space(config({"one": ANSWER}))
    assert has_space(config({"one": ANSWER, "space": SPACE}))
    run = config({"one": ANSWER}, answers)
    with pytest.raises(ConfigError, match="learned none"):
        check_decoding("one", run.tasks["one"], MANY, None, run)


def test_languages_and_voices_are_those_that_it_knows() -> None:
    facts = ConversionFacts(10, languages=("en",), makers=("theo",))
    say = TaskConfig.model_validate({"given": ["text"], "wanted": "audio"})
    check_asked("say", say, facts, "en", "theo", False)
    for language, by, chosen, message in (
        ("fr", None, False, "no language 'fr'; it knows en"),
        (None, "nobody", False, "no voice 'nobody'"),
        (None, None, True, "words to choose from"),
    ):
        with pytest.raises(ConfigError, match=message):
            check_asked("say", say, facts, language, by, chosen)
    with pytest.raises(ConfigError, match="somebody's voice"):
        check_asked("one", TaskConfig.model_validate(ANSWER), facts, None, "theo", False)
