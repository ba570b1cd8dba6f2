"""A trained model that converts: anything that its tasks allow into anything that they want."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from chiasm.batches.collate import Collator
from chiasm.batches.conversion import Example, choose, turn_of
from chiasm.config import DecodingConfig, RunConfig, load_kept, validate
from chiasm.declare import TaskConfig
from chiasm.errors import ConfigError, MediaError, ModelError
from chiasm.modalities.media import read_bytes
from chiasm.modalities.prepare import decoder
from chiasm.modalities.square import labels_out_of_square, out_of_square
from chiasm.modalities.text import Tokenizer, clean_text
from chiasm.systems.converter import Converter, make_converter
from chiasm.train import checkpoint
from chiasm.train.abilities import are_one, find_tasks, parts_of, record_for, target_of
from chiasm.train.asked import check_asked, check_decoding
from chiasm.train.conversion_data import MOST_ITEMS, shape_of
from chiasm.train.joint import facts_of, make_quantizer, read_shape, tune
from chiasm.train.machine import choose_device
from chiasm.train.model import EmbeddingModel, Medium
from chiasm.train.step import to_device
from chiasm.train.written import Decoder, text_stream
from chiasm.types import Batch, Converted, Media, Record, Text

BATCH = 32
"""Records that are converted at once."""

Read = Callable[[Media], bytes]
Decoded = dict[tuple[str, int, int], NDArray[np.uint8]]
"""Media as arrays, by modality, place of the record and index in it."""


class ConvertingModel(EmbeddingModel):
    """A run of the chiasm model with conversion tasks: embeds as every run does, and converts."""

    def __init__(
        self,
        config: RunConfig,
        converter: Converter,
        tokenizer: Tokenizer,
        device: torch.device,
        path: Path,
        remember: bool = False,
    ) -> None:
        super().__init__(config, converter.space, tokenizer, device, path, remember)
        self.converter = converter.eval()
        self._decoder = Decoder(converter, tokenizer, self.dtype)

    @property
    def tasks(self) -> Mapping[str, TaskConfig]:
        """What it can do, by name."""
        return self.config.tasks

    def choices(self, task: str) -> tuple[str, ...]:
        """What a task that answers or labels has learned to choose from, most frequent first."""
        return self.converter.facts.choices.get(task, ())

    def convert(
        self,
        *,
        text: str | None = None,
        image: Medium | None = None,
        audio: Medium | None = None,
        video: Medium | None = None,
        record: Record | None = None,
        to: str = "text",
        task: str | None = None,
        language: str | None = None,
        by: str | None = None,
        choices: Sequence[str] | None = None,
        decoding: DecodingConfig | Mapping[str, Any] | None = None,
        show: Callable[[str], None] | None = None,
    ) -> Converted:
        """Convert what is given into `to`: text, image, audio, answer, label, boxes, mask, or `of[:name][.language]` (label:intent).

        text: a text, or the question where a task wants one. record: for what is more than one of each: turns of a dialogue.
        task: which of the model's tasks; needed only where several that fit want different things. Of tasks that want the same, learned
        from several tables, the surest result is kept, and it says whose it is. language, by: of the text or voice that is wanted.
        choices: the only answers to choose from. show: called with the pieces of a text as they are written.
        Raises ConfigError, with what the model can do, for what it cannot; MediaError for what cannot be read.
        """
        given = {"text": text, "image": image, "audio": audio, "video": video}
        names = {name for name, value in given.items() if value is not None}
        if record is not None and names:
            raise ConfigError(f"give either a record or its parts, not a record and {' and '.join(sorted(names))}")
        language = target_of(to, language).language
        found = self.tasks_for(names if record is None else parts_of(record), to, task, language, record)
        if record is None:
            record = record_for(self.tasks[found[0]], text=text, image=image, audio=audio, video=video)
        shown = ""

        def tell(piece: str) -> None:
            nonlocal shown
            shown += piece
            if show is not None:
                show(piece)

        decoding = decoding_of(decoding)
        words = show is not None and self.tasks[found[0]].writer == "text"
        stream = text_stream(self.tokenizer, tell) if words and is_live(found, decoding) else None
        made = self.run(found, [record], decoding=decoding, language=language, by=by, choices=choices, stream=stream)[0]
        if words and made.text is not None and made.text.startswith(shown) and made.text != shown:
            tell(made.text[len(shown) :])  # chosen from a list, or the bytes of half a character at the end
        return made

    def tasks_for(
        self,
        given: set[str] | None,
        to: str,
        task: str | None = None,
        language: str | None = None,
        record: Record | None = None,
    ) -> tuple[str, ...]:
        """See train/abilities.py's `find_tasks`."""
        return find_tasks(self.tasks, given, to, task=task, language=language, record=record)

    def run(
        self,
        task: str | Sequence[str],
        records: Sequence[Record],
        *,
        decoding: DecodingConfig | Mapping[str, Any] | None = None,
        language: str | None = None,
        by: str | None = None,
        choices: Sequence[str] | None = None,
        free: bool = False,
        rows: Sequence[int] | None = None,
        read: Read = read_bytes,
        stream: Callable[[Tensor], None] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[Converted]:
        """Convert what a task is given of each record: one result a record, of several tasks that want the same the surest (highest `score` a step).

        decoding.candidates > 1: that many are written and the one that fits best what was given, by the model's own embeddings, is kept.
        free: an answer or a label may be any text, not only one of those that training saw.
        language: of what is wanted, for all; None: as the task says, or untold. read: a medium's bytes.
        rows: the numbers of the records' random streams, 0, 1 … where None: a sampled result depends on its number and the seed alone.
        Raises ConfigError where a record lacks what the task needs, MediaError for what cannot be read.
        """
        names = (task,) if isinstance(task, str) else tuple(task)
        options = decoding_of(decoding)
        if choices is not None:
            choices = [choices] if isinstance(choices, str) else list(dict.fromkeys(choices))
            if not choices:
                raise ConfigError("choices: none is given to choose from")
        stream = stream if len(names) == 1 else None
        allowed = {name: self._allowed(name, options, language, by, choices, free) for name in names}
        if not are_one([self.tasks[name] for name in names]):
            raise ConfigError(f"tasks {', '.join(names)}: what they make cannot be compared; take one of them")
        found: list[Converted] = []
        for start in range(0, len(records), BATCH):
            part = records[start : start + BATCH]
            numbers = range(start, start + len(part)) if rows is None else rows[start : start + BATCH]
            decoded: Decoded = {}
            made: list[list[Converted]] = []
            for name in names:
                wanted = self.tasks[name].wanted
                # Answers are in their question's language: nobody tells it in training.
                told = None if wanted.of == "answer" else language or wanted.language
                batch = self._batch(name, part, read, told, by, decoded)
                guided = self._guided(name, options)
                written = self._decoder.write(batch, guided, choices=allowed[name], rows=numbers, stream=stream)
                if options.candidates > 1 and len(written) > len(part):
                    written = self._best(batch, written, options.candidates)
                if wanted.of in ("boxes", "mask"):
                    written = [_in_picture(one, *shape_of(r, read)) for one, r in zip(written, part, strict=True)]
                made.append([replace(one, task=name) for one in written])
            found += [max(of_one, key=sureness) for of_one in zip(*made, strict=True)]
            if progress:
                progress(len(part))
        return found

    def _allowed(
        self,
        name: str,
        options: DecodingConfig,
        language: str | None,
        by: str | None,
        choices: Sequence[str] | None,
        free: bool,
    ) -> Sequence[str] | None:
        """What a task may choose from, where it chooses. Raises ConfigError for what would be passed over in silence."""
        if name not in self.tasks:
            find_tasks(self.tasks, None, "", task=name)  # raises, with what there is
        task = self.tasks[name]
        check_asked(name, task, self.converter.facts, language, by, choices is not None)
        if choices is None and not free and task.wanted.of in ("label", "answer"):
            choices = self.choices(name)
        check_decoding(name, task, options, choices, self.config)
        return choices

    def readable(self, task: str, record: Record, read: Read = read_bytes) -> MediaError | None:
        """Why a medium that the task reads of this record cannot be read; None where all can."""
        example = choose(record, self.tasks[task], None, wanted=False)
        try:
            if example is not None:
                self._decode([record], [example], read)
        except MediaError as error:
            return error
        return None

    @torch.inference_mode()
    def recommend(
        self,
        task: str,
        records: Sequence[Record],
        catalogue: Sequence[Record],
        k: int = 10,
        read: Read = read_bytes,
        popularity: float = 1.0,
        again: bool = False,
    ) -> list[Converted]:
        """The ids of the k likeliest next items of each history. catalogue: a record an item, with its picture and its text.

        popularity: how much it counts in how many histories of the training an item is. Told apart from a batch's other items, what follows
        is learned with popularity divided out, by and large: 1 puts it back, 0 leaves what is particular to a history. An item that no
        history had counts as an average one. again: items of the history, known by their texts, may follow once more."""
        if self.tasks[task].wanted.of != "item":
            raise ConfigError(f"the task {task!r} wants {self.tasks[task].wanted}, not an item")
        for record in catalogue:
            if not (record.image and record.texts):
                raise ConfigError(f"{record.id}: an item of a catalogue needs a picture and a text")
        pictures = self.embed_items("image", [r.image[0] for r in catalogue])
        words = self.embed_items("text", [r.texts[0] for r in catalogue])
        items = F.normalize(torch.from_numpy(pictures) + torch.from_numpy(words), dim=-1)
        scale = self.converter.space.output({}).scale.cpu()
        names = [r.texts[0].text.casefold() for r in catalogue]
        often = Counter(names)
        counts = self.converter.facts.items.get(self.tasks[task].part_of or task, {})
        prior = popularity * torch.from_numpy(_log_counts(names, counts))
        found: list[Converted] = []
        for start in range(0, len(records), BATCH):
            part = records[start : start + BATCH]
            batch = self._batch(task, part, read, None, None)
            scores = scale * self.converter.item_query(batch, self.dtype).cpu() @ items.T + prior
            for record, row in zip(part, scores, strict=True):
                held = set() if again else {text.text.casefold() for text in record.texts}
                nearest = row.topk(min(k + sum(often[name] for name in held), len(names))).indices.tolist()
                kept = itertools.islice((i for i in nearest if names[i] not in held), k)
                found.append(Converted(items=tuple(catalogue[i].id for i in kept)))
        return found

    def _guided(self, task: str, options: DecodingConfig) -> DecodingConfig:
        """With the guidance that the task declares, where none is asked for."""
        declared = self.tasks[task].guidance
        if declared == 1 or "guidance" in options.model_fields_set or options.kind == "beam":
            return options
        return options.model_copy(update={"guidance": declared})

    def _batch(
        self,
        task: str,
        records: Sequence[Record],
        read: Read,
        language: str | None,
        by: str | None,
        decoded: Decoded | None = None,
    ) -> Batch:
        """decoded: media of these records that another task has read; what this one reads is added."""
        declared = self.tasks[task]
        examples: list[Example] = []
        for record in records:
            example = choose(record, declared, None, wanted=False)
            if example is None:
                raise ConfigError(f"{record.id}: the task {task!r} needs {' and '.join(map(str, declared.given))}")
            examples.append(replace(example, language=language, maker=by))
        arrays = self._decode(records, examples, read, decoded)
        collator = Collator(
            task, declared, self.config, self.converter.facts, self.tokenizer,
            lambda m, r, i: arrays[m, r, i], lambda *_: None, lambda _: np.zeros((0, 0), np.int64),
        )  # fmt: skip
        identity = np.arange(len(records))
        batch = collator.batch([r.id for r in records], identity, range(len(records)), examples, None, wanted=False)
        return to_device(batch, self.device)

    def _decode(
        self, records: Sequence[Record], examples: Sequence[Example], read: Read, decoded: Decoded | None = None
    ) -> Decoded:
        arrays = {} if decoded is None else decoded
        with threadpool_limits(1, "blas"):
            for position, (record, example) in enumerate(zip(records, examples, strict=True)):
                for modality, items in example.media.items():
                    decode = decoder(modality, self.config.model)[0]
                    for index, _ in items:
                        if (modality, position, index) in arrays:
                            continue
                        medium: Media = getattr(record, modality)[index]
                        try:
                            arrays[modality, position, index] = decode(read(medium))
                        except MediaError as error:
                            raise _located(error, record, medium) from None
        return arrays

    def _best(self, batch: Batch, made: Sequence[Converted], candidates: int) -> list[Converted]:
        """Of each record's candidates the one nearest to what was given, in the model's own space."""
        kind = "text" if made[0].text is not None else "image" if made[0].image is not None else None
        given = [
            m
            for m in ("image", "audio", "video", "text")
            if m != kind and m in batch.items and batch.items[m].owner.tolist() == list(range(len(batch.ids)))
        ]
        if kind is None or not given:
            raise ConfigError(
                "candidates are compared with what was given by their embeddings: for words and pictures made of something else"
            )
        with torch.inference_mode():
            asked = self.model.embed(given[0], batch.items[given[0]], self.dtype).float().cpu()
        if kind == "text":
            vectors = self.embed_items("text", [Text(_words(one.text)) for one in made])
        else:
            vectors = self._embed_pictures([one.image for one in made if one.image is not None])
        near = (torch.from_numpy(vectors).view(len(asked), candidates, -1) * asked[:, None]).sum(-1)
        best = near.argmax(1).tolist()
        return [made[row * candidates + choice] for row, choice in enumerate(best)]

    @torch.inference_mode()
    def _embed_pictures(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        from chiasm.train.model import image_items

        size = self.config.model.image.size
        fitted = pictures if pictures[0].shape[0] == size else [_resized(p, size) for p in pictures]
        items = image_items(fitted)
        moved = replace(items, value=items.value.to(self.device), valid=items.valid.to(self.device))
        return self.model.embed("image", moved, self.dtype).float().cpu().numpy()


def decoding_of(asked: DecodingConfig | Mapping[str, Any] | None) -> DecodingConfig:
    """Raises ConfigError for settings that there are not."""
    return asked if isinstance(asked, DecodingConfig) else validate(DecodingConfig, asked or {}, "decoding")


def is_live(tasks: Sequence[str], decoding: DecodingConfig) -> bool:
    """Whether what is written is known to stay while it is written: beams, candidates and several tasks are chosen from at the end."""
    return len(tasks) == 1 and decoding.kind != "beam" and decoding.candidates == 1


def _located(error: MediaError, record: Record, medium: Media) -> MediaError:
    """With the record, where the file is not named already; and of a dialogue the turn."""
    said, turn = str(error), turn_of(medium)
    if turn is not None:
        said = f"{record.id}: turns.{turn}: {said}"
    elif medium.path is None or medium.path not in said:
        said = f"{record.id}: {said}"
    return MediaError(error.reason, said)


def sureness(made: Converted) -> float:
    """By which results of several tasks are compared: the log-probability a step, as every step more makes a result less likely (length
    normalisation: Wu et al., arXiv 1609.08144, 7)."""
    return -math.inf if made.score is None else made.score / made.steps


def _words(text: str | None) -> str:
    """A text that can be embedded: what is written may be empty, or of control characters only."""
    try:
        return clean_text(text or "-")
    except MediaError:
        return "-"


def _in_picture(made: Converted, width: int, height: int) -> Converted:
    """Places as fractions of the picture itself, and not of the square that the model saw."""
    if made.boxes is not None:
        return replace(made, boxes=out_of_square(made.boxes, width, height))
    assert made.mask is not None
    return replace(made, mask=labels_out_of_square(made.mask, width, height))


def _resized(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC))


def _log_counts(names: Sequence[str], counts: Mapping[str, int]) -> NDArray[np.float32]:
    """The log of each item's count; of one that is not counted the mean log of those that are, or the least where the rarest were not
    kept: float32 [n]."""
    logs = {name: math.log(count) for name, count in counts.items()}
    other = min(logs.values()) if len(logs) >= MOST_ITEMS else sum(logs.values()) / max(len(logs), 1)
    return np.array([logs.get(name, other) for name in names], np.float32)


def load_converting(path: Path, device: str = "auto", remember: bool = False) -> ConvertingModel:
    """The converting model of a checkpoint folder. Raises ModelError where its parts do not fit, CheckpointError where it is damaged."""
    found = checkpoint.load(path)
    config = load_kept(path / "config.yaml")
    assert isinstance(config, RunConfig)
    tokenizer = Tokenizer.load(path / "tokenizer.json")
    shape = read_shape(path)
    quantizers = {m: make_quantizer(m, size) for m, size in shape["quantizers"].items()}
    model = make_converter(config, tuple(shape["modalities"]), facts_of(shape), quantizers)
    tune(model, config)
    try:
        model.load_state_dict(dict(found.model))
    except RuntimeError as error:
        raise ModelError(f"{path}: weights and configuration do not fit: {str(error).splitlines()[0]}") from None
    chosen = choose_device(device)
    return ConvertingModel(config, model.to(chosen), tokenizer, chosen, path, remember)
