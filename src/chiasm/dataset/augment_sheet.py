"""A contact sheet of the step *augment*: rows and their changed copies side by side, to be looked at before a build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from chiasm.building import AugmentConfig
from chiasm.dataset.augmenting import MARK, Augmenter
from chiasm.dataset.table import Table
from chiasm.errors import ConfigError, MediaError
from chiasm.modalities.audio import log_mel, read_audio
from chiasm.modalities.image import read_image
from chiasm.modalities.media import read_bytes
from chiasm.modalities.video import read_video
from chiasm.types import Media, Record

TILE = 148
LINE = 15
GAP = 12
SOUND_SECONDS = 4.0

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
    """Records as tiles, a line for each of `lines`, with sounds beneath pictures where a record has both."""
    tall = TILE + 3 * LINE + GAP
    both = any(record.image and record.audio for line in lines for record in line)
    tall += (TILE // 2 + LINE) * both
    sheet = Image.new("RGB", (GAP + max(map(len, lines)) * (TILE + GAP), GAP + len(lines) * tall), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for i, line in enumerate(lines):
        for j, record in enumerate(line):
            _tile(sheet, draw, font, GAP + j * (TILE + GAP), GAP + i * tall, record, root)
    return sheet


def _tile(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, font: Font, x: int, y: int, record: Record, root: Path
) -> None:
    shown = 0
    for name, media, height in (
        ("image", record.image, TILE),
        ("video", record.video, TILE),
        ("audio", record.audio, TILE // 2 if record.image or record.video else TILE),
    ):
        if not media or (name == "video" and record.image):
            continue
        pixels = _pixels(name, media[0], height, root)
        if pixels is not None:
            sheet.paste(Image.fromarray(pixels), (x, y + shown))
            draw.rectangle((x - 1, y + shown - 1, x + TILE, y + shown + height), outline="#cccccc")
        shown += height
        draw.text((x, y + shown + 1), _fitted(_done(media[0]), font), fill="#2d5bd0", font=font)
        shown += LINE
    text = record.texts[0].text if record.texts else ""
    draw.text((x, y + shown + 1), _fitted(text, font), fill="#1c2126", font=font)
    draw.text((x, y + shown + LINE), _fitted(record.id, font), fill="#8a929a", font=font)


def _pixels(modality: str, media: Media, height: int, root: Path) -> NDArray[np.uint8] | None:
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
    wide = max(1, round(TILE * min(1.0, len(mel) / (100 * SOUND_SECONDS))))
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
