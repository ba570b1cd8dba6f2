"""A source becomes a table: read and examine in shards, decide over all of them, write; whole or not at all, and going on where it was stopped."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from chiasm.config import BuildConfig
from chiasm.dataset.engine import Task, examine_all
from chiasm.dataset.needs import check_needs, looks_at_measures
from chiasm.dataset.place import absolute, is_remote, ledger_path, plain
from chiasm.dataset.publish import check_out, publish, publish_ledger
from chiasm.dataset.schema import FORMAT
from chiasm.dataset.shards import Shard, cut, usable
from chiasm.dataset.sheet import ShardSheet
from chiasm.dataset.steps import Lenient, StepReport, decide
from chiasm.dataset.table import exists
from chiasm.dataset.table_source import TableSource, is_table
from chiasm.dataset.work import Work, fingerprint
from chiasm.dataset.write import Ledger, spool, write_table
from chiasm.errors import ConfigError, DataError, MachineError
from chiasm.sources import EMBEDDED, Progress, Source, open_source
from chiasm.types import Embedder


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build made. given = accepted + rejected; dropped_parts counts media and texts taken out of
    records that were kept. The table has accepted + added rows.

    reasons: ledger rows by reason. leaks: ways in which the source's own splits share content (chiasm's own
    splits have none), in words the first of `leaks_total`. too_small: splits that were asked for and hold fewer than 2 rows.
    found: what the source was recognised as, and by what. steps: what each step over the whole did.
    resumed: shards that an earlier, interrupted build had finished, of `shards`.
    """

    path: Path
    given: int
    accepted: int
    rejected: int
    dropped_parts: int
    splits: Mapping[str, int]
    ledger: Path
    reasons: Mapping[str, int]
    leaks: tuple[str, ...]
    leaks_total: int
    too_small: tuple[str, ...]
    seconds: float
    added: int = 0
    found: str = ""
    steps: tuple[StepReport, ...] = ()
    shards: int = 0
    resumed: int = 0


def build(
    source: Source | str,
    out: Path,
    config: BuildConfig | None = None,
    *,
    progress: Progress | None = None,
    overwrite: bool = False,
    model: Embedder | None = None,
    told: Callable[[str], None] | None = None,
) -> BuildResult:
    """Write every usable record of `source` to the Lance table `out`, and every refusal to the ledger
    `OUT.rejects.jsonl` beside it. model: for the steps that compare by meaning; told: hears what the source was recognised as, and what is resumed.

    The table appears under its name only when it is complete, and the ledger with it: of a build that fails
    over an older table, neither is left. Of one that is killed, interrupted or that the machine fails, the work folder is, and the
    same build goes on from there. Raises ConfigError where the held-out shares leave nothing to train
    on, or another process builds the same table; DataError where `out` exists (and `overwrite` is not given, or it is no chiasm
    table), or no record is usable; MachineError where the disk or the engine fails; KeyboardInterrupt on Ctrl-C, when nothing runs any more.
    """
    config = config or BuildConfig()
    started = time.monotonic()
    out = Path(out)
    opened = open_any(source, config) if isinstance(source, str) else source
    _check_shares(opened, config)
    if config.clean.languages is not None:
        _check_languages(config.clean.languages)
    _check_source(source, opened, out)
    if config.model is not None and model is None:
        raise ConfigError(f"model={config.model}: load it and give it as `model`; the command line does so itself")
    check_needs(config, model is not None)
    check_out(out, overwrite)
    try:
        if not is_remote(out):
            out.parent.mkdir(parents=True, exist_ok=True)
        work = Work(out, fingerprint(source, opened, config, out))
    except OSError as error:
        raise MachineError(f"{out.parent}: cannot be written: {error.strerror or error}") from None
    keep = True
    try:
        check_out(out, overwrite)  # a table that a killed build had put aside has its name again
        keep = False
        _tell(told, opened, work)
        return _build(opened, out, config, work, progress, model, started)
    except (KeyboardInterrupt, MachineError, ConfigError):
        keep = True  # what was read and checked is read and checked, also where a step's settings are wrong
        raise
    finally:
        work.close(keep)


def open_any(spec: str, config: BuildConfig) -> Source:
    """The source that `spec` names: a chiasm table, or anything that sources.open_source knows."""
    return TableSource(spec, config) if is_table(spec) else open_source(spec, config)


def _build(
    source: Source,
    out: Path,
    config: BuildConfig,
    work: Work,
    progress: Progress | None,
    model: Embedder | None,
    started: float,
) -> BuildResult:
    source.prepare(progress)
    counts = cut(source, config, work, progress)
    resumed = _examine(source, config, work, counts, progress)
    sheet = ShardSheet([work.read(number) for number in range(counts["shards"])], source.root)
    lenient = None if model is None else Lenient(model)
    reports, last = decide(sheet, config, source.rule, lenient, progress)
    ledger = Ledger(sheet)
    _check_sum(counts["given"], sheet, ledger)
    ledger.write(work.ledger)
    if not len(sheet.rows):
        kept = not exists(out)  # else it is the ledger of the table that stays
        if kept:
            publish_ledger(work, out)
        raise DataError(_nothing(source, counts["given"], ledger, ledger_path(out) if kept else None))
    added, more = spool(last.added or (), sheet, work.folder / "added")
    if more:
        reports[-1] = replace(reports[-1], added=more.total())
    splits = Counter(sheet.decisions.splits[row] for row in sheet.rows.tolist()) + more
    facts: Mapping[str, Any] = next(report.facts for report in reports if report.step == "split")
    result = BuildResult(
        out,
        counts["given"],
        len(sheet.rows),
        ledger.rejected,
        ledger.dropped,
        {name: splits[name] for name in sorted(splits, key=lambda name: (name != "train", name))},
        ledger_path(out),
        dict(ledger.reasons.most_common()),
        tuple(facts["leaks"]),
        facts["leaks_total"],
        tuple(facts["too_small"]),
        time.monotonic() - started,
        more.total(),
        source.found,
        tuple(reports),
        counts["shards"],
        resumed,
    )
    summary = _summary(source, config, result, out)
    publish(work, out, lambda place: write_table(sheet, added, out, place, summary, progress))
    return replace(result, seconds=time.monotonic() - started)


def _tell(told: Callable[[str], None] | None, source: Source, work: Work) -> None:
    if told is None:
        return
    if source.found:
        told(f"found: {source.found}")
    if work.finished:
        shards = (
            "1 shard of this source, which is"
            if work.finished == 1
            else f"{work.finished:,} shards of this source, which are"
        )
        told(f"resuming: an interrupted build has finished {shards} kept")


def _examine(
    source: Source, config: BuildConfig, work: Work, counts: Mapping[str, int], progress: Progress | None
) -> int:
    """Examine what is not examined yet; how many shards were."""
    finished = [number for number in range(counts["shards"]) if usable(work.read(number))]
    done = sum(Shard(work.read(number)).counts["given"] for number in finished)
    missing = sorted({*range(counts["shards"])} - {*finished})
    # Sources by name made their media themselves; their tables stay free of measures, and one that is built anew from such a table has them.
    made = source.root is None and source.name in EMBEDDED and not isinstance(source, TableSource)
    vouched = source.checked or (frozenset({"text"}) if made else frozenset[str]())
    if looks_at_measures(config):
        vouched = frozenset[str]()
    root = None if source.root is None else str(source.root.resolve())
    task = Task(root, tuple(sorted(vouched)), config, str(work.stop))
    shards = [(work.given(number), work.read(number)) for number in missing]
    examine_all(shards, task, done=done, total=counts["given"], progress=progress)
    return len(finished)


def _summary(source: Source, config: BuildConfig, result: BuildResult, out: Path) -> dict[str, Any]:
    """The table's metadata."""
    rule = next(report.facts for report in result.steps if report.step == "split").get("rule", source.rule)
    summary: dict[str, Any] = {
        "format": FORMAT,
        "source": source.name,
        "attribution": source.attribution,
        "given": result.given,
        "accepted": result.accepted,
        "added": result.added,
        "rejected": result.rejected,
        "dropped_parts": result.dropped_parts,
        "reasons": dict(result.reasons),
        "splits": dict(result.splits),
        "rule": rule,
        "leaks": result.leaks_total,
        "seed": config.seed,
        "steps": [asdict(report) for report in result.steps],
        "config": config.model_dump(mode="json"),
    }
    if source.root is not None and not config.embed_media:
        root = source.root.resolve()
        summary["root"] = str(root)
        summary["root_beside"] = str(root) if is_remote(out) else os.path.relpath(root, out.resolve().parent)
    return summary


def _check_sum(given: int, sheet: ShardSheet, ledger: Ledger) -> None:
    if given != len(sheet.rows) + ledger.rejected:
        raise ValueError(f"{given} given, but {len(sheet.rows)} kept and {ledger.rejected} in the ledger")


def _check_source(spec: Source | str, source: Source, out: Path) -> None:
    if isinstance(source, TableSource) and isinstance(spec, str) and absolute(spec) == absolute(out):
        raise ConfigError(f"{spec}: a table cannot be built from itself; give the new one another name")


def _check_languages(languages: Sequence[str]) -> None:
    """Raises ConfigError for what no text would ever be found to be in."""
    from chiasm.dataset.language import known_languages

    unknown = [language for language in languages if language not in known_languages()]
    if unknown:
        raise ConfigError(
            f"clean.languages: {unknown[0]!r} is no code of a language; two letters are wanted, such as en, de or zh"
        )


def _check_shares(source: Source, config: BuildConfig) -> None:
    # BuildConfig has checked validation + test; the rule of forms holds out `test` twice.
    if source.rule == "forms" and 2 * config.test + config.validation >= 1:
        raise ConfigError(
            f"{source.name}: test={config.test:g} is taken twice here (concept, variation): with "
            f"validation={config.validation:g} nothing is left to train on; 2 × test + validation must be below 1"
        )


def _nothing(source: Source, given: int, ledger: Ledger, path: Path | None) -> str:
    if not given:
        return f"{source.name}: no records in it"
    reasons = ", ".join(f"{count} × {reason}" for reason, count in ledger.reasons.most_common(3))
    return f"{source.name}: none of {given} inputs can be used ({reasons})" + (
        f"; each is explained in {plain(path)}" if path else ""
    )
