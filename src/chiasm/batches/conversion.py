"""Batches of the conversion tasks: what of each record is given and what is wanted, drawn and laid out as tensors.

Two steps. `choose` picks, for one record, the texts, media and questions of one training example; `Collator` fetches and lays out a
batch of them. Every draw comes from the batch's numbers: a batch is a pure function of seed and step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from chiasm.declare import RecordField, TaskConfig
from chiasm.types import Box, Media, Question, Record, Text

TURNS = 16
"""Turns of a dialogue, or items of a history, that are told apart; older ones count as the oldest."""

CHOICE_DRAWS = 8
"""Uniform numbers that `choose` takes."""

BARRED = "\0barred"
"""The kind of a medium that no field means."""

LEAD = 3
"""How often a text in the language of the record's first text is drawn against those in all others together."""


@dataclass(frozen=True)
class ConversionFacts:
    """What a converting model knows of its training data, its shape among it; kept with every checkpoint.

    vocabulary: tokens of the tokenizer · languages, makers: that writers are told of · objects: classes of boxes and masks ·
    choices: what a task may answer, most frequent first, by its name · items: by a task that recommends, in how many histories an
    item is, by its text in lower case
    """

    vocabulary: int
    languages: tuple[str, ...] = ()
    makers: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    items: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])


@dataclass(frozen=True)
class Example:
    """What was chosen of one record. texts: parts of the given text and the turn that each belongs to, 0 the latest · media: indices into
    the record's media and their turns, by modality · asked: questions that share the media's encoding · written: wanted texts, one for each
    question asked, or the wanted item's text · medium: index of the wanted picture or sound · item: index of the wanted item"""

    texts: tuple[tuple[str, int], ...] = ()
    media: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict[str, tuple[tuple[int, int], ...]])
    asked: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    medium: int | None = None
    item: int | None = None
    language: str | None = None
    maker: str | None = None
    boxes: tuple[Box, ...] = ()


def choose(
    record: Record,
    task: TaskConfig,
    u: NDArray[np.float64] | None,
    held_out: frozenset[str] = frozenset(),
    wanted: bool = True,
) -> Example | None:
    """The example that draws u: uniform [CHOICE_DRAWS] make of a record; None where it lacks what the task needs.

    Without draws: the first of everything, optional fields included; so too where the draws leave nothing of what is wanted (the only
    German text was drawn as what is given). held_out: makers whose media are not used.
    wanted: False to look at what is given alone, for a conversion."""
    for drawn in (u, None):
        try:
            return _Choice(record, task, drawn, held_out, wanted).example()
        except _LackingError:
            continue
    return None


class _LackingError(Exception):
    """The record has no such field."""


class _Choice:
    def __init__(
        self,
        record: Record,
        task: TaskConfig,
        u: NDArray[np.float64] | None,
        held_out: frozenset[str],
        wanted: bool,
    ) -> None:
        self.record, self.task, self.u, self.held_out, self.wanted = record, task, u, held_out, wanted
        self.texts: list[tuple[str, int]] = []
        self.media: dict[str, tuple[tuple[int, int], ...]] = {}
        self.asked: tuple[str, ...] = ()
        self.answers: tuple[str, ...] = ()
        self.medium: int | None = None
        self.spoken: Media | None = None
        self.given_text: Text | None = None

    def example(self) -> Example:
        wanted = self.task.wanted
        space = wanted.of == "space"
        if self.wanted and wanted.of in ("image", "audio"):
            self.medium = self._wanted_medium()
        # Sounds first: a text beside a sound says what is said in it.
        for field_ in sorted(self.task.given, key=lambda f: f.of != "audio"):
            if field_.optional and not space and self.u is not None and self.u[0] < self.task.without:
                continue
            try:
                self._give(field_)
            except _LackingError:
                if not (field_.optional or space):
                    raise
        if space and len(self.media) + bool(self.texts) < 2:
            raise _LackingError
        if not self.wanted:
            return Example(tuple(self.texts), self.media, self.asked if self.task.together > 1 else ())
        written, language = self._written()
        maker = None
        if wanted.of == "audio" and self.medium is not None:
            language, maker = self.record.audio[self.medium].language, self.record.audio[self.medium].by
        if wanted.of == "boxes" and not self.record.boxes:
            raise _LackingError
        if wanted.of == "mask" and (self.record.mask is None or not self.record.boxes):
            raise _LackingError
        return Example(
            texts=tuple(self.texts),
            media=self.media,
            asked=self.asked if self.task.together > 1 else (),
            written=written,
            medium=self.medium,
            item=self._items() - 1 if wanted.of == "item" else None,
            language=language,
            maker=maker,
            boxes=self.record.boxes,
        )

    def _pick(self, n: int, column: int) -> int:
        if n == 0:
            raise _LackingError
        return 0 if self.u is None else min(int(self.u[column] * n), n - 1)

    def _wanted_medium(self) -> int:
        wanted = self.task.wanted
        found = self._media(wanted.of, wanted)
        index = found[self._pick(len(found), 1)]
        if wanted.of == "audio":
            self.spoken = self.record.audio[index]
        return index

    def _media(self, modality: str, field_: RecordField) -> list[int]:
        """Indices of the record's media that a field means."""
        return [
            i
            for i, m in enumerate(getattr(self.record, modality))
            if is_meant(m, field_) and m.by not in self.held_out and m.kind != BARRED
        ]

    def _give(self, field_: RecordField) -> None:
        match field_.of:
            case "text":
                self._give_text(field_)
            case "question":
                self._give_questions(field_)
            case "turns":
                self._give_turns()
            case "history":
                self._give_history()
            case modality:
                # Not the very medium that is wanted.
                found = [
                    i for i in self._media(modality, field_) if (modality, i) != (self.task.wanted.of, self.medium)
                ]
                if self.task.wanted.of in ("boxes", "mask"):  # which are those of the first picture
                    found = [i for i in found if i == 0]
                index = found[self._pick(len(found), 2 if modality == "audio" else 3)]
                self.media[modality] = ((index, 0),)
                if modality == "audio":
                    self.spoken = self.record.audio[index]

    def _texts(self, field_: RecordField) -> list[Text]:
        return [
            text
            for text in self.record.texts
            if (field_.name is None or text.kind == field_.name)
            and (field_.language is None or text.language in (field_.language, None))
        ]

    def _said(self) -> Text | None:
        """What is said in the chosen sound, where that is known or the record has a text of its language."""
        if self.spoken is None:
            return None
        if self.spoken.text:
            return Text(self.spoken.text, self.spoken.language)
        return next((t for t in self.record.texts if t.language == self.spoken.language), None)

    def _give_text(self, field_: RecordField) -> None:
        free = field_.language is None and field_.name is None
        said = self._said() if free or self.task.wanted.of == "audio" else None
        if said is not None and field_.language is not None and said.language not in (field_.language, None):
            said = None  # a text of one language given, speech of another wanted
        self.given_text = said if said is not None else self._led(self._texts(field_), 4)
        self.texts.append((self.given_text.text, 0))

    def _led(self, found: Sequence[Text], column: int) -> Text:
        """One text; those in the first one's language lead."""
        if not found or self.u is None:
            return found[self._pick(len(found), column)]
        leading = [t for t in found if t.language == found[0].language]
        others = [t for t in found if t.language != found[0].language]
        share = LEAD / (LEAD + 1) if others else 1.0
        draw = float(self.u[column])
        group, place = (leading, draw / share) if draw < share else (others, (draw - share) / (1 - share))
        return group[min(int(place * len(group)), len(group) - 1)]

    def _give_questions(self, field_: RecordField) -> None:
        found = [
            q
            for q in self.record.questions
            if (field_.language is None or q.language in (field_.language, None)) and (q.answers or not self.wanted)
        ]
        first = self._pick(len(found), 5)
        count = self.task.together if self.wanted else 1
        # Neighbours of a shuffled list: different questions of the record, and the same again only where there are too few.
        order = np.arange(len(found))
        if self.u is not None and count > 1:
            order = np.random.default_rng(int(self.u[5] * 2**53)).permutation(len(found))
            first = 0
        chosen: list[Question] = [found[order[(first + k) % len(found)]] for k in range(count)]
        self.asked = tuple(q.question for q in chosen)
        self.answers = tuple(answer for q in chosen for answer in q.answers[:1])
        if self.task.together == 1:
            self.texts.append((chosen[0].question, 0))

    def _give_turns(self) -> None:
        turns = self.record.questions
        if not turns:
            raise _LackingError
        last = len(turns) - 1 if self.u is None else self._pick(len(turns), 5)
        spoken: dict[int, int] = {}
        for index, medium in enumerate(self.record.audio):
            turn = turn_of(medium)
            if turn is not None and turn <= last and medium.by not in self.held_out:
                spoken[turn] = index
        for turn, question in enumerate(turns[: last + 1]):
            if turn not in spoken:
                self.texts.append((question.question, last - turn))
            if turn < last and question.answers:
                self.texts.append((question.answers[0], last - turn))
        shown = [(i, turn_of(m) or 0) for i, m in enumerate(self.record.image) if m.by not in self.held_out]
        self.media["image"] = tuple((i, last - turn) for i, turn in shown if turn <= last)
        if spoken:
            self.media["audio"] = tuple((index, last - turn) for turn, index in spoken.items())
        self.answers = turns[last].answers[:1]

    def _give_history(self) -> None:
        # A conversion is shown all items; training and evaluation keep the last one to be found.
        count = self._items() - 1 if self.wanted else self._items()
        self.media["image"] = tuple((i, count - 1 - i) for i in range(count))
        self.texts.extend((self.record.texts[i].text, count - 1 - i) for i in range(count))

    def _items(self) -> int:
        count = min(len(self.record.image), len(self.record.texts))
        if count < 1 + self.wanted or any(m.by in self.held_out for m in self.record.image[:count]):
            raise _LackingError
        return count

    def _written(self) -> tuple[tuple[str, ...], str | None]:
        """The wanted texts and their language."""
        wanted = self.task.wanted
        if wanted.of == "answer":
            if len(self.answers) != max(len(self.asked), 1):
                raise _LackingError
            return self.answers, None
        if wanted.of == "label":
            found = [label.value for label in self.record.labels if label.name == wanted.name]
            return (found[self._pick(len(found), 6)],), None
        if wanted.of == "item":
            return (self.record.texts[self._items() - 1].text,), None
        if wanted.of != "text":
            return (), None
        given = self.given_text
        said = self._said() if wanted.language is None and wanted.name is None else None
        if said is not None:
            if given is not None and (said.text, said.language) == (given.text, given.language):
                raise _LackingError
            return (said.text,), said.language
        # Not the given text again: but one that says the same in another language may be spelled the same.
        found = [
            t for t in self._texts(wanted) if given is None or (t.text, t.language) != (given.text, given.language)
        ]
        chosen = self._led(found, 7)
        return (chosen.text,), chosen.language


def is_meant(medium: Media, field_: RecordField) -> bool:
    """Whether a field means a medium, by kind and language. Those of turns and histories are meant by name only."""
    kind = medium.kind == field_.name if field_.name else not (medium.kind or "").startswith(("turn:", "item:"))
    return kind and (field_.language is None or medium.language in (field_.language, None))


def before_last(record: Record) -> Record:
    """A history without its last item: what is shown where that one is to be found."""
    count = min(len(record.image), len(record.texts)) - 1
    return replace(record, texts=record.texts[:count], image=record.image[:count])


def turn_of(medium: Media) -> int | None:
    """k of a medium of kind "turn:k"."""
    kind, _, number = (medium.kind or "").partition(":")
    return int(number) if kind == "turn" and number.isdecimal() else None
