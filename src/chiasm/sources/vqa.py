"""VQA v2: `v2_OpenEnded_mscoco_val2014_questions.json` and `v2_mscoco_val2014_annotations.json` (Goyal et al., arXiv 1612.00837).

A picture is one record with all its questions. Each has its ten answers, the most frequent first, those of equal count in the order in
which they were given; the questions of the test sets have none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from chiasm.config import BuildConfig
from chiasm.errors import MediaError
from chiasm.sources.json_stream import json_items
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import Listing, name_of, split_of
from chiasm.sources.shelf import Shelf, shelf
from chiasm.types import Media, Question, Record, Rejected

_QUESTIONS = re.compile(
    r"(v2_)?(OpenEnded|MultipleChoice)_(?P<images>[a-z]+)_(?P<set>(train|val|test)[^_]*)_questions\.json", re.IGNORECASE
)
_ANSWERS = re.compile(r"(v2_)?(?P<images>[a-z]+)_(?P<set>(train|val)[^_]*)_annotations\.json", re.IGNORECASE)


def look(files: Listing) -> Found | None:
    """Files of questions of these names."""
    found = [path for path in files.matching(_QUESTIONS.pattern) if '"' in files.head(path, 4096)]
    if not found:
        return None
    answers = files.matching(_ANSWERS.pattern)
    why = f"{found[0]}{' …' if len(found) > 1 else ''} with {len(answers) or 'no'} file{'s' * (len(answers) != 1)} of answers"
    return Found("vqa", why, {"files of questions": len(found), "pictures": files.count("image")})


class VqaSource(LayoutSource):
    """The pictures that are asked about, in the order of the files of questions."""

    def __init__(self, files: Listing, config: BuildConfig) -> None:
        super().__init__(files, config)
        self._asked = files.matching(_QUESTIONS.pattern)
        self._answered = files.matching(_ANSWERS.pattern)

    def items(self) -> Iterator[Record | Rejected]:
        for path in self._asked:
            name = _set_of(_QUESTIONS, path)
            # test-dev2015 and test2015 ask about the same pictures.
            images = re.sub(r"^test-?dev", "test", name)
            with shelf() as store:
                for answers in self._answered:
                    if _set_of(_ANSWERS, answers) == name:
                        yield from self._load(answers, "annotations", store)
                yield from self._load(path, "questions", store)
                for key in store.keys("questions"):
                    yield self._record(name, images, key, store)
                for key in store.keys("annotations", without="asked"):
                    yield Rejected(f"{name}/answers {key}", "record", "missing", f"no question has the id {key}")

    def _load(self, path: str, wanted: str, store: Shelf) -> Iterator[Rejected]:
        number = 0
        try:
            for key, item in json_items(self.files, path):
                if key != wanted:
                    continue
                number += 1
                try:
                    if wanted == "questions":
                        store.put("questions", int(item["image_id"]), [str(item["question_id"]), str(item["question"])])
                        store.put("asked", item["question_id"], True)
                    else:
                        given = [str(answer["answer"]) for answer in item["answers"]]
                        store.put("annotations", item["question_id"], given)
                except (KeyError, TypeError, ValueError) as error:
                    message = (
                        f"item {number}: lacks {error}" if isinstance(error, KeyError) else f"item {number}: {error}"
                    )
                    yield Rejected(f"{path}:{number}", "record", "malformed", message)
        except MediaError as error:
            yield Rejected(f"{path}:after {number}", "record", error.reason, f"{error}; what followed is lost")
        except OSError as error:
            yield Rejected(path, "record", "unreadable", error.strerror or str(error))

    def _record(self, name: str, images: str, key: str, store: Shelf) -> Record | Rejected:
        base = f"COCO_{images}_{int(key):012d}"
        path = next((found for stem in (base, f"{int(key):012d}") if (found := self.files.by_stem.get(stem))), None)
        path = path or self.files.by_stem.get(key)
        if path is None:
            return Rejected(f"{name}/{key}", "record", "missing", f"the picture {base}.jpg is not there")
        questions = [
            Question(asked, _best_first(store.get("annotations", number)), "en")
            for number, asked in store.get("questions", key)
        ]
        return Record(
            id=f"{name}/{key}",
            image=(Media(path=self.take(path)),),
            questions=tuple(questions),
            group=f"coco:{key}",
            split=split_of(name),
            source=self.name,
            licence="CC BY 4.0 (questions and answers)",
        )


def _set_of(pattern: re.Pattern[str], path: str) -> str:
    found = pattern.fullmatch(name_of(path))
    return found["set"].lower() if found else ""


def _best_first(rows: list[Any]) -> tuple[str, ...]:
    """All answers to one question, the most frequent first."""
    answers = [answer for row in rows for answer in row]
    counts, first = Counter(answers), {answer: place for place, answer in reversed(list(enumerate(answers)))}
    return tuple(sorted(answers, key=lambda answer: (-counts[answer], first[answer])))
