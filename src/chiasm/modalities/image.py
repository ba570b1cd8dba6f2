"""Pictures: encoded bytes → uint8 RGB, whatever mode they are stored in, bounded by their header before
they are decoded.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Generator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from chiasm.errors import MediaError

MAX_PIXELS = 50_000_000
MAX_SIDE = 32_768
ORIENTATION = 0x0112
"""The EXIF tag of the camera's orientation."""

# EXIF 2.3, table 6: how the stored picture must be turned to be upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# By content, never by the file's name. The plugin is opened directly: Image.open would try the signatures
# of every format that Pillow knows (EPS starts Ghostscript) and only warn about a decompression bomb.
_FORMATS: tuple[tuple[str, bytes, Callable[[io.BytesIO], ImageFile.ImageFile]], ...] = (
    ("PNG", b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    ("JPEG", b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    ("GIF", b"GIF87a", GifImagePlugin.GifImageFile),
    ("GIF", b"GIF89a", GifImagePlugin.GifImageFile),
    ("BMP", b"BM", BmpImagePlugin.BmpImageFile),
)


def read_image(data: bytes, size: int | None = None) -> NDArray[np.uint8]:
    """Decode a PNG, JPEG, WebP, GIF (its first frame) or BMP to uint8 [H, W, 3].

    Transparency is laid on white, 16-bit depth scaled to 8, CMYK and palettes converted, the camera's
    orientation applied. With `size`, the result is [size, size, 3]: scaled with its aspect kept,
    antialiased, centred on white.

    Raises MediaError: ``format`` (none of the above), ``too_large`` (above MAX_PIXELS or MAX_SIDE by its
    header; nothing is decoded), ``truncated``, ``empty`` (0 bytes, or a side of 0), ``corrupt``.
    """
    if not data:
        raise MediaError("empty", "the picture has 0 bytes")
    opener = _opener(data)
    with _typed_errors("picture"):
        picture = opener(io.BytesIO(data))
        _check_size(picture.width, picture.height)
        if size is not None and picture.format == "JPEG":
            # Decode at the nearest eighth that still leaves two pixels for each one wanted: several times
            # faster.
            scale = 2 * size / max(picture.size)
            picture.draft(None, (max(1, int(picture.width * scale)), max(1, int(picture.height * scale))))
        picture.load()
        return _prepare(picture, _orientation(picture), size)


def read_mask(data: bytes) -> NDArray[np.uint8]:
    """Decode a PNG of 8-bit grey, or of a palette, to the values as they are stored, uint8 [H, W]: 0 is background, k the k-th box.

    Raises MediaError as `read_image` does; ``format`` also for a PNG in colour, of 16 bits or of single bits.
    """
    if not data:
        raise MediaError("empty", "the mask has 0 bytes")
    if not data.startswith(_FORMATS[0][1]):
        raise MediaError("format", f"a mask is a PNG; this starts with {data[:12]!r}")
    with _typed_errors("mask"):
        picture = PngImagePlugin.PngImageFile(io.BytesIO(data))
        _check_size(picture.width, picture.height)
        if picture.mode not in ("L", "P"):
            raise MediaError("format", f"a mask is a PNG of 8-bit grey or of a palette; this one is {picture.mode}")
        picture.load()
        return np.asarray(picture).copy()


def encode_mask(mask: NDArray[np.uint8]) -> bytes:
    """uint8 [H, W] → the bytes of a grey PNG, which `read_mask` reads back as it was."""
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return file.getvalue()


@contextmanager
def _typed_errors(what: str) -> Generator[None]:
    try:
        yield
    except MediaError:
        raise
    except (EOFError, struct.error) as error:
        raise MediaError("truncated", f"the {what} ends early ({error})") from None
    except MemoryError:
        raise MediaError("too_large", f"the {what} does not fit into memory") from None
    except Exception as error:  # decoders of untrusted bytes raise nearly anything
        reason = "truncated" if "truncated" in str(error).lower() else "corrupt"
        raise MediaError(reason, f"the {what} cannot be decoded: {error}") from None


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height of the picture as it is seen, from its header. Raises MediaError as `read_image` does."""
    try:
        picture = _opener(data)(io.BytesIO(data))
        turned = _orientation(picture) in (5, 6, 7, 8)
        return (picture.height, picture.width) if turned else (picture.width, picture.height)
    except MediaError:
        raise
    except Exception as error:
        raise MediaError("corrupt", f"the picture's header cannot be read: {error}") from None


def _opener(data: bytes) -> Callable[[io.BytesIO], ImageFile.ImageFile]:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        # Pillow's WebP reader allocates the whole canvas on opening, so its size is read here first.
        _check_size(*_webp_size(data))
        if int.from_bytes(data[4:8], "little") + 8 > len(data):
            raise MediaError("truncated", "the WebP picture ends early")
        return WebPImagePlugin.WebPImageFile
    for _, signature, opener in _FORMATS:
        if data.startswith(signature):
            return opener
    known = ", ".join(dict.fromkeys(name for name, _, _ in _FORMATS))
    raise MediaError("format", f"not a picture of a known format ({known}, WEBP); it starts with {data[:12]!r}")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height by the header of the first chunk (RFC 9649, sections 2.5–2.7)."""
    kind = data[12:16]
    head = data[20:30]
    if len(head) < 10:
        raise MediaError("truncated", "the WebP picture ends in its header")
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    raise MediaError("corrupt", f"the WebP picture starts with an unknown chunk {kind!r}")


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise MediaError("empty", f"the picture is {width} × {height} pixels")
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise MediaError(
            "too_large",
            f"{width:,} × {height:,} pixels; the limits are {MAX_PIXELS:,} pixels and {MAX_SIDE:,} a side",
        )


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged metadata must not cost the picture
        return 1


def fit_picture(picture: Image.Image, size: int, orientation: int = 1) -> NDArray[np.uint8]:
    """A decoded picture as `read_image` gives it: uint8 [size, size, 3]. orientation: EXIF's, how to turn it upright."""
    return _prepare(picture, orientation, size)


def _prepare(picture: Image.Image, orientation: int, size: int | None) -> NDArray[np.uint8]:
    picture = _to_eight_bit(picture)
    if size is not None:
        scale = size / max(picture.size)
        box = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        if box != picture.size:
            # Pillow weighs colour by alpha while it scales, so transparent pixels do not bleed into the
            # edges.
            picture = picture.resize(box, Image.Resampling.BICUBIC, reducing_gap=2.0)
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    if size is None and picture.mode == "RGB":
        return np.asarray(picture).copy()
    canvas = Image.new("RGB", picture.size if size is None else (size, size), (255, 255, 255))
    corner = ((canvas.width - picture.width) // 2, (canvas.height - picture.height) // 2)
    canvas.paste(picture, corner, picture if picture.mode == "RGBA" else None)
    return np.asarray(canvas).copy()


def _to_eight_bit(picture: Image.Image) -> Image.Image:
    """The same picture as L, RGB, or RGBA where some of it is transparent."""
    if picture.mode in ("L", "RGB", "RGBA") and "transparency" not in picture.info:
        return picture
    if picture.mode.startswith("I"):  # I, I;16, I;16B …: 16-bit grey
        values = np.asarray(picture).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if picture.mode == "F":
        raise MediaError("format", "floating-point pictures have no defined white; store 8 or 16 bits")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
