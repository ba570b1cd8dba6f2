"""How the benchmarks measure: each contender in a process of its own, in turn (A B A B …), CPU-seconds and peak memory, medians and ranges."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Work = Callable[[], dict[str, float]]


def parser(description: str, rounds: int = 5) -> argparse.ArgumentParser:
    """What every benchmark is asked."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser


def arguments(description: str, rounds: int = 5) -> argparse.Namespace:
    return parser(description, rounds).parse_args()


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def peak_mib() -> float:
    """The process's largest resident size so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)


def _child(connection: Any, work: Work, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    connection.send(work())
    connection.close()


def _run(work: Work, threads: int) -> dict[str, float]:
    # Spawned: a fresh interpreter, so that no contender inherits another's memory or allocator settings.
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_child, args=(theirs, work, threads))
    process.start()
    theirs.close()
    figures: dict[str, float] = mine.recv()
    process.join()
    return figures


def interleave(contenders: dict[str, Work], rounds: int, threads: int) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {name: {} for name in contenders}
    for round_ in range(rounds):
        for name, work in contenders.items():
            for figure, value in _run(work, threads).items():
                found[name].setdefault(figure, []).append(value)
            print(
                f"round {round_ + 1}/{rounds}  {name}: "
                + ", ".join(f"{k} {v[-1]:.4g}" for k, v in found[name].items()),
                flush=True,
            )
    return found


def report(found: dict[str, dict[str, list[float]]], against: str, out: Path | None) -> None:
    """A table of medians (ranges) and of each contender's ratio to `against`, pair by pair."""
    for figure in next(iter(found.values())):
        print(f"\n{figure}")
        for name, figures in found.items():
            values = figures[figure]
            ratios = [b / a for a, b in zip(values, found[against][figure], strict=True) if a]
            ratio = f"   {against} / this: {statistics.median(ratios):.2f}" if name != against and ratios else ""
            print(f"  {name:32s} {statistics.median(values):10.4g}  ({min(values):.4g} – {max(values):.4g}){ratio}")
    if out:
        out.write_text(json.dumps(found, indent=1), encoding="utf8")
