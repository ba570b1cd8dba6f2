"""What a conversion task is asked on a table, one case at a time: a record cut down to one question or voice, and what is right for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from chiasm.batches.conversion import choose, turn_of
from chiasm.dataset.table import Table, quoted
from chiasm.declare import RecordField, TaskConfig
from chiasm.types import Media, Record, Text

CASES = 4
"""Cases measured for each record that may be, at most: records carry a dozen questions."""

BARE = ("id", "texts", "image", "audio", "video", "labels", "boxes", "mask", "questions", "group")
"""Columns that a case needs."""

_NUMBERS = frozenset(
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
)


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to convert, and what would be right.

    row: of the record in its table · part: which of its questions, turns or sounds is meant; None where it has but one thing to ask
    record: what the model is given, media as the table has them · truth: accepted texts, best first, where text is wanted
    medium: the wanted picture or sound · language: of what is wanted, where the writer is to be told
    tags: the kinds of case it counts to beside all ("yes/no", "unseen voices", "voice en-us")
    """

    row: int
    part: int | None
    record: Record
    truth: tuple[str, ...] = ()
    medium: Media | None = None
    language: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        return f"id:{self.record.id}" if self.record.group is None else f"group:{self.record.group}"

    @property
    def asked(self) -> str:
        """The question, or the last turn."""
        return self.record.questions[-1].question if self.record.questions else ""

    @property
    def text(self) -> str:
        """The first of the texts, which is the given one where a text is given."""
        return self.record.texts[0].text if self.record.texts else ""


def rows_of_task(table: Table, task: TaskConfig, split: str | None, condition: str | None = None) -> NDArray[np.int64]:
    """Rows of a split (of all, where None) that the task's own condition admits, and this one."""
    conditions = [] if split is None else [f"split = {quoted(split)}"]
    conditions += [f"({one})" for one in (task.where, condition) if one]
    return table.rows(" AND ".join(conditions) or None)


def columns_of(table: Table) -> list[str]:
    return [name for name in BARE if name in table.column_names]


def cases_of(record: Record, row: int, place: int, task: TaskConfig, held_out: frozenset[str]) -> list[Case]:
    """All cases of a record; none where it lacks what the task needs. `place` of the record among those drawn picks its voices in turn.

    A question or turn is a case each. Of several voices two are heard: one that training heard and one that it did not."""
    given = {field.of: field for field in task.given}
    found: list[Case] = []
    for part, cut, tags in _parts(record, place, given, held_out):
        example = choose(cut, task, None, frozenset() if "audio" in given else held_out)
        if example is None:
            continue
        truth = _truth(cut, task, example.written)
        medium = None if example.medium is None else getattr(cut, task.wanted.of)[example.medium]
        told = example.language if task.wanted.language is None and "audio" not in given else None
        cut = _with_text_first(cut, example.texts[0][0]) if "text" in given and example.texts else cut
        if task.wanted.of == "answer":
            tags = (*tags, answer_type(truth[0]))
        found.append(Case(row, part, cut, truth, medium, told, tags))
    return found


def case_at(table: Table, row: int, part: int | None, place: int, task: TaskConfig, held_out: frozenset[str]) -> Case:
    """The case that `cases_of` made of a row, again."""
    record = table.records([row], columns_of(table))[0]
    return next(case for case in cases_of(record, row, place, task, held_out) if case.part == part)


def answer_type(answer: str) -> str:
    """ "yes/no", "number" or "other", as the VQA data set parts them (arXiv 1505.00468, 4)."""
    word = answer.strip().casefold()
    if word in ("yes", "no"):
        return "yes/no"
    return "number" if word in _NUMBERS or word.replace(".", "", 1).isdecimal() else "other"


def spread(n: int, most: int) -> NDArray[np.int64]:
    """`most` of the places 0 … n−1, evenly over them; all where they are fewer."""
    return np.arange(min(n, most), dtype=np.int64) * n // max(min(n, most), 1)


def media_of(record: Record, field: RecordField) -> list[Media]:
    """The record's media that a field of a task means."""
    return [
        medium
        for medium in getattr(record, field.of)
        if (medium.kind == field.name if field.name else not (medium.kind or "").startswith(("turn:", "item:")))
        and (field.language is None or medium.language in (field.language, None))
    ]


def without(case: Case, field: RecordField) -> Record:
    """The case's record without an optional field; the record itself where it has none of it."""
    if field.of in ("image", "audio", "video"):
        return replace(case.record, **{field.of: ()})  # type: ignore[arg-type]
    return replace(case.record, texts=()) if field.of == "text" else case.record


def _parts(
    record: Record, place: int, given: dict[str, RecordField], held_out: frozenset[str]
) -> Iterator[tuple[int | None, Record, tuple[str, ...]]]:
    if "turns" in given:
        for turn in range(len(record.questions)):
            heard = tuple(m for m in record.audio if (turn_of(m) or 0) <= turn)
            spoken = any(turn_of(m) == turn for m in heard)
            cut = replace(record, questions=record.questions[: turn + 1], audio=heard)
            yield turn, cut, ("spoken turn" if spoken else "written turn",)
    elif "question" in given:
        language = given["question"].language
        for part, question in enumerate(record.questions):
            if language is None or question.language in (language, None):
                yield part, replace(record, questions=(question,)), ()
    elif "audio" in given:
        voices = media_of(record, given["audio"])
        for seen in (True, False):
            own = [m for m in voices if (m.by not in held_out) == seen]
            if own:
                voice = own[place % len(own)]
                kind = "seen voices" if seen else "unseen voices"
                tags = (kind, f"voice {voice.by}") if voice.by else ()
                yield record.audio.index(voice), replace(record, audio=(voice,)), tags
        if not voices and given["audio"].optional:
            yield None, replace(record, audio=()), ()
    else:
        yield None, record, ()


def _truth(record: Record, task: TaskConfig, written: Sequence[str]) -> tuple[str, ...]:
    """What counts as right: every accepted answer, every text of the wanted one's kind and language."""
    if task.wanted.of == "answer":
        return record.questions[-1].answers
    if task.wanted.of == "text":
        first = next((t for t in record.texts if t.text == written[0]), None)
        given = any(field.of in ("text", "audio") for field in task.given)
        if first is None or given:  # one text has one translation or transcript here, and may not answer for itself
            return (written[0],)
        alike = [t.text for t in record.texts if (t.kind, t.language) == (first.kind, first.language)]
        return tuple(dict.fromkeys((written[0], *alike)))
    return tuple(written)


def _with_text_first(record: Record, text: str) -> Record:
    """The given text in the first place, so that a conversion, which knows no wanted sound, gives the same one."""
    chosen = next((t for t in record.texts if t.text == text), None)
    if chosen is None:  # what is said in a sound, and no text of the record
        return replace(record, texts=(Text(text), *record.texts))
    return replace(record, texts=(chosen, *(t for t in record.texts if t is not chosen)))
