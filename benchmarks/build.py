"""A build of many small records (a caption and a 32 × 32 picture each): records a second, CPU-seconds and peak memory by size.

    python benchmarks/build.py [--sizes 10000,100000] [--workers 2] [--runner embedded] [--json FILE]

Each size is built in a process of its own. Time that grows with the size, and memory that hardly does, is what to look for; what is written
beside a record's own row while a build decides is its key and its measures.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from _measure import peak_mib
from chiasm.building import EngineConfig
from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.types import Media, Record

WORDS = (
    "a",
    "the",
    "red",
    "blue",
    "small",
    "large",
    "cat",
    "dog",
    "house",
    "tree",
    "river",
    "runs",
    "sleeps",
    "over",
    "under",
    "near",
)


class Small:
    """`total` records, drawn from their numbers."""

    name, attribution, found, root, rule, checked = "small", "", "", None, "groups", frozenset[str]()

    def __init__(self, total: int) -> None:
        self.total = total

    def prepare(self, progress: Any = None) -> None:
        """Nothing to make."""

    def records(self) -> Iterator[Record]:
        import numpy as np
        from PIL import Image

        from chiasm.types import Text

        for number in range(self.total):
            draw = np.random.default_rng(number)
            coarse = draw.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            file = io.BytesIO()
            Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC).save(file, "PNG")
            caption = " ".join(draw.choice(WORDS, 8)) + f" {number}"
            yield Record(f"r{number}", texts=(Text(caption, "en"),), image=(Media(data=file.getvalue()),))


def measure(size: int, workers: int, runner: Any, connection: Any) -> None:
    stages: dict[str, list[float]] = {}

    def progress(stage: str, done: int, total: int | None) -> None:
        stages.setdefault(stage, [time.monotonic()]).append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder:
        config = BuildConfig(workers=workers, engine=EngineConfig(runner=runner))
        started, cpu = time.monotonic(), time.process_time()
        result = build(Small(size), Path(folder) / "d.lance", config, progress=progress)
        wall, cpu = time.monotonic() - started, time.process_time() - cpu
    assert result.given == size == result.accepted + result.rejected
    connection.send(
        {
            "records": size,
            "seconds": wall,
            "cpu_seconds": cpu,
            "records_per_second": size / wall,
            "records_per_cpu_second": size / cpu,
            "peak_mib": peak_mib(),
            "stages": {stage: times[-1] - times[0] for stage, times in stages.items()},
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default="10000,100000")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runner", default="embedded", choices=("embedded", "ray"))
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")  # sizes do not see each other's memory
    found: list[dict[str, Any]] = []
    for size in map(int, given.sizes.split(",")):
        mine, theirs = context.Pipe()
        process = context.Process(target=measure, args=(size, given.workers, given.runner, theirs))
        process.start()
        theirs.close()
        found.append(mine.recv())
        process.join()
        print(json.dumps(found[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf8")


if __name__ == "__main__":
    main()
