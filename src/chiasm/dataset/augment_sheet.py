"""A contact sheet of the step *augment*: rows and their changed copies side by side, to be looked at before a build."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from chiasm.building import AugmentConfig
from chiasm.dataset.augmenting import MARK, Augmenter
from chiasm.dataset.extract_text import find_entities
from chiasm.dataset.table import Table
from chiasm.errors import ConfigError, MediaError
from chiasm.modalities.audio import RATE, log_mel, read_audio
from chiasm.modalities.image import read_image
from chiasm.modalities.media import read_bytes
from chiasm.modalities.video import read_video
from chiasm.types import Media, Record

TILE = 148
LINE = 15
GAP = 12
SOUND_SECONDS = 4.0
COLOUR_OPERATIONS = ("autocontrast", "equalize", "solarize", "posterize", "color")
"""Operations of RandAugment after which a red thing need not be red."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def preview(
    table: Table, config: AugmentConfig, count: int, seed: int, words: dict[str, str] | None = None
) -> tuple[Image.Image, int]:
    """The sheet of `count` rows of train drawn by `seed`, one a line: the row, then its copies; and how many were drawn.

    A tile shows the first picture, else the first sound's spectrogram, else frames of the first clip, and beneath it what was done and the
    first text. Raises ConfigError where train has no rows.
    """
    rows = table.rows("split = 'train'")
    if not len(rows):
        raise ConfigError(f"{table.path}: no rows in train, and only these are augmented")
    chosen = np.sort(np.random.default_rng(seed).choice(rows, min(count, len(rows)), replace=False))
    root = table.root or table.path.parent
    augmenter = Augmenter(config, seed, root, words or {})
    names = [name for name in ("id", "texts", "image", "audio", "video", "boxes", "mask") if name in table.column_names]
    lines = [[record, *augmenter.copies(record)] for record in table.records(chosen, names)]
    return draw_sheet(lines, root), len(lines)


def draw_sheet(lines: Sequence[Sequence[Record]], root: Path) -> Image.Image:
    """Records as tiles, a line for each of `lines` as tall as what it shows, with sounds beneath pictures where a record has both."""
    tall = [max(_height(record) for record in line) + GAP for line in lines]
    sheet = Image.new("RGB", (GAP + max(map(len, lines)) * (TILE + GAP), GAP + sum(tall)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    seconds = _longest([record.audio[0] for line in lines for record in line if record.audio], root)
    for i, line in enumerate(lines):
        for j, record in enumerate(line):
            _tile(sheet, draw, font, GAP + j * (TILE + GAP), GAP + sum(tall[:i]), record, root, seconds)
    return sheet


def colours_named(table: Table, config: AugmentConfig) -> str | None:
    """What to know where pictures change their colours under words that name them; None where they do not, or none of 1,000 rows' texts does."""
    changing = [name for name in config.image if name in COLOUR_OPERATIONS]
    rows = table.rows("split = 'train'")[:1000]
    if not changing or not len(rows) or "image" not in table.column_names:
        return None
    records = table.records(rows, ["texts"])
    named = sum(any(True for text in record.texts for _ in find_entities(text, ("colour",), {})) for record in records)
    if not named:
        return None
    return (
        f"note: texts of {named:,} of {len(records):,} rows name a colour, and {', '.join(changing)} can change those of their "
        "pictures: leave them out (augment.image=[identity, rotate, shear_x, …]) where such words must stay true"
    )


def _shown(record: Record) -> list[tuple[str, tuple[Media, ...], int]]:
    """(modality, its media, the height they are drawn at), from top to bottom."""
    pictured = bool(record.image or record.video)
    found = [
        ("image", record.image, TILE),
        ("video", () if record.image else record.video, TILE),
        ("audio", record.audio, TILE // 2 if pictured else TILE),
    ]
    return [one for one in found if one[1]]


def _height(record: Record) -> int:
    return sum(height + LINE for _, _, height in _shown(record)) + 2 * LINE


def _tile(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    font: Font,
    x: int,
    y: int,
    record: Record,
    root: Path,
    seconds: float,
) -> None:
    shown = 0
    for name, media, height in _shown(record):
        pixels = _pixels(name, media[0], height, root, seconds)
        if pixels is not None:
            sheet.paste(Image.fromarray(pixels), (x, y + shown))
            draw.rectangle((x - 1, y + shown - 1, x + TILE, y + shown + height), outline="#cccccc")
        shown += height
        draw.text((x, y + shown + 1), _fitted(_done(media[0]), font), fill="#2d5bd0", font=font)
        shown += LINE
    text = record.texts[0].text if record.texts else ""
    draw.text((x, y + shown + 1), _fitted(text, font), fill="#1c2126", font=font)
    draw.text((x, y + shown + LINE), _fitted(record.id, font), fill="#8a929a", font=font)


def _longest(sounds: Sequence[Media], root: Path) -> float:
    """Seconds of the longest sound, SOUND_SECONDS at most."""
    longest = 0.0
    for sound in sounds:
        with suppress(MediaError):
            longest = max(longest, len(read_audio(read_bytes(sound, root), SOUND_SECONDS)) / RATE)
    return longest or SOUND_SECONDS


def _pixels(modality: str, media: Media, height: int, root: Path, seconds: float) -> NDArray[np.uint8] | None:
    try:
        data = read_bytes(media, root)
        if modality == "image":
            return read_image(data, TILE)
        if modality == "video":
            return read_video(data, TILE, 3, 10.0)[1]
        mel = log_mel(read_audio(data, SOUND_SECONDS))
    except MediaError:
        return None
    # Time to the right at one scale for all, low frequencies below.
    wide = max(1, round(TILE * min(1.0, len(mel) / (100 * seconds))))
    heard = Image.fromarray(255 - mel.T[::-1]).resize((wide, height), Image.Resampling.BILINEAR)
    canvas = np.full((height, TILE), 255, np.uint8)
    canvas[:, :wide] = np.asarray(heard)
    return np.repeat(canvas[:, :, None], 3, axis=2)


def _done(media: Media) -> str:
    kind = media.kind or ""
    return kind.removeprefix(MARK) if kind.startswith(MARK) else "as it is"


def _fitted(text: str, font: Font) -> str:
    """As much of the text as a tile is wide."""
    if font.getlength(text) <= TILE:
        return text
    kept = next(n for n in range(len(text) - 1, -1, -1) if font.getlength(text[:n] + "…") <= TILE or n == 0)
    return text[:kept] + "…"
