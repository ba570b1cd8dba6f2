"""COCO: `annotations/captions_val2017.json` and `instances_val2017.json` beside folders of pictures (Lin et al., arXiv 1405.0312).

A picture is one record: its captions, and of its objects the boxes, their categories as labels, and one mask of their outlines. Any JSON
of that form is read, named captions_*, instances_* or _annotations.coco.json.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chiasm.config import BuildConfig
from chiasm.errors import MediaError
from chiasm.modalities.image import encode_mask
from chiasm.sources.json_stream import json_items
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import Listing, folder_of, name_of, split_of
from chiasm.sources.outlines import draw_mask
from chiasm.sources.shelf import Shelf, shelf
from chiasm.types import Box, Label, Media, Record, Rejected, Text

_FILE = re.compile(r"(?P<what>captions|instances)_(?P<set>.+)\.json|_?annotations\.coco\.json", re.IGNORECASE)
_OFFICIAL = re.compile(r"(train|val|test)20(14|15|17)")


def look(files: Listing) -> Found | None:
    """JSON files of these names that begin as COCO's do."""
    found = [path for path in files.matching(_FILE.pattern) if _begins_so(files.head(path, 4096))]
    if not found:
        return None
    kinds = [kind for kind in ("captions", "instances") if any(kind in name_of(path).lower() for path in found)]
    why = f"{found[0]}{' …' if len(found) > 1 else ''} with {' and '.join(kinds) or 'annotations'} of pictures"
    return Found("coco", why, {"files of annotations": len(found), "pictures": files.count("image")})


def _begins_so(head: str) -> bool:
    return (
        head.lstrip()[:1] == "{" and re.search(r'"(info|images|licenses|annotations|categories)"\s*:', head) is not None
    )


@dataclass(slots=True)
class _Set:
    """The annotation files of one set, e.g. val2017: what they say beside pictures and annotations."""

    name: str
    paths: list[str]
    categories: dict[str, str]
    licences: dict[str, str]


class CocoSource(LayoutSource):
    """Pictures of all sets, in the order of the files; annotations wait on disk until their picture comes."""

    def __init__(self, files: Listing, config: BuildConfig) -> None:
        super().__init__(files, config)
        self._sets: dict[str, _Set] = {}
        for path in files.matching(_FILE.pattern):
            found = _FILE.fullmatch(name_of(path).lower())
            name = (found["set"] if found else None) or name_of(folder_of(path)) or "annotations"
            self._sets.setdefault(name, _Set(name, [], {}, {})).paths.append(path)

    def items(self) -> Iterator[Record | Rejected]:
        for found in self._sets.values():
            with shelf() as store:
                for path in found.paths:
                    yield from self._load(path, found, store)
                for key in store.keys("image"):
                    yield from self._picture(found, store, key)
                for kind in ("caption", "object"):
                    for key in store.keys(kind, without="image"):
                        for row in store.get(kind, key):
                            what = f"{found.name}/annotation {row['id']}"
                            yield Rejected(what, "record", "missing", f"no picture has the id {key}")

    def _load(self, path: str, found: _Set, store: Shelf) -> Iterator[Rejected]:
        numbers: Counter[str] = Counter()
        try:
            for key, item in json_items(self.files, path):
                numbers[key] += 1
                number = numbers[key]
                if key not in ("images", "annotations", "categories", "licenses"):
                    continue
                if not isinstance(item, dict):
                    yield Rejected(
                        f"{path}:{key}:{number}", "record", "malformed", f"item {number}: expected an object {{…}}"
                    )
                elif key == "images" and isinstance(item.get("file_name"), str) and item.get("id") is not None:
                    store.put(
                        "image",
                        item["id"],
                        {name: item.get(name) for name in ("file_name", "width", "height", "license")},
                    )
                elif key == "annotations" and item.get("image_id") is not None:
                    kind = "caption" if "caption" in item else "object"
                    wanted = ("id", "caption") if kind == "caption" else ("id", "bbox", "category_id", "segmentation")
                    store.put(kind, item["image_id"], {name: item.get(name) for name in wanted})
                elif key == "categories":
                    found.categories[str(item.get("id"))] = str(item.get("name"))
                elif key == "licenses":
                    found.licences[str(item.get("id"))] = str(item.get("name") or item.get("url"))
                else:
                    yield Rejected(
                        f"{path}:{key}:{number}", "record", "malformed", f"item {number}: no id, file_name or image_id"
                    )
        except MediaError as error:
            yield Rejected(f"{path}:after {numbers.total()}", "record", error.reason, f"{error}; what followed is lost")
        except OSError as error:
            yield Rejected(path, "record", "unreadable", error.strerror or str(error))

    def _picture(self, found: _Set, store: Shelf, key: str) -> Iterator[Record | Rejected]:
        image: Mapping[str, Any] = store.get("image", key)[0]
        name, split = str(image["file_name"]), split_of(found.name)
        captions = [str(row["caption"]) for row in store.get("caption", key)]
        record = f"{found.name}/{key}"
        beside = folder_of(found.paths[0])
        path = self.files.find(f"{found.name}/{name}", f"images/{found.name}/{name}", f"{beside}/{name}", name)
        if path is None and (self.files.media or not captions):
            yield Rejected(record, "record", "missing", f"the picture {name[:200]} is not there")
            return
        boxes, outlines, remarks = _objects(store.get("object", key), image, found, record)
        yield from remarks
        mask = None
        if path is not None and outlines is not None:
            try:
                mask = Media(data=encode_mask(draw_mask(outlines, int(image["width"]), int(image["height"]))))
            except (MediaError, TypeError, ValueError) as error:
                yield Rejected(record, "mask", "format", str(error))
        yield Record(
            id=record,
            texts=tuple(Text(text, "en" if _OFFICIAL.fullmatch(found.name) else None) for text in captions),
            image=() if path is None else (Media(path=self.take(path)),),
            labels=tuple(Label("category", name) for name in dict.fromkeys(box.label for box in boxes)),
            boxes=tuple(boxes) if path is not None else (),
            mask=mask,
            group=f"coco:{key}" if _OFFICIAL.fullmatch(found.name) else None,
            split=split,
            source=self.name,
            licence=found.licences.get(str(image.get("license"))),
        )


def _objects(
    rows: list[Any], image: Mapping[str, Any], found: _Set, record: str
) -> tuple[list[Box], list[Any] | None, list[Rejected]]:
    """Boxes as fractions of the picture, cut at its sides; their outlines (None where one of them has none); and what is wrong with others."""
    boxes: list[Box] = []
    outlines: list[Any] = []
    remarks: list[Rejected] = []
    for row in rows:
        label = found.categories.get(str(row["category_id"]))
        if label is None:
            known = f"the {len(found.categories):,} listed" if found.categories else "none is listed"
            problem = f"its category {str(row['category_id'])[:40]!r} is not among `categories` ({known})"
            remarks.append(Rejected(record, "box", "unknown_category", f"annotation {row['id']}: {problem}"))
            continue
        try:
            boxes.append(_box(row["bbox"], image, label))
        except ValueError as error:
            remarks.append(Rejected(record, "box", "format", f"annotation {row['id']}: {error}"))
            continue
        outlines.append(row["segmentation"])
    return boxes, outlines if outlines and all(outlines) else None, remarks


def _box(bbox: Any, image: Mapping[str, Any], label: str) -> Box:
    """[x, y, width, height] in pixels, cut at the picture's sides. Raises ValueError with what is wrong."""
    try:
        width, height = float(image["width"]), float(image["height"])
    except (TypeError, ValueError, OverflowError):
        raise ValueError("its picture has no width and height in `images`") from None
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise ValueError(f"its picture is said to have {width:g} × {height:g} pixels")
    try:
        x, y, w, h = (float(value) for value in bbox)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("its bbox is no [x, y, width, height]") from None
    x0, y0 = max(x / width, 0.0), max(y / height, 0.0)
    x1, y1 = min((x + w) / width, 1.0), min((y + h) / height, 1.0)
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise ValueError("its bbox has no area within the picture")
    return Box(x0, y0, x1, y1, label)
