"""Two models on the same questions."""

from __future__ import annotations

import numpy as np
import pytest
from evaluate_cases import Known, shapes

from chiasm.dataset.table import Table
from chiasm.errors import ConfigError
from chiasm.evaluate.protocols.against import against, compare
from chiasm.evaluate.retrieval.asked import Asked


def test_a_model_against_itself_is_level(shapes_table: Table) -> None:
    found = against(Known(shapes(), noise=1.0), Known(shapes(), noise=1.0), shapes_table, splits=["test"])["test"]
    one = found["text->image"]["r1"]
    assert one["difference"] == 0 and one["interval"] == [0, 0] and one["better"] is None and one["p"] == 1
    assert (
        "image: colour" in found
        and found["image: colour"]["accuracy"]["value"] == found["image: colour"]["accuracy"]["other"]
    )


def test_the_better_model_is_named_whichever_comes_first(shapes_table: Table) -> None:
    good, bad = Known(shapes(), noise=0.0), Known(shapes(), noise=3.0)
    one = against(good, bad, shapes_table, splits=["train"])["train"]["text->image"]
    two = against(bad, good, shapes_table, splits=["train"])["train"]["text->image"]
    assert one["r1"]["better"] == "this" and two["r1"]["better"] == "other"
    assert one["r1"]["difference"] == pytest.approx(-two["r1"]["difference"])
    assert one["r1"]["p"] < 0.05 and one["n"] == 40


def test_pairing_narrows_the_interval() -> None:
    """Questions differ far more than the two models do."""
    rng = np.random.default_rng(0)
    hard = rng.random(200)
    mine = Asked(np.arange(200), {"r1": np.clip(hard + 0.05, 0, 1)})
    theirs = Asked(np.arange(200), {"r1": hard})
    low, high = compare(mine, theirs, np.arange(200))["r1"]["interval"]
    assert 0.03 < low < high < 0.06


def test_models_that_share_too_little_are_refused(shapes_table: Table) -> None:
    with pytest.raises(ConfigError, match="share text"):
        against(
            Known(shapes(), modalities=("text", "image")), Known(shapes(), modalities=("text", "audio")), shapes_table
        )
