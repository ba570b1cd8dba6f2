"""What is measured of each record while it is read: quality figures and signatures, one row of MEASURES a record.

Figures are of the first picture, sound, clip and text of a record; signatures are of all of them, in their order. A column is null, and a
list empty, where the record has no such part or its source vouches for it. Every medium is decoded once: `Measuring` is shown what
dataset/clean.py decodes anyway.
"""

# pyright: reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chiasm.dataset.clean import check_record
from chiasm.dataset.language import guess_language
from chiasm.dataset.signatures import (
    CLIP_BYTES,
    COLOUR_BYTES,
    MINHASH_BYTES,
    PICTURE_BYTES,
    SOUND_BYTES,
    clip_hash,
    colour_cells,
    grey,
    minhash,
    picture_hash,
    sound_hash,
    text_digest,
)
from chiasm.dataset.wording import is_placeholder, text_quality
from chiasm.modalities.audio import RATE
from chiasm.modalities.image import picture_size
from chiasm.modalities.video import clip_size
from chiasm.types import Record, Text

MEASURES = pa.schema(
    [
        ("image_width", pa.int32()),
        ("image_height", pa.int32()),
        ("image_blur", pa.float32()),
        ("image_entropy", pa.float32()),
        ("image_ink", pa.float32()),
        ("image_hash", pa.list_(pa.binary(PICTURE_BYTES))),
        ("image_colours", pa.list_(pa.binary(COLOUR_BYTES))),
        ("audio_seconds", pa.float32()),
        ("audio_rms", pa.float32()),
        ("audio_peak", pa.float32()),
        ("audio_clipped", pa.float32()),
        ("audio_silent", pa.float32()),
        ("audio_hash", pa.list_(pa.binary(SOUND_BYTES))),
        ("video_seconds", pa.float32()),
        ("video_frames", pa.int32()),
        ("video_width", pa.int32()),
        ("video_height", pa.int32()),
        ("video_hash", pa.list_(pa.binary(CLIP_BYTES))),
        ("text_characters", pa.int32()),
        ("text_words", pa.int32()),
        ("text_language", pa.string()),
        ("text_confidence", pa.float32()),
        ("text_declared", pa.string()),
        ("text_quality", pa.float32()),
        ("text_placeholder", pa.bool_()),
        ("text_digest", pa.list_(pa.uint64())),
        ("text_minhash", pa.binary(MINHASH_BYTES)),
    ]
)
"""The columns, in their order.

image_width, _height: pixels, upright · image_blur: variance of the Laplacian of grey 0 … 255 at 128 pixels a side (low: blurred or flat) ·
image_entropy: bits of its grey levels, 0 … 8 · image_ink: share of pixels that differ from the commonest grey by more than 8 (0: blank) ·
audio_seconds · audio_rms: dB of full scale · audio_peak: 0 … 1 · audio_clipped: share of samples at full scale in runs of 3 or more ·
audio_silent: share of 20 ms frames below SILENT_DB · video_seconds, _frames (of the stream), _width, _height ·
text_characters, _words · text_declared: the language that the text says it is in · text_language, _confidence: ISO 639 guess and its
probability (language.py) · text_quality: 0 … 1 and text_placeholder (wording.py) · text_digest: of each text, without case and punctuation ·
*_hash, image_colours, text_minhash: signatures.py; the minhash is of all texts together.
"""

T = TypeVar("T", np.uint8, np.float32)
SILENT_DB = -60.0
_FRAME = 320
_FLOOR = 1e-10


def measure(record: Record, root: Path | None) -> dict[str, object]:
    """The row of MEASURES of `record`; its media are read from its bytes, or below `root`. Parts that cannot be read are left out."""
    measuring = Measuring()
    checked = check_record(record, root, embed=False, look=measuring.look)
    return measuring.row(() if checked.record is None else checked.record.texts)


class Measuring:
    """Gathers the measures of one record: `look` takes each of its media in turn, `row` the texts that were kept, and gives the row."""

    def __init__(self) -> None:
        self._row: dict[str, object] = {}
        self._row.update(dict.fromkeys(MEASURES.names))
        self._hashes: dict[str, list[bytes]] = {"image": [], "audio": [], "video": []}
        self._colours: list[bytes] = []

    def look(self, modality: str, data: bytes, decoded: NDArray[Any]) -> None:
        """One decoded medium (clean.Look)."""
        hashes = self._hashes[modality]
        first = not hashes
        if modality == "image":
            width, height = picture_size(data)
            levels = content(grey(decoded), width, height)
            hashes.append(picture_hash(levels))
            self._colours.append(colour_cells(content(decoded, width, height)))
            if first:
                self._row.update(image_width=width, image_height=height, **picture_figures(levels))
        elif modality == "audio":
            hashes.append(sound_hash(decoded))
            if first:
                self._row.update(sound_figures(decoded))
        else:
            width, height, frames, seconds = clip_size(data)
            hashes.append(clip_hash(decoded))
            if first:
                self._row.update(video_width=width, video_height=height, video_frames=frames, video_seconds=seconds)

    def row(self, texts: Sequence[Text]) -> dict[str, object]:
        """The finished row of a record that keeps `texts`."""
        self._row.update({f"{modality}_hash": hashes for modality, hashes in self._hashes.items()})
        self._row["image_colours"] = self._colours
        self._row["text_digest"] = [text_digest(text.text) for text in texts]
        if texts:
            self._row.update(text_figures(texts[0].text), text_declared=texts[0].language)
            self._row["text_placeholder"] = all(is_placeholder(text.text) for text in texts)
            self._row["text_minhash"] = minhash([" \n ".join(text.text for text in texts)])[0].tobytes()
        return self._row


def content(levels: NDArray[T], width: int, height: int) -> NDArray[T]:
    """The part of a square rendering [S, S] or [S, S, 3] that a picture of `width` × `height` covers: [h, w], without the white beside it."""
    side = levels.shape[0]
    scale = side / max(width, height)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    x, y = (side - w) // 2, (side - h) // 2
    return levels[y : y + h, x : x + w]


def picture_figures(levels: NDArray[np.float32]) -> dict[str, object]:
    """Blur, entropy and ink (see MEASURES) of grey levels [h, w] in 0 … 255."""
    counts = np.bincount(levels.astype(np.uint8).ravel(), minlength=256)
    shares = counts[counts > 0] / levels.size
    blur = 0.0
    if min(levels.shape) >= 3:
        middle = levels[1:-1, 1:-1]
        laplacian = levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:] - 4 * middle
        blur = float(laplacian.var())
    common = int(counts.argmax())
    ink = 1.0 - float(counts[max(0, common - 8) : common + 9].sum()) / levels.size
    return {"image_blur": blur, "image_entropy": float(-(shares * np.log2(shares)).sum()) + 0.0, "image_ink": ink}


def sound_figures(samples: NDArray[np.float32]) -> dict[str, object]:
    """Seconds, loudness, peak, and the clipped and silent shares (see MEASURES) of 16 kHz samples [S]."""
    loud = np.abs(samples)
    peak = float(loud.max())
    full = loud >= 0.999
    clipped = 0.0
    if full.any():
        # Of a run at full scale, all but its two ends: single peaks that just touch it are no clipping.
        clipped = float((full[1:-1] & full[:-2] & full[2:]).sum()) / len(samples)
    whole = samples[: len(samples) // _FRAME * _FRAME] if len(samples) >= _FRAME else samples
    frames = whole.reshape(-1, _FRAME) if len(samples) >= _FRAME else whole[None]
    power = np.einsum("ft,ft->f", frames, frames) / frames.shape[1]
    silent = float((power < 10.0 ** (SILENT_DB / 10)).mean())
    mean = float(np.dot(samples, samples)) / len(samples)
    return {
        "audio_seconds": len(samples) / RATE,
        "audio_rms": float(10 * np.log10(mean + _FLOOR)),
        "audio_peak": peak,
        "audio_clipped": clipped,
        "audio_silent": silent,
    }


def text_figures(text: str) -> dict[str, object]:
    """Length, language guess and quality (see MEASURES)."""
    language, confidence = guess_language(text)
    return {
        "text_characters": len(text),
        "text_words": len(text.split()),
        "text_language": language,
        "text_confidence": confidence,
        "text_quality": text_quality(text),
    }
