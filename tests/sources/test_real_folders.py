"""Real folders of data, as they are: each is recognised for what it is, and none of it is refused without need."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.sources import open_source
from chiasm.sources.recognise import recognise
from chiasm.types import Record, Rejected

REAL = {
    "openclipart": ("manifest", 300), "tuxpaint": ("manifest", 300), "fsdd": ("manifest", 300), "klettres": ("manifest", 300),
    "easy_vqa": ("manifest", 300), "nlvr": ("manifest", 300), "multi30k": ("manifest", 300), "wds_fixtures": ("webdataset", 100),
    "video_clips": ("manifest", 13), "sonicpi_samples": ("manifest", 165), "asr_fixtures": ("manifest", 13), "cifar10": ("manifest", 300),
}  # fmt: skip
FEW = 5


@pytest.mark.parametrize("name", REAL)
def test_recognised_and_read(name: str, shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    layout, least = REAL[name]
    folder = shared_data(name)
    found = recognise(folder)
    assert found.layout == layout
    source = open_source(str(folder), BuildConfig())
    assert source.found.startswith(found.sentence)  # then the columns that are not used
    remarks = (item for item in source.records() if not (isinstance(item, Rejected) and item.part == "language"))
    items = list(islice(remarks, least))  # without the ledger's word on languages such as "N/A", which are kept
    records = [item for item in items if isinstance(item, Record)]
    assert len(items) == least
    assert len(records) == least or name == "wds_fixtures"  # its arrays and message packs are refused
    assert len({record.id for record in records}) == len(records)
    if name != "openclipart":  # the others differ in what is in them, not in how they are read
        result = build(str(folder), tmp_path / "t.lance", BuildConfig(limit=FEW, validation=0, test=0))
        assert (result.given, result.accepted, result.rejected) == (FEW, FEW, 0)


def test_the_same_drawings_without_their_manifest(shared_data: Callable[[str], Path]) -> None:
    found = recognise(shared_data("openclipart") / "images")
    assert found.layout == "folder" and found.counts["image"] > 5000


def test_real_tars_one_by_one(shared_data: Callable[[str], Path]) -> None:
    """Samples as the tars' README tells: pictures with classes, gzipped texts, and two of formats that are not read."""
    folder = shared_data("wds_fixtures")
    counts: dict[str, tuple[int, int]] = {}
    for path in sorted(folder.glob("webdataset_*")):
        items = list(open_source(str(path), BuildConfig()).records())
        kept = [item for item in items if isinstance(item, Record)]
        counts[path.name] = (len(kept), len(items) - len(kept))
        assert all(item.reason == "unknown_kind" for item in items if isinstance(item, Rejected))
    assert counts == {
        "webdataset_compressed.tar": (3, 0), "webdataset_mpdata.tar": (0, 100), "webdataset_sample.tgz": (90, 0),
        "webdataset_tendata.tar": (0, 100),
    }  # fmt: skip
    (first, *_) = [
        item
        for item in open_source(str(folder / "webdataset_sample.tgz"), BuildConfig()).records()
        if isinstance(item, Record)
    ]
    assert first.image and first.labels[0].name == "class"
