"""Vectors as features: in scikit-learn's hands, and with few examples a class."""

from __future__ import annotations

import numpy as np
import pytest
from explain_cases import COLOURS, fresh, png, squares, taught
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from chiasm.errors import ConfigError, MediaError
from chiasm.evaluate.protocols.features import Features, downstream, few_shot
from chiasm.evaluate.retrieval.items import Collected, Side


def test_a_pipeline_learns_from_files_and_bytes() -> None:
    pictures = [png(squares({colour: cell})) for colour in COLOURS for cell in range(10)]
    labels = [colour for colour in COLOURS for _ in range(10)]
    pipeline = make_pipeline(Features(taught(60), "image"), LogisticRegression(C=100))
    assert cross_val_score(pipeline, pictures, labels, cv=3).mean() > 0.9
    again = clone(pipeline)
    assert again.fit(pictures, labels).predict(pictures[:1])[0] == "red"
    features = pipeline.named_steps["features"]
    assert features.get_params()["modality"] == "image" and len(features.get_feature_names_out()) == 16


def test_a_transformer_gives_what_the_model_embeds() -> None:
    model = fresh()
    features = Features(model, "text")
    texts = ["a red", "a blue"]
    np.testing.assert_array_equal(features.fit_transform(texts), model.embed(text=texts))
    assert clone(features).model is model
    with pytest.raises(ConfigError, match="no audio"):
        Features(model, "audio").fit([])
    with pytest.raises(MediaError):
        Features(model, "image").transform([b"none"])


def test_few_examples_say_more_the_more_there_are() -> None:
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(5, 16))
    y = np.repeat(np.arange(5), 40)
    x = centre[y] + 1.5 * rng.normal(size=(200, 16))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    found = few_shot(x[::2], y[::2], x[1::2], y[1::2], seed=1)
    assert list(found) == ["1", "2", "4", "8", "16"]
    means = [one["mean"] for one in found.values()]
    assert means[0] < means[2] < means[4] and means[4] > 0.75
    assert found == few_shot(x[::2], y[::2], x[1::2], y[1::2], seed=1)
    one = found["1"]
    assert one["interval"][0] <= one["mean"] <= one["interval"][1] and one["draws"] == 10


def test_downstream_learns_on_train_and_asks_elsewhere() -> None:
    rng = np.random.default_rng(0)
    kind = np.arange(120) % 3
    vectors = (np.eye(8)[kind] + 0.2 * rng.normal(size=(120, 8))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = {"kind": [(f"k{k}",) for k in kind], "id": [(str(i),) for i in range(120)]}
    items = Collected({"image": Side(np.arange(120), vectors, np.arange(120))}, {}, {}, labels, [])
    train = np.arange(120) < 90
    left: dict[str, str] = {}
    found = downstream(items, train, ~train, np.arange(120), left)
    one = found["image"]["kind"]
    assert one["linear_probe"]["accuracy"] > 0.9 and one["knn"]["accuracy"] > 0.9 and one["n"] == 30
    assert one["classes"] == 3 and one["chance"] == pytest.approx(1 / 3, abs=1e-6)
    assert "id" not in found["image"] and "90 examples of 90 classes" in left["downstream id of image"]
    wide = np.arange(120) < 115
    downstream(items, wide, ~wide, np.arange(120), left)
    assert "115 classes" in left["downstream id"]
    # A class that training never saw is asked all the same, and missed.
    unseen = np.where(np.arange(120) < 100, kind, 3)
    others = Collected(items.sides, {}, {}, {"kind": [(f"k{k}",) for k in unseen]}, [])
    one = downstream(others, train, ~train, np.arange(120), left)["image"]["kind"]
    assert one["classes"] == 3 and one["linear_probe"]["accuracy"] <= 1 / 3
