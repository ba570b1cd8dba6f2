"""The judge of synthesised speech: made-up words always, spoken digits where that data is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from chiasm.errors import DataError
from chiasm.evaluate.conversion.judge import SpeechJudge
from chiasm.modalities.audio import log_mel, read_audio


def chirps(count: int, seed: int) -> tuple[list[np.ndarray], list[str]]:
    """Tones that rise, fall or stay, of any loudness, pitch and length."""
    rng = np.random.default_rng(seed)
    labels = [("rises", "falls", "stays")[i % 3] for i in range(count)]
    mels = []
    for label in labels:
        time = np.arange(int(rng.integers(3200, 8000))) / 16_000
        slope = {"rises": 2000, "falls": -2000, "stays": 0}[label] * rng.uniform(0.8, 1.2)
        wave = np.sin(2 * np.pi * (rng.uniform(1200, 2500) * time + slope * time**2)) * rng.uniform(0.05, 0.5)
        mels.append(log_mel((wave + rng.normal(0, 0.001, len(time))).astype(np.float32)))
    return mels, labels


@pytest.fixture(scope="module")
def judge() -> SpeechJudge:
    return SpeechJudge.fit(*chirps(48, 0), seed=1, epochs=24)


def test_it_tells_words_apart(judge: SpeechJudge) -> None:
    mels, labels = chirps(60, 9)
    assert judge.labels == ("falls", "rises", "stays")
    assert judge.accuracy(mels, labels) >= 0.9
    assert judge.accuracy(mels, labels[1:] + labels[:1]) <= 0.1
    np.testing.assert_allclose(judge.probabilities(mels).sum(1), 1)
    assert judge.right(mels, labels).mean() == judge.accuracy(mels, labels) and judge.accuracy([], []) == 0


def test_silence_around_a_word_and_loudness_change_nothing(judge: SpeechJudge) -> None:
    mels, _ = chirps(9, 5)
    silent = np.zeros((50, 80), np.uint8)
    padded = [np.concatenate([silent[:20], one, silent]) for one in mels]
    np.testing.assert_allclose(judge.probabilities(padded), judge.probabilities(mels), atol=1e-5)
    assert judge.name([np.minimum(one, 225) + np.uint8(30) for one in mels]) == judge.name(mels)
    alone = np.concatenate([judge.probabilities([one]) for one in mels])
    np.testing.assert_allclose(
        alone, judge.probabilities(mels), atol=1e-5, err_msg="company in a batch changes nothing"
    )
    assert judge.name([np.zeros((1, 80), np.uint8)])[0] in judge.labels, "even silence is answered"


def test_a_seed_says_all_and_nothing_else_is_drawn() -> None:
    mels, labels = chirps(24, 0)
    before = torch.get_rng_state()
    first, again, other = (SpeechJudge.fit(mels, labels, seed=seed, epochs=2) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(first.probabilities(mels), again.probabilities(mels))
    assert not np.array_equal(first.probabilities(mels), other.probabilities(mels))


def test_what_cannot_be_judged_is_refused(judge: SpeechJudge) -> None:
    mels, labels = chirps(6, 0)
    with pytest.raises(DataError, match="a label for each"):
        SpeechJudge.fit(mels, labels[1:])
    with pytest.raises(DataError, match="1 different"):
        SpeechJudge.fit(mels, ["rises"] * 6)
    with pytest.raises(DataError, match="80"):
        judge.name([np.zeros((9, 40), np.uint8)])
    with pytest.raises(DataError, match="its own"):
        judge.right(mels, labels[1:])


@pytest.mark.slow
def test_it_knows_the_spoken_digits(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("fsdd")
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf8").splitlines()]
    sound = {split: [row for row in rows if row["split"] == split] for split in ("train", "test")}
    mels = {
        split: [log_mel(read_audio((folder / row["audio"]).read_bytes())) for row in rows]
        for split, rows in sound.items()
    }
    words = {split: [row["text"] for row in rows] for split, rows in sound.items()}
    judge = SpeechJudge.fit(mels["train"][::2], words["train"][::2])  # half of them teach it in half the time
    assert judge.accuracy(mels["test"], words["test"]) >= 0.95
