"""The run's log: a JSON object a line, in step order, also after any number of resumes."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from chiasm.errors import MachineError
from chiasm.train.step import StepResult


class Log:
    """Writes RUN/log.jsonl (and TensorBoard events on demand), or nothing where `run` is None. On resume, lines of steps that will be done
    again are removed."""

    def __init__(self, run: Path | None, after: int, tensorboard: bool = False) -> None:
        self.rate = 0.0
        self._times: deque[tuple[float, int]] = deque(maxlen=50)
        self._file = None
        self._board = _board(run) if run is not None and tensorboard else None
        if run is not None:
            path = run / "log.jsonl"
            _cut(path, after)
            self._file = path.open("a", encoding="utf8")

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()
        if self._board:
            self._board.close()

    def step(self, step: int, seconds: float, result: StepResult, rate: float, batch: int) -> None:
        self._times.append((seconds, batch))
        span = self._times[-1][0] - self._times[0][0]
        self.rate = sum(n for _, n in list(self._times)[1:]) / span if span > 0 else 0.0
        self._write(
            step,
            seconds,
            {
                "loss": result.loss,
                "losses": result.losses,
                "chance": result.chance,
                "learning_rate": rate,
                "scale": result.scale,
                "gradient_norm": result.gradient_norm,
                "samples_per_second": round(self.rate, 1),
            },
        )

    def validation(self, step: int, seconds: float, figures: Mapping[str, Mapping[str, float]]) -> None:
        self._write(step, seconds, {"validation": figures})

    def _write(self, step: int, seconds: float, values: Mapping[str, Any]) -> None:
        if self._file:
            self._file.write(json.dumps({"step": step, "seconds": round(seconds, 3), **values}) + "\n")
            self._file.flush()
        if self._board:
            for name, value in _flat(values):
                self._board.add_scalar(name, value, step)


class ChanceWarning:
    """Says once when a loss still sits at its chance value, where nothing is learned, after a fifth of the run."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[float]] = {}
        self._chance: dict[str, float] = {}
        self._said = False

    def check(self, done: float, result: StepResult) -> str | None:
        # A step may be of one task among several: what it does not have was seen at an earlier one.
        for name, loss in result.losses.items():
            if name not in result.chance:
                continue
            self._chance[name] = result.chance[name]
            self._recent.setdefault(name, deque(maxlen=20)).append(loss / max(result.chance[name], 1e-9))
        stuck = [name for name, recent in self._recent.items() if len(recent) == 20 and 0.97 < sum(recent) / 20 < 1.2]
        if self._said or done < 0.2 or not stuck:
            return None
        self._said = True
        return (
            f"the loss of {', '.join(stuck)} still sits at {self._chance[stuck[0]]:.2f}, the value of pure chance: nothing is learned there. "
            "Give it more time, lower optimizer.learning_rate, lengthen optimizer.warmup, or check that what belongs together really does"
        )


def _cut(path: Path, after: int) -> None:
    """Keep the whole lines up to step `after`; a line cut by a kill goes too."""
    if not path.exists():
        return
    kept: list[str] = []
    for line in path.read_text(encoding="utf8").splitlines():
        try:
            if json.loads(line)["step"] <= after:
                kept.append(line)
        except (ValueError, KeyError):
            continue
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(line + "\n" for line in kept), encoding="utf8")
    os.replace(temporary, path)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    pairs: list[tuple[str, float]] = []
    for key, value in values.items():
        pairs += _flat(value, f"{prefix}{key}/") if isinstance(value, Mapping) else [(prefix + key, float(value))]
    return pairs


def _board(run: Path) -> Any:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        raise MachineError("train.tensorboard=true needs TensorBoard: pip install 'chiasm[tensorboard]'") from None
    return SummaryWriter(str(run / "tensorboard"))
