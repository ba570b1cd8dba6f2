"""Which of a model's tasks does what is asked, and what is given as the record that the task reads."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

from chiasm.batches.conversion import choose, turn_of
from chiasm.declare import RecordField, TaskConfig, Wanted, parse_field
from chiasm.errors import ConfigError
from chiasm.modalities.text import clean_text
from chiasm.train.model import Medium, as_item
from chiasm.types import Media, Question, Record, Text

IN_A_LINE = 6
IN_PYTHON = "in Python only: model.recommend finds items, model.embed gives vectors"
_OPTIONS = {"turns": "record"}
"""Of the command line, where they are not called as what they give."""
_MEANT = {
    **dict.fromkeys(("speech", "sound", "voice", "spoken", "wav"), "audio"),
    **dict.fromkeys(("picture", "photo", "drawing", "png", "jpg"), "image"),
    **dict.fromkeys(("caption", "word", "words", "translation", "transcript", "summary", "txt"), "text"),
    **dict.fromkeys(("class", "category", "name", "tag"), "label"),
    **dict.fromkeys(("segmentation", "segments"), "mask"),
    **dict.fromkeys(("objects", "detection", "box"), "boxes"),
    **dict.fromkeys(("vector", "vectors", "embedding"), "space"),
}
"""What a wanted field is called elsewhere."""
COMPARED = ("text", "image", "audio")
"""Writers whose results have a log-probability as a whole, by which those of several tasks are compared."""


def find_tasks(
    tasks: Mapping[str, TaskConfig],
    given: set[str] | None,
    to: str,
    *,
    task: str | None = None,
    language: str | None = None,
    record: Record | None = None,
) -> tuple[str, ...]:
    """The task that makes `to` of these modalities ({"turns"}: of a dialogue), or of what a record holds where they are None.

    to: a wanted field, `of[:name][.language]`. Of several tasks, the one that needs most of what is given; of those, the one that wants
    exactly `to`. Several names where they are one conversion, learned from several tables: the surest result of theirs is the one.
    Raises ConfigError where none does, or where several want different things, with what to say to have each.
    """
    if task is not None:
        if task not in tasks:
            near = difflib.get_close_matches(task, tasks, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(tasks)}"
            raise ConfigError(f"this model has no task {task!r}; {hint}")
        _check_named(task, tasks[task], given, language)
        return (task,)
    tasks = whole(tasks)
    target = target_of(to, language)
    if target.of in ("item", "space"):
        raise ConfigError(f"to {target.of}: {IN_PYTHON}")
    found = _fitting(tasks, given, target, record)
    if not found:
        raise ConfigError(_lacking(tasks, given, target))
    groups = _foremost(found, given, target)
    if len(groups) > 1:
        ways = "".join(f"\n  {_way(group, found, given, target)}: {_told(group, tasks)}" for group in groups)
        every = ", ".join(name for group in groups for name in group)
        raise ConfigError(f"several tasks make {target.of} from {_said(given)}: {every}; say which with one of{ways}")
    return groups[0]


def whole(tasks: Mapping[str, TaskConfig]) -> Mapping[str, TaskConfig]:
    """Those that are asked for by their own names."""
    return {name: task for name, task in tasks.items() if task.part_of is None}


def target_of(to: str, language: str | None = None) -> RecordField:
    """A wanted field as it is written, `of[:name][.language]`. Raises ConfigError where it is none, or names two languages."""
    try:
        field = parse_field(to)
    except ValueError as error:
        raise ConfigError(f"to: {error}") from None
    assert isinstance(field, RecordField)
    if field.of not in get_args(Wanted):
        near = difflib.get_close_matches(field.of, get_args(Wanted), n=1)
        near = [_MEANT[field.of]] if field.of in _MEANT else near
        hint = (
            f"did you mean {near[0]!r}?"
            if near
            else f"there are {', '.join(get_args(Wanted))}; a label goes by --to label:NAME, a task by --task NAME"
        )
        raise ConfigError(f"to: no field {field.of!r}; {hint}")
    if language is not None and field.language not in (None, language):
        raise ConfigError(f"to={to} is in {field.language}, not in {language}: say one of them")
    return field.model_copy(update={"language": language or field.language, "optional": False})


def are_one(tasks: Sequence[TaskConfig]) -> bool:
    """Whether tasks want the same and their results can be compared, so that the surest can be taken."""
    return len(tasks) == 1 or (len({(str(t.wanted), t.guidance) for t in tasks}) == 1 and all(map(_compared, tasks)))


def _check_named(name: str, task: TaskConfig, given: set[str] | None, language: str | None) -> None:
    """Nothing that is said is passed over in silence. Raises ConfigError."""
    if task.wanted.of in ("space", "item"):
        raise ConfigError(f"the task {name!r} gives {'vectors' if task.wanted.of == 'space' else 'items'}: {IN_PYTHON}")
    unread = sorted((given or set()) - _read(task)) if given != {"turns"} else []
    if unread:
        raise ConfigError(
            f"the task {name!r} reads {' and '.join(map(str, task.given))}: it has no use for {' and '.join(unread)}"
        )
    if language is not None and _language(task) not in (None, language):
        raise ConfigError(f"the task {name!r} writes {_language(task)}, not {language}")


def abilities(tasks: Mapping[str, TaskConfig]) -> str:
    """What a model can do, in words: one after the other, or of many, one a line."""
    told = [_told((n,), tasks) for n, t in whole(tasks).items() if t.wanted.of != "space"]
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


def _lacking(tasks: Mapping[str, TaskConfig], given: set[str] | None, target: RecordField) -> str:
    """Why no task fits, on one line: what the nearest one needs besides or has no use for, and what can be made of the given instead."""
    made = target.model_copy(update={"language": None})
    parts = [f"this model cannot make {made} from {_said(given)}"]
    makers = [n for n, t in tasks.items() if _fits(t, None, target)]
    if given is None:
        parts += [f"the task {n!r} makes it from {_reads(tasks[n])}" for n in makers[:1]]
    else:
        changes = {n: (_needed(tasks[n]) - given, given - _read(tasks[n])) for n in makers}
        if changes:
            nearest = min(changes, key=lambda n: (bool(changes[n][1]), sum(map(len, changes[n]))))
            more, less = (", ".join(f"--{_OPTIONS.get(o, o)}" for o in sorted(named)) for named in changes[nearest])
            todo = " and ".join(f"{what} {named}" for what, named in (("add", more), ("leave out", less)) if named)
            parts.append(f"the task {nearest!r} makes it from {_reads(tasks[nearest])}: {todo}")
        able: dict[str, list[str]] = {}
        for name, task in tasks.items():
            if task.wanted.of not in ("space", "item") and _needed(task) <= given <= _read(task):
                able.setdefault(str(task.wanted), []).append(name)
        listed = ", ".join(f"{wanted} ({', '.join(names)})" for wanted, names in able.items())
        parts.append(f"from {_said(given)} it makes {listed or 'nothing'}")
    return "; ".join([*parts, "`chiasm convert RUN --list` shows all"])


def _reads(task: TaskConfig) -> str:
    return " and ".join(map(str, task.given))


def _said(given: set[str] | None) -> str:
    return "a dialogue" if given == {"turns"} else " and ".join(sorted(given or {"what is given"}))


def _told(names: Sequence[str], tasks: Mapping[str, TaskConfig]) -> str:
    task = tasks[names[0]]
    return f"{', '.join(names)} ({' + '.join(map(str, task.given))} → {task.wanted})"


def _fitting(
    tasks: Mapping[str, TaskConfig], given: set[str] | None, target: RecordField, record: Record | None
) -> Mapping[str, TaskConfig]:
    found = {n: t for n, t in tasks.items() if _fits(t, given, target)}
    if given is None and record is not None:
        found = {n: t for n, t in found.items() if choose(record, t, None, wanted=False) is not None}
    return found


def _foremost(
    found: Mapping[str, TaskConfig], given: set[str] | None, target: RecordField
) -> Sequence[tuple[str, ...]]:
    """Of tasks that fit, those that fit best; together those that are one conversion."""
    if target.language is not None:
        found = _speaking(found, target.of, target.language)
    rank = {n: (sum(not f.optional for f in t.given), t.wanted.of == target.of) for n, t in found.items()}
    groups: dict[object, list[str]] = {}
    for name, task in found.items():
        if rank[name] == max(rank.values()):
            # Nobody says what language the given is in: tasks that differ in it alone are given the same.
            read = frozenset((f.of, f.name) for f in task.given if given is None or _modality(f) in given)
            groups.setdefault((read, str(task.wanted), task.guidance) if _compared(task) else name, []).append(name)
    return [tuple(names) for names in groups.values()]


def _compared(task: TaskConfig) -> bool:
    return task.writer in COMPARED and task.order == "causal"


def _way(group: tuple[str, ...], found: Mapping[str, TaskConfig], given: set[str] | None, target: RecordField) -> str:
    """The shortest option that leaves these tasks alone of those found."""
    wanted = found[group[0]].wanted
    language = wanted.language if wanted.of in ("text", "audio") else None
    for name, spoken in ((None, None), (None, language), (wanted.name, None), (wanted.name, language)):
        asked = RecordField(of=wanted.of, name=name, language=spoken)
        left = {n: t for n, t in found.items() if _fits(t, given, asked)}
        if list(_foremost(left, given, asked)) == [group]:
            return f"--language {spoken}" if asked.of == target.of and name is None else f"--to {asked}"
    return f"--task {group[0]}"


def _speaking(found: Mapping[str, TaskConfig], to: str, language: str) -> Mapping[str, TaskConfig]:
    """Those that write in a language, or in whichever they are told or asked in."""
    written = {n: t for n, t in found.items() if t.wanted.of in ("text", "audio", "answer")}
    spoken = {n: t for n, t in written.items() if _language(t) in (language, None)}
    if not spoken:
        known = ", ".join(sorted({str(_language(t)) for t in written.values()})) or "no language that can be chosen"
        raise ConfigError(f"this model makes no {to} from that in {language!r}; it does in {known}")
    return {n: t for n, t in spoken.items() if t.wanted.language == language} or spoken


def _language(task: TaskConfig) -> str | None:
    """What a task writes in; None: what it is told. An answer is in its question's language."""
    asked = next((f.language for f in task.given if f.of == "question"), None) if task.wanted.of == "answer" else None
    return task.wanted.language or asked


def _fits(task: TaskConfig, given: set[str] | None, target: RecordField) -> bool:
    """Whether a task makes `target`, in whatever language, of these modalities; None: of whatever a record holds."""
    wanted = task.wanted
    words = target.of == "text" and target.name is None and wanted.of in ("answer", "label")
    if wanted.of in ("space", "item") or (target.of != wanted.of and not words):
        return False
    if target.name is not None and target.name != wanted.name:
        return False
    if given is None:
        return True
    return _needed(task) <= given <= _read(task)


def _needed(task: TaskConfig) -> set[str]:
    return {_modality(f) for f in task.given if not f.optional}


def _read(task: TaskConfig) -> set[str]:
    return {_modality(f) for f in task.given}


def _modality(field: RecordField) -> str:
    return "text" if field.of == "question" else field.of
