"""The pointing game (Zhang et al. 2016, arXiv 1608.00507, 4.1): does the map of a named object have its highest point inside its box?

For every kind of object of a picture with boxes, the model is asked with its name ("a cow"); a hit is a point inside one of its boxes, without
the tolerance of 15 pixels of the original. Beside it: a point anywhere (the boxes' share of the picture), the picture's centre, the map of
another object of the same picture (a map of what stands out, not of what was named, does as well with it), and the same model with random
weights (Adebayo et al. 2018, arXiv 1810.03292: a map that survives them explains nothing). And the maps' deletion and insertion curves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from chiasm.dataset.table import Table
from chiasm.errors import MediaError
from chiasm.evaluate.explain.curves import curves, random_subsets
from chiasm.evaluate.explain.explain import METHODS, check_method, relevance
from chiasm.evaluate.explain.parts import open_thing
from chiasm.evaluate.metrics.bootstrap import intervals, mean_intervals
from chiasm.evaluate.retrieval.items import Progress
from chiasm.modalities.image import picture_size
from chiasm.modalities.square import into_square
from chiasm.systems.chiasm import Chiasm, make_chiasm
from chiasm.train.model import EmbeddingModel, LoadedModel
from chiasm.types import Box, Media, Record, Text

MOST = 100
"""Pictures asked, at most, drawn evenly."""
CHECKED = 60
"""Maps whose deletion and insertion curves are drawn, at most."""


@dataclass(slots=True)
class _Tally:
    """What was asked of one picture after another."""

    hits: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    area: list[float] = field(default_factory=list[float])
    centre: list[float] = field(default_factory=list[float])
    group: list[int] = field(default_factory=list[int])
    curves: dict[str, list[dict[str, float]]] = field(default_factory=dict[str, list[dict[str, float]]])
    checked: list[int] = field(default_factory=list[int])
    unreadable: int = 0


def pointing(
    model: LoadedModel,
    table: Table,
    rows: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    methods: Sequence[str] | None = None,
    most: int = MOST,
    checked: int = CHECKED,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """{method: {accuracy, interval, chance, centre, other, untrained, n, deletion, insertion, random, deletion_gain, insertion_gain}}.

    rows: positions of records; those without a picture, or boxes, are passed over. groups: int64 [rows of the table], what the bootstrap
    resamples by. deletion, insertion, random: mean areas under the curves; the gains are over random orders, larger is better, with intervals.
    {} where nothing can be asked.
    """
    if methods is None:
        methods = [one for one in METHODS if one != "contribution" or isinstance(model.network, Chiasm)]
    for method in methods:
        check_method(model, method)
    models = {"": model} | ({"untrained": untrained(model, seed)} if isinstance(model, EmbeddingModel) else {})
    tally = _Tally()
    usable = _with_boxes(table, rows)
    usable = (
        usable[np.linspace(0, len(usable) - 1, min(most, len(usable))).round().astype(int)] if len(usable) else usable
    )
    for done, row in enumerate(usable.tolist()):
        record = table.records([row], ["id", "image", "boxes"])[0]
        try:
            _ask(models, methods, table, record, int(groups[row]), tally, checked, seed)
        except MediaError:
            tally.unreadable += 1
        if progress:
            progress("pointing", done + 1, len(usable))
    return {method: _summary(method, tally, seed) for method in methods} if tally.area else {}


def untrained(model: EmbeddingModel, seed: int) -> EmbeddingModel:
    """The same model with weights drawn anew; what standardises its inputs is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = make_chiasm(model.config.model, model.config.objective, model.modalities, model.tokenizer.size)
    fresh.load_state_dict(dict(model.network.named_buffers()), strict=False)
    return EmbeddingModel(model.config, fresh.to(model.device), model.tokenizer, model.device, model.path)


def phrase(label: str) -> str:
    """What a model is asked with: "a cow", "an owl"; other scripts as they are."""
    return f"{'an' if label[:1].lower() in 'aeiou' else 'a'} {label}" if label.isascii() else label


def _with_boxes(table: Table, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    if "boxes" not in table.column_names:
        return rows[:0]
    return np.intersect1d(rows, table.rows("array_length(boxes) > 0 and array_length(image) > 0"))


def _ask(
    models: Mapping[str, LoadedModel],
    methods: Sequence[str],
    table: Table,
    record: Record,
    group: int,
    tally: _Tally,
    checked: int,
    seed: int,
) -> None:
    data = table.read(record.image[0])
    boxes = into_square(record.boxes, *picture_size(data))
    labels = list(dict.fromkeys(box.label for box in boxes))
    own = [[box for box in boxes if box.label == label] for label in labels]
    picture = Media(data=data)
    maps: dict[str, NDArray[np.float64]] = {}
    shape: tuple[int, ...] = ()
    for name, model in models.items():
        thing = open_thing(model, "image", picture)
        with torch.no_grad():
            asked = model.vectors("text", model.prepare("text", [Text(phrase(label)) for label in labels]))
        drawn = random_subsets(model, thing, seed) if not name and len(tally.checked) < checked else None
        for method in methods:
            maps[f"{name} {method}"] = found = relevance(model, thing, asked, method)
            if drawn is not None:
                each = zip(asked.split(1), found, strict=True)
                areas = [curves(model, thing, target, values, seed, drawn).areas() for target, values in each]
                tally.curves.setdefault(method, []).extend(areas)
        if drawn is not None:
            tally.checked += [group] * len(labels)
        shape = thing.parts.shape
    for key, found in maps.items():
        points = [_point(values.reshape(shape)) for values in found]
        tally.hits.setdefault(key, []).extend(_inside(point, mine) for point, mine in zip(points, own, strict=True))
        if key.startswith(" ") and len(labels) > 1:
            others = [*points[1:], points[0]]
            tally.hits.setdefault(f"other{key}", []).extend(
                _inside(p, mine) for p, mine in zip(others, own, strict=True)
            )
    tally.area += [_share(mine) for mine in own]
    tally.centre += [_inside((0.5, 0.5), mine) for mine in own]
    tally.group += [group] * len(labels)


def _point(values: NDArray[np.float64]) -> tuple[float, float]:
    """x, y of the middle of the most relevant patch, as fractions; of several, of the mean of them."""
    y, x = np.nonzero(values == values.max())
    return float((x.mean() + 0.5) / values.shape[1]), float((y.mean() + 0.5) / values.shape[0])


def _inside(point: tuple[float, float], boxes: Sequence[Box]) -> float:
    x, y = point
    return float(any(box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1 for box in boxes))


def _share(boxes: Sequence[Box]) -> float:
    """The share of the picture that the boxes cover together, to a hundredth of its sides."""
    y, x = np.mgrid[0.005:1:0.01, 0.005:1:0.01]
    covered = [(x >= box.x0) & (x <= box.x1) & (y >= box.y0) & (y <= box.y1) for box in boxes]
    return float(np.any(covered, axis=0).mean())


def _summary(method: str, tally: _Tally, seed: int) -> dict[str, Any]:
    hits, group = np.array(tally.hits[f" {method}"]), np.array(tally.group)
    low, high = intervals({"hit": hits}, group, seed=seed)["hit"]
    found: dict[str, Any] = {
        "accuracy": round(float(hits.mean()), 6),
        "interval": [round(low, 6), round(high, 6)],
        "chance": round(float(np.mean(tally.area)), 6),
        "centre": round(float(np.mean(tally.centre)), 6),
        "n": len(hits),
    }
    for key, name in ((f"other {method}", "other"), (f"untrained {method}", "untrained")):
        if key in tally.hits:
            found[name] = round(float(np.mean(tally.hits[key])), 6)
    return found | _faithful(tally.curves.get(method, []), np.array(tally.checked), seed)


def _faithful(areas: Sequence[Mapping[str, float]], group: NDArray[np.int64], seed: int) -> dict[str, Any]:
    if not areas:
        return {}
    table = {name: np.array([one[name] for one in areas]) for name in ("deletion", "insertion", "random")}
    gains = {
        "deletion_gain": table["random"] - table["deletion"],
        "insertion_gain": table["insertion"] - table["random"],
    }
    found_bounds = mean_intervals(gains, group, seed)
    found: dict[str, Any] = {name: round(float(values.mean()), 6) for name, values in table.items()}
    for name, values in gains.items():
        low, high = found_bounds[name]
        found[name] = {
            "value": round(float(values.mean()), 6),
            "interval": [round(low, 6), round(high, 6)],
            "n": len(values),
        }
    return found
