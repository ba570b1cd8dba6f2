"""train, evaluate, index and search, on a real tiny run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from cli_cases import TINY, Made, as_json, chiasm, make_folder, ok

from chiasm import Dataset, load


def test_train_on_a_table_takes_its_modalities(made: Made) -> None:
    config = (made.run / "config.yaml").read_text()
    assert set(load(made.run).modalities) == {"text", "image", "audio"}
    assert "steps: 4" in config


def test_train_from_yaml_with_overrides(made: Made, tmp_path: Path) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(f"data:\n  table: {made.table}\n  modalities: [text, image]\ntrain:\n  steps: 50\n")
    found = as_json("train", recipe, *TINY, "train.steps=2", "--out", tmp_path / "run")
    assert found["steps"] == 2
    assert found["loss"] > 0
    assert set(load(found["run"]).modalities) == {"text", "image"}


def test_resume_takes_no_settings_and_needs_a_run(made: Made, tmp_path: Path) -> None:
    for arguments, code, message in (
        (["--resume"], 2, "say what to train"),
        (["--resume", "--out", made.run, "--steps", 9], 2, "keeps its settings"),
        (["--resume", "--out", made.run, "train.steps=50"], 2, "keeps its settings: leave out train.steps=50"),
        (["train.steps=50"], 2, "say first what to train"),
        (["--resume", "--out", tmp_path / "none"], 4, "config.yaml"),
        ([made.table, *TINY, "--out", made.run], 2, "--resume"),
    ):
        result = chiasm("train", *arguments)
        assert result.exit_code == code, result.stderr
        assert message in result.stderr
    assert as_json("train", "--resume", "--out", made.run)["steps"] == 4


@pytest.mark.slow
def test_several_processes_are_one_command(made: Made, tmp_path: Path) -> None:
    arguments = ("train", made.table, *TINY, "train.processes=2", "--steps", 2, "--out", tmp_path / "run")
    assert as_json(*arguments)["steps"] == 2
    assert load(tmp_path / "run").modalities == ("text", "image", "audio")
    refused = chiasm(*arguments)  # the run is there now
    assert refused.exit_code == 2
    assert refused.stderr.count("error: ") == 1
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["TABLE", "train.stepps=3"], 2, "did you mean 'train.steps'?"),
        (["TABLE", "model.width=33", "model.heads=2"], 2, "not a multiple of heads"),
        (["TABLE", "train.seed=-1"], 2, "train.seed"),
        (["TABLE", "model.text.length=2"], 2, "model.text.length"),
        (["TABLE", "model.audio.seconds=0.005"], 2, "shorter than one patch"),
        (["TABLE", "model.audio.patch=301"], 2, "shorter than one patch"),
        (["TABLE", "optimizer.betas=[0.9,1.0]"], 2, "optimizer.betas"),
        (["TABLE", "model.image.layers=9"], 2, "image.layers 9"),
        (["TABLE", "data.modalities=[text,text]"], 2, "name each once"),
        (["TABLE", "objective.weights={audio-imgae: 1}"], 2, "did you mean 'audio-image'?"),
        (["TABLE", "objective.weights={text-text: 1}"], 2, "no pair"),
        (["TABLE", "objective.weights={text-image: 1, image-text: 2}"], 2, "both orders"),
        (["nowhere.yaml"], 2, "nowhere.yaml: no such configuration file"),
        (["nowhere.lance"], 2, "chiasm build SOURCE"),
        (["FOLDER"], 3, "is a folder of files, not a chiasm table: build it first"),
    ],
)
def test_train_mistakes(made: Made, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    known = {"TABLE": str(made.table), "FOLDER": str(made.folder)}
    result = chiasm("train", *(known.get(argument, argument) for argument in arguments), "--out", tmp_path / "run")
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_evaluate_prints_retrieval_per_split_and_direction(made: Made, tmp_path: Path) -> None:
    found = as_json("evaluate", made.run, made.table, "--out", tmp_path / "e.json")
    entry = next(iter(found["retrieval"].values()))["text->image"]
    assert {"r1", "r5", "r10", "median_rank", "map", "n"} <= set(entry)
    assert json.loads((tmp_path / "e.json").read_text())["retrieval"] == found["retrieval"]


def test_evaluate_in_words_shows_interval_baseline_and_chance(made: Made) -> None:
    shown = ok("evaluate", made.run, made.table, "--split", "train", "--no-baseline").stdout
    assert "text → image" in shown
    assert all(word in shown for word in ("R@1", "95 %", "baseline", "chance", "median rank"))


def test_evaluate_an_unknown_split(made: Made) -> None:
    result = chiasm("evaluate", made.run, made.table, "--split", "tset")
    assert result.exit_code == 2
    assert "tset" in result.stderr


def test_search_by_text_picture_and_sound(made: Made) -> None:
    for asked in (
        ["a red disc"],
        ["--image", made.folder / "red_disc.png"],
        ["--audio", made.folder / "red_disc.wav"],
    ):
        results = as_json("search", made.table, *asked, "-k", 3)["results"]
        assert [hit["rank"] for hit in results] == [1, 2, 3]
        assert all({"id", "score", "texts", "labels", "split", "group", "has", "media"} <= set(hit) for hit in results)
        assert results[0]["score"] >= results[1]["score"] >= results[2]["score"]


def test_a_picture_finds_itself(made: Made) -> None:
    hit = as_json("search", made.table, "--image", made.folder / "blue_bar.png", "--to", "image", "-k", 1)["results"][0]
    assert "blue_bar" in hit["id"]
    assert hit["score"] == pytest.approx(1, abs=1e-3)


def test_hybrid_finds_the_words(made: Made) -> None:
    hits = as_json("search", made.table, "yellow", "--hybrid", 1.0, "-k", 3)["results"]
    assert all("yellow" in hit["texts"][0]["text"] for hit in hits)


def test_search_in_words(made: Made) -> None:
    shown = ok("search", made.table, "a red disc", "--to", "text", "-k", 12).stdout
    assert "a red disc" in shown
    assert "text, image" in shown
    assert "nothing found" in ok("search", made.table, "a", "--where", "split = 'nowhere'").stdout


@pytest.mark.parametrize("width", [80, 120])
def test_long_texts_leave_the_scores_whole(width: int) -> None:
    from rich.console import Console

    from chiasm.cli.search import hits_table
    from chiasm.search.query import Hit
    from chiasm.types import Media, Record, Text

    record = Record(
        id="folder/" * 9,
        texts=(Text("[bold]words [/] " * 20),),
        image=(Media(path="x"),),
        audio=(Media(path="y" * 99),),
        split="variation",
    )
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(hits_table([Hit(1, 0.8765, record)], "[red]title", width))
    shown = console.export_text()
    assert "0.876" in shown or "0.877" in shown
    assert "[red]title" in shown
    assert "[bold]words" in shown
    assert "variation" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "nothing to search for"),
        (["a", "--where", "colour = 1"], 2, "the columns are id, texts"),
        (["a", "--to", "smell"], 2, "smell"),
        (["a", "--device", "gpu"], 2, "gpu"),
        (["a", "--where", "split = 'test' ; drop"], 2, "semicolon"),
        (["--image", "no.png"], 3, "no.png: no such file"),
        (["a", "--hybrid", "2"], 2, "between 0"),
        (["a", "--run", "no-such-run"], 4, "no-such-run"),
    ],
)
def test_search_mistakes(made: Made, arguments: list[str], code: int, message: str) -> None:
    result = chiasm("search", made.table, *arguments)
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_search_before_index_says_so(made: Made, tmp_path: Path) -> None:
    ok("build", made.folder, tmp_path / "t.lance")
    result = chiasm("search", tmp_path / "t.lance", "red")
    assert result.exit_code == 3
    assert "chiasm index RUN" in result.stderr


def test_search_with_another_model_is_refused(made: Made, tmp_path: Path) -> None:
    ok("train", made.table, *TINY, "--steps", 1, "train.seed=5", "--out", tmp_path / "other")
    result = chiasm("search", made.table, "red", "--run", tmp_path / "other")
    assert result.exit_code == 4
    assert "indexed by another model" in result.stderr


def test_python_says_the_same(made: Made) -> None:
    words = as_json("search", made.table, "a green square", "-k", 4)["results"]
    dataset = Dataset(made.table)
    assert dataset.modalities == ("text", "image", "audio")
    hits = dataset.search("a green square", k=4)
    assert [hit.to_json() for hit in hits] == words
    again = dataset.search("a green square", k=4, model=load(made.run))
    assert [hit.id for hit in again] == [hit.id for hit in hits]


def test_python_builds_trains_evaluates_indexes(tmp_path: Path) -> None:
    import chiasm

    data = chiasm.build(make_folder(tmp_path / "f", sounds=False), tmp_path / "d.lance", test=0.25, validation=0)
    assert data.modalities == ("text", "image")
    model = data.train(tmp_path / "run", steps=2, settings=TINY)
    assert "text->image" in next(iter(data.evaluate(model, baseline=False).retrieval.values()))
    data.index(model, items="all")
    assert data.search("a red disc", k=2)[0].rank == 1
    assert chiasm.Dataset(tmp_path / "d.lance").search("a red disc", k=1)[0].rank == 1
    with pytest.raises(chiasm.errors.ConfigError, match="did you mean 'limit'"):
        chiasm.build(tmp_path / "f", tmp_path / "e.lance", limmit=3)


def test_a_place_that_cannot_be_written_is_said_before_the_work(made: Made, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for arguments in (
        ("train", made.table, *TINY, "--steps", 1, "--out", tmp_path / "file"),
        ("train", made.table, *TINY, "--steps", 1, "--out", tmp_path / "file" / "run"),
        ("evaluate", made.run, made.table, "--out", tmp_path),
        ("evaluate", made.run, made.table, "--out", tmp_path / "file" / "e.json"),
    ):
        result = chiasm(*arguments)
        assert result.exit_code == 2, result.stderr
        assert result.stderr.startswith("error: ")
        assert "wanted" in result.stderr
        assert result.stderr.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_evaluate_says_where_nothing_was_held_out_for_testing(made: Made, tmp_path: Path) -> None:
    rows = [
        {"text": f"{name} {n}", "image": f"{name}.png", "group": name, "split": split}
        for split, name in (("train", "red_disc"), ("val", "blue_bar"))
        for n in range(4)
    ]
    manifest = made.folder / "m.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    ok("build", manifest, tmp_path / "t.lance")
    manifest.unlink()
    said = ok("evaluate", made.run, tmp_path / "t.lance", "--no-baseline").stderr
    assert "validation: the training's learning curves" in said
    assert "has no test split" in said
    assert "note: no test" not in ok("evaluate", made.run, made.table, "--no-baseline").stderr
    assert "test to test on" in ok("evaluate", made.run, made.table, "--no-baseline", "--split", "train").stderr
