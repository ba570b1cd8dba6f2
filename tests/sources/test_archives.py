"""Archives and WebDataset tars, whole, cut and hostile: nothing lands outside, bombs stop at a cap, what is lost is counted (T25 to T27)."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from source_trees import clip, picture, read, sound, write

from chiasm.config import BuildConfig
from chiasm.errors import DataError
from chiasm.sources import archive, bounded, open_source
from chiasm.types import Label, Text


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIASM_CACHE", str(tmp_path / "cache"))


def tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:  # pyright: ignore[reportCallIssue, reportArgumentType]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


SAMPLE: dict[str, bytes] = {
    "0001.jpg": picture(1, "JPEG"), "0001.txt": b"a cat", "0001.cls": b"3",
    "0001.json": json.dumps({"caption": "a cat", "url": "http://x", "licence": "CC0", "image": "/etc/passwd", "id": "other"}).encode(),
    "0002.wav": sound(2), "0002.de.txt": b"ein Wort", "0002.json.gz": gzip.compress(b'{"speaker": "eva", "split": "val"}'),
    "0003.mp4": clip(3), "0003.npy": b"\x93NUMPY", "0003.pyd": b"\x80\x04.",
    "0004.pth": b"weights", "0005.txt": b"\xff", "0006.json": b"[1]", "deep/0001.flac": sound(4, "FLAC"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_webdataset(suffix: str, tmp_path: Path) -> None:
    mode = {"tar": "w", "tgz": "w:gz"}.get(suffix, f"w:{suffix[4:]}")
    path = tar(tmp_path / f"train-000000.{suffix}", SAMPLE, mode)
    found = read(path)
    assert found.source.found.startswith("webdataset: train-000000")
    assert set(found.records) == {"0001", "0002", "0003", "deep/0001"}
    cat = found.records["0001"]
    assert cat.texts == (Text("a cat"),) and cat.labels == (Label("class", "3"),) and cat.licence == "CC0"
    assert len(cat.image) == 1 and cat.image[0].data == SAMPLE["0001.jpg"]
    assert cat.split == "train" and found.records["0002"].split == "val"
    assert found.records["0002"].texts == (Text("ein Wort", "de"),)
    assert [(item.id, item.part, item.reason) for item in found.remarks] == [
        ("0003", "npy", "unknown_kind"), ("0003", "pyd", "unknown_kind"),
    ]  # fmt: skip
    assert found.refused == [("0004", "unknown_kind"), ("0005", "encoding"), ("0006", "malformed")]


def test_shards_in_their_order_with_keys_of_their_own(tmp_path: Path) -> None:
    for number in (1, 0, 2):
        tar(
            tmp_path / f"val-{number:06}.tar",
            {"0.png": picture(number), "0.txt": b"x", "1.png": picture(9), "1.txt": b"y"},
        )
    write(tmp_path, {"loose.png": picture(7), "notes.xyz": "?"})
    found = read(tmp_path)
    assert list(found.records) == [f"val-{n:06}/{key}" for n in range(3) for key in "01"] + ["loose"]
    assert {record.split for record in found.records.values()} == {"val", None}
    assert "shards: 3" in found.source.found and "it could also be folder" in found.source.found
    assert found.refused == [("notes.xyz", "unknown_kind")]


def test_t27_a_tar_that_is_cut(tmp_path: Path) -> None:
    """At every place: the samples before the cut are whole, and the loss is in the ledger."""
    files = {f"{i:03}.{end}": data for i in range(4) for end, data in (("png", picture(i)), ("txt", b"words"))}
    whole = tar(tmp_path / "whole.tar", files).read_bytes()
    ends = whole.rindex(b"words") + 512 - len("words") % 512  # of the last member
    for cut in [*range(1024, ends, 700), ends - 600]:
        path = tmp_path / "cut.tar"
        path.write_bytes(whole[:cut])
        found = read(path, decode=False)
        assert len(found.rejected) == 1 and found.rejected[0].reason == "truncated", cut
        for record in list(found.records.values())[:-1]:
            assert record.image and record.texts
        assert all(part.data in files.values() for record in found.records.values() for part in record.image)
    packed = tar(tmp_path / "whole.tgz", files, "w:gz").read_bytes()
    (tmp_path / "cut.tgz").write_bytes(packed[: 2 * len(packed) // 3])
    found = read(tmp_path / "cut.tgz")
    assert 0 < len(found.records) < 4 and [item.reason for item in found.rejected] == ["truncated"]
    damaged = bytearray(whole)
    place = whole.index(b"002.png")
    damaged[place : place + 512] = b"\x07" * 512
    (tmp_path / "damaged.tar").write_bytes(damaged)
    found = read(tmp_path / "damaged.tar")
    assert list(found.records) == ["000", "001"] and [item.reason for item in found.rejected] == ["corrupt"]


def hostile(path: Path) -> Path:
    with tarfile.open(path, "w") as file:
        for name in (
            "../out.txt",
            "/abs.txt",
            "a/../../out.txt",
            "ok/1.txt",
            "ok/1.png",
            "C:\\x.txt",
            "x" * 300 + ".txt",
        ):
            info = tarfile.TarInfo(name)
            data = picture() if name.endswith("png") else b"words"
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
        for name, kind, link in (
            ("link", tarfile.SYMTYPE, "/etc"), ("link/passwd.txt", tarfile.REGTYPE, ""), ("hard.txt", tarfile.LNKTYPE, "../../secret"),
            ("pipe", tarfile.FIFOTYPE, ""), ("device", tarfile.CHRTYPE, ""), ("s1", tarfile.SYMTYPE, "s2"), ("s2", tarfile.SYMTYPE, ".."),
        ):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            file.addfile(info)
    return path


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("layout", [None, "folder", "webdataset"])
def test_t25_a_hostile_tar(layout: str | None, tmp_path: Path) -> None:
    path = hostile(tmp_path / "x.tar")
    before = everything(tmp_path)
    found = read(path, layout=layout, decode=False)
    made = {name for name in everything(tmp_path) - before if not name.startswith("cache")}
    assert made == set()
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]
    assert "ok/1" in found.records
    refused = [item for item in (*found.rejected, *found.remarks) if item.reason == "unsafe"]
    assert len(refused) == 5 + 6


def test_t25_a_hostile_zip(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "x.zip", {"../out.txt": b"no", "/abs.txt": b"no", "a/b.txt": b"words", "a/b.png": picture()}
    )
    with zipfile.ZipFile(path, "a") as file:
        link = zipfile.ZipInfo("a/link")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a/b.txt", "again")
    found = read(path)
    assert found.source.name == "x" and found.source.found.startswith("an archive of folder:")
    assert set(found.records) == {"b"}  # the one folder of the archive is its root
    assert sorted(found.refused) == [
        ("x.zip:../out.txt", "unsafe"), ("x.zip:/abs.txt", "unsafe"), ("x.zip:a/b.txt", "duplicate_id"), ("x.zip:a/link", "unsafe"),
    ]  # fmt: skip
    assert everything(tmp_path) - {name for name in everything(tmp_path) if name.startswith("cache")} == {"x.zip"}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_whose_path_is_too_long_is_one_row_of_the_ledger(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}"
    # Of the second each part is short, and the whole too long only with the folder that it is unpacked into.
    long = ("a" * 256 + ".txt", "/".join(["b" * 200] * 20) + "/cat.txt", "/".join(["c" * 200] * 25) + "/cat.txt")
    (zipped if kind == "zip" else tar)(path, dict.fromkeys((*long, "dog.txt"), b"a dog"))
    folder, rejected = archive.unpacked(path)
    assert (folder / "dog.txt").read_bytes() == b"a dog"
    assert [item.reason for item in rejected] == ["unsafe"] * 3
    assert all("too long for a file system" in item.message for item in rejected)


def test_t25_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 20)
    files = {f"{name}/{i}.png": b"p" for name in "ab" for i in range(20)}
    for path in (zipped(tmp_path / "x.zip", files), tar(tmp_path / "x.tar", files)):
        with pytest.raises(DataError, match="20"):
            open_source(str(path), BuildConfig())
    assert not list((tmp_path / "cache" / "unpacked").iterdir())


BOUNDED = """
import resource, sys
from pathlib import Path
from chiasm.config import BuildConfig
from chiasm.errors import DataError
from chiasm.sources import open_source
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    count = sum(1 for _ in open_source(sys.argv[1], BuildConfig()).records())
except DataError:
    count = 0
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("kind", [pytest.param("members", marks=pytest.mark.slow), "header", "sample"])
def test_t25_memory_stays_bounded(kind: str, tmp_path: Path) -> None:
    """100,000 members of a tar, a header of 300 MiB, a member of 300 MiB: within 256 MiB."""
    path = tmp_path / "x.tar.gz"
    with gzip.open(path, "wb", 1) as file:
        if kind == "members":
            for number in range(100_000):
                file.write(tarfile.TarInfo(f"{number}.xyz").tobuf() if number else tarfile.TarInfo("0.txt").tobuf())
        else:
            info = tarfile.TarInfo("x.txt")
            info.size = 300 * 2**20
            info.type = tarfile.XHDTYPE if kind == "header" else tarfile.REGTYPE
            file.write(info.tobuf())
            for _ in range(300):
                file.write(bytes(2**20))
        file.write(bytes(1024))
    environment = {**os.environ, "CHIASM_CACHE": str(tmp_path / "cache")}
    result = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(path)],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    count, mib = map(int, result.stdout.split())
    assert mib < 256
    assert count >= (100_000 if kind == "members" else 0)


def bomb(path: Path, make: Callable[[Path, dict[str, bytes]], Path]) -> Path:
    return make(path, {"a.txt": b"first", "b.txt": bytes(3 * 2**20), "c.txt": b"last", "d.csv": b"x\n"})


@pytest.mark.parametrize("kind", ["zip", "lying zip", "tgz"])
def test_t26_a_bomb_stops_at_the_cap(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "ALLOWANCE", 2**20)
    monkeypatch.setattr(bounded, "EXPANSION", 2)
    if kind == "tgz":
        path = bomb(tmp_path / "x.tgz", lambda path, files: tar(path, files, "w:gz"))
    else:
        path = bomb(tmp_path / "x.zip", zipped)
    if kind == "lying zip":  # both headers say that 9 bytes come out
        data = path.read_bytes().replace((3 * 2**20).to_bytes(4, "little"), (9).to_bytes(4, "little"))
        path.write_bytes(data)
    found = read(path, layout="folder")
    assert "a" in found.records
    stopped = [item.reason for item in found.rejected if "b.txt" in item.id + item.message]
    assert stopped in (["too_large"], ["corrupt"])
    unpacked = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert unpacked < 2 * 2**20


def test_archives_of_other_layouts(tmp_path: Path) -> None:
    esc = b"filename,fold,target,category,esc10,src_file,take\n1-1-A-0.wav,1,0,dog,True,1,A\n"
    files = {"ESC-50-master/meta/esc50.csv": esc, "ESC-50-master/audio/1-1-A-0.wav": sound(1)}
    for path in (zipped(tmp_path / "e.zip", files), tar(tmp_path / "e.tar.gz", files, "w:gz")):
        found = read(path)
        assert found.source.found.startswith("an archive of esc50: meta/esc50.csv") and set(found.records) == {
            "1-1-A-0"
        }
        assert found.source.name == "e"
        assert found.records["1-1-A-0"].source == "e"
    classes = {f"flowers/{name}/{i}.png": picture(i) for name in ("rose", "tulip") for i in range(2)}
    assert set(read(tar(tmp_path / "f.tar", classes)).records) == {"rose/0", "rose/1", "tulip/0", "tulip/1"}


def test_an_archive_is_unpacked_once_and_anew_when_it_changes(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a.txt": b"one"})
    first = read(path)
    (kept,) = (tmp_path / "cache" / "unpacked").iterdir()
    stamp = kept.stat().st_mtime_ns
    assert read(path).records == first.records and kept.stat().st_mtime_ns == stamp
    zipped(path, {"a.txt": b"another"})
    assert read(path).records["a"].texts == (Text("another"),)


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_what_is_no_archive(name: str, tmp_path: Path) -> None:
    for data in (b"", b"PK", b"PK\x05\x06" + bytes(18), gzip.compress(b"no tar"), bytes(100), b"\x07" * 2000):
        (tmp_path / name).write_bytes(data)
        try:
            items = read(tmp_path / name)
        except DataError:
            continue
        assert not items.records


def test_a_tar_beside_pictures_that_is_no_data_set(tmp_path: Path) -> None:
    tar(tmp_path / "backup.tgz", {"home/notes.csv": b"a,b", "home/x/y.txt": b"z", "etc/a.txt": b"b"}, "w:gz")
    found = read(write(tmp_path, {"a.png": picture(1), "a.txt": "words"}))
    assert found.source.found.startswith("folder") and found.refused == [("backup.tgz", "unknown_kind")]


def test_parts_of_a_sample(tmp_path: Path) -> None:
    files = {"1.seg.png": picture(1), "1.png": picture(2), "1.en.wav": sound(1), "1.de.txt": b"drei"}
    (record,) = read(tar(tmp_path / "x.tar", files)).records.values()
    assert [(part.kind, part.language) for part in (*record.image, *record.audio)] == [
        ("seg", None),
        (None, None),
        (None, "en"),
    ]
