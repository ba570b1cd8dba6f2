"""Multi30k, and any parallel text: `train.en` and `train.de` (also .gz), line for line the same sentence (Elliott et al., arXiv 1605.00459).

A line is a record with its text in every language. Where `image_splits/train.txt` names a picture a line, the picture belongs to it and
its name is the group. Files whose numbers of lines differ are read to the shortest, and the ledger has what is left over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest

from chiasm.config import BuildConfig
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import Listing, name_of, split_of
from chiasm.types import Media, Record, Rejected, Text

_FILE = re.compile(r"(?P<stem>.+)\.(?P<language>[a-z]{2,3}(_[A-Z]{2})?)")
_PACKED = re.compile(r"\.(gz|bz2|xz)$")
_NO_LANGUAGE = frozenset({"gz", "bz", "xz", "tar", "tgz", "zip", "txt", "csv", "tsv", "xml", "png", "jpg", "gif", "bmp", "webp", "wav", "ogg",
                          "oga", "mp", "avi", "mov", "mkv", "mpg", "ogv", "flv", "wmv", "aif", "py", "sh", "md", "yml", "cfg", "ini", "log",
                          "pdf", "svg", "npy", "npz", "pt", "pth", "bin", "cls", "raw", "ten", "zst", "dat", "pkl", "exe", "dll", "js",
                          "css", "htm", "doc", "xls", "ppt", "mat", "rar", "bak", "tmp", "ts", "cc", "cpp", "hpp", "rs", "go"})  # fmt: skip
"""Suffixes of two or three letters that are no language's."""


def look(files: Listing) -> Found | None:
    """Files of one name in two languages at least."""
    pairs = _pairs(files)
    if not pairs or (files.media and not any(split_of(name_of(stem)) for stem in pairs)):
        return None
    first = next(iter(pairs))
    languages = sorted({language for found in pairs.values() for language in found})
    why = f"{first}.{' and .'.join(sorted(pairs[first]))}: the same lines in {', '.join(languages)}"
    return Found("multi30k", why, {"texts": len(pairs), "pictures": files.count("image")})


def _pairs(files: Listing) -> dict[str, dict[str, str]]:
    """Stem → language → path, where there are two languages."""
    found: dict[str, dict[str, str]] = {}
    for path in files.main:
        match = _FILE.fullmatch(_PACKED.sub("", path))
        if match and match["language"] not in _NO_LANGUAGE and "/." not in path:
            found.setdefault(match["stem"], {}).setdefault(match["language"], path)
    pairs = {stem: languages for stem, languages in found.items() if len(languages) > 1}
    return dict(sorted(pairs.items(), key=lambda pair: (split_of(name_of(pair[0])) != "train", pair[0])))


class Multi30kSource(LayoutSource):
    """Lines in their order, the training files first."""

    def __init__(self, files: Listing, config: BuildConfig) -> None:
        super().__init__(files, config)
        self._pairs = _pairs(files)

    def items(self) -> Iterator[Record | Rejected]:
        for stem, paths in self._pairs.items():
            pictures = self._pictures(stem)
            names = self.lines(pictures) if pictures else iter(())
            split = split_of(name_of(stem))
            whole = len(paths)
            columns = (*(self.lines(path) for path in paths.values()), names)
            for number, row in enumerate(zip_longest(*columns), 1):
                lines = [None if cell is None else cell[1] for cell in row]
                yield from self._line(f"{stem}:{number}", list(paths), lines[:whole], lines[whole], split)

    def _line(
        self,
        key: str,
        languages: list[str],
        lines: list[str | Rejected | None],
        picture: str | Rejected | None,
        split: str | None,
    ) -> Iterator[Record | Rejected]:
        missing = [language for language, line in zip(languages, lines, strict=True) if line is None]
        if missing:
            if len(missing) < len(languages):
                yield Rejected(
                    key,
                    "record",
                    "missing",
                    f"no such line in {', '.join(missing)}: it cannot be told which lines belong together",
                )
            return
        refused = next((line for line in lines if isinstance(line, Rejected)), None)
        if refused is not None:
            yield Rejected(key, "record", refused.reason, refused.message)
            return
        texts = [
            Text(line, language)
            for language, line in zip(languages, lines, strict=True)
            if isinstance(line, str) and line.strip()
        ]
        if not texts:
            yield Rejected(key, "record", "empty", "an empty line in every language")
            return
        name = picture.split("#")[0].strip() if isinstance(picture, str) and picture.strip() else None
        path = self.files.find(name) if name else None
        yield Record(
            id=key,
            texts=tuple(texts),
            image=() if path is None else (Media(path=self.take(path)),),
            group=name,
            split=split,
            source=self.name,
        )

    def _pictures(self, stem: str) -> str | None:
        """The list of pictures of a text: image_splits/train.txt, test_2016_images.txt, train_images.txt."""
        split = re.escape(name_of(stem).split(".")[0])
        found = self.files.matching(rf"{split}(_images|\.images)?\.txt")
        return next((path for path in found if re.match(r"\S+\.(jpe?g|png)\b", self.files.head(path, 256))), None)
