"""What a conversion task is: the fields of a Record that are given, the one that is wanted. A few lines of YAML, and nothing else.

tasks:
  caption:   {given: [image], wanted: text.en}
  answer:    {given: [image, question], wanted: answer}
  translate: {given: [text.en, "image?"], wanted: text.de}
  command:   {given: [audio], wanted: "label:intent"}
  say:       {given: [text.en], wanted: audio.en}
  space:     {given: [text, image, audio], wanted: space}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from chiasm.sections import Fraction, Positive, Section

Given = Literal["text", "image", "audio", "video", "question", "turns", "history"]
Wanted = Literal["text", "image", "audio", "answer", "label", "boxes", "mask", "item", "space"]

MODALITY_OF: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "image": ("image",),
    "audio": ("audio",),
    "video": ("video",),
    "question": ("text",),
    "turns": ("text", "image", "audio"),
    "history": ("text", "image"),
}
"""The modalities in which each given field reaches the model."""

WRITER_OF: Mapping[str, str] = {
    "text": "text",
    "answer": "text",
    "label": "text",
    "image": "image",
    "audio": "audio",
    "boxes": "boxes",
    "mask": "mask",
    "item": "item",
    "space": "space",
}
"""The part of the model that gives each wanted field."""

_FIELD = re.compile(r"(?P<of>[a-z]+)(:(?P<name>[^.?]+))?(\.(?P<language>[\w-]+))?(?P<optional>\?)?")


class RecordField(Section):
    """One field of a Record, written `of[:name][.language][?]`.

    of: the field · name: the kind of a text or medium ("caption", "summary"), or the name of a label · language: of a text or a sound ·
    optional (?): records without it take part, and training also leaves it out of some that have it

    question: one of the record's questions · turns: a dialogue up to its last question, pictures and speech among the turns ·
    history: all pictures and texts but the last (item k is the k-th picture and the k-th text)
    answer: the answer to the question or last turn · item: the last of the history · space: one vector a modality (contrastive)
    """

    of: str
    name: str | None = None
    language: str | None = None
    optional: bool = False

    def __str__(self) -> str:
        name = f":{self.name}" if self.name else ""
        language = f".{self.language}" if self.language else ""
        return f"{self.of}{name}{language}{'?' if self.optional else ''}"


def parse_field(value: Any) -> Any:
    """`text.de?` → RecordField. Raises ValueError for what cannot be understood."""
    if not isinstance(value, str):
        return value
    found = _FIELD.fullmatch(value.strip())
    if found is None:
        raise ValueError(
            f"{value!r} is no field: write of[:name][.language][?], e.g. image, text:caption.en, label:intent, image?"
        )
    return RecordField(
        of=found["of"], name=found["name"], language=found["language"], optional=found["optional"] is not None
    )


FieldText = Annotated[
    RecordField, BeforeValidator(parse_field), PlainSerializer(lambda field: str(field), return_type=str)
]


class TaskConfig(Section):
    """One conversion: what is given, what is wanted, and how it is trained."""

    given: tuple[FieldText, ...] = Field(
        description="fields that the model is shown: text, image, audio, video, question, turns, history"
    )
    wanted: FieldText = Field(
        description="the field that it gives: text, image, audio, answer, label, boxes, mask, item, space"
    )
    table: str | None = Field(default=None, description="the table it trains on; None: data.table")
    where: str | None = Field(default=None, description="SQL over the table's columns: which records take part")
    part_of: str | None = Field(
        default=None,
        description="a task that this one is a part of: one conversion learned from several tables, asked for by that name; this one can be "
        "measured by its own",
    )
    weight: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="how often it is drawn against the others; None: by the number of its records (see mixing)",
    )
    group_power: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="how a group's share of its examples grows with its size; None: data.group_power"
    )
    order: Literal["causal", "parallel"] = Field(
        default="causal",
        description="wanted tokens one after the other; or codes filled in in parallel (MaskGIT, arXiv 2202.04200), and boxes "
        "by every cell of the picture at once (FCOS, arXiv 1904.01355)",
    )
    blank: Fraction = Field(
        default=0.0,
        description="share of training examples that show nothing of what is given: what guidance needs (arXiv 2207.12598)",
    )
    guidance: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="guidance of what is written where decoding asks for none; 1: none. It needs `blank`"
    )
    word_dropout: Fraction = Field(
        default=0.0,
        description="share of the tokens written so far that are hidden from the writer in training, so that it looks at what is given, which "
        "stays whole (arXiv 1511.06349, 3.1); 0.3 to 0.5 for codes of pictures helps them much",
    )
    without: Fraction = Field(default=0.3, description="share of training examples that leave out an optional field")
    together: Positive = Field(
        default=1,
        description="questions of one record that share the encoding of its media; media then do not see the question",
    )
    drop: Fraction = Field(
        default=0.0,
        description="share of given pictures' patches left out in training (FLIP, arXiv 2212.00794): cheaper steps",
    )
    augment: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="strength of the changes to given media; wanted places move along; None: the model's, and none for clips",
    )
    length: Positive | None = Field(
        default=None, description="tokens of a written text, at most; None: conversion.text_length"
    )

    @model_validator(mode="after")
    def _fits(self) -> TaskConfig:
        for field in self.given:
            if field.of not in get_args(Given):
                raise ValueError(f"given: no field {field.of!r}; there are {', '.join(get_args(Given))}")
        if self.wanted.of not in get_args(Wanted):
            raise ValueError(f"wanted: no field {self.wanted.of!r}; there are {', '.join(get_args(Wanted))}")
        if self.wanted.optional:
            raise ValueError(f"wanted: {self.wanted}: what is wanted cannot be optional")
        names = [field.of for field in self.given]
        wanted = self.wanted.of
        if not names or len(set(names)) < len(names):
            raise ValueError("given: name at least one field, and each once")
        if wanted == "answer" and not {"question", "turns"} & set(names):
            raise ValueError("wanted: an answer needs a question or turns among what is given")
        if (wanted == "item" or "history" in names) and (wanted != "item" or names != ["history"]):
            raise ValueError("wanted: an item follows a history, and nothing else does: given: [history], wanted: item")
        if "turns" in names and {"image", "audio", "question"} & set(names):
            raise ValueError("given: turns bring their own pictures, speech and questions")
        if wanted in ("boxes", "mask") and not any(f.of == "image" and not f.optional for f in self.given):
            raise ValueError(f"wanted: {wanted} are places in a picture: give an image")
        if wanted == "space" and (len(names) < 2 or not set(names) <= {"text", "image", "audio", "video"}):
            raise ValueError("wanted: space needs two or more modalities to bring together")
        if wanted == "label" and self.wanted.name is None:
            raise ValueError("wanted: name the label, e.g. label:intent")
        if self.together > 1 and (wanted != "answer" or "question" not in names):
            raise ValueError("together: only questions of one record can share its encoding")
        if self.drop and self.writer in ("mask", "cells"):
            raise ValueError("drop: every patch says something of itself: none can be left out")
        if self.blank and self.writer in ("space", "item", "mask", "cells"):
            raise ValueError(f"blank: guidance is for what is written step by step, not for {self.wanted}")
        if self.guidance != 1 and not self.blank:
            raise ValueError(
                "guidance: compares with examples that show nothing of what is given: set blank, 0.1 is usual"
            )
        if self.word_dropout and (self.order == "parallel" or self.writer in ("space", "item", "mask", "cells")):
            raise ValueError(f"word_dropout: is for what is written one after the other, not for {self.wanted}")
        if self.length is not None and self.writer != "text":
            raise ValueError(f"length: {self.wanted} has a length of its own; only texts can be shorter")
        if self.order == "parallel" and wanted not in ("image", "audio", "boxes"):
            raise ValueError("order: only codes of pictures and sounds, and boxes, come in parallel")
        if all(field.optional for field in self.given):
            raise ValueError("given: at least one field must not be optional")
        return self

    @property
    def modalities(self) -> tuple[str, ...]:
        """What must be read for it, each once, in the order of the trunk."""
        found = {m for field in self.given for m in MODALITY_OF[field.of]}
        return tuple(m for m in ("text", "image", "audio", "video") if m in found)

    @property
    def kind(self) -> tuple[object, ...]:
        """Alike in tasks that can be parts of one: fields, whatever the language of what is given, and the way of writing."""
        given = frozenset((field.of, field.name, field.optional) for field in self.given)
        return given, self.wanted, self.order, self.together > 1, self.length

    @property
    def writer(self) -> str:
        return "cells" if self.wanted.of == "boxes" and self.order == "parallel" else WRITER_OF[self.wanted.of]


class ConversionConfig(Section):
    """What all conversion tasks of a run share."""

    mixing: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5,
        description="a task of n records is drawn in proportion to n^mixing (temperature sampling, arXiv 1910.10683, 3.5.2): "
        "0 = all tasks alike, 1 = all records alike",
    )
    quantizers: Mapping[Literal["image", "audio"], str] = Field(
        default_factory=dict,
        description="what pictures and sounds are written with: runs of image_quantizer and audio_quantizer, or runs that write such and bring "
        "theirs (`starter`: the one that is shipped); where silent, those of `init`",
    )
    text_length: Positive = Field(default=32, description="tokens of a written text, at most")
    audio_length: Positive = Field(default=75, description="steps of a written sound, at most (25 a second)")
    boxes: Positive = Field(default=12, description="boxes of a picture, at most")
    bins: Annotated[int, Field(ge=8, le=1024)] = Field(
        default=64, description="places that a coordinate can take (Pix2Seq, arXiv 2109.10852)"
    )
    cells: Positive = Field(default=2, description="cells a side of a patch: each has its label in a mask, and its box")
    overlap: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.3,
        description="of two boxes of one class that cells find, the less sure one is the same object again where they overlap more (IoU); "
        "0.5 or more where things of one class stand in front of each other",
    )
    code_scale: Annotated[float, Field(gt=0)] = Field(
        default=1.0,
        description="what the vectors of codes are multiplied by where their writer reads them; larger, and it goes by what it wrote "
        "more than by what is given (LOG.md, 48)",
    )
    history_mean: Annotated[float, Field(ge=0)] = Field(
        default=2.0,
        description="how much the mean of a history's items counts in what is looked for next, beside what the trunk makes of them "
        "(item-based models: FISM, Kabbur et al., KDD 2013)",
    )
    init: str | None = Field(
        default=None,
        description="a run whose weights this one begins with (`starter`: the one that is shipped); of its sizes come those that are not set here",
    )
    tune: Literal["full", "heads", "adapters"] = Field(
        default="full",
        description="what is trained: everything; task tokens and writers only; those and adapters in every block",
    )
    adapter_size: Positive = Field(default=64, description="bottleneck of the adapters (Houlsby, arXiv 1902.00751)")
