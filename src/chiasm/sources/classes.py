"""A folder a class: `cats/001.png`, `dogs/002.png`, optionally below `train`, `val` and `test`. Sounds and clips likewise.

The folder's name is the label `class`. Told from a mere folder of files by all media lying at one depth, without texts beside them, in two
classes at least.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cached_property

from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import NOTES, Listing, kind_of, split_of
from chiasm.types import Label, Record, Rejected


def look(files: Listing) -> Found | None:
    """CLASS/file or SPLIT/CLASS/file, for every medium."""
    if files.only is not None or not files.media:
        return None
    depth = files.media[0].count("/")
    if depth not in (1, 2) or any(path.count("/") != depth for path in files.media):
        return None
    tops = {path.split("/")[0] for path in files.media}
    splits = depth == 2 and all(split_of(top) is not None for top in tops)
    counts = Counter(path.split("/")[-2] for path in files.media)
    beside = any(kind_of(path) == "text" and "/" in path and not _note(path) for path in files.files)
    if (depth == 2 and not splits) or beside or len(counts) < 2 or len(files.media) < 2 * len(counts):
        return None
    if depth == 1 and all(split_of(top) is not None for top in tops):  # train/a.png, test/b.png: splits, and no classes
        return None
    few = ", ".join(sorted(counts)[:3])
    why = f"every file lies in {'a split and ' if splits else ''}a class of its own folder ({few}{' …' if len(counts) > 3 else ''})"
    found = {"classes": len(counts)} | {
        kind: files.count(kind) for kind in ("image", "audio", "video") if files.count(kind)
    }
    return Found("classes", why, found, ("folder",))


def _note(path: str) -> bool:
    return path.rsplit("/", 1)[-1].split(".")[0].lower() in NOTES


class ClassesSource(LayoutSource):
    """Files in alphabetical order, those of other kinds as refusals."""

    def records(self) -> Iterator[Record | Rejected]:
        for path in self.files.files:
            *folders, _ = path.split("/")
            if kind_of(path) in (None, "text") or not folders:
                yield Rejected(path, "record", "unknown_kind", "not a picture, sound or clip in a folder of its class")
                continue
            stem = path.rpartition(".")[0]
            split = split_of(folders[0]) if len(folders) > 1 else None
            yield Record(
                id=path if stem in self._shared else stem,
                labels=(Label("class", "/".join(folders[1:] if split else folders)),),
                split=split,
                source=self.name,
                **self.medium(path),
            )

    @property
    def total(self) -> int:
        return len(self.files.files)

    @cached_property
    def _shared(self) -> frozenset[str]:
        """Paths without suffix that two files have: a.png and a.jpg."""
        counts = Counter(path.rpartition(".")[0] for path in self.files.media)
        return frozenset(stem for stem, count in counts.items() if count > 1)
