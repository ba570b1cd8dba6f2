"""What `chiasm convert` writes: results as JSON entries, as lines for the terminal, and as files."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from chiasm.cli.convert_given import Given
from chiasm.cli.output import cannot_write, check_file, check_folder, check_writable, dumped
from chiasm.errors import ConfigError
from chiasm.modalities.audio import RATE
from chiasm.modalities.image import read_image
from chiasm.modalities.vocoder import write_wav
from chiasm.types import Converted, ScoredBox

ENDINGS: Mapping[str, tuple[str, ...]] = {
    "text": (".txt", ".json"),
    "answer": (".txt", ".json"),
    "label": (".txt", ".json"),
    "image": (".png",),
    "audio": (".wav",),
    "boxes": (".json", ".png"),
    "mask": (".png", ".json"),
}
"""How a file of each wanted field may end; the first where a folder is given."""
SHOWN = 256
"""Pixels of the longer side that drawn boxes and masks have at least, so that they can be read."""
TOP = 5
"""Choices that an entry lists."""


def plan(wanted: str, given: Sequence[Given], out: str | None, overwrite: bool) -> list[Path | None]:
    """Where each result goes; None: only to stdout.

    Raises, before the work, ConfigError for what cannot be or is there already, MachineError for what cannot be written."""
    try:
        targets = _targets(wanted, given, out, overwrite)
    except OSError as error:  # a name too long, a folder that may not be read
        raise cannot_write(Path(out or "."), error) from None
    for folder_file in {target.parent: target for target in targets if target is not None}.values():
        check_writable(folder_file)
    return targets


def _targets(wanted: str, given: Sequence[Given], out: str | None, overwrite: bool) -> list[Path | None]:
    endings = ENDINGS[wanted]
    if out is None:
        if wanted not in ("image", "audio"):
            return [None] * len(given)
        taken: set[Path] = set()
        return [_free(one.name, endings[0], taken) for one in given]
    path = Path(out)
    if len(given) > 1 and path.suffix.lower() in endings and not path.is_dir():
        raise ConfigError(f"--out {out}: {len(given)} results do not go into one file; name a folder")
    if len(given) > 1 or path.is_dir() or out.endswith("/") or not path.suffix:
        check_folder(path)
        targets = [path / (one.name + endings[0]) for one in given]
    else:
        check_file(path)
        if path.suffix.lower() not in endings:
            raise ConfigError(f"--out {out}: {wanted} is written as {' or '.join(endings)}")
        targets = [path]
    there = [target for target in targets if target.exists()]
    if there and not overwrite:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise ConfigError(f"{there[0]}{more}: there already; --overwrite replaces")
    return list(targets)


def entry_of(given: Given, made: Converted, wanted: str, written: Path | None) -> dict[str, Any]:
    """A result as JSON. wanted: the task's field."""
    entry: dict[str, Any] = {"given": dict(given.parts)}
    if made.task is not None:
        entry["task"] = made.task
    entry["wanted"] = wanted
    if made.text is not None:
        entry["text"] = made.text
    if made.boxes is not None:
        entry["boxes"] = [
            {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(box).items()} for box in made.boxes
        ]
    if made.mask is not None:
        entry["mask"], entry["names"] = made.mask.tolist(), list(made.names)
    if made.image is not None:
        entry["pixels"] = [made.image.shape[1], made.image.shape[0]]
    if made.audio is not None:
        entry["seconds"] = round(len(made.audio) / RATE, 3)
    if made.score is not None:
        entry["score"] = made.score
    if made.scores:
        best = sorted(made.scores.items(), key=lambda pair: -pair[1])
        entry["scores"] = dict(best[:TOP])
    entry["written"] = None if written is None else str(written)
    return entry


def lines_of(made: Converted) -> list[str]:
    """A result for the terminal; pictures and sounds have none."""
    if made.text is not None:
        return [made.text]
    if made.boxes is not None:
        sides = [" ".join(f"{side:.3f}" for side in (b.x0, b.y0, b.x1, b.y1)) for b in made.boxes]
        return [f"{b.label}\t{b.score:.3f}\t{side}" for b, side in zip(made.boxes, sides, strict=True)] or ["(none)"]
    if made.mask is not None:
        values, counts = np.unique(made.mask, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return [f"{made.names[values[i]]}\t{counts[i] / made.mask.size:.1%}" for i in order]
    return []


def write(path: Path, made: Converted, entry: Mapping[str, Any], picture: bytes | None) -> None:
    """picture: what was given, for boxes to be drawn into. Raises MachineError."""
    data = _bytes(path.suffix.lower(), made, entry, picture)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise cannot_write(path, error) from None


def _bytes(ending: str, made: Converted, entry: Mapping[str, Any], picture: bytes | None) -> bytes:
    if ending == ".json":
        return dumped(entry).encode("utf8", "backslashreplace")
    if made.image is not None:
        return _png(Image.fromarray(made.image))
    if made.audio is not None:
        return write_wav(made.audio)
    if made.boxes is not None:
        assert picture is not None  # a task that finds boxes is given a picture
        return draw_boxes(picture, made.boxes)
    if made.mask is not None:
        return mask_png(made.mask, made.names)
    return f"{made.text or ''}\n".encode("utf8", "backslashreplace")


def draw_boxes(data: bytes, boxes: Sequence[ScoredBox]) -> bytes:
    """A picture with labelled boxes in it, scaled up until its longer side has SHOWN pixels: PNG."""
    picture = Image.fromarray(read_image(data, size=None)).convert("RGB")
    factor = -(-SHOWN // max(picture.size))
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(12, max(picture.size) // 32))
    width = max(2, max(picture.size) // 200)
    names = sorted({box.label for box in boxes})
    for box in sorted(boxes, key=lambda b: b.score):  # the surest lies on top
        colour = _colour(names.index(box.label) + 1)
        corners = [box.x0 * picture.width, box.y0 * picture.height, box.x1 * picture.width, box.y1 * picture.height]
        draw.rectangle(corners, outline=colour, width=width)
        text, at = f"{box.label} {box.score:.2f}", (corners[0] + width, corners[1] + width)
        draw.rectangle(draw.textbbox(at, text, font=font), fill=colour)
        draw.text(at, text, fill=(255, 255, 255), font=font)
    return _png(picture)


def mask_png(mask: NDArray[np.int64], names: Sequence[str]) -> bytes:
    """Labels [h, w] as a PNG whose values they are, each cell a square of several pixels: of a palette, or 16-bit grey where
    there are more than 256 names. The names are in its text chunk `names`, as JSON."""
    factor = -(-SHOWN // max(mask.shape))
    large = mask.repeat(factor, 0).repeat(factor, 1)
    if len(names) > 256:
        return _png(Image.fromarray(large.astype(np.uint16)), names)
    picture = Image.fromarray(large.astype(np.uint8))
    picture.putpalette([channel for index in range(256) for channel in _colour(index)])
    return _png(picture, names)


def _colour(index: int) -> tuple[int, int, int]:
    """White for 0; neighbouring numbers are far apart on the colour wheel (by the golden ratio)."""
    import colorsys

    if index == 0:
        return (255, 255, 255)
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.85, 0.75)
    return (round(255 * red), round(255 * green), round(255 * blue))


def _png(picture: Image.Image, names: Sequence[str] = ()) -> bytes:
    file, told = io.BytesIO(), PngInfo()
    if names:
        told.add_itxt("names", json.dumps(names, ensure_ascii=False))
    picture.save(file, "PNG", pnginfo=told)
    return file.getvalue()


def _free(name: str, ending: str, taken: set[Path]) -> Path:
    """A file of the current folder that is not there yet, and not `taken` by another result of this call; it is added to those."""
    path, number = Path(name + ending), 1
    while path.exists() or path in taken:
        number += 1
        path = Path(f"{name}-{number}{ending}")
    taken.add(path)
    return path
