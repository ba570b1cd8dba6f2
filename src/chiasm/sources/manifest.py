"""A manifest: one row a record, as JSONL, CSV or Parquet, with media as paths beside it or as bytes within.

Columns that are understood, in any mix; those that are not are left alone:

- `id` (else the row's number); - texts: the columns of TEXT_KINDS, each a text or a list of texts; `texts`:
{language: text}, or a list of texts; - `image`, `audio`, `video` and their other names (MEDIA): a relative
path, a list of paths, or {"bytes": … } / {"path": … } as Parquet and Hugging Face data sets have it (in
JSON the bytes are base64); `speech`: {language: path}; - labels: `label`, `category`, `class` and `labels`
(a list, or {name: value}); - `lang`/`language` for the texts and sounds of the row, `speaker`/`author` for
who made its media; - `group`, `split`, `licence`/`license`, `source`.

BuildConfig's text_column, image_column and audio_column name columns of other names, and are then the only
ones of their modality.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from chiasm.config import BuildConfig
from chiasm.errors import ConfigError, DataError
from chiasm.sources.rows import RowError, read_csv, read_jsonl, read_parquet, row_names
from chiasm.sources.source import Progress
from chiasm.types import Label, Media, Record, Rejected, Text

SUFFIXES = (".jsonl", ".csv", ".parquet")

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
    "video": ("video", "video_path", "clip"),
}
_LABELS = ("label", "category", "class")
"""`file_name` is a picture's in Hugging Face's image folders."""


class ManifestSource:
    """The rows of a manifest file. Media paths are relative to its folder and cannot leave it."""

    rule: Literal["groups", "forms"] = "groups"
    checked = frozenset[str]()
    attribution = ""

    def __init__(self, path: Path, config: BuildConfig) -> None:
        self._path = path
        self.root = path.parent
        self.name = path.parent.resolve().name if path.stem == "manifest" else path.stem
        self._columns: dict[str, tuple[str, ...]] = dict(MEDIA)
        self._texts: dict[str, str] = dict(TEXT_KINDS)
        self._chosen: list[str] = []
        if config.text_column is not None:
            self._texts = {config.text_column: TEXT_KINDS.get(config.text_column, "caption")}
            self._chosen.append(config.text_column)
        for modality, column in (("image", config.image_column), ("audio", config.audio_column)):
            if column is not None:
                self._columns[modality] = (column,)
                self._chosen.append(column)

    @property
    def total(self) -> int | None:
        return None

    def prepare(self, progress: Progress | None = None) -> None:
        """Check that the manifest can be opened and has the columns that the configuration names."""
        names = row_names(self._path)
        for column in self._chosen:
            if names is not None and column not in names:
                raise ConfigError(f"{self._path} has no column {column!r}; it has {', '.join(names)}")

    def records(self) -> Iterator[Record | Rejected]:
        readers = {".jsonl": read_jsonl, ".csv": read_csv, ".parquet": read_parquet}
        try:
            for number, row in readers[self._path.suffix.lower()](self._path):
                if isinstance(row, RowError):
                    yield Rejected(f"{self._path.name}:{number}", "record", row.reason, f"line {number}: {row.message}")
                else:
                    yield from self._record(number, row)
        except OSError as error:
            raise DataError(f"{self._path}: cannot be read: {error.strerror or error}") from None

    def _record(self, number: int, row: dict[str, Any]) -> Iterator[Record | Rejected]:
        key = _plain(row.get("id")) or f"{self._path.stem}:{number}"
        try:
            yield Record(
                id=key,
                texts=tuple(self._row_texts(row)),
                image=tuple(self._row_media(row, "image")),
                audio=(*self._row_media(row, "audio"), *_speech(row.get("speech"))),
                video=tuple(self._row_media(row, "video")),
                labels=tuple(_labels(row)),
                group=_plain(row.get("group")),
                split=_plain(row.get("split")),
                source=_plain(row.get("source")) or self.name,
                licence=_plain(row.get("licence")) or _plain(row.get("license")),
            )
        except RowError as error:
            yield Rejected(key, "record", error.reason, f"line {number}: {error.message}")

    def _row_texts(self, row: dict[str, Any]) -> Iterator[Text]:
        language = _plain(row.get("lang")) or _plain(row.get("language"))
        seen: set[tuple[str, str | None]] = set()
        for text in (*self._plain_texts(row, language), *_many_texts(row.get("texts"), language)):
            # `text` is usually one of `texts` too, there with its language.
            if (text.text, text.language) not in seen:
                seen.add((text.text, text.language))
                yield text

    def _plain_texts(self, row: dict[str, Any], language: str | None) -> Iterator[Text]:
        several = row.get("texts")
        several = several if isinstance(several, dict) else {}
        named = {value: str(code) for code, value in several.items() if isinstance(value, str)}
        for column, kind in self._texts.items():
            value = row.get(column)
            parts: list[Any] = value if isinstance(value, list) else [value]
            if kind == "keywords" and len(parts) > 1:
                parts = [", ".join(str(part) for part in parts)]
            for part in parts:
                text = _plain(part)
                if text is not None:
                    yield Text(text, language or named.get(text), kind)

    def _row_media(self, row: dict[str, Any], modality: str) -> Iterator[Media]:
        by = _plain(row.get("speaker")) if modality == "audio" else _plain(row.get("author"))
        language = _plain(row.get("lang")) or _plain(row.get("language")) if modality == "audio" else None
        kind = _plain(row.get(f"{modality}_kind")) or (_plain(row.get("sound_kind")) if modality == "audio" else None)
        for column in self._columns[modality]:
            value = row.get(column)
            for part in value if isinstance(value, list) else [value]:
                data, path = _medium(part, column)
                if data is not None or path is not None:
                    yield Media(data, path, kind, language, by)


def _medium(value: Any, column: str) -> tuple[bytes | None, str | None]:
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
    if value is None or value == "":
        return None, None
    if not isinstance(value, str):
        raise RowError("format", f"{column}: expected a path or bytes, found {type(value).__name__}")
    return None, value


def _many_texts(value: Any, language: str | None) -> Iterator[Text]:
    if isinstance(value, dict):
        for code, part in value.items():
            for text in part if isinstance(part, list) else [part]:
                if (plain := _plain(text)) is not None:
                    yield Text(plain, str(code))
    elif isinstance(value, list):
        for part in value:
            if isinstance(part, dict):  # {"text": …, "language": …}
                plain, code = _plain(part.get("text")), _plain(part.get("language")) or language
            else:
                plain, code = _plain(part), language
            if plain is not None:
                yield Text(plain, code)
    elif (plain := _plain(value)) is not None:
        yield Text(plain, language)


def _speech(value: Any) -> Iterator[Media]:
    if value is None:
        return
    if not isinstance(value, dict):
        raise RowError("format", f"speech: expected {{language: path}}, found {type(value).__name__}")
    for code, part in value.items():
        data, path = _medium(part, "speech")
        if data is not None or path is not None:
            yield Media(data, path, "speech", str(code))


def _labels(row: dict[str, Any]) -> Iterator[Label]:
    for column in _LABELS:
        if (value := _plain(row.get(column))) is not None:
            yield Label(column, value)
    several = row.get("labels")
    if isinstance(several, dict):
        yield from (Label(str(name), text) for name, value in several.items() if (text := _plain(value)) is not None)
    elif isinstance(several, list):
        yield from (Label("label", text) for value in several if (text := _plain(value)) is not None)


def _plain(value: Any) -> str | None:
    """A cell as text; None where it is empty, or holds no single value."""
    if isinstance(value, bool) or value is None or isinstance(value, (dict, list, bytes)):
        return None
    if isinstance(value, float) and not math.isfinite(value):  # how data frames spell "nothing"
        return None
    text = value if isinstance(value, str) else str(value)
    return text if text.strip() else None
