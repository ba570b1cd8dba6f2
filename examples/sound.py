"""Sound → what kind of sound it is, and sound → a caption.

python examples/sound.py
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from small import folder, held_out, learn, measure, own

from chiasm.modalities.vocoder import write_wav

RATE = 16_000
KINDS = ("tone", "siren", "noise", "ticking")


def sound(kind: str, high: bool, swells: bool, rng: np.random.Generator) -> NDArray[np.float32]:
    """One second, float32 [RATE] in −1 … 1."""
    t = np.arange(RATE) / RATE
    pitch = (1200 if high else 300) * rng.uniform(0.9, 1.1)
    bend = 0.1 * pitch * np.sin(2 * np.pi * 3 * t) if kind == "siren" else 0.0
    wave = np.sin(2 * np.pi * pitch * t + bend)
    if kind == "noise":  # slow noise moves the tone about: a band of noise around its pitch
        wave *= np.convolve(rng.normal(size=RATE), np.ones(40) / 10, "same").clip(-1, 1)
    if kind == "ticking":
        wave *= (8 * t) % 1 < 0.1
    return (0.7 * wave * (t if swells else 1 - t)).astype(np.float32)


def sounds(into: Path) -> list[dict[str, Any]]:
    """Five of each sort, no two alike, as WAV files; their rows of a manifest."""
    into.mkdir()
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for kind, high, swells, number in product(KINDS, (False, True), (False, True), range(5)):
        name = f"{kind}-{high:d}{swells:d}{number}.wav"
        (into / name).write_bytes(write_wav(sound(kind, high, swells, rng)))
        caption = f"a {'high' if high else 'low'} {kind} that {'swells' if swells else 'fades'}"
        rows.append({"audio": name, "caption": caption, "labels": {"kind": kind}})
    return rows


TASKS = {
    "kind": '{given: [audio], wanted: "label:kind"}',
    "tell": '{given: [audio], wanted: "text:caption"}',
}

with folder() as root:
    data = own(root, "sounds", sounds(root / "sounds"))
    model = learn(data, root / "run", TASKS, steps=160)
    for record in held_out(data, 5):
        heard = data.read(record.audio[0])
        kind, told = model.convert(audio=heard, to="label"), model.convert(audio=heard)
        print(f"{record.texts[0].text} → {kind.text}: {told.text}")
    measure(model, {"kind": "accuracy", "tell": "token_f1"})
