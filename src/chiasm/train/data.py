"""From a table and a configuration to what the loop draws from: choices, tokenizer, decoded media."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chiasm.batches.maker import Choices, Maker
from chiasm.batches.sampler import Sampler, group_weights
from chiasm.config import RunConfig
from chiasm.dataset.table import Table, quoted
from chiasm.errors import DataError
from chiasm.modalities.prepare import decoder
from chiasm.modalities.text import Tokenizer
from chiasm.train.distributed import World
from chiasm.train.media import Progress, open_store
from chiasm.types import Media, Record, Text


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from and, where there is one, the validation split that its curves are measured on."""

    created: str
    tokenizer: Tokenizer
    modalities: tuple[str, ...]
    train: Maker
    rows: int
    validation: Maker | None
    validation_rows: int


def prepare(
    config: RunConfig, run: Path, world: World, tokenizer: Tokenizer | None, progress: Progress | None
) -> TrainingData:
    """Read the table's choices, train the tokenizer (unless a checkpoint brings it), decode the media the run can draw.

    Every process calls it; each decodes its share. Raises DataError where the table has nothing to learn from.
    """
    table = Table(config.data.table)
    data, model = config.data, config.model
    splits = table.splits()
    if data.train_split not in splits:
        raise DataError(f"{table.path}: has no split {data.train_split!r}; it has {', '.join(splits) or 'no rows'}")
    train = _choices(table, config, data.train_split, 2, world.leads)
    modalities = tuple(m for m in data.modalities if any(train.texts if m == "text" else train.media[m]))
    if len(modalities) < 2:
        raise DataError(
            f"{table.path}: split {data.train_split!r} has {', '.join(modalities) or 'no modality'} of {', '.join(data.modalities)}; "
            "learning one space needs at least two modalities"
        )
    validation = _choices(table, config, data.validation_split, least=1) if data.validation_split in splits else None
    if tokenizer is None:
        # Every process trains the same tokenizer from the same texts: quicker than passing it around.
        tokenizer = Tokenizer.train((text for texts in train.texts for text in texts), model.text.vocabulary)
    media = [m for m in modalities if m != "text"]
    wanted = {
        m: {row: i for c in (train, validation) if c for row, i in zip(c.row, c.media[m], strict=True) if i}
        for m in media
    }
    settings = model.model_dump(mode="json")
    stores = {
        m: open_store(table, m, decoder(m, model), wanted[m], settings, run / "cache", data.cache_mib, world, progress)
        for m in media
    }

    def maker(choices: Choices, groups: Sequence[str | None]) -> Maker:
        sampler = Sampler(group_weights(groups, data.group_power), config.train.seed)
        return Maker(
            choices,
            stores,
            tokenizer,
            modalities,
            data,
            model,
            sampler,
            config.train.batch,
            config.train.seed,
        )

    groups = table.columns(["group"]).column("group").to_pylist()
    return TrainingData(
        table.created,
        tokenizer,
        modalities,
        maker(train, [groups[row] for row in train.row]),
        len(train),
        maker(validation, [None] * len(validation)) if validation else None,
        len(validation) if validation else 0,
    )


def _choices(table: Table, config: RunConfig, split: str, least: int, leads: bool = False) -> Choices:
    """The usable items of each record of a split that has at least `least` modalities of the run's."""
    rows = table.rows(f"split = {quoted(split)}")
    held_out = set(config.data.held_out_makers)
    wanted = [m for m in config.data.modalities if m != "text"]

    def weight(item: Text | Media) -> float:
        """How often the item is drawn; 0 for one that is not used."""
        if isinstance(item, Media) and item.by in held_out:
            return 0.0
        languages = config.data.languages
        return 1.0 if languages is None or item.language is None else languages.get(item.language, 0.0)

    numbers: dict[str, int] = {}

    def language(item: Text | Media) -> int:
        return -1 if item.language is None else numbers.setdefault(item.language, len(numbers))

    ids: list[str] = []
    kept: list[int] = []
    texts: list[list[str]] = []
    media: dict[str, list[list[int]]] = {m: [] for m in wanted}
    weights: dict[str, list[list[float]]] = {m: [] for m in ("text", *wanted)}
    languages: dict[str, list[list[int]]] = {m: [] for m in ("text", *wanted)}
    for start in range(0, len(rows), 256):  # media bytes pass through here once; only their descriptions stay
        chunk = rows[start : start + 256]
        records: list[Record] = table.records(chunk, columns=["id", "texts", *wanted])
        for row, record in zip(chunk.tolist(), records, strict=True):
            mine = [t for t in record.texts if weight(t)] if "text" in config.data.modalities else []
            indices = {m: [i for i, item in enumerate(getattr(record, m)) if weight(item)] for m in wanted}
            # Training learns from pairs: a record of one modality has none to give.
            if bool(mine) + sum(map(bool, indices.values())) < least:
                continue
            ids.append(record.id)
            kept.append(row)
            texts.append([t.text for t in mine])
            weights["text"].append(_led([weight(t) for t in mine], config.data.languages is None))
            languages["text"].append([language(t) for t in mine])
            for m in wanted:
                media[m].append(indices[m])
                weights[m].append([weight(getattr(record, m)[i]) for i in indices[m]])
                languages[m].append([language(getattr(record, m)[i]) for i in indices[m]])
    if len(kept) < len(rows) and least > 1 and leads:
        print(  # noqa: T201
            f"{len(rows) - len(kept):,} of {len(rows):,} records of {table.path}, split {split!r}, have one modality or none of "
            f"{', '.join(config.data.modalities)}: nothing to learn from in pairs, so they are not trained on",
            file=sys.stderr,
        )
    # Records of the same first text are positives of each other: to call one a negative of the other would be wrong.
    named: dict[str, int] = {}
    identity = np.array(
        [named.setdefault(t[0].casefold(), r) if t else r for t, r in zip(texts, kept, strict=True)], np.int64
    )
    return Choices(ids, kept, identity, texts, media, weights, languages)


FIRST_TEXT = 3.0
"""How often a record's first text is drawn against all its others together, where the configuration weighs no languages."""


def _led(weights: list[float], lead: bool) -> list[float]:
    """With many languages and no word on which matter, the first text leads: drawn alike, 78 of them would drown each other."""
    return [max(FIRST_TEXT * sum(weights[1:]), 1.0), *weights[1:]] if lead and len(weights) > 1 else weights
