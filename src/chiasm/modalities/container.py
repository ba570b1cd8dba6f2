"""The files that clips come in: recognised by content, opened within bounds, and every error of FFmpeg made one of ours."""

from __future__ import annotations

import io
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import av
import av.error
from av.codec.context import CodecContext
from av.container import InputContainer
from av.stream import Stream

from chiasm.errors import MediaError

MAX_BYTES = 256 * 2**20
MAX_PIXELS = 9_500_000
"""Of one frame: 4096 × 2304. A decoder holds up to 17 of them."""

# By content, never by the file's name. The demuxer is named: left to guess, FFmpeg would also take playlists, which open other files.
_FORMATS: tuple[tuple[str, int, tuple[bytes, ...]], ...] = (
    ("mov", 4, (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")),
    ("matroska", 0, (b"\x1a\x45\xdf\xa3",)),
    ("avi", 8, (b"AVI ",)),
    ("mpeg", 0, (b"\x00\x00\x01\xba",)),
    ("ogg", 0, (b"OggS",)),
    ("flv", 0, (b"FLV",)),
    ("asf", 0, (b"\x30\x26\xb2\x75",)),
    ("gif", 0, (b"GIF87a", b"GIF89a")),
)


@contextmanager
def open_clip(data: bytes) -> Generator[InputContainer]:
    """The opened container. Nothing but `data` is read, whatever the file refers to, and no frame above MAX_PIXELS is decoded.

    Raises MediaError: ``empty``, ``too_large`` (MAX_BYTES), ``format``, ``truncated``, and ``corrupt`` for what FFmpeg raises while it is in use.
    """
    if not data:
        raise MediaError("empty", "the clip has 0 bytes")
    if len(data) > MAX_BYTES:
        raise MediaError("too_large", f"{len(data):,} bytes; the limit is {MAX_BYTES:,}")
    name = _format(data)
    if name == "mov" and _index_cut(data):
        raise MediaError("truncated", "the clip ends before its index does")
    try:
        with av.open(
            io.BytesIO(data),
            "r",
            format=name,
            options={"max_pixels": str(MAX_PIXELS), "threads": "1"},
            metadata_errors="replace",
            io_open=_refuse,
        ) as container:
            yield container
    except MediaError:
        raise
    except MemoryError:
        raise MediaError("too_large", "the clip does not fit into memory") from None
    except (av.error.FFmpegError, ValueError, TypeError, OSError, RuntimeError, ArithmeticError) as error:
        raise MediaError("corrupt", f"the clip cannot be decoded: {error}") from None


def check_decoder(stream: Stream) -> None:
    """Raises MediaError ``format`` where FFmpeg cannot decode what the stream holds."""
    # A stream of an unknown codec has no context; PyAV's types leave that out.
    context = cast("CodecContext | None", stream.codec_context)
    if context is None:
        raise MediaError("format", f"the clip's {stream.type} is of a codec that cannot be decoded")


def check_frame(width: int, height: int) -> None:
    """Raises MediaError ``too_large`` above MAX_PIXELS and ``corrupt`` for a side of 0, which FFmpeg says where it refuses the true one."""
    if width < 1 or height < 1:
        raise MediaError("corrupt", f"the clip's frames have no size, or one above {MAX_PIXELS:,} pixels")
    if width * height > MAX_PIXELS:
        raise MediaError("too_large", f"frames of {width:,} × {height:,} pixels; the limit is {MAX_PIXELS:,} pixels")


def _format(data: bytes) -> str:
    for name, start, signatures in _FORMATS:
        if data[start : start + 8].startswith(signatures):
            return name
    if len(data) > 188 and data[0] == data[188] == 0x47:  # the sync byte of packets of 188 bytes
        return "mpegts"
    known = "MP4, MOV, Matroska, WebM, AVI, MPEG, Ogg, FLV, WMV, GIF"
    raise MediaError("format", f"not a clip of a known format ({known}); it starts with {data[:12]!r}")


def _index_cut(data: bytes) -> bool:
    """Whether an MP4 ends before its index, the moov box, does (ISO/IEC 14496-12, 4.2)."""
    start = 0
    while start + 8 <= len(data):
        size, kind = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8]
        if size == 1:
            size = int.from_bytes(data[start + 8 : start + 16])
        if kind == b"moov":
            return 0 < len(data) - start < size
        if size < 8:  # 0: to the end of the file
            break
        start += size
    return True


def _refuse(*_: Any) -> Any:
    raise OSError("a clip that refers to other files is not followed")
