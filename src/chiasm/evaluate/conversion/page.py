"""What the report shows of conversions: for each task its figures, and examples converted again with the media beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.batches.conversion import before_last
from chiasm.dataset.table import Table
from chiasm.declare import TaskConfig
from chiasm.errors import ChiasmError
from chiasm.evaluate.conversion.bench import Bench, Converting
from chiasm.evaluate.conversion.cases import Case, case_at
from chiasm.evaluate.conversion.figures import figure_rows
from chiasm.evaluate.conversion.items import catalogue_of
from chiasm.evaluate.pages.embedded import Embedded, webp
from chiasm.modalities.audio import encode_audio
from chiasm.modalities.image import read_image
from chiasm.types import Box, Converted, Media, ScoredBox

WANTED = {
    "text": "words",
    "answer": "an answer",
    "label": "a label",
    "image": "a picture",
    "audio": "speech",
    "boxes": "boxes",
    "mask": "a mask",
    "item": "the next item",
}
GIVEN = {
    "text": "words",
    "image": "a picture",
    "audio": "a sound",
    "video": "a clip",
    "question": "a question",
    "turns": "a dialogue",
    "history": "a history",
}
LARGE = 192
"""Pixels of a side of a picture that boxes or a mask are drawn over."""

COLOURS = ((230, 85, 13), (49, 130, 189), (49, 163, 84), (117, 107, 177), (214, 39, 140), (140, 109, 49))


def conversion_sections(
    model: Converting, conversion: Mapping[str, Any], media: Embedded, table: Table | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """A section for each task of `ConversionEvaluation.to_json()`: {name, title, splits: [{name, role, …, rows, cards}]}.

    table: where the tasks were measured, where that is not their own table."""
    found: list[dict[str, Any]] = []
    for name, entry in conversion.items():
        task = model.tasks[name]
        own = table or Table(task.table or model.config.data.table)
        bench = Bench(model, name, task, own, seed, lambda *_: None)
        splits = [
            {"name": split, "rows": figure_rows(part), **{k: part[k] for k in ("role", "n", "records", "notes", "by")},
             "without": part["without"], "wide": _is_wide(task), "cards": _cards(bench, part["examples"], media.of(own))}
            for split, part in entry["splits"].items()
        ]  # fmt: skip
        given = " and ".join(
            GIVEN.get(one.of, one.of) + (f" ({one.language})" if one.language else "")
            + (" where there is one" if one.optional else "")
            for one in task.given
        )  # fmt: skip
        wanted = WANTED.get(task.wanted.of, task.wanted.of)
        if task.wanted.name or task.wanted.language:
            wanted += f" ({' '.join(filter(None, (task.wanted.name, task.wanted.language)))})"
        found.append({"name": name, "title": f"{given} → {wanted}", "table": entry["table"], "splits": splits})
    return found


def _is_wide(task: TaskConfig) -> bool:
    """Whether what its examples show needs room: players, clips, pictures with boxes, several pictures."""
    names = {one.of for one in task.given} | {task.wanted.of}
    return bool(names & {"audio", "video", "boxes", "mask", "turns", "history"})


def _cards(bench: Bench, examples: Sequence[Mapping[str, Any]], media: Embedded) -> list[dict[str, Any]]:
    try:
        cases = [
            case_at(bench.table, int(e["row"]), e["part"], int(e["place"]), bench.task, bench.held_out)
            for e in examples
        ]
        if bench.task.wanted.of == "item":
            made = bench.model.recommend(
                bench.name, [before_last(c.record) for c in cases], catalogue_of(bench), 5, bench.table.read
            )
        else:
            made = bench.run(cases)
    except (
        ChiasmError,
        StopIteration,
    ):  # a table that was rebuilt since: the figures stay, the examples cannot be shown
        return []
    return [_card(bench, e, case, one, media) for e, case, one in zip(examples, cases, made, strict=True)]


def _card(bench: Bench, example: Mapping[str, Any], case: Case, made: Converted, media: Embedded) -> dict[str, Any]:
    """{given: [shown], got: [shown], wanted: [shown], right}; shown: {kind: picture | strip | sound | words, value, words}."""
    record, wanted = case.record, bench.task.wanted.of
    given: list[dict[str, Any]] = []
    for field in bench.task.given:
        match field.of:
            case "image" if record.image and wanted not in ("boxes", "mask"):
                given.append(shown("picture", media.picture(record.image[0]), "the given picture"))
            case "audio" if record.audio:
                given.append(shown("sound", media.sound(record.audio[0]), "the given sound", record.audio[0].by or ""))
            case "video" if record.video:
                given.append(shown("strip", media.strip(record.video[0]), "frames of the given clip"))
            case "text" if record.texts:
                given.append(_words(case.text))
            case "question":
                given.append(_words(case.asked))
            case "turns":
                given += [shown("picture", media.picture(one), "a picture of the dialogue") for one in record.image[:2]]
                given += [_words(_turn(q.question, q.answers)) for q in record.questions[:-1]] + [_words(case.asked)]
                given += [
                    shown("sound", media.sound(one), "a spoken turn", f"spoken: {one.text or 'a turn'}")
                    for one in record.audio
                ]
            case "history":
                given += [shown("picture", media.picture(one), text.text, text.text)
                          for one, text in zip(record.image[:-1], record.texts, strict=False)]  # fmt: skip
            case _:
                pass
    got, right = _outcome(bench, example, case, made, media)
    return {"given": given, "got": got, "wanted": right, "right": example["right"], "id": record.id}


def _outcome(
    bench: Bench, example: Mapping[str, Any], case: Case, made: Converted, media: Embedded
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    record = case.record
    if made.image is not None:
        true = None if case.medium is None else media.picture(case.medium)
        return [shown("picture", media.add("image/webp", webp(made.image)), "drawn")], [
            shown("picture", true, "the picture there is")
        ]
    if made.audio is not None:
        spoken = media.add("audio/flac", encode_audio(made.audio))
        heard = f"the judge hears: {example['got']}" if example["got"] else ""
        true = None if case.medium is None else media.sound(case.medium)
        return [shown("sound", spoken, "synthesised", heard)], [shown("sound", true, "a recording", "a recording")]
    if made.boxes is not None or made.mask is not None:
        picture = _large(bench, record.image[0]) if record.image else None
        if picture is None:
            return [_words(str(example["got"]))], [_words(str(example["wanted"]))]
        if made.boxes is not None:
            mine, theirs = with_boxes(picture, made.boxes), with_boxes(picture, record.boxes)
        else:
            truth = bench.kept.setdefault("names", list(made.names))
            mine, theirs = with_mask(picture, made.mask), with_mask(picture, _true_mask(bench, case, truth))
        return (
            [
                shown(
                    "large",
                    media.add("image/webp", webp(mine)),
                    "what the model found",
                    str(example["got"]) or "nothing",
                )
            ],
            [shown("large", media.add("image/webp", webp(theirs)), "what is there", str(example["wanted"]))],
        )
    if made.items is not None:
        pictures = {one.id: one.image[0] for one in catalogue_of(bench)}
        before = {t.text for t in record.texts[:-1]}
        ranked = [one for one in made.items if one not in before]
        true = str(example["wanted"])
        return (
            [shown("picture", media.picture(pictures[one]), one, one) for one in ranked[:3]],
            [shown("picture", media.picture(pictures[true]) if true in pictures else None, true, true)],
        )
    return [_words(made.text or "(nothing)")], [_words(str(example["wanted"]))]


def with_boxes(picture: NDArray[np.uint8], boxes: Sequence[Box | ScoredBox]) -> NDArray[np.uint8]:
    """The picture uint8 [H, W, 3] with each box's outline, a colour for each label."""
    drawn = picture.copy()
    bottom, right = drawn.shape[0] - 1, drawn.shape[1] - 1
    for box in boxes:
        x0, x1 = (round(min(max(x, 0.0), 1.0) * right) for x in (box.x0, box.x1))
        y0, y1 = (round(min(max(y, 0.0), 1.0) * bottom) for y in (box.y0, box.y1))
        colour = colour_of(box.label)
        for edge in ((slice(y0, y0 + 3), slice(x0, x1 + 1)), (slice(max(y1 - 2, 0), y1 + 1), slice(x0, x1 + 1)),
                     (slice(y0, y1 + 1), slice(x0, x0 + 3)), (slice(y0, y1 + 1), slice(max(x1 - 2, 0), x1 + 1))):  # fmt: skip
            drawn[edge] = colour
    return drawn


def with_mask(picture: NDArray[np.uint8], mask: NDArray[np.int64] | None) -> NDArray[np.uint8]:
    """The picture uint8 [H, W, 3] with each class of a label map [h, w] tinted in a colour of its own."""
    from chiasm.evaluate.metrics.masks import resized

    if mask is None:
        return picture
    labels = resized(mask, picture.shape[:2])
    tint = np.array([(0, 0, 0), *COLOURS], np.float32)[np.where(labels > 0, 1 + (labels - 1) % len(COLOURS), 0)]
    mixed = np.where((labels > 0)[..., None], 0.4 * picture + 0.6 * tint, 0.55 * picture + 0.45 * 255)
    return mixed.round().astype(np.uint8)


def colour_of(label: str) -> tuple[int, int, int]:
    return COLOURS[sum(label.encode("utf8")) % len(COLOURS)]


def _true_mask(bench: Bench, case: Case, names: Sequence[str]) -> NDArray[np.int64] | None:
    from chiasm.train.conversion_data import read_mask

    return None if case.record.mask is None else read_mask(bench.table, case.record, tuple(names[1:]))


def _large(bench: Bench, medium: Media) -> NDArray[np.uint8] | None:
    """The whole picture, its longer side LARGE: boxes are fractions of its own sides."""
    try:
        whole = Image.fromarray(read_image(bench.table.read(medium)))
    except ChiasmError:
        return None
    share = LARGE / max(whole.size)
    return np.asarray(whole.resize((max(1, round(whole.width * share)), max(1, round(whole.height * share)))))


def _turn(question: str, answers: Sequence[str]) -> str:
    return f"{question} — {answers[0]}" if answers else question


def _words(text: str) -> dict[str, Any]:
    return shown("words", None, text[:400])


def shown(kind: str, value: str | None, words: str, caption: str = "") -> dict[str, Any]:
    """What a card shows. kind: words | sound | picture | large | strip · value: its data URI, None where it is left out
    words: what it is, for who cannot see or hear it · caption: what is written under it for all."""
    kind = kind if value is not None or kind == "words" else "missing"
    return {"kind": kind, "value": value, "words": words, "caption": caption}
