"""What a folder or file is, found out from its files and what is in them: the table of layouts, the most specific first."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from chiasm.config import BuildConfig
from chiasm.errors import ConfigError, DataError
from chiasm.sources import (
    archive,
    audioset,
    classes,
    coco,
    corpus,
    dialogue_files,
    esc50,
    flickr30k,
    kinetics,
    librispeech,
    manifest,
    msvd,
    multi30k,
    ucf101,
    vqa,
    webdataset,
)  # fmt: skip
from chiasm.sources.folder import FolderSource
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import Listing
from chiasm.sources.source import Progress, Source
from chiasm.types import Record, Rejected

Opened = LayoutSource | manifest.ManifestSource | FolderSource


@dataclass(frozen=True, slots=True)
class Layout:
    """look: what of it is there, or None. open: the source of it."""

    name: str
    look: Callable[[Listing], Found | None]
    open: Callable[[Listing, BuildConfig], Opened]


def _look_folder(files: Listing) -> Found | None:
    if files.only is not None:
        return None
    return Found("folder", "no list of any known layout in it; files of one stem are one record", _counts(files))


def _counts(files: Listing) -> dict[str, int]:
    """Files by what their names say is in them; of no known kind all."""
    counts = {"text": len(files.texts), **{kind: files.count(kind) for kind in ("image", "audio", "video")}}
    return {kind: count for kind, count in counts.items() if count} or {"files": len(files.files)}


def _open_folder(files: Listing, config: BuildConfig) -> FolderSource:
    return FolderSource(files.root, config, files.name)


LAYOUTS = (
    Layout("vqa", vqa.look, vqa.VqaSource),
    Layout("coco", coco.look, coco.CocoSource),
    Layout("librispeech", librispeech.look, librispeech.LibriSpeechSource),
    Layout("esc50", esc50.look, esc50.Esc50Source),
    Layout("audioset", audioset.look, audioset.AudioSetSource),
    Layout("ucf101", ucf101.look, ucf101.UcfSource),
    Layout("kinetics", kinetics.look, kinetics.KineticsSource),
    Layout("msvd", msvd.look, msvd.MsvdSource),
    Layout("flickr30k", flickr30k.look, flickr30k.FlickrSource),
    Layout("dialogue", dialogue_files.look, dialogue_files.DialogueFilesSource),
    Layout("manifest", manifest.look, manifest.ManifestSource.of),
    Layout("webdataset", webdataset.look, webdataset.WebDatasetSource),
    Layout("multi30k", multi30k.look, multi30k.Multi30kSource),
    Layout("corpus", corpus.look, corpus.CorpusSource),
    Layout("classes", classes.look, classes.ClassesSource),
    Layout("folder", _look_folder, _open_folder),
)
"""The order is the order of preference: what few folders can be comes before what any may be."""


def recognise(path: str | Path) -> Found:
    """What the folder or file is, by its files alone. DataError where nothing is there, or it is nothing that is known."""
    return _choose(_listing(Path(path)), None)[1]


def open_layout(path: Path, config: BuildConfig) -> Source:
    """The source of a folder, a file or an archive, its `found` filled in. ConfigError for a layout that does not exist or does not fit."""
    if config.layout is not None and config.layout not in {layout.name for layout in LAYOUTS}:
        names = [layout.name for layout in LAYOUTS]
        near = difflib.get_close_matches(config.layout, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
        raise ConfigError(f"layout={config.layout}: no such layout; {hint}")
    files = _listing(path)
    if files.only is not None and archive.is_archive(path) and not _streams(files, config.layout):
        return _Unpacked(path, config)
    layout, found = _choose(files, config.layout)
    source = layout.open(files, config)
    source.found = found.sentence
    return source


def _choose(files: Listing, forced: str | None) -> tuple[Layout, Found]:
    """The first layout that fits, or the forced one, and what else fits."""
    if forced is not None:
        layout = next(layout for layout in LAYOUTS if layout.name == forced)
        counts = {} if files.only is not None else _counts(files)
        return layout, layout.look(files) or Found(forced, "as asked for by layout=; nothing in it says so", counts)
    fitting = [(layout, found) for layout in LAYOUTS if (found := layout.look(files)) is not None]
    if not fitting:
        known = ", ".join((*manifest.SUFFIXES, *archive.SUFFIXES, ".txt"))
        raise ConfigError(f"{files.root / (files.only or '')}: neither a folder nor a file that is known ({known})")
    # What is called manifest.* was written to be read as one.
    if fitting[0][0].name != "dialogue" and any(
        f"manifest{suffix}" in files.names for suffix in manifest.SUFFIXES if files.only is None
    ):
        fitting.sort(key=lambda pair: pair[0].name != "manifest")
    (layout, found), *rest = fitting
    # That everything is a folder of files goes without saying.
    others = [*found.others, *(other.layout for _, other in rest if other.layout != "folder")]
    return layout, replace(found, others=tuple(dict.fromkeys(name for name in others if name != found.layout)))


def _listing(path: Path) -> Listing:
    try:
        if path.is_dir():
            return Listing(path)
        if path.is_file():
            # COCO's and ESC-50's lists lie in a folder beside that of the media.
            if path.parent.name in ("annotations", "meta"):
                return Listing(path.parent.parent, f"{path.parent.name}/{path.name}", path.stem)
            return Listing(path.parent, path.name, path.stem)
    except (OSError, ValueError) as error:
        raise DataError(f"{str(path)[:200]}: cannot be opened: {error}") from None
    raise DataError(f"{path}: no such folder or file")


def _streams(files: Listing, forced: str | None) -> bool:
    if forced == "webdataset":
        return webdataset.is_tar(files.only or "")
    return forced is None and webdataset.look(files) is not None


class _Unpacked:
    """What is in an archive, after the refusals of what was not unpacked."""

    checked = frozenset[str]()
    rule: Literal["groups", "forms"] = "groups"

    def __init__(self, path: Path, config: BuildConfig) -> None:
        folder, self._rejected = archive.unpacked(path)
        tops = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if len(tops) == 1 and tops[0].is_dir():  # an archive of one folder
            folder = tops[0]
        suffix = next(suffix for suffix in archive.SUFFIXES if path.name.lower().endswith(suffix))
        files = Listing(folder, name=path.name[: -len(suffix)] or path.name)
        layout, found = _choose(files, config.layout)
        self._source = layout.open(files, config)
        self.found = f"an archive of {found.sentence}"
        self.name, self.root, self.attribution = self._source.name, folder, self._source.attribution

    @property
    def total(self) -> int | None:
        inner = self._source.total
        return None if inner is None else inner + len(self._rejected)

    def prepare(self, progress: Progress | None = None) -> None:
        self._source.prepare(progress)

    def records(self) -> Iterator[Record | Rejected]:
        yield from self._rejected
        yield from self._source.records()
