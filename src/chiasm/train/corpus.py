"""From a table to the corpora of a named system: texts, labels, boxes, questions in memory, pictures decoded, regions described."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chiasm.batches.sound_views import Sound
from chiasm.batches.store import Store
from chiasm.batches.task import Corpus, Facts, Task
from chiasm.config import AudioConfig, ModelConfig, SystemRunConfig
from chiasm.dataset.table import Table
from chiasm.errors import ConfigError, DataError, MediaError
from chiasm.modalities.image import picture_size, read_image
from chiasm.modalities.prepare import decoder as decoder_of
from chiasm.modalities.regions import RegionProvider
from chiasm.modalities.square import into_square
from chiasm.modalities.text import Tokenizer
from chiasm.train.distributed import World
from chiasm.train.media import Progress, open_store
from chiasm.types import Media, Record

COLUMNS = ("id", "texts", "labels", "boxes", "questions", "relations")
MOST_CLASSES = 1000
EXAMPLES_A_CLASS = 20
"""Records that a class must have on average for a label to be chosen unasked."""
MOST_ANSWERS = 3129
"""Answers that are classes of their own, the most frequent ones (the number that VQA systems use, e.g. UNITER's)."""
MOST_OBJECTS = 1600
"""Classes of regions, the most frequent ones (Visual Genome's 1,600, arXiv 1707.07998)."""
CLUSTERS = 64
"""Classes of grid cells."""
FITTED_PICTURES = 1024
"""Pictures that the provider of regions is fitted on, at most."""


@dataclass(frozen=True)
class Given:
    """What a checkpoint brings, so that another table is read as the training table was."""

    facts: Facts
    regions: RegionProvider | None


@dataclass(frozen=True)
class Corpora:
    """What a named system learns from, and is validated on where the table has a validation split."""

    created: str
    train: Corpus
    validation: Corpus | None


def prepare_corpora(
    config: SystemRunConfig,
    tasks: Sequence[Task],
    run: Path,
    world: World,
    tokenizer: Tokenizer | None,
    progress: Progress | None,
    regions: tuple[int, int] | None = None,
    given: Given | None = None,
) -> Corpora:
    """Read the splits, train the tokenizer (unless a checkpoint brings it), decode the pictures and sounds that `tasks` ask for.

    regions: (numbers that describe a region, side of its crop in pixels) where a task asks for regions. given: of a trained system.
    Raises DataError where the table lacks what the tasks need, ConfigError for a label that it does not have.
    """
    table, data = Table(config.data.table), config.data
    splits = table.splits()
    if data.train_split not in splits:
        raise DataError(f"{table.path}: has no split {data.train_split!r}; it has {', '.join(splits) or 'no rows'}")
    names = [data.train_split, *([data.validation_split] if data.validation_split in splits else [])]
    rows = [table.rows(f"split = '{name.replace(chr(39), chr(39) * 2)}'") for name in names]
    records = [_records(table, part, data.languages) for part in rows]
    side = _side(tasks)
    pictures: Store | None = None
    pictured = [np.zeros(len(part), np.bool_) for part in rows]
    if side is not None:
        with_picture = _with_picture(table, rows, records)
        decoder = (lambda data: read_image(data, size=side)), (side, 3), side * side * 3
        pictures = open_store(
            table, "image", decoder, with_picture, {"side": side}, run / "cache", data.cache_mib, world, progress
        )
        pictured = [np.array([row in with_picture and _there(pictures, row) for row in part.tolist()]) for part in rows]
    sounds, sounding = _sounds(config, tasks, table, rows, run, world, progress)
    if tokenizer is None:
        tokenizer = Tokenizer.train(_texts(records[0]), data.vocabulary)
    provider = None if given is None else given.regions
    if regions is not None and provider is None:
        assert pictures is not None
        provider = _fit_regions(config, records[0], rows[0], pictured[0], pictures, *regions)
    label = _label(data.label, records[0], table)
    facts = _facts(records[0], tokenizer, label, provider, regions) if given is None else given.facts
    corpora = [
        Corpus(
            ids=[record.id for record in part],
            row=where.tolist(),
            records=part,
            pictured=seen.tolist(),
            pictures=pictures,
            tokenizer=tokenizer,
            facts=facts,
            label=label,
            regions=provider,
            identity=_identity(part),
            sounds=sounds,
            sounding=heard,
        )
        for part, where, seen, heard in zip(records, rows, pictured, sounding, strict=True)
    ]
    return Corpora(table.created, corpora[0], corpora[1] if len(corpora) > 1 else None)


def _side(tasks: Sequence[Task]) -> int | None:
    """The largest side that a view wants; views scale down what is larger than theirs."""
    return max((view.picture for task in tasks for view in task.views if view.picture is not None), default=None)


def _sounds(
    config: SystemRunConfig,
    tasks: Sequence[Task],
    table: Table,
    rows: Sequence[NDArray[np.int64]],
    run: Path,
    world: World,
    progress: Progress | None,
) -> tuple[Store | None, list[list[list[int]]]]:
    """The decoded sounds where a view asks for them, and of each record of each split the indices of those that can be read."""
    asked = [view for task in tasks for view in task.views if isinstance(view, Sound)]
    if not asked:
        return None, [[[] for _ in part] for part in rows]
    seconds, patch = max(view.seconds for view in asked), asked[0].patch
    wanted: dict[int, list[int]] = {}
    for part in rows:
        for start in range(0, len(part), 256):
            chunk = part[start : start + 256]
            for row, record in zip(chunk.tolist(), table.records(chunk, columns=["id", "audio"]), strict=True):
                if record.audio:
                    wanted[row] = list(range(len(record.audio)))
    if not wanted:
        return None, [[[] for _ in part] for part in rows]
    audio = AudioConfig(seconds=seconds, patch=patch)
    store = open_store(
        table,
        "audio",
        decoder_of("audio", ModelConfig(audio=audio)),
        wanted,
        {"seconds": seconds, "patch": patch},
        run / "cache",
        config.data.cache_mib,
        world,
        progress,
    )
    return store, [
        [[index for index in wanted.get(row, ()) if _there(store, row, index)] for row in part.tolist()]
        for part in rows
    ]


def _records(table: Table, rows: NDArray[np.int64], languages: Sequence[str] | None) -> list[Record]:
    """Everything but media, texts of the wanted languages only."""
    found = table.records(rows, columns=list(COLUMNS))
    if languages is None:
        return found
    kept = {None, *languages}
    return [replace(record, texts=tuple(t for t in record.texts if t.language in kept)) for record in found]


def _with_picture(
    table: Table, rows: Sequence[NDArray[np.int64]], records: Sequence[list[Record]]
) -> dict[int, list[int]]:
    """Rows that have a first picture. Boxes of pictures that are not square are moved, in `records`, to where `read_image` puts them: it
    centres a picture on a square."""
    found: dict[int, list[int]] = {}
    for part, described in zip(rows, records, strict=True):
        for start in range(0, len(part), 256):  # picture bytes pass through here once and are let go
            chunk = part[start : start + 256]
            for offset, record in enumerate(table.records(chunk, columns=["id", "image"])):
                if not record.image:
                    continue
                found[int(chunk[offset])] = [0]
                whole = described[start + offset]
                if whole.boxes:
                    described[start + offset] = _squared(whole, table, record.image[0])
    return found


def _squared(record: Record, table: Table, picture: Media) -> Record:
    try:
        width, height = picture_size(table.read(picture))
    except (MediaError, DataError):  # counted where it is decoded
        return record
    if width == height:
        return record
    return replace(record, boxes=into_square(record.boxes, width, height))


def _identity(records: Sequence[Record]) -> NDArray[np.int64]:
    """Records of the same first text are positives of each other: to call one a negative of the other would be wrong."""
    named: dict[str, int] = {}
    return np.array(
        [named.setdefault(r.texts[0].text.casefold(), i) if r.texts else i for i, r in enumerate(records)], np.int64
    )


def _there(store: Store, row: int, index: int = 0) -> bool:
    return store.get([(row, index)])[0] is not None


def _texts(records: Sequence[Record]) -> list[str]:
    """All that the tokenizer should know: texts, questions, answers, names of boxes."""
    found: list[str] = []
    for record in records:
        found += [text.text for text in record.texts]
        found += [part for q in record.questions for part in (q.question, *q.answers)]
        found += [box.label for box in record.boxes]
    return found


def _label(wanted: str | None, records: Sequence[Record], table: Table) -> str | None:
    """The label that records are classified by. Raises ConfigError for one that the table does not have."""
    values: dict[str, Counter[str]] = {}
    for record in records:
        for label in record.labels:
            values.setdefault(label.name, Counter())[label.value] += 1
    if wanted is not None:
        if wanted not in values:
            raise ConfigError(f"data.label={wanted}: {table.path} has {', '.join(values) or 'no labels'}")
        return wanted
    for name, counts in values.items():
        if 2 <= len(counts) <= MOST_CLASSES and counts.total() >= EXAMPLES_A_CLASS * len(counts):
            return name
    return None


def _facts(
    records: Sequence[Record],
    tokenizer: Tokenizer,
    label: str | None,
    provider: RegionProvider | None,
    regions: tuple[int, int] | None,
) -> Facts:
    classes = sorted({one.value for record in records for one in record.labels if one.name == label})
    answers = Counter(q.answers[0] for record in records for q in record.questions if q.answers)
    boxes = Counter(box.label for record in records for box in record.boxes)
    languages = dict.fromkeys(t.language for record in records for t in record.texts if t.language)
    return Facts(
        vocabulary=tokenizer.size,
        classes=tuple(classes),
        answers=tuple(name for name, _ in answers.most_common(MOST_ANSWERS)),
        objects=tuple(provider.names) if provider else tuple(sorted(dict(boxes.most_common(MOST_OBJECTS)))),
        region_width=regions[0] if regions else 0,
        languages=tuple(languages),
    )


def _fit_regions(
    config: SystemRunConfig,
    records: Sequence[Record],
    rows: NDArray[np.int64],
    pictured: NDArray[np.bool_],
    store: Store,
    width: int,
    crop: int,
) -> RegionProvider:
    """The provider fitted on pictures of the train split, spread evenly over it."""
    kind = config.data.regions
    if kind == "auto":
        kind = "boxes" if any(record.boxes for record in records) else "grid"
    usable = [p for p in range(len(rows)) if pictured[p] and (kind == "grid" or records[p].boxes)]
    if not usable:
        raise DataError(f"{config.data.table}: no record has a picture{' with boxes' if kind == 'boxes' else ''}")
    chosen = usable[:: max(len(usable) // FITTED_PICTURES, 1)]
    pictures = [p for p in store.get([(int(rows[p]), 0) for p in chosen]) if p is not None]
    if len(pictures) < len(chosen):
        raise DataError(f"{config.data.table}: pictures went unreadable since the build; build it again")
    boxes = [[(b.x0, b.y0, b.x1, b.y1) for b in records[p].boxes] for p in chosen]
    return RegionProvider.fit(
        np.stack(pictures),
        [np.array(part, np.float32).reshape(-1, 4) for part in boxes],
        [[b.label for b in records[p].boxes] for p in chosen],
        kind=kind,
        width=width,
        classes=MOST_OBJECTS if kind == "boxes" else CLUSTERS,
        crop=crop,
        grid=config.data.grid,
        seed=config.train.seed,
    )
