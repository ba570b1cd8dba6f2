"""Every example runs as its reader would run it, and says what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SAYS = {
    "own_data.py": ("24 records", "the picture itself: blue_bar 1.000"),
    "embed.py": ("text, image → 32 numbers", "[["),
    "resume.py": ("step-", "equal bit for bit"),
    "caption.py": ("1st place medal → ", " nats)"),
    "answer.py": ("How many pictures are there? ", "yes or no: "),
    "translate.py": ("1st place medal → de: ", "beam search: "),
    "command.py": ("said:   play the radio now", "meant, by text: "),
    "draw.py": ("32 × 32 pixels: drawn.png",),
    "speak.py": ("s of speech: spoken.wav",),
    "dialogue.py": ("– What is upside-down?\n  teapot", "– Which?\n  "),
    "boxes.py": ("boxes: ", "mask: 8 × 8 cells: "),
    "recommend.py": ("steaming bowl, spaghetti, ", " → "),
    "video.py": ("A cow stays still at the top right. → ", "(told: cow)"),
}
BESIDE = {"small.py"}
"""What the examples share."""


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS) | BESIDE


@pytest.mark.parametrize("name", SAYS)
def test_example(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for words in SAYS[name]:
        assert words in done.stdout
