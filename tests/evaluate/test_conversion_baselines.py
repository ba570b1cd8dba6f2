"""The baselines learn what is there to be learned, and nothing of what is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from chiasm.evaluate.conversion import baselines
from chiasm.evaluate.conversion.baselines import (
    blind_answers,
    most_frequent,
    next_items,
    sound_classifier,
    text_classifier,
)

Mel = NDArray[np.uint8]


def test_most_frequent() -> None:
    assert most_frequent(["b", "a", "b", "c"], 2) == ["b", "b"]
    assert most_frequent(["b", "a"], 1) == ["a"]
    with pytest.raises(ValueError, match="no labels"):
        most_frequent([], 3)


def test_texts_are_told_apart_by_their_words() -> None:
    train = ["open the door", "open the window", "close the door", "close the window", "please open", "please close"]
    labels = ["open", "open", "close", "close", "open", "close"]
    assert text_classifier(train, labels, ["open it", "closed", "the gate: open!"]) == ["open", "close", "open"]
    assert text_classifier(tuple(train), labels, []) == []


@pytest.mark.parametrize("learn", [text_classifier, blind_answers])
def test_nothing_to_learn_is_the_most_frequent(learn: Callable[[list[str], list[str], list[str]], list[str]]) -> None:
    assert learn(["x y", "z w"], ["a", "a"], ["q", "r"]) == ["a", "a"]
    assert learn(["", " "], ["b", "a"], ["q"]) == ["a"]


def test_blind_answers_are_the_prior_of_each_form() -> None:
    asked = ["is it red?"] * 10 + ["what shape is it?"] * 10
    answers = ["no"] * 8 + ["yes"] * 2 + ["circle"] * 6 + ["square"] * 4
    assert blind_answers(asked, answers, ["is it red?", "what shape is it?", "is it blue?"]) == ["no", "circle", "no"]


def test_rare_answers_are_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "CLASSES", 2)
    train = ["red one"] * 3 + ["blue one"] * 2 + ["green one"]
    assert "g" not in text_classifier(train, ["r", "r", "r", "b", "b", "g"], ["green one"])


def sounds(rng: np.random.Generator, band: int, count: int) -> list[Mel]:
    """Noise of different lengths, with one loud band."""
    made: list[Mel] = []
    for _ in range(count):
        mel = rng.integers(0, 60, (int(rng.integers(10, 90)), 16)).astype(np.uint8)
        mel[:, band] += 120
        made.append(mel)
    return made


def test_sounds_are_told_apart_by_their_bands() -> None:
    rng = np.random.default_rng(0)
    train, test = sounds(rng, 3, 20) + sounds(rng, 9, 20), sounds(rng, 9, 5) + sounds(rng, 3, 5)
    labels = ["low"] * 20 + ["high"] * 20
    assert sound_classifier(train, labels, test) == ["high"] * 5 + ["low"] * 5
    assert sound_classifier(train, labels, test) == sound_classifier(train, labels, test)
    assert sound_classifier(train, labels, []) == []
    assert sound_classifier(train[:3], ["a"] * 3, test[:2]) == ["a", "a"]


def naive_neighbours(sessions: list[list[str]], history: list[str], k: int) -> list[str]:
    """Item-based cosine, written out."""
    names = sorted({item for session in sessions for item in session})
    held = {name: {row for row, session in enumerate(sessions) if name in session} for name in names}
    score = {
        name: sum(
            len(held[name] & held[old]) / (len(held[name]) * len(held[old])) ** 0.5
            for old in dict.fromkeys(history)
            if old in held
        )
        for name in names
        if name not in history
    }
    return sorted(score, key=lambda name: (-round(score[name], 9), -len(held[name]), name))[:k]


def test_next_items_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    sessions = [[f"i{i}" for i in rng.choice(12, int(rng.integers(2, 6)), replace=False)] for _ in range(40)]
    histories = [[f"i{i}" for i in rng.choice(14, 3, replace=False)] for _ in range(20)]
    found = next_items(sessions, histories, 5)
    for history, popular, together in zip(histories, found.popularity, found.co_occurrence, strict=True):
        naive = naive_neighbours(sessions, history, 5)
        # Equal scores differ in their last bit by the order of adding, so sets are compared where there are ties.
        assert len(together) == 5
        assert len(set(together) & set(naive)) >= 4
        assert not set(popular) & set(history)
        assert not set(together) & set(history)
    counts = {name: sum(name in session for session in sessions) for name in {i for s in sessions for i in s}}
    assert found.popularity[0][0] in {
        name for name in counts if counts[name] == max(v for n, v in counts.items() if n not in histories[0])
    }


def test_pairs_come_back_and_strangers_never() -> None:
    sessions = [["a", "b"], ["a", "b"], ["c", "d"], ["c", "d"], ["e", "c"]]
    found = next_items(sessions, [["a"], ["c"], ["unknown"], []], 2)
    assert found.co_occurrence[0][0] == "b"
    assert found.co_occurrence[1][0] == "d"
    assert found.co_occurrence[2] == found.popularity[2] == ["c", "a"]
    assert found.co_occurrence[3] == ["c", "a"]
    assert next_items([], [["a"]], 3).popularity == [[]]
