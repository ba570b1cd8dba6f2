"""Progress on stderr: bars with rate and time left in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_EVERY = 5.0  # seconds between two plain lines of one stage


class Progress:
    """`progress(stage, done, total)`, as build, train, evaluate and index call it.

    total None or 0 means unknown; `info` holds figures such as the loss.
    It may be called from worker threads.
    """

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}
        self._shown: dict[str, float] = {}
        self._closed: set[str] = set()

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._bars = _bars()
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, stage: str, done: int, total: int | None, info: Mapping[str, Any] | None = None) -> None:
        now = time.monotonic()
        began = self._began.setdefault(stage, now)
        elapsed = now - began
        # A stage with figures of its own (training) says its pace among them; its count is a share of the run.
        pace = f"{done / elapsed:.3g}/s" if elapsed > 0.5 and done and info is None else ""
        count = f"{done}/{total}" if total else str(done)
        if info is not None and total:
            count = f"{100 * done / total:.0f} %"
        figures = "  ".join(f"{key} {_figure(value)}" for key, value in (info or {}).items())
        if self._bars is not None:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(stage, total=total or None, count="", pace="", figures="")
            self._bars.update(
                self._tasks[stage],
                completed=done,
                total=total or None,
                count=count,
                pace=pace,
                figures=figures,
            )
            return
        ended = total is not None and 0 < total <= done
        if stage in self._closed or (not ended and now - self._shown.get(stage, 0.0) < _EVERY):
            return
        self._shown[stage] = now
        if ended:
            self._closed.add(stage)
            left = f"{elapsed:.1f} s" if elapsed >= 0.05 else ""
        else:
            left = f"{_time(elapsed * (total - done) / done)} left" if done and total and elapsed > 0.5 else ""
        sys.stderr.write("  ".join(part for part in (f"{stage} {count}", pace, left, figures) if part) + "\n")
        sys.stderr.flush()


def _bars() -> Bars:
    from rich import progress as rich_progress
    from rich.console import Console

    return rich_progress.Progress(
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(bar_width=24),
        rich_progress.TextColumn("{task.fields[count]}", markup=False),
        rich_progress.TextColumn("{task.fields[pace]}", markup=False),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TextColumn("left"),
        rich_progress.TimeRemainingColumn(),
        rich_progress.TextColumn("{task.fields[figures]}", markup=False),
        console=Console(stderr=True),
        refresh_per_second=4,
    )


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
