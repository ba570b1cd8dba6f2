"""Views of a caption together with what is known of its picture: tags of regions (Oscar) and the scene graph (ERNIE-ViL)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from chiasm.batches.masking import Mask
from chiasm.batches.sequences import TextView, another, as_items, joined, padded, pick, pick_led, texts_of
from chiasm.batches.task import Corpus, Draft
from chiasm.modalities.text import BOS, EOS
from chiasm.types import IGNORE, Record, Text

IS = "is"
"""The predicate of a Relation whose object is an attribute of its subject."""

OBJECT, ATTRIBUTE, RELATION = 1, 2, 3
"""labels["category"] of masked tokens; 0 where nothing is asked."""


@dataclass(frozen=True)
class TaggedCaption(TextView):
    """Words and object tags (Oscar, arXiv 2004.06165, 3): items["text"] is <bos> caption <eos> tags <eos>, segments 0 and 1, masked in both.

    tags: at most so many, the names of the regions' most probable classes, each once · replaced: how often the tags are another record's:
    labels["tags_matched"] int64 [B] says 0, and nothing is predicted there. Needs a view of pictures beside it.
    """

    needs = "a text, regions (a picture with boxes, or data.regions=grid)"

    length: int
    tags: int
    mask: Mask
    replaced: float = 0.5
    language: str | None = None

    def usable(self, corpus: Corpus, position: int) -> bool:
        return _has_regions(corpus, position) and bool(texts_of(corpus.records[position], None, self.language))

    def add(self, draft: Draft) -> None:
        corpus = draft.corpus
        options = [texts_of(corpus.records[row], None, self.language) for row in draft.rows]
        texts = pick_led(draft, "tagged choice", options)
        wanted = draft.draws.uniform("tags replaced", 1)[:, 0] < self.replaced
        others = another(draft, "tags other", lambda _, position: _has_regions(corpus, position), wanted)
        swapped = np.flatnonzero(others >= 0)
        tags = self._tags(corpus, draft.rows)
        matched = np.ones(len(tags), np.int64)
        for index, theirs in zip(swapped, self._tags(corpus, others[swapped]), strict=True):
            if set(theirs) != set(tags[index]):  # of the same tags no one could tell
                tags[index], matched[index] = theirs, 0
        ids = corpus.tokenizer.ids([text.text for text in texts] + [" ".join(names) for names in tags])
        value, segment = joined(ids[: len(texts)], ids[len(texts) :], self.length)
        value, target = self.mask.apply(draft, "tagged mask", value, self.length)
        target[matched == 0] = IGNORE
        draft.items["text"] = as_items(draft, value, [text.language for text in texts], target, segment)
        draft.labels["tags_matched"] = torch.from_numpy(matched)

    def _tags(self, corpus: Corpus, rows: NDArray[np.int64]) -> list[list[str]]:
        """Names of the classes of each record's regions, in the order of the regions."""
        if not len(rows):
            return []
        provider = corpus.regions
        assert provider is not None
        found = [provider.boxes_of(corpus.records[row]) for row in rows]
        boxes = np.zeros((len(rows), max(map(len, found)), 4), np.float32)
        for index, mine in enumerate(found):
            boxes[index, : len(mine)] = mine
        number = provider.describe(corpus.picture(rows), boxes)[1].argmax(-1)
        return [
            list(dict.fromkeys(provider.names[n] for n in mine[: len(real)]))[: self.tags]
            for mine, real in zip(number, found, strict=True)
        ]


def _has_regions(corpus: Corpus, position: int) -> bool:
    provider = corpus.regions
    return provider is not None and corpus.pictured[position] and len(provider.boxes_of(corpus.records[position])) > 0


@dataclass(frozen=True)
class SceneCaption(TextView):
    """Scene graph prediction (ERNIE-ViL, arXiv 2006.16934, 3.2): of the phrases of a caption that name objects (labels of boxes), attributes (objects
    of "is" relations) and relations (other predicates) a share is masked whole, at least one; an attribute only where its object can be read, a
    relation only where both of its objects can. items["text"]; labels["category"] int64 [B, N]: 0 none, 1 object, 2 attribute, 3 relation.

    Captions are English, or of unknown language. A phrase becomes <mask> at 80 %, other tokens at 10 %, and stays at 10 %. Where `length` cuts a
    caption before its first phrase nothing is asked.
    """

    needs = "a scene graph (boxes or relations named in an English caption)"

    length: int
    share: float = 0.3

    def usable(self, corpus: Corpus, position: int) -> bool:
        return bool(_captions(corpus.records[position]))

    def add(self, draft: Draft) -> None:
        options = [_captions(draft.corpus.records[row]) for row in draft.rows]
        chosen = pick(draft, "scene choice", [len(mine) for mine in options])
        texts, found = zip(*(mine[index] for mine, index in zip(options, chosen, strict=True)), strict=True)
        tokens = [row[: self.length - 2] for row in draft.corpus.tokenizer.spans([text.text for text in texts])]
        value = padded([[BOS, *(token for token, _, _ in row), EOS] for row in tokens])
        u = draft.draws.uniform("scene mask", 3 * self.length + 1)
        order, turn, other = u[:, :-1].reshape(len(texts), 3, -1)[:, :, : value.shape[1]].transpose(1, 0, 2)
        category = np.zeros(value.shape, np.int64)
        turn = turn.copy()
        for index, (mine, row) in enumerate(zip(found, tokens, strict=True)):
            for node, columns in _ask(_kept(mine, row), order[index], self.share, u[index, -1]):
                category[index, columns] = node.category
                turn[index, columns] = turn[index, columns[0]]  # a phrase is treated as one
        value, target = Mask().conceal(value, category > 0, turn, other, draft.corpus.facts.vocabulary)
        draft.items["text"] = as_items(draft, value, [text.language for text in texts], target)
        draft.labels["category"] = torch.from_numpy(category)


@dataclass(frozen=True)
class Node:
    """A phrase that names something of the scene graph: characters start … stop of the caption.

    label: of an object · needs: the labels of the objects that an attribute or a relation is asked of
    """

    start: int
    stop: int
    category: int
    label: str = ""
    needs: frozenset[str] = frozenset()


def nodes(record: Record, caption: str) -> list[Node]:
    """The phrases of a caption that name what the record's boxes and relations are, in order; the longest where several overlap.

    A phrase that several relations share needs the objects of all of them, as the caption does not say whose it is.
    """
    labels = dict.fromkeys(box.label for box in record.boxes)
    objects = [Node(*at, OBJECT, label) for label in labels for at in _occurrences(label, caption)]
    named = {node.label for node in objects}
    needs: dict[tuple[int, int, int], frozenset[str]] = {}
    for relation in record.relations:
        is_attribute = relation.predicate == IS
        about = frozenset({relation.subject} if is_attribute else {relation.subject, relation.object})
        if about <= named:
            for at in _occurrences(relation.object if is_attribute else relation.predicate, caption):
                key = (*at, ATTRIBUTE if is_attribute else RELATION)
                needs[key] = needs.get(key, frozenset()) | about
    others = [Node(*key, needs=about) for key, about in needs.items()]
    apart: list[Node] = []
    for node in sorted([*objects, *others], key=lambda n: (n.start - n.stop, n.start)):
        if all(node.stop <= taken.start or taken.stop <= node.start for taken in apart):
            apart.append(node)
    return _askable(sorted(apart, key=lambda node: node.start))


def _askable(found: list[Node]) -> list[Node]:
    """Without the attributes and relations of which an object is not in the caption."""
    named = {node.label for node in found if node.category == OBJECT}
    return [node for node in found if node.needs <= named]


@lru_cache(maxsize=4096)
def _pattern(phrase: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(phrase)}(?:e?s)?(?!\w)", re.IGNORECASE)


def _occurrences(phrase: str, caption: str) -> list[tuple[int, int]]:
    """Where the phrase stands as whole words, in the singular or with an s."""
    if not phrase or phrase.lower() not in caption.lower():  # what most phrases are: not there
        return []
    return [match.span() for match in _pattern(phrase).finditer(caption)]


def _captions(record: Record) -> list[tuple[Text, list[Node]]]:
    """The captions that name anything, with what they name."""
    found = [(text, nodes(record, text.text)) for text in texts_of(record, None, "en")]
    return [(text, named) for text, named in found if named]


def _kept(found: Sequence[Node], tokens: Sequence[tuple[int, int, int]]) -> list[tuple[Node, list[int]]]:
    """The nodes whose tokens are all there, with their columns (column 0 is <bos>)."""
    end = tokens[-1][2] if tokens else 0
    whole = _askable([node for node in found if node.stop <= end])
    return [
        (node, [column for column, (_, a, b) in enumerate(tokens, 1) if a < node.stop and node.start < b])
        for node in whole
    ]


def _ask(
    kept: Sequence[tuple[Node, list[int]]], order: NDArray[np.float64], share: float, u: float
) -> list[tuple[Node, list[int]]]:
    """The nodes that are masked, in drawn order, so long as what they need stays visible."""
    most = max(int(share * len(kept) + u), 1)
    asked: list[tuple[Node, list[int]]] = []
    masked: set[str] = set()
    needed: set[str] = set()
    for node, columns in sorted(kept, key=lambda item: order[item[1][0]]):
        if len(asked) == most:
            break
        if node.label in needed or not masked.isdisjoint(node.needs):
            continue
        asked.append((node, columns))
        needed |= node.needs
        if node.category == OBJECT:
            masked.add(node.label)
    return asked
