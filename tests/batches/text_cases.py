"""A small corpus of real records for the tests of views: two coloured things side by side, told of in three languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.batches.draws import Draws
from chiasm.batches.store import Key
from chiasm.batches.task import Corpus, Draft, Facts, View
from chiasm.modalities.regions import RegionProvider
from chiasm.modalities.text import Tokenizer
from chiasm.types import Box, Question, Record, Relation, Text

COLOURS = {"red": (220, 30, 30), "green": (20, 180, 40), "blue": (30, 50, 220), "yellow": (230, 220, 40)}
THINGS = {"apple": 0.9, "boat": 0.7, "cat": 0.55, "drum": 0.4, "egg": 0.25}
GERMAN = {"apple": "Apfel", "boat": "Boot", "cat": "Katze", "drum": "Trommel", "egg": "Ei", "red": "rot", "green": "grün",
          "blue": "blau", "yellow": "gelb"}  # fmt: skip
FRENCH = {"apple": "pomme", "boat": "bateau", "cat": "chat", "drum": "tambour", "egg": "œuf", "red": "rouge", "green": "vert",
          "blue": "bleu", "yellow": "jaune"}  # fmt: skip
ANSWERS = ("yes", "no", *COLOURS)


@dataclass(frozen=True)
class Pictures:
    """Pictures that are in memory already."""

    arrays: NDArray[np.uint8]

    def get(self, keys: Sequence[Key]) -> list[NDArray[np.uint8] | None]:
        return [self.arrays[row] for row, _ in keys]


def scene(number: int) -> Record:
    random = np.random.default_rng(number)
    left, right = random.choice(list(THINGS), 2, replace=False).tolist()
    one, two = random.choice(list(COLOURS), 2, replace=False).tolist()
    texts = (
        Text(f"A {one} {left} left of a {two} {right}. The {left} is {one}! Scene {number}.", "en"),
        Text(f"Ein {GERMAN[left]} ({GERMAN[one]}) links von {GERMAN[right]} {number}.", "de"),
        Text(f"{FRENCH[left]} {FRENCH[one]} à gauche de {FRENCH[right]} {number}.", "fr"),
        Text(f"{left} and {right} number {number}", "en", "name"),
        Text(f"{GERMAN[left]} und {GERMAN[right]} Nummer {number}", "de", "name"),
    )
    return Record(
        f"scene-{number}",
        texts,
        boxes=(Box(0, 0, 0.5, 1, left), Box(0.5, 0, 1, 1, right)),
        relations=(
            Relation(left, "is", one),
            Relation(right, "is", two),
            Relation(left, "left of", right),
        ),
        questions=(
            Question(f"What colour is the {left}?", (one,), "en"),
            Question(f"Is there an {right}?", ("yes",), "en"),
            Question("How does it taste?", ("like metal",), "en"),
        ),
    )


def draw(record: Record) -> NDArray[np.uint8]:
    """Each box is filled with a shade that says what it is."""
    picture = np.zeros((16, 16, 3), np.uint8)
    for box, noise in zip(record.boxes, (0, 4), strict=False):
        shade = int(255 * THINGS[box.label]) + noise
        picture[:, int(box.x0 * 16) : int(box.x1 * 16)] = (shade, 255 - shade, 128)
    return picture


def make_corpus(records: Sequence[Record] | None = None, *, regions: bool = False, count: int = 60) -> Corpus:
    records = [scene(number) for number in range(count)] if records is None else records
    tokenizer = Tokenizer.train([text.text for record in records for text in record.texts] * 2, 600)
    pictures = provider = None
    if regions:
        pictures = Pictures(np.stack([draw(record) for record in records]))
        boxes = [np.array([(b.x0, b.y0, b.x1, b.y1) for b in r.boxes], np.float32).reshape(-1, 4) for r in records]
        labels = [[b.label for b in r.boxes] for r in records]
        provider = RegionProvider.fit(pictures.arrays, boxes, labels, kind="boxes", width=4, classes=8, crop=4)
    facts = Facts(
        tokenizer.size,
        answers=ANSWERS,
        objects=provider.names if provider else tuple(THINGS),
        region_width=4 if provider else 0,
        languages=("en", "de", "fr"),
    )
    n = len(records)
    ids = [record.id for record in records]
    return Corpus(ids, range(n), records, [regions] * n, pictures, tokenizer, facts, regions=provider)


def draft(
    corpus: Corpus, *views: View, step: int = 0, rows: Sequence[int] | None = None, seed: int = 0, training: bool = True
) -> Draft:
    """What the views make of these records (None: all that they can use)."""
    if rows is None:
        rows = [p for p in range(len(corpus)) if all(view.usable(corpus, p) for view in views)]
    made = Draft(corpus, np.array(rows, np.int64), Draws(seed, step, len(rows), slice(None)), training)
    for view in views:
        view.add(made)
    return made
