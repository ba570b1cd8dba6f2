"""The step `extract`: entities, relations and events from texts, regions from pictures, actions from clips."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.building import ExtractConfig
from chiasm.config import BuildConfig
from chiasm.dataset.extract_motion import find_motion
from chiasm.dataset.extract_regions import Sides, crop, find_regions
from chiasm.dataset.extract_text import find_entities, find_events, find_relations, read_gazetteer
from chiasm.dataset.features import FRAMES, SECONDS, SIDE, embed, first_items
from chiasm.dataset.label_functions import class_vectors
from chiasm.dataset.pipelines import run_pipeline
from chiasm.dataset.step import Embedder, Outcome, Sheet
from chiasm.errors import ConfigError, MediaError
from chiasm.modalities.image import read_image
from chiasm.modalities.media import read_bytes
from chiasm.modalities.video import read_video
from chiasm.sources import Progress
from chiasm.types import Box, Label, Media, Relation

MOST = 30
"""Values told in the facts of each kind."""

REGION = "region"
CLIP_FRAMES = 2 * FRAMES


Namer = Callable[[list[NDArray[np.uint8]]], list[str | None]]
"""Crops of a picture → the name that the trained model gives each, or None where it is not sure."""


class Found:
    """What was taken out of each row, in the order in which it was; each thing once."""

    def __init__(self) -> None:
        self.labels: dict[int, dict[Label, None]] = defaultdict(dict)
        self.boxes: dict[int, dict[Box, None]] = defaultdict(dict)
        self.relations: dict[int, dict[Relation, None]] = defaultdict(dict)

    def outcome(self, sheet: Sheet, facts: dict[str, Any]) -> Outcome:
        """What rows did not have already."""
        labels: dict[int, tuple[Label, ...]] = {}
        relations: dict[int, tuple[Relation, ...]] = {}
        boxes: dict[int, tuple[Box, ...]] = {}
        for row, record in sheet.records(columns=["labels", "relations", "boxes"]):
            labels[row] = tuple(label for label in self.labels.get(row, ()) if label not in record.labels)
            relations[row] = tuple(one for one in self.relations.get(row, ()) if one not in record.relations)
            boxes[row] = tuple(box for box in self.boxes.get(row, ()) if box not in record.boxes)
        return Outcome(
            labels={row: found for row, found in labels.items() if found},
            relations={row: found for row, found in relations.items() if found},
            boxes={row: found for row, found in boxes.items() if found},
            facts=facts,
        )


def run(
    sheet: Sheet, config: BuildConfig, *, model: Embedder | None = None, progress: Progress | None = None
) -> Outcome:
    """What `config.extract` asks for. Entities become labels entity:KIND, events labels `event`, motion labels `motion`, `direction` and
    `action`, regions boxes, and relations relations; pipelines give labels of their name, or boxes. Rows that have boxes of their own
    are given none, for a mask counts them. Media that cannot be read give nothing.

    Raises ConfigError where names are asked for without a trained model, DataError for a gazetteer, MachineError and ModelError for a
    pipeline.
    """
    wanted = config.extract
    if not any(getattr(wanted, part) for part in type(wanted).model_fields if part != "margin") or not len(sheet.rows):
        return Outcome()
    found = Found()
    facts: dict[str, Any] = {}
    if wanted.entities or wanted.gazetteers or wanted.relations or wanted.events:
        facts.update(_from_texts(sheet, wanted, found))
    if wanted.regions:
        facts["regions"] = _from_pictures(sheet, wanted, found, model, progress)
    if wanted.actions:
        facts["motion"] = _from_clips(sheet, found, progress)
    if wanted.action_names:
        facts["action"] = _named_actions(sheet, wanted, found, model)
    for name in wanted.pipelines:
        facts[f"pipeline:{name}"] = _from_pipeline(sheet, name, wanted, found)
    return found.outcome(sheet, facts)


def _from_texts(sheet: Sheet, wanted: ExtractConfig, found: Found) -> dict[str, Any]:
    gazetteers = {kind: read_gazetteer(Path(path)) for kind, path in wanted.gazetteers.items()}
    values: dict[str, Counter[str]] = {kind: Counter() for kind in (*wanted.entities, *gazetteers)}
    rows: Counter[str] = Counter()
    predicates: Counter[str] = Counter()
    events: Counter[str] = Counter()
    for row, record in sheet.records(columns=["texts"]):
        kinds: set[str] = set()
        for text in record.texts:
            for kind, name in find_entities(text, wanted.entities, gazetteers):
                kinds.add(kind)
                values[kind][name] += 1
                found.labels[row][Label(f"entity:{kind}", name)] = None
            if text.language is not None and not text.language.lower().startswith("en"):
                continue
            for relation in find_relations(text.text) if wanted.relations else ():
                kinds.add("relation")
                predicates[relation.predicate] += 1
                found.relations[row][relation] = None
            for event in find_events(text.text) if wanted.events else ():
                kinds.add("event")
                events[event] += 1
                found.labels[row][Label("event", event)] = None
        rows.update(kinds)
    facts: dict[str, Any] = {"entities": {kind: _told(count, rows[kind]) for kind, count in values.items()}}
    if wanted.relations:
        facts["relations"] = _told(predicates, rows["relation"])
    if wanted.events:
        facts["events"] = _told(events, rows["event"])
    return facts


def _from_pictures(
    sheet: Sheet, wanted: ExtractConfig, found: Found, model: Embedder | None, progress: Progress | None
) -> dict[str, Any]:
    namer = _namer(wanted, model)
    own = {row for row, record in sheet.records(columns=["boxes"]) if record.boxes}
    counts: Counter[str] = Counter()
    numbers = sheet.rows
    rows = unread = 0
    for place, picture in _media(sheet, "image", progress):
        row = int(numbers[place])
        if row in own:
            continue
        try:
            pixels = read_image(read_bytes(picture, sheet.root))
        except MediaError:
            unread += 1
            continue
        sides = find_regions(pixels, wanted.regions)
        names = namer([crop(pixels, box) for box in sides]) if namer is not None else [REGION] * len(sides)
        for box, name in zip(sides, names, strict=True):
            found.boxes[row][Box(*_float32(box), name or REGION)] = None
            counts[name or REGION] += 1
        rows += bool(sides)
    return {**_told(counts, rows), "unread": unread, "with_boxes_of_their_own": len(own)}


def _from_clips(sheet: Sheet, found: Found, progress: Progress | None) -> dict[str, Any]:
    amounts: Counter[str] = Counter()
    directions: Counter[str] = Counter()
    numbers = sheet.rows
    unread = 0
    for place, clip in _media(sheet, "video", progress):
        try:
            frames = read_video(read_bytes(clip, sheet.root), 2 * SIDE, CLIP_FRAMES, SECONDS)
        except MediaError:
            unread += 1
            continue
        motion = find_motion(frames)
        row = int(numbers[place])
        found.labels[row][Label("motion", motion.amount)] = None
        amounts[motion.amount] += 1
        if motion.direction is not None:
            said = f"camera {motion.direction}" if motion.camera else motion.direction
            found.labels[row][Label("direction", said)] = None
            directions[said] += 1
    return {**_told(amounts, amounts.total()), "directions": dict(directions.most_common()), "unread": unread}


def _named_actions(sheet: Sheet, wanted: ExtractConfig, found: Found, model: Embedder | None) -> dict[str, Any]:
    if model is None or not {"video", "text"} <= set(model.modalities):
        raise ConfigError("extract.action_names needs a trained model (model=RUN) of text and video")
    if len(wanted.action_names) < 2:
        raise ConfigError("extract.action_names: name two or more actions to choose from")
    vectors, present = embed(sheet, "video", model)
    counts: Counter[str] = Counter()
    if present.any():
        cosines = vectors @ class_vectors({name: (name,) for name in wanted.action_names}, model).T
        numbers = sheet.rows
        for place in np.flatnonzero(present):
            name = _nearest(cosines[place], wanted.action_names, wanted.margin)
            if name is not None:
                found.labels[int(numbers[place])][Label("action", name)] = None
                counts[name] += 1
    return _told(counts, counts.total())


def _from_pipeline(sheet: Sheet, name: str, wanted: ExtractConfig, found: Found) -> dict[str, Any]:
    config = wanted.pipelines[name]
    own = (
        {row for row, record in sheet.records(columns=["boxes"]) if record.boxes}
        if "object" in config.task
        else set[int]()
    )
    counts: Counter[str] = Counter()
    numbers = sheet.rows
    rows = 0
    for place, findings in run_pipeline(config, sheet):
        row = int(numbers[place])
        rows += bool(findings)
        for finding in findings if "token" in config.task or "object" in config.task else findings[:1]:
            counts[finding.label] += 1
            if finding.box is None:
                said = Label(f"{name}:{finding.label}", finding.word) if finding.word else Label(name, finding.label)
                found.labels[row][said] = None
            elif row not in own:
                x0, y0, x1, y1 = _float32(tuple(min(max(side, 0.0), 1.0) for side in finding.box))  # type: ignore[arg-type]
                if x0 < x1 and y0 < y1:
                    found.boxes[row][Box(x0, y0, x1, y1, finding.label)] = None
    return _told(counts, rows)


def _namer(wanted: ExtractConfig, model: Embedder | None) -> Namer | None:
    """None where no names are asked for."""
    names = wanted.region_names
    if not names:
        return None
    if model is None or not {"image", "text"} <= set(model.modalities):
        raise ConfigError("extract.region_names needs a trained model (model=RUN) of text and image")
    if len(names) < 2:
        raise ConfigError("extract.region_names: name two or more to choose from")
    classes = class_vectors({name: (name,) for name in names}, model)

    def name_crops(crops: list[NDArray[np.uint8]]) -> list[str | None]:
        if not crops:
            return []
        vectors = model.embed_items("image", [Media(data=_png(part)) for part in crops])
        return [_nearest(row, names, wanted.margin) for row in vectors @ classes.T]

    return name_crops


def _nearest(cosines: NDArray[np.float32], names: tuple[str, ...], margin: float) -> str | None:
    first, second = np.argsort(-cosines, kind="stable")[:2]
    return names[int(first)] if cosines[first] - cosines[second] >= margin else None  # NaN: none


def _media(sheet: Sheet, modality: str, progress: Progress | None) -> Iterator[tuple[int, Media]]:
    total = len(sheet.rows)
    for place, item in first_items(sheet, modality):
        assert isinstance(item, Media)
        if progress is not None and place % 64 == 0:
            progress(f"extract from {modality}", place, total)
        yield place, item


def _float32(box: Sides) -> Sides:
    """As the table holds them, so that what is compared later is equal."""
    x0, y0, x1, y1 = (float(np.float32(side)) for side in box)
    return x0, y0, x1, y1


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _told(counts: Counter[str], rows: int) -> dict[str, Any]:
    return {"rows": rows, "found": counts.total(), "values": len(counts), "most": dict(counts.most_common(MOST))}
