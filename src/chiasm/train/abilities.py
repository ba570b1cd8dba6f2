"""Which of a model's tasks does what is asked, and what is given as the record that the task reads."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace

from chiasm.batches.conversion import choose, turn_of
from chiasm.declare import TaskConfig
from chiasm.errors import ConfigError
from chiasm.modalities.text import clean_text
from chiasm.train.model import Medium, as_item
from chiasm.types import Media, Question, Record, Text

IN_A_LINE = 6


def find_task(
    tasks: Mapping[str, TaskConfig],
    given: set[str] | None,
    to: str,
    *,
    task: str | None = None,
    language: str | None = None,
    record: Record | None = None,
) -> str:
    """The task that makes `to` of these modalities ({"turns"}: of a dialogue), or of what a record holds where they are None.

    Of several, the one that needs most of what is given; of those, the one that wants exactly `to`.
    Raises ConfigError where none does, or several still.
    """
    if task is not None:
        if task not in tasks:
            near = difflib.get_close_matches(task, tasks, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {abilities(tasks)}"
            raise ConfigError(f"this model has no task {task!r}; {hint}")
        _check_named(task, tasks[task], given, language)
        return task
    if to in ("item", "space"):
        raise ConfigError(f"to={to}: items are found with model.recommend, vectors with model.embed")
    found = {n: t for n, t in tasks.items() if _fits(t, given, to)}
    if given is None and record is not None:
        found = {n: t for n, t in found.items() if choose(record, t, None, wanted=False) is not None}
    if not found:
        said = "a dialogue" if given == {"turns"} else " and ".join(sorted(given or {"that"})) or "nothing"
        raise ConfigError(f"this model cannot make {to} of {said}; it can do {abilities(tasks)}")
    if language is not None:
        found = _speaking(found, to, language)
    rank = {n: (sum(not f.optional for f in t.given), t.wanted.of == to) for n, t in found.items()}
    best = [n for n in found if rank[n] == max(rank.values())]
    if len(best) > 1:
        raise ConfigError(
            f"several tasks make {to} of that: {', '.join(best)}; say which (task=NAME; on the command line --task NAME)"
        )
    return best[0]


def _check_named(name: str, task: TaskConfig, given: set[str] | None, language: str | None) -> None:
    """Nothing that is said is passed over in silence. Raises ConfigError."""
    read = {"text" if f.of == "question" else f.of for f in task.given}
    unread = sorted((given or set()) - read) if given != {"turns"} else []
    if unread:
        raise ConfigError(
            f"the task {name!r} reads {' and '.join(map(str, task.given))}: it has no use for {' and '.join(unread)}"
        )
    if language is not None and task.wanted.language not in (None, language):
        raise ConfigError(f"the task {name!r} writes {task.wanted.language}, not {language}")


def abilities(tasks: Mapping[str, TaskConfig]) -> str:
    """What a model can do, in words: one after the other, or of many, one a line."""
    told = [f"{n} ({' + '.join(map(str, t.given))} → {t.wanted})" for n, t in tasks.items() if t.wanted.of != "space"]
    if len(told) > IN_A_LINE:
        return "".join(f"\n  {one}" for one in told)
    return "; ".join(told) or "nothing but embed"


def record_for(
    task: TaskConfig,
    *,
    id: str = "given",
    text: str | None = None,
    image: Medium | None = None,
    audio: Medium | None = None,
    video: Medium | None = None,
) -> Record:
    """One of each as the record that a task reads: of the kinds that it asks for. Raises MediaError for a path that leads nowhere."""
    kinds = {field.of: field.name for field in task.given}

    def medium(modality: str, value: Medium | None) -> tuple[Media, ...]:
        if value is None:
            return ()
        item = as_item(modality, value)
        assert isinstance(item, Media)
        return (replace(item, kind=kinds.get(modality)),)

    return Record(
        id,
        texts=() if text is None else (Text(clean_text(text), None, kinds.get("text") or "caption"),),
        image=medium("image", image),
        audio=medium("audio", audio),
        video=medium("video", video),
        questions=() if text is None else (Question(clean_text(text), ()),),
    )


def parts_of(record: Record) -> set[str] | None:
    """{"turns"} for a dialogue; None for a record whose fields say what it is."""
    media = (*record.image, *record.audio)
    return {"turns"} if len(record.questions) > 1 or any(turn_of(m) is not None for m in media) else None


def _speaking(found: Mapping[str, TaskConfig], to: str, language: str) -> Mapping[str, TaskConfig]:
    """Those that write in a language, or in whichever they are told."""
    written = {n: t for n, t in found.items() if t.wanted.of in ("text", "audio")}
    spoken = {n: t for n, t in written.items() if t.wanted.language in (language, None)}
    if not spoken:
        known = ", ".join(str(t.wanted.language) for t in written.values()) or "no language that can be chosen"
        raise ConfigError(f"this model makes no {to} of that in {language!r}; it does in {known}")
    return {n: t for n, t in spoken.items() if t.wanted.language == language} or spoken


def _fits(task: TaskConfig, given: set[str] | None, to: str) -> bool:
    """Whether a task makes `to` of these modalities; None: of whatever a record holds."""
    wanted = task.wanted.of
    if wanted in ("space", "item") or (to != wanted and not (to == "text" and wanted in ("answer", "label"))):
        return False
    if given is None:
        return True
    needed = {"text" if f.of == "question" else f.of for f in task.given if not f.optional}
    allowed = {"text" if f.of == "question" else f.of for f in task.given}
    return needed <= given <= allowed
