"""What `chiasm demo` lets the shipped starter checkpoint convert: small tables that are new to it, figures, and a section a direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from chiasm.config import BuildConfig

if TYPE_CHECKING:
    from rich.table import Table as Grid

    from chiasm.cli.progress import Progress
    from chiasm.dataset.table import Table
    from chiasm.evaluate.pages.embedded import Embedded
    from chiasm.train.converting import ConvertingModel

CASES = 48
"""Cases a task, about: half a minute on two cores for all of them."""

SEED = 20
"""Of the small tables. The starter was trained on those of seed 0: what another seed draws is new to it."""

SMALL: Mapping[str, Mapping[str, Any]] = {
    "emoji-scenes": {"seed": SEED, "scenes": 150, "test": 0.5},
    "emoji-motion": {"seed": SEED, "clips": 130, "test": 0.45},
    "emoji-dialogue": {"seed": SEED, "dialogues": 80, "test": 0.5, "voices": ("en-us",)},
    # Which commands there are does not depend on the seed; those that the starter never heard are the test split of its seed.
    "spoken-commands": {"voices": ("en-us", "en-gb-scotland+m3")},
}
"""What is built beside the emoji table, and how."""

HELD_OUT = ("concept", "variation", "test")
"""Splits that are shown, the first that a table has. Of clips nearly all are concepts, as hardly a pair of object and action comes twice."""
OF_EMOJI = ("variation", "concept")
"""Of emoji, new forms of what it knows: what it never saw in any form it can hardly name."""

NEW, PERHAPS_SEEN = "new", "perhaps seen"
"""Splits as they are called here: drawn by another seed; of a table whose splits are not the starter's."""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class _Task(NamedTuple):
    source: str
    title: str
    cases: int = 1
    """Cases that a record makes, about."""


SPOKEN = "say"
"""The task that speaks: heard only, since the recordings that would judge it are not embedded."""

TASKS: Mapping[str, _Task] = {
    "draw": _Task("emoji", "Pictures drawn from words"),
    "caption": _Task("emoji", "Words read from pictures"),
    "hear": _Task("emoji", "Words heard", 2),
    SPOKEN: _Task("", "Words spoken"),
    "scene": _Task("emoji-scenes", "Answers to questions about pictures", 4),
    "boxes": _Task("emoji-scenes", "Boxes"),
    "mask": _Task("emoji-scenes", "Masks"),
    "watch": _Task("emoji-motion", "Clips told in words"),
    "action": _Task("emoji-motion", "What happens in clips"),
    "clip_question": _Task("emoji-motion", "Answers to questions about clips", 4),
    "dialogue": _Task("emoji-dialogue", "Dialogue", 4),
    "command": _Task("spoken-commands", "Commands heard", 2),
    "command_text": _Task("spoken-commands", "Commands read"),
    "to_german": _Task("emoji", "Translation: English to German"),
    "to_chinese": _Task("emoji", "Translation: English to Chinese"),
}
"""What is shown, in this order: the starter's task (recipes/starter.yaml) and the heading."""


@dataclass(frozen=True)
class Shown:
    """What the starter made. conversion: as `ConversionEvaluation.to_json`."""

    model: ConvertingModel
    tables: Mapping[str, Table]
    conversion: Mapping[str, Any]

    def sections(self, media: Embedded) -> list[dict[str, Any]]:
        """Those of the report, in the order of TASKS; half of the examples, of pictures all."""
        from chiasm.evaluate.conversion.page import conversion_sections

        found: list[dict[str, Any]] = []
        for name, task in TASKS.items():
            if name == SPOKEN and name in self.model.tasks:
                found.append(_spoken(self.model, media))
            if name not in self.conversion:
                continue
            step = 1 if self.model.tasks[name].wanted.of == "image" else 2
            entry = self.conversion[name]
            splits = {key: {**part, "examples": part["examples"][::step]} for key, part in entry["splits"].items()}
            made = conversion_sections(self.model, {name: {**entry, "splits": splits}}, media, self.tables[task.source])
            found += [{**one, "title": task.title} for one in made]
        return found


def convert_all(model: ConvertingModel, emoji: Table, folder: Path, fresh: bool, progress: Progress) -> Shown:
    """Build the small tables that are not there yet, and measure each task on what the starter has not seen."""
    from chiasm.evaluate.conversion.tasks import evaluate_conversion

    tables: dict[str, Table] = {"emoji": emoji}
    found: dict[str, Any] = {}
    for name, task in TASKS.items():
        if name not in model.tasks or not task.source:
            continue
        if task.source not in tables:
            tables[task.source] = _small(task.source, folder, fresh, progress)
        table = tables[task.source]
        held_out = OF_EMOJI if task.source == "emoji" else HELD_OUT
        split = next((one for one in held_out if one in table.splits()), None)
        if split is None:
            continue
        most = max(1, CASES // task.cases)
        result = evaluate_conversion(model, [split], tasks=[name], table=table, most=most, progress=progress).to_json()
        parts = result[name]["splits"]
        if parts:
            found[name] = {**result[name], "splits": {_called(table, split): part for part in parts.values()}}
    return Shown(model, tables, found)


def conversions_table(conversion: Mapping[str, Any]) -> Grid:
    """For the terminal: the first figure of each task, with the best of what it has to beat."""
    from chiasm.cli.evaluate_tables import make_grid
    from chiasm.evaluate.conversion.figures import figure_rows, written

    grid = make_grid("the starter converts", ("conversion", "measure", "value", "95 %", "to beat"))
    for name, entry in conversion.items():
        for part in entry["splits"].values():
            measure, row = next(iter(part["metrics"])), figure_rows(part)[0]
            least = max((s[measure]["value"] for s in part["baselines"].values() if measure in s), default=None)
            beat = "–" if least is None else written(measure, least)
            grid.add_row(TASKS[name].title, row["name"], row["value"], row["interval"] or "–", beat)
    return grid


def _small(source: str, folder: Path, fresh: bool, progress: Progress) -> Table:
    from chiasm.dataset.build import build
    from chiasm.dataset.table import Table

    path = folder / f"{source}.lance"
    if fresh or not path.exists():
        build(source, path, BuildConfig(**SMALL[source]), progress=progress, overwrite=True)
    return Table(path)


def _called(table: Table, split: str) -> str:
    """A split's name as the starter has it: one of a table of its seed keeps it."""
    own, kept = BuildConfig().model_dump(mode="json"), table.metadata["config"]
    same = [name for name in ("seed", "validation", "test", "limit", "artists") if own[name] == kept[name]]
    if len(same) == 5:
        return split
    return NEW if kept["seed"] != own["seed"] else PERHAPS_SEEN


def _spoken(model: ConvertingModel, media: Embedded) -> dict[str, Any]:
    """The digits, synthesised; and what the model's own recogniser of digits, if it has one, hears in them."""
    from chiasm.evaluate.conversion.page import shown
    from chiasm.modalities.audio import encode_audio
    from chiasm.types import Media, Record, Text

    made = model.run(SPOKEN, [Record(word, texts=(Text(word, "en"),)) for word in DIGITS])
    sounds = [encode_audio(one.audio) for one in made if one.audio is not None and len(one.audio)]
    heard = [""] * len(made)
    if "digits" in model.tasks and len(sounds) == len(made):
        listened = model.run("digits", [Record(str(i), audio=(Media(data=one),)) for i, one in enumerate(sounds)])
        heard = [f"the model itself hears: {one.text}" for one in listened]
    cards = [
        {
            "given": [shown("words", None, word)],
            "got": [shown("sound", media.add("audio/flac", sound), f"{word}, synthesised", words)],
            "wanted": [],
            "right": None,
            "id": word,
        }
        for word, sound, words in zip(DIGITS, sounds, heard, strict=False)
    ]
    split = {"name": "digits", "rows": [], "role": "test", "n": len(cards), "records": len(cards), "notes": {}, "by": {},
             "without": {}, "wide": True, "cards": cards}  # fmt: skip
    return {"name": SPOKEN, "title": TASKS[SPOKEN].title, "table": "", "splits": [split]}
