"""Media inside a page: small copies as data URIs, within a budget for the whole file."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.dataset.table import Table
from chiasm.errors import MediaError
from chiasm.modalities.audio import encode_audio, read_audio
from chiasm.modalities.image import read_image
from chiasm.modalities.video import read_video
from chiasm.types import Media

BUDGET = 6_000_000
"""Characters of data URIs a page; what comes after is described in words."""
THUMBNAIL = 96
SECONDS = 4.0
CLIP_SECONDS = 10.0
STRIP = 4
"""Frames that stand for a clip."""


class Embedded:
    """Turns media of a table into data URIs and keeps count. `left_out` says how many did not fit."""

    def __init__(self, table: Table, budget: int = BUDGET) -> None:
        self._table = table
        self._left = [budget]
        self._left_out = [0]

    @property
    def left_out(self) -> int:
        return self._left_out[0]

    def of(self, table: Table) -> Embedded:
        """The same page's media of another table, out of the same budget."""
        other = Embedded(table)
        other._left, other._left_out = self._left, self._left_out
        return other

    def add(self, kind: str, data: bytes) -> str | None:
        """Anything made for the page, as a data URI; None where it no longer fits."""
        uri = data_uri(kind, data)
        if len(uri) > self._left[0]:
            self._left_out[0] += 1
            return None
        self._left[0] -= len(uri)
        return uri

    def picture(self, media: Media) -> str | None:
        """A thumbnail as a WebP data URI; None where it cannot be read or no longer fits."""
        return self._spend(media, lambda data: ("image/webp", webp(read_image(data, THUMBNAIL))))

    def sound(self, media: Media) -> str | None:
        """The first seconds as a FLAC data URI; None where it cannot be read or no longer fits."""
        return self._spend(media, lambda data: ("audio/flac", encode_audio(read_audio(data, SECONDS))))

    def strip(self, media: Media) -> str | None:
        """A clip's first seconds as STRIP thumbnails in a row, a WebP data URI; None where it cannot be read or no longer fits."""
        return self._spend(
            media, lambda data: ("image/webp", webp(np.hstack(list(read_video(data, THUMBNAIL, STRIP, CLIP_SECONDS)))))
        )

    def _spend(self, media: Media, encode: Callable[[bytes], tuple[str, bytes]]) -> str | None:
        try:
            return self.add(*encode(self._table.read(media)))
        except MediaError:
            return None


def webp(pixels: NDArray[np.uint8], quality: int = 82) -> bytes:
    """uint8 [H, W, 3] → WebP bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=quality, method=4)
    return file.getvalue()


def data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
