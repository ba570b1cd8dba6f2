"""Pictures of every mode become the RGB that a viewer shows on white."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chiasm.errors import MediaError
from chiasm.modalities.image import ORIENTATION, read_image


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def colours(height: int = 6, width: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_come_back_exactly(kind: str, options: dict[str, Any]) -> None:
    pixels = colours()
    assert np.array_equal(read_image(encode(Image.fromarray(pixels), kind, **options)), pixels)


def test_transparency_is_laid_on_white() -> None:
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 0], pixels[0, :, 3] = 200, (0, 128, 255)
    alpha = np.array([0, 128, 255])[:, None] / 255
    expected = alpha * np.array([200, 0, 0]) + (1 - alpha) * 255
    found = read_image(encode(Image.fromarray(pixels)))
    assert np.abs(found[0].astype(float) - expected).max() <= 1


def test_transparent_palette_grey_and_bilevel() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((1, 0), 1)
    assert read_image(encode(palette, transparency=0)).tolist() == [[[255, 255, 255], [0, 255, 0]]]
    grey = Image.fromarray(np.array([[[10, 255], [10, 0]]], np.uint8), "LA")
    assert read_image(encode(grey)).tolist() == [[[10, 10, 10], [255, 255, 255]]]
    assert read_image(encode(Image.new("1", (1, 1), 1))).tolist() == [[[255, 255, 255]]]
    keyed = Image.new("L", (1, 1), 7)
    assert read_image(encode(keyed, transparency=7)).tolist() == [[[255, 255, 255]]]


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    deep = Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16))
    assert read_image(encode(deep))[0, :, 0].tolist() == [0, 100, 255]


def test_cmyk_jpeg() -> None:
    picture = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert np.abs(read_image(encode(picture, "JPEG", quality=95))[8, 8].astype(int) - [255, 0, 0]).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_camera_orientation_is_applied(orientation: int) -> None:
    # Stored so that a viewer which honours the tag sees `upright`.
    upright = np.zeros((24, 40, 3), np.uint8)
    upright[:12, :20] = (255, 0, 0)
    upright[12:, 20:] = (0, 255, 0)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encode(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    assert np.array_equal(read_image(data), upright)
    small = read_image(data, 20)
    assert small.shape == (20, 20, 3)
    assert small[6, 4].tolist() == [255, 0, 0]
    assert small[0].min() == 255  # the letterbox lies above and below: 40 wide, 24 high


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_image(data)[0, 0].tolist() == [255, 0, 0]


def test_size_keeps_the_aspect_and_centres_on_white() -> None:
    found = read_image(encode(Image.new("RGB", (30, 10), (0, 0, 255))), 12)
    assert found.shape == (12, 12, 3)
    assert (found[:4] == 255).all()
    assert (found[8:] == 255).all()
    assert (found[4:8] == (0, 0, 255)).all()


def test_scaling_averages_and_does_not_bleed_hidden_colour() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    grey = read_image(encode(Image.fromarray(stripes)), 16)[4:12, 4:12]
    assert np.abs(grey.astype(int) - 128).max() < 20  # nearest-neighbour would give 0 or 255
    hidden = np.zeros((64, 64, 4), np.uint8)
    hidden[..., 0], hidden[:, 32:, 2:] = 255, 255  # transparent red | opaque magenta
    edge = read_image(encode(Image.fromarray(hidden)), 16)
    assert edge[:, :6].min() == 255


def test_fast_jpeg_decoding_agrees_with_the_full_one() -> None:
    smooth = np.linspace(0, 255, 640)[None, :, None] * np.ones((480, 1, 3))
    data = encode(Image.fromarray(smooth.astype(np.uint8)), "JPEG", quality=95)
    full = Image.fromarray(read_image(data)).resize((32, 24), Image.Resampling.BICUBIC)
    assert np.abs(read_image(data, 32)[4:28].astype(int) - np.asarray(full).astype(int)).max() <= 4


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"just a text", "format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "format"),
        (b"II*\x00\x08\x00\x00\x00", "format"),
        (b"\x89PNG\r\n\x1a\n", "corrupt"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8X", "truncated"),
        (b"GIF89a\x00\x00\x00\x00\x00\x00\x00;", "corrupt"),
    ],
)
def test_refusals_name_their_reason(data: bytes, reason: str) -> None:
    with pytest.raises(MediaError) as caught:
        read_image(data)
    assert caught.value.reason == reason
