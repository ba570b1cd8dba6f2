"""MSVD (the Microsoft research video description corpus, Chen and Dolan, ACL 2011), in the forms in which it goes round:

`AllVideoDescriptions.txt` (`mv89psg6zh4_33_46 a bird in a sink …` after lines of comment), `video_corpus.csv`
(VideoID,Start,End,WorkerID,Source,AnnotationTime,Language,Description: in many languages), and `sents_train_lc_nopunc.txt`
(`vid1<tab>caption`) with `youtube_mapping.txt` (`mv89psg6zh4_33_46 vid1`). A clip is a record with all its captions; clips of one video are a
group. Splits: sents_train …, or train_list.txt, val_list.txt and test_list.txt (a clip's name a line).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from chiasm.config import BuildConfig
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import Listing, name_of, split_of
from chiasm.sources.shelf import Shelf, shelf
from chiasm.types import Record, Rejected, Text

_CORPUS = {"videoid", "start", "end", "language", "description"}
_SENTENCES = re.compile(r"sents_(?P<split>train|val|valid|test).*\.txt", re.IGNORECASE)
_LINE = re.compile(r"(?P<clip>\S{11}_\d+_\d+)\s+(?P<words>\S.*)")
_LANGUAGES = {
    "English": "en", "German": "de", "French": "fr", "Spanish": "es", "Italian": "it", "Portuguese": "pt", "Dutch": "nl",
    "Chinese": "zh", "Hindi": "hi", "Romanian": "ro", "Russian": "ru", "Serbian": "sr", "Croatian": "hr", "Slovene": "sl",
    "Macedonian": "mk", "Tamil": "ta", "Turkish": "tr", "Polish": "pl", "Greek": "el", "Arabic": "ar", "Malayalam": "ml",
    "Gujarati": "gu", "Marathi": "mr", "Telugu": "te", "Urdu": "ur", "Indonesian": "id", "Filipino": "fil", "Hungarian": "hu",
    "Czech": "cs", "Slovak": "sk", "Bulgarian": "bg", "Swedish": "sv", "Norwegian": "no", "Finnish": "fi", "Georgian": "ka",
    "Albanian": "sq", "Bosnian": "bs", "Estonian": "et", "Lithuanian": "lt", "Hebrew": "he",
}  # fmt: skip


def look(files: Listing) -> Found | None:
    """One of the three lists of captions."""
    for form, paths in _lists(files):
        told = {"plain": "CLIP caption", "corpus": "the corpus's columns", "tabs": "vid, tab, caption"}[form]
        return Found("msvd", f"{paths[0]} ({told})", {"lists": len(paths), "clips": files.count("video")})
    return None


def _lists(files: Listing) -> Iterator[tuple[str, list[str]]]:
    """What is there, the one with the splits first, then the one with the languages."""
    tabs = [path for path in files.matching(_SENTENCES.pattern) if re.match(r"vid\d+\t", files.head(path, 4096))]
    corpus = [path for path in files.matching(r".*\.csv") if set(files.columns(path)) >= _CORPUS]
    plain = [
        path
        for path in files.matching(r".*Descriptions?\.txt")
        if re.search(rf"^{_LINE.pattern}$", files.head(path), re.MULTILINE)
    ]
    for form, paths in (("tabs", tabs), ("corpus", corpus), ("plain", plain)):
        if paths:
            yield form, paths


class MsvdSource(LayoutSource):
    """Clips in the order of the list."""

    def __init__(self, files: Listing, config: BuildConfig) -> None:
        super().__init__(files, config)
        self._form, self._lists = next(_lists(files), ("plain", []))

    def items(self) -> Iterator[Record | Rejected]:
        with shelf() as store:
            yield from self._splits(store)
            for path in self._lists:
                read = {"tabs": self._tabs, "corpus": self._corpus, "plain": self._plain}[self._form]
                yield from read(path, store)
            for clip in store.keys("caption"):
                yield self._record(clip, store)

    def _record(self, clip: str, store: Shelf) -> Record | Rejected:
        mapped = store.get("clip", clip)
        names = [*mapped, clip]
        path = next((found for name in names if (found := self.files.by_stem.get(name))), None)
        name = names[0]
        if path is None:
            return Rejected(name, "record", "missing", f"the clip {name[:200]} is not there")
        split = store.get("split", clip) or store.get("split", name)
        video = re.fullmatch(r"(?P<video>\S{11})_\d+_\d+", name)
        return Record(
            id=name,
            texts=tuple(Text(words, language) for words, language in store.get("caption", clip)),
            group=video["video"] if video else None,
            split=split[0] if split else None,
            source=self.name,
            **self.medium(path),
        )

    def _splits(self, store: Shelf) -> Iterator[Rejected]:
        for path in self.files.matching(r"(train|val|test)_list\.txt"):
            for _, line in self.lines(path):
                if isinstance(line, Rejected):
                    yield line
                elif line.strip():
                    store.put("split", line.strip(), split_of(name_of(path)))
        for path in self.files.matching(r"youtube_mapping\.txt"):
            for number, line in self.lines(path):
                parts = line.split() if isinstance(line, str) else []
                if isinstance(line, Rejected):
                    yield line
                elif len(parts) == 2:
                    store.put("clip", parts[1], parts[0])
                elif parts:
                    yield self.refuse(path, number, "malformed", "expected CLIP vidN")

    def _tabs(self, path: str, store: Shelf) -> Iterator[Rejected]:
        found = _SENTENCES.fullmatch(name_of(path))
        for number, line in self.lines(path):
            if isinstance(line, Rejected):
                yield line
                continue
            clip, tab, words = line.partition("\t")
            if tab and clip and words.strip():
                store.put("caption", clip, [words.strip(), "en"])
                store.put("split", clip, found["split"].lower() if found else None)
            elif line.strip():
                yield self.refuse(path, number, "malformed", "expected vidN, a tab and a caption")

    def _plain(self, path: str, store: Shelf) -> Iterator[Rejected]:
        for number, line in self.lines(path):
            if isinstance(line, Rejected):
                yield line
            elif line.strip() and not line.lstrip().startswith("#"):
                if found := _LINE.fullmatch(line.strip()):
                    store.put("caption", found["clip"], [found["words"], "en"])
                else:
                    yield self.refuse(path, number, "malformed", "expected YOUTUBEID_start_end and a caption")

    def _corpus(self, path: str, store: Shelf) -> Iterator[Rejected]:
        for number, row in self.rows(path):
            if isinstance(row, Rejected):
                yield row
                continue
            clip = f"{row['videoid']}_{row['start']}_{row['end']}"
            if row["videoid"] and row["description"]:
                store.put("caption", clip, [row["description"], _LANGUAGES.get(row["language"])])
            else:
                yield self.refuse(path, number, "empty", "no video, or no description")
