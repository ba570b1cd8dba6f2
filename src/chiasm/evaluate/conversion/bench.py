"""What measuring a conversion task needs beside the cases: the model, the table, the train split that baselines learn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from chiasm.batches.conversion import choose
from chiasm.config import RunConfig
from chiasm.dataset.table import Table, quoted
from chiasm.declare import RecordField, TaskConfig
from chiasm.errors import DataError, MediaError
from chiasm.evaluate.conversion.baselines import blind_answers
from chiasm.evaluate.conversion.cases import Case, cases_of, columns_of, rows_of_task, spread
from chiasm.modalities.audio import log_mel, read_audio
from chiasm.types import Converted, Media, Record, Text

Progress = Callable[[str, int, int], None]
Mel = NDArray[np.uint8]

SOUNDS = 3000
"""Train sounds that a baseline or the judge learns from, at most."""
SECONDS = 10.0
LEFT_OUT = "left_out_makers"
"""No split of a table: records of the train split that a task which is given sounds left out, since all of theirs are by makers that are
held out. Voices never heard; what they say, and other tasks' part in these records, may have been learned."""
CHUNK = 64


class Converting(Protocol):
    """What the measuring needs of a model: train.converting.ConvertingModel, or anything that converts."""

    @property
    def config(self) -> RunConfig: ...
    @property
    def tasks(self) -> Mapping[str, TaskConfig]: ...
    def run(
        self,
        task: str,
        records: Sequence[Record],
        *,
        language: str | None = None,
        read: Callable[[Media], bytes] = ...,
    ) -> list[Converted]: ...
    def recommend(
        self,
        task: str,
        records: Sequence[Record],
        catalogue: Sequence[Record],
        k: int = 10,
        read: Callable[[Media], bytes] = ...,
    ) -> list[Converted]: ...
    def embed_items(
        self, modality: str, items: Sequence[Text | Media], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]: ...


@dataclass
class Bench:
    """One task of a model on one table. `kept` holds what is costly and serves several splits (the gallery, the judge)."""

    model: Converting
    name: str
    task: TaskConfig
    table: Table
    seed: int
    progress: Progress
    kept: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def held_out(self) -> frozenset[str]:
        return frozenset(self.model.config.data.held_out_makers)

    def given(self, of: str) -> RecordField | None:
        return next((f for f in self.task.given if f.of == of), None)

    def rows(self, split: str) -> NDArray[np.int64]:
        """Of a split, of "all", or of LEFT_OUT."""
        if split == LEFT_OUT:
            return self._rows_left_out()
        return rows_of_task(self.table, self.task, None if split == "all" else split)

    def _rows_left_out(self) -> NDArray[np.int64]:
        data, sound, table = self.model.config.data, self.given("audio"), self.table
        if sound is None or sound.optional or not self.held_out or "audio" not in table.column_names:
            return np.zeros(0, np.int64)
        # Records with a sound of theirs at any place; whether it is all that the task could be given, `choose` says.
        makers = ", ".join(map(quoted, sorted(self.held_out)))
        longest = int(table.lengths("audio").max(initial=0))
        theirs = " OR ".join(f"audio[{place}].by IN ({makers})" for place in range(1, longest + 1)) or "false"
        rows, found = rows_of_task(table, self.task, data.train_split, theirs), list[int]()
        columns = [name for name in columns_of(table) if name not in ("image", "video") or self.given(name) is not None]
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            for row, record in zip(part.tolist(), table.records(part, columns), strict=True):
                if (
                    choose(record, self.task, None, self.held_out) is None
                    and choose(record, self.task, None) is not None
                ):
                    found.append(row)
        return np.array(found, np.int64)

    def train_rows(self) -> NDArray[np.int64]:
        return rows_of_task(self.table, self.task, self.model.config.data.train_split)

    def run(self, cases: Sequence[Case], records: Sequence[Record] | None = None) -> list[Converted]:
        """Convert the records, or the cases' own; each told the language of its case."""
        records = [case.record for case in cases] if records is None else records
        facts = getattr(getattr(self.model, "converter", None), "facts", None)
        # A language that training never saw cannot be told.
        told = [c.language if facts is None or c.language in facts.languages else None for c in cases]
        found: dict[int, Converted] = {}
        for language in dict.fromkeys(told):
            rows = [i for i, one in enumerate(told) if one == language]
            made = self.model.run(self.name, [records[i] for i in rows], language=language, read=self.table.read)
            found.update(zip(rows, made, strict=True))
        return [found[i] for i in range(len(cases))]

    def mel(self, medium: Media) -> Mel:
        return log_mel(read_audio(self.table.read(medium), SECONDS))

    def quantizer(self, modality: str) -> nn.Module | None:
        quantizers = getattr(getattr(self.model, "converter", None), "quantizers", None)
        return quantizers[modality] if quantizers is not None and modality in quantizers else None

    def has_space(self) -> bool:
        return any(task.wanted.of == "space" for task in self.model.tasks.values())

    def train_questions(self) -> tuple[list[str], list[str]]:
        """Every question of the train split and its first answer."""
        records = self.table.records(self.train_rows(), ["id", "questions"])
        pairs = [(q.question, q.answers[0]) for r in records for q in r.questions if q.answers]
        return [question for question, _ in pairs], [answer for _, answer in pairs]

    def blind(self, questions: Sequence[str]) -> list[str]:
        """What the words alone answer to each question; fitted once for all questions of the table."""
        if "blind" not in self.kept:
            asked, answers = self.train_questions()
            every = {q.question for r in self.table.records(None, ["id", "questions"]) for q in r.questions}
            self.progress(f"{self.name}: blind baseline", 0, 0)
            order = sorted(every)
            self.kept["blind"] = dict(zip(order, blind_answers(asked, answers, order), strict=True))
        return [self.kept["blind"][question] for question in questions]

    def train_texts(self, of: RecordField) -> tuple[list[str], list[str]]:
        """Each train record's given text and label."""
        alone = self.task.model_copy(update={"given": (of,)})
        records = self.table.records(self.train_rows(), ["id", "texts", "labels"])
        cases = [case for record in records for case in cases_of(record, 0, 0, alone, self.held_out)]
        return [case.text for case in cases], [case.truth[0] for case in cases]

    def train_sounds(self, of: RecordField, wanted: str | None) -> tuple[list[Mel], list[str]]:
        """Sounds of train records by makers that training heard, with the label that the task wants or, where `wanted` names another
        field, what the task would write of them."""
        update: dict[str, Any] = {"given": (of,)}
        if wanted is not None:
            update["wanted"] = RecordField(of=wanted, language=of.language)
        alone = self.task.model_copy(update=update)
        rows = self.train_rows()
        rows = rows[spread(len(rows), SOUNDS)]
        # Of a record with several voices several are heard, where records are few.
        voices = max(1, min(4, SOUNDS // max(len(rows), 1)))
        mels: list[Mel] = []
        labels: list[str] = []
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            names = [n for n in ("id", "texts", "audio", "labels") if n in columns_of(self.table)]
            for place, record in enumerate(self.table.records(part, names)):
                heard: set[int | None] = set()
                for voice in range(voices):
                    for case in cases_of(record, 0, start + place + voice, alone, self.held_out):
                        if "unseen voices" in case.tags or case.part in heard:
                            continue
                        heard.add(case.part)
                        try:
                            mels.append(self.mel(case.record.audio[0]))
                        except (MediaError, DataError):
                            continue
                        labels.append(case.truth[0])
            self.progress(f"{self.name}: train sounds", min(start + CHUNK, len(rows)), len(rows))
        return mels, labels


def mel_through(quantizer: nn.Module, mel: Mel) -> Mel:
    """A spectrogram after the quantiser's codes: uint8 [T, 80], T as it was."""
    frames = int(quantizer.frames_per_step)  # type: ignore[arg-type]
    steps = max(-(-len(mel) // frames), 1)
    value = np.zeros((1, steps * frames, mel.shape[1]), np.uint8)
    value[0, : len(mel)] = mel
    valid = torch.zeros(1, steps * frames, dtype=torch.bool)
    valid[0, : len(mel)] = True
    device = next(quantizer.parameters()).device
    codes = quantizer.encode(torch.from_numpy(value).to(device), valid.to(device))  # type: ignore[operator]
    return quantizer.decode(codes, valid.to(device))[0, : len(mel)].cpu().numpy()  # type: ignore[operator]


def pictures_through(quantizer: nn.Module, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures uint8 [n, S, S, 3] after the quantiser's codes."""
    device = next(quantizer.parameters()).device
    found: list[NDArray[np.uint8]] = []
    for start in range(0, len(pictures), CHUNK):
        codes = quantizer.encode(torch.from_numpy(pictures[start : start + CHUNK]).to(device))  # type: ignore[operator]
        found.append(quantizer.decode(codes).cpu().numpy())  # type: ignore[operator]
    return np.concatenate(found) if found else pictures
