"""From tables and a configuration to what the conversion tasks draw from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from chiasm.batches.collate import Collator
from chiasm.batches.conversion import BARRED, CHOICE_DRAWS, ConversionFacts, Example, choose, is_meant
from chiasm.batches.draws import Draws
from chiasm.batches.sampler import Sampler, group_weights
from chiasm.batches.store import Store
from chiasm.config import RunConfig
from chiasm.dataset.table import Table, quoted
from chiasm.declare import TaskConfig
from chiasm.errors import DataError, MediaError
from chiasm.modalities.audio import log_mel, read_audio
from chiasm.modalities.image import picture_size, read_image
from chiasm.modalities.image import read_mask as read_index_mask
from chiasm.modalities.prepare import decoder
from chiasm.modalities.square import into_square, labels_into_square
from chiasm.modalities.text import Tokenizer
from chiasm.train.distributed import World
from chiasm.train.media import Progress, open_store
from chiasm.train.parts import share_out, tokens_of
from chiasm.types import Batch, Media, Record

MEDIA = ("image", "audio", "video")
MOST_CHOICES = 3129
"""Answers or labels of a task that are listed, the most frequent ones (the number that VQA systems use)."""
K = TypeVar("K")

VALIDATED = 128
"""Validation examples a task that a learning curve is measured on, at most."""
COSTED = 16
"""Examples that tell what a task costs."""
MOST_ITEMS = 100_000
"""Items whose histories are counted, the most frequent ones."""
MOST_LISTED = 64
"""Languages and makers that writers are told of, the most frequent ones."""


@dataclass
class Split:
    """The records of one split of a table without their media's bytes: parallel lists."""

    table: Table
    rows: NDArray[np.int64]
    records: list[Record]
    identity: NDArray[np.int64]
    masks: dict[int, NDArray[np.int64]] = field(default_factory=dict[int, NDArray[np.int64]])
    codes: dict[tuple[str, int, int], NDArray[np.int64]] = field(
        default_factory=dict[tuple[str, int, int], NDArray[np.int64]]
    )
    stores: dict[str, Store] = field(default_factory=dict[str, Store])

    def fetch(self, modality: str, record: int, index: int) -> NDArray[np.uint8] | None:
        return self.stores[modality].get([(int(self.rows[record]), index)])[0]

    def code(self, modality: str, record: int, index: int) -> NDArray[np.int64] | None:
        return self.codes.get((modality, record, index))


@dataclass(frozen=True)
class TaskData:
    """One task on one split: which records it can use, and how its batches are laid out."""

    task: TaskConfig
    split: Split
    usable: NDArray[np.int64]
    collator: Collator
    held_out: frozenset[str]

    @property
    def groups(self) -> list[str | None]:
        return [self.split.records[p].group for p in self.usable.tolist()]

    def batch(self, positions: Sequence[int] | NDArray[np.int64], draws: Draws | None) -> Batch:
        """The examples of these records. Without draws nothing is random: the first of everything, nothing augmented."""
        u = None if draws is None else draws.uniform("choice", CHOICE_DRAWS)
        examples: list[Example] = []
        rows = [int(position) for position in positions]
        for index, p in enumerate(rows):
            example = choose(self.split.records[p], self.task, None if u is None else u[index], self.held_out)
            assert example is not None  # it was usable, and what is usable does not depend on the draws
            examples.append(example)
        ids = [self.split.records[p].id for p in rows]
        return self.collator.batch(ids, self.split.identity[rows], rows, examples, draws)


class JointMaker:
    """Makes the batch of any part of any step: each part is of one task, drawn in proportion to the tasks' weights.

    Which process makes which part depends on what they cost; which parts a step has does not."""

    def __init__(self, data: Mapping[str, TaskData], config: RunConfig) -> None:
        self._data, self._config = list(data.values()), config
        seed, power = config.train.seed, config.data.group_power
        self._samplers = [
            Sampler(group_weights(d.groups, power if d.task.group_power is None else d.task.group_power), seed)
            for d in self._data
        ]
        mixing = config.conversion.mixing
        shares = np.array([d.task.weight or len(d.usable) ** mixing for d in self._data], np.float64)
        # Tasks of a given weight count against those without as if an average one had the weight 1.
        silent = np.array([d.task.weight is None for d in self._data])
        if silent.any():
            shares[silent] /= shares[silent].mean()
        self.shares: NDArray[np.float64] = shares / shares.sum()
        self._until = np.cumsum(self.shares)

    def make(self, step: int, part: int, parts: int) -> Batch:
        size, seed = self._config.train.batch // parts, self._config.train.seed
        turn = step * parts + self._order(step, parts)[part]
        index = self._task(turn)
        data = self._data[index]
        return data.batch(data.usable[self._samplers[index].rows(turn, size)], Draws(seed, turn, size, slice(None)))

    def _task(self, turn: int) -> int:
        u = Draws(self._config.train.seed, turn, 1, slice(None)).once("task")
        return min(int(np.searchsorted(self._until, u, side="right")), len(self._data) - 1)

    def _order(self, step: int, parts: int) -> Sequence[int]:
        processes = parts // self._config.train.accumulate
        if processes <= 1:
            return range(parts)
        return share_out([self._costs[self._task(step * parts + p)] for p in range(parts)], processes)

    @cached_property
    def _costs(self) -> list[float]:
        """Of an example of each task, by its first ones as they are laid out without chance."""
        shown = [d.batch(d.usable[:COSTED], None) for d in self._data]
        return [tokens_of(batch, self._config.model) / len(batch.ids) for batch in shown]


@dataclass(frozen=True)
class ConversionData:
    created: str
    tokenizer: Tokenizer
    modalities: tuple[str, ...]
    facts: ConversionFacts
    train: Mapping[str, TaskData]
    validation: Mapping[str, TaskData]


def prepare_conversion(
    config: RunConfig,
    run: Path,
    world: World,
    tokenizer: Tokenizer | None,
    quantizers: Mapping[str, nn.Module],
    progress: Progress | None,
    facts: ConversionFacts | None = None,
) -> ConversionData:
    """Read the tables of all tasks, train the tokenizer (unless a checkpoint brings it), decode media, encode what is wanted in codes.

    Raises DataError where a table lacks what a task needs."""
    names = {config.data.train_split: True, config.data.validation_split: False}
    held_out = frozenset(config.data.held_out_makers)
    splits: dict[tuple[str, str, str | None], Split] = {}
    usable: dict[tuple[str, str], NDArray[np.int64]] = {}
    for name, task in config.tasks.items():
        path = task.table or config.data.table
        for split in names:
            key = (path, split, task.where)
            if key not in splits:
                splits[key] = _read_split(path, split, task.where, config.data.languages)
            found = [p for p, r in enumerate(splits[key].records) if choose(r, task, None, held_out) is not None]
            usable[name, split] = np.array(found, np.int64)
        if not len(usable[name, config.data.train_split]):
            needs = " and ".join(str(f) for f in (*task.given, task.wanted))
            of = f"split {config.data.train_split!r}" + (f" where {task.where}" if task.where else "")
            raise DataError(f"{path}: no record of {of} has what the task {name!r} needs: {needs}")
    of = {
        (name, split): splits[task.table or config.data.table, split, task.where]
        for name, task in config.tasks.items()
        for split in names
    }
    train = config.data.train_split
    if tokenizer is None:
        texts = {id(s): s for (_, split), s in of.items() if split == train}
        tokenizer = Tokenizer.train(_texts(texts.values(), config.tasks), config.model.text.vocabulary)
    if facts is None:
        facts = _facts(config, tokenizer, {name: of[name, train] for name in config.tasks})
    _open_media(config, of, usable, held_out, run, world, progress)
    _encode_wanted(config, of, usable, held_out, quantizers, progress if world.leads else None)
    _read_masks(config, of, usable, facts)
    made: dict[str, dict[str, TaskData]] = {split: {} for split in names}
    for (name, split), where in of.items():
        if not len(usable[name, split]):
            continue
        task = config.tasks[name]
        collator = Collator(
            name, task, config, facts, tokenizer, where.fetch, where.code, lambda r, s=where: s.masks[r]
        )
        made[split][name] = TaskData(task, where, usable[name, split], collator, held_out)
    modalities = tuple(m for m in ("text", "image", "audio", "video") if m in _modalities(config.tasks.values()))
    created = " ".join(sorted({split.table.created for split in splits.values()}))
    return ConversionData(created, tokenizer, modalities, facts, made[train], made[config.data.validation_split])


def _modalities(tasks: Iterable[TaskConfig]) -> set[str]:
    """What is given, and what has the expert that something wanted is written with."""
    found: set[str] = {"text"}
    for task in tasks:
        found |= {*task.modalities}
        if task.wanted.of in ("image", "audio"):
            found.add(task.wanted.of)
    return found


def _read_split(path: str, split: str, where: str | None, languages: Mapping[str, float] | None) -> Split:
    """languages: of the texts and sounds that take part, None for all; those of no known language always do."""
    table = Table(path)
    rows = table.rows(f"split = {quoted(split)}" + (f" AND ({where})" if where else ""))
    columns = [name for name in table.column_names if name in Record.__dataclass_fields__]
    records: list[Record] = []
    for start in range(0, len(rows), 256):  # media bytes pass through here once; only their descriptions stay
        records += [_described(r, languages, table) for r in table.records(rows[start : start + 256], columns)]
    named: dict[str, int] = {}
    texts = [r.texts[0].text.casefold() if r.texts else f"\0{i}" for i, r in enumerate(records)]
    identity = np.array([named.setdefault(text, len(named)) for text in texts], np.int64)
    return Split(table, rows, records, identity)


def _described(record: Record, languages: Mapping[str, float] | None, table: Table) -> Record:
    """Without the media's bytes and paths, and with the mask's, which is small; texts of the wanted languages only,
    and boxes as fractions of the square that the picture is padded to.

    Sounds keep their places, by which their bytes are found: one in another language counts as barred."""
    bare = {m: tuple(replace(x, data=None, path=None) for x in getattr(record, m)) for m in MEDIA}
    if languages is not None:
        bare["audio"] = tuple(
            x if x.language is None or x.language in languages else replace(x, kind=BARRED) for x in bare["audio"]
        )
        if not all(t.kind == "item" for t in record.texts):  # item k is the k-th picture and the k-th text
            bare["texts"] = tuple(t for t in record.texts if t.language is None or t.language in languages)
    boxes = record.boxes
    if boxes and record.image:
        boxes = into_square(boxes, *shape_of(record, table.read))
    return replace(record, boxes=boxes, **bare)


def shape_of(record: Record, read: Callable[[Media], bytes]) -> tuple[int, int]:
    """Width and height of a record's first picture; of a square where it cannot be read (what decodes it says so)."""
    try:
        return picture_size(read(record.image[0]))
    except (MediaError, DataError):
        return 1, 1


def _texts(splits: Iterable[Split], tasks: Mapping[str, TaskConfig]) -> Iterable[str]:
    """All that a tokenizer should know: texts, questions and answers, and the labels that are asked for."""
    labels = {task.wanted.name for task in tasks.values() if task.wanted.of == "label"}
    for split in splits:
        for record in split.records:
            yield from (text.text for text in record.texts)
            for question in record.questions:
                yield question.question
                yield from question.answers[:1]
            yield from (label.value for label in record.labels if label.name in labels)


def _facts(config: RunConfig, tokenizer: Tokenizer, splits: Mapping[str, Split]) -> ConversionFacts:
    languages: Counter[str] = Counter()
    makers: Counter[str] = Counter()
    objects: Counter[str] = Counter()
    items: dict[str, Counter[str]] = {}
    choices: dict[str, Counter[str]] = {}
    held_out = config.data.held_out_makers
    for name, task in config.tasks.items():
        records = splits[name].records
        if task.wanted.of == "text":
            languages.update(t.language for r in records for t in r.texts if t.language)
        if task.wanted.of == "audio":
            languages.update(m.language for r in records for m in r.audio if m.language)
            makers.update(m.by for r in records for m in r.audio if m.by and m.by not in held_out)
        if task.wanted.of in ("boxes", "mask"):
            objects.update(b.label for r in records for b in r.boxes)
        if task.wanted.of == "item":
            counted = items.setdefault(task.part_of or name, Counter())
            for r in records:
                counted.update({t.text.casefold() for t in r.texts[: len(r.image)]})
        counts = choices.setdefault(task.part_of or name, Counter())
        if task.wanted.of == "label":
            counts.update(x.value for r in records for x in r.labels if x.name == task.wanted.name)
        if task.wanted.of == "answer":
            counts.update(q.answers[0] for r in records for q in r.questions if q.answers)
    listed = {name: tuple(value for value, _ in counts.most_common(MOST_CHOICES)) for name, counts in choices.items()}
    return ConversionFacts(
        tokenizer.size,
        tuple(value for value, _ in languages.most_common(MOST_LISTED)),
        tuple(value for value, _ in makers.most_common(MOST_LISTED)),
        tuple(sorted(objects)),
        {name: listed[of] for name, task in config.tasks.items() if listed[of := task.part_of or name]},
        {name: dict(counted.most_common(MOST_ITEMS)) for name, counted in items.items()},
    )


def _open_media(
    config: RunConfig,
    of: Mapping[tuple[str, str], Split],
    usable: Mapping[tuple[str, str], NDArray[np.int64]],
    held_out: frozenset[str],
    run: Path,
    world: World,
    progress: Progress | None,
) -> None:
    """One store a table and modality, of all that any task may draw from it."""
    wanted: dict[tuple[str, str], dict[int, set[int]]] = {}
    tables: dict[str, list[Split]] = {}
    for (name, split), where in of.items():
        task, path = config.tasks[name], str(where.table.path)
        tables.setdefault(path, []).append(where)
        for p in usable[name, split].tolist():
            record = where.records[p]
            for modality in task.modalities:
                if modality == "text":
                    continue
                kept = {i for i, m in enumerate(getattr(record, modality)) if m.by not in held_out and m.kind != BARRED}
                wanted.setdefault((path, modality), {}).setdefault(int(where.rows[p]), set()).update(kept)
    settings = config.model.model_dump(mode="json")
    for (path, modality), rows in wanted.items():
        keys = {row: sorted(indices) for row, indices in rows.items() if indices}
        if not keys:
            continue
        table = tables[path][0].table
        store = open_store(
            table,
            modality,
            decoder(modality, config.model),
            keys,
            settings,
            run / "cache",
            config.data.cache_mib,
            world,
            progress,
        )
        for split in tables[path]:
            split.stores[modality] = store


def _encode_wanted(
    config: RunConfig,
    of: Mapping[tuple[str, str], Split],
    usable: dict[tuple[str, str], NDArray[np.int64]],
    held_out: frozenset[str],
    quantizers: Mapping[str, nn.Module],
    progress: Progress | None,
) -> None:
    """What a quantiser makes of every picture and sound that a task may want. Records with one that cannot be read are usable no more."""
    for (name, split), where in of.items():
        task = config.tasks[name]
        modality = task.wanted.of
        if modality not in ("image", "audio"):
            continue
        wanted = [
            (p, i)
            for p in usable[name, split].tolist()
            for i, m in enumerate(getattr(where.records[p], modality))
            if m.by not in held_out and m.kind != BARRED and is_meant(m, task.wanted)
        ]
        keys = [(p, i) for p, i in wanted if (modality, p, i) not in where.codes]
        for start in range(0, len(keys), 128):
            part = keys[start : start + 128]
            records = where.table.records([int(where.rows[p]) for p, _ in part], ["id", modality])
            media = [getattr(r, modality)[i] for r, (_, i) in zip(records, part, strict=True)]
            read: list[tuple[tuple[int, int], bytes]] = []
            for key, medium in zip(part, media, strict=True):
                try:
                    read.append((key, where.table.read(medium)))
                except (MediaError, DataError):
                    continue
            for key, codes in encode_media(quantizers[modality], modality, read, config.conversion.audio_length):
                where.codes[modality, *key] = codes
            if progress:
                progress(f"encoding {modality}", min(start + 128, len(keys)), len(keys), {})
        unreadable = {p for p, i in wanted if (modality, p, i) not in where.codes}
        if unreadable and split == config.data.train_split and len(unreadable) == len(usable[name, split]):
            raise DataError(
                f"{where.table.path}: not one {modality} that the task {name!r} wants can be read; are the files still where they were?"
            )
        usable[name, split] = np.array([p for p in usable[name, split].tolist() if p not in unreadable], np.int64)


def encode_media(
    quantizer: nn.Module, modality: str, media: Sequence[tuple[K, bytes]], audio_length: int
) -> Iterable[tuple[K, NDArray[np.int64]]]:
    """Codes int64 [L, G] of each medium that can be read; a sound's end is its last step (code `sizes[0]` of the first group)."""
    arrays: list[tuple[K, NDArray[np.uint8]]] = []
    for key, data in media:
        try:
            if modality == "image":
                side = int(quantizer.side)  # type: ignore[arg-type]
                arrays.append((key, read_image(data, size=side)))
            else:
                frames = int(quantizer.frames_per_step)  # type: ignore[arg-type]
                mel = log_mel(read_audio(data, seconds=audio_length * frames / 100))
                arrays.append((key, mel[: audio_length * frames]))
        except MediaError:
            continue
    if not arrays:
        return
    encode: Callable[..., torch.Tensor] = quantizer.encode  # type: ignore[assignment]
    if modality == "image":
        codes = encode(torch.from_numpy(np.stack([a for _, a in arrays]))).numpy()
        yield from ((key, codes[i]) for i, (key, _) in enumerate(arrays))
        return
    frames = int(quantizer.frames_per_step)  # type: ignore[arg-type]
    end = int(quantizer.sizes[0])  # type: ignore[index, arg-type]
    steps = [max(-(-len(a) // frames), 1) for _, a in arrays]
    value = np.zeros((len(arrays), max(steps) * frames, arrays[0][1].shape[1]), np.uint8)
    valid = np.zeros(value.shape[:2], np.bool_)
    for i, (_, a) in enumerate(arrays):
        value[i, : len(a)] = a
        valid[i, : len(a)] = True
    codes = encode(torch.from_numpy(value), torch.from_numpy(valid)).numpy()
    for i, (key, _) in enumerate(arrays):
        last = np.zeros((1, codes.shape[2]), np.int64)
        last[0, 0] = end
        yield key, np.concatenate([codes[i, : steps[i]], last])


def _read_masks(
    config: RunConfig,
    of: Mapping[tuple[str, str], Split],
    usable: Mapping[tuple[str, str], NDArray[np.int64]],
    facts: ConversionFacts,
) -> None:
    """Masks as labels of cells: the class that the middle of each cell belongs to."""
    side = config.model.image.size // config.model.image.patch * config.conversion.cells
    for (name, split), where in of.items():
        if config.tasks[name].wanted.of != "mask":
            continue
        for p in usable[name, split].tolist():
            if p not in where.masks:
                labels = labels_into_square(read_mask(where.table, where.records[p], facts.objects))
                place = ((np.arange(side) + 0.5) / side * np.array(labels.shape)[:, None]).astype(np.int64)
                where.masks[p] = labels[place[0][:, None], place[1][None]]


def read_mask(table: Table, record: Record, objects: Sequence[str]) -> NDArray[np.int64]:
    """A record's mask at full size as labels: 0 background, 1 + the place of the class in `objects`. int64 [H, W]."""
    assert record.mask is not None
    values = read_index_mask(table.read(record.mask)).astype(np.int64)
    classes = [0, *(1 + objects.index(b.label) if b.label in objects else 0 for b in record.boxes)]
    return np.array(classes, np.int64)[np.minimum(values, len(record.boxes))]
