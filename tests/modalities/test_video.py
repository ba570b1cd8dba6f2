"""Clips: what is sampled against a decoding of everything, on made clips and on real ones."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soxr
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from chiasm.errors import MediaError
from chiasm.modalities.image import fit_picture
from chiasm.modalities.video import read_track, read_video, write_video

Frames = NDArray[np.uint8]


def grey(levels: list[int], height: int = 32, width: int = 32) -> Frames:
    return np.broadcast_to(np.array(levels, np.uint8)[:, None, None, None], (len(levels), height, width, 3)).copy()


def levels_of(clip: Frames) -> list[int]:
    return clip[:, clip.shape[1] // 2, clip.shape[2] // 2, 0].astype(int).tolist()


def timed(times: list[int], base: Fraction) -> bytes:
    """A clip whose k-th frame has the level 10k and is shown from times[k] · base on."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25)
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = base
        for frame, at in zip(grey([10 * k for k in range(len(times))]), times, strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = at, base
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return file.getvalue()


@pytest.mark.parametrize(("held", "wanted"), [(24, 8), (16, 8), (8, 8), (5, 8), (1, 4), (25, 1), (40, 7)])
def test_frames_are_the_middles_of_equal_parts(held: int, wanted: int) -> None:
    shown = [200 * k // max(held - 1, 1) + 20 for k in range(held)]
    clip = read_video(write_video(grey(shown), 8), 16, wanted)
    assert clip.shape == (wanted, 16, 16, 3)
    assert clip.dtype == np.uint8
    expected = [shown[(2 * k + 1) * held // (2 * wanted)] for k in range(wanted)]
    assert np.abs(np.array(levels_of(clip)) - expected).max() <= 2


def test_seconds_cut_the_clip() -> None:
    data = write_video(grey([5 * k for k in range(48)]), 8)
    assert np.abs(np.array(levels_of(read_video(data, 16, 4, seconds=2.0))) - [10, 30, 50, 70]).max() <= 2
    assert (read_video(data, 16, 4, seconds=60.0) == read_video(data, 16, 4)).all()


def test_frames_of_uneven_length_count_by_their_time() -> None:
    data = timed([0, 1, 2, 3, 4, 18, 19], Fraction(1, 10))  # the fifth is shown for 1.4 of 2.2 s
    found = levels_of(read_video(data, 16, 8))
    assert found.count(levels_of(read_video(timed([0, 1, 2, 3, 4], Fraction(1, 10)), 16, 5))[-1]) == 5


def test_clips_are_laid_on_white_as_pictures_are() -> None:
    wide = np.zeros((2, 16, 32, 3), np.uint8)
    clip = read_video(write_video(wide, 4), 32, 2)
    assert (clip[:, :8] == 255).all()
    assert (clip[:, 24:] == 255).all()
    assert clip[:, 8:24].max() < 16


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [((1, 0, 0, 1), (0, 0)), ((0, 1, -1, 0), (0, -1)), ((-1, 0, 0, -1), (-1, -1)), ((0, -1, 1, 0), (-1, 0))],
)
def test_clips_of_a_turned_camera_come_upright(matrix: tuple[int, int, int, int], corner: tuple[int, int]) -> None:
    frames = grey([255, 255])
    frames[:, :8, :8] = 0
    data = bytearray(write_video(frames, 4))
    a, b, c, d = (value << 16 for value in matrix)
    at = data.index(b"tkhd") + 44  # ISO/IEC 14496-12, 8.3.2
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    clip = read_video(bytes(data), 32, 1)[0, ::31, ::31, 0] < 128
    assert np.argwhere(clip).tolist() == [[corner[0] % 2, corner[1] % 2]]


def test_what_is_written_is_read_and_is_the_same_every_time() -> None:
    frames = np.full((12, 48, 64, 3), 255, np.uint8)
    for k in range(12):
        frames[k, 8:24, 2 * k : 2 * k + 16] = (200, 40, 30)
    data = write_video(frames, 6)
    assert data == write_video(frames, 6)
    assert data[4:8] == b"ftyp"
    back = read_video(data, 64, 12)[:, 8:56]
    error = ((back.astype(float) - frames) ** 2).mean()
    assert 10 * np.log10(255**2 / error) > 30
    for broken in (frames[:, :47], frames[:0], frames[0]):
        with pytest.raises(ValueError, match="uint8"):
            write_video(broken, 6)


def decoded(data: bytes) -> Iterator[VideoFrame]:
    with av.open(io.BytesIO(data), "r") as container:
        for frame in container.decode(container.streams.best("video")):
            assert isinstance(frame, VideoFrame)
            yield frame


def test_real_clips_are_sampled_as_decoding_everything_would(shared_data: Callable[[str], Path]) -> None:
    root = shared_data("video_clips")
    seen: set[str] = set()
    for line in (root / "manifest.jsonl").read_text(encoding="utf8").splitlines():
        facts = json.loads(line)
        data = (root / facts["video"]).read_bytes()
        clip = read_video(data, 32, 8)
        seen.add(facts["codec"])
        if facts["id"].endswith(".avi"):
            continue  # the times that FFmpeg gives its B-frames are out of order
        times = [float(frame.time) for frame in decoded(data)]
        interval = (times[-1] - times[0]) / (len(times) - 1)
        if "nasa" not in facts["id"]:  # which holds two streams, and the manifest tells of the smaller
            assert len(times) == facts["frames"], facts["id"]
            assert abs(1 / interval - facts["fps"]) < 1.2, facts["id"]  # one of them ends with a frame of two parts
        middles = times[0] + (np.arange(8) + 0.5) / 8 * (times[-1] - times[0] + interval)
        chosen = (np.searchsorted(times, middles + interval / 1000, "right") - 1).tolist()
        pictures = {k: f.to_ndarray(format="rgb24") for k, f in enumerate(decoded(data)) if k in chosen}
        expected = np.stack([fit_picture(Image.fromarray(pictures[k]), 32) for k in chosen])
        assert (clip == expected).all(), facts["id"]
    assert len(seen) == 4


def test_real_sound_tracks(shared_data: Callable[[str], Path]) -> None:
    root = shared_data("video_clips") / "clips"
    assert read_track((root / "mmaction2_demo.mp4").read_bytes()) is None
    data = (root / "torchcodec_nasa_13013.mp4").read_bytes()
    track = read_track(data)
    assert track is not None
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.best("audio")
        assert isinstance(stream, av.AudioStream)
        rate = stream.rate
        plain = np.concatenate([frame.to_ndarray() for frame in container.decode(stream)], 1).mean(0)
    assert track.dtype == np.float32
    expected = soxr.resample(plain.astype(np.float32), rate, 16_000)
    assert abs(len(track) - len(expected)) <= 1
    np.testing.assert_allclose(track[: len(expected)], expected[: len(track)].clip(-1, 1), atol=1e-4)
    assert 12 < len(track) / 16_000 < 14
    cut = read_track(data, seconds=1.5)
    assert cut is not None
    assert len(cut) == 24_000
    np.testing.assert_allclose(cut[:20_000], track[:20_000], atol=1e-4)


def test_what_is_no_clip_is_said() -> None:
    for data, reason in ((b"", "empty"), (b"RIFF0000WAVEfmt ", "format"), (b"hello, I am no clip at all", "format")):
        with pytest.raises(MediaError) as error:
            read_video(data, 16, 4)
        assert error.value.reason == reason
