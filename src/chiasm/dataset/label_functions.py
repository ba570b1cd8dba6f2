"""Weak labelling functions: declared in the configuration, or written in Python. Each votes for a class of a row, or abstains.

No code comes from data. Patterns are RE2's (linear in the text, whatever the pattern), words are compared whole, and of a text only the
first LETTERS letters are looked at.
"""

# pyright: reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from chiasm.building import LabelFunctionConfig
from chiasm.dataset.features import embed
from chiasm.dataset.label_model import ABSTAIN
from chiasm.dataset.pipelines import run_pipeline
from chiasm.dataset.raw_features import LETTERS, words_of
from chiasm.dataset.step import Embedder, Sheet
from chiasm.errors import ConfigError
from chiasm.types import Record, Text

Function = Callable[[Record], str | None]
"""A labelling function in Python: the class it votes for, or None."""

Said = list[str | None]

_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Cast:
    """What the functions said. names: [m] · classes: [k] · votes: int64 [n, m], ABSTAIN where a function said nothing."""

    names: tuple[str, ...]
    classes: tuple[str, ...]
    votes: NDArray[np.int64]


def apply_functions(records: Iterable[Record], functions: Mapping[str, Function]) -> Cast:
    """The votes of Python functions on records, in their order."""
    said: list[Said] = [[] for _ in functions]
    for record in records:
        for column, function in zip(said, functions.values(), strict=True):
            column.append(function(record))
    return count_votes(dict(zip(functions, said, strict=True)))


def apply_declared(sheet: Sheet, functions: Mapping[str, LabelFunctionConfig], model: Embedder | None = None) -> Cast:
    """The votes of declared functions, row for row with the sheet's rows.

    Raises ConfigError for a measure that was not taken, a pattern that RE2 does not know, or `similar` without a trained model.
    """
    return count_votes({name: _vote(sheet, name, function, model) for name, function in functions.items()})


def count_votes(said: Mapping[str, Said]) -> Cast:
    """What was said as numbers of the classes in alphabetical order."""
    classes = sorted({value for column in said.values() for value in column if value is not None})
    number = {value: index for index, value in enumerate(classes)}
    columns = [[ABSTAIN if value is None else number[value] for value in column] for column in said.values()]
    votes = np.array(columns, np.int64).reshape(len(columns), -1).T
    return Cast(tuple(said), tuple(classes), np.ascontiguousarray(votes))


def _vote(sheet: Sheet, name: str, function: LabelFunctionConfig, model: Embedder | None) -> Said:
    if function.keywords is not None:
        return _keywords(sheet, function, function.keywords)
    if function.patterns is not None:
        return _patterns(sheet, name, function, function.patterns)
    if function.label is not None:
        wanted = function.label
        values = [
            next((label.value for label in record.labels if label.name == wanted), None)
            for _, record in sheet.records(columns=["labels"])
        ]
        return [_translate(value, function.values) for value in values]
    if function.field is not None:
        columns = ["image", "audio", "video"] if function.field in ("path", "by") else [function.field]
        read = _FIELDS[function.field]
        return [_translate(read(record), function.values) for _, record in sheet.records(columns=columns)]
    if function.measure is not None:
        return _measure(sheet, name, function, function.measure)
    if function.similar is not None:
        return _similar(sheet, name, function, function.similar, model)
    assert function.pipeline is not None
    said: Said = [None] * len(sheet.rows)
    for place, findings in run_pipeline(function.pipeline, sheet):
        said[place] = next((v for f in findings if (v := _translate(f.label, function.values)) is not None), None)
    return said


def _keywords(sheet: Sheet, function: LabelFunctionConfig, keywords: Mapping[str, tuple[str, ...]]) -> Said:
    known = {value: [words_of(word) for word in words] for value, words in keywords.items()}
    for value, phrases in known.items():
        if not all(phrases):
            raise ConfigError(f"keywords: {value}: a keyword holds no letter or digit")
    needles = {value: [_joined(phrase) for phrase in phrases] for value, phrases in known.items()}
    said: Said = []
    for _, record in sheet.records(columns=["texts"]):
        text = "".join(_joined(words_of(part)) for part in _texts(record, function))
        said.append(_most(Counter({v: sum(text.count(word) for word in found) for v, found in needles.items()})))
    return said


def _patterns(sheet: Sheet, name: str, function: LabelFunctionConfig, patterns: Mapping[str, str]) -> Said:
    said: Said = []
    texts: list[str] = []

    def flush() -> None:
        column = pa.array(texts, pa.string())
        count = pc.count_substring_regex  # pyright: ignore[reportAttributeAccessIssue]: made when it is imported
        try:
            counts = {v: count(column, f"(?i:{p})").to_pylist() for v, p in patterns.items()}
        except pa.ArrowInvalid as error:
            raise ConfigError(f"labelling function {name}: {error}") from None
        said.extend(_most(Counter({v: found[i] for v, found in counts.items()})) for i in range(len(texts)))
        texts.clear()

    for _, record in sheet.records(columns=["texts"]):
        texts.append("\n".join(_texts(record, function)))
        if len(texts) == _CHUNK:
            flush()
    flush()
    return said


def _measure(sheet: Sheet, name: str, function: LabelFunctionConfig, measure: str) -> Said:
    if measure not in sheet.measures.column_names:
        known = ", ".join(sheet.measures.column_names) or "none were taken"
        raise ConfigError(f"labelling function {name}: no measure {measure!r}; there are: {known}")
    column = sheet.measures.column(measure)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)):
        raise ConfigError(f"labelling function {name}: the measure {measure!r} is {column.type}, and no number")
    said: Said = []
    for value in column.to_pylist():
        if value is None or not math.isfinite(value):
            said.append(None)
            continue
        # Of several thresholds that hold, the strictest.
        above = max(((limit, v) for v, limit in function.above.items() if value > limit), default=None)
        below = min(((limit, v) for v, limit in function.below.items() if value < limit), default=None)
        both = above is not None and below is not None and above[1] != below[1]
        found = above or below
        said.append(None if both or found is None else found[1])
    return said


def _similar(
    sheet: Sheet, name: str, function: LabelFunctionConfig, texts: Mapping[str, tuple[str, ...]], model: Embedder | None
) -> Said:
    if model is None:
        raise ConfigError(f"labelling function {name}: similar needs a trained model (model=RUN)")
    if len(texts) < 2:
        raise ConfigError(f"labelling function {name}: similar needs two or more classes to choose from")
    vectors, present = embed(sheet, function.modality, model)
    values = list(texts)
    said: Said = [None] * len(present)
    if not present.any():
        return said
    cosines = vectors @ class_vectors(texts, model).T
    order = np.sort(cosines, axis=1)
    sure = present & (order[:, -1] - order[:, -2] >= function.margin)
    for place in np.flatnonzero(sure):
        said[int(place)] = values[int(cosines[place].argmax())]
    return said


def class_vectors(texts: Mapping[str, Sequence[str]], model: Embedder) -> NDArray[np.float32]:
    """Unit vectors [k, E]: of each class the mean of its texts' (prompt ensembling, Radford et al., arXiv 2103.00020, 3.1.4)."""
    means = [model.embed_items("text", [Text(text) for text in found]).mean(axis=0) for found in texts.values()]
    stacked = np.stack(means)
    return (stacked / np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _translate(value: str | None, values: Mapping[str, str] | None) -> str | None:
    if value is None or values is None:
        return value
    return next((said for pattern, said in values.items() if fnmatchcase(value, pattern)), None)


def _texts(record: Record, function: LabelFunctionConfig) -> list[str]:
    return [
        text.text[:LETTERS]
        for text in record.texts
        if (not function.kinds or text.kind in function.kinds)
        and (not function.languages or text.language in function.languages)
    ]


def _joined(words: Sequence[str]) -> str:
    """Whole words between spaces, and a space at both ends doubled, so that neighbours can both be counted."""
    return "".join(f" {word} " for word in words)


def _most(counts: Counter[str]) -> str | None:
    ranked = counts.most_common(2)
    if not ranked or not ranked[0][1] or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def _first_media(record: Record) -> Iterable[tuple[str | None, str | None]]:
    return ((m.path, m.by) for m in (*record.image, *record.audio, *record.video))


_FIELDS: dict[str, Callable[[Record], str | None]] = {
    "id": lambda record: record.id,
    "source": lambda record: record.source or None,
    "group": lambda record: record.group,
    "licence": lambda record: record.licence,
    "path": lambda record: next((path for path, _ in _first_media(record) if path), record.id),
    "by": lambda record: next((by for _, by in _first_media(record) if by), None),
}
