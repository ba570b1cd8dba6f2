"""The protocols on a small real table, with models whose score is known beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from evaluate_cases import Known, shapes
from numpy.typing import NDArray

from chiasm.dataset.table import Table
from chiasm.errors import ConfigError, DataError, MediaError, ModelError
from chiasm.evaluate.retrieval.protocol import evaluate
from chiasm.types import Media, Text

PAIRS = {f"{a}->{b}" for a in ("text", "image", "audio") for b in ("text", "image", "audio") if a != b}


def test_the_json_holds_every_pair_beside_chance_and_baseline(shapes_table: Table) -> None:
    stages: list[tuple[str, int, int]] = []
    found = evaluate(Known(shapes(), noise=1.5), shapes_table, progress=lambda *told: stages.append(told)).to_json()
    assert json.loads(json.dumps(found)) == found
    assert set(found["retrieval"]) == {"validation", "test"}
    for part, gallery in (("retrieval", 20), ("retrieval_full", 80)):
        assert set(found[part]["test"]) == PAIRS
        for entry in found[part]["test"].values():
            assert entry["n"] == 20 and entry["gallery"] == gallery
            assert entry["chance"]["r1"] == pytest.approx(1 / gallery)
            assert entry["interval"]["r1"][0] <= entry["r1"] <= entry["interval"]["r1"][1]
            assert 0 <= entry["baseline"]["r1"] <= entry["baseline"]["r5"] <= entry["baseline"]["r10"] <= 1
    assert found["splits"]["validation"]["role"] == "validation" and found["splits"]["test"]["role"] == "test"
    assert found["splits"]["test"]["items"] == {"text": 20, "image": 20, "audio": 20}
    assert set(found["by"]) == {"test"}
    assert set(found["by"]["test"]["language"]) == {"en", "zh"}
    assert set(found["by"]["test"]["audio"]) == {"low", "high"}
    assert set(found["zero_shot"]["test"]["image"]) == {"colour", "shape"}  # "kind" has one value
    assert found["table"]["rows"] == 80 and found["table"]["version"] == shapes_table.version
    assert set(found["gap"]["test"]) == {"text-image", "text-audio", "image-audio"}
    further = {"captions", "fairness", "downstream", "probes", "pointing"}
    assert {stage for stage, _, _ in stages} == {"embed", "baseline", "score", *further}
    assert stages[-1][1] == stages[-1][2]


def test_a_perfect_model_scores_one_everywhere(shapes_table: Table) -> None:
    found = evaluate(Known(shapes()), shapes_table, baseline=False).to_json()
    for part in ("retrieval", "retrieval_full"):
        for pairs in found[part].values():
            assert all(
                entry["r1"] == 1.0 and entry["median_rank"] == 1.0 and entry["baseline"] is None
                for entry in pairs.values()
            )
    assert found["by"]["test"]["language"]["zh"]["retrieval"]["text->audio"]["r1"] == 1.0
    assert found["gap"]["test"]["text-image"]["gap"] == 0.0
    assert found["zero_shot"]["test"]["audio"]["colour"]["accuracy"] >= 0.9


def test_a_constant_model_scores_at_chance_everywhere(shapes_table: Table) -> None:
    found = evaluate(Known(shapes(), noise=None), shapes_table, baseline=False).to_json()
    for part in ("retrieval", "retrieval_full"):
        for entry in found[part]["test"].values():
            assert {name: entry[name] for name in entry["chance"]} == pytest.approx(entry["chance"], abs=1e-5)
    for label, classes in (("colour", 5), ("shape", 4)):
        entry = found["zero_shot"]["test"]["image"][label]
        assert entry["accuracy"] == pytest.approx(entry["chance"], abs=1e-5) == pytest.approx(1 / classes, abs=1e-5)
        assert entry["majority"] == pytest.approx(1 / classes)


def test_the_baseline_learns_from_the_train_split_what_is_linear(shapes_table: Table) -> None:
    found = evaluate(Known(shapes(), noise=None), shapes_table, splits=["test"]).to_json()
    for pair in ("text->image", "image->text"):
        entry = found["retrieval"]["test"][pair]
        assert entry["baseline"]["r5"] > 2 * entry["chance"]["r5"]


def test_the_same_seed_gives_the_same_figures(shapes_table: Table) -> None:
    one, two = (evaluate(Known(shapes(), noise=1.0), shapes_table, seed=3).to_json() for _ in range(2))
    del one["seconds"], two["seconds"]
    assert one == two


def test_each_item_is_embedded_once(shapes_table: Table) -> None:
    model = Known(shapes())
    evaluate(model, shapes_table)
    media = [key for key in model.seen if isinstance(key, bytes)]
    assert len(media) == 80 + 80 + 20  # pictures, first voices, second voices of the test split
    assert len(media) == len(set(media))
    assert sum(isinstance(key, str) for key in model.seen) == 80 + 20 + 5 + 4  # names, Chinese names, class names


def test_equal_texts_answer_for_each_other(make_table: Callable[..., Table]) -> None:
    """Six records with three names; the model knows the name alone, so it cannot tell the twins apart."""
    records = [
        replace(record, texts=(Text(f"Name {i // 2}" if i % 2 else f" name  {i // 2}", "en"),))
        for i, record in enumerate(shapes()[:6])
    ]
    model = Known(records)
    for i, record in enumerate(records):
        model.vector[record.texts[0].text] = model.vector[record.image[0].data] = model.vector[
            records[i // 2 * 2].texts[0].text
        ]
    found = evaluate(model, make_table([replace(r, split="test") for r in records]), baseline=False).to_json()
    assert set(found["retrieval"]) == {"all"}
    for pair in ("text->image", "image->text"):
        entry = found["retrieval"]["all"][pair]
        assert entry["r1"] == 1.0 and entry["map"] == pytest.approx(1.0)
        assert entry["chance"]["r1"] == pytest.approx(2 / 6)


def test_missing_modalities_are_normal(make_table: Callable[..., Table]) -> None:
    records = [replace(r, image=() if i % 4 else r.image, audio=()) for i, r in enumerate(shapes())]
    table = make_table(records)
    found = evaluate(Known(records), table).to_json()
    assert set(found["retrieval"]["test"]) == set()
    assert found["left_out"]["test text->image"].startswith("0 records have both")


def test_n_says_how_many_have_both(make_table: Callable[..., Table]) -> None:
    records = [replace(r, image=() if r.id.startswith("large-red") else r.image, audio=()) for r in shapes()]
    found = evaluate(Known(records), make_table(records)).to_json()
    assert set(found["retrieval"]["test"]) == {"text->image", "image->text"}
    assert found["retrieval"]["test"]["text->image"]["n"] == 16
    assert found["retrieval_full"]["test"]["text->image"]["gallery"] == 76


def test_an_unreadable_item_is_reported_and_the_rest_measured(make_table: Callable[..., Table]) -> None:
    records = shapes()
    broken = next(i for i, r in enumerate(records) if r.split == "test")
    records[broken] = replace(records[broken], image=(Media(data=b"not a picture"),))
    table = make_table(records)
    for baseline in (True, False):

        class Refusing(Known):
            def embed_items(
                self,
                modality: str,
                items: Sequence[Text | Media],
                *,
                progress: Callable[[int], None] | None = None,
            ) -> NDArray[np.float32]:
                if any(isinstance(item, Media) and item.data == b"not a picture" for item in items):
                    raise MediaError("format", "no picture")
                return super().embed_items(modality, items)

        found = evaluate(Refusing(records), table, baseline=baseline).to_json()
        assert [(one["id"], one["modality"], one["reason"]) for one in found["unreadable"]] == [
            (records[broken].id, "image", "format")
        ]
        assert found["retrieval"]["test"]["text->image"]["n"] == 19
        assert found["retrieval"]["test"]["text->audio"]["n"] == 20


def test_unseen_makers_are_flagged(shapes_table: Table) -> None:
    found = evaluate(Known(shapes()), shapes_table, baseline=False, held_out=["high"]).to_json()
    voices = found["by"]["test"]["audio"]
    assert voices["high"]["unseen"] is True and voices["low"]["unseen"] is False
    assert set(voices["high"]["retrieval"]) == {"audio->text", "audio->image"}


def test_one_split_means_all_rows_and_no_baseline(make_table: Callable[..., Table]) -> None:
    records = [replace(r, split="train") for r in shapes()]
    found = evaluate(Known(records), make_table(records)).to_json()
    assert set(found["retrieval"]) == {"all"} and found["retrieval"]["all"]["text->image"]["n"] == 80
    assert found["retrieval"]["all"]["text->image"]["baseline"] is None
    assert "baseline" in found["left_out"]


def test_wrong_use_is_refused(shapes_table: Table, make_table: Callable[..., Table]) -> None:
    with pytest.raises(ConfigError, match="no split 'tset'; it has test, train, validation"):
        evaluate(Known(shapes()), shapes_table, splits=["tset"])
    with pytest.raises(DataError, match="no rows"):
        evaluate(Known(shapes()), make_table(shapes()[:0]))

    class Wrong(Known):
        def embed_items(
            self,
            modality: str,
            items: Sequence[Text | Media],
            *,
            progress: Callable[[int], None] | None = None,
        ) -> NDArray[np.float32]:
            return super().embed_items(modality, items)[:, :5]

    with pytest.raises(ModelError, match="shape"):
        evaluate(Wrong(shapes()), shapes_table)


def test_a_model_of_one_modality_has_no_pairs(shapes_table: Table) -> None:
    found = evaluate(Known(shapes(), modalities=("image",)), shapes_table).to_json()
    assert found["retrieval"] == {"validation": {}, "test": {}} and found["zero_shot"]["test"] == {}
