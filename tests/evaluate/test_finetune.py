"""Full fine-tuning: a copy learns, with all its weights, and the model it was made from stays what it was."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from evaluate_cases import Known, shapes
from explain_cases import CELLS, COLOURS, fresh, png, squares, taught
from numpy.typing import NDArray

from chiasm.dataset.table import Table
from chiasm.errors import DataError, ModelError
from chiasm.evaluate.retrieval.protocol import evaluate
from chiasm.evaluate.retrieval.study import Budget
from chiasm.train import finetune as tuning
from chiasm.train.finetune import Labelled, check_trainable, finetune
from chiasm.train.model import EmbeddingModel
from chiasm.types import Label, Media, Record, Text


@pytest.fixture(scope="module")
def model() -> EmbeddingModel:
    return taught(60)


@pytest.fixture
def coloured(make_table: Callable[..., Table]) -> Table:
    """One square a picture, named and labelled by its colour; the second label is drawn by lot. Two splits test."""
    records: list[Record] = []
    rng = np.random.default_rng(0)
    for place, (cell, colour) in enumerate((i, c) for i in range(CELLS * CELLS) for c in COLOURS):
        records.append(
            Record(
                id=f"{colour}-{cell}",
                texts=(Text(f"a {colour}", "en"),),
                image=(Media(data=png(squares({colour: cell}))),),
                labels=(Label("colour", colour), Label("lot", "ab"[rng.integers(2)])),
                group=f"{place}",
                split=("train", "train", "validation", "test", "other")[cell % 5],
            )
        )
    return make_table(records)


def tuned(model: EmbeddingModel, table: Table, steps: int = 60, **more: Any) -> Any:
    return evaluate(
        model, table, baseline=False, protocols=["finetune"], by=["colour"], budget=Budget(steps), **more
    ).to_json()


def test_a_copy_is_tuned_beside_the_probe_and_the_model_stays(model: EmbeddingModel, coloured: Table) -> None:
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    identity = model.identity
    stages: list[tuple[str, int, int]] = []
    found = tuned(model, coloured, progress=lambda *stage: stages.append(stage))
    assert found["protocols"] == ["retrieval", "finetune"] and set(found["finetune"]) == {"test", "other"}
    assert set(found["finetune"]["test"]) == {"image", "text"} and set(found["finetune"]["test"]["image"]) == {"colour"}
    one = found["finetune"]["test"]["image"]["colour"]
    assert one["accuracy"] > 0.9 and one["gain"]["interval"][0] <= one["gain"]["value"] <= one["gain"]["interval"][1]
    assert one["gain"]["value"] == pytest.approx(one["accuracy"] - one["linear_probe"]["accuracy"], abs=2e-6)
    assert one["interval"][0] <= one["accuracy"] <= one["interval"][1]
    assert (one["steps"], one["classes"], one["n"], one["chance"], one["majority"]) == (60, 4, 12, 0.25, 0.25)
    assert one["records"] == sum(row == "train" for row in coloured.columns(["split"])["split"].to_pylist())
    # Both splits were asked of one training, which was shown as it went.
    whole = [(done, total) for stage, done, total in stages if stage == "finetune colour of image"]
    assert len(whole) == 60 and whole[-1][0] == whole[-1][1]
    # The model is bit for bit what it was.
    assert model.network.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())
    assert model.identity == identity == model._digest() and not model.network.training


def test_the_same_seed_gives_the_same_figures(model: EmbeddingModel, coloured: Table) -> None:
    rows = np.arange(0, 40)
    data = Labelled(coloured, "image", rows, rows % 3, 3)
    vectors = model.embed_items("image", data.items(rows))

    def weights(seed: int) -> dict[str, torch.Tensor]:
        made, steps = finetune(model, data, vectors, steps=4, seed=seed)
        assert steps == 4
        return made.state_dict()

    torch.manual_seed(5)
    drawn = torch.random.get_rng_state()
    one, two, other = weights(1), weights(1), weights(2)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
    assert any(not torch.equal(tensor, other[name]) for name, tensor in one.items())
    # Full: every block moved, not the head alone.
    old = model.network.state_dict()
    moved = [
        name
        for name, tensor in one.items()
        if (key := name.removeprefix("encoder.")) in old and not torch.equal(tensor, old[key])
    ]
    assert any("attention" in name for name in moved) and any("embedders.image" in name for name in moved)


def test_what_was_frozen_is_trained_too(model: EmbeddingModel, coloured: Table) -> None:
    frozen = model.apart()
    frozen.network.requires_grad_(False)
    rows = np.arange(20)
    data = Labelled(coloured, "image", rows, rows % 2, 2)
    made, _ = finetune(frozen, data, frozen.embed_items("image", data.items(rows)), steps=2)
    old = frozen.network.state_dict()
    assert any(
        not torch.equal(t, old[n.removeprefix("encoder.")])
        for n, t in made.state_dict().items()
        if n.startswith("encoder.")
    )
    assert not any(p.requires_grad for p in frozen.network.parameters())


@pytest.mark.parametrize("modality", ["text", "image", "audio"])
@pytest.mark.parametrize("room", [0, 4000, 2**20])
def test_what_is_kept_is_what_would_be_prepared(
    modality: str, room: int, make_table: Callable[..., Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts and sounds of several lengths, drawn in batches that padded them otherwise; with room for none, some or all of them."""
    monkeypatch.setattr(tuning, "KEPT", room)
    sounds = [soundfile_of(np.sin(np.arange(800 * (1 + row)) / 9)) for row in range(10)]
    model = fresh(("text", "image", "audio"))
    table = make_table(
        [
            Record(
                id=str(row),
                texts=(Text("a red and " * (1 + row % 4)),),
                image=(Media(data=png(squares({"red": row}))),),
                audio=(Media(data=sounds[row]),),
            )
            for row in range(10)
        ]
    )
    data = Labelled(table, modality, np.arange(10), np.zeros(10, np.int64), 1)
    kept = tuning._Prepared(model, data)
    for drawn in ([0, 1, 4], [9, 3, 0, 9, 3], [2, 1, 0]):
        found = model.vectors(modality, kept.get(np.array(drawn)))
        wanted = model.vectors(modality, model.prepare(modality, data.items(drawn)))
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def soundfile_of(wave: NDArray[np.float64]) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave.astype(np.float32), 16_000, format="FLAC")
    return file.getvalue()


def test_minutes_end_it_too(model: EmbeddingModel, coloured: Table) -> None:
    rows = np.arange(20)
    data = Labelled(coloured, "text", rows, rows % 2, 2)
    _, steps = finetune(model, data, model.embed_items("text", data.items(rows)), steps=None, minutes=0.05)
    assert 1 <= steps < 3000


def test_nothing_measured_is_learned_from(model: EmbeddingModel, coloured: Table) -> None:
    found = tuned(model, coloured, splits=["train"], steps=2)
    assert found["finetune"] == {} and "apart from what is measured" in found["left_out"]["finetune"]


def test_it_runs_only_when_it_is_asked_for(shapes_table: Table) -> None:
    found = evaluate(Known(shapes()), shapes_table, baseline=False).to_json()
    assert found["finetune"] == {} and "finetune" not in found["left_out"]


def test_who_cannot_be_tuned_is_told_before_anything_is_embedded(
    model: EmbeddingModel, shapes_table: Table, make_table: Callable[..., Table]
) -> None:
    known = Known(shapes())
    with pytest.raises(ModelError, match="loaded from a run, not Known"):
        evaluate(known, shapes_table, protocols=["finetune"])
    assert known.calls == []
    bare = make_table([Record(id=str(i), texts=(Text(str(i)),), split=("train", "test")[i % 2]) for i in range(6)])
    with pytest.raises(DataError, match="no labels to fine-tune on"):
        evaluate(model, bare, protocols=["finetune"])
    assert check_trainable(model) is model
