"""Flickr30k and Flickr8k: pictures with five captions each (Young et al., TACL 2014), in the forms in which they go round:

`results.csv` (`image_name| comment_number| comment`), `results_20130124.token` and `Flickr8k.token.txt` (`NAME.jpg#0<tab>caption`),
`captions.txt` (`image,caption`), `flickr_annotations_30k.csv` (raw,sentids,split,filename,img_id: a JSON list of captions) and Karpathy's
`dataset_flickr30k.json`. Where two are there, the one with splits is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from chiasm.config import BuildConfig
from chiasm.errors import MediaError
from chiasm.sources.json_stream import json_items
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import Listing, stem_of
from chiasm.sources.shelf import Shelf, shelf
from chiasm.types import Media, Record, Rejected, Text

_KARPATHY = {"raw", "split", "filename"}
_TOKEN = re.compile(r"(?P<name>[^\t]+)#(?P<number>\d+)\t(?P<caption>.*)")
_SPLITS = {"restval": "train"}
"""Karpathy's: validation pictures that one trains on."""


def look(files: Listing) -> Found | None:
    """The best of the lists of captions that are there, by its first line."""
    for form, path in _lists(files):
        told = {"json": "Karpathy's JSON", "rows": "Karpathy's columns", "bars": "image| number| comment"}.get(
            form, form
        )
        return Found("flickr30k", f"{path} ({told}): captions of pictures", {"pictures": files.count("image")})
    return None


def _lists(files: Listing) -> Iterator[tuple[str, str]]:
    for path in files.matching(r"dataset_.*\.json"):
        if '"sentences"' in files.head(path) and '"filename"' in files.head(path):
            yield "json", path
    for path in files.matching(r".*\.csv"):
        if set(files.columns(path)) >= _KARPATHY:
            yield "rows", path
    for path in files.matching(r".*\.(csv|txt)"):
        if re.match(r"\s*image_name\s*\|\s*comment_number\s*\|\s*comment\s*$", files.head(path).partition("\n")[0]):
            yield "bars", path
    for path in files.matching(r".*\.token(\.txt)?|.*captions?\.txt"):
        first = files.head(path).partition("\n")[0].rstrip("\r")
        if _TOKEN.fullmatch(first):
            yield "NAME#number, tab, caption", path
        elif re.fullmatch(r"image\s*,\s*caption", first.strip(), re.IGNORECASE):
            yield "image,caption", path


class FlickrSource(LayoutSource):
    """A record a picture, with its captions in their order; the pictures in the order of the list."""

    def __init__(self, files: Listing, config: BuildConfig) -> None:
        super().__init__(files, config)
        self._list = next(_lists(files), None)

    def items(self) -> Iterator[Record | Rejected]:
        if self._list is None:
            return
        form, path = self._list
        with shelf() as store:
            if form == "json":
                yield from self._karpathy_json(path, store)
            elif form == "rows":
                yield from self._karpathy_rows(path, store)
            else:
                yield from self._lines(form, path, store)
            for name in store.keys("caption"):
                split = store.get("split", name)
                yield self._record(name, store.get("caption", name), split[0] if split else None)

    def _record(self, name: str, captions: list[Any], split: str | None) -> Record | Rejected:
        path = self.files.find(name)
        if path is None and self.files.media:
            return Rejected(name, "record", "missing", f"the picture {name[:200]} is not there")
        return Record(
            id=stem_of(name),
            texts=tuple(Text(str(text).strip(), "en") for text in captions),
            image=() if path is None else (Media(path=self.take(path)),),
            split=None if split is None else _SPLITS.get(split, split),
            source=self.name,
        )

    def _lines(self, form: str, path: str, store: Shelf) -> Iterator[Rejected]:
        headed = form in ("bars", "image,caption")
        for number, line in self.lines(path):
            if isinstance(line, Rejected):
                yield line
            elif line.strip() and not (headed and number == 1):
                if form == "bars":
                    parts = [part.strip() for part in line.split("|", 2)]
                    pair = (parts[0], parts[2]) if len(parts) == 3 and parts[1].isdigit() else None
                elif form == "image,caption":
                    name, comma, caption = line.partition(",")
                    pair = (name.strip(), _unquoted(caption.strip())) if comma else None
                else:
                    found = _TOKEN.fullmatch(line)
                    pair = (found["name"].strip(), found["caption"]) if found else None
                if pair is None or not pair[0]:
                    yield self.refuse(path, number, "malformed", f"not of the form {form}: {line[:80]!r}")
                else:
                    store.put("caption", *pair)

    def _karpathy_rows(self, path: str, store: Shelf) -> Iterator[Rejected]:
        for number, row in self.rows(path):
            if isinstance(row, Rejected):
                yield row
                continue
            try:
                captions: Any = json.loads(row["raw"])
            except (ValueError, RecursionError):
                captions = None
            if isinstance(captions, list) and row["filename"]:
                for caption in captions:
                    store.put("caption", row["filename"], str(caption))
                store.put("split", row["filename"], row["split"])
            else:
                yield self.refuse(path, number, "malformed", "raw is no JSON list of captions, or filename is empty")

    def _karpathy_json(self, path: str, store: Shelf) -> Iterator[Rejected]:
        number = 0
        try:
            for key, item in json_items(self.files, path):
                if key != "images":
                    continue
                number += 1
                try:
                    for sentence in item["sentences"]:
                        store.put("caption", item["filename"], str(sentence["raw"]))
                    store.put("split", item["filename"], str(item["split"]))
                except (KeyError, TypeError):
                    yield Rejected(
                        f"{path}:{number}", "record", "malformed", f"picture {number}: no filename, split or sentences"
                    )
        except MediaError as error:
            yield Rejected(f"{path}:after {number}", "record", error.reason, f"{error}; what followed is lost")
        except OSError as error:
            yield Rejected(path, "record", "unreadable", error.strerror or str(error))


def _unquoted(cell: str) -> str:
    """What a quoted cell of CSV says; one without quotes may hold commas here."""
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell
