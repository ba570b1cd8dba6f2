"""T23: clips that are broken, lie or want too much: bounded, and a defined result or a typed error."""

from __future__ import annotations

import io
import random
import re
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from chiasm.errors import MediaError
from chiasm.modalities import video
from chiasm.modalities.container import MAX_PIXELS
from chiasm.modalities.video import read_track, read_video, write_video


def clip(count: int = 24, fps: int = 8) -> bytes:
    frames = np.full((count, 32, 32, 3), 255, np.uint8)
    for k in range(count):
        frames[k, 4:20, k % 16 : k % 16 + 16] = (10 * k % 256, 30, 40)
    return write_video(frames, fps)


def muxed(kind: str, codec: str, side: int = 32, count: int = 24, rate: int = 25) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=kind, options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = side
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for k in range(count):
            frame = np.full((side, side, 3), 10 * k % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def tone(kind: str, codec: str, levels: Sequence[float] = (0.3,)) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=16_000)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        wave = np.sin(np.arange(16_000 * len(levels)) / 5) * np.repeat(levels, 16_000)
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        resampler = av.AudioResampler(stream.format, stream.layout, stream.rate, stream.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()


def reason(data: bytes, seconds: float | None = None) -> str:
    with pytest.raises(MediaError) as error:
        read_video(data, 16, 4, seconds)
    return error.value.reason


def patched(data: bytes, box: bytes, offset: int, value: bytes) -> bytes:
    """`data` with `value` written `offset` bytes behind the name of every such box."""
    made, at = bytearray(data), 0
    while (at := data.find(box, at)) >= 0:
        made[at + offset : at + offset + len(value)] = value
        at += 4
    assert bytes(made) != data
    return bytes(made)


@pytest.mark.parametrize("seconds", [2**32 - 1, 1, 0])
def test_t23_a_duration_that_lies_changes_nothing(seconds: int) -> None:
    data = clip()
    lies = patched(patched(data, b"mvhd", 20, struct.pack(">I", seconds)), b"mdhd", 20, struct.pack(">I", seconds))
    assert (read_video(lies, 16, 4) == read_video(data, 16, 4)).all()


def test_t23_a_thousand_million_frames_a_second() -> None:
    data = muxed("avi", "mpeg4")
    at = data.index(b"vids") + 20  # strh: dwScale, dwRate
    assert reason(data[:at] + struct.pack("<II", 1, 10**9) + data[at + 8 :]) == "rate"
    assert reason(patched(clip(), b"mdhd", 16, struct.pack(">I", 2**31 - 1))) == "rate"


def test_t23_an_index_that_points_elsewhere() -> None:
    data = clip()
    assert reason(patched(data, b"stco", 12, struct.pack(">I", 2**31))) in ("empty", "truncated", "corrupt")
    assert reason(patched(data, b"stsz", 12, struct.pack(">I", 10**6))) in ("empty", "truncated", "corrupt")
    avi = muxed("avi", "mpeg4")
    broken = avi[: avi.index(b"idx1") + 8] + b"\xff" * (len(avi) - avi.index(b"idx1") - 8)
    assert read_video(broken, 16, 4).shape == (4, 16, 16, 3)  # it can do without


def test_t23_no_frames_no_pictures_no_clip() -> None:
    matroska = muxed("matroska", "libx264")
    assert reason(matroska[: matroska.index(b"\x1f\x43\xb6\x75")]) in ("empty", "corrupt")
    assert reason(tone("mp4", "aac")) == "no_video"
    assert reason(tone("matroska", "flac")) == "no_video"
    for text in (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile '/etc/passwd'\n"):
        assert reason(text) == "format"


def test_t23_frames_that_change_their_size_are_each_scaled() -> None:
    changing = muxed("mpegts", "mpeg2video", 32) + muxed("mpegts", "mpeg2video", 64)
    assert read_video(changing, 16, 4).shape == (4, 16, 16, 3)
    stream = muxed("mpegts", "mpeg2video", 32)
    huge = muxed("mpegts", "mpeg2video", 64)
    at = huge.index(b"\x00\x00\x01\xb3") + 4  # the sequence header: 12 bits of width, 12 of height
    huge = huge[:at] + b"\xff\xff\xff" + huge[at + 3 :]
    assert reason(huge) == "corrupt"
    # As they come: the first ones are small.
    assert reason(stream + huge) in ("too_large", "corrupt")
    assert MAX_PIXELS < 4095 * 4095
    for codec in ("mpeg4", "rawvideo"):
        avi = muxed("avi", codec)
        at = avi.index(b"strf") + 12  # the header alone: biWidth, biHeight
        lies = avi[:at] + struct.pack("<ii", 30_000, 30_000) + avi[at + 8 :]
        if codec == "rawvideo":  # which has nothing else to go by
            assert reason(lies) in ("too_large", "corrupt")
        else:
            assert (read_video(lies, 16, 4) == read_video(avi, 16, 4)).all()


def test_t23_the_clip_is_as_long_as_what_can_be_decoded() -> None:
    data = bytearray(muxed("avi", "mjpeg", count=40))
    starts = [found.start() for found in re.finditer(rb"00dc....\xff\xd8", data, re.DOTALL)]
    assert len(starts) == 40
    for at in starts[30:]:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        data[at + 8 : at + 8 + size] = bytes(size)
    found = read_video(bytes(data), 16, 3)[:, 8, 8, 0].astype(int)
    assert np.abs(found - [50, 150, 250]).max() <= 3  # of 30 frames, and not of 40
    for at in starts[15:]:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        data[at + 8 : at + 8 + size] = bytes(size)
    assert reason(bytes(data)) == "corrupt"


def test_t23_length_and_work_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = clip(602, fps=1)
    assert reason(slow) == "too_long"
    assert read_video(slow, 16, 4, seconds=5).shape == (4, 16, 16, 3)
    monkeypatch.setattr(video, "MAX_DECODED", 20 * 32 * 32)
    assert reason(clip()) == "too_large"
    monkeypatch.undo()
    monkeypatch.setattr(video, "MAX_PACKETS", 20)
    assert reason(clip()) == "too_large"
    monkeypatch.setattr(video, "MAX_SECONDS", 0.5)
    with pytest.raises(MediaError) as error:
        read_track(tone("mp4", "aac", (0.3, 0.3)))
    assert error.value.reason == "too_long"


def test_t23_a_long_clip_is_not_held_in_memory(tmp_path: Path) -> None:
    """Its 120 frames are 330 MiB as pictures."""
    (tmp_path / "clip").write_bytes(muxed("matroska", "mpeg4", side=976, count=120))
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from chiasm.modalities.video import read_video\n"
        "data = Path(sys.argv[1]).read_bytes()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(read_video(data, 64, 16).shape[0])\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "clip")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    count, grown = done.stdout.split()
    assert int(count) == 16
    assert float(grown) < 120


@pytest.mark.parametrize(
    ("kind", "codec"),
    [("mp4", "libx264"), ("matroska", "libx264"), ("avi", "mpeg4"), ("mpegts", "mpeg2video"), ("webm", "libvpx-vp9")],
)
def test_t23_cut_or_changed_anywhere(kind: str, codec: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = muxed(kind, codec)
    chance = random.Random(23)
    broken = [data[: len(data) * point // 50] for point in range(50)]
    for _ in range(100):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 3, 20))):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        broken.append(bytes(changed))
    refused = 0
    for one in broken:
        try:
            assert read_video(one, 16, 4).shape == (4, 16, 16, 3)
            read_track(one)
        except MediaError as error:
            refused += 1
            assert error.reason
            assert str(error)
    assert refused
    assert capfd.readouterr() == ("", ""), "FFmpeg says nothing on its own"


def test_t23_a_sound_track_that_is_broken() -> None:
    data = tone("matroska", "flac", (0.3, 0.5))
    whole = read_track(data)
    assert whole is not None
    assert abs(len(whole) - 32_000) < 200
    assert abs(float(whole[20_000:30_000].std()) - 0.5 / 2**0.5) < 0.02
    half = read_track(data[: len(data) // 2])
    assert half is None or len(half) < 24_000
