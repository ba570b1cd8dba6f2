"""Named systems side by side: each trained for as long, measured on held-out records, and written into one table and page."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chiasm.config import SystemRunConfig, dump_config, load_run
from chiasm.dataset.place import absolute
from chiasm.errors import ChiasmError, ConfigError, Interrupted, MachineError
from chiasm.evaluate.comparison.downstream import Measured
from chiasm.evaluate.comparison.measured import measure_run
from chiasm.evaluate.comparison.page import write_comparison
from chiasm.evaluate.pages.curves import read_log
from chiasm.objectives.information import InformationBound, mutual_information_bound
from chiasm.systems.catalogue import find
from chiasm.train.folder import read_config
from chiasm.train.media import Progress
from chiasm.train.named import resolve
from chiasm.train.run import train
from chiasm.train.system_model import read_system

BATCH = 64
"""Records a step where neither a system's Spec nor the user says."""
LAST = 20
"""Steps that a final loss is the mean of."""
COST = "cost.json"


@dataclass(frozen=True, slots=True)
class Entrant:
    """One row of a comparison. name: its row and its folder; change: to the size, as in SystemRunConfig."""

    name: str
    system: str
    table: Path
    change: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class LossRow:
    """A loss in nats: at the first step, over the last steps, on validation records, and where nothing is known.

    information: what an InfoNCE loss shows: the smaller of what it shows in training and on validation records."""

    name: str
    first: float
    last: float
    validation: float | None
    chance: float | None
    information: InformationBound | None

    @property
    def below_chance(self) -> bool | None:
        """None where the loss has no chance value."""
        return None if self.chance is None else self.last < self.chance


@dataclass(frozen=True, slots=True)
class Row:
    """What came of an entrant. failed: why there is no measure; what is known nevertheless is there."""

    entrant: Entrant
    title: str
    paper: str
    parameters: int | None = None
    steps: int = 0
    cpu_seconds: float | None = None
    seconds: float = 0.0
    samples_per_second: float = 0.0
    losses: tuple[LossRow, ...] = ()
    measured: Measured | None = None
    failed: str | None = None

    def to_json(self) -> dict[str, Any]:
        measured = None
        if self.measured is not None:
            measured = asdict(self.measured) | {"beats_chance": self.measured.beats_chance}
        return {
            "name": self.entrant.name,
            "system": self.entrant.system,
            "title": self.title,
            "table": str(self.entrant.table),
            "change": dict(self.entrant.change),
            "parameters": self.parameters,
            "steps": self.steps,
            "cpu_seconds": self.cpu_seconds,
            "seconds": self.seconds,
            "samples_per_second": self.samples_per_second,
            "losses": {loss.name: _loss_json(loss) for loss in self.losses},
            "measure": measured,
            "beats_chance": None if self.measured is None else self.measured.beats_chance,
            "failed": self.failed,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rows in the order asked for, and where they were written."""

    rows: tuple[Row, ...]
    seed: int
    out: Path

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": [row.to_json() for row in self.rows],
            "seed": self.seed,
            "page": str(self.out / "compare.html"),
            "table": str(self.out / "compare.json"),
        }


def compare(
    entrants: Sequence[Entrant],
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> Comparison:
    """Train the tiny size of each into OUT/NAME, one after the other, and write OUT/compare.json and OUT/compare.html after each.

    overrides: further settings of all of them ("train.threads=1"). Runs that are there already with the same configuration are kept,
    or gone on with. A system that cannot be trained or measured (the table has no boxes …) becomes a row that says why.

    Raises ConfigError for a configuration that cannot be, or where OUT holds a run of another one, before anything is trained; Interrupted
    after a clean save.
    """
    configs = {one.name: _configure(one, minutes, steps, seed, overrides) for one in entrants}
    if len(configs) < len(entrants):
        raise ConfigError("two rows of a comparison have the same name")
    for one in entrants:
        _check_kept(out / one.name, configs[one.name])
    rows: list[Row] = []
    for one in entrants:
        rows.append(_enter(one, configs[one.name], out / one.name, progress))
        write_comparison(out, Comparison(tuple(rows), seed, out).to_json())
    return Comparison(tuple(rows), seed, out)


def _configure(
    entrant: Entrant, minutes: float | None, steps: int | None, seed: int, overrides: Sequence[str]
) -> SystemRunConfig:
    tried = {section: dict(values) for section, values in find(entrant.system).training.items()}
    loop = {"batch": BATCH, "seed": seed, **tried.get("train", {}), "minutes": minutes, "steps": steps}
    tree = {
        "system": entrant.system,
        "change": dict(entrant.change),
        "data": {"table": absolute(entrant.table)},
        **tried,
        "train": loop,
    }
    config = load_run(None, overrides, tree)
    assert isinstance(config, SystemRunConfig)
    resolve(config)  # a change that the size does not know
    return config


def _check_kept(run: Path, wanted: SystemRunConfig) -> None:
    if not (run / "config.yaml").is_file():
        return
    kept = dump_config(read_config(run)).splitlines()
    for was, now in zip(kept, dump_config(wanted).splitlines(), strict=False):
        if was != now:
            raise ConfigError(
                f"{run}: holds a run of another configuration ({was.strip()!r}, now {now.strip()!r}); choose another --out"
            )


def _enter(entrant: Entrant, config: SystemRunConfig, run: Path, progress: Progress | None) -> Row:
    def tell(stage: str, done: int, total: int, info: dict[str, object]) -> None:
        if progress is not None:
            progress(f"{entrant.name}: {stage}", done, total, info)

    spec = find(entrant.system)
    row: dict[str, Any] = {"entrant": entrant, "title": spec.title, "paper": spec.paper}
    try:
        row |= _train(config, run, tell)
        row["parameters"] = sum(p.numel() for p in read_system(run).model().parameters())
        row["measured"] = measure_run(run, device=config.train.device, progress=tell)
    except (Interrupted, MachineError):
        raise
    except ChiasmError as error:
        row["failed"] = " ".join(str(error).split())
    return Row(**row, losses=read_losses(run, spec.info_nce(resolve(config)[1])))


def _train(config: SystemRunConfig, run: Path, progress: Progress) -> dict[str, Any]:
    """Train, or go on, or keep what is finished; CPU time adds up over the sessions."""
    resume = any(run.glob("checkpoints/step-*"))
    before = _read_cost(run) if resume else 0.0
    began = time.process_time()
    try:
        result = train(config, run, resume=resume, progress=progress)
    finally:
        if run.is_dir() and before is not None:
            (run / COST).write_text(json.dumps({"cpu_seconds": before + time.process_time() - began}), encoding="utf8")
    rate = result.steps * config.train.batch / result.seconds if result.seconds else 0.0
    return {
        "steps": result.steps,
        "seconds": result.seconds,
        "cpu_seconds": _read_cost(run),
        "samples_per_second": rate,
    }


def _read_cost(run: Path) -> float | None:
    """CPU-seconds of the run's sessions so far; None where one of them was killed before it could say."""
    try:
        return float(json.loads((run / COST).read_text(encoding="utf8"))["cpu_seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_losses(run: Path, info_nce: Sequence[str] = ()) -> tuple[LossRow, ...]:
    """The losses in a run's log. info_nce: which of them bound mutual information."""
    log = read_log(run / "log.jsonl")
    validated: Mapping[str, Any] = next((line["validation"] for line in reversed(log) if "validation" in line), {})
    values: dict[str, list[float]] = {}
    chances: dict[str, list[float]] = {}
    for line in log:
        for name, value in (line.get("losses") or {}).items():
            values.setdefault(name, []).append(float(value))
            if name in (line.get("chance") or {}):
                chances.setdefault(name, []).append(float(line["chance"][name]))
    return tuple(
        _loss_row(name, found, chances.get(name, []), validated.get(name) or {}, name in info_nce)
        for name, found in values.items()
    )


def _loss_row(
    name: str, values: list[float], chances: list[float], validated: Mapping[str, float], bounds: bool
) -> LossRow:
    last = values[-LAST:] if len(values) > LAST else values[len(values) // 2 :]
    mean = sum(last) / len(last)
    chance = sum(chances[-LAST:]) / len(chances[-LAST:]) if chances else None
    information = None
    if bounds and chance is not None:
        # ln N is chance: N candidates, one of them right. Of both figures the one that shows less: training's may be learned by heart, and
        # validation's may be of views that were not augmented.
        seen = [(mean, chance), *([(validated["loss"], validated["chance"])] if "chance" in validated else [])]
        bounds_seen = [mutual_information_bound(loss, math.exp(ceiling)) for loss, ceiling in seen]
        information = min(bounds_seen, key=lambda bound: bound.nats)
    return LossRow(name, values[0], mean, validated.get("loss"), chance, information)


def _loss_json(loss: LossRow) -> dict[str, Any]:
    found = asdict(loss)
    del found["name"]
    return found | {"below_chance": loss.below_chance}
