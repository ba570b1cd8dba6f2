"""One row of a manifest, or the JSON of one sample, as a Record.

Columns that are understood, in any mix; those that are not are left alone, and told (manifest_columns.py):

- `id` (else the row's number); - texts: the columns of TEXT_KINDS, each a text or a list of texts; `texts`:
{language: text}, or a list of texts; - `image`, `audio`, `video` and their other names (MEDIA): a relative
path, a list of paths, or {"bytes": … } / {"path": … } as Parquet and Hugging Face data sets have it (in
JSON the bytes are base64); `speech`: {language: path}; - labels: `label`, `category`, `class` and `labels`
(a list, or {name: value}); - `question` and `answer`, `questions` and `answers`, `boxes`, `mask` (cells.py
has their forms); - `lang`/`language` for the texts, questions and sounds of the row, `speaker`/`author` for
who made its media; - `group`, `split`, `licence`/`license`, `source`.

BuildConfig's text_column, image_column and audio_column name columns of other names, and are then the only
ones of their modality. What is said in the row's sounds is its transcript: the column `transcript`, or
`text` where the row has a `speaker`, or BuildConfig's transcript_column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chiasm.config import BuildConfig
from chiasm.sources.cells import LABELS, boxes, labels, many_texts, medium, plain, questions, speech, words
from chiasm.types import Media, Record, Text

TEXT_KINDS = {
    "caption": "caption",
    "captions": "caption",
    "text": "caption",
    "title": "title",
    "name": "name",
    "transcript": "transcript",
    "description": "description",
    "keywords": "keywords",
    "tags": "keywords",
}
"""Text columns in the order in which a record lists them, and the kind that each gives."""

MEDIA = {
    "image": ("image", "image_path", "image_file", "img", "picture", "photo", "file_name", "filename"),
    "audio": ("audio", "audio_path", "sound", "sound_path", "wav", "audio_file"),
    "video": ("video", "video_path", "video_file", "clip", "clip_path"),
}
"""`file_name` is a picture's in Hugging Face's image folders."""

OTHERS = (
    "id", *LABELS, "labels", "question", "answer", "questions", "answers", "boxes", "mask", "lang", "language", "speaker", "author", "group",
    "split", "licence", "license", "source", "image_kind", "audio_kind", "sound_kind", "video_kind",
)  # fmt: skip
"""Columns that are understood and give a record no modality."""


class RowReader:
    """Makes records of rows. `chosen` are the columns that the configuration names; `giving` those that give a text or medium; `known` all
    that are understood."""

    def __init__(self, config: BuildConfig) -> None:
        self._columns: dict[str, tuple[str, ...]] = dict(MEDIA)
        self._texts: dict[str, str] = dict(TEXT_KINDS)
        self.chosen: list[str] = []
        if config.text_column is not None:
            self._texts = {config.text_column: TEXT_KINDS.get(config.text_column, "caption")}
            self.chosen.append(config.text_column)
        self._transcript = config.transcript_column
        if self._transcript is not None:
            self._texts[self._transcript] = "transcript"
            self.chosen.append(self._transcript)
        for modality, column in (("image", config.image_column), ("audio", config.audio_column)):
            if column is not None:
                self._columns[modality] = (column,)
                self.chosen.append(column)
        media = (column for columns in self._columns.values() for column in columns)
        self.giving = tuple(dict.fromkeys((*self._texts, "texts", *media, "speech")))
        self.known = (*self.giving, *OTHERS)

    def record(self, row: Mapping[str, Any], key: str, *, source: str, split: str | None, folder: str = "") -> Record:
        """`key`, `source` and `split` are for rows that give none of their own; `folder` comes before media paths. Raises RowError."""
        language = plain(row.get("lang")) or plain(row.get("language"))
        return Record(
            id=plain(row.get("id")) or key,
            texts=tuple(self._row_texts(row, language)),
            image=tuple(self._row_media(row, "image", None, folder)),
            audio=(*self._row_media(row, "audio", language, folder), *speech(row.get("speech"))),
            video=tuple(self._row_media(row, "video", None, folder)),
            labels=tuple(labels(row)),
            boxes=tuple(boxes(row.get("boxes"))),
            mask=_mask(row.get("mask")),
            questions=tuple(questions(row, language)),
            group=plain(row.get("group")),
            split=plain(row.get("split")) or split,
            source=plain(row.get("source")) or source,
            licence=plain(row.get("licence")) or plain(row.get("license")),
        )

    def _row_texts(self, row: Mapping[str, Any], language: str | None) -> Iterator[Text]:
        seen: set[tuple[str, str | None]] = set()
        for text in (*self._plain_texts(row, language), *many_texts(row.get("texts"), language)):
            # `text` is usually one of `texts` too, there with its language.
            if (text.text, text.language) not in seen:
                seen.add((text.text, text.language))
                yield text

    def _plain_texts(self, row: Mapping[str, Any], language: str | None) -> Iterator[Text]:
        several = row.get("texts")
        several = several if isinstance(several, dict) else {}
        named = {value: str(code) for code, value in several.items() if isinstance(value, str)}
        said = self._said(row)
        for column, kind in self._texts.items():
            texts = list(words(row.get(column), column))
            if kind == "keywords" and len(filled := [text for text in texts if text.strip()]) > 1:
                texts = [", ".join(filled), *(text for text in texts if not text.strip())]
            for text in texts:
                yield Text(text, language or named.get(text), "transcript" if column == said else kind)

    def _said(self, row: Mapping[str, Any]) -> str | None:
        """The column that says what is said in the row's sounds, where one does."""
        if self._transcript is not None:
            return self._transcript
        if "transcript" in self._texts and plain(row.get("transcript")) is not None:
            return "transcript"
        # A text beside a sound may describe it; beside a speaker it is what is spoken.
        heard = any(row.get(column) for column in self._columns["audio"])
        return "text" if heard and "text" in self._texts and plain(row.get("speaker")) is not None else None

    def _row_media(self, row: Mapping[str, Any], modality: str, language: str | None, folder: str) -> Iterator[Media]:
        audio = modality == "audio"
        by = plain(row.get("speaker" if audio else "author"))
        kind = plain(row.get(f"{modality}_kind")) or (plain(row.get("sound_kind")) if audio else None)
        said = self._said(row) if audio else None
        text = None if said is None else plain(row.get(said))
        for column in self._columns[modality]:
            value = row.get(column)
            for part in value if isinstance(value, list) else [value]:
                data, path = medium(part, column)
                if data is not None or path is not None:
                    yield Media(data, path and folder + path, kind, language, by, text)


def _mask(value: Any) -> Media | None:
    data, path = medium(value, "mask")
    return None if data is None and path is None else Media(data, path)
