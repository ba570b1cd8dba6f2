"""Turns of a dialogue about pictures: how a dialogue may go on, what its questions mean, and the answers.

A dialogue is planned first, with the answer of every yes-or-no question, and then pictures are looked for that fit; so a question
alone tells next to nothing of its answer. "It" is the thing that an answer named last, or that was asked for and is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from chiasm.sources.scene_layout import OPPOSITE, PREDICATES, Relations, Thing, only_one, relate
from chiasm.sources.scene_words import KIND_OF, article, pick

CLASSES = ("animal", "food", "vehicle")
"""What can be asked of a thing: is it …? (Of the fourth kind, thing, everything is one.)"""

FORMS: dict[str, tuple[str, ...]] = {
    "biggest": ("What is the biggest?", "Which picture is the biggest?"),
    "beside": ("What is {word} the {name}?",),
    "there": ("Is there {a}?",),
    "count": ("How many pictures are there?",),
    "turned": ("What is upside-down?",),
    "and_there": ("And {a}?",),
    "beside_it": ("What is {word} it?", "And {word} it?"),
    "is_beside_it": ("Is it {word} the {other}?",),
    "is_size": ("Is it {word}?",),
    "size": ("Is it big or small?",),
    "is_turned": ("Is it upside-down?",),
    "kind": ("What kind of thing is it?",),
    "is_kind": ("Is it {word}?",),
    "others": ("How many others are there?",),
    "again": ("And in this one?", "And now?"),
    "too": ("Is it in this one too?", "Can you see it here as well?"),
    "compare": ("Are there {word} than before?",),
    "count_here": ("How many are there in this one?", "How many are there now?"),
    "both": ("How many are there in both?",),
    "kept": ("What is in both?",),
}
"""How each kind of turn is asked."""

OPENERS = ("biggest", "beside", "there", "count", "turned")
FRESH = ("again", "too", "compare", "count_here", "both", "kept")
"""What is asked when another picture comes."""

_WORDS: dict[str, tuple[str, ...]] = {
    "beside": PREDICATES, "beside_it": PREDICATES, "is_beside_it": PREDICATES, "is_size": ("big", "small"),
    "is_kind": CLASSES, "compare": ("more", "fewer"),
}  # fmt: skip
_REPEATABLE = ("biggest", "there", "and_there", "count", "turned", "is_size", "size", "is_turned")
"""After these, "and in this one?" asks the same of another picture."""
_SETTLES = {
    "biggest": "size", "is_size": "size", "size": "size", "turned": "turned", "is_turned": "turned", "kind": "kind", "is_kind": "kind"
}  # fmt: skip
"""What is known of the thing that "it" means once that was answered, so that nobody asks for it again."""
_NAMING = ("biggest", "beside", "turned", "beside_it", "kept")
"""Turns whose answer is a thing."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A turn before there is a picture. true: which of its two answers a question has that has two; word: what it speaks of."""

    kind: str
    true: bool
    word: str = ""


@dataclass(frozen=True, slots=True)
class Meaning:
    """A question without its pronouns: what is asked, of which thing, with which word, against which other thing."""

    kind: str
    name: str = ""
    word: str = ""
    other: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What is in a picture."""

    things: tuple[Thing, ...]
    relations: Relations

    @classmethod
    def of(cls, things: tuple[Thing, ...]) -> View:
        return cls(things, relate(things))

    @property
    def names(self) -> list[str]:
        return [thing.name for thing in self.things]


def plan(rng: np.random.Generator, turns: int, fresh: int | None) -> tuple[Planned, ...]:
    """A dialogue of so many turns; with the turn number `fresh`, if any, another picture comes."""
    planned: list[Planned] = []
    state = _State()
    for number in range(turns):
        kinds = OPENERS if number == 0 else _fresh(state) if number == fresh else _follow_ups(state)
        used = {turn.kind for turn in planned} - {"and_there"}
        kind = pick(rng, [kind for kind in kinds if kind not in used] or [kind for kind in OPENERS if kind not in used])
        turn = Planned(kind, bool(rng.random() < 0.5), pick(rng, _WORDS.get(kind, ("",))))
        planned.append(turn)
        state = state.after(turn)
    return tuple(planned)


@dataclass(frozen=True, slots=True)
class _State:
    """What a plan knows: whether "it" means something, what is settled of it, whether the things were counted, and the last question."""

    it: bool = False
    settled: frozenset[str] = frozenset()
    counted: bool = False
    last: Planned = Planned("", False)

    def after(self, turn: Planned) -> _State:
        asks = self.last if turn.kind == "again" else turn
        state = replace(self, last=asks)
        if turn.kind in FRESH:
            state = replace(state, settled=self.settled & {"kind"}, counted=turn.kind in ("count_here", "both"))
        if asks.kind in ("there", "and_there", "too"):
            settled = state.settled if asks.kind == "too" else frozenset[str]()
            return replace(state, it=turn.true, settled=settled)
        if asks.kind in _NAMING:
            return replace(state, it=True, settled=frozenset({_SETTLES[asks.kind]} if asks.kind in _SETTLES else ()))
        if asks.kind in ("compare", "count", "count_here", "both"):
            return replace(state, it=False, settled=frozenset(), counted=turn.kind != "compare")
        settled = state.settled | ({_SETTLES[asks.kind]} if asks.kind in _SETTLES else set[str]())
        return replace(state, settled=settled, counted=state.counted or asks.kind == "others")


def _follow_ups(state: _State) -> list[str]:
    kinds = ["and_there"] * (state.last.kind in ("there", "and_there"))
    if state.it:
        kinds += ["beside_it", "is_beside_it"] + ["others"] * (not state.counted)
        open_ = {"size": ("is_size", "size"), "turned": ("is_turned",), "kind": ("kind", "is_kind")}
        kinds += [kind for what, asks in open_.items() if what not in state.settled for kind in asks]
    return kinds or ["biggest", "turned", "beside", "there"]


def _fresh(state: _State) -> list[str]:
    kinds = [*["again"] * 2 * (state.last.kind in _REPEATABLE), *["too"] * 2 * state.it]
    return [*kinds, "compare", "count_here", "both", "kept"]


@dataclass(frozen=True, slots=True)
class Talk:
    """Where a dialogue is. it: what "it" is, or ""; last: the last question; said: things spoken of; told: pairs whose relation is known."""

    it: str = ""
    last: Meaning = Meaning("")
    said: frozenset[str] = frozenset()
    told: frozenset[frozenset[str]] = frozenset()

    def after(self, meaning: Meaning, found: str) -> Talk:
        said = self.said | {meaning.name, found}
        it = self.it
        if meaning.kind in _NAMING:
            it = found
        elif meaning.kind == "there":
            it = meaning.name if found == "yes" else ""
        elif meaning.kind in ("compare", "count", "both"):
            it = ""
        pair = frozenset({meaning.name, meaning.other or found})
        told = self.told | {pair} if meaning.kind in ("beside", "is_beside") else self.told
        return Talk(it, meaning, said, told)

    def another(self) -> Talk:
        """The same with another picture, of which nothing is known."""
        return replace(self, told=frozenset())


def options(
    turn: Planned, talk: Talk, view: View, before: View | None, names: Sequence[str]
) -> list[tuple[Meaning, str]]:
    """What a turn can mean here, with the answer: the planned one, and not known from what was said. names: all objects."""
    found: list[tuple[Meaning, str]] = []
    for meaning in _means(turn, talk, view, names):
        known, said = answer(meaning, view, before), _wanted(turn, meaning)
        if (
            known is not None
            and said in (None, known)
            and frozenset({meaning.name, meaning.other or known}) not in talk.told
        ):
            found.append((meaning, known))
    return found


def _means(turn: Planned, talk: Talk, view: View, names: Sequence[str]) -> list[Meaning]:
    if turn.kind == "again":
        return [talk.last]
    if turn.kind in ("there", "and_there"):
        return [Meaning("there", name) for name in names if name not in talk.said]
    if turn.kind == "too":
        return [Meaning("there", talk.it)]
    if turn.kind in ("beside", "beside_it"):
        anchors = view.names if turn.kind == "beside" else [talk.it]
        return [Meaning("beside", name, word) for name in anchors for word in PREDICATES]
    if turn.kind == "is_beside_it":
        return [Meaning("is_beside", talk.it, turn.word, name) for name in view.names if name != talk.it]
    if turn.kind in ("biggest", "count", "count_here", "turned", "both", "kept", "compare", "others"):
        return [Meaning("count" if turn.kind == "count_here" else turn.kind, word=turn.word)]
    return [Meaning(turn.kind, talk.it, turn.word)]


def _wanted(turn: Planned, meaning: Meaning) -> str | None:
    """The answer that was planned; None for a question that has more than two."""
    if meaning.kind == "size":
        return "big" if turn.true else "small"
    two = meaning.kind in ("there", "compare") or meaning.kind.startswith("is_")
    return yes(turn.true) if two else None


def answer(meaning: Meaning, view: View, before: View | None = None) -> str | None:
    """The answer by what is in the picture, and in the one before it; None where there is none that everybody would give."""
    names, things = view.names, view.things
    count = len(names)
    if meaning.kind in ("there", "count", "biggest", "turned", "others"):
        turned = [thing.name for thing in things if thing.upside_down]
        found = {
            "there": yes(meaning.name in names), "count": str(count), "others": str(count - 1),
            "biggest": next((thing.name for thing in things if thing.big), None), "turned": turned[0] if len(turned) == 1 else None,
        }  # fmt: skip
        return found[meaning.kind]
    if meaning.kind in ("compare", "both", "kept"):
        assert before is not None
        if meaning.kind == "compare":
            return yes(count > len(before.things) if meaning.word == "more" else count < len(before.things))
        kept = [name for name in names if name in before.names]
        return str(count + len(before.things)) if meaning.kind == "both" else kept[0] if len(kept) == 1 else None
    if meaning.kind in ("kind", "is_kind"):
        own = KIND_OF[meaning.name]
        return own if meaning.kind == "kind" else yes(own == meaning.word)
    if meaning.name not in names:
        return None
    return _of_one(meaning, view, names.index(meaning.name))


def _of_one(meaning: Meaning, view: View, at: int) -> str | None:
    """The answer to a question about the thing at that place."""
    thing = view.things[at]
    if meaning.kind == "size":
        return "big" if thing.big else "small"
    if meaning.kind == "is_size":
        return yes(thing.big == (meaning.word == "big"))
    if meaning.kind == "is_turned":
        return yes(thing.upside_down)
    if meaning.kind == "beside":
        found = only_one(view.things, view.relations, meaning.word, at)
        return None if found is None else view.names[found]
    predicate = view.relations.get((at, view.names.index(meaning.other)))
    return yes(predicate == meaning.word) if predicate in (meaning.word, OPPOSITE[meaning.word]) else None


def utterances(names: Sequence[str]) -> list[str]:
    """Every question that a dialogue about these objects can hold, in an order that does not change."""
    found: list[str] = []
    for kind, forms in FORMS.items():
        for form in forms:
            for word in _WORDS.get(kind, ("",)):
                own = names if "{name}" in form or "{a}" in form or "{other}" in form else names[:1]
                found += [say(form, Meaning(kind, name, word, name)) for name in own]
    return list(dict.fromkeys(found))


def say(form: str, meaning: Meaning) -> str:
    word = meaning.word
    if meaning.kind == "is_kind":
        word = word if word == "food" else article(word)
    return form.format(
        word=word, name=meaning.name, other=meaning.other, a=article(meaning.name) if meaning.name else ""
    )


def yes(true: bool) -> str:
    return "yes" if true else "no"
