"""Clips: encoded bytes → evenly spaced RGB frames, and 16 kHz mono samples of their sound track, and frames back to bytes; bounded by
what comes out of the file and not by what its header says.

Letters: F frames · S side of a frame in pixels.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import av
import av.error
import numpy as np
import soxr
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from chiasm.errors import MediaError
from chiasm.modalities.audio import MAX_CHANNELS, MAX_RATE, MIN_RATE, RATE
from chiasm.modalities.container import MAX_PIXELS, check_decoder, check_frame, open_clip
from chiasm.modalities.image import fit_picture

MAX_SECONDS = 600.0
MAX_FRAME_RATE = 1_000.0
MAX_DECODED = 60_000_000_000
"""Pixels of all frames that are decoded: ten minutes of 1080p at 48 frames a second."""
MAX_PACKETS = 1_000_000
_SLACK = 10.0
"""Seconds by which packets may lie out of order in a file."""

# How a picture is turned upright, in EXIF's numbers, by the turn (degrees) that its frame asks for.
_TURN = {90: 8, 180: 3, -180: 3, -90: 6, 270: 6, -270: 8}


def read_video(data: bytes, size: int, frames: int, seconds: float | None = None) -> NDArray[np.uint8]:
    """Decode MP4, MOV, Matroska, WebM, AVI, MPEG, Ogg, FLV, WMV or GIF to uint8 [F, S, S, 3]: the pictures shown in the middle of each
    of `frames` equal parts of the clip, or of its first `seconds`; upright, scaled and laid on white as `read_image` does.

    The clip's time is that of the frames that can be decoded, whatever its header says. A clip of fewer pictures than `frames` shows
    some of them twice. Beside the result and what the decoder needs, one frame is in memory.

    Raises MediaError: ``empty`` (0 bytes, no frames), ``format``, ``no_video``, ``too_large`` (container.MAX_BYTES and MAX_PIXELS,
    MAX_DECODED, MAX_PACKETS), ``too_long`` (above MAX_SECONDS, where `seconds` is not given), ``rate`` (above MAX_FRAME_RATE),
    ``truncated``, ``corrupt`` (fewer than half of its frames can be decoded).
    """
    with open_clip(data) as container:
        times = _packet_times(container, _video_stream(container), seconds)
    announced = len(times)
    chosen: list[NDArray[np.uint8]] = []
    for _ in range(2):
        with open_clip(data) as container:
            chosen, seen = _sample(container, times, size, frames)
        if 2 * len(seen) < announced:
            raise MediaError("corrupt", f"of {announced:,} frames, {len(seen):,} can be decoded")
        tolerance = _interval(times) / 2
        if abs(seen[0] - times[0]) <= tolerance and abs(seen[-1] - times[-1]) <= tolerance:
            break
        times = seen  # an end is damaged: once more, over the time that there really is
    return np.stack(chosen)


def clip_size(data: bytes) -> tuple[int, int, int, float]:
    """Width and height of a clip's frames as they are stored, how many there are, and its length in seconds, by its packets; nothing is decoded.

    Raises MediaError as `read_video` does.
    """
    with open_clip(data) as container:
        stream = _video_stream(container)
        times = _packet_times(container, stream, None)
        width, height = stream.codec_context.width, stream.codec_context.height
    return width, height, len(times), times[-1] - times[0] + _interval(times)


def _video_stream(container: InputContainer) -> VideoStream:
    """The stream of pictures that FFmpeg would play: of several the one marked as default, then the larger; a cover is none."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        raise MediaError("no_video", "the file has no stream of moving pictures")
    check_decoder(stream)
    check_frame(stream.codec_context.width, stream.codec_context.height)
    return stream


def _packet_times(container: InputContainer, stream: VideoStream, seconds: float | None) -> list[float]:
    """When the stream's packets are to be shown, in seconds and in order; those of the first `seconds`. Nothing is decoded."""
    base, rate = float(stream.time_base or 1), float(stream.average_rate or 25)
    times: list[float] = []
    whole = True
    for count, packet in enumerate(container.demux()):
        if count > MAX_PACKETS:
            raise MediaError("too_large", f"more than {MAX_PACKETS:,} packets")
        if packet.stream_index != stream.index or not packet.size or packet.is_discard:
            continue
        at = packet.pts if packet.pts is not None else packet.dts
        times.append(len(times) / rate if at is None else at * base)
        if seconds is not None and times[-1] > times[0] + seconds + _SLACK:
            whole = False
            break
    if not times:
        raise MediaError("empty", "the clip has a header and no frames")
    if whole and stream.frames - len(times) > max(2, stream.frames // 20):
        raise MediaError("truncated", f"the clip ends early, after {len(times):,} of {stream.frames:,} frames")
    times.sort()
    if seconds is not None:
        times = [t for t in times if t < times[0] + seconds]
    _check_times(times, stream.codec_context.width * stream.codec_context.height)
    return times


def _check_times(times: Sequence[float], pixels: int) -> None:
    span = times[-1] - times[0]
    if span > MAX_SECONDS:
        raise MediaError("too_long", f"{span:,.0f} s; the limit is {MAX_SECONDS:.0f} s")
    if len(times) - 1 > span * MAX_FRAME_RATE:
        rate = f"{(len(times) - 1) / span:,.0f}" if span else "infinitely many"
        raise MediaError("rate", f"{rate} frames a second; the limit is {MAX_FRAME_RATE:,.0f}")
    if len(times) * pixels > MAX_DECODED:
        raise MediaError(
            "too_large", f"{len(times):,} frames of {pixels:,} pixels; the limit is {MAX_DECODED:,} in all"
        )


def _interval(times: Sequence[float]) -> float:
    """How long a frame is shown, in seconds: the mean; a 25th where there is one frame."""
    return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.04


def _sample(
    container: InputContainer, times: Sequence[float], size: int, count: int
) -> tuple[list[NDArray[np.uint8]], list[float]]:
    """The pictures shown in the middle of each of `count` equal parts of `times`, and when every decoded frame was shown."""
    interval = _interval(times)
    stop = times[-1] + interval / 2
    # A thousandth of a frame, so that rounding does not decide between two of them.
    middles = times[0] + (np.arange(count) + 0.5) / count * (times[-1] - times[0] + interval) + interval / 1000
    chosen: list[NDArray[np.uint8]] = []
    seen: list[float] = []
    shown: VideoFrame | None = None
    for at, frame in _decode(container, interval):
        if at > stop:
            break
        if shown is not None:
            _take(shown, int((middles < at).sum()), size, chosen)
        shown = frame
        seen.append(at)
    if shown is None:
        raise MediaError("corrupt", "not one of the clip's frames can be decoded")
    _take(shown, count, size, chosen)
    return chosen, seen


def _take(frame: VideoFrame, upto: int, size: int, chosen: list[NDArray[np.uint8]]) -> None:
    if len(chosen) < upto:
        chosen += [_picture(frame, size)] * (upto - len(chosen))


def _decode(container: InputContainer, interval: float) -> Iterator[tuple[float, VideoFrame]]:
    """(when it is shown, frame), in that order. Packets that cannot be decoded are passed over."""
    stream = _video_stream(container)
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    stream.codec_context.thread_count = 1
    last, pixels = -np.inf, 0
    for packet in container.demux(stream):
        try:
            frames = stream.codec_context.decode(packet)
        except (av.error.InvalidDataError, av.error.ArgumentError):
            check_frame(stream.codec_context.width, stream.codec_context.height)
            continue
        for frame in frames:
            check_frame(frame.width, frame.height)
            pixels += frame.width * frame.height
            if pixels > MAX_DECODED:
                raise MediaError("too_large", f"more than {MAX_DECODED:,} pixels in all")
            if frame.pts is not None:
                last = max(float(frame.time), last)
            else:
                last = last + interval if np.isfinite(last) else 0.0
            yield last, frame


def _picture(frame: VideoFrame, size: int) -> NDArray[np.uint8]:
    clear = any(part.is_alpha for part in frame.format.components) or frame.format.has_palette
    if clear:
        picture = Image.fromarray(frame.to_ndarray(format="rgba"), "RGBA")
    else:
        picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
    return fit_picture(picture, size, _TURN.get(frame.rotation, 1))


def read_track(data: bytes, seconds: float | None = None) -> NDArray[np.float32] | None:
    """The sound of a clip as `read_audio` gives it: 16 kHz mono float32 [n] in [-1, 1], channels averaged, at most `seconds` of it.
    None where there is no sound track or no sample in it.

    Raises MediaError: ``empty``, ``format``, ``rate``, ``channels``, ``non_finite``, ``too_long``, ``too_large``, ``corrupt``.
    """
    with open_clip(data) as container:
        stream = container.streams.best("audio")
        if not isinstance(stream, AudioStream):
            return None
        check_decoder(stream)
        if not MIN_RATE <= stream.rate <= MAX_RATE:
            raise MediaError("rate", f"{stream.rate:,} samples a second; {MIN_RATE:,} to {MAX_RATE:,} are read")
        if not 1 <= stream.channels <= MAX_CHANNELS:
            raise MediaError("channels", f"{stream.channels} channels; 1 to {MAX_CHANNELS} are read")
        pieces = list(_samples(container, stream, seconds))
    samples = np.concatenate(pieces)
    if seconds is not None:
        samples = samples[: max(1, round(seconds * RATE))]
    return np.clip(samples, -1.0, 1.0) if len(samples) else None


def _samples(container: InputContainer, stream: AudioStream, seconds: float | None) -> Iterator[NDArray[np.float32]]:
    """Mono pieces at 16 kHz."""
    rate = stream.rate
    resample = soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
    convert = av.AudioResampler(format="fltp")  # floats a channel; rate and channels as they are
    most = int((MAX_SECONDS if seconds is None else min(seconds, MAX_SECONDS) + 0.05) * rate) + 1
    stream.codec_context.thread_count = 1
    count = 0
    for packet in container.demux(stream):
        try:
            decoded = stream.codec_context.decode(packet)
        except av.error.InvalidDataError:
            continue
        for frame in (part for whole in decoded for part in convert.resample(whole)):
            values = frame.to_ndarray()
            if not np.isfinite(values).all():
                raise MediaError(
                    "non_finite", f"the sound track holds NaN or infinite samples, near {count / rate:.2f} s"
                )
            count += values.shape[1]
            yield resample.resample_chunk(np.ascontiguousarray(values.mean(axis=0, dtype=np.float32)))
        if count > most:
            if seconds is None:
                raise MediaError(
                    "too_long", f"the sound track is longer than {MAX_SECONDS:.0f} s; decoding stopped there"
                )
            break
    yield resample.resample_chunk(np.zeros(0, np.float32), last=True)


def write_video(frames: NDArray[np.uint8], fps: int) -> bytes:
    """uint8 [F, H, W, 3], H and W even → MP4 (H.264, 4:2:0, CRF 18), which every browser plays.

    One thread and no timestamps of the day: equal frames give equal bytes. Colour is kept at half the resolution, so sharp coloured
    edges soften by a pixel. Raises ValueError for frames of another shape.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or not len(frames) or frames.shape[1] % 2 or frames.shape[2] % 2:
        raise ValueError(f"frames are uint8 [F, H, W, 3] with F ≥ 1 and H, W even, not {list(frames.shape)}")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        # Without x264's macroblock tree, whose vectorised code reads memory that it never set in pictures this small: bytes would differ.
        stream = container.add_stream(
            "libx264", rate=fps, options={"crf": "18", "preset": "medium", "x264-params": "mbtree=0"}
        )
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()
