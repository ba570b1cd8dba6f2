"""Your own files, from a folder to an answer: build → train → search, in a few seconds.

    python examples/own_data.py [FOLDER]

Writes a tiny folder of real files (red_disc.png + red_disc.txt …), turns it into a table, trains a very small model for 20 steps and
asks it. 20 steps on 24 pictures teach it little: the point is the path, which is the same for a folder of 100,000.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import chiasm

COLOURS = {
    "red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 70, 220),
    "yellow": (230, 220, 60), "black": (20, 20, 20), "orange": (240, 140, 30),
}  # fmt: skip
SHAPES = ("disc", "square", "bar", "cross")

SMALL = (
    "train.batch=16", "train.threads=1", "train.device=cpu", "model.width=48", "model.layers=2", "model.embedding=32",
    "model.image.size=24", "model.text.vocabulary=300",
)  # fmt: skip
"""A model that trains in seconds. Leave these out for your own data: the defaults are in docs/configuration.md."""


def make_folder(folder: Path) -> Path:
    """Files that belong together have the same name: red_disc.png is the picture and red_disc.txt the words."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:32, :32] - 16
    inside = {
        "disc": rows**2 + columns**2 < 120,
        "square": (abs(rows) < 10) & (abs(columns) < 10),
        "bar": abs(rows) < 5,
        "cross": (abs(rows) < 4) | (abs(columns) < 4),
    }
    for colour, rgb in COLOURS.items():
        for shape in SHAPES:
            pixels = np.full((32, 32, 3), 255, np.uint8)
            pixels[inside[shape]] = rgb
            Image.fromarray(pixels).save(folder / f"{colour}_{shape}.png")
            (folder / f"{colour}_{shape}.txt").write_text(f"a {colour} {shape}\n", encoding="utf8")
    return folder


def train_small(root: Path, steps: int = 20) -> Path:
    """A folder, its table and a run below `root`; the run's folder."""
    data = chiasm.build(make_folder(root / "shapes"), root / "shapes.lance", test=0.2, validation=0.0)
    data.train(root / "run", steps=steps, settings=SMALL)
    return root / "run"


def main(root: Path) -> None:
    folder = make_folder(root / "shapes")
    data = chiasm.build(folder, root / "shapes.lance", test=0.2, validation=0.0)
    print(f"{len(data)} records: {data.splits()}")
    model = data.train(root / "run", steps=20, settings=SMALL)
    data.index(model)
    for hit in data.search("a red disc", k=3):
        print(f"{hit.rank}. {hit.score:+.3f}  {hit.id}: {hit.record.texts[0].text}")
    best = data.search(image=folder / "blue_bar.png", to="image", k=1)[0]
    print(f"the picture itself: {best.id} {best.score:.3f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
