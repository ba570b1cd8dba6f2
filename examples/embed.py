"""Vectors for texts and pictures, and how alike they are.

python examples/embed.py [RUN]        e.g. runs/demo; without one, a tiny run is trained first
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from own_data import make_folder, train_small

import chiasm


def main(run: Path, folder: Path) -> None:
    model = chiasm.load(run)
    print(f"{', '.join(model.modalities)} → {model.dimension} numbers")
    texts = ["a red disc", "a blue bar", "a green cross"]
    pictures = [make_folder(folder) / f"{text.removeprefix('a ').replace(' ', '_')}.png" for text in texts]
    words = model.embed(text=texts)  # float32 [3, E]
    looks = model.embed(image=pictures)  # float32 [3, E]
    # Vectors are of unit length: the matrix product is the cosine similarity of every text with every picture.
    assert np.allclose(np.linalg.norm(words, axis=1), 1, atol=1e-5)
    with np.printoptions(precision=2, suppress=True, sign="+"):
        print(words @ looks.T)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as root:
        chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else train_small(Path(root))
        main(chosen, Path(root) / "shapes")
