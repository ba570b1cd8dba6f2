"""One sample of a WebDataset tar: the members of one key, as they come, made a record."""

from __future__ import annotations

import json
import re
import tarfile
import zlib
from collections.abc import Iterator
from typing import Any, Literal

from chiasm.errors import MediaError
from chiasm.modalities.media import MAX_BYTES
from chiasm.sources.folder import MAX_TEXT_BYTES
from chiasm.sources.listing import kind_of
from chiasm.sources.manifest_row import MEDIA, RowReader
from chiasm.sources.rows import MAX_LINE, RowError
from chiasm.sources.tar_stream import Member
from chiasm.types import Label, Media, Record, Rejected, Text

MAX_SAMPLE = 2 * MAX_BYTES
"""Bytes of one sample in memory."""

_TEXTS = {"txt": "caption", "text": "caption", "caption": "caption", "transcript": "transcript"}
_LANGUAGE = re.compile(r"[a-z]{2,3}([_-][A-Za-z]{2,4})?")


def sample_key(name: str) -> tuple[str, str]:
    """(key, suffix in lower case without its dot): a/b.c/0001.de.txt → a/b.c/0001, de.txt."""
    folder, slash, last = name.rpartition("/")
    stem, _, suffix = last.partition(".")
    return folder + slash + stem, suffix.lower()


class Sample:
    """The members of one key, as they come."""

    def __init__(self, key: str, name: str, split: str | None) -> None:
        self.key, self._name, self._split = key, name, split
        self._size = 0
        self._texts: list[Text] = []
        self._labels: list[Label] = []
        self._media: dict[Literal["image", "audio", "video"], list[Media]] = {"image": [], "audio": [], "video": []}
        self._row: dict[str, Any] = {}
        self._remarks: list[Rejected] = []

    def add(self, member: Member, suffix: str) -> None:
        """Read one member. MediaError ``truncated`` where the tar ends within it."""
        try:
            if member.problem is not None or member.file is None:
                raise MediaError(*(member.problem or ("unsafe", "no content")))
            self._add(member, suffix)
        except MediaError as error:
            if error.reason == "truncated":
                raise
            self._remarks.append(Rejected(self._name, suffix or "file", error.reason, f"{member.name}: {error}"))
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            reason = "encoding" if isinstance(error, UnicodeDecodeError) else "malformed"
            self._remarks.append(Rejected(self._name, suffix or "file", reason, f"{member.name}: {error}"))

    def _add(self, member: Member, suffix: str) -> None:
        packed = suffix.endswith(".gz")
        *before, last = suffix.removesuffix(".gz").split(".")
        language = before[-1] if before and _LANGUAGE.fullmatch(before[-1]) else None
        kind = kind_of(f"x.{last}")
        if last in _TEXTS:
            text = self._bytes(member, MAX_TEXT_BYTES, packed).decode("utf-8-sig")
            self._texts.append(Text(text, language, _TEXTS[last]))
        elif last == "cls":
            self._labels.append(Label("class", self._bytes(member, 2**12, packed).decode("utf-8-sig").strip()))
        elif last == "json":
            row = json.loads(self._bytes(member, MAX_LINE, packed).decode("utf-8-sig"))
            if not isinstance(row, dict):
                raise ValueError(f"expected an object {{…}}, found a {type(row).__name__}")
            self._row.update(row)
        elif kind == "image" or kind == "audio" or kind == "video":
            part = ".".join(before) or None  # 0001.seg.png
            data = self._bytes(member, MAX_BYTES, packed)
            self._media[kind].append(Media(data, language=language) if kind == "audio" else Media(data, kind=part))
        else:
            raise MediaError("unknown_kind", "not a picture, sound, clip, text, label or JSON by its suffix")

    def _bytes(self, member: Member, limit: int, packed: bool) -> bytes:
        limit = min(limit, MAX_SAMPLE - self._size)
        if member.size > limit:
            raise MediaError("too_large", f"{member.size:,} bytes; the limit is {limit:,}")
        try:
            data = member.file.read(limit + 1) if member.file is not None else b""
        except (tarfile.ReadError, EOFError):
            raise MediaError("truncated", f"the tar ends within {member.name}") from None
        if len(data) < member.size:
            raise MediaError("truncated", f"the tar ends within {member.name}")
        if packed:
            try:
                packer = zlib.decompressobj(zlib.MAX_WBITS | 16)
                data = packer.decompress(data, limit + 1)
            except zlib.error as error:
                raise MediaError("corrupt", f"not gzip: {error}") from None
            if len(data) > limit:
                raise MediaError("too_large", f"more than {limit:,} bytes when unpacked")
            if not packer.eof:
                raise MediaError("corrupt", "its gzip data end early")
        self._size += len(data)
        return data

    def end(self, rows: RowReader, source: str) -> Iterator[Record | Rejected]:
        """The record and remarks on it; a refusal where nothing of the sample can be used."""
        ours = {column for columns in MEDIA.values() for column in columns} | {"speech", "mask", "id", "key", "source"}
        row = {column: value for column, value in self._row.items() if column not in ours}
        record = Record(self._name, split=self._split)
        try:
            if row:
                record = rows.record(row, self._name, source=source, split=self._split)
        except RowError as error:
            self._remarks.append(Rejected(self._name, "json", error.reason, error.message))
        told = {text.text.strip() for text in self._texts}
        texts = (*self._texts, *(text for text in record.texts if text.text.strip() not in told))
        labels = (*self._labels, *(label for label in record.labels if label not in self._labels))
        if not texts and not any(self._media.values()) and self._remarks:
            first = self._remarks[0]
            yield Rejected(self._name, "record", first.reason, "; ".join(part.message for part in self._remarks)[:1000])
            return
        yield from self._remarks
        yield Record(
            id=self._name,
            texts=texts,
            image=tuple(self._media["image"]),
            audio=tuple(self._media["audio"]),
            video=tuple(self._media["video"]),
            labels=labels,
            boxes=record.boxes,
            questions=record.questions,
            group=record.group,
            split=record.split,
            source=source,
            licence=record.licence,
        )
