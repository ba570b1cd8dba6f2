"""Groups: gaps are found where they are and not where chance made them; corrections and associations as published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from evaluate_cases import Known, shapes

from chiasm.dataset.table import Table
from chiasm.errors import ConfigError, DataError
from chiasm.evaluate.metrics.bootstrap import benjamini_hochberg, holm, mean_intervals
from chiasm.evaluate.protocols.association import association, associations
from chiasm.evaluate.protocols.fairness import attributes, fairness, permutation
from chiasm.evaluate.retrieval.asked import Asked, labels_of
from chiasm.evaluate.retrieval.protocol import PROTOCOLS, evaluate
from chiasm.types import Label


def test_corrections_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert benjamini_hochberg([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]
    assert benjamini_hochberg([0.001, 0.9]) == pytest.approx([0.002, 0.9])


def test_intervals_cover_what_they_say() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(400):
        own = rng.normal(0, 1, 60)[:, None] + rng.normal(0, 0.5, (60, 3))  # three queries a group, alike
        low, high = mean_intervals({"m": own.reshape(-1)}, np.repeat(np.arange(60), 3), seed=trial)["m"]
        covered += low <= 0 <= high
    assert 0.92 <= covered / 400 <= 0.975


def test_a_planted_gap_is_found_and_told() -> None:
    rng = np.random.default_rng(1)
    n = 200
    group = ["a" if i % 2 else "b" for i in range(n)]
    right = (rng.random(n) < np.where(np.array(group) == "a", 0.9, 0.5)).astype(float)
    found = fairness({"text->image": Asked(np.arange(n), {"r1": right})}, np.arange(n), {"kind": group})
    one = found["kind"]["text->image"]
    assert one["gap"]["r1"]["best"] == "a" and one["gap"]["r1"]["worst"] == "b"
    assert one["gap"]["r1"]["value"] == pytest.approx(right[1::2].mean() - right[::2].mean(), abs=1e-6)
    low, high = one["gap"]["r1"]["interval"]
    assert 0 < low < one["gap"]["r1"]["value"] < high
    assert one["gap"]["r1"]["ratio"] == pytest.approx(right[::2].mean() / right[1::2].mean(), abs=1e-5)
    assert one["groups"]["a"]["holm"] < 0.05 and one["groups"]["a"]["n"] == 100
    assert one["permuted"] == "whole groups"


def test_chance_alone_is_not_a_gap() -> None:
    """p-values are uniform where groups do not differ: a twentieth of them lies below 0.05."""
    rng = np.random.default_rng(2)
    low = 0
    for trial in range(120):
        values, of = rng.random(40), np.array(["a", "b"] * 20, dtype=object)
        low += permutation(values, of, np.arange(40), ("a", "b"), trial, 200)[1][0] < 0.05
    assert low / 120 < 0.12


def test_forms_of_one_concept_change_places_among_themselves() -> None:
    """Concepts differ wildly and groups by a little in each: only exchange within concepts can see it."""
    rng = np.random.default_rng(3)
    concept = np.repeat(np.arange(30), 2)
    of = np.array(["light", "dark"] * 30, dtype=object)
    values = rng.normal(0, 10, 30)[concept] + np.where(of == "light", 0.5, 0.0) + rng.normal(0, 0.1, 60)
    ways, p = permutation(values, of, concept, ("dark", "light"), 0)
    assert ways == "within groups" and max(p) < 0.01
    assert permutation(values, of, np.arange(60), ("dark", "light"), 0)[1][0] > 0.2


def test_labels_that_name_things_are_no_groups() -> None:
    rows = np.ones(60, bool)
    labels = {
        "tone": [("dark",) if i % 2 else ("light",) for i in range(60)],
        "form": [("a",) if i % 3 else ("b",) for i in range(60)],
        "name": [(f"thing {i}",) for i in range(60)],
        "one": [("same",)] * 60,
    }
    found = attributes(labels, rows)
    assert list(found) == ["tone", "form", "tone × form"]
    assert found["tone × form"][:2] == ["light × b", "dark × a"]
    assert list(attributes(labels, rows, ["name"])) == ["name"]
    with pytest.raises(ConfigError, match="no label 'age'"):
        attributes(labels, rows, ["age"])


def test_association_equals_the_definition_and_its_exact_test() -> None:
    rng = np.random.default_rng(0)
    unit = lambda n: (v := rng.normal(size=(n, 8)).astype(np.float32)) / np.linalg.norm(v, axis=1, keepdims=True)  # noqa: E731
    x, y, a, b = unit(5), unit(4), unit(3), unit(3)
    found = association(x, y, a, b)
    s = {w.tobytes(): float(np.mean(a @ w) - np.mean(b @ w)) for w in (*x, *y)}
    values = [s[w.tobytes()] for w in (*x, *y)]
    difference = np.mean(values[:5]) - np.mean(values[5:])
    assert found["effect"] == pytest.approx(difference / np.std(values, ddof=1), abs=1e-5)
    drawn = [
        np.mean([values[i] for i in some]) - np.mean([values[i] for i in range(9) if i not in some])
        for some in combinations(range(9), 5)
    ]
    sign = np.sign(difference)
    assert found["exact"] and found["p"] == pytest.approx(
        np.mean([sign * d >= sign * difference - 1e-9 for d in drawn]), abs=1e-6
    )
    assert association(y, x, a, b)["effect"] == pytest.approx(-found["effect"], abs=1e-6)
    with pytest.raises(DataError):
        association(x[:1], y, a, b)


def test_an_associated_group_is_found() -> None:
    rng = np.random.default_rng(0)
    good, bad = np.eye(8, dtype=np.float32)[0], np.eye(8, dtype=np.float32)[1]

    class Words:
        dimension, modalities, identity = 8, ("text", "image"), "words"

        def embed_items(self, modality, items, *, progress=None):
            return np.stack([good if item.text == "fine" else bad for item in items])

    def near(centre, n):
        v = (centre + 0.3 * rng.normal(size=(n, 8))).astype(np.float32)
        return v / np.linalg.norm(v, axis=1, keepdims=True)

    groups = {"one": near(good, 30), "two": near(bad, 30), "three": near(bad, 30)}
    found = associations(Words(), groups, {"pleasant": ["fine"] * 2, "unpleasant": ["foul"] * 2})  # type: ignore[arg-type]
    assert found["one / two"]["effect"] > 1.5 and found["one / two"]["holm"] < 0.01
    assert abs(found["two / three"]["effect"]) < 0.8 and set(found) == {"one / two", "one / three", "two / three"}


def test_evaluate_runs_it_where_labels_make_groups(make_table: Callable[..., Table]) -> None:
    records = [
        replace(r, labels=(*r.labels, Label("tone", "dark" if i % 2 else "light"))) for i, r in enumerate(shapes())
    ]
    table = make_table([replace(r, split="test" if i % 4 < 2 else "train") for i, r in enumerate(records)])
    found = evaluate(Known(records, noise=0.8), table, baseline=False, protocols=["fairness", "downstream"]).to_json()
    assert {"retrieval", "fairness", "downstream"} == set(found["protocols"]) and found["pointing"] == {}
    tone = found["fairness"]["test"]["tone"]["text->image"]
    assert set(tone["groups"]) == {"dark", "light"}
    assert tone["groups"]["dark"]["n"] + tone["groups"]["light"]["n"] == 40
    assert 0 <= tone["groups"]["dark"]["interval"]["r1"][0] <= tone["groups"]["dark"]["r1"]
    assert labels_of(table)["tone"][:2] == [("light",), ("dark",)]
    with pytest.raises(ConfigError, match="no protocol 'fairnes'"):
        evaluate(Known(records), table, protocols=["fairnes"])
    assert set(PROTOCOLS) >= set(found["protocols"]) - {"retrieval"}
