"""UCF-101: `ucfTrainTestlist/trainlist01.txt`, `testlist01.txt`, `classInd.txt` and `ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi` (Soomro
et al., arXiv 1212.0402).

The first of the three lists is the split, the others are the labels `list02` and `list03`. The clips of one group (g08) were cut from one
video and stay together. The class in words is the record's name.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from chiasm.config import BuildConfig
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import Listing, name_of, stem_of
from chiasm.types import Label, Record, Rejected, Text

_LIST = re.compile(r"(?P<split>train|test|val)list(?P<number>\d\d)\.txt", re.IGNORECASE)
_CLIP = re.compile(r"v_(?P<class>.+)_g(?P<group>\d+)_c\d+")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_")


def look(files: Listing) -> Found | None:
    """Lists of these names whose lines are Class/clip."""
    found = [path for path in files.matching(_LIST.pattern) if re.match(r"[^/\s]+/\S+\.\w+", files.head(path, 4096))]
    if not found:
        return None
    return Found(
        "ucf101",
        f"{found[0]}{' …' if len(found) > 1 else ''}: lists of CLASS/clip",
        {"lists": len(found), "clips": files.count("video")},
    )


class UcfSource(LayoutSource):
    """Clips in the order of the first list that names them."""

    def __init__(self, files: Listing, config: BuildConfig) -> None:
        super().__init__(files, config)
        self._lists = sorted(
            (found["number"], found["split"].lower() != "train", path, found["split"].lower())
            for path in files.matching(_LIST.pattern)
            if (found := _LIST.fullmatch(name_of(path)))
        )

    def items(self) -> Iterator[Record | Rejected]:
        named: dict[str, dict[str, str]] = defaultdict(dict)
        for number, _, path, split in self._lists:
            for place, line in self.lines(path):
                if isinstance(line, Rejected):
                    yield line
                elif line.strip():
                    clip = re.sub(r"\s+\d+$", "", line.strip())  # training lists add the number of the class
                    if "/" in clip:
                        named[clip].setdefault(number, split)
                    else:
                        yield self.refuse(path, place, "malformed", f"expected CLASS/clip, found {clip[:80]!r}")
        first = self._lists[0][0] if self._lists else "01"
        for clip, splits in named.items():
            yield self._record(clip, splits, first)

    def _record(self, clip: str, splits: dict[str, str], first: str) -> Record | Rejected:
        kind, _, name = clip.rpartition("/")
        kind = kind.rpartition("/")[2]
        stem = stem_of(name)
        path = self.files.find(clip, f"UCF-101/{clip}", name) or self.files.by_stem.get(stem)
        if path is None:
            return Rejected(f"{kind}/{stem}", "record", "missing", f"the clip {clip[:200]} is not there")
        found = _CLIP.fullmatch(stem)
        lists = [Label(f"list{number}", split) for number, split in sorted(splits.items()) if number != first]
        return Record(
            id=f"{kind}/{stem}",
            texts=(Text(_WORDS.sub(" ", kind).lower(), "en", "name"),),
            labels=(Label("class", kind), *lists),
            group=f"{kind} g{found['group']}" if found else None,
            split=splits.get(first),
            source=self.name,
            **self.medium(path),
        )
