"""A folder of files, where files of the same stem in the same folder belong together: cat.png, cat.txt,
cat.wav.

- `cat.txt` holds the record's texts: paragraphs (separated by blank lines) are texts of their own; lines
within one are joined. - A language after the stem says in which language a text or a recording is:
`cat.de.txt`, `cat.de.wav` (two or three letters, optionally a region: `pt_BR`), unless a picture or a clip has
that whole name. The dot matters: `cat_de.txt` is another record. - The name of the file's folder, below the root,
becomes the label `folder`; a path, where it is deeper. - Hidden files and folders are passed over. Files of
other kinds are noted in the ledger, and never silently lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal

from chiasm.config import BuildConfig
from chiasm.errors import DataError, MediaError
from chiasm.modalities.media import read_bytes
from chiasm.sources.listing import KINDS, NOTES, kind_of, walk
from chiasm.sources.source import Progress
from chiasm.types import Label, Media, Record, Rejected, Text

MAX_TEXT_BYTES = 2**20
_LANGUAGE = re.compile(r"^(?P<stem>.+)\.(?P<language>[a-z]{2,3}([_-][A-Za-z]{2,4})?)$")


class FolderSource:
    """The files below `path`. DataError where not one of them is of a known kind."""

    rule: Literal["groups", "forms"] = "groups"
    checked = frozenset[str]()
    attribution = ""
    found = ""

    def __init__(self, path: Path, config: BuildConfig, name: str | None = None) -> None:
        self.root = path
        self.name = name or path.resolve().name or str(path)

    @cached_property
    def _found(self) -> tuple[dict[str, list[tuple[str, str | None, str]]], list[str]]:
        """Record id → its files as (kind, language, path relative to the root); and the files of no known
        kind.
        """
        records: dict[str, list[tuple[str, str | None, str]]] = {}
        others: list[str] = []
        known: list[tuple[str, str]] = []
        for path in walk(self.root):
            kind = kind_of(path)
            if kind is None or (kind == "text" and Path(path).stem.lower() in NOTES):
                others.append(path)
            else:
                known.append((kind, path))
        seen = {str(Path(path).with_suffix("")) for kind, path in known if kind in ("image", "video")}
        for kind, path in known:
            plain = str(Path(path).with_suffix(""))
            # A picture or clip of the whole name settles it: my.dog.txt belongs to my.dog.png, and "dog" is no language.
            match = _LANGUAGE.match(Path(path).stem) if plain not in seen else None
            name, language = (match["stem"], match["language"]) if match else (Path(path).stem, None)
            key = str(Path(path).with_name(name))
            records.setdefault(key, []).append((kind, language, path))
        if not records:
            suffixes = " ".join(suffix for kind in KINDS.values() for suffix in kind)
            raise DataError(
                f"{self.root}: no files of a known kind in it. Looked for {suffixes} in it and its folders "
                f"(found {len(others)} others), and for manifest.jsonl, .csv or .parquet"
            )
        return records, others

    @property
    def total(self) -> int:
        return len(self._found[0]) + len(self._found[1])

    def prepare(self, progress: Progress | None = None) -> None:
        """List the files."""
        if progress is not None:
            progress("list", len(self._found[0]), None)

    def records(self) -> Iterator[Record | Rejected]:
        records, others = self._found
        for path in others:
            message = (
                "not a picture, sound, clip or text by its name" if Path(path).suffix else "a file without a suffix"
            )
            yield Rejected(path, "record", "unknown_kind", message)
        for key, files in records.items():
            remarks: list[Rejected] = []
            texts: list[Text] = []
            for kind, language, path in files:
                if kind == "text":
                    texts += self._texts(key, path, language, remarks)
            folder = str(Path(key).parent)
            # A record whose only text cannot be read is an input that failed, not a remark.
            if remarks and len(files) == len(remarks):
                yield Rejected(key, "record", remarks[0].reason, remarks[0].message)
                continue
            yield from remarks
            yield Record(
                id=key,
                texts=tuple(texts),
                image=_media(files, "image"),
                audio=_media(files, "audio"),
                video=_media(files, "video"),
                labels=() if folder == "." else (Label("folder", folder),),
                source=self.name,
            )

    def _texts(self, key: str, path: str, language: str | None, remarks: list[Rejected]) -> Iterator[Text]:
        try:
            whole = read_bytes(Media(path=path), self.root, MAX_TEXT_BYTES).decode("utf-8-sig")
        except MediaError as error:
            remarks.append(Rejected(key, "text", error.reason, str(error)))
            return
        except UnicodeDecodeError as error:
            remarks.append(
                Rejected(key, "text", "encoding", f"{path}: not UTF-8: {error.reason} at byte {error.start}")
            )
            return
        paragraphs = [part for part in re.split(r"\r?\n[ \t]*\r?\n", whole) if part.strip()]
        if not paragraphs:
            remarks.append(Rejected(key, "text", "empty", f"{path}: nothing but white space"))
        for paragraph in paragraphs:
            yield Text(paragraph, language)


def _media(files: list[tuple[str, str | None, str]], wanted: str) -> tuple[Media, ...]:
    return tuple(Media(path=path, language=language) for kind, language, path in files if kind == wanted)
