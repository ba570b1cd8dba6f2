"""`chiasm convert` before and beside its model: what is given, what is asked, where it goes. With the checkpoint that is shipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_cases import as_json, chiasm, ok
from PIL import Image

from chiasm import errors
from chiasm.cli.convert import decoding
from chiasm.cli.convert_given import Given, read_given
from chiasm.cli.convert_written import entry_of, plan, write
from chiasm.cli.output import check_writable, dumped
from chiasm.types import Converted, ScoredBox


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30), "red").save("medal.png")
    Image.new("RGB", (40, 30), "red").save("medal.gif")
    Path("empty.png").touch()
    Path("dead").symlink_to("nowhere/at/all")
    Path("talk.json").write_text('{"turns": [{"question": "what?", "image": "gone.png"}]}')
    return tmp_path


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        pytest.fail("the model was loaded first")

    monkeypatch.setattr("chiasm.cli.convert.open_model", load)


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["--image", "medal.png", "--out", "dead/x.txt"],
            7,
            "cannot write dead/x.txt: dead is a link that leads nowhere",
        ),
        (["--image", "medal.png", "--out", "dead.txt/x.txt"], 7, "cannot write dead.txt/x.txt: "),
        (["--image", "medal.png", "--out", "n" * 300 + ".txt"], 7, "; choose another --out"),
        (["--image", "medal.png", "--to", "boxes", "--out", "x.txt"], 2, "boxes is written as .json or .png"),
        (["--image", "gone.png"], 3, "error: gone.png: no such file"),
        (["medal.png", "--to", "text"], 2, "medal.png is a file, not a run; did you mean --image medal.png?"),
        (["--image", "medal.png", "talk.json", "medal.png"], 2, 'leaves it alone: --image "*.png"'),
        (
            ["--image", "medal.png", "medal.gif"],
            2,
            "is a file, not a run; a pattern of files is quoted, so that the shell leaves it",
        ),
        (["starter", "medal.png"], 2, "stands without an option; did you mean --image medal.png?"),
        (["starter", "x", "y"], 2, "error: x and 1 more: nothing but RUN stands without an option\n"),
        (["talk.json"], 2, "did you mean --record talk.json?"),
        (["--text", "a", "--kind", "smaple"], 2, "--kind smaple: no such kind; did you mean sample?"),
        (["--text", "a", "--to", "speech"], 2, "did you mean 'audio'?"),
        (["--text", "a", "--to", "mood"], 2, "a task by --task NAME"),
        (["--text", "a", "--top-p", "3"], 2, "error: --top-p 3: should be less than or equal to 1"),
        (
            ["--text", "a", "--candidates", "3", "--kind", "greedy"],
            2,
            "error: --candidates of greedy decoding are all the",
        ),
        (["--text", "a", "--seed", "3"], 2, "--seed: of no effect with --kind greedy; add --kind sample"),
        (["--text", "a", "--list"], 2, "--list only says what the run can convert"),
    ],
)
def test_what_needs_no_model_is_said_without_it(here: Path, arguments: list[str], code: int, message: str) -> None:
    Path("dead.txt").symlink_to("dead.txt")
    before = sorted(here.iterdir())
    result = chiasm("convert", *arguments)
    assert result.exit_code == code, result.stderr
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["--text", "a", "--to", "boxes"],
            2,
            "boxes from text; the task 'boxes' makes it from image: add --image and leave",
        ),
        (
            ["--image", "medal.png", "--to", "answer"],
            2,
            "makes it from image and question: add --text; from image it makes",
        ),
        (
            ["--image", "medal.png", "--to", "boxes", "--candidates", "3"],
            2,
            "error: candidates: only words and pictures",
        ),
        (
            ["--text", "a", "--task", "next"],
            2,
            "in Python only: model.recommend finds items, model.embed gives vectors",
        ),
        (
            ["--text", "a", "--task", "space"],
            2,
            "in Python only: model.recommend finds items, model.embed gives vectors",
        ),
        (["--image", "empty.png"], 3, "error: empty.png: an empty file\n"),
        (["--record", "talk.json", "--to", "answer"], 3, "error: talk.json: turns.0: gone.png: no such file\n"),
        (["--text", "latin.txt", "--language", "de"], 3, "latin.txt: not UTF-8"),
    ],
)
def test_mistakes_take_one_line(here: Path, arguments: list[str], code: int, message: str) -> None:
    Path("latin.txt").write_bytes("Äpfel".encode("latin1"))
    result = chiasm("convert", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr and result.stderr.count("\n") == 1


def test_a_text_may_be_a_file(here: Path) -> None:
    Path("said.txt").write_text("\ufeffred apple\n", encoding="utf8")
    asked = ["--task", "sentiment", "--json"]
    found = as_json("convert", "--text", "said.txt", *asked[:2])
    assert found["results"][0]["given"] == {"text": "said.txt"}
    assert (
        found["results"][0]["scores"] == as_json("convert", "--text", "red apple", *asked[:2])["results"][0]["scores"]
    )
    (here / "folder").mkdir()
    told = ok("convert", "--text", "folder", "--text", "gone.txt", *asked).stderr
    assert "note: --text folder: a folder; taken as words" in told
    assert "note: --text gone.txt: no such file; taken as words" in told
    assert Given("a", {"text": "a" * 5000}).words() == "a" * 5000


def test_a_folder_says_what_it_leaves_out(here: Path) -> None:
    Path("empty.png").unlink()
    told = ok("convert", "--image", ".", "--task", "caption").stderr
    assert "note: .: left out, for they are no image: talk.json\n" in told
    (here / "talk.json").unlink()
    assert "note" not in ok("convert", "--image", ".", "--task", "caption").stderr


def test_inputs_of_one_stem_are_told_apart(here: Path) -> None:
    found = read_given([], {"image": ["medal.gif", "medal.png", "empty.png"]}, [])
    assert [one.shown for one in found] == ["medal.gif", "medal.png", "empty"]
    assert [one.name for one in found] == ["medal", "medal-2", "empty"]


def test_a_file_says_what_stdout_says(here: Path) -> None:
    found = as_json("convert", "--image", "medal.png", "--to", "mask", "--out", "deep/m.json")
    text = Path("deep/m.json").read_text()
    assert json.loads(text) == found["results"][0]
    assert {"given", "task", "wanted", "mask", "names", "written"} <= set(found["results"][0])
    assert f"    {found['results'][0]['mask'][0]}" in text, "a row a line"


def test_json_of_boxes_is_short() -> None:
    made = Converted(boxes=(ScoredBox(0.123456789, 0, 1.0, 1.0, "cow", 2 / 3),), task="boxes")
    entry = entry_of(Given("a", {"image": "a.png"}), made, "boxes", None)
    assert entry["boxes"] == [{"x0": 0.123457, "y0": 0, "x1": 1.0, "y1": 1.0, "label": "cow", "score": 0.666667}]


def test_rows_of_numbers_take_a_line_and_strings_stay() -> None:
    value = {"rows": [[1, -2], [3, 4]], "said": "[\n  1,\n  2\n]", "none": [], "shares": [0.5, float("nan")]}
    text = dumped(value)
    assert json.loads(text) == {**value, "shares": [0.5, None]}
    assert "    [1, -2],\n    [3, 4]\n" in text


def test_an_empty_result_is_noted(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "chiasm.train.written.Decoder.write", lambda *_, **__: [Converted(text="", score=0.0)], raising=True
    )
    found = ok("convert", "--image", "medal.png", "--task", "caption")
    assert found.stdout == "\n"
    assert "note: medal: nothing was written" in found.stderr


def test_what_fails_while_it_is_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.MachineError, match=r"cannot write .*file/a\.txt: .*; choose another --out"):
        write(tmp_path / "file" / "a.txt", Converted(text="a"), {}, None)
    check_writable(tmp_path / "new" / "deep" / "a.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    given = [Given("a", {"text": "a"})]
    assert plan("text", given, str(tmp_path / "b.txt"), False) == [tmp_path / "b.txt"]


def test_the_list_says_what_is_for_python(here: Path) -> None:
    assert "space, clips, next: in Python only: model.recommend" in ok("convert", "--list").stdout


def test_options_speak_of_themselves() -> None:
    with pytest.raises(errors.ConfigError, match=r"^--guidance goes with greedy and sample"):
        decoding({"beams": 3, "guidance": 2.0})
    with pytest.raises(errors.ConfigError, match=r"^--seed: of no effect with --kind beam; add --kind sample$"):
        decoding({"beams": 3, "seed": 2})
    assert decoding({"temperature": 2.0, "seed": 2}).seed == 2


def test_help_has_examples() -> None:
    told = ok("convert", "--help").stdout
    assert sum(line.strip().startswith("chiasm convert ") for line in told.splitlines()) >= 3


def test_a_text_file_that_is_refused_is_named(tmp_path: Path) -> None:
    blank, fine = tmp_path / "blank.txt", tmp_path / "fine.txt"
    blank.write_text("  \n", encoding="utf8")
    fine.write_text("play the radio", encoding="utf8")
    done = chiasm("convert", "--text", blank, "--text", fine, "--task", "command_text")
    assert done.exit_code == 3 and "blank.txt" in done.stderr and "fine" in done.stdout


def test_a_word_that_is_the_name_of_a_file_is_said_to_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "apple").write_text("play the radio", encoding="utf8")
    done = chiasm("convert", "--text", "apple", "--task", "command_text")
    assert done.exit_code == 0 and "there is a file of this name; its contents are taken" in done.stderr
