"""Text corpora: WikiText (`wiki.train.tokens`, `wiki.train.raw`; Merity et al., arXiv 1609.07843) and plain text.

A paragraph is a record. In WikiText a line is a paragraph, ` = Title = ` begins an article, which is the group, and deeper headings are
left out; plain text has blank lines between paragraphs, and a file is the group where there are several. Paragraphs above MAX_TEXT
characters are cut at the end of a sentence or word. Read line by line, whatever the file's size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from chiasm.config import BuildConfig
from chiasm.sources.folder import MAX_TEXT_BYTES
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import NOTES, Listing, name_of, split_of
from chiasm.types import Record, Rejected, Text

MAX_TEXT = 8_000
"""Characters of one record's text; the build refuses 10,000."""

_FILES = r".*\.(tokens|raw|txt)(\.(gz|bz2|xz))?"
_HEADING = re.compile(r"\s*(?P<level>=(?: =)*) (?P<title>[^=]+?) (?P=level)\s*")
_END = re.compile(r".*[.!?。！？](?=\s|$)", re.DOTALL)


def look(files: Listing) -> Found | None:
    """Files .tokens or .raw, or .txt that has WikiText's headings; a .txt file that was given by itself; a folder of nothing but .txt of
    which one is larger than a caption file may be.
    """
    texts = _texts(files)
    headed = [path for path in texts if _headed(files, path)]
    if headed and files.no_media:
        return Found(
            "corpus", f"{headed[0]} has article headings (= Title =); a paragraph a record", {"files": len(texts)}
        )
    if files.only is not None and texts:
        return Found("corpus", "a text file; a paragraph a record", {"files": 1})
    special = [path for path in texts if not path.lower().endswith(".txt") and "\0" not in files.head(path)]
    large = [path for path in texts if (files.root / path).stat().st_size > MAX_TEXT_BYTES]
    if (special or large) and files.no_media:
        what = f"{special[0]}: text by its suffix" if special else f"{large[0]} is larger than a record's text"
        return Found(
            "corpus", f"{what}, and there are no media; a paragraph a record", {"files": len(texts)}, ("folder",)
        )
    return None


def _texts(files: Listing) -> list[str]:
    found = [path for path in files.matching(_FILES) if name_of(path).split(".")[0].lower() not in NOTES]
    return sorted(found, key=lambda path: (_split(path) != "train", path))


def _split(path: str) -> str | None:
    """wiki.train.tokens, train.txt, wikitext-2/wiki.valid.raw."""
    parts = name_of(path).split(".")
    return next((split for part in parts if (split := split_of(part)) is not None), None)


def _headed(files: Listing, path: str) -> bool:
    lines = [line for line in files.head(path).splitlines()[:200] if line.strip()]
    return bool(lines) and any(
        found and found["level"] == "=" for line in lines[:3] if (found := _HEADING.fullmatch(line))
    )


class CorpusSource(LayoutSource):
    """Paragraphs in their order, the training files first."""

    def __init__(self, files: Listing, config: BuildConfig) -> None:
        super().__init__(files, config)
        self._texts = _texts(files)

    def items(self) -> Iterator[Record | Rejected]:
        for path in self._texts:
            headed = _headed(self.files, path)
            split = _split(path)
            article = path if len(self._texts) > 1 and not headed else None
            for number, part in self._paragraphs(path, headed):
                if isinstance(part, Rejected):
                    yield part
                elif headed and (found := _HEADING.fullmatch(part)):
                    if found["level"] == "=":
                        article = f"{path}:{found['title'].strip()}"
                else:
                    for place, text in enumerate(_pieces(part)):
                        key = f"{path}:{number}" + (f".{place}" if place else "")
                        yield Record(
                            id=key, texts=(Text(text, kind="paragraph"),), group=article, split=split, source=self.name
                        )

    def _paragraphs(self, path: str, headed: bool) -> Iterator[tuple[int, str | Rejected]]:
        """(number of its first line, paragraph). A paragraph is given when it reaches MAX_TEXT, however long it goes on."""
        kept: list[str] = []
        first = size = 0
        for number, line in self.lines(path):
            if isinstance(line, Rejected):
                yield number, line
                continue
            blank = not line.strip()
            if kept and (blank or headed or size > MAX_TEXT):
                yield first, "\n".join(kept)
                kept, size = [], 0
            if not blank:
                first = number if not kept else first
                kept.append(line)
                size += len(line)
        if kept:
            yield first, "\n".join(kept)


def _pieces(text: str) -> Iterator[str]:
    """`text` in pieces of at most MAX_TEXT characters, cut after a sentence, else at a space."""
    while len(text) > MAX_TEXT:
        head = text[:MAX_TEXT]
        found = _END.match(head)
        cut = found.end() if found else head.rfind(" ") if " " in head else MAX_TEXT
        yield text[:cut]
        text = text[cut:].lstrip()
    if text.strip():
        yield text
