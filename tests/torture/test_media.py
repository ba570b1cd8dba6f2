"""Broken, lying and hostile media: a defined result or a typed error, within bounded memory and time."""

from __future__ import annotations

import io
import json
import random
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from chiasm.dataset.build import build
from chiasm.dataset.table import Table
from chiasm.errors import MediaError
from chiasm.modalities.audio import MAX_PCM, read_audio
from chiasm.modalities.image import ORIENTATION, read_image
from chiasm.modalities.text import Tokenizer, clean_text

LIMIT_MIB = 256


def picture(kind: str, seed: int = 0, **options: object) -> bytes:
    steps = np.random.default_rng(seed).integers(-4, 5, (160, 240, 3))
    file = io.BytesIO()
    Image.fromarray(np.cumsum(steps, 0).astype(np.uint8)).save(file, kind, **options)
    return file.getvalue()


def stamp(seed: int) -> bytes:
    """A picture of 8 × 8 pixels."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def png(width: int, height: int, data: bytes = b"", depth: int = 8, colour: int = 2) -> bytes:
    """A PNG whose header says what it likes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def wav(samples: np.ndarray, rate: int, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return file.getvalue()


def measured(code: str, *arguments: str) -> tuple[str, float]:
    """Run `code` in a fresh process: what it printed, and by how many MiB its memory grew over its imports."""
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from chiasm.errors import MediaError\n"
        "from chiasm.modalities.image import read_image\n"
        "from chiasm.modalities.audio import read_audio\n"
        "data = Path(sys.argv[1]).read_bytes()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        f"    print({code})\n"
        "except MediaError as error:\n"
        "    print(error.reason)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    answer, grown = done.stdout.split()
    return answer, float(grown)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30}])
def test_t17_a_jpeg_cut_anywhere_is_refused_and_never_grey(options: dict[str, object]) -> None:
    whole = picture("JPEG", **options)
    for point in range(100):
        cut = whole[: len(whole) * point // 100]
        for size in (None, 48):
            with pytest.raises(MediaError):
                read_image(cut, size)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP"])
def test_t17_other_pictures_cut_anywhere(kind: str) -> None:
    whole = picture(kind)
    for point in range(100):
        with pytest.raises(MediaError):
            read_image(whole[: len(whole) * point // 100])


def test_t18_a_huge_png_is_refused_from_its_header(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("L", (14_000, 14_000)).save(file, "PNG")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    answer, grown = measured("read_image(data, 48).shape", str(tmp_path / "a.png"))
    assert answer == "too_large"
    assert grown < 50


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "BMP", "JPEG"])
def test_t18_other_formats_cannot_claim_a_huge_canvas(kind: str, tmp_path: Path) -> None:
    data = bytearray(picture(kind, **({"lossless": True} if kind == "WEBP" else {})))
    if kind == "WEBP":
        data[20:25] = b"\x2f" + (16383 | 16383 << 14).to_bytes(4, "little")
    elif kind == "GIF":
        data[6:10] = b"\xff\xff\xff\xff"
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", 2**30, 2**30)
    else:
        start = data.index(b"\xff\xc0") + 5
        data[start : start + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "a").write_bytes(data)
    answer, grown = measured("read_image(data, 48).shape", str(tmp_path / "a"))
    assert answer == "too_large"
    assert grown < 50


def test_t19_odd_shapes_have_a_defined_result() -> None:
    for width, height in ((0, 5), (5, 0), (0, 0)):
        with pytest.raises(MediaError):
            read_image(png(width, height))
    for width, height in ((1, 10**7), (10**7, 1), (2**31 - 1, 2**31 - 1)):
        with pytest.raises(MediaError) as caught:
            read_image(png(width, height))
        assert caught.value.reason == "too_large"
    line = png(1, 30_000, zlib.compress(b"\x00\xff\x00\x00" * 30_000))
    assert read_image(line).shape == (30_000, 1, 3)
    small = read_image(line, 48)
    assert small.shape == (48, 48, 3)
    assert (small != 255).any()


def test_t19_a_text_chunk_cannot_blow_up() -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    whole = png(1, 1, zlib.compress(b"\x00\xff\x00\x00"))
    bomb = chunk(b"zTXt", b"k\x00\x00" + zlib.compress(bytes(2**26)))
    with pytest.raises(MediaError):
        read_image(whole[:33] + bomb + whole[33:])


def test_t19_damaged_metadata_does_not_cost_the_picture() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = bytearray(picture("JPEG", exif=exif))
    start = data.index(b"Exif\x00\x00")
    data[start + 6 : start + 20] = b"\xff" * 14
    assert read_image(bytes(data)).shape == (160, 240, 3)


def test_t20_formats_are_told_by_content() -> None:
    for kind in ("TIFF", "EPS", "ICO", "PPM", "TGA"):
        with pytest.raises(MediaError) as caught:
            read_image(picture(kind))
        assert caught.value.reason == "format", kind
    with pytest.raises(MediaError) as caught:
        read_image(b"This is a text that someone named picture.png\n" * 100)
    assert caught.value.reason == "format"


def test_t21_wavs_that_are_empty_absurd_or_not_numbers() -> None:
    tone = np.sin(np.arange(16_000) / 20).astype(np.float32) / 2
    whole = bytearray(wav(tone, 16_000))
    cases: dict[str, tuple[bytes, str]] = {
        "0 bytes": (b"", "empty"),
        "header only": (wav(tone[:0], 16_000), "empty"),
        "NaN": (wav(np.where(np.arange(16_000) == 9000, np.nan, tone), 16_000, "FLOAT"), "non_finite"),
        "infinite": (wav(np.where(np.arange(16_000) == 9000, np.inf, tone), 16_000, "FLOAT"), "non_finite"),
        "cut": (bytes(whole[:9000]), "truncated"),
    }
    for name, (data, reason) in cases.items():
        with pytest.raises(MediaError) as caught:
            read_audio(data)
        assert caught.value.reason == reason, name
    for rate in (0, 655_350, 2**32 - 1):
        whole[24:28] = struct.pack("<I", rate)
        with pytest.raises(MediaError):
            read_audio(bytes(whole))
    found = read_audio(wav(np.stack([tone] * 32, 1), 16_000))
    assert np.abs(found - tone).max() < 1e-3


def test_t21_samples_in_memory_are_bounded(tmp_path: Path) -> None:
    # 200 s of 8 channels at 48 kHz: a small file, and 293 MiB of samples.
    silence = np.zeros((48_000 * 20, 8), np.int16)
    file = tmp_path / "a.flac"
    with soundfile.SoundFile(file, "w", 48_000, 8, format="FLAC", subtype="PCM_16") as out:
        for _ in range(10):
            out.write(silence)
    answer, grown = measured("len(read_audio(data))", str(file))
    assert MAX_PCM < 200 * 48_000 * 8 * 4
    assert answer == "too_large"
    assert grown < LIMIT_MIB


def test_t22_hours_in_a_small_file_stop_during_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(path, "w", 8_000, 1, format="FLAC", subtype="PCM_16") as out:
        for _ in range(60):
            out.write(np.zeros(8_000 * 240, np.int16))  # four hours in all
    honest = path.read_bytes()
    assert len(honest) < 2**20
    # STREAMINFO's 36-bit sample count (RFC 9639, section 8.2): 0 means unknown, so the header cannot warn.
    lying = bytearray(honest)
    lying[21] &= 0xF0
    lying[22:26] = bytes(4)
    for data in (honest, bytes(lying)):
        path.write_bytes(data)
        answer, grown = measured("len(read_audio(data))", str(path))
        assert answer in ("too_long", "too_large")
        assert grown < LIMIT_MIB
        answer, grown = measured("len(read_audio(data, 3.0))", str(path))
        assert answer == "48000"
        assert grown < 32


def test_t22_a_long_opus(tmp_path: Path) -> None:
    path = tmp_path / "a.opus"
    with soundfile.SoundFile(path, "w", 8_000, 1, format="OGG", subtype="OPUS") as out:
        for _ in range(11):
            out.write(np.zeros(8_000 * 60, np.float32))
    answer, grown = measured("len(read_audio(data))", str(path))
    assert answer == "too_long"
    assert grown < LIMIT_MIB


def test_t41_flipped_and_inserted_bytes_give_a_result_or_a_typed_error() -> None:
    rng = random.Random(0)
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (3000, 2)).astype(np.float32)
    seeds = [picture(kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP")]
    for kind in ("WAV", "FLAC", "OGG", "AIFF"):
        file = io.BytesIO()
        soundfile.write(file, noise, 16_000, format=kind)
        seeds.append(file.getvalue())
    refused = 0
    for number in range(600):
        data = bytearray(seeds[number % len(seeds)])
        for _ in range(rng.choice([1, 5, 50])):
            place = rng.randrange(rng.choice([64, 400, len(data)]))
            data[place] = rng.choice([0, 255, data[place] ^ 1 << rng.randrange(8)])
        if number % 5 == 0:
            place = rng.randrange(len(data))
            data[place:place] = rng.randbytes(20)
        for read in (read_image, read_audio):
            try:
                assert read(bytes(data)).size > 0
            except MediaError:
                refused += 1
    assert 600 < refused < 1200  # each is refused by the other reader, and some by their own


def test_t24_any_text_encodes_or_is_refused() -> None:
    tokenizer = Tokenizer.train(["a red apple", "a green apple"] * 4, 300)
    texts = {
        "surrogate": "a\ud800\udfffb",
        "NUL": "a\x00b",
        "bidi": "a\u202eb\u2069",
        "flood": "z" + "\u0335" * 30_000,
        "line": "x" * 10_000_000,
        "empty": "",
        "noncharacters": "\ufffe\uffff",
        "astral": "\U0001f44b\U000e0001",
        "spaces": "\u2003\u00a0\u3000",
        "expanding": "\ufdfa" * 9_000,
    }
    for name, text in texts.items():
        started = time.monotonic()
        try:
            cleaned = clean_text(text)
        except MediaError as error:
            assert error.reason in ("empty", "too_long"), name
        else:
            tokens, valid = tokenizer.encode([cleaned], 64)
            assert tokens.shape == valid.shape
            cleaned.encode()
        assert time.monotonic() - started < 10, name
        tokenizer.encode([text[:20_000]], 64)


def manifest(root: Path, count: int, broken: set[int]) -> Path:
    """Rows with a small picture each; those in `broken` are cut, empty, absent or no pictures."""
    good = [stamp(seed) for seed in range(4)]
    damaged = [good[0][: len(good[0]) // 2], b"", None, b"no picture"]
    lines: list[str] = []
    for number in range(count):
        data = damaged[number % 4] if number in broken else good[number % 4]
        if data is not None:
            (root / f"{number}.png").write_bytes(data)
        lines.append(json.dumps({"id": str(number), "image": f"{number}.png", "group": f"g{number}"}))
    path = root / "manifest.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.slow
def test_t29_one_percent_corrupt_in_ten_thousand(tmp_path: Path) -> None:
    broken = set(np.random.default_rng(0).choice(10_000, 100, replace=False).tolist())
    path = manifest(tmp_path, 10_000, broken)
    result = build(str(path), tmp_path / "d.lance")
    assert (result.given, result.accepted, result.rejected) == (10_000, 9_900, 100)
    rows = [json.loads(line) for line in result.ledger.read_text().splitlines()]
    assert {int(row["id"]) for row in rows} == broken
    expected = Counter(["truncated", "empty", "missing", "format"][number % 4] for number in broken)
    assert Counter(row["reason"] for row in rows) == expected
    assert {found.id for found in Table(result.path).records(columns=["id"])} == {
        str(number) for number in range(10_000) if number not in broken
    }


BUILD = """
import sys
from pathlib import Path
from chiasm.dataset.build import build
build(sys.argv[1], Path(sys.argv[2]), overwrite=True)
"""


def test_t28_a_killed_build_leaves_nothing_and_a_rerun_is_the_same(tmp_path: Path) -> None:
    path, out = manifest(tmp_path, 400, {3, 100}), tmp_path / "d.lance"
    columns = ["id", "split", "group"]
    first = build(str(path), out)
    expected = Table(out).records(columns=columns)
    command = [sys.executable, "-c", BUILD, str(path), str(out)]
    started = time.monotonic()
    subprocess.run(command, check=True)
    full = time.monotonic() - started
    for share in (0.5, 0.75, 0.9):
        process = subprocess.Popen(command)
        time.sleep(full * share)
        process.send_signal(signal.SIGKILL)
        process.wait()
        again = build(str(path), out, overwrite=True)
        assert (again.accepted, again.rejected, again.splits) == (first.accepted, first.rejected, first.splits)
        assert Table(out).records(columns=columns) == expected
        assert [left.name for left in tmp_path.iterdir() if left.name.startswith(".")] == []
