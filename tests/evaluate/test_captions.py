"""Several captions a picture: the figures against slow versions, folds, and where the protocol is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evaluate_cases import Known, shapes
from sklearn import metrics as sk

from chiasm.dataset.table import Table
from chiasm.errors import DataError
from chiasm.evaluate.metrics.ranks import Places
from chiasm.evaluate.metrics.retrieval import caption_folds, mean_scores
from chiasm.evaluate.protocols.captions import captions
from chiasm.evaluate.retrieval.items import collect
from chiasm.evaluate.retrieval.pairs import Scorer
from chiasm.evaluate.retrieval.protocol import evaluate
from chiasm.types import Record, Text


def slow_recall(similarity: np.ndarray, relevant: np.ndarray, k: int) -> float:
    order = np.argsort(-similarity, axis=1)[:, :k]
    return float(np.mean([relevant[row, first].any() for row, first in enumerate(order)]))


def test_any_caption_of_a_picture_is_right() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(6, 8)).astype(np.float32)
    owner = np.repeat(np.arange(6), 5)
    told = (images[owner] + rng.normal(0, 1.5, (30, 8))).astype(np.float32)
    relevant = owner[None] == np.arange(6)[:, None]
    (whole,) = caption_folds(images, told, owner)
    to_text, from_text = mean_scores([whole.to_text]), mean_scores([whole.from_text])
    similarity = images.astype(np.float64) @ told.T
    for k in (1, 5, 10):
        assert to_text[f"r{k}"] == pytest.approx(slow_recall(similarity, relevant, k), abs=1e-6)
        assert from_text[f"r{k}"] == pytest.approx(slow_recall(similarity.T, relevant.T, k), abs=1e-6)
    rank = [1 + min(np.flatnonzero(relevant[i][np.argsort(-similarity[i])])) for i in range(6)]
    assert to_text["mean_rank"] == pytest.approx(np.mean(rank)) and to_text["median_rank"] == np.median(rank)
    precision = [sk.average_precision_score(relevant[i], similarity[i]) for i in range(6)]
    assert to_text["map"] == pytest.approx(np.mean(precision), abs=1e-6)
    assert (to_text["n"], from_text["n"]) == (6, 30)


def test_folds_are_searched_by_themselves() -> None:
    rng = np.random.default_rng(1)
    images, owner = rng.normal(size=(7, 8)).astype(np.float32), np.repeat(np.arange(7), 5)
    told = (images[owner] + rng.normal(0, 1.5, (35, 8))).astype(np.float32)
    folds = caption_folds(images, told, owner, fold=3)  # the seventh picture is left over
    halves = [caption_folds(images[s : s + 3], told[5 * s : 5 * s + 15], owner[:15])[0] for s in (0, 3)]

    def both(way: Callable[[Any], Places]) -> None:
        means = [mean_scores([way(half)])["r1"] for half in halves]
        assert mean_scores([way(fold) for fold in folds])["r1"] == pytest.approx(np.mean(means), abs=1e-6)

    both(lambda one: one.to_text)
    both(lambda one: one.from_text)
    assert [fold.pictures.tolist() for fold in folds] == [[0, 1, 2], [3, 4, 5]]
    assert folds[1].captions.tolist() == list(range(15, 30))
    with pytest.raises(DataError, match="place of its picture"):
        caption_folds(images, told, owner + 1)
    with pytest.raises(DataError, match="fewer than one fold"):
        caption_folds(images, told, owner, fold=8)


def captioned(count: int) -> list[Record]:
    """The shapes with `count` English captions each, one German one and a title."""
    return [
        replace(
            record,
            texts=(
                Text(f"title {record.id}", "en", "title"),
                *(Text(f"{record.texts[0].text} {i}", "en") for i in range(count)),
                Text(f"Bild {record.id}", "de"),
            ),
        )
        for record in shapes()
    ]


def test_the_first_five_captions_are_asked(make_table: Callable[..., Table]) -> None:
    records = captioned(7)
    model, table = Known(records, noise=4.0), make_table(records)
    found = evaluate(model, table, baseline=False, protocols=["captions"]).to_json()
    assert found["protocols"] == ["retrieval", "captions"] and set(found["captions"]) == {"test"}
    for medium in ("image", "audio"):
        entry = found["captions"]["test"][medium]
        assert (entry["media"], entry["captions"]) == (20, 100) and "folds" not in entry
        to_text, from_text = entry["all"][f"{medium}->text"], entry["all"][f"text->{medium}"]
        assert (to_text["n"], to_text["gallery"], from_text["n"], from_text["gallery"]) == (20, 100, 100, 20)
        assert to_text["chance"]["r1"] == pytest.approx(0.05) and from_text["chance"]["r1"] == pytest.approx(0.05)
        assert 0.05 < from_text["r1"] < 1 and from_text["interval"]["r1"][0] < from_text["r1"]
    asked = [key for key in model.seen if isinstance(key, str)]
    assert not any(key.endswith((" 5", " 6")) and key.startswith("large") for key in asked[-100:])


def test_folds_where_there_are_two(make_table: Callable[..., Table]) -> None:
    records = captioned(5)
    model, table = Known(records), make_table(records)
    scorer = Scorer(collect(model, table, raw=False), np.arange(len(table)), None, 0)
    entry = captions(model, table, scorer, np.ones(len(table), bool), fold=30)["image"]
    assert (entry["folds"]["size"], entry["folds"]["count"]) == (30, 2)
    one = entry["folds"]["directions"]["text->image"]
    assert (one["r1"], one["n"], one["gallery"]) == (1.0, 300, 30)
    assert entry["all"]["text->image"]["n"] == 400


def test_it_runs_where_most_pictures_have_two_captions(make_table: Callable[..., Table]) -> None:
    records = [replace(r, texts=r.texts[: 2 if i % 5 else 3]) for i, r in enumerate(captioned(2))]
    table = make_table(records)
    assert evaluate(Known(records), table, baseline=False, splits=["test"]).further["captions"] == {}
    found = evaluate(Known(records), table, baseline=False, splits=["test"], protocols=["captions"]).to_json()
    assert found["captions"] == {} and "two captions or more" in found["left_out"]["captions"]
