"""WebDataset: tars whose files of one key (the path up to the first dot of the name) follow each other and are one sample.

0001.jpg 0001.txt 0001.json 0001.cls: pictures, sounds, clips and texts by the last suffix; `.cls` is the label `class`; a language may
stand before a text's or sound's suffix (0001.de.txt); `.json` is read as a manifest's row, without its media; any of them may be
compressed (.txt.gz). Shards are read in their order, from beginning to end, and nothing is unpacked to disk. What a pickle, an array or a
file of another suffix holds is not read; the ledger says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from chiasm.config import BuildConfig
from chiasm.errors import MediaError
from chiasm.sources.folder import FolderSource
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import Listing, folder_of, name_of, split_of
from chiasm.sources.manifest_row import RowReader
from chiasm.sources.tar_stream import SUFFIXES, tar_members
from chiasm.sources.webdataset_sample import Sample, sample_key
from chiasm.types import Record, Rejected

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
    """Tars whose members are samples, and no data set of another layout; of several, one of the first."""
    tars = [path for path in files.main if is_tar(path)]
    if not tars:
        return None
    if not any(_samples(files, path) for path in tars[:3]):
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
            key = sample_key(member.name)[0]
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
        sample: Sample | None = None
        name, cut = "", False
        try:
            for member in tar_members(self.files.root / shard):
                name = member.name
                key, suffix = sample_key(member.name)
                if sample is None or sample.key != key:
                    if sample is not None:
                        yield from sample.end(self._rows, self.name)
                    sample = Sample(key, prefix + key, _split_of(shard))
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


def _split_of(shard: str) -> str | None:
    return next((split for part in reversed(shard.split("/")) if (split := split_of(part)) is not None), None)
