"""Short vectors: against scikit-learn's own on whole matrices, held-out rows kept out, the same bytes each time."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from record_sheet import RecordSheet

from chiasm.config import BuildConfig, load_config
from chiasm.dataset.features import Part, gather, scratch
from chiasm.dataset.reduce import learning_rows, run, scaled
from chiasm.dataset.split import Key
from chiasm.errors import ConfigError, DataError
from chiasm.types import Record, Text

COUNT, WIDTH = 300, 12


def config(**vectors: Any) -> BuildConfig:
    return load_config(BuildConfig, None, [f"reduce.vectors={json.dumps(vectors)}"])


def matrix(seed: int = 0, rank: int = 3, noise: float = 0.1) -> NDArray[np.float32]:
    """[COUNT, WIDTH] of that rank, and noise."""
    random = np.random.default_rng(seed)
    low = random.standard_normal((COUNT, rank)) @ random.standard_normal((rank, WIDTH))
    return (low + noise * random.standard_normal((COUNT, WIDTH)) + 5).astype(np.float32)


def sheet(x: NDArray[np.float32], **fields: Any) -> RecordSheet:
    import pyarrow as pa

    column = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
    return RecordSheet([Record(f"r{i}", **fields) for i in range(len(x))], {"v": column})


def test_pca_is_pca(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chiasm.dataset.reduce.BLOCK", 64)
    x = matrix()
    outcome = run(sheet(x), config(short={"features": ["column:v"], "dimensions": 3, "held_out": 0.2}))
    facts = outcome.facts["short"]
    learns = learning_rows(sheet(x).keys, 0.2, 0)
    centred = x - x[learns].mean(axis=0)
    _, _, basis = np.linalg.svd(centred[learns], full_matrices=False)
    exact = centred[~learns] @ basis[:3].T @ basis[:3]
    error = np.square(exact - centred[~learns]).sum() / np.square(centred[~learns]).sum()
    assert facts["reconstruction_error"] == pytest.approx(error, rel=0.05)
    assert facts["explained"] == pytest.approx(1 - error, rel=0.01)
    assert facts["explained"] > 0.98
    assert facts["measured_on"] == 60 and facts["learned_from"] == 240
    found = outcome.columns["short"]
    assert found.shape == (COUNT, 3) and found.dtype == np.float32
    wanted = centred @ basis[:3].T
    for column in range(3):
        assert abs(np.corrcoef(found[:, column], wanted[:, column])[0, 1]) > 0.99
    json.dumps(outcome.facts, allow_nan=False)


@pytest.mark.parametrize("method", ["autoencoder", "vae"])
def test_networks_learn_and_repeat(method: str) -> None:
    x = matrix()
    wanted = config(short={"method": method, "features": ["column:v"], "dimensions": 3, "epochs": 100, "hidden": 32})
    first, again = (run(sheet(x), wanted) for _ in range(2))
    assert first.columns["short"].tobytes() == again.columns["short"].tobytes()
    losses = first.facts["short"]["losses"]
    assert losses[-1] < losses[0]
    assert first.facts["short"]["explained"] > (0.8 if method == "autoencoder" else 0.6)
    json.dumps(first.facts, allow_nan=False)


def test_svd_of_words_is_sklearns() -> None:
    from sklearn.decomposition import TruncatedSVD

    from chiasm.dataset.raw_features import hash_texts

    random = np.random.default_rng(0)
    topics = [
        ["cat", "dog", "bird", "fish", "horse"],
        ["red", "green", "blue", "black", "white"],
        ["one", "two", "three", "four", "five"],
    ]
    texts = [" ".join(random.choice(topics[i % 3], 6)) for i in range(90)]
    records = [Record(f"r{i}", texts=(Text(text),)) for i, text in enumerate(texts)]
    records.append(Record("none"))
    outcome = run(RecordSheet(records), config(words={"method": "svd", "dimensions": 4, "held_out": 0.0}))
    counts = hash_texts([*texts, ""])[:90]
    exact = TruncatedSVD(4, algorithm="arpack", random_state=0).fit(counts)
    found = outcome.columns["words"]
    assert np.isnan(found[-1]).all()
    assert outcome.facts["words"]["absent"] == 1
    short = exact.transform(counts)
    assert np.abs(found[:-1] @ found[:-1].T - short @ short.T).max() < 0.01
    lost = 1 - np.square(short).sum() / counts.multiply(counts).sum()
    assert outcome.facts["words"]["reconstruction_error"] == pytest.approx(lost, abs=1e-3)
    with pytest.raises(ConfigError, match="texts alone"):
        run(RecordSheet(records), config(words={"method": "svd", "features": ["image"]}))


def test_held_out_rows_teach_nothing() -> None:
    x = matrix()
    moved = x.copy()
    held = ~learning_rows([Key(f"r{i}") for i in range(COUNT)], 0.1, 0)
    moved[held] *= 100
    wanted = config(short={"features": ["column:v"], "dimensions": 3})
    first, second = run(sheet(x), wanted), run(sheet(moved), wanted)
    assert np.array_equal(first.columns["short"][~held], second.columns["short"][~held])
    keys = [Key("a", split="test"), Key("b", split="training"), Key("c", group="g"), Key("d", group="g")]
    for seed in range(5):
        learns = learning_rows(keys, 0.5, seed)
        assert not learns[0] and learns[2] == learns[3]


def test_too_few_rows_and_unknown_features() -> None:
    with pytest.raises(DataError, match="ask for fewer"):
        run(sheet(matrix()), config(short={"features": ["column:v"], "dimensions": 12}))
    with pytest.raises(ConfigError, match="no column 'w'"):
        run(sheet(matrix()), config(short={"features": ["column:w"]}))
    with pytest.raises(ConfigError, match="raw:MODALITY"):
        run(sheet(matrix()), config(short={"features": ["smell"]}))
    with pytest.raises(ConfigError, match="no name of a column"):
        config(**{"a b": {}})


def test_features_on_disk_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = gather(sheet(matrix()), ["column:v"]).parts
    learns, places = np.ones(COUNT, np.bool_), np.arange(COUNT)
    memory = scaled(parts, learns, places, each=True)
    assert memory.mean(axis=0) == pytest.approx(np.zeros(WIDTH), abs=1e-5)
    assert memory.std(axis=0) == pytest.approx(np.ones(WIDTH), abs=1e-4)
    monkeypatch.setattr("chiasm.dataset.features.SPILL", 0)
    disk = scaled(parts, learns, places, each=True)
    assert isinstance(disk, np.memmap)
    assert np.array_equal(disk, memory)
    assert isinstance(scratch(2, 3), np.memmap)


def test_parts_that_rows_lack_are_zero() -> None:
    value = np.ones((4, 2), np.float32) * [[1], [2], [3], [9]]
    part = Part("x", "raw", value.astype(np.float32), np.array([True, True, True, False]))
    found = scaled((part,), np.ones(4, np.bool_), np.arange(4), each=False)
    assert found[3].tolist() == [0, 0]
    assert np.square(found[:3]).sum(axis=1).mean() == pytest.approx(1)
