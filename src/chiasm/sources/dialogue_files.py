"""Dialogues: plain text, or JSONL with a list of turns a line.

Plain: a line a turn, `NAME: words`, a blank line between dialogues; a line without a name goes on with the turn before. JSONL: `turns`,
`messages`, `dialogue`, `dialog`, `conversation` or `conversations`, a list of {speaker, text} (also role/from and content/value) or of texts.
A dialogue is one record: its turns as a text of kind "dialogue", and each turn with the answer of another speaker as a question, in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from chiasm.config import BuildConfig
from chiasm.errors import MediaError
from chiasm.modalities.media import resolve
from chiasm.sources.cells import plain
from chiasm.sources.corpus import MAX_TEXT
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import Listing, split_of
from chiasm.sources.manifest_row import RowReader
from chiasm.sources.rows import RowError, read_jsonl
from chiasm.types import Label, Question, Record, Rejected, Text

LISTS = ("turns", "messages", "dialogue", "dialog", "conversation", "conversations")
_SAYS = ("text", "content", "value", "utterance")
_WHO = ("speaker", "role", "from", "name")
_TURN = re.compile(r"(?P<who>[^\W\d_][\w .'-]{0,29}):\s*(?P<words>.*)")
MAX_TURNS = 1_000

Turn = tuple[str, str]


def look(files: Listing) -> Found | None:
    """JSONL whose first line has a list of turns, or .txt of which nearly every line is `NAME: words` and names come again."""
    lined, plain_ones = _files(files)
    if lined and files.no_media:
        return Found("dialogue", f"{lined[0]}: a list of turns a line", {"files": len(lined)}, ("manifest",))
    if plain_ones and files.no_media:
        return Found("dialogue", f"{plain_ones[0]}: lines NAME: words", {"files": len(plain_ones)}, ("corpus",))
    return None


def _files(files: Listing) -> tuple[list[str], list[str]]:
    lined = [path for path in files.matching(r".*\.jsonl") if _has_turns(files.head(path))]
    return lined, [path for path in files.matching(r".*\.txt") if _is_talk(files.head(path))]


def _has_turns(head: str) -> bool:
    first = head.lstrip().partition("\n")[0]
    try:
        row = json.loads(first)
    except (ValueError, RecursionError):  # a first line longer than the head
        return re.match(rf'\s*\{{\s*("id"[^,]*,\s*)?"({"|".join(LISTS)})"\s*:\s*\[', first) is not None
    return isinstance(row, dict) and any(isinstance(row.get(name), list) and row[name] for name in LISTS)


def _is_talk(head: str) -> bool:
    lines = [line for line in head.splitlines()[:200] if line.strip()]
    names = [found["who"] for line in lines if (found := _TURN.fullmatch(line.strip()))]
    return len(names) >= 4 and len(names) >= 0.8 * len(lines) and 2 <= len(set(names)) <= len(names) / 2


class DialogueFilesSource(LayoutSource):
    """Dialogues in the order of the files and lines."""

    def __init__(self, files: Listing, config: BuildConfig) -> None:
        super().__init__(files, config)
        self._lined, self._plain = _files(files)
        if files.only is not None and not self._lined and not self._plain:  # it is forced to be one
            (self._lined if files.only.lower().endswith(".jsonl") else self._plain).append(files.only)
        self._rows = RowReader(config)

    def items(self) -> Iterator[Record | Rejected]:
        for path in self._lined:
            yield from self._jsonl(path)
        for path in self._plain:
            yield from self._text(path)

    def _text(self, path: str) -> Iterator[Record | Rejected]:
        turns: list[Turn] = []
        first = 1
        for number, line in self.lines(path):
            if isinstance(line, Rejected):
                yield line
            elif not line.strip():
                if turns:
                    yield self._record(f"{path}:{first}", turns, None, path)
                turns = []
            elif found := _TURN.fullmatch(line.strip()):
                first = number if not turns else first
                turns.append((found["who"].strip(), found["words"]))
            elif turns:
                turns[-1] = (turns[-1][0], f"{turns[-1][1]} {line.strip()}")
            else:
                yield self.refuse(
                    path, number, "malformed", f"no NAME: before the words, and no turn to go on with: {line[:60]!r}"
                )
            if len(turns) > MAX_TURNS:
                yield self._record(f"{path}:{first}", turns, None, path)
                turns = []
        if turns:
            yield self._record(f"{path}:{first}", turns, None, path)

    def _jsonl(self, path: str) -> Iterator[Record | Rejected]:
        try:
            for number, row in read_jsonl(resolve(path, self.root)):
                if isinstance(row, RowError):
                    yield self.refuse(path, number, row.reason, row.message)
                    continue
                key = plain(row.get("id")) or f"{path}:{number}"
                listed = next((row[name] for name in LISTS if isinstance(row.get(name), list)), None)
                turns = None if listed is None else _turns(listed)
                if not turns:
                    yield Rejected(
                        key, "record", "malformed", f"line {number}: no list of turns, of texts or of {{speaker, text}}"
                    )
                else:
                    yield self._record(key, turns, row, path)
        except (MediaError, OSError) as error:
            yield Rejected(path, "record", "unreadable", str(error))

    def _record(self, key: str, turns: list[Turn], row: dict[str, Any] | None, path: str) -> Record | Rejected:
        whole = "\n".join(f"{who}: {words}" if who else words for who, words in turns)
        if len(whole) > MAX_TEXT:
            return Rejected(
                key, "record", "too_long", f"a dialogue of {len(whole):,} characters; the limit is {MAX_TEXT:,}"
            )
        try:
            kept = {name: cell for name, cell in (row or {}).items() if name not in LISTS}
            given = self._rows.record(kept, key, source=self.name, split=split_of(path.rpartition("/")[2]))
        except RowError as error:
            return Rejected(key, "record", error.reason, error.message)
        language = plain((row or {}).get("lang")) or plain((row or {}).get("language"))
        who = tuple(dict.fromkeys(name for name, _ in turns if name))
        return Record(
            id=given.id,
            texts=(*given.texts, Text(whole, language, "dialogue")),
            image=given.image,
            audio=given.audio,
            video=given.video,
            labels=(*given.labels, *(Label("speaker", name) for name in who)),
            questions=tuple(_pairs(turns, language)),
            group=given.group,
            split=given.split,
            source=given.source,
            licence=given.licence,
        )


def _turns(listed: list[Any]) -> list[Turn] | None:
    turns: list[Turn] = []
    for place, part in enumerate(listed):
        if isinstance(part, dict):
            words = next((text for name in _SAYS if (text := plain(part.get(name)))), None)
            who = next((text for name in _WHO if (text := plain(part.get(name)))), "")
        else:
            words, who = plain(part), "AB"[place % 2]
        if words is None:
            return None
        turns.append((who, words))
    return turns


def _pairs(turns: list[Turn], language: str | None) -> Iterator[Question]:
    """A turn and the next speaker's answer; what one says in several turns is joined."""
    joined: list[Turn] = []
    for who, words in turns:
        if joined and who and joined[-1][0] == who:
            joined[-1] = (who, f"{joined[-1][1]} {words}")
        else:
            joined.append((who, words))
    for asked, answered in zip(joined[::2], joined[1::2], strict=False):
        yield Question(asked[1], (answered[1],), language)
