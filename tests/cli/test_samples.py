"""The samples that a newcomer converts first: each is there, is held out, and does what its command says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from cli_cases import chiasm, ok


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, str | None]]]:
    out = tmp_path_factory.mktemp("samples") / "few"
    return out, json.loads(ok("samples", out, "--json").stdout)


def test_every_sample_is_a_command_that_runs_on_the_starter(
    written: tuple[Path, list[dict[str, str | None]]],
) -> None:
    out, samples = written
    assert len(samples) == 11
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf8")
    told = json.loads(re.findall(r"^### samples\n.*?^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0])
    assert all(set(sample) == set(told[0]) for sample in samples)
    for sample in samples:
        command = shlex.split(str(sample["command"]))
        assert command[:2] == ["chiasm", "convert"] and sample["truth"]
        if sample["file"] is not None:
            assert sample["file"] in command and Path(sample["file"]).stat().st_size > 200
        done = ok(*command[1:])
        assert done.stdout.strip() or "--out" in command, command
    assert {path.suffix for path in out.iterdir()} == {".png", ".flac", ".mp4", ".json", ".wav"}


def test_the_last_turn_of_the_dialogue_is_left_to_the_model(
    written: tuple[Path, list[dict[str, str | None]]],
) -> None:
    out, samples = written
    turns = json.loads((out / "talk.json").read_text(encoding="utf8"))["turns"]
    assert len(turns) > 1 and "answer" not in turns[-1] and all("answer" in turn for turn in turns[:-1])
    assert all((out / turn[field]).exists() for turn in turns for field in ("image", "audio") if field in turn)
    assert any(sample["file"] == str(out / "talk.json") for sample in samples)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf8")
    done = chiasm("samples", tmp_path)
    assert done.exit_code == 2 and "holds files already" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
