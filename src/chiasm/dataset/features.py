"""What rows are compared by: vectors of a trained model, stored columns, or features that need no model at all.

Letters: n rows of a sheet · d features.
"""

# pyright: reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chiasm.dataset.raw_features import clip_features, hash_texts, picture_features, sound_features
from chiasm.dataset.step import Embedder, Sheet
from chiasm.errors import ConfigError, DataError, MachineError, MediaError
from chiasm.modalities.audio import read_audio
from chiasm.modalities.image import read_image
from chiasm.modalities.media import read_bytes
from chiasm.modalities.video import read_video
from chiasm.sources import Progress
from chiasm.types import MODALITIES, Media, Record, Text

Floats = NDArray[np.float32]

SIDE = 32
"""Pictures and the frames of clips are looked at in this size."""

FRAMES = 4
SECONDS = 10.0
"""Of a sound or a clip, its beginning."""

CHUNK = 256
"""Items that are decoded or embedded together: what is in memory beside the result."""

SPILL = 2**28
"""Bytes of features above which they lie on disk."""

TEXT_WIDTH = 128
"""Dimensions that hashed words are brought to."""


@dataclass(frozen=True, slots=True)
class Part:
    """One block of a row's features. name: as it was asked for · kind: "model", "raw" or "column" · value: float32 [n, d], zero where
    absent · present: bool [n]."""

    name: str
    kind: str
    value: Floats
    present: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Features:
    """The parts of all rows, row for row with the sheet's."""

    parts: tuple[Part, ...]

    @property
    def present(self) -> NDArray[np.bool_]:
        """bool [n]: rows of which anything is known."""
        return np.logical_or.reduce([part.present for part in self.parts])

    def standardised(self) -> Floats:
        """[n, d]: every feature of mean 0 and deviation 1 over the rows that have it, for linear models; 0 where absent."""
        blocks: list[Floats] = []
        for part in self.parts:
            block = np.zeros_like(part.value)
            if part.present.any():
                known = part.value[part.present]
                deviation = known.std(axis=0)
                block[part.present] = (known - known.mean(axis=0)) / np.where(deviation > 1e-6, deviation, 1.0)
            blocks.append(block)
        return np.concatenate(blocks, axis=1)

    def unit(self) -> Floats:
        """[n, d]: rows of length 1 for cosines, every part that a row has weighing alike; zero rows where nothing is known.

        Raw features and columns are centred first; a model's vectors are compared as it was trained to.
        """
        blocks: list[Floats] = []
        for part in self.parts:
            block = part.value
            if part.kind != "model" and part.present.any():
                block = np.where(part.present[:, None], block - block[part.present].mean(axis=0), 0).astype(np.float32)
            blocks.append(_unit(block))
        return _unit(np.concatenate(blocks, axis=1))


def gather(
    sheet: Sheet,
    names: Sequence[str],
    model: Embedder | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    stage: str = "features",
    learns: NDArray[np.bool_] | None = None,
) -> Features:
    """The features that `names` ask for: a modality (the model's vectors where there is a model that has it, else raw ones),
    `raw:MODALITY`, or `column:NAME` of the sheet's measures. No names: every modality that a row has.

    learns: bool [n], the rows that features may be fitted on, all where None.
    Of several pictures, sounds or clips, and of several texts where a model embeds them, the first counts. Media that cannot be read are absent.
    Raises ConfigError for an unknown name and DataError where no row has any of it.
    """
    parts: list[Part] = []
    for name in names or _modalities(sheet):
        if name.startswith("column:"):
            parts.append(_column(sheet, name))
            continue
        modality = name.removeprefix("raw:")
        if modality not in MODALITIES:
            raise ConfigError(f"features: no {name!r}; there are {', '.join(MODALITIES)}, raw:MODALITY and column:NAME")
        if model is not None and name == modality and modality in model.modalities:
            parts.append(_embedded(sheet, name, model, progress, stage))
        elif modality == "text":
            parts.append(_text(sheet, name, seed, learns))
        else:
            parts.append(_raw(sheet, name, modality, progress, stage))
    if not parts or not any(part.present.any() for part in parts):
        raise DataError(f"features: no row has {', '.join(names) or 'a text, picture, sound or clip'}")
    return Features(tuple(part for part in parts if part.value.shape[1]))


def first_items(sheet: Sheet, modality: str) -> Iterator[tuple[int, Text | Media]]:
    """(place among the sheet's rows, first item) of every row that has the modality, in order."""
    column = "texts" if modality == "text" else modality
    places = {int(row): place for place, row in enumerate(sheet.rows)}
    for row, record in sheet.records(columns=[column]):
        items: tuple[Text | Media, ...] = getattr(record, column)
        if items:
            yield places[row], items[0]


def raw_vector(modality: str, media: Media, sheet: Sheet) -> Floats | None:
    """The raw features [d] of one picture, sound or clip; None where it cannot be read."""
    try:
        data = read_bytes(media, sheet.root)
        return _RAW[modality](data)
    except MediaError:
        return None


def joined_text(record: Record) -> str:
    """All texts of a record, one a line."""
    return "\n".join(text.text for text in record.texts)


def embed(
    sheet: Sheet, modality: str, model: Embedder, progress: Progress | None = None, stage: str = "features"
) -> tuple[Floats, NDArray[np.bool_]]:
    """The model's unit vectors [n, E] of the rows' first items, and which rows [n] have one."""
    n = len(sheet.rows)
    value: Floats | None = None
    present = np.zeros(n, np.bool_)
    for places, items in _chunks(first_items(sheet, modality)):
        vectors = model.embed_items(modality, items)  # type: ignore[arg-type]
        if value is None:
            value = scratch(n, vectors.shape[1])
        good = np.isfinite(vectors).all(axis=1)
        where = np.array(places)[good]
        value[where], present[where] = vectors[good], True
        if progress is not None:
            progress(stage, int(places[-1]) + 1, n)
    return (np.zeros((n, 0), np.float32) if value is None else value), present


def scratch(rows: int, width: int) -> Floats:
    """Zeros [rows, width]: in memory up to SPILL bytes, else in a file without a name that goes with the array.

    Raises MachineError where the disk has no room for it.
    """
    size = rows * width * 4
    if size <= SPILL:
        return np.zeros((rows, width), np.float32)
    with tempfile.TemporaryFile() as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk must be told now, not by a signal later
        except OSError as error:
            place = tempfile.gettempdir()
            raise MachineError(f"{place}: no room for {size:,} bytes of features: {error.strerror}") from None
        return np.memmap(file, np.float32, "r+", shape=(rows, width))


def _embedded(sheet: Sheet, name: str, model: Embedder, progress: Progress | None, stage: str) -> Part:
    value, present = embed(sheet, name, model, progress, stage)
    return Part(name, "model", value, present)


def _raw(sheet: Sheet, name: str, modality: str, progress: Progress | None, stage: str) -> Part:
    n = len(sheet.rows)
    value: Floats | None = None
    present = np.zeros(n, np.bool_)
    for place, item in first_items(sheet, modality):
        assert isinstance(item, Media)
        vector = raw_vector(modality, item, sheet)
        if vector is None:
            continue
        if value is None:
            value = scratch(n, len(vector))
        value[place], present[place] = vector, True
        if progress is not None and place % CHUNK == 0:
            progress(stage, place, n)
    return Part(name, "raw", np.zeros((n, 0), np.float32) if value is None else value, present)


def _text(sheet: Sheet, name: str, seed: int, learns: NDArray[np.bool_] | None) -> Part:
    """Hashed tf-idf of words, brought to TEXT_WIDTH dimensions by a truncated SVD (Halko et al., arXiv 0909.4061)."""
    from sklearn.decomposition import TruncatedSVD
    from threadpoolctl import threadpool_limits

    counts: Any = hash_texts((joined_text(record) for _, record in sheet.records(columns=["texts"])), learns)
    present = np.diff(counts.indptr) > 0
    used = np.flatnonzero(np.bincount(counts.indices, minlength=counts.shape[1]))
    counts = counts[:, used]
    fitted = present if learns is None else learns & present
    learned = counts[fitted] if learns is not None and fitted.sum() > 2 else counts
    width = min(TEXT_WIDTH, counts.shape[1] - 1, learned.shape[0] - 1)
    if width < 2:
        return Part(name, "raw", np.asarray(counts.todense(), np.float32), present)
    with threadpool_limits(1, "blas"), np.errstate(all="ignore"):  # the same sums whatever the machine's cores
        value = TruncatedSVD(width, n_iter=4, random_state=seed).fit(learned).transform(counts)
    return Part(name, "raw", np.asarray(value, np.float32), present)


def _column(sheet: Sheet, name: str) -> Part:
    key = name.removeprefix("column:")
    if key not in sheet.measures.column_names:
        raise ConfigError(f"features: no column {key!r}; there are {', '.join(sheet.measures.column_names) or 'none'}")
    column = sheet.measures.column(key).combine_chunks()
    if pa.types.is_fixed_size_list(column.type):
        value = np.stack([np.full(column.type.list_size, np.nan) if v is None else v for v in column.to_pylist()])
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type):
        value = np.array([np.nan if v is None else float(v) for v in column.to_pylist()])[:, None]
    else:
        raise ConfigError(f"features: column {key!r} holds {column.type}, which is no number or vector")
    value = value.reshape(len(sheet.rows), -1).astype(np.float32)
    present: NDArray[np.bool_] = np.asarray(np.isfinite(value).all(axis=1), np.bool_)
    return Part(name, "column", np.where(present[:, None], value, 0).astype(np.float32), present)


def _modalities(sheet: Sheet) -> list[str]:
    """The modalities that any row has; media are asked for one modality at a time, and only until one is found."""
    return [name for name in MODALITIES if next(first_items(sheet, name), None) is not None]


def _chunks(items: Iterator[tuple[int, Text | Media]]) -> Iterator[tuple[list[int], list[Text | Media]]]:
    places: list[int] = []
    chunk: list[Text | Media] = []
    for place, item in items:
        places.append(place)
        chunk.append(item)
        if len(chunk) == CHUNK:
            yield places, chunk
            places, chunk = [], []
    if chunk:
        yield places, chunk


def _unit(value: Floats) -> Floats:
    length = np.linalg.norm(value, axis=1, keepdims=True)
    return (value / np.maximum(length, 1e-12)).astype(np.float32)


_RAW: dict[str, Callable[[bytes], Floats]] = {
    "image": lambda data: picture_features(read_image(data, SIDE)),
    "audio": lambda data: sound_features(read_audio(data, SECONDS)),
    "video": lambda data: clip_features(read_video(data, SIDE, FRAMES, SECONDS)),
}
