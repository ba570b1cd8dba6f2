"""Kinetics: CSV lists `label,youtube_id,time_start,time_end,split` beside clips of one's own (Kay et al., arXiv 1705.06950).

Clips are named YOUTUBEID_000019_000029.mp4 as the official crawler does, YOUTUBEID_19_29, or YOUTUBEID, in any folder. Clips of one video
are a group; the label in words is the record's name. Test lists may lack the label.
"""

from __future__ import annotations

from collections.abc import Iterator

from chiasm.config import BuildConfig
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import Listing, split_of
from chiasm.types import Label, Record, Rejected, Text

_COLUMNS = {"youtube_id", "time_start", "time_end"}


def look(files: Listing) -> Found | None:
    """CSV files with Kinetics' columns."""
    found = _lists(files)
    if not found:
        return None
    why = f"{found[0]}{' …' if len(found) > 1 else ''} has the columns {', '.join(files.columns(found[0]))}"
    return Found("kinetics", why, {"lists": len(found), "clips": files.count("video")})


def _lists(files: Listing) -> list[str]:
    return [path for path in files.matching(r".*\.csv") if set(files.columns(path)) >= _COLUMNS]


class KineticsSource(LayoutSource):
    """Clips in the order of the lists; those that are not there are in the ledger."""

    def __init__(self, files: Listing, config: BuildConfig) -> None:
        super().__init__(files, config)
        self._lists = _lists(files)

    def items(self) -> Iterator[Record | Rejected]:
        for path in self._lists:
            for number, row in self.rows(path):
                yield row if isinstance(row, Rejected) else self._record(path, number, row)

    def _record(self, path: str, number: int, row: dict[str, str]) -> Record | Rejected:
        name = row["youtube_id"]
        try:
            start, end = round(float(row["time_start"])), round(float(row["time_end"]))
        except (ValueError, OverflowError):
            return self.refuse(path, number, "malformed", "time_start and time_end are seconds")
        stems = (f"{name}_{start:06d}_{end:06d}", f"{name}_{start}_{end}", f"{name}_{start}", name)
        clip = next((found for stem in stems if (found := self.files.by_stem.get(stem))), None)
        if clip is None or not name:
            return self.refuse(path, number, "missing", f"no clip {stems[0]}")
        label = row.get("label") or ""
        return Record(
            id=stems[0],
            texts=(Text(label.replace("_", " "), "en", "name"),) if label else (),
            labels=(Label("class", label),) if label else (),
            group=name,
            split=row.get("split") or split_of(path.rpartition("/")[2]),
            source=self.name,
            **self.medium(clip),
        )
