"""One record, really read: media that cannot be decoded and texts that hold nothing are taken out, with the
reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from chiasm.dataset.split import Key
from chiasm.errors import MediaError
from chiasm.modalities.audio import encode_audio, read_audio
from chiasm.modalities.image import picture_size, read_image, read_mask
from chiasm.modalities.media import read_bytes
from chiasm.modalities.text import clean_text
from chiasm.modalities.video import read_track, read_video
from chiasm.types import Media, Record, Rejected, Text

PIXELS = 128
"""Pictures whose rendering at this size is equal pixel for pixel are copies, whatever file holds them."""

FRAMES = 4
"""Frames of a clip that are looked at, evenly spaced; all of it is decoded."""

NOT_TEXT = "a lone surrogate in its id, labels, paths or other fields: not text that can be stored"

SILENCE = 1e-3
"""A sound track that never exceeds this (full scale: 1) holds nothing to hear."""


Look = Callable[[str, bytes, NDArray[Any]], None]
"""Is shown every medium that was decoded and kept, in order: modality, encoded bytes, and uint8 [PIXELS, PIXELS, 3] of a picture,
float32 [S] at 16 kHz of a sound, uint8 [FRAMES, PIXELS, PIXELS, 3] of a clip."""


@dataclass(frozen=True, slots=True)
class Checked:
    """record: what is kept, or None. rejected: one row where the record was refused, else one for each part
    that was dropped.
    """

    record: Record | None
    rejected: tuple[Rejected, ...]
    key: Key


def check_record(
    record: Record,
    root: Path | None,
    *,
    vouched: frozenset[str] = frozenset(),
    embed: bool = True,
    look: Look | None = None,
) -> Checked:
    """Read every medium of `record` and clean its texts. With `embed`, media come back as bytes.

    A record that keeps no text, picture, sound or clip is refused with the reason of its first broken part
    (`no_modality` where it had none). Media of a modality in `vouched` are taken as they are. Where
    a record has clips and no sound of its own, the sound tracks of its clips become its sounds, of kind "track".
    `look` sees what was decoded, so that nobody needs to decode it again.
    """
    if not encodable(record):
        return Checked(None, (Rejected(record.id, "record", "encoding", NOT_TEXT),), Key(record.id))
    reading = _Reading(record, root, vouched, embed, look)
    texts = reading.texts()
    kept = {modality: reading.media(modality) for modality in _READERS}
    if kept["video"] and not record.audio and "video" not in vouched:
        kept["audio"] = reading.tracks(kept["video"])
    dropped, contents = reading.dropped, reading.contents
    if len(texts) == 1:  # of several, one may be shared without the records being copies
        contents.append("text:" + _digest(texts[0].text.casefold().encode()))
    key = Key(record.id, record.group, record.split, tuple(contents))
    if not texts and not any(kept.values()):
        reason = dropped[0].reason if dropped else "no_modality"
        message = "; ".join(part.message for part in dropped) or "no text, picture, sound or clip"
        return Checked(None, (Rejected(record.id, "record", reason, message),), key)
    mask = reading.mask(bool(kept["image"]) and not any(part.part == "image" for part in dropped))
    clean = replace(record, texts=texts, image=kept["image"], audio=kept["audio"], video=kept["video"], mask=mask)
    return Checked(clean, tuple(dropped), key)


class _Reading:
    """The parts of one record as they are read: what was dropped, and digests of what was kept."""

    def __init__(
        self, record: Record, root: Path | None, vouched: frozenset[str], embed: bool, look: Look | None
    ) -> None:
        self.dropped: list[Rejected] = []
        self.contents: list[str] = []
        self._record, self._root, self._vouched, self._embed, self._look = record, root, vouched, embed, look

    def texts(self) -> tuple[Text, ...]:
        kept: list[Text] = []
        for text in self._record.texts:
            try:
                kept.append(replace(text, text=clean_text(text.text)))
            except MediaError as error:
                self._drop("text", error.reason, str(error))
        return tuple(kept)

    def media(self, modality: str) -> tuple[Media, ...]:
        kept: list[Media] = []
        for medium in getattr(self._record, modality):
            try:
                data = read_bytes(medium, self._root)
                if modality not in self._vouched:
                    decoded = _READERS[modality](data)
                    self.contents.append("bytes:" + _digest(data))
                    if modality == "image":
                        self.contents.append("pixels:" + _digest(decoded.tobytes()))
                    if self._look is not None:
                        self._look(modality, data, decoded)
            except MediaError as error:
                name = f"{medium.path}: " if medium.path and medium.path not in str(error) else ""
                self._drop(modality, error.reason, f"{name}{error}")
            else:
                kept.append(replace(medium, data=data, path=None) if self._embed else medium)
        return tuple(kept)

    def tracks(self, clips: tuple[Media, ...]) -> tuple[Media, ...]:
        """What is to be heard in the clips: FLAC of 16 kHz mono in the table, also where the clips lie beside it."""
        kept: list[Media] = []
        for clip in clips:
            try:
                samples = read_track(read_bytes(clip, self._root))
            except MediaError as error:
                self._drop("audio", error.reason, f"{clip.path or 'the clip'}: {error}")
                continue
            if samples is not None and max(samples.max(), -samples.min()) > SILENCE:
                data = encode_audio(samples, bits=16)
                kept.append(Media(data, None, "track", clip.language, clip.by))
                if self._look is not None:
                    self._look("audio", data, samples)
        return tuple(kept)

    def mask(self, pictured: bool) -> Media | None:
        """The record's mask, where it can be one of its boxes. pictured: no picture was dropped, so that the first one is its."""
        mask = self._record.mask
        if mask is None:
            return None
        try:
            data = read_bytes(mask, self._root)
            if "image" not in self._vouched:
                if not pictured:
                    raise MediaError("no_picture", "the mask belongs to a picture that is not there or was dropped")
                self._check_mask(data)
        except MediaError as error:
            self._drop("mask", error.reason, f"{mask.path}: {error}" if mask.path else str(error))
            return None
        return replace(mask, data=data, path=None) if self._embed else mask

    def _check_mask(self, data: bytes) -> None:
        size = picture_size(read_bytes(self._record.image[0], self._root))
        values, boxes = read_mask(data), len(self._record.boxes)
        if values.shape != size[::-1]:
            height, width = values.shape
            raise MediaError("size", f"the mask is {width} × {height} pixels, the first picture {size[0]} × {size[1]}")
        if values.max() > boxes:
            raise MediaError("boxes", f"the mask marks a box {values.max()}, and the record has {boxes}")

    def _drop(self, part: str, reason: str, message: str) -> None:
        self.dropped.append(Rejected(self._record.id, part, reason, message))


def encodable(record: Record) -> bool:
    """Whether every string beside the texts, which are cleaned, can be written as UTF-8."""
    media = (*record.image, *record.audio, *record.video, *(() if record.mask is None else (record.mask,)))
    strings: list[str | None] = [record.id, record.group, record.split, record.source, record.licence]
    strings += [part for m in media for part in (m.path, m.kind, m.language, m.by, m.text)]
    strings += [part for text in record.texts for part in (text.language, text.kind)]
    strings += [part for label in record.labels for part in (label.name, label.value)]
    strings += [box.label for box in record.boxes]
    strings += [part for q in record.questions for part in (q.question, *q.answers, q.language)]
    strings += [part for r in record.relations for part in (r.subject, r.predicate, r.object)]
    try:
        "".join(part for part in strings if part).encode()
    except UnicodeEncodeError:
        return False
    return True


_READERS: dict[str, Callable[[bytes], NDArray[Any]]] = {
    "image": lambda data: read_image(data, PIXELS),
    "audio": read_audio,
    "video": lambda data: read_video(data, PIXELS, FRAMES),
}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
