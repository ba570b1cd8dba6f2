"""A mask is kept where it can be one of the record's boxes, and dropped with the reason where it cannot."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_cases import ListSource, picture, record
from PIL import Image

from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.dataset.clean import check_record
from chiasm.dataset.table import Table
from chiasm.errors import MediaError
from chiasm.modalities.image import encode_mask, read_mask
from chiasm.types import Box, Media, Record

BOXES = (Box(0, 0, 0.5, 0.5, "a"), Box(0.5, 0.5, 1, 1, "b"))
MASK = np.repeat(np.repeat(np.array([[1, 0], [0, 2]], np.uint8), 6, 0), 6, 1)


def masked(mask: bytes, number: int = 0) -> Record:
    return replace(record(number), boxes=BOXES, mask=Media(data=mask))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def test_masks_are_read_as_they_are_stored() -> None:
    assert np.array_equal(read_mask(encode_mask(MASK)), MASK)
    palette = Image.fromarray(MASK, "L").convert("P")
    palette.putdata(MASK.ravel().tolist())
    palette.putpalette([255, 255, 255, 255, 0, 0, 0, 0, 255])
    assert np.array_equal(read_mask(encoded(palette)), MASK)


BROKEN = {
    "size": encode_mask(MASK[:-1]),
    "boxes": encode_mask(MASK + 1),
    "format": encoded(Image.new("RGB", (12, 12))),
    "truncated": encode_mask(np.random.default_rng(0).integers(0, 3, (12, 12)).astype(np.uint8))[:60],
    "empty": b"",
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_mask_that_cannot_be_is_dropped(reason: str) -> None:
    checked = check_record(masked(BROKEN[reason]), None)
    assert checked.record == replace(record(0), boxes=BOXES)
    ((part, found),) = [(row.part, row.reason) for row in checked.rejected]
    assert part == "mask"
    assert found in (reason, "corrupt") if reason == "truncated" else found == reason


def test_a_mask_is_bounded_before_it_is_decoded() -> None:
    huge = bytearray(encode_mask(MASK))
    huge[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(MediaError) as raised:
        read_mask(bytes(huge))
    assert raised.value.reason in ("too_large", "corrupt")
    with pytest.raises(MediaError, match="PNG"):
        read_mask(encoded(Image.new("L", (12, 12)), "JPEG"))


def test_a_mask_goes_with_its_picture() -> None:
    kept = Media(data=picture(1))
    for images in ((), (Media(data=b"no picture"), kept)):
        checked = check_record(replace(masked(encode_mask(MASK)), image=images), None)
        assert checked.record is not None
        assert checked.record.mask is None
        assert ("mask", "no_picture") in [(row.part, row.reason) for row in checked.rejected]


def test_a_table_holds_records_with_and_without(tmp_path: Path) -> None:
    given = [masked(encode_mask(MASK), 0), record(1), masked(BROKEN["size"], 2), masked(encode_mask(MASK), 3)]
    result = build(ListSource(given), tmp_path / "d.lance", BuildConfig())
    assert (result.accepted, result.dropped_parts, dict(result.reasons)) == (4, 1, {"size": 1})
    table = Table(tmp_path / "d.lance")
    assert [found.mask for found in table.records()] == [given[0].mask, None, None, given[3].mask]
    assert [found.mask for found in table.records([1, 3])] == [None, given[3].mask]
