"""Small trees of real files in published layouts, and what a source makes of them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from chiasm.config import BuildConfig
from chiasm.dataset.clean import check_record
from chiasm.modalities.video import write_video
from chiasm.sources import open_source
from chiasm.sources.source import Source
from chiasm.types import Record, Rejected


def picture(seed: int = 0, kind: str = "PNG", size: tuple[int, int] = (20, 10)) -> bytes:
    """A picture of `size` (width, height)."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def sound(seed: int = 0, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).normal(0, 0.1, 1600)
    soundfile.write(file, noise, 16000, format=kind)
    return file.getvalue()


def clip(seed: int = 0) -> bytes:
    return write_video(np.random.default_rng(seed).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8), 4)


def write(root: Path, files: Mapping[str, bytes | str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


@dataclass(frozen=True)
class Read:
    source: Source
    records: dict[str, Record]
    rejected: list[Rejected]
    remarks: list[Rejected]

    @property
    def refused(self) -> list[tuple[str, str]]:
        return [(item.id, item.reason) for item in self.rejected]


def read(path: Path, *, decode: bool = True, **config: Any) -> Read:
    """Everything that the source at `path` gives; ids are unique, and every medium that a record names can be read."""
    source = open_source(str(path), BuildConfig(**config))
    source.prepare()
    items = list(source.records())
    records = [item for item in items if isinstance(item, Record)]
    assert len({record.id for record in records}) == len(records)
    for record in records if decode else ():
        checked = check_record(record, source.root)
        assert checked.rejected == (), record.id
    refusals = [item for item in items if isinstance(item, Rejected)]
    assert list(source.records()) == items, "another order in a second run"
    return Read(
        source,
        {record.id: record for record in records},
        [item for item in refusals if item.part == "record"],
        [item for item in refusals if item.part != "record"],
    )


INFO = {"description": "COCO 2017 Dataset", "year": 2017}
LICENSES = [{"url": "http://creativecommons.org/licenses/by/2.0/", "id": 4, "name": "Attribution License"}]


def image(number: int, width: int = 20, height: int = 10) -> dict[str, Any]:
    name = f"{number:012d}.jpg"
    return {"license": 4, "file_name": name, "height": height, "width": width, "id": number, "coco_url": "http://x"}


def coco(root: Path, extra: list[dict[str, Any]] | None = None, captions: list[dict[str, Any]] | None = None) -> Path:
    images = [image(139), image(285), image(632)]
    objects = [
        {"segmentation": [[0, 0, 10, 0, 10, 5, 0, 5]], "area": 50, "iscrowd": 0, "image_id": 139, "bbox": [0, 0, 10, 5],
         "category_id": 17, "id": 1},
        {"segmentation": {"counts": [100, 20, 80], "size": [10, 20]}, "area": 20, "iscrowd": 1, "image_id": 139,
         "bbox": [10, 0, 12, 10], "category_id": 64, "id": 2},
        *(extra or []),
    ]  # fmt: skip
    said = [{"image_id": 139, "id": 7, "caption": "A cat."}, {"image_id": 139, "id": 8, "caption": "A cat, asleep."}]
    said += [{"image_id": 285, "id": 9, "caption": "A bear."}, {"image_id": 632, "id": 10, "caption": "A room."}]
    categories = [
        {"supercategory": "animal", "id": 17, "name": "cat"},
        {"supercategory": "f", "id": 64, "name": "plant"},
    ]
    head = {"info": INFO, "licenses": LICENSES, "images": images}
    write(root, {
        "annotations/instances_val2017.json": json.dumps({**head, "annotations": objects, "categories": categories}),
        "annotations/captions_val2017.json": json.dumps({**head, "annotations": said + (captions or [])}),
        "val2017/000000000139.jpg": picture(1, "JPEG"),
        "val2017/000000000285.jpg": picture(2, "JPEG"),
    })  # fmt: skip
    return root
