"""WebDataset: tars whose files of one key (the path up to the first dot of the name) follow each other and are one sample.

0001.jpg 0001.txt 0001.json 0001.cls: pictures, sounds, clips and texts by the last suffix; `.cls` is the label `class`; a language may
stand before a text's or sound's suffix (0001.de.txt); `.json` is read as a manifest's row, without its media; any of them may be
compressed (.txt.gz). Shards are read in their order, from beginning to end, and nothing is unpacked to disk. What a pickle, an array or a
file of another suffix holds is not read; the ledger says so.
"""

from __future__ import annotations

import json
import re
import tarfile
import zlib
from collections.abc import Iterator
from typing import Any, Literal

from chiasm.config import BuildConfig
from chiasm.errors import MediaError
from chiasm.modalities.media import MAX_BYTES
from chiasm.sources.folder import MAX_TEXT_BYTES, FolderSource
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import Listing, folder_of, kind_of, name_of, split_of
from chiasm.sources.manifest_row import MEDIA, RowReader
from chiasm.sources.rows import MAX_LINE, RowError
from chiasm.sources.tar_stream import SUFFIXES, Member, tar_members
from chiasm.types import Label, Media, Record, Rejected, Text

MAX_SAMPLE = 2 * MAX_BYTES
"""Bytes of one sample in memory."""

_TEXTS = {"txt": "caption", "text": "caption", "caption": "caption", "transcript": "transcript"}
_LANGUAGE = re.compile(r"[a-z]{2,3}([_-][A-Za-z]{2,4})?")
_NO_SAMPLE = (
    ".csv",
    ".tsv",
    ".jsonl",
    ".parquet",
    ".arrow",
    ".feather",
    ".trans.txt",
    ".tokens",
    ".raw",
    ".en",
    ".de",
    ".xml",
    ".mat",
)
_LISTS = re.compile(
    r"(captions|instances)_.*\.json|.*_(questions|annotations)\.json|(train|test)list\d+\.txt|results.*\.(csv|token)|AllVideoDescriptions.*",
    re.IGNORECASE,
)
_LOOKED = 2_000


def look(files: Listing) -> Found | None:
    """Tars in a folder; of a single one, that its members are samples and no data set of another layout."""
    tars = [path for path in files.main if is_tar(path)]
    if not tars:
        return None
    if files.only is not None and not _samples(files, tars[0]):
        return None
    others = ("folder",) if files.only is None and files.media else ()
    return Found(
        "webdataset", f"{tars[0]}{' …' if len(tars) > 1 else ''}: tars of samples", {"shards": len(tars)}, others
    )


def is_tar(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _samples(files: Listing, path: str) -> bool:
    """Whether the first members look like samples: files of one key beside each other, or single files that all lie in one folder."""
    folders: set[str] = set()
    several, last = False, ""
    try:
        for number, member in enumerate(tar_members(files.root / path)):
            name = name_of(member.name)
            if name.lower().endswith(_NO_SAMPLE) or _LISTS.fullmatch(name):
                return False
            key = _key(member.name)[0]
            several |= key == last
            last = key
            folders.add(folder_of(member.name))
            if number >= _LOOKED:
                break
    except MediaError:
        pass  # whatever it is: what came before the damage is read, and the ledger has the rest
    return several or len(folders) == 1


class WebDatasetSource(LayoutSource):
    """The samples of all shards, then the files of the folder that lie beside them (as folder.py reads them)."""

    def __init__(self, files: Listing, config: BuildConfig) -> None:
        super().__init__(files, config)
        self._rows = RowReader(config)
        self._config = config
        self._shards = [path for path in files.main if is_tar(path)]

    def records(self) -> Iterator[Record | Rejected]:
        for shard in self._shards:
            yield from self._shard(shard)
        if self.files.only is None and self.files.media:
            for item in FolderSource(self.files.root, self._config, self.name).records():
                if item.id not in self._shards:
                    yield item

    def _shard(self, shard: str) -> Iterator[Record | Rejected]:
        # Keys are unique within a shard, and often begin anew in the next.
        prefix = (
            ""
            if len(self._shards) == 1
            else shard[: -len(next(s for s in SUFFIXES if shard.lower().endswith(s)))] + "/"
        )
        sample: _Sample | None = None
        name, cut = "", False
        try:
            for member in tar_members(self.files.root / shard):
                name = member.name
                key, suffix = _key(member.name)
                if sample is None or sample.key != key:
                    if sample is not None:
                        yield from sample.end(self._rows, self.name)
                    sample = _Sample(key, prefix + key, _split_of(shard))
                cut = True
                sample.add(member, suffix)
                cut = False
            if sample is not None:
                yield from sample.end(self._rows, self.name)
        except MediaError as error:
            if sample is not None and not cut:
                yield from sample.end(self._rows, self.name)
            where = f"{prefix}{sample.key}" if sample is not None and cut else f"{shard}:after {name or 'the start'}"
            yield Rejected(where, "record", error.reason, str(error))


class _Sample:
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
        elif last in ("cls", "cls2"):
            self._labels.append(Label("class", self._bytes(member, 2**12, packed).decode("utf-8-sig").strip()))
        elif last == "json":
            row = json.loads(self._bytes(member, MAX_LINE, packed).decode("utf-8-sig"))
            if not isinstance(row, dict):
                raise ValueError(f"expected an object {{…}}, found a {type(row).__name__}")
            self._row.update(row)
        elif kind == "image" or kind == "audio" or kind == "video":
            self._media[kind].append(Media(self._bytes(member, MAX_BYTES, packed), language=language))
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


def _key(name: str) -> tuple[str, str]:
    """(key, suffix in lower case without its dot): a/b.c/0001.de.txt → a/b.c/0001, de.txt."""
    folder, slash, last = name.rpartition("/")
    stem, _, suffix = last.partition(".")
    return folder + slash + stem, suffix.lower()


def _split_of(shard: str) -> str | None:
    return next((split for part in reversed(shard.split("/")) if (split := split_of(part)) is not None), None)
