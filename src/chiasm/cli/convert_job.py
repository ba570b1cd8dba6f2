"""The work of `chiasm convert`: all inputs of one call through the same tasks, a chunk of them at a time."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chiasm.cli.convert_given import Given
from chiasm.cli.convert_written import entry_of, lines_of, plan, write
from chiasm.cli.output import say
from chiasm.cli.progress import Progress
from chiasm.config import DecodingConfig
from chiasm.declare import TaskConfig
from chiasm.errors import MediaError
from chiasm.modalities.media import read_bytes
from chiasm.train.abilities import record_for
from chiasm.train.converting import ConvertingModel, is_live
from chiasm.train.written import text_stream
from chiasm.types import Converted, Media, Record

CHUNK = 32
"""Inputs that are read, converted and written before the next ones."""


@dataclass
class Job:
    """All inputs of one call through one task, or through several of which the surest result counts. entries: of each input by its place ·
    failed: the places of those that cannot be read · kept: how many results are whose."""

    model: ConvertingModel
    tasks: Sequence[str]
    given: Sequence[Given]
    options: DecodingConfig
    language: str | None
    by: str | None
    choices: Sequence[str] | None
    as_json: bool
    entries: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    failed: set[int] = field(default_factory=set[int])
    kept: Counter[str] = field(default_factory=Counter[str])

    @property
    def task(self) -> TaskConfig:
        """What is given and wanted, of all the tasks alike."""
        return self.model.tasks[self.tasks[0]]

    def run(self, out: str | None, overwrite: bool) -> None:
        for name in self.tasks:
            if self.options.guidance != 1 and self.model.tasks[name].blank == 0:
                say(f"note: the task {name!r} was trained with blank: 0; guidance has nothing learned to compare with")
        targets = plan(self.task.wanted.of, self.given, out, overwrite)
        # A batch's lines on a terminal are its progress.
        shows = len(self.given) > 1 and (self.as_json or out is not None or not sys.stdout.isatty())
        with Progress() as progress:
            for start in range(0, len(self.given), CHUNK):
                self._chunk(range(start, min(start + CHUNK, len(self.given))), targets)
                if shows:
                    progress("converting", min(start + CHUNK, len(self.given)), len(self.given))
        files = [target for place, target in enumerate(targets) if target is not None and place not in self.failed]
        if len(self.tasks) > 1 and self.kept and not self.as_json:
            say(f"note: the surest of {', '.join(self.tasks)}: {self._told()}; --task takes one of them")
        if files:
            say(f"written: {files[0]}" + (f" and {len(files) - 1} more" if len(files) > 1 else ""))

    def _told(self) -> str:
        kept = self.kept.most_common()
        return kept[0][0] if len(self.given) == 1 else ", ".join(f"{name} {count:,} ×" for name, count in kept)

    def _chunk(self, places: range, targets: Sequence[Path | None]) -> None:
        records = self._records(places)
        made, shown = self._made(records, all(t is None for t in targets))
        for place in places:
            given, target = self.given[place], targets[place]
            if place not in made:
                continue
            result = made[place]
            entry = entry_of(given, result, str(self.task.wanted), target)
            self.entries[place] = entry
            self.kept[result.task or self.tasks[0]] += 1
            if result.text == "":
                say(f"note: {given.shown}: nothing was written: the result is an empty text")
            if target is not None:
                image = given.part("image")
                picture = None if image is None or result.boxes is None else read_bytes(Media(path=image))
                write(target, result, entry, picture)
            elif not self.as_json and not shown:
                lead = f"{given.shown}\t" if len(self.given) > 1 else ""
                sys.stdout.write("".join(f"{lead}{line}\n" for line in lines_of(result)))
                sys.stdout.flush()

    def _records(self, places: range) -> dict[int, Record]:
        """The inputs whose texts can be read, by place; the others become a line on stderr and an entry."""
        found: dict[int, Record] = {}
        for place in places:
            given = self.given[place]
            try:
                record = given.dialogue or record_for(
                    self.task,
                    id=next(iter(given.files), given.name),
                    text=given.words(),
                    image=given.part("image"),
                    audio=given.part("audio"),
                    video=given.part("video"),
                )
            except MediaError as error:
                self._leave_out(place, error)
                continue
            found[place] = record
        return found

    def _leave_out(self, place: int, found: MediaError) -> None:
        given = self.given[place]
        error = _of_file(found, given)
        if len(self.given) == 1:
            raise error from None
        self.failed.add(place)
        self.entries[place] = {"given": dict(given.parts), "error": error.reason, "message": str(error)}
        say(f"left out: {error}")

    def _made(self, records: dict[int, Record], to_stdout: bool) -> tuple[dict[int, Converted], bool]:
        """Results by place, and whether they were shown already: a single text on a terminal comes piece by piece."""
        try:
            return self._run(records, to_stdout)
        except MediaError:
            # Media are decoded for the conversion alone; only where that fails is each looked at for itself.
            errors = {place: self.model.readable(self.tasks[0], record) for place, record in records.items()}
            for place, error in errors.items():
                if error is not None:
                    self._leave_out(place, error)
            if not any(errors.values()):
                raise
        return self._run({place: record for place, record in records.items() if errors[place] is None}, to_stdout)

    def _run(self, records: dict[int, Record], to_stdout: bool) -> tuple[dict[int, Converted], bool]:
        if not records:
            return {}, False
        told = ""

        def tell(piece: str) -> None:
            nonlocal told
            told += piece
            sys.stdout.write(piece)
            sys.stdout.flush()

        streams = (
            len(self.given) == 1
            and to_stdout
            and not self.as_json
            and sys.stdout.isatty()
            and self.task.writer == "text"
            and is_live(self.tasks, self.options)
        )
        results = self.model.run(
            self.tasks,
            list(records.values()),
            decoding=self.options,
            language=self.language,
            by=self.by,
            choices=self.choices,
            rows=list(records),
            stream=text_stream(self.model.tokenizer, tell) if streams else None,
        )
        if told:
            sys.stdout.write((results[0].text or "").removeprefix(told) + "\n")
        return dict(zip(records, results, strict=True)), bool(told)


def _of_file(error: MediaError, given: Given) -> MediaError:
    """Names the file, and of a dialogue not only what the file names."""
    if given.dialogue is None:
        named = not given.files or any(path in str(error) for path in given.files)
        return error if named else MediaError(error.reason, f"{given.files[0]}: {error}")
    return MediaError(error.reason, f"{given.parts['record']}: {str(error).removeprefix(f'{given.dialogue.id}: ')}")
