"""One cell of a manifest as a part of a Record: texts, media, labels, questions, boxes.

A cell is whatever JSON, CSV or Parquet gave. One that is empty gives nothing; one of the wrong kind raises RowError, and the row goes
to the ledger. A text of white space is given as it is: the build refuses it as it does a blank file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from chiasm.sources.rows import RowError
from chiasm.types import Box, Label, Media, Question, Text

LABELS = ("label", "category", "class")
_SIDES = ("x0", "y0", "x1", "y1")


def plain(value: Any) -> str | None:
    """A cell as text; None where it is empty, or holds no single value."""
    if isinstance(value, bool) or value is None or isinstance(value, (dict, list, bytes)):
        return None
    if isinstance(value, float) and not math.isfinite(value):  # how data frames spell "nothing"
        return None
    text = value if isinstance(value, str) else str(value)
    return text if text.strip() else None


def words(value: Any, column: str) -> Iterator[str]:
    """The text or texts of a cell; those of white space too, and "" where a list has it. None, NaN and a cell of "" give nothing.

    RowError for anything else.
    """
    parts: list[Any] = value if isinstance(value, list) else [] if value == "" else [value]
    for part in parts:
        if isinstance(part, str):
            yield part
        # NaN is how data frames spell "nothing".
        elif part is not None and not (isinstance(part, float) and math.isnan(part)):
            raise RowError("format", f"{column}: expected a text or a list of texts, found {type(part).__name__}")


def medium(value: Any, column: str) -> tuple[bytes | None, str | None]:
    """(bytes, path) of one cell; at most one of them is given."""
    if isinstance(value, dict):
        data = value.get("bytes")
        if isinstance(data, str):
            import base64
            import binascii

            try:
                data = base64.b64decode(data, validate=True)
            except (binascii.Error, ValueError):
                raise RowError("format", f"{column}: its bytes are not base64") from None
        if isinstance(data, bytes):
            return data, None
        value = value.get("path")
    if isinstance(value, bytes):
        return value, None
    if value is None or value == "" or isinstance(value, bool):  # audio: false tells that a clip has no sound
        return None, None
    if not isinstance(value, str):
        raise RowError("format", f"{column}: expected a path or bytes, found {type(value).__name__}")
    return None, value


def speech(value: Any) -> Iterator[Media]:
    """{language: sound}."""
    if value is None:
        return
    if not isinstance(value, dict):
        raise RowError("format", f"speech: expected {{language: path}}, found {type(value).__name__}")
    for code, part in value.items():
        data, path = medium(part, "speech")
        if data is not None or path is not None:
            yield Media(data, path, "speech", str(code))


def many_texts(value: Any, language: str | None) -> Iterator[Text]:
    """{language: text or texts}, a list of texts or of {text, language}, or one text."""
    if isinstance(value, dict):
        for code, part in value.items():
            yield from (Text(text, str(code)) for text in words(part, f"texts, {code}"))
        return
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, dict):
            code = plain(part.get("language")) or language
            yield from (Text(text, code) for text in words(part.get("text"), "texts"))
        else:
            yield from (Text(text, language) for text in words([part] if isinstance(value, list) else part, "texts"))


def labels(row: Mapping[str, Any]) -> Iterator[Label]:
    """`label`, `category`, `class`, and `labels`: a list, or {name: value}."""
    for column in LABELS:
        if (value := plain(row.get(column))) is not None:
            yield Label(column, value)
    several = row.get("labels")
    if isinstance(several, dict):
        yield from (Label(str(name), text) for name, value in several.items() if (text := plain(value)) is not None)
    elif isinstance(several, list):
        yield from (Label("label", text) for value in several if (text := plain(value)) is not None)


def questions(row: Mapping[str, Any], language: str | None) -> Iterator[Question]:
    """`question` with `answer` (or `answers`: accepted ones, best first); `questions` with `answers`, one answer or a list of
    accepted ones for each; or `questions` as a list of {question, answer or answers, language}.

    A question without an answer is kept, with none. RowError where the two lists differ in length.
    """
    single = plain(row.get("question"))
    several, answers = _parsed(row.get("questions"), "questions"), _parsed(row.get("answers"), "answers")
    if single is not None:
        accepted = row.get("answer") if answers is None else answers
        yield Question(single, _accepted(accepted), language)
    if several is None:
        return
    if not isinstance(several, list):
        raise RowError("format", f"questions: expected a list, found {type(several).__name__}")
    if any(isinstance(part, dict) for part in several):
        for part in several:
            if not isinstance(part, dict) or (asked := plain(part.get("question"))) is None:
                raise RowError("format", "questions: expected {question, answers, language} in each place of the list")
            accepted = part.get("answers") if part.get("answers") is not None else part.get("answer")
            yield Question(asked, _accepted(accepted), plain(part.get("language")) or language)
        return
    if not several:
        return
    if answers is None:
        answers = [None] * len(several)
    if not isinstance(answers, list) or len(answers) != len(several):
        count = len(answers) if isinstance(answers, list) else 1
        raise RowError("format", f"{len(several)} questions and {count} answers; give one answer, or list, for each")
    for asked, accepted in zip(several, answers, strict=True):
        if (words := plain(asked)) is None:
            raise RowError("format", "questions: one of them is empty, or no text")
        yield Question(words, _accepted(accepted), language)


def boxes(value: Any) -> Iterator[Box]:
    """A list of {x0, y0, x1, y1, label}, sides as fractions of the picture's width and height.

    RowError for anything else: pixels, other keys, a box without a label, or of no area.
    """
    value = _parsed(value, "boxes")
    if value is None:
        return
    if not isinstance(value, list):
        raise RowError("format", f"boxes: expected a list, found {type(value).__name__}")
    for number, part in enumerate(value):
        name = plain(part.get("label")) if isinstance(part, dict) else None
        sides = [part.get(side) for side in _SIDES] if isinstance(part, dict) else []
        numbers = [side for side in sides if isinstance(side, (int, float)) and not isinstance(side, bool)]
        if name is None or len(numbers) != len(_SIDES):
            raise RowError("format", f"boxes: box {number}: expected {{x0, y0, x1, y1, label}}")
        x0, y0, x1, y1 = numbers
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):  # false for NaN, too
            raise RowError(
                "format",
                f"boxes: box {number}: x and y are fractions of the picture's sides, 0 ≤ x0 < x1 ≤ 1 and so for y",
            )
        yield Box(float(x0), float(y0), float(x1), float(y1), name)


def _accepted(value: Any) -> tuple[str, ...]:
    parts: list[Any] = value if isinstance(value, list) else [value]
    # Yes and no come as truth values from some writers.
    words = [("no", "yes")[part] if isinstance(part, bool) else plain(part) for part in parts]
    return tuple(word for word in words if word is not None)


def _parsed(value: Any, column: str) -> Any:
    """A list as it is, or from the JSON that a CSV cell holds; None where there is nothing."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    if value.lstrip()[:1] != "[":
        return [value] if column == "answers" else value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise RowError("format", f"{column}: not a list in JSON") from None
