"""What a run takes from the run it begins with: sizes, tokenizer, quantisers, and weights by what they mean."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from joint_cases import drawn_table, joint_config, quantizer, room, session
from train_cases import losses, picture, run_config

from chiasm.config import RunConfig, load_config, load_kept
from chiasm.errors import ConfigError, ModelError
from chiasm.heads.writers import Writer
from chiasm.modalities.modality import word_scale
from chiasm.train import checkpoint
from chiasm.train.beginning import as_begun
from chiasm.train.converting import ConvertingModel
from chiasm.train.distributed import World
from chiasm.train.joint import HEADS, JointJob
from chiasm.train.model import load
from chiasm.train.run import train
from chiasm.train.shape import read_quantizer, read_shape
from chiasm.types import Text

ROOT = Path(__file__).resolve().parents[2]
TASKS: dict[str, Any] = {
    "caption": {"given": ["image"], "wanted": "text"},
    "boxes": {"given": ["image"], "wanted": "boxes"},
    "cells": {"given": ["image"], "wanted": "boxes", "order": "parallel"},
    "mask": {"given": ["image"], "wanted": "mask"},
    "draw": {"given": ["text"], "wanted": "image"},
}


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_table([room(i) for i in range(20)], tmp_path_factory.mktemp("rooms") / "rooms.lance")


@pytest.fixture(scope="module")
def codes(rooms: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(quantizer(rooms, "image", tmp_path_factory.mktemp("codes") / "image"))


Make = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def make(rooms: Path, codes: str) -> Make:
    def configured(
        *settings: str, only: tuple[str, ...] = tuple(TASKS), table: Path = rooms, named: bool = True
    ) -> RunConfig:
        named_codes = {"image": codes} if named and "draw" in only else {}
        return joint_config(table, {name: TASKS[name] for name in only}, named_codes, *settings)

    return configured


@pytest.fixture(scope="module")
def begun(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a width whose root has no end."""
    out = tmp_path_factory.mktemp("begun") / "run"
    train(make("model.width=18", "train.steps=1", f"conversion.code_scale={18**0.5}"), out)
    return out


LIKE = ("model.width=18", f"conversion.code_scale={18**0.5:g}", "train.seed=7")
"""Of another seed: what begins fresh is not what the other run began with."""


def job(config: RunConfig, folder: Path) -> JointJob:
    return JointJob(config, folder, World(), torch.device("cpu"), torch.float32, None, None)


def tensors_of(run: Path) -> dict[str, torch.Tensor]:
    return dict(checkpoint.load(checkpoint.find(run)).model)


# Sizes and scales.


def short(table: Path, init: Path | str, *settings: str, **tasks: Any) -> RunConfig:
    """A configuration that says little."""
    base = {
        "data": {"table": str(table)},
        "train": {"steps": 2, "batch": 4, "threads": 1, "precision": "fp32", "validate_every": 1.0},
        "tasks": tasks or {"caption": TASKS["caption"], "boxes": TASKS["boxes"]},
        "conversion": {"init": str(init)},
    }
    return load_config(RunConfig, base=base, overrides=settings)


def test_what_is_not_said_is_the_other_runs_and_is_kept(
    rooms: Path, begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(short(rooms, begun, "model.text.drop=0.2"), tmp_path / "run").run
    said = capsys.readouterr().err
    kept, theirs = load_kept(run / "config.yaml"), load_kept(begun / "config.yaml")
    assert isinstance(kept, RunConfig) and isinstance(theirs, RunConfig)
    for name in ("width", "heads", "layers", "ratio", "embedding"):
        assert getattr(kept.model, name) == getattr(theirs.model, name)
        assert f"model.{name}=" in said or getattr(theirs.model, name) == getattr(short(rooms, begun).model, name)
    assert kept.model.image.size == 16 and kept.model.text.length == 16 and kept.model.text.drop == 0.2
    assert kept.conversion.bins == 16 and kept.conversion.code_scale == 18**0.5
    assert kept.model.image.drop == RunConfig.model_fields["model"].default.image.drop, "how it trained is its own"
    assert "model.width=18" in said and "conversion.code_scale=4.24264" in said
    card = (checkpoint.newest(run) / "README.md").read_text(encoding="utf8")
    assert f"Began with the weights of `{begun}`" in card
    loaded = load(run)
    assert isinstance(loaded, ConvertingModel)
    writer = loaded.converter.writers["boxes"]
    assert isinstance(writer, Writer) and writer.scale == 18**0.5
    given, after = tensors_of(begun), tensors_of(run)
    assert {name for name in after if name not in given or after[name].shape != given[name].shape} == set()


@pytest.mark.parametrize("scale", [2.0, None])
def test_how_words_and_codes_are_read_is_taken_over(
    make: Make, rooms: Path, tmp_path: Path, scale: float | None
) -> None:
    words = "null" if scale is None else scale
    train(
        make(f"model.text.scale={words}", "conversion.code_scale=3", "train.steps=1", only=("boxes", "caption")),
        tmp_path / "first",
    )
    config = as_begun(short(rooms, tmp_path / "first"))
    assert isinstance(config, RunConfig)
    assert word_scale(config.model) == (scale or 4.0) and config.conversion.code_scale == 3.0
    assert config.model.text.scale == scale
    alone = as_begun(short(rooms, tmp_path / "first", caption=TASKS["caption"]))
    assert isinstance(alone, RunConfig) and alone.conversion.code_scale == 1.0, "none are written"
    said = as_begun(short(rooms, tmp_path / "first", "conversion.code_scale=1", "model.layers=3"))
    assert isinstance(said, RunConfig) and said.conversion.code_scale == 1.0 and said.model.layers == 3
    with pytest.raises(ConfigError, match=r"model\.layers 2 \(here 3\).*set model\.layers=2 conversion\.code_scale=3$"):
        job(said, tmp_path)


@pytest.mark.parametrize("key", ["model.text.scale", "conversion.code_scale"])
def test_another_scale_is_refused_with_one_that_is_not(make: Make, begun: Path, tmp_path: Path, key: str) -> None:
    only = ("boxes", "caption")
    other = "conversion.code_scale" if key == "model.text.scale" else "model.text.scale"
    rest = ("model.width=18", f"{other}={18**0.5}", f"conversion.init={begun}")
    with pytest.raises(ConfigError, match=rf"set {key}=4\.24264$") as told:
        job(make(*rest, f"{key}=4.2", only=only), tmp_path)
    job(make(*rest, str(told.value).rpartition("set ")[2], only=only), tmp_path)
    if key == "conversion.code_scale":
        job(make(*rest, f"{key}=4.2", only=("caption",)), tmp_path)  # none are written


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("model.heads=3", r"model\.heads 2 \(here 3\); set model\.heads=2$"),
        ("model.layers=3", r"model\.layers 2 \(here 3\); set model\.layers=2$"),
        ("model.ratio=1", r"model\.ratio 2 \(here 1\); set model\.ratio=2$"),
        ("model.activation=gelu", r"model\.activation squared_relu \(here gelu\)"),
        ("model.image.patch=8", r"model\.image\.patch 4 \(here 8\); set model\.image\.patch=4$"),
        ("model.image.size=32", r"model\.image\.size 16 \(here 32\)"),
        ("model.width=36", r"model\.width 18 \(here 36\)"),
    ],
)
def test_a_run_of_another_make_is_no_beginning(
    make: Make, begun: Path, tmp_path: Path, setting: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        job(make(*LIKE, f"conversion.init={begun}", setting, only=("caption",)), tmp_path)


def test_of_what_the_other_run_never_read_nothing_must_be_alike(make: Make, begun: Path, tmp_path: Path) -> None:
    other = make(*LIKE, f"conversion.init={begun}", "model.audio.patch=4", "model.video.size=32", only=("caption",))
    made, given = job(other, tmp_path).tensors(), checkpoint.load(checkpoint.newest(begun)).model
    trunk = [name for name in made.keys() & given.keys() if name.startswith("space.trunks.")]
    assert len(trunk) > 10 and all(torch.equal(made[name], given[name]) for name in trunk)


def test_a_run_of_separate_trunks_is_no_beginning(make: Make, things: Path, tmp_path: Path) -> None:
    train(run_config(things, "model.trunk=separate", "train.steps=1"), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"its model\.trunk is separate"):
        job(make(f"conversion.init={tmp_path / 'run'}", only=("caption",)), tmp_path)


def test_weights_without_a_configuration_must_fit_for_the_most_part(make: Make, finished: Path, tmp_path: Path) -> None:
    found = checkpoint.load(checkpoint.newest(finished))
    texts = {"tokenizer.json": (found.path / "tokenizer.json").read_text(encoding="utf8")}
    for name, change in (("same", 0), ("other", 8)):
        tensors = {
            n: t if not change or not t.ndim else torch.zeros(*t.shape[:-1], t.shape[-1] + change)
            for n, t in found.model.items()
        }
        checkpoint.save(tmp_path / name / "checkpoints", 0, tensors, {}, {"finished": True}, texts, keep=1)
    made = job(make(f"conversion.init={tmp_path / 'same'}", "model.heads=4", only=("caption",)), tmp_path).tensors()
    trunk = {f"space.{n}": t for n, t in found.model.items() if n.startswith("trunks.")}
    both = trunk.keys() & made.keys()
    assert len(both) > 10 and all(torch.equal(made[n], trunk[n]) for n in both)
    with pytest.raises(ModelError, match="of another size"):
        job(make(f"conversion.init={tmp_path / 'other'}", only=("caption",)), tmp_path)


def test_adapters_are_not_lost_in_silence(make: Make, begun: Path, tmp_path: Path) -> None:
    train(
        make(*LIKE, f"conversion.init={begun}", "conversion.tune=adapters", "train.steps=1", only=("caption",)),
        tmp_path / "run",
    )
    again = f"conversion.init={tmp_path / 'run'}"
    with pytest.raises(ConfigError, match=r"conversion\.tune adapters \(here full\); set conversion\.tune=adapters$"):
        job(make(*LIKE, again, only=("caption",)), tmp_path)
    made = job(make(*LIKE, again, "conversion.tune=adapters", only=("caption",)), tmp_path).tensors()
    given = tensors_of(tmp_path / "run")
    assert any("adapters" in name for name in given)
    assert all(torch.equal(made[name], tensor) for name, tensor in given.items())


def test_a_part_goes_on_from_the_whole_and_an_older_runs_histories_as_they_were(
    rooms: Path, codes: str, tmp_path: Path
) -> None:
    sessions = str(drawn_table([session(i) for i in range(16)], tmp_path / "sessions.lance"))
    follow = {"given": ["history"], "wanted": "item", "table": sessions}
    tasks = {"caption": TASKS["caption"], "more": TASKS["caption"] | {"part_of": "caption"}, "next": follow}
    first = train(joint_config(rooms, tasks, {}, "train.steps=1", "conversion.history_mean=0"), tmp_path / "first").run
    resumed = train(joint_config(rooms, tasks, {}, "train.steps=1", "conversion.history_mean=0"), first, resume=True)
    assert resumed.steps == 1
    made = job(
        joint_config(rooms, {"more": TASKS["caption"]}, {}, f"conversion.init={first}", "train.seed=7"), tmp_path / "a"
    )
    assert torch.equal(made.tensors()["task_tokens.more"], tensors_of(first)["task_tokens.caption"])
    begun = as_begun(short(rooms, first, next=follow))
    assert isinstance(begun, RunConfig) and begun.conversion.history_mean == 0
    begun = as_begun(short(rooms, first, "conversion.history_mean=1", next=follow))
    assert isinstance(begun, RunConfig) and begun.conversion.history_mean == 1


# Rows and places.


def test_rows_are_found_by_their_names(
    make: Make, begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a table with other classes, in another order, and languages counted otherwise."""
    names = {"blue": "aqua"}
    records = [
        replace(r, boxes=tuple(replace(b, label=names.get(b.label, b.label)) for b in r.boxes))
        for r in map(room, range(20))
    ]
    records = [replace(r, texts=(*r.texts[1:], Text("uno", "es"), Text("due", "it"))) for r in records]
    table = drawn_table(records, tmp_path / "other.lance")
    capsys.readouterr()
    made = job(
        make(*LIKE, f"conversion.init={begun}", "conversion.text_length=12", "conversion.boxes=1", table=table),
        tmp_path,
    )
    said = capsys.readouterr().err
    mine, given = made.tensors(), tensors_of(begun)
    theirs = read_shape(checkpoint.newest(begun))["facts"]
    ours = made.data.facts
    assert ours.objects != tuple(theirs["objects"]) and ours.languages != tuple(theirs["languages"])

    def check(name: str, per: int, was: list[Any], now: list[Any]) -> None:
        a, b = (t.reshape(per, len(rows), -1) for t, rows in ((given[name], was), (mine[name], now)))
        for number, row in enumerate(now):
            same = row in was and torch.equal(a[:, was.index(row)], b[:, number])
            assert same == (row in was), (name, row)

    check("languages", 1, [None, *theirs["languages"]], [None, *ours.languages])
    cells = made.config.conversion.cells**2
    for part in ("weight", "bias"):
        check(f"mask.outer.{part}", cells, [None, *theirs["objects"]], [None, *ours.objects])
        check(f"boxes.outer.{part}", cells, [*range(4), None, *theirs["objects"]], [*range(4), None, *ours.objects])
    bins = list(range(made.config.conversion.bins))
    check("writers.boxes.tables.0", 1, [*bins, *theirs["objects"], None], [*bins, *ours.objects, None])
    assert torch.equal(mine["mask.inner.weight"], given["mask.inner.weight"])
    for name, rows in (("writers.text.positions", 9), ("writers.boxes.positions", 7)):
        assert len(mine[name]) != len(given[name]) and torch.equal(mine[name][:rows], given[name][:rows]), name
    for name in (
        "languages",
        "mask.outer.weight",
        "boxes.outer.bias",
        "writers.boxes.tables.0",
        "writers.text.positions",
    ):
        assert name in said.partition("by the names of their rows: ")[2], name


def test_cells_of_another_number_begin_fresh(make: Make, begun: Path, tmp_path: Path) -> None:
    """Also where the shapes happen to be alike."""
    made = job(make(*LIKE, f"conversion.init={begun}", "conversion.cells=1"), tmp_path).tensors()
    given = tensors_of(begun)
    assert made["mask.outer.weight"].shape != given["mask.outer.weight"].shape
    assert torch.equal(made["mask.inner.weight"], given["mask.inner.weight"])
    bins = job(make(*LIKE, f"conversion.init={begun}", "conversion.bins=15"), tmp_path).tensors()
    assert torch.equal(bins["writers.boxes.tables.0"][15:], given["writers.boxes.tables.0"][16:]), "classes and the end"
    assert not torch.equal(bins["writers.boxes.tables.0"][:15], given["writers.boxes.tables.0"][:15])


# Quantisers.


def test_a_converting_run_is_a_quantisers_run_too(make: Make, begun: Path, tmp_path: Path) -> None:
    given = tensors_of(begun)
    made = job(make(f"conversion.quantizers={{image: {begun}}}", only=("draw",)), tmp_path)
    mine = made.tensors()
    prefix = "quantizers.image."
    assert {n for n in given if n.startswith(prefix)} == {n for n in mine if n.startswith(prefix)}
    assert all(torch.equal(mine[n], t) for n, t in given.items() if n.startswith(prefix))
    with pytest.raises(ConfigError, match="is a run that writes no audio"):
        read_quantizer("audio", begun)


def test_the_beginning_brings_its_quantiser_where_a_task_needs_one(make: Make, begun: Path, tmp_path: Path) -> None:
    made = job(make(*LIKE, f"conversion.init={begun}", only=("draw",), named=False), tmp_path)
    given, mine = tensors_of(begun), made.tensors()
    assert all(torch.equal(mine[n], given[n]) for n in mine if n != "languages")
    described = json.loads(made.files(0, 0.0, False)["conversion.json"])
    assert described["quantizers"] == read_shape(checkpoint.newest(begun))["quantizers"]
    none = job(make(*LIKE, f"conversion.init={begun}", only=("caption",), named=False), tmp_path)
    assert not any(n.startswith("quantizers.") for n in none.tensors())


def test_a_writer_of_other_codes_begins_fresh_and_that_is_said(
    make: Make, begun: Path, codes: str, things: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = str(quantizer(things, "image", tmp_path / "other"))
    given = tensors_of(begun)
    for run, fresh in ((codes, False), (other, True)):
        capsys.readouterr()
        settings = (*LIKE, f"conversion.init={begun}", f"conversion.quantizers={{image: {run}}}")
        mine = job(make(*settings, only=("draw", "boxes")), tmp_path).tensors()
        assert ("what writes image begins fresh" in capsys.readouterr().err) == fresh
        names = [n for n in mine if n.startswith("writers.image.")]
        assert names and all(torch.equal(mine[n], given[n]) != fresh for n in names if mine[n].std() > 0)
        assert torch.equal(mine["writers.boxes.tables.0"], given["writers.boxes.tables.0"])


# The checkpoint that is shipped.

needs_starter = pytest.mark.skipif(
    not (ROOT / "src" / "chiasm" / "starter" / "state.json").is_file(), reason="no starter checkpoint"
)


@needs_starter
def test_the_starters_quantiser_draws_for_a_run_of_its_own(
    rooms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = joint_config(rooms, {"draw": TASKS["draw"]}, {"image": "starter"}, "train.steps=1", "train.batch=2")
    run = train(config, tmp_path / "run").run
    kept = load_kept(run / "config.yaml")
    assert isinstance(kept, RunConfig) and kept.conversion.quantizers == {"image": "starter"}
    given, mine = tensors_of(Path("starter")), tensors_of(run)
    same = [n for n in mine if n.startswith("quantizers.image.")]
    assert same and all(torch.equal(mine[n], given[n].float()) for n in same)
    shape = read_shape(checkpoint.newest(run))["quantizers"]
    assert shape == {"image": read_shape(checkpoint.shipped())["quantizers"]["image"]}


def block() -> dict[str, Any]:
    """The example of docs/training.md."""
    section = (ROOT / "docs" / "training.md").read_text(encoding="utf8").partition("## Fine-tuning")[2]
    return yaml.safe_load(section.partition("```yaml")[2].partition("```")[0])


@needs_starter
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "heads", "adapters"])
def test_the_documented_fine_tuning_of_the_starter(
    things: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands in docs/training.md but for its table, its length and what is tuned."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(things, "mine.lance")
    settings = ("train.minutes=null", "train.steps=4", "train.batch=4", "train.threads=1", f"conversion.tune={kind}")
    run = train(load_config(RunConfig, base=block(), overrides=settings), tmp_path / "run").run
    kept = load_kept(run / "config.yaml")
    assert isinstance(kept, RunConfig) and kept.conversion.init == "starter" and kept.conversion.tune == kind
    assert all(np.isfinite(loss) for loss in losses(run))
    given, after = tensors_of(Path("starter")), tensors_of(run)
    moved = {n for n, t in after.items() if n not in given or not torch.equal(t, given[n].float())}
    assert moved
    inside = {n for n in moved if not n.startswith(HEADS)}
    if kind == "full":
        assert any(n.startswith("space.trunks") for n in inside)
    elif kind == "heads":
        assert not inside
    else:
        assert any("adapters" in n for n in inside) and all("adapters" in n or "_norm" in n for n in inside), inside
    loaded = load(run)
    assert isinstance(loaded, ConvertingModel)
    assert loaded.convert(image=picture("red", "small")).text is not None


@needs_starter
@pytest.mark.slow
def test_the_starter_goes_on_to_draw_and_to_speak(things: Path, tmp_path: Path) -> None:
    tasks = {"draw": TASKS["draw"], "say": {"given": ["text"], "wanted": "audio"}}
    run = train(short(things, "starter", "train.batch=2", **tasks), tmp_path / "run").run
    given, after = tensors_of(Path("starter")), tensors_of(run)
    assert set(read_shape(checkpoint.newest(run))["quantizers"]) == {"image", "audio"}
    for m in ("image", "audio"):
        assert all(torch.equal(t, given[n].float()) for n, t in after.items() if n.startswith(f"quantizers.{m}."))
        assert after[f"writers.{m}.positions"].shape == given[f"writers.{m}.positions"].shape
    loaded = load(run)
    assert isinstance(loaded, ConvertingModel)
    assert loaded.convert(text="red", to="image").image is not None
