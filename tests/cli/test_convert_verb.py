"""`chiasm convert` and model.convert on a run that has learned a little of everything."""

from __future__ import annotations

import io
import json
import sys
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import TINY, Made, as_json, chiasm, ok
from PIL import Image

import chiasm as library
from chiasm import DecodingConfig, Media, Question, Record, errors, load
from chiasm.api import run_config
from chiasm.cli.convert import decoding
from chiasm.cli.convert_given import Given, read_dialogue, read_given
from chiasm.cli.convert_job import Job
from chiasm.cli.convert_written import SHOWN, draw_boxes, mask_png
from chiasm.config import ModelConfig
from chiasm.train import converting
from chiasm.train.converting import ConvertingModel
from chiasm.train.run import train
from chiasm.types import ScoredBox

PICTURES = "change={side: 16, width: 8, fine_width: 8, depth: 1, fine_depth: 1}"
SOUNDS = "change={width: 8, depth: 1}"


@dataclass(frozen=True)
class Trained:
    """run: all tasks · pictures: a folder of two · question: one that training saw · talk: a dialogue's file."""

    run: Path
    pictures: Path
    sounds: Path
    talk: Path


@pytest.fixture(scope="module")
def both(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("convert")
    scenes = library.build("emoji-scenes", root / "scenes.lance", limit=10, test=0.0, validation=0.0)
    talks = library.build("emoji-dialogue", root / "talks.lance", limit=6, test=0.0, validation=0.0, voices=())
    small = ("train.batch=4", "train.threads=1", "train.device=cpu")
    for system, table, change in (("image", scenes.path, PICTURES), ("audio", made.table, SOUNDS)):
        settings = (f"system={system}_quantizer", change, *small)
        train(run_config(table, settings, steps=1), root / system)
    tasks = {
        "caption": "{given: [image], wanted: text.en}",
        "answer": "{given: [image, question], wanted: answer, together: 2}",
        "boxes": "{given: [image], wanted: boxes}",
        "mask": "{given: [image], wanted: mask}",
        "draw": "{given: [text.en], wanted: image, blank: 0.2}",
        "german": '{given: [text.en, "image?"], wanted: text.de}',
        "kind": '{given: [text:caption], wanted: "label:kind"}',
        "talk": f"{{given: [turns], wanted: answer, table: {talks.path}}}",
        "hear": f"{{given: [audio], wanted: text, table: {made.table}}}",
        "say": f"{{given: [text], wanted: audio, table: {made.table}}}",
        "space": "{given: [text, image], wanted: space}",
    }
    scenes.train(
        root / "run",
        steps=2,
        settings=(
            *TINY,
            "train.threads=1",
            "conversion.text_length=6",
            "conversion.audio_length=10",
            "conversion.boxes=3",
            f"conversion.quantizers={{image: {root / 'image'}, audio: {root / 'audio'}}}",
            *(f"tasks.{name}={task}" for name, task in tasks.items()),
        ),
    )
    pictures = root / "pictures"
    pictures.mkdir()
    for record in scenes.records(range(2)):
        (pictures / f"{record.id}.png").write_bytes(scenes.read(record.image[0]))
    first = talks.records([0])[0]
    (root / "shown.png").write_bytes(talks.read(first.image[0]))
    turns = [
        {"question": first.questions[0].question, "answer": "3", "image": "shown.png"},
        {"question": first.questions[1].question},
    ]
    (root / "talk.json").write_text(json.dumps({"turns": turns}))
    return Trained(root / "run", pictures, made.folder, root / "talk.json")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_list_says_what_it_can(both: Trained) -> None:
    found = as_json("convert", both.run, "--list")
    tasks = {task["name"]: task for task in found["tasks"]}
    assert tasks["german"]["given"] == ["text.en", "image?"]
    assert tasks["kind"]["choices"] > 0
    assert found["objects"]
    shown = ok("convert", both.run, "--list").stdout
    assert "label:kind" in shown
    assert "objects: " in shown


def test_words_go_to_stdout_or_into_a_file(both: Trained, here: Path) -> None:
    picture = next(both.pictures.iterdir())
    words = ok("convert", both.run, "--image", picture)
    entry = as_json("convert", both.run, "--image", picture)
    assert entry["task"] == "caption"
    assert words.stdout == entry["results"][0]["text"] + "\n"
    assert entry["results"][0]["given"] == {"image": str(picture)}
    ok("convert", both.run, "--image", picture, "--out", "words.txt")
    assert Path("words.txt").read_text() == words.stdout
    refused = chiasm("convert", both.run, "--image", picture, "--out", "words.txt")
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    ok("convert", both.run, "--image", picture, "--out", "words.txt", "--overwrite")
    assert load(both.run).convert(image=str(picture)).text == entry["results"][0]["text"]


def test_a_batch_goes_on_past_a_broken_file(both: Trained, here: Path) -> None:
    files = [str(p) for p in sorted(both.pictures.iterdir())]
    (here / "broken.png").write_bytes(b"no picture")
    asked = ["--image", files[0], "--image", "broken.png", "--image", "gone.png", "--image", both.pictures]
    result = chiasm("convert", both.run, *asked, "--out", "words", "--json")
    assert result.exit_code == 3
    assert "2 of 5 inputs could not be read" in result.stderr
    found = json.loads(result.stdout)
    assert found["failed"] == 2
    assert [entry.get("error") for entry in found["results"]] == [None, "format", "missing", None, None]
    stem = Path(files[0]).stem
    assert sorted(p.name for p in Path("words").iterdir()) == sorted(
        [f"{stem}.txt", f"{stem}-2.txt", f"{Path(files[1]).stem}.txt"]
    )
    lines = chiasm("convert", both.run, "--image", str(both.pictures / "*.png")).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == [Path(file).stem for file in files]
    alone = chiasm("convert", both.run, "--image", "gone.png")
    assert alone.exit_code == 3
    assert "gone.png: no such file" in alone.stderr


def test_the_media_of_a_batch_are_decoded_once(both: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    real = converting.decoder

    def counting(modality: str, model: ModelConfig) -> Any:
        decode, *rest = real(modality, model)
        return (lambda data: (decoded.append(modality), decode(data))[1], *rest)

    monkeypatch.setattr(converting, "decoder", counting)
    ok("convert", both.run, "--image", both.pictures)
    assert decoded == ["image"] * len(list(both.pictures.iterdir()))


def test_a_sample_does_not_depend_on_its_neighbours(both: Trained, here: Path) -> None:
    (here / "broken.png").write_bytes(b"no picture")
    files = [str(p) for p in sorted(both.pictures.iterdir())]
    sampled = ["--temperature", 3, "--seed", 5, "--json"]
    whole = chiasm("convert", both.run, "--image", files[0], "--image", files[0], "--image", files[1], *sampled)
    holed = chiasm("convert", both.run, "--image", files[0], "--image", "broken.png", "--image", files[1], *sampled)
    texts = [[entry.get("text") for entry in json.loads(r.stdout)["results"]] for r in (whole, holed)]
    assert texts[1] == [texts[0][0], None, texts[0][2]]


def test_a_picture_and_a_sound_are_files(both: Trained, here: Path) -> None:
    said = ok("convert", both.run, "--text", "A small cow.", "--to", "image").stderr
    assert "written: a-small-cow.png" in said
    assert opened("a-small-cow.png").size == (16, 16)
    entry = as_json("convert", both.run, "--text", "A small cow.", "--to", "image", "--guidance", 2, "--top-k", 5)
    assert entry["results"][0]["written"] == "a-small-cow-2.png"
    ok("convert", both.run, "--text", "one", "--text", "two", "--to", "audio", "--out", "said")
    with wave.open("said/two.wav") as sound:
        assert (sound.getframerate(), sound.getsampwidth(), sound.getnchannels()) == (16000, 2, 1)
    note = ok("convert", both.run, "--text", "one", "--to", "audio", "--guidance", 2).stderr
    assert "blank: 0" in note
    heard = as_json("convert", both.run, "--audio", both.sounds / "red_disc.wav")
    assert heard["task"] == "hear"


def test_questions_labels_languages_and_choices(both: Trained) -> None:
    picture = next(both.pictures.iterdir())
    asked = ("--image", picture, "--text", "How many pictures are there?")
    answer = as_json("convert", both.run, *asked)
    assert answer["task"] == "answer"  # needs both, where `german` could do without the picture
    assert answer["results"][0]["scores"]
    assert as_json("convert", both.run, *asked, "--language", "de")["task"] == "german"
    chosen = as_json("convert", both.run, *asked, "--choice", "one", "--choice", "two")["results"][0]
    assert set(chosen["scores"]) == {"one", "two"}
    assert sum(chosen["scores"].values()) == pytest.approx(1, abs=1e-5)
    kinds = as_json("convert", both.run, "--text", "a cow", "--to", "label:kind")["results"][0]
    assert kinds["text"] in load_model(both).choices("kind")
    best = as_json("convert", both.run, "--image", picture, "--candidates", 3)["results"]
    assert len(best) == 1


def test_boxes_and_masks(both: Trained, here: Path) -> None:
    picture = next(both.pictures.iterdir())
    ok("convert", both.run, "--image", picture, "--to", "boxes", "--out", "b.png")
    assert max(opened("b.png").size) >= SHOWN
    ok("convert", both.run, "--image", picture, "--to", "boxes", "--beams", 2, "--out", "b.json")
    assert isinstance(json.loads(Path("b.json").read_text())["boxes"], list)
    found = as_json("convert", both.run, "--image", picture, "--to", "mask", "--out", "m.png")["results"][0]
    cells, large = np.array(found["mask"]), np.asarray(opened("m.png"))
    factor = large.shape[0] // cells.shape[0]
    assert np.array_equal(large, cells.repeat(factor, 0).repeat(factor, 1))
    assert json.loads(opened("m.png").text["names"])[0] == "background"  # type: ignore[attr-defined]
    assert "%" in ok("convert", both.run, "--image", picture, "--to", "mask").stdout


def test_a_dialogue_is_a_record(both: Trained) -> None:
    found = as_json("convert", both.run, "--record", both.talk, "--to", "answer")
    assert found["task"] == "talk"
    turns = json.loads(both.talk.read_text())["turns"]
    picture = Media(path=str(both.talk.parent / "shown.png"), kind="turn:0")
    record = Record(
        "mine", image=(picture,), questions=(Question(turns[0]["question"], ("3",)), Question(turns[1]["question"], ()))
    )
    assert read_dialogue(both.talk) == Record("talk", image=record.image, questions=record.questions)
    assert load_model(both).convert(record=record, to="answer").text == found["results"][0]["text"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "nothing to convert"),
        (["--text", "a", "--to", "boxes"], 2, "add --image and leave out --text; from text it makes"),
        (["--text", "a", "--task", "drew"], 2, "no task 'drew'"),
        (["--text", "a", "--task", "draw", "--to", "text"], 2, "wants image, not text"),
        (["--text", "a", "--task", "space"], 2, "vectors"),
        (["--text", "a", "--to", "smell"], 2, "no field 'smell'"),
        (["--text", "a", "--to", "label:tone"], 2, "cannot make label:tone from text"),
        (["--text", "a", "--to", "label", "--top-k", "3"], 2, "kind=sample: of no effect"),
        (["--text", "a", "--to", "text.de", "--language", "fr"], 2, "in de, not in fr"),
        (["--text", "a", "--language", "fr"], 2, "no text from that in 'fr'; it does in de"),
        (["--text", "a", "--to", "audio", "--by", "nobody"], 2, "no voice 'nobody'"),
        (["--text", "a", "--to", "image", "--choice", "b"], 2, "choices are words"),
        (["--text", "a", "--text", "b", "--image", "1", "--image", "2", "--image", "3"], 2, "one for all"),
        (["--text", "a", "--record", "TALK"], 2, "--record is a dialogue"),
        (["--image", "PICTURES/*.jpg"], 3, "no file fits"),
        (["--video", "PICTURES"], 3, "no video files"),
        (["--text", "a", "--kind", "greedy", "--top-k", "3"], 2, "--top-k: of no effect"),
        (["--text", "a", "--beams", "0"], 2, "--beams 0: should be greater than 0"),
        (["--text", "a", "--to", "audio", "--out", "x.mp3"], 2, "written as .wav"),
        (["--text", "a", "--to", "audio", "--candidates", "2"], 2, "only words and pictures are compared"),
    ],
)
def test_mistakes(both: Trained, here: Path, arguments: list[str], code: int, message: str) -> None:
    known = {"TALK": str(both.talk)}
    words = [known.get(a, a).replace("PICTURES", str(both.pictures)) for a in arguments]
    result = chiasm("convert", both.run, *words)
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert result.stdout == ""
    assert not list(here.iterdir())


def test_runs_that_do_not_convert_say_so(made: Made, both: Trained) -> None:
    assert "trained without tasks" in chiasm("convert", made.run, "--text", "a").stderr
    assert chiasm("convert", made.run, "--text", "a").exit_code == 4
    assert "named system" in chiasm("convert", both.run.parent / "image", "--text", "a").stderr
    with pytest.raises(errors.ModelError, match="trained without tasks"):
        load(made.run).convert(text="a")


def test_the_starter_is_the_shipped_checkpoint(both: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chiasm.train.checkpoint.files", lambda _: tmp_path)
    missing = chiasm("convert", "--text", "a")
    assert missing.exit_code == 4
    assert "no starter checkpoint" in missing.stderr
    (tmp_path / "starter").symlink_to(next((both.run / "checkpoints").iterdir()))
    assert as_json("convert", "--text", "a", "--to", "label")["task"] == "kind"
    assert load("starter").identity == load(both.run).identity


def opened(path: str) -> Image.Image:
    return Image.open(io.BytesIO(Path(path).read_bytes()))


def load_model(both: Trained) -> ConvertingModel:
    model = load(both.run)
    assert isinstance(model, ConvertingModel)
    return model


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not JSON"),
        ("[]", 'wanted {"turns"'),
        ('{"turns": []}', "at least one turn"),
        ('{"turns": [{"qestion": "a"}]}', "did you mean 'question'"),
        ('{"turns": [{"image": "a.png"}]}', "neither a question nor"),
        ('{"turns": [{"question": "a"}, {"question": "b"}]}', "only the last turn"),
    ],
)
def test_broken_dialogues(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(errors.ChiasmError, match=message):
        read_dialogue(tmp_path / "t.json")


def test_given_texts_are_named_apart() -> None:
    names = [one.name for one in read_given(["A dog?", "a dog", "…"], {}, [])]
    assert names == ["a-dog", "a-dog-2", "text"]
    pairs = read_given(["what?"], {"image": ["a/x.png", "b/x.png"]}, [])
    assert [(one.name, one.parts["text"]) for one in pairs] == [("x", "what?"), ("x-2", "what?")]


def test_decoding_takes_the_kind_that_its_options_need() -> None:
    assert decoding({"top_k": 3}).kind == "sample"
    assert decoding({"candidates": 3}).kind == "sample"
    assert decoding({"beams": 3, "candidates": 2}).kind == "beam"
    assert decoding({"guidance": 2.0}).kind == "greedy"


def test_boxes_are_drawn_where_they_are() -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 32), "white").save(picture, "PNG")
    drawn = Image.open(io.BytesIO(draw_boxes(picture.getvalue(), [ScoredBox(0.5, 0.0, 1.0, 1.0, "cow", 0.9)])))
    assert drawn.size == (256, 128)
    values = np.asarray(drawn)
    assert (values[:, :120] == 255).all()
    assert (values[100:, 128] != 255).any()


def test_masks_of_many_names_keep_their_values() -> None:
    mask = np.array([[0, 300], [7, 1]])
    large = np.asarray(Image.open(io.BytesIO(mask_png(mask, [str(i) for i in range(301)]))))
    assert sorted(set(large.flatten().tolist())) == [0, 1, 7, 300]


def test_a_terminal_sees_a_text_as_it_is_written(both: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, text: str, /) -> int:
            writes.append(text)
            return len(text)

    writes: list[str] = []
    model = load_model(both)
    picture = str(next(both.pictures.iterdir()))
    text = model.convert(image=picture).text
    monkeypatch.setattr(sys, "stdout", Terminal())
    Job(model, ["caption"], [Given("a", {"image": picture})], DecodingConfig(), None, None, None, False).run(
        None, False
    )
    assert "".join(writes) == f"{text}\n"
    assert len(writes) > 1


def test_a_streamed_text_is_the_text(both: Trained) -> None:
    model = load_model(both)
    scene = next(both.pictures.iterdir())
    pieces: list[str] = []
    found = model.convert(image=scene, show=pieces.append)
    assert "".join(pieces) == found.text
    assert len(pieces) > 1
    with pytest.raises(errors.ConfigError, match="not a record and image"):
        model.convert(image=scene, record=Record("a"))
