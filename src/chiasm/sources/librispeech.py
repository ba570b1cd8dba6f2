"""LibriSpeech: `LibriSpeech/dev-clean/84/121123/84-121123-0000.flac` with `84-121123.trans.txt` (Panayotov et al., ICASSP 2015).

An utterance is a record; its speaker made the sound (`by`) and is the group. The subset is the split (train-*: train, dev-*: validation;
test-clean and test-other keep their names, as they are always reported apart) and a label; SPEAKERS.TXT gives the speaker's sex.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from chiasm.config import BuildConfig
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import Listing, folder_of
from chiasm.types import Label, Media, Record, Rejected, Text

_TRANSCRIPTS = r"\d+-\d+\.trans\.txt"
_SUBSET = re.compile(r"(train|dev|test)-(clean|other)(-\d+)?")
_SOUNDS = (".flac", ".wav", ".ogg", ".opus", ".mp3")


def look(files: Listing) -> Found | None:
    """Files SPEAKER-CHAPTER.trans.txt."""
    found = files.matching(_TRANSCRIPTS)
    if not found:
        return None
    subsets = sorted({subset for path in found if (subset := _subset(path))})
    why = f"{found[0]}{' …' if len(found) > 1 else ''}: transcripts beside their sounds" + (
        f", of {', '.join(subsets)}" if subsets else ""
    )
    return Found("librispeech", why, {"files of transcripts": len(found), "sounds": files.count("audio")})


class LibriSpeechSource(LayoutSource):
    """Utterances in the order of their transcripts."""

    def __init__(self, files: Listing, config: BuildConfig) -> None:
        super().__init__(files, config)
        self._transcripts = files.matching(_TRANSCRIPTS)

    def items(self) -> Iterator[Record | Rejected]:
        for path in self._transcripts:
            for number, line in self.lines(path):
                if isinstance(line, Rejected):
                    yield line
                elif line.strip():
                    name, _, words = line.strip().partition(" ")
                    yield self._record(path, number, name, words.strip())

    def _record(self, path: str, number: int, name: str, words: str) -> Record | Rejected:
        if not words or not re.fullmatch(r"\d+-\d+-\d+", name):
            return self.refuse(path, number, "malformed", f"expected SPEAKER-CHAPTER-NUMBER WORDS, found {name[:80]!r}")
        stem = f"{folder_of(path)}/{name}".lstrip("/")
        sound = next((stem + suffix for suffix in _SOUNDS if stem + suffix in self.files.names), None)
        if sound is None:
            return Rejected(name, "record", "missing", f"{path}: line {number}: no sound {name}.flac beside it")
        speaker, subset = name.partition("-")[0], _subset(path)
        language = "en" if subset else None
        labels = [Label("subset", subset)] if subset else []
        if speaker in self._sexes:
            labels.append(Label("sex", self._sexes[speaker]))
        return Record(
            id=name,
            texts=(Text(words, language, "transcript"),),
            audio=(Media(path=self.take(sound), kind="speech", language=language, by=speaker, text=words),),
            labels=tuple(labels),
            group=f"speaker {speaker}",
            split=None if subset is None else subset if subset.startswith("test") else subset.partition("-")[0],
            source=self.name,
            licence="CC BY 4.0" if subset else None,
        )

    @cached_property
    def _sexes(self) -> dict[str, str]:
        """SPEAKERS.TXT: `14 | F | train-clean-360 | 25.03 | Kristin LeMoine`; comments begin with ";"."""
        found: dict[str, str] = {}
        for path in self.files.matching(r"SPEAKERS\.TXT"):
            for _, line in self.lines(path):
                if isinstance(line, str) and not line.startswith(";"):
                    parts = [part.strip() for part in line.split("|")]
                    if len(parts) >= 3 and parts[1] in ("F", "M"):
                        found[parts[0]] = parts[1]
        return found


def _subset(path: str) -> str | None:
    return next((part for part in path.split("/") if _SUBSET.fullmatch(part)), None)
