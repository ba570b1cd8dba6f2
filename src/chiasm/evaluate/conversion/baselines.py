"""What a conversion has to beat: linear models over counts, the most frequent answer, questions without their pictures, popularity.

Each is a pure function of the training part and what is asked; the same input gives the same answer. None needs a model or a device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.retrieval.raw import coarse_mel

CLASSES = 1_000
"""The most frequent labels are told apart, and rarer ones never given: the usual cut of answers in visual question answering."""
FEATURES = 50_000
COMPONENTS = 100
"""Principal components of a spectrogram."""
ITERATIONS = 2_000


def most_frequent(train_labels: Sequence[str], count: int) -> list[str]:
    """The most frequent label `count` times; of equally frequent ones the first in alphabetical order. Raises ValueError without labels."""
    if not train_labels:
        raise ValueError("no labels to count")
    counts = Counter(train_labels)
    return [min(counts, key=lambda label: (-counts[label], label))] * count


def text_classifier(train_texts: Sequence[str], train_labels: Sequence[str], test_texts: Sequence[str]) -> list[str]:
    """The label of each test text: tf-idf of words, pairs of words and letter n-grams (2 to 4), then logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion

    words: Any = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=FEATURES, token_pattern=r"\S+")
    letters: Any = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, max_features=FEATURES)
    return _fit_predict(
        FeatureUnion([("words", words), ("letters", letters)]), list(train_texts), train_labels, test_texts
    )


def blind_answers(
    train_questions: Sequence[str], train_answers: Sequence[str], test_questions: Sequence[str]
) -> list[str]:
    """The answer to each test question from its words alone, without the picture: what questions give away (arXiv 1612.00837).

    Words, pairs and triples of them → logistic regression. Equal questions are one example with its counts, so that a data set of
    templates is fitted in seconds.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    pairs = Counter(zip(train_questions, train_answers, strict=True))
    vectors: Any = TfidfVectorizer(ngram_range=(1, 3), token_pattern=r"\w+", max_features=FEATURES)
    asked, answers = [question for question, _ in pairs], [answer for _, answer in pairs]
    return _fit_predict(vectors, asked, answers, test_questions, list(pairs.values()))


def sound_classifier(
    train: Sequence[NDArray[np.uint8]], train_labels: Sequence[str], test: Sequence[NDArray[np.uint8]]
) -> list[str]:
    """The label of each test sound (log-mel [T, M] each, T its own): the mean of 24 stretches of time → PCA → logistic regression."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    x, y = _coarse(train), _coarse(test)
    width = min(COMPONENTS, *x.shape) if len(x) else 1
    # One scale for all components: each at its own would let the weak ones, which are mostly noise, count as much as the strong.
    scale = float(np.linalg.norm(x - x.mean(0), 2)) / max(1, len(x)) ** 0.5 if len(x) else 1.0
    pca: Any = make_pipeline(FunctionTransformer(lambda grid: grid / (scale or 1.0)), PCA(width, svd_solver="full"))
    return _fit_predict(pca, x, train_labels, y)


@dataclass(frozen=True, slots=True)
class NextItems:
    """The k likeliest next items of each history, best first, by each baseline."""

    popularity: list[list[str]]
    co_occurrence: list[list[str]]


def next_items(sessions: Sequence[Sequence[str]], histories: Sequence[Sequence[str]], k: int) -> NextItems:
    """What comes next in each history, learned from whole train `sessions`; items of the history are not given again.

    popularity: by the number of sessions that an item is in. co_occurrence: by the cosine between items (shared sessions over the root
    of the product of their sessions), summed over the history (item-based neighbours, Sarwar et al. 2001); ties by popularity. An item
    that no train session has is never given, by either.
    """
    from scipy.sparse import csr_matrix

    counts = Counter(item for session in sessions for item in set(session))
    names = sorted(counts, key=lambda item: (-counts[item], item))
    if not names:
        return NextItems([[] for _ in histories], [[] for _ in histories])
    index = {item: i for i, item in enumerate(names)}
    seen: Any = _incidence(csr_matrix, sessions, index)
    root = np.sqrt(np.array([counts[item] for item in names], dtype=np.float64))
    near: NDArray[np.float64] = (seen.T @ seen).toarray() / np.outer(root, root)
    np.fill_diagonal(near, 0)
    popular: list[list[str]] = []
    together: list[list[str]] = []
    for history in histories:
        held = [index[item] for item in dict.fromkeys(history) if item in index]
        free = np.setdiff1d(np.arange(len(names)), held)  # ascending: most popular first
        popular.append([names[i] for i in free[:k]])
        score = near[held].sum(0)
        order = free[np.argsort(-score[free], kind="stable")]
        together.append([names[i] for i in order[:k]])
    return NextItems(popular, together)


def _incidence(make: Any, sessions: Sequence[Sequence[str]], index: dict[str, int]) -> Any:
    """[sessions, items], 1 where the item is in the session."""
    pairs = [(row, index[item]) for row, session in enumerate(sessions) for item in set(session)]
    rows, columns = zip(*pairs, strict=True)
    return make((np.ones(len(pairs)), (rows, columns)), shape=(len(sessions), len(index)))


def _coarse(mels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    if not len(mels):
        return np.zeros((0, 1), np.float32)
    return np.stack([coarse_mel(mel).reshape(-1).astype(np.float32) for mel in mels])


def _fit_predict(
    features: Any, x: Any, labels: Sequence[str], y: Any, weights: Sequence[int] | None = None
) -> list[str]:
    """Logistic regression over `features`, fitted on (x, labels), asked y. One label alone needs no fit."""
    from sklearn.linear_model import LogisticRegression

    if not len(y):
        return []
    common = {label for label, _ in Counter(labels).most_common(CLASSES)}
    if len(common) < 2:
        return most_frequent(labels, len(y))
    kept = [row for row, label in enumerate(labels) if label in common]
    try:
        fitted = features.fit_transform([x[row] for row in kept] if isinstance(x, list) else np.asarray(x)[kept])
    except ValueError:  # not one word in any text
        return most_frequent(labels, len(y))
    model = LogisticRegression(C=10.0, max_iter=ITERATIONS)
    model.fit(fitted, [labels[row] for row in kept], None if weights is None else [weights[row] for row in kept])
    return [str(label) for label in model.predict(features.transform(y))]
