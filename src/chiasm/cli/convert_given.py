"""What `chiasm convert` is given: files, folders and patterns of them, texts, dialogues."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from chiasm.cli.output import say
from chiasm.config import validate
from chiasm.errors import ConfigError, DataError, MediaError
from chiasm.modalities.media import read_bytes
from chiasm.sections import Section
from chiasm.sources.folder import KINDS, MAX_TEXT_BYTES
from chiasm.types import Media, Question, Record

MOST_BYTES = 2**20
"""Of a dialogue's file."""


@dataclass(frozen=True)
class Given:
    """One conversion's input. name: what its output is called · parts: text, image, audio, video as they were given, or the dialogue's
    file under "record" · dialogue: what that file says · alike: whether another input has a file of the same stem."""

    name: str
    parts: Mapping[str, str]
    dialogue: Record | None = None
    alike: bool = False

    @property
    def shown(self) -> str:
        """What its line of a batch begins with."""
        return next((path for path in self.files if self.alike), self.name)

    @property
    def files(self) -> list[str]:
        """Those that it is read from."""
        return [value for of, value in self.parts.items() if of != "text" or is_file(value)]

    def words(self) -> str | None:
        """The text, or what its file says. Raises MediaError for a file that is no text."""
        value = self.parts.get("text")
        if value is None or not is_file(value):
            return value
        try:
            return read_bytes(Media(path=value), limit=MAX_TEXT_BYTES).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise MediaError("encoding", f"{value}: not UTF-8: {error.reason} at byte {error.start}") from None

    def part(self, name: str) -> str | None:
        return self.parts.get(name)


class TurnFile(Section):
    question: str = Field(default="", description="may be missing where it is spoken")
    answer: str | None = None
    image: str | None = Field(default=None, description="a picture that comes with the turn; a path beside the file")
    audio: str | None = Field(default=None, description="the question, spoken; a path beside the file")


def read_given(texts: Sequence[str], media: Mapping[str, Sequence[str]], dialogues: Sequence[Path]) -> list[Given]:
    """One entry a conversion. Of each kind there is one for all, or as many as of the others.

    Raises ConfigError where they do not fit together, DataError for a folder or a pattern without files."""
    lists: dict[str, list[str]] = {m: _expand(m, values) for m, values in media.items() if values}
    if texts:
        lists["text"] = list(texts)
    if dialogues:
        if lists:
            raise ConfigError(
                f"--record is a dialogue of its own: give it without {', '.join(f'--{n}' for n in lists)}"
            )
        read = [Given(path.stem, {"record": str(path)}, read_dialogue(path)) for path in dialogues]
        return _named_apart(read)
    count = max((len(values) for values in lists.values()), default=0)
    for name, values in lists.items():
        if len(values) not in (1, count):
            raise ConfigError(f"{len(values)} × --{name} beside {count} of another kind: give one for all, or as many")
    leading = [name for name, values in lists.items() if len(values) == count]
    found: list[Given] = []
    for index in range(count):
        parts = {name: values[index] if len(values) > 1 else values[0] for name, values in lists.items()}
        found.append(Given(_name(parts[leading[0]], leading[0]), parts))
    return _named_apart(found)


def check_there(given: Sequence[Given]) -> None:
    """Raises MediaError where the only input's file is not there: before a model is loaded for it. Of several the others go on."""
    for one in given if len(given) == 1 else ():
        for path in one.files:
            if one.dialogue is None and not os.path.isfile(path):
                raise MediaError("missing", f"{path}: no such file")


def note_texts(texts: Sequence[str]) -> None:
    """Says of texts that look like a path but are taken as words, and of a word that is the name of a file."""
    for text in texts:
        if is_file(text) and Path(text).suffix.lower() not in KINDS["text"]:
            say(f"note: --text {text}: there is a file of this name; its contents are taken")
        elif _is_folder(text):
            say(f"note: --text {text}: a folder; taken as words")
        elif Path(text).suffix.lower() in KINDS["text"] and not is_file(text):
            say(f"note: --text {text}: no such file; taken as words")


def mistaken(run: str, more: Sequence[str], given: Collection[str]) -> str | None:
    """Why what stands without an option is not a run alone, but files that were to be converted, with what to write instead.

    more: what stands behind the run; a shell that spells a pattern out puts its files there. given: the options that were given."""
    if not more and not os.path.isfile(run):
        return None
    last = more[-1] if more else run
    option = next((of for of in ("image", "audio", "video", "text") if Path(last).suffix.lower() in KINDS[of]), None)
    option = "record" if Path(last).suffix.lower() == ".json" else option
    hint = ""
    if is_file(last) and option in given and option in ("image", "audio", "video"):
        hint = f'; a pattern of files is quoted, so that the shell leaves it alone: --{option} "*{Path(last).suffix}"'
    elif is_file(last) and option is not None:
        hint = f"; did you mean --{option} {last}?"
    if not more:
        return f"{run} is a file, not a run{hint}"
    behind = f"{more[0]} and {len(more) - 1} more" if len(more) > 1 else more[0]
    return f"{behind}: nothing but RUN stands without an option{hint}"


def read_dialogue(path: Path) -> Record:
    """`{"turns": [{"question": …, "answer": …, "image": PATH, "audio": PATH}, …]}` as a record; the last turn's answer is what is asked for.

    Raises DataError where it cannot be read, ConfigError where it says something else."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path}: more than {MOST_BYTES:,} bytes: no dialogue")
        tree = json.loads(path.read_text(encoding="utf8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from None
    listed: Any = tree.get("turns") if isinstance(tree, dict) and len(tree) == 1 else None
    if not isinstance(listed, list) or not listed or not all(isinstance(turn, dict) for turn in listed):
        raise DataError(f'{path}: wanted {{"turns": [{{"question": …, "answer": …}}, …]}}, and at least one turn')
    turns = [validate(TurnFile, turn, f"{path}: turns.{number}") for number, turn in enumerate(listed)]
    for number, turn in enumerate(turns):
        if not turn.question and turn.audio is None:
            raise ConfigError(f"{path}: turns.{number}: neither a question nor the audio of one")
        if turn.answer is None and number < len(turns) - 1:
            raise ConfigError(f"{path}: turns.{number}: only the last turn has no answer yet")

    def media(of: str) -> tuple[Media, ...]:
        named = [(k, turn.image if of == "image" else turn.audio) for k, turn in enumerate(turns)]
        return tuple(Media(path=str(path.parent / file), kind=f"turn:{k}") for k, file in named if file is not None)

    questions = tuple(Question(turn.question, () if turn.answer is None else (turn.answer,)) for turn in turns)
    return Record(path.stem, image=media("image"), audio=media("audio"), questions=questions)


def _expand(modality: str, values: Sequence[str]) -> list[str]:
    """Folders become the files in them that the modality reads, patterns the files that fit; both sorted."""
    found: list[str] = []
    for value in values:
        path = Path(value)
        if _is_folder(value):
            there = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
            others = [p.name for p in there if p.suffix.lower() not in KINDS[modality]]
            files = [str(p) for p in there if p.suffix.lower() in KINDS[modality]]
            if files and others:
                named = others[0] if len(others) == 1 else f"{others[0]} and {len(others) - 1} more"
                say(f"note: {value}: left out, for they are no {modality}: {named}")
            if not files:
                raise DataError(f"{value}: no {modality} files ({' '.join(KINDS[modality])}) in this folder")
        elif not is_file(value) and re.search(r"[*?\[]", value):
            root = Path(path.anchor or ".")
            files = sorted(str(p) for p in root.glob(str(path.relative_to(path.anchor))) if p.is_file())
            if not files:
                raise DataError(f"{value}: no file fits this pattern")
        else:
            files = [value]
        found += files
    return found


def is_file(text: str) -> bool:
    """Whether a text is the path of a file; any text may be asked, also one too long for a path."""
    return os.path.isfile(text)


def _is_folder(text: str) -> bool:
    try:
        return bool(text) and Path(text).is_dir()
    except OSError:
        return False


def _name(value: str, of: str) -> str:
    if of != "text" or is_file(value):
        return Path(value).stem
    words = re.sub(r"[^\w]+", "-", value.casefold()).strip("-")
    return words[:40].strip("-") or "text"


def _named_apart(found: Sequence[Given]) -> list[Given]:
    """The second of a name is called NAME-2, and so on."""
    taken: set[str] = set()
    apart: list[Given] = []
    often = Counter(given.name for given in found)
    for given in found:
        name, number = given.name, 1
        while name in taken:
            number += 1
            name = f"{given.name}-{number}"
        taken.add(name)
        apart.append(replace(given, name=name, alike=often[given.name] > 1))
    return apart
