"""Every command of docs/sources.md is run, each on a small tree of what it names."""

from __future__ import annotations

import re
import shlex
import zipfile
from pathlib import Path

import pytest
from source_trees import coco, picture, sound, write
from test_archives import tar
from typer.testing import CliRunner

from chiasm.cli.main import app
from chiasm.sources.recognise import LAYOUTS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sources.md").read_text(encoding="utf8")
COMMANDS = [
    line
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHIASM_CACHE", str(tmp_path / "cache"))
    return tmp_path


def make(root: Path, name: str) -> None:
    if name == "coco":
        coco(root / "coco")
    elif name.startswith("annotations"):
        coco(root)
    elif name == "LibriSpeech":
        talk = root / "LibriSpeech" / "dev-clean" / "84" / "121123"
        write(talk, {"84-121123.trans.txt": "84-121123-0000 GO\n", "84-121123-0000.flac": sound(1, "FLAC")})
    elif name.endswith(".zip"):
        with zipfile.ZipFile(root / name, "w") as file:
            file.writestr(
                "ESC-50/meta/esc50.csv",
                "filename,fold,target,category,esc10,src_file,take\n1-1-A-0.wav,1,0,dog,True,1,A\n",
            )
            file.writestr("ESC-50/audio/1-1-A-0.wav", sound(2))
    elif name == "shards":
        (root / name).mkdir()
        tar(root / name / "train-000000.tar", {"0.png": picture(1), "0.txt": b"a cat"})
    elif name == "flowers":
        write(
            root / name, {f"{kind}/{i}.png": picture(hash_of(kind) + i) for kind in ("rose", "tulip") for i in range(5)}
        )
    elif name == "book.txt":
        write(root, {name: "One paragraph.\n\nAnother one.\n"})
    else:
        raise AssertionError(f"make something for {name}")


def hash_of(name: str) -> int:
    return sum(name.encode())


@pytest.mark.parametrize("command", [line for line in COMMANDS if "hf://" not in line])
def test_the_command_runs(command: str, place: Path) -> None:
    words = shlex.split(command)
    make(place, words[2])
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, result.output
    assert (place / words[3]).is_dir()


def test_a_hub_that_cannot_be_reached_ends_with_its_code(place: Path) -> None:
    (command,) = [line for line in COMMANDS if "hf://" in line]
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 7


def test_the_table_has_every_layout_in_its_order() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == [layout.name for layout in LAYOUTS]
