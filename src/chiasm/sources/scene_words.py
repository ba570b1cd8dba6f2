"""What scenes are said to show: the objects' names, and captions in six languages.

Names come from Unicode CLDR and know neither gender nor article, so the templates of other languages than English do without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from chiasm.sources.scene_layout import PREDICATES, Relations, Thing
from chiasm.types import Text

KINDS: Mapping[str, tuple[str, ...]] = {
    "animal": (
        "cat", "dog", "horse", "cow", "pig", "rabbit", "elephant", "giraffe",
        "penguin", "owl", "duck", "fish", "turtle", "snail", "whale", "crab",
    ),
    "food": (
        "pear", "banana", "strawberry", "pineapple", "carrot", "mushroom", "hamburger", "pizza",
        "taco", "cupcake", "tomato", "eggplant", "croissant", "avocado", "lollipop", "peach",
    ),
    "vehicle": (
        "bus", "bicycle", "automobile", "airplane", "helicopter", "rocket", "sailboat", "tractor",
        "motorcycle", "ship", "ambulance", "locomotive", "canoe", "taxi", "ferry", "speedboat",
    ),
    "thing": (
        "key", "guitar", "bell", "chair", "umbrella", "crown", "anchor", "teapot",
        "candle", "trophy", "house", "tent", "camera", "telescope", "hammer", "violin",
    ),
}  # fmt: skip
OBJECTS = tuple(name for row in zip(*KINDS.values(), strict=True) for name in row)
"""English names of all objects, of the four kinds in turn: any first so many hold each kind as often."""

KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Grammar:
    """A language's templates. {a} and {b} are names, {list} all objects with their attributes, {n} a count.

    counts: of one to four pictures. described: an object that is big or not, upside-down or not.
    single: opens for a scene of one object, and `only` closes it; shown opens for several.
    """

    counts: tuple[str, str, str, str]
    described: Mapping[tuple[bool, bool], str]
    comma: str
    conjunction: str
    shown: tuple[str, ...]
    single: tuple[str, ...]
    only: tuple[str, ...]
    biggest: tuple[str, ...]
    relations: Mapping[str, tuple[str, ...]]
    space: str = " "


ENGLISH = Grammar(
    ("one picture", "two pictures", "three pictures", "four pictures"),
    {
        (True, False): "a big {a}", (False, False): "a small {a}",
        (True, True): "a big upside-down {a}", (False, True): "a small upside-down {a}",
    },
    ", ", " and ",
    ("There are {n}: {list}.", "You can see {n}: {list}.", "Here are {list}."),
    ("There is one picture: {list}.", "One picture is shown: {list}.", "You can see {list}."),
    ("The {a} is the only picture.", "There is nothing but the {a}.", "Beside the {a} there is nothing."),
    ("The {a} is the biggest.", "The biggest picture is the {a}."),
    {
        predicate: (f"The {{a}} is {predicate} the {{b}}.", f"You can see the {{a}} {predicate} the {{b}}.")
        for predicate in PREDICATES
    },
)  # fmt: skip

OTHERS: Mapping[str, Grammar] = {
    "zh": Grammar(
        ("一张图片", "两张图片", "三张图片", "四张图片"),
        {
            (True, False): "大的{a}", (False, False): "小的{a}",
            (True, True): "倒着的大的{a}", (False, True): "倒着的小的{a}",
        },
        "、", "和",
        ("图中有{n}：{list}。", "这里有{list}。", "可以看到{n}：{list}。"),
        ("图中有{n}：{list}。", "这里有{list}。"),
        ("只有{a}。", "除了{a}，没有别的。"),
        ("最大的是{a}。", "{a}最大。"),
        {
            "left of": ("{a}在{b}的左边。", "{b}的左边是{a}。"), "right of": ("{a}在{b}的右边。", "{b}的右边是{a}。"),
            "above": ("{a}在{b}的上面。", "{b}的上面是{a}。"), "below": ("{a}在{b}的下面。", "{b}的下面是{a}。"),
        },
        "",
    ),
    "de": Grammar(
        ("ein Bild", "zwei Bilder", "drei Bilder", "vier Bilder"),
        {
            (True, False): "{a} (groß)", (False, False): "{a} (klein)",
            (True, True): "{a} (groß, kopfüber)", (False, True): "{a} (klein, kopfüber)",
        },
        ", ", " und ",
        ("Zu sehen sind {n}: {list}.", "Hier sind {n}: {list}.", "Das sind {list}."),
        ("Zu sehen ist {n}: {list}.", "Das ist {list}."),
        ("Nur {a} ist zu sehen.", "Außer {a} ist nichts da."),
        ("Am größten ist {a}.", "{a} ist am größten."),
        {
            "left of": ("{a} ist links von {b}.", "Links von {b} ist {a}."),
            "right of": ("{a} ist rechts von {b}.", "Rechts von {b} ist {a}."),
            "above": ("{a} ist über {b}.", "Über {b} ist {a}."), "below": ("{a} ist unter {b}.", "Unter {b} ist {a}."),
        },
    ),
    "fr": Grammar(
        ("une image", "deux images", "trois images", "quatre images"),
        {
            (True, False): "{a} (en grand)", (False, False): "{a} (en petit)",
            (True, True): "{a} (en grand, à l’envers)", (False, True): "{a} (en petit, à l’envers)",
        },
        ", ", " et ",
        ("Il y a {n} : {list}.", "On voit {n} : {list}.", "{n} : {list}."),
        ("Il y a {n} : {list}.", "On voit {n} : {list}."),
        ("Seule image : {a}.", "On ne voit que cela : {a}."),
        ("La plus grande image : {a}.", "En plus grand : {a}."),
        {
            "left of": ("{a} à gauche, {b} à droite.", "À gauche : {a} ; à droite : {b}."),
            "right of": ("{a} à droite, {b} à gauche.", "À droite : {a} ; à gauche : {b}."),
            "above": ("{a} en haut, {b} en bas.", "En haut : {a} ; en bas : {b}."),
            "below": ("{a} en bas, {b} en haut.", "En bas : {a} ; en haut : {b}."),
        },
    ),
    "es": Grammar(
        ("una imagen", "dos imágenes", "tres imágenes", "cuatro imágenes"),
        {
            (True, False): "{a} (en grande)", (False, False): "{a} (en pequeño)",
            (True, True): "{a} (en grande, al revés)", (False, True): "{a} (en pequeño, al revés)",
        },
        ", ", " y ",
        ("Hay {n}: {list}.", "Se ven {n}: {list}.", "{n}: {list}."),
        ("Hay {n}: {list}.", "Se ve {n}: {list}."),
        ("Única imagen: {a}.", "Solo se ve esto: {a}."),
        ("La imagen más grande: {a}.", "En más grande: {a}."),
        {
            "left of": ("{a} a la izquierda, {b} a la derecha.", "A la izquierda: {a}; a la derecha: {b}."),
            "right of": ("{a} a la derecha, {b} a la izquierda.", "A la derecha: {a}; a la izquierda: {b}."),
            "above": ("{a} arriba, {b} abajo.", "Arriba: {a}; abajo: {b}."),
            "below": ("{a} abajo, {b} arriba.", "Abajo: {a}; arriba: {b}."),
        },
    ),
    "ja": Grammar(
        ("一つ", "二つ", "三つ", "四つ"),
        {
            (True, False): "大きい{a}", (False, False): "小さい{a}",
            (True, True): "逆さまの大きい{a}", (False, True): "逆さまの小さい{a}",
        },
        "、", "と",
        ("絵が{n}あります：{list}。", "{list}が見えます。", "ここに{list}があります。"),
        ("絵が{n}あります：{list}。", "{list}が見えます。"),
        ("{a}だけがあります。", "{a}のほかには何もありません。"),
        ("一番大きいのは{a}です。", "{a}が一番大きいです。"),
        {
            "left of": ("{a}は{b}の左にあります。", "{b}の左に{a}があります。"),
            "right of": ("{a}は{b}の右にあります。", "{b}の右に{a}があります。"),
            "above": ("{a}は{b}の上にあります。", "{b}の上に{a}があります。"),
            "below": ("{a}は{b}の下にあります。", "{b}の下に{a}があります。"),
        },
        "",
    ),
}  # fmt: skip
LANGUAGES = ("en", *OTHERS)

Names = Mapping[str, Mapping[str, str]]
"""English name → language → name."""


def captions(rng: np.random.Generator, things: Sequence[Thing], relations: Relations, names: Names) -> tuple[Text, ...]:
    """Two captions in English, one in each other language, of two or three sentences each. Every object is in each with its
    attributes; each sentence that tells a relation tells one, in English with subject, predicate and object in this order.
    """
    said = [
        ("en", _by_relation(rng, things, relations)),
        ("en", _by_list(rng, ENGLISH, things, relations, names, "en")),
    ]
    said += [(code, _by_list(rng, grammar, things, relations, names, code)) for code, grammar in OTHERS.items()]
    return tuple(Text(text, language, "caption") for language, text in said)


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def article(name: str) -> str:
    """ "a cat", "an owl"."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _by_list(
    rng: np.random.Generator, grammar: Grammar, things: Sequence[Thing], relations: Relations, names: Names, code: str
) -> str:
    """All objects first, then one relation, then perhaps the biggest."""
    own = [names[thing.name][code] for thing in things]
    number = grammar.counts[len(things) - 1]
    listed = _listed(grammar, [_describe(grammar, things[i], own[i]) for i in _shuffled(rng, len(things))])
    if len(things) == 1:
        sentences = [pick(rng, grammar.single).format(n=number, list=listed), pick(rng, grammar.only).format(a=own[0])]
    else:
        (i, j), predicate = pick(rng, list(relations.items()))
        told = pick(rng, grammar.relations[predicate]).format(a=own[i], b=own[j])
        sentences = [pick(rng, grammar.shown).format(n=number, list=listed), told]
        if rng.random() < 0.5:
            sentences.append(_biggest(rng, grammar, things, own))
    return grammar.space.join(sentence[:1].upper() + sentence[1:] for sentence in sentences)


def _by_relation(rng: np.random.Generator, things: Sequence[Thing], relations: Relations) -> str:
    """English: one or two relations first, an object with its attributes where it is first named; then what else there is."""
    names = [thing.name for thing in things]
    told: set[int] = set()
    if len(things) == 1:
        listed = _describe(ENGLISH, things[0], names[0])
        first = pick(rng, ("{a} is shown alone.", "Only {a} is shown.", "This is {a}.")).format(a=listed)
        way = "upside-down" if things[0].upside_down else "upright"
        size = "big" if things[0].big else "small"
        second = pick(rng, ("There is one picture.", f"The {names[0]} is {way}.", f"The {names[0]} is {size}."))
        return f"{first[:1].upper()}{first[1:]} {second}"

    def mention(i: int) -> str:
        known = i in told
        told.add(i)
        return f"the {names[i]}" if known else _describe(ENGLISH, things[i], names[i])

    pairs = list(relations)
    order = [pairs[i] for i in _shuffled(rng, len(pairs))]
    chosen = [order[0], max(order, key=lambda pair: len({*pair} - {*order[0]}))]
    sentences: list[str] = []
    for pair in chosen if {*chosen[1]} - {*chosen[0]} else chosen[:1]:
        form = pick(rng, ("{a} is {p} {b}.", "{a} can be seen {p} {b}.", "You can see {a} {p} {b}."))
        a, b = mention(pair[0]), mention(pair[1])
        sentences.append(form.format(a=a, p=relations[pair], b=b))
    rest = [i for i in _shuffled(rng, len(things)) if i not in told]
    if rest:
        listed = _listed(ENGLISH, [mention(i) for i in rest])
        sentences.append(f"There {'is' if len(rest) == 1 else 'are'} also {listed}.")
    if len(sentences) == 1 or (len(sentences) == 2 and rng.random() < 0.5):
        count = f"There are {ENGLISH.counts[len(things) - 1]}."
        sentences.append(pick(rng, (count, _biggest(rng, ENGLISH, things, names))))
    return " ".join(sentence[:1].upper() + sentence[1:] for sentence in sentences)


def _biggest(rng: np.random.Generator, grammar: Grammar, things: Sequence[Thing], own: Sequence[str]) -> str:
    (one,) = [name for thing, name in zip(things, own, strict=True) if thing.big]
    return pick(rng, grammar.biggest).format(a=one)


def _describe(grammar: Grammar, thing: Thing, name: str) -> str:
    return grammar.described[thing.big, thing.upside_down].format(a=name)


def _listed(grammar: Grammar, parts: Sequence[str]) -> str:
    *most, last = parts
    return grammar.comma.join(most) + grammar.conjunction + last if most else last


def _shuffled(rng: np.random.Generator, count: int) -> list[int]:
    return [int(i) for i in rng.permutation(count)]
