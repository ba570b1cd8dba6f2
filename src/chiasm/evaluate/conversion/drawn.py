"""Whether drawn pictures show what was meant: the place of the right one among all pictures of the table, beside the quantiser's own ceiling."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.errors import MediaError
from chiasm.evaluate.conversion.bench import CHUNK, Bench, pictures_through
from chiasm.evaluate.conversion.cases import Case, media_of
from chiasm.evaluate.conversion.score import Measured, Scores, mean, measured, rate
from chiasm.evaluate.metrics.pictures import nearest_pictures, nearest_vectors, psnr, ssim
from chiasm.evaluate.metrics.ranks import Places
from chiasm.modalities.image import read_image
from chiasm.types import Converted, Media, Record

Pictures = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Gallery:
    """All pictures of a table: uint8 [m, S, S, 3]; what each shows as a number, int64 [m], and the group that this is a form of; its place by
    the row of its record."""

    pictures: Pictures
    identity: NDArray[np.int64]
    group: NDArray[np.int64]
    place: dict[int, int]
    vectors: NDArray[np.float32] | None


def measure_image(bench: Bench, cases: Sequence[Case], results: Sequence[Converted]) -> Measured:
    """How often what was meant is the first, or among the first five, by pixels and by the model's own embedding: the very thing, and its
    concept, any form of it (the record's group). PSNR and SSIM to the picture that there is. Ceilings: the same of the true pictures after the
    quantiser."""
    drawn = np.stack([one.image for one in results if one.image is not None])
    gallery = _gallery(bench, drawn.shape[1])
    places = np.array([gallery.place[case.row] for case in cases])
    identity, true = gallery.identity[places], gallery.pictures[places]
    near = nearest_pictures(drawn, gallery.pictures, identity, gallery.identity)
    group = gallery.group[places]
    kin = nearest_pictures(drawn, gallery.pictures, group, gallery.group)
    scores = _hits(near) | _hits(kin, "_concept") | {"psnr": mean(psnr(drawn, true)), "ssim": mean(ssim(drawn, true))}
    ceilings: dict[str, Scores] = {}
    things, concepts = (len(set(found.tolist())) for found in (gallery.identity, gallery.group))
    notes = {"gallery": f"{len(gallery.pictures):,} pictures, {things:,} things, {concepts:,} concepts"}
    if gallery.vectors is not None:
        vectors = bench.model.embed_items("image", [Media(data=as_png(picture)) for picture in drawn])
        scores |= _hits(nearest_vectors(vectors, gallery.vectors, identity, gallery.identity), "_embedding")
    quantizer = bench.quantizer("image")
    if quantizer is not None:
        coded = pictures_through(quantizer, true)
        best = nearest_pictures(coded, gallery.pictures, identity, gallery.identity)
        own = {"psnr": mean(psnr(coded, true)), "ssim": mean(ssim(coded, true))}
        forms = nearest_pictures(coded, gallery.pictures, group, gallery.group)
        ceilings["quantiser"] = _hits(best) | _hits(forms, "_concept") | own
    right = [bool(rank < 1.5) for rank in near.rank()]
    return measured(
        scores, right, [f"rank {rank:g}" for rank in near.rank()], ceilings=ceilings, notes=notes
    )  # fmt: skip


def as_png(picture: Pictures) -> bytes:
    """uint8 [H, W, 3] → PNG bytes."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def named(record: Record) -> str:
    """What the record is of: its first English text, or its first."""
    text = next((t.text for t in record.texts if t.language == "en"), None)
    return (text or (record.texts[0].text if record.texts else record.id)).casefold()


def _hits(near: Places, suffix: str = "") -> Scores:
    return {f"top1{suffix}": rate(near.hit(1)), f"top5{suffix}": rate(near.hit(5))}


def _gallery(bench: Bench, side: int) -> Gallery:
    if "gallery" in bench.kept:
        return bench.kept["gallery"]
    names: dict[str, int] = {}
    pictures: list[Pictures] = []
    identity: list[int] = []
    groups: dict[str, int] = {}
    group: list[int] = []
    vectors: list[NDArray[np.float32]] = []
    place: dict[int, int] = {}
    for start in range(0, len(bench.table), CHUNK):
        rows = range(start, min(start + CHUNK, len(bench.table)))
        media: list[Media] = []
        for row, record in zip(rows, bench.table.records(list(rows), ["id", "texts", "image", "group"]), strict=True):
            for medium in media_of(record, bench.task.wanted):  # the first that can be read
                try:
                    data = bench.table.read(medium)
                    pictures.append(read_image(data, side))
                except MediaError:
                    continue
                media.append(Media(data=data))
                place[row] = len(identity)
                identity.append(names.setdefault(named(record), len(names)))
                group.append(groups.setdefault(record.group or record.id, len(groups)))
                break
        if media and bench.has_space():
            vectors.append(bench.model.embed_items("image", media))
        bench.progress(f"{bench.name}: gallery", rows.stop, len(bench.table))
    found = Gallery(
        np.stack(pictures),
        np.array(identity),
        np.array(group),
        place,
        np.concatenate(vectors) if vectors else None,
    )  # fmt: skip
    bench.kept["gallery"] = found
    return found
