"""Every example runs as its reader would run it, and says what it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from chiasm.declare import parse_field

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
DECLARING = (
    ROOT / "docs" / "converting.md",
    ROOT / "recipes" / "starter.yaml",
    *sorted((ROOT / "recipes" / "convert").glob("*.yaml")),
)
SEARCH = {"text + image + audio → space", "text + video + audio → space"}
"""Search, which embed.py and own_data.py show without a task."""

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
    "dialogue.py": ("? (spoken)\n  ", "(told: ", "– (only heard: "),
    "boxes.py": ("boxes: ", "mask: 8 × 8 cells: "),
    "recommend.py": ("steaming bowl, spaghetti, ", " → "),
    "video.py": ("A cow stays still at the top right. → ", "(told: cow)"),
    "clips.py": ("text → clip: R@1 ", "clip → text: R@1 "),
    "sound.py": ("a low tone that fades → ", "kind: accuracy ", "tell: token_f1 "),
    "label.py": ("The film was wonderful. → ", "sentiment: accuracy ", "topic: accuracy "),
    "write.py": ("explain: chrf ", "program: chrf ", "headline: token_f1 "),
}
BESIDE = {"small.py"}
"""What the examples share."""

SHOWN = {
    "captions of pictures": ("caption.py", "image → text"),
    "questions about a picture": ("answer.py", "image + question → answer"),
    "pictures from words": ("draw.py", "text → image"),
    "speech recognition": ("command.py", "audio → text"),
    "speech from words": ("speak.py", "text → audio"),
    "commands by voice": ("command.py", "audio → label:intent"),
    "commands in writing": ("command.py", "text → label:intent"),
    "detection": ("boxes.py", "image → boxes"),
    "segmentation": ("boxes.py", "image → mask"),
    "clips in words": ("video.py", "video → text"),
    "what is done in a clip": ("video.py", "video → label:action"),
    "questions about a clip": ("video.py", "video + question → answer"),
    "clips by words, and words by clips": ("clips.py", "text + video → space"),
    "translation, with a picture where there is one": ("translate.py", "text + image? → text"),
    "dialogue with pictures and spoken turns": ("dialogue.py", "turns → answer"),
    "sentiment": ("label.py", "text → label:sentiment"),
    "topic": ("label.py", "text → label:topic"),
    "summaries and code": ("write.py", "text → text"),
    "what comes next": ("recommend.py", "history → item"),
    "what a sound is": ("sound.py", "audio → label:kind"),
    "a sound in words": ("sound.py", "audio → text"),
}
"""Each application: the example that shows it, and the kind of task that it declares."""


def kinds(path: Path) -> set[str]:
    """The tasks that a file declares, as GIVEN → WANTED: of fields neither kind nor language, of labels the name."""
    found: set[str] = set()
    for given, wanted in re.findall(r"given: \[([^\]]+)\], wanted: \"?([\w:]+)", path.read_text(encoding="utf8")):
        fields = [parse_field(one.strip().strip('"')) for one in given.split(",")]
        of, _, name = wanted.partition(":")
        told = " + ".join(f"{field.of}{'?' if field.optional else ''}" for field in fields)
        found.add(f"{told} → {wanted if of == 'label' and name else of}")
    return found


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS) | BESIDE


def test_every_application_has_its_example() -> None:
    for example, kind in SHOWN.values():
        assert kind in kinds(EXAMPLES / example), (example, kind)


@pytest.mark.parametrize("path", DECLARING, ids=lambda path: path.name)
def test_every_kind_of_task_that_is_documented_is_shown(path: Path) -> None:
    shown = {kind.partition(":")[0] for _, kind in SHOWN.values()}
    assert {kind.partition(":")[0] for kind in kinds(path)} <= shown | SEARCH


@pytest.mark.parametrize("name", SAYS)
def test_example(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for words in SAYS[name]:
        assert words in done.stdout
