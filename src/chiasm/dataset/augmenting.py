"""The step *augment*: changed copies of the rows of train, each seeded by its id, so that workers do not change a byte; order only where copies
are mixed, which they are with the row before.

It comes after *split* and looks at the records' splits as decided so far: only rows whose split is train are copied, and a copy has its origin's
group, labels, questions and relations, split train, the id ``ID~1`` (``~2`` …), and media of the kind "augmented: …" that names what was
done. Boxes and masks stay true: pictures that have any are changed in colour alone.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.building import AugmentConfig
from chiasm.config import BuildConfig
from chiasm.dataset.split import TRAIN
from chiasm.dataset.step import Embedder, Outcome, Sheet
from chiasm.errors import ConfigError, MediaError
from chiasm.modalities.audio import encode_audio, read_audio
from chiasm.modalities.augment_audio import add_noise, gain, mask_bands, overlay, pitch_shift, stretch
from chiasm.modalities.augment_image import COLOURS, LEVELS, apply_operations, cut_mix, draw_operations, mix_up
from chiasm.modalities.augment_text import back_off, drop_words, stems, swap_words
from chiasm.modalities.image import read_image
from chiasm.modalities.media import read_bytes
from chiasm.modalities.video import clip_size, read_video, write_video
from chiasm.sources import Progress
from chiasm.types import Media, Record, Text

CLIP_SIDE, CLIP_FRAMES, CLIP_SECONDS = 160, 48, 10.0
"""What is kept of a changed clip."""
MARK = "augmented: "
_TURN = "turn:"

A = TypeVar("A")


def run(
    sheet: Sheet,
    config: BuildConfig,
    *,
    model: Embedder | None = None,
    progress: Progress | None = None,
    root: Path | None = None,
) -> Outcome:
    """`added`: config.augment.copies changed copies of every row of train. root: where relative media paths start.

    facts: copies, of (rows of train). Raises ConfigError where no row is in train, or the file of words cannot be used.
    """
    if not config.augment.copies:
        return Outcome()
    splits = {row: record.split for row, record in sheet.records(columns=["id", "split"])}
    chosen = [row for row, split in splits.items() if split == TRAIN]
    if not chosen:
        raise ConfigError("augment: no row is in train; it is the step after split")
    words = _words(config.augment, sheet, chosen)
    augmenter = Augmenter(config.augment, config.seed, root, words, {key.id for key in sheet.keys})
    return Outcome(
        added=_added(augmenter, sheet, chosen, progress),
        facts={"copies": config.augment.copies * len(chosen), "of": len(chosen), "words": len(words)},
    )


def _added(
    augmenter: Augmenter, sheet: Sheet, chosen: Sequence[int], progress: Progress | None
) -> Iterator[tuple[int, Record]]:
    for done, (row, record) in enumerate(sheet.records(rows=chosen), 1):
        for copy in augmenter.copies(record):
            yield row, copy
        if progress is not None and (done % 64 == 0 or done == len(chosen)):
            progress("augment", done, len(chosen))


@dataclass
class Augmenter:
    """Makes changed copies of records, one record after the other. words: what words back off to · taken: ids that copies must not have ·
    picture, sound: the first ones of the record before, which a mixed copy is mixed with: so mixing needs no second reading.
    """

    config: AugmentConfig
    seed: int
    root: Path | None = None
    words: Mapping[str, str] = field(default_factory=dict[str, str])
    taken: set[str] = field(default_factory=set[str])
    picture: NDArray[np.uint8] | None = None
    sound: NDArray[np.float32] | None = None

    def copies(self, record: Record) -> list[Record]:
        """The record's copies. Media that cannot be read are left out of them."""
        pictures = self._decoded(record.image, read_image)
        sounds = self._decoded(record.audio, read_audio)
        found: list[Record] = []
        number = 0
        for _ in range(self.config.copies):
            number += 1
            while f"{record.id}~{number}" in self.taken:
                number += 1
            found.append(self._copy(record, number, pictures, sounds))
        self.picture = pictures[0][1] if pictures else self.picture
        self.sound = sounds[0][1] if sounds else self.sound
        return found

    def _copy(
        self,
        record: Record,
        number: int,
        pictures: Sequence[tuple[Media, NDArray[np.uint8]]],
        sounds: Sequence[tuple[Media, NDArray[np.float32]]],
    ) -> Record:
        rng = generator(self.seed, record.id, number)
        still = bool(record.boxes) or record.mask is not None
        mixed = bool(rng.random() < self.config.mix)
        texts = tuple(self._text(text, rng) for text in record.texts)
        image = tuple(
            self._picture(media, pixels, rng, still, mixed and i == 0) for i, (media, pixels) in enumerate(pictures)
        )
        audio = tuple(self._sound(media, samples, rng, mixed and i == 0) for i, (media, samples) in enumerate(sounds))
        video = tuple(clip for media in record.video if (clip := self._clip(media, rng)) is not None)
        # A table names the group of a row that has none after its id.
        group = record.group if record.group is not None else record.id
        return replace(
            record,
            id=f"{record.id}~{number}",
            texts=texts,
            image=image,
            audio=audio,
            video=video,
            group=group,
            split=TRAIN,
        )

    def _decoded(self, media: Sequence[Media], read: Callable[[bytes], A]) -> list[tuple[Media, A]]:
        found: list[tuple[Media, A]] = []
        for one in media:
            try:
                found.append((one, read(read_bytes(one, self.root))))
            except MediaError:
                continue
        return found

    def _picture(
        self, media: Media, pixels: NDArray[np.uint8], rng: np.random.Generator, still: bool, mixed: bool
    ) -> Media:
        choices = [name for name in self.config.image if not still or name in COLOURS]
        u = rng.random(2 * self.config.operations)
        drawn = draw_operations(u, self.config.magnitude, choices) if choices else ()
        pixels = apply_operations(pixels, drawn)
        names = [name for name, _ in drawn]
        if mixed and not still and self.picture is not None:
            share = float(rng.uniform(0.6, 0.9))
            if rng.random() < 0.5:
                pixels, name = mix_up(pixels, self.picture, share), "mixup"
            else:
                pixels, name = cut_mix(pixels, self.picture, share, rng), "cutmix"
            names.append(f"{name} {share:.2f}")
        return _changed(media, _png(pixels), names)

    def _sound(self, media: Media, samples: NDArray[np.float32], rng: np.random.Generator, mixed: bool) -> Media:
        level = self.config.magnitude / LEVELS
        names: list[str] = []
        if self.config.audio:
            count = min(self.config.operations, len(self.config.audio))
            for i in np.sort(rng.choice(len(self.config.audio), count, replace=False)).tolist():
                names.append(self.config.audio[i])
                samples = change_sound(samples, names[-1], level, rng)
        if mixed and self.sound is not None:
            samples = overlay(samples, self.sound, float(rng.uniform(6, 15)))
            names.append("overlay")
        return _changed(media, encode_audio(samples), names)

    def _clip(self, media: Media, rng: np.random.Generator) -> Media | None:
        try:
            data = read_bytes(media, self.root)
            frames = read_video(data, CLIP_SIDE, CLIP_FRAMES, CLIP_SECONDS)
            seconds = min(clip_size(data)[3], CLIP_SECONDS)
        except MediaError:
            return None
        if not self.config.image:
            return media
        drawn = draw_operations(rng.random(2 * self.config.operations), self.config.magnitude, self.config.image)
        changed = np.stack([apply_operations(frame, drawn) for frame in frames])
        rate = max(1, round(len(frames) / max(seconds, 0.1)))
        return _changed(media, write_video(changed, rate), [name for name, _ in drawn])

    def _text(self, text: Text, rng: np.random.Generator) -> Text:
        share = self.config.magnitude / 90
        said = text.text
        for name in self.config.text:
            if name == "drop":
                said = drop_words(said, share, rng)
            elif name == "swap":
                said = swap_words(said, int(rng.random() < 3 * share), rng)
            else:
                said = back_off(said, self.words, 3 * share, rng)
        return replace(text, text=said)


def change_sound(
    samples: NDArray[np.float32], name: str, level: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """One operation on 16 kHz samples [S] at a level 0 … 1: up to 30 % faster or slower, 4 semitones, noise 40 to 10 dB below, 12 dB, the whole
    of SpecAugment's masks."""
    sign = 1.0 if rng.random() < 0.5 else -1.0
    if name == "mask":
        return mask_bands(samples, rng, level)
    if name == "stretch":
        return stretch(samples, 1.3 ** (sign * level))
    if name == "pitch":
        return pitch_shift(samples, 4 * sign * level)
    if name == "noise":
        return add_noise(samples, 40 - 30 * level, rng)
    return gain(samples, 12 * sign * level)


def generator(seed: int, name: str, number: int) -> np.random.Generator:
    """The generator of a record's copy: by the build's seed, the record's id and the copy's number alone."""
    text = f"{seed}\0augment\0{name}\0{number}".encode("utf8", "surrogatepass")
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "big"))


def read_words(path: Path) -> dict[str, str]:
    """A file of WORD<tab>WHAT STANDS FOR IT lines, in lower case. Raises ConfigError where it cannot be read or a line is none."""
    found: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"augment.words: {path} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        word, tab, stands = line.partition("\t")
        if line.strip() and (not tab or not word.strip() or not stands.strip()):
            raise ConfigError(f"augment.words: {path}, line {number}: write WORD<tab>WHAT STANDS FOR IT")
        if line.strip():
            found[word.strip().lower()] = stands.strip()
    return found


def _words(config: AugmentConfig, sheet: Sheet, chosen: Sequence[int]) -> dict[str, str]:
    if "back_off" not in config.text:
        return {}
    if config.words is not None:
        return read_words(Path(config.words))
    counts: Counter[str] = Counter()
    for _, record in sheet.records(rows=chosen, columns=["id", "texts"]):
        counts.update(word for text in record.texts for word in text.text.lower().split() if word.isalpha())
    return stems(counts)


def _changed(media: Media, data: bytes, names: Sequence[str]) -> Media:
    kind = media.kind
    if not (kind or "").startswith(_TURN):  # a turn's place in its dialogue is not ours to overwrite
        kind = MARK + ", ".join(names) if names else media.kind
    return replace(media, data=data, path=None, kind=kind)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=6)
    return file.getvalue()
