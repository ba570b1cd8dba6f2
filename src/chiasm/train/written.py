"""From a batch of what is given to what was asked: decoding with a converter, and its codes as words, pictures, sounds, boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chiasm.config import DecodingConfig
from chiasm.errors import ConfigError
from chiasm.heads.writers import Writer
from chiasm.modalities.audio import MELS
from chiasm.modalities.text import EOS, Tokenizer
from chiasm.modalities.vocoder import synthesise
from chiasm.nn.choices import Trie, score_choices
from chiasm.nn.choose import Constraint, Cycle
from chiasm.nn.fill import fill
from chiasm.nn.generate import Generated, generate
from chiasm.objectives.dense_detection import read_cells
from chiasm.systems.converter import Converter, Reader
from chiasm.train.asked import SCORED
from chiasm.types import Batch, Converted, Items, ScoredBox


class Decoder:
    """Writes what the batches of a converter's tasks want."""

    def __init__(self, model: Converter, tokenizer: Tokenizer, dtype: torch.dtype) -> None:
        self.model, self.tokenizer, self.dtype = model, tokenizer, dtype
        self._tries: dict[tuple[tuple[str, ...], int], Trie] = {}

    @torch.inference_mode()
    def write(
        self,
        batch: Batch,
        options: DecodingConfig,
        *,
        choices: Sequence[str] | None = None,
        rows: Sequence[int] | None = None,
        stream: Callable[[Tensor], None] | None = None,
        rounds: int = 8,
    ) -> list[Converted]:
        """One result a record, or `options.candidates` of them next to each other. choices: the only answers to choose from.

        rows: the numbers of the rows' random streams. rounds: passes of parallel decoding."""
        task = self.model.tasks[batch.task]
        if task.wanted.of == "mask":
            labels = self.model.mask_logits(batch, self.dtype).argmax(-1).cpu().numpy()
            names = ("background", *self.model.facts.objects)
            return [Converted(mask=row, names=names) for row in labels]
        if task.writer == "cells":
            return self._cells(batch)
        if task.wanted.of in ("space", "item"):
            raise ConfigError(f"the task {batch.task!r} gives vectors, not something to write: use embed, or recommend")
        if choices and task.writer == "text" and len(choices) <= SCORED and options.candidates == 1:
            return self._chosen(batch, choices, options)
        writer = self.model.writer(task)
        if task.order == "parallel":
            codes, length = self._filled(batch, writer, options, rows, rounds)
            # Each code was likely beside those known when it was kept: not the probability of the whole.
            unknown = [None] * len(codes)
            return self._pictures(codes, unknown) if task.writer == "image" else self._sounds(codes, length, unknown)
        made = self._written(batch, writer, options, choices, rows, stream)
        if task.writer == "text":
            return self._texts(made, choices or (), self.model.steps(task))
        if task.writer == "boxes":
            return self._boxes(batch, made, options.candidates)
        scores = made.score.tolist()
        if task.writer == "image":
            return self._pictures(made.codes, scores)
        return self._sounds(made.codes, made.length, scores)

    def _filled(
        self, batch: Batch, writer: Writer, options: DecodingConfig, rows: Sequence[int] | None, rounds: int
    ) -> tuple[Tensor, Tensor]:
        """Codes filled in in parallel, int64 [R, L, G], and the steps before the end of each, int64 [R]."""
        codes = fill(
            lambda codes, known: self.model.filling(batch, self.dtype, codes, known),
            len(batch.ids),
            writer.length,
            writer.sizes,
            rounds,
            options,
            rows=rows,
            device=batch.identity.device,
        )
        length = torch.full((len(codes),), writer.length, device=codes.device)
        if writer.end is not None:
            ended = codes[..., 0] == writer.end
            length = torch.where(ended.any(1), ended.int().argmax(1), length)
        return codes, length

    def _written(
        self,
        batch: Batch,
        writer: Writer,
        options: DecodingConfig,
        choices: Sequence[str] | None,
        rows: Sequence[int] | None,
        stream: Callable[[Tensor], None] | None,
    ) -> Generated:
        first, cache = self.model.read_given(batch, self.dtype, options.guidance != 1)
        read = Reader(self.model, writer, cache.length - 1, self.dtype)
        constraint: Constraint | None = None
        task = self.model.tasks[batch.task]
        length = self.model.steps(task)
        if task.writer == "boxes":
            constraint = self._box_cycle(writer)
        elif choices:
            constraint = trie = self._trie(tuple(choices), writer, length)
            length = trie.depth
        return generate(
            first, read, cache, writer, length, writer.end, options, constraint=constraint, rows=rows, stream=stream
        )

    def _trie(self, choices: tuple[str, ...], writer: Writer, length: int) -> Trie:
        if (choices, length) not in self._tries:
            tokens = self._cut(choices, length)
            self._tries[choices, length] = Trie(tokens, writer.sizes[0], EOS)
        return self._tries[choices, length]

    def _cut(self, choices: Sequence[str], length: int) -> list[tuple[int, ...]]:
        """The tokens of each choice, cut as training cuts them. Raises ConfigError where two are then the same."""
        tokens = [ids[: length - 1] for ids in self.tokenizer.ids(list(choices))]
        if len(set(tokens)) < len(set(choices)) and any(len(ids) == length - 1 for ids in tokens):
            raise ConfigError(f"choices: two of them are the same in their first {length - 1} tokens; shorten them")
        return tokens

    def _box_cycle(self, writer: Writer) -> Cycle:
        """x0 (or the end), y0, x1, y1, class, and again."""
        bins, size = writer.sizes[0] - len(self.model.facts.objects) - 1, writer.sizes[0]
        code = torch.arange(size)
        place = code < bins
        return Cycle([place | (code == size - 1), place, place, place, (code >= bins) & (code < size - 1)])

    def _chosen(self, batch: Batch, choices: Sequence[str], options: DecodingConfig) -> list[Converted]:
        writer = self.model.writer(self.model.tasks[batch.task])
        first, cache = self.model.read_given(batch, self.dtype)
        read = Reader(self.model, writer, cache.length - 1, self.dtype)
        tokens = self._cut(choices, self.model.steps(self.model.tasks[batch.task]))
        scores = score_choices(first, read, cache, writer, tokens, EOS)
        share = scores.softmax(-1)
        best = scores.argmax(-1)
        return [
            Converted(
                text=choices[int(b)],
                score=float(s[b]),
                steps=len(tokens[b]) + 1,
                scores={c: round(float(p), 6) for c, p in zip(choices, row, strict=True)},
            )
            for b, s, row in zip(best.tolist(), scores, share, strict=True)
        ]

    def _texts(self, made: Generated, choices: Sequence[str], length: int) -> list[Converted]:
        rows = [row[:n, 0].tolist() for row, n in zip(made.codes, made.length.tolist(), strict=True)]
        # A choice is given back as it is spelled, not as its tokens are.
        spelled = dict(
            zip([ids[: length - 1] for ids in self.tokenizer.ids(choices)][::-1], choices[::-1], strict=True)
        )
        texts = [spelled.get(tuple(row), text) for row, text in zip(rows, self.tokenizer.decode(rows), strict=True)]
        most = made.codes.shape[1]  # a text of so many has no end
        return [
            Converted(text=text, score=score, steps=min(len(row) + 1, most))
            for text, score, row in zip(texts, made.score.tolist(), rows, strict=True)
        ]

    def _pictures(self, made: Tensor, scores: Sequence[float | None]) -> list[Converted]:
        pictures: NDArray[np.uint8] = self.model.quantizers["image"].decode(made).cpu().numpy()  # type: ignore[operator]
        return [Converted(image=p, score=s, steps=made.shape[1]) for p, s in zip(pictures, scores, strict=True)]

    def _sounds(self, made: Tensor, length: Tensor, scores: Sequence[float | None]) -> list[Converted]:
        quantizer = self.model.quantizers["audio"]
        frames = int(quantizer.frames_per_step)  # type: ignore[arg-type]
        found: list[Converted] = []
        for codes, steps, score in zip(made, length.tolist(), scores, strict=True):
            if steps == 0:
                mel = np.zeros((1, MELS), np.uint8)
            else:
                valid = torch.ones(1, steps * frames, dtype=torch.bool, device=codes.device)
                mel = quantizer.decode(codes[None, :steps], valid)[0].cpu().numpy()  # type: ignore[operator]
            found.append(
                Converted(audio=synthesise(mel).astype(np.float32), score=score, steps=min(steps + 1, made.shape[1]))
            )
        return found

    def _boxes(self, batch: Batch, made: Generated, candidates: int) -> list[Converted]:
        """A box's score: the mean probability of its five codes, geometric."""
        logs = self._step_logs(batch, made, candidates)
        objects = self.model.facts.objects
        bins = self.model.writer(self.model.tasks[batch.task]).sizes[0] - len(objects) - 1
        found: list[Converted] = []
        for codes, steps, log, score in zip(made.codes, made.length.tolist(), logs, made.score.tolist(), strict=True):
            row = codes[:, 0].tolist()
            boxes: list[ScoredBox] = []
            for start in range(0, steps - 4, 5):
                x0, y0, x1, y1 = (value / (bins - 1) for value in row[start : start + 4])
                if x1 > x0 and y1 > y0:
                    sure = float(log[start : start + 5].mean().exp())
                    boxes.append(ScoredBox(x0, y0, x1, y1, objects[row[start + 4] - bins], sure))
            found.append(Converted(boxes=tuple(sorted(boxes, key=lambda b: -b.score)), score=score))
        return found

    def _cells(self, batch: Batch) -> list[Converted]:
        """Boxes that cells have found."""
        objects = self.model.facts.objects
        return [
            Converted(boxes=tuple(ScoredBox(*box, objects[kind], score) for box, kind, score in found))
            for found in read_cells(*self.model.box_cells(batch, self.dtype), self.model.overlap)
        ]

    def _step_logs(self, batch: Batch, made: Generated, candidates: int) -> Tensor:
        """The log-probability of each step of what was written: float32 [R, L]."""
        assert candidates == 1
        R, L, _ = made.codes.shape
        valid = torch.arange(L, device=made.codes.device)[None] < made.length[:, None].clamp(min=1)
        wanted = Items(made.codes, valid, torch.arange(R, device=made.codes.device))
        logits = self.model.logits_of(batch, wanted, self.dtype)
        return logits.log_softmax(-1).gather(-1, made.codes[..., :1])[..., 0]


def text_stream(tokenizer: Tokenizer, show: Callable[[str], None]) -> Callable[[Tensor], None]:
    """A `stream` that shows a single text's new characters as they come."""
    tokens: list[int] = []
    shown = ""

    def step(codes: Tensor) -> None:
        nonlocal shown
        tokens.append(int(codes[0, 0]))
        text = tokenizer.decode([tokens])[0]
        # A character of several bytes is shown when it is whole.
        if text.startswith(shown) and not text.endswith("\ufffd"):
            show(text[len(shown) :])
            shown = text

    return step
