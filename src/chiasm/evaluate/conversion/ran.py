"""Running a conversion task over the records of a split: cases in, results out, media held for a chunk at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import MediaError
from chiasm.evaluate.conversion.bench import CHUNK, Bench, Mel
from chiasm.evaluate.conversion.cases import Case, cases_of, columns_of, spread, without
from chiasm.evaluate.conversion.items import rank_items
from chiasm.modalities.image import read_image
from chiasm.train.conversion_data import read_mask
from chiasm.types import Converted, Media


@dataclass
class Ran:
    """What one task made of one split: parallel lists."""

    cases: list[Case] = field(default_factory=list[Case])
    results: list[Converted] = field(default_factory=list[Converted])
    mels: list[Mel | None] = field(default_factory=list["Mel | None"])
    masks: list[NDArray[np.int64]] = field(default_factory=list["NDArray[np.int64]"])
    places: list[int] = field(default_factory=list[int])
    records: int = 0
    stripped: dict[str, list[Converted]] = field(default_factory=dict[str, list[Converted]])
    unreadable: list[str] = field(default_factory=list[str])


def convert_cases(bench: Bench, rows: NDArray[np.int64], most: int, split: str) -> Ran:
    """Convert the cases of these rows, `most` at most, a few records' media in memory at a time."""
    ran = Ran()
    per_record = max(1, most // max(len(rows), 1))
    columns = columns_of(bench.table)
    history = bench.task.wanted.of == "item"
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        cases: list[tuple[int, Case]] = []
        for offset, (row, record) in enumerate(zip(part.tolist(), bench.table.records(part, columns), strict=True)):
            own = cases_of(record, row, start + offset, bench.task, bench.held_out)
            ran.records += bool(own)
            cases += [(start + offset, own[i]) for i in spread(len(own), per_record)]
        if history:  # its catalogue is ranked once, for all
            _keep(ran, cases, [Converted()] * len(cases), bare=False)
        else:
            _convert_part(bench, ran, cases)
        bench.progress(f"{bench.name}: {split}", min(start + CHUNK, len(rows)), len(rows))
    if history and ran.cases:
        ran.results = [Converted(items=one) for one in rank_items(bench, ran.cases)]
    return ran


def _convert_part(bench: Bench, ran: Ran, cases: list[tuple[int, Case]]) -> None:
    if not cases:
        return
    try:
        results = bench.run([case for _, case in cases])
        sides = [_beside(bench, case) for _, case in cases]
        stripped = _strip(bench, [case for _, case in cases])
    except MediaError as error:
        if len(cases) == 1:
            ran.unreadable.append(str(error))
            return
        for one in cases:  # the rest of them can be read
            _convert_part(bench, ran, [one])
        return
    _keep(ran, cases, results)
    for mel, mask in sides:
        ran.mels.append(mel)
        if mask is not None:
            ran.masks.append(mask)
    for name, made in stripped.items():
        ran.stripped.setdefault(name, []).extend(made)


def _keep(ran: Ran, cases: list[tuple[int, Case]], results: Sequence[Converted], bare: bool = True) -> None:
    for (place, case), result in zip(cases, results, strict=True):
        ran.cases.append(_bare(case) if bare else case)
        ran.results.append(result)
        ran.places.append(place)


def _beside(bench: Bench, case: Case) -> tuple[Mel | None, NDArray[np.int64] | None]:
    """What measuring needs of a case's media, which are let go: the sound that is wanted or labelled, the mask."""
    wanted = bench.task.wanted.of
    mel = mask = None
    if wanted == "audio" and case.medium is not None:
        mel = bench.mel(case.medium)
    elif wanted == "label" and case.record.audio and bench.given("audio") is not None:
        mel = bench.mel(case.record.audio[0])
    elif wanted == "image" and case.medium is not None:
        read_image(bench.table.read(case.medium))  # one that cannot be read is found here, and not among the gallery
    elif wanted == "mask":
        mask = read_mask(bench.table, case.record, objects_of(bench))
    return mel, mask


def objects_of(bench: Bench) -> tuple[str, ...]:
    """The classes of boxes and masks that the model knows."""
    facts = getattr(getattr(bench.model, "converter", None), "facts", None)
    return tuple(facts.objects) if facts is not None else ()


def _strip(bench: Bench, cases: Sequence[Case]) -> dict[str, list[Converted]]:
    """The cases again without each optional field."""
    optional = [one for one in bench.task.given if one.optional and one.of in ("text", "image", "audio", "video")]
    return {str(one).rstrip("?"): bench.run(cases, [without(case, one) for case in cases]) for one in optional}


def _bare(case: Case) -> Case:
    """Without the bytes of media; that there are any stays known."""
    media = {name: tuple(Media(by=m.by, kind=m.kind, text=m.text, language=m.language) for m in getattr(case.record, name))
             for name in ("image", "audio", "video")}  # fmt: skip
    medium = None if case.medium is None else replace(case.medium, data=None, path=None)
    return replace(case, record=replace(case.record, mask=None, **media), medium=medium)  # type: ignore[arg-type]
