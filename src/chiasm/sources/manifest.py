"""A manifest: one row a record, as JSONL, CSV or Parquet, with media as paths beside it or as bytes within.

Columns that are understood, in any mix; those that are not are left alone:

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

A manifest may be several files, one a split (train.parquet, test.parquet): their names are the splits of rows
that give none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from chiasm.config import BuildConfig
from chiasm.errors import ConfigError, DataError
from chiasm.sources.cells import boxes, labels, many_texts, medium, plain, questions, speech
from chiasm.sources.rows import Row, RowError, read_csv, read_jsonl, read_parquet, row_names
from chiasm.sources.source import Progress
from chiasm.types import Media, Record, Rejected, Text

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
    "video": ("video", "video_path", "video_file", "clip", "clip_path"),
}
"""`file_name` is a picture's in Hugging Face's image folders."""


_SPLIT = re.compile(r"(?P<split>train|training|val|valid|validation|dev|test|testing)([-_.].*)?")


def find_manifests(folder: Path) -> tuple[Path, ...]:
    """The manifest of a folder: manifest.*, else the files of one kind that are named after splits, train first
    (train.parquet and test.parquet, train-00000-of-00002.parquet …); () where there is no train among them.
    """
    for suffix in SUFFIXES:
        if (whole := folder / f"manifest{suffix}").is_file():
            return (whole,)
    for suffix in SUFFIXES:
        files = [path for path in folder.glob(f"*{suffix}") if _split_of(path) is not None and path.is_file()]
        files.sort(key=lambda path: (not path.stem.startswith("train"), path.name))
        if files and files[0].stem.startswith("train"):
            return tuple(files)
    return ()


def _split_of(path: Path) -> str | None:
    """The split that a file is named after."""
    found = _SPLIT.fullmatch(path.stem)
    return None if found is None else found["split"]


class ManifestSource:
    """The rows of a manifest: one file, or several of one folder, one or more a split. Media paths are relative to its folder and
    cannot leave it.
    """

    rule: Literal["groups", "forms"] = "groups"
    checked = frozenset[str]()
    attribution = ""

    def __init__(self, path: Path | Sequence[Path], config: BuildConfig) -> None:
        paths = (path,) if isinstance(path, Path) else tuple(path)
        self._paths, first = paths, paths[0]
        self.root = first.parent
        whole = first.stem == "manifest" or len(paths) > 1
        self.name = first.parent.resolve().name if whole else first.stem
        self._columns: dict[str, tuple[str, ...]] = dict(MEDIA)
        self._texts: dict[str, str] = dict(TEXT_KINDS)
        self._chosen: list[str] = []
        if config.text_column is not None:
            self._texts = {config.text_column: TEXT_KINDS.get(config.text_column, "caption")}
            self._chosen.append(config.text_column)
        self._transcript = config.transcript_column
        if self._transcript is not None:
            self._texts[self._transcript] = "transcript"
            self._chosen.append(self._transcript)
        for modality, column in (("image", config.image_column), ("audio", config.audio_column)):
            if column is not None:
                self._columns[modality] = (column,)
                self._chosen.append(column)

    @property
    def total(self) -> int | None:
        return None

    def prepare(self, progress: Progress | None = None) -> None:
        """Check that the manifest can be opened and has the columns that the configuration names."""
        for path in self._paths:
            names = row_names(path)
            for column in self._chosen:
                if names is not None and column not in names:
                    raise ConfigError(f"{path} has no column {column!r}; it has {', '.join(names)}")

    def records(self) -> Iterator[Record | Rejected]:
        for path in self._paths:
            try:
                for number, row in _READERS[path.suffix.lower()](path):
                    if isinstance(row, RowError):
                        yield Rejected(f"{path.name}:{number}", "record", row.reason, f"line {number}: {row.message}")
                    else:
                        yield self._record(path, number, row)
            except OSError as error:
                raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None

    def _record(self, path: Path, number: int, row: dict[str, Any]) -> Record | Rejected:
        key = plain(row.get("id")) or f"{path.stem}:{number}"
        language = plain(row.get("lang")) or plain(row.get("language"))
        named = _split_of(path) if len(self._paths) > 1 else None
        try:
            return Record(
                id=key,
                texts=tuple(self._row_texts(row, language)),
                image=tuple(self._row_media(row, "image", None)),
                audio=(*self._row_media(row, "audio", language), *speech(row.get("speech"))),
                video=tuple(self._row_media(row, "video", None)),
                labels=tuple(labels(row)),
                boxes=tuple(boxes(row.get("boxes"))),
                mask=_mask(row.get("mask")),
                questions=tuple(questions(row, language)),
                group=plain(row.get("group")),
                split=plain(row.get("split")) or named,
                source=plain(row.get("source")) or self.name,
                licence=plain(row.get("licence")) or plain(row.get("license")),
            )
        except RowError as error:
            return Rejected(key, "record", error.reason, f"line {number}: {error.message}")

    def _row_texts(self, row: dict[str, Any], language: str | None) -> Iterator[Text]:
        seen: set[tuple[str, str | None]] = set()
        for text in (*self._plain_texts(row, language), *many_texts(row.get("texts"), language)):
            # `text` is usually one of `texts` too, there with its language.
            if (text.text, text.language) not in seen:
                seen.add((text.text, text.language))
                yield text

    def _plain_texts(self, row: dict[str, Any], language: str | None) -> Iterator[Text]:
        several = row.get("texts")
        several = several if isinstance(several, dict) else {}
        named = {value: str(code) for code, value in several.items() if isinstance(value, str)}
        said = self._said(row)
        for column, kind in self._texts.items():
            value = row.get(column)
            parts: list[Any] = value if isinstance(value, list) else [value]
            if kind == "keywords" and len(parts) > 1:
                parts = [", ".join(str(part) for part in parts)]
            for part in parts:
                text = plain(part)
                if text is not None:
                    yield Text(text, language or named.get(text), "transcript" if column == said else kind)

    def _said(self, row: dict[str, Any]) -> str | None:
        """The column that says what is said in the row's sounds, where one does."""
        if self._transcript is not None:
            return self._transcript
        if "transcript" in self._texts and plain(row.get("transcript")) is not None:
            return "transcript"
        # A text beside a sound may describe it; beside a speaker it is what is spoken.
        heard = any(row.get(column) for column in self._columns["audio"])
        return "text" if heard and "text" in self._texts and plain(row.get("speaker")) is not None else None

    def _row_media(self, row: dict[str, Any], modality: str, language: str | None) -> Iterator[Media]:
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
                    yield Media(data, path, kind, language, by, text)


def _mask(value: Any) -> Media | None:
    data, path = medium(value, "mask")
    return None if data is None and path is None else Media(data, path)


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
}
