"""AudioSet: `balanced_train_segments.csv`, `eval_segments.csv` and `class_labels_indices.csv` beside clips of one's own, as the videos
are not part of it (Gemmeke et al., ICASSP 2017).

`# YTID, start_seconds, end_seconds, positive_labels`, then `--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"`. Clips are sounds or
videos named YTID_start or YTID_start_end (in seconds, as 30, 30.000, or in milliseconds as 30000), with or without a Y before it, or YTID
alone. Segments of one video are a group; eval is the test split.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import cached_property

from chiasm.config import BuildConfig
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import Listing, name_of, split_of
from chiasm.types import Label, Record, Rejected, Text

_HEADER = re.compile(r"^#\s*YTID\s*,\s*start_seconds\s*,\s*end_seconds\s*,\s*positive_labels", re.MULTILINE)


def look(files: Listing) -> Found | None:
    """CSV files with AudioSet's commented header."""
    found = _segments(files)
    if not found:
        return None
    named = files.matching(r"class_labels_indices\.csv")
    why = f"{found[0]}{' …' if len(found) > 1 else ''}: segments by YouTube id" + (
        "" if named else "; class_labels_indices.csv is absent"
    )
    return Found(
        "audioset",
        why,
        {"files of segments": len(found), "sounds": files.count("audio"), "clips": files.count("video")},
    )


def _segments(files: Listing) -> list[str]:
    return [path for path in files.matching(r".*\.csv") if _HEADER.search(files.head(path, 4096))]


class AudioSetSource(LayoutSource):
    """Segments in the order of the lists; those whose clip is not there are in the ledger."""

    def __init__(self, files: Listing, config: BuildConfig) -> None:
        super().__init__(files, config)
        self._lists = _segments(files)

    def items(self) -> Iterator[Record | Rejected]:
        for path in self._lists:
            split = split_of(re.sub(r"^(un)?balanced_", "", name_of(path), flags=re.IGNORECASE))
            for number, line in self.lines(path):
                if isinstance(line, Rejected):
                    yield line
                elif line.strip() and not line.startswith("#"):
                    yield self._record(path, number, line, split)

    def _record(self, path: str, number: int, line: str, split: str | None) -> Record | Rejected:
        try:
            name, start, end, labels = next(csv.reader([line], skipinitialspace=True, strict=True))
            first, last = float(start), float(end)
            stems = list(_stems(name.strip(), first, last))
        except (ValueError, csv.Error, OverflowError) as error:
            return self.refuse(path, number, "malformed", f"expected YTID, start, end, labels: {error}")
        clip = next((found for stem in stems if (found := self.files.by_stem.get(stem))), None)
        if clip is None:
            return self.refuse(path, number, "missing", f"no clip {stems[0]} (.wav, .flac, .mp4 …)")
        names = [self._names.get(label.strip(), label.strip()) for label in labels.split(",") if label.strip()]
        return Record(
            id=f"{name.strip()}_{first:g}",
            texts=(Text(", ".join(names), "en", "keywords"),) if names else (),
            labels=tuple(Label("sound", label) for label in names),
            group=name.strip(),
            split=split,
            source=self.name,
            **self.medium(clip, kind="track"),
        )

    @cached_property
    def _names(self) -> dict[str, str]:
        """class_labels_indices.csv: index,mid,display_name."""
        found: dict[str, str] = {}
        for path in self.files.matching(r"class_labels_indices\.csv"):
            for _, row in self.rows(path):
                if isinstance(row, dict) and row.get("mid") and row.get("display_name"):
                    found[row["mid"]] = row["display_name"]
        return found


def _stems(name: str, start: float, end: float) -> Iterator[str]:
    for head in (name, f"Y{name}"):
        for first, last in (
            (f"{start:g}", f"{end:g}"), (f"{start:.3f}", f"{end:.3f}"), (f"{start:.1f}", f"{end:.1f}"),
            (f"{round(1000 * start)}", f"{round(1000 * end)}"),
        ):  # fmt: skip
            yield f"{head}_{first}"
            yield f"{head}_{first}_{last}"
    yield name
    yield f"Y{name}"
