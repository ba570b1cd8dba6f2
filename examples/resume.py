"""Kill a training run, resume it, and compare with a run that nothing disturbed: the weights are equal bit for bit.

python examples/resume.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import safetensors.numpy
from own_data import SMALL, make_folder

import chiasm

STEPS = 60
SETTINGS = (*SMALL, "train.checkpoint_steps=10")


def weights(run: Path) -> dict[str, bytes]:
    newest = sorted((run / "checkpoints").glob("step-*"))[-1]
    return {name: array.tobytes() for name, array in safetensors.numpy.load_file(newest / "model.safetensors").items()}


def main(root: Path) -> None:
    data = chiasm.build(make_folder(root / "shapes"), root / "shapes.lance", test=0.2, validation=0.0)

    # In a process of its own, so that it can be killed as a crash or a power cut would: without any warning.
    killed = root / "killed"
    command = ["train", str(data.path), *SETTINGS, "--steps", str(STEPS), "--out", str(killed)]
    process = subprocess.Popen(
        [sys.executable, "-m", "chiasm", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list(killed.glob("checkpoints/step-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    print(f"killed; what is there: {sorted(path.name for path in killed.glob('checkpoints/step-*'))}")

    data.train(killed, resume=True)
    undisturbed = root / "undisturbed"
    data.train(undisturbed, steps=STEPS, settings=SETTINGS)
    equal = weights(killed) == weights(undisturbed)
    print(f"after {STEPS} steps the weights are {'equal bit for bit' if equal else 'different'}")
    if not equal:
        raise SystemExit(1)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
