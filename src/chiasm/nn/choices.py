"""Answers from a closed list (labels, yes or no): decoding that can only write one of them, and the exact probability of each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from chiasm.errors import ConfigError
from chiasm.nn.cache import Cache
from chiasm.nn.choose import Head, Read
from chiasm.nn.linear import weights_kept


class Trie:
    """A Constraint: only tokens that continue some choice, and `end` where one is complete.

    choices: token sequences without the end · size: of the vocabulary · depth: steps that the longest choice takes with its end, the
    length to decode. Raises ConfigError for no choice, an empty one, or a token outside of the vocabulary.
    """

    def __init__(self, choices: Sequence[Sequence[int]], size: int, end: int) -> None:
        _check(choices, end)
        if not all(0 <= token < size for choice in choices for token in (*choice, end)):
            raise ConfigError(f"a choice has a token outside of the vocabulary of {size}")
        self._size, self._end = size, end
        follow: dict[tuple[int, ...], set[int]] = {}
        for choice in choices:
            tokens = (*choice, end)
            for place, token in enumerate(tokens):
                follow.setdefault(tokens[:place], set()).add(token)
        self._follow = {prefix: tuple(sorted(tokens)) for prefix, tokens in follow.items()}
        self.depth = max(map(len, choices)) + 1

    def __call__(self, step: int, group: int, codes: Tensor) -> Tensor:
        rows: list[int] = []
        tokens: list[int] = []
        for row, prefix in enumerate(codes[:, :step, 0].tolist()):
            # A sequence that has ended, or a beam that is none, is not looked at any more.
            following = self._follow.get(tuple(prefix), (self._end,))
            rows += [row] * len(following)
            tokens += following
        mask = torch.zeros(len(codes), self._size, dtype=torch.bool)
        mask[rows, tokens] = True
        return mask.to(codes.device)


def score_choices(
    first: Tensor,
    read: Read,
    cache: Cache,
    head: Head,
    choices: Sequence[Sequence[int]],
    end: int | None,
    *,
    tokens: int = 131072,
) -> Tensor:
    """log-probability of every choice (and the end after it, where there is one) for each row: float32 [B, K].

    first: [B, D] and the cache as in `generate`; the cache is left as it is. A prefix that several choices share is read once, and
    the last token of each never where no end follows. tokens: the most that are held at once over all sequences, which bounds the memory
    (of seven layers of 192 in float32 11 kB each, and twice that while sequences are taken over).
    Raises ConfigError for no choice, an empty one, or a head of several groups.
    """
    _check(choices, end)
    if head.groups != 1:
        raise ConfigError(f"choices are sequences of single tokens; this head has {head.groups} groups")
    full = [tuple(choice) if end is None else (*choice, end) for choice in choices]
    order = sorted(range(len(full)), key=full.__getitem__)
    portion = max(1, tokens // (len(first) * (cache.length + max(map(len, full)))))
    with torch.inference_mode(), weights_kept():
        begin = head.logits(first, ()).log_softmax(-1)
        scores = begin.new_zeros(len(first), len(full))
        for start in range(0, len(order), portion):
            mine = order[start : start + portion]
            scores[:, mine] = _score(begin, read, cache, head, [full[i] for i in mine])
    return scores.clone()


def _score(begin: Tensor, read: Read, cache: Cache, head: Head, choices: list[tuple[int, ...]]) -> Tensor:
    """begin: float32 [B, V], log-probabilities of the first token; choices in lexical order → [B, K]. One pass a level of the tree."""
    B, device = len(begin), begin.device
    scores = begin.new_zeros(B, len(choices))
    rows = torch.arange(B, device=device)[:, None]
    table = begin[:, None]
    nodes: dict[tuple[int, ...], int] = {(): 0}
    fork: Cache | None = None
    for level in range(max(map(len, choices))):
        live = [i for i, choice in enumerate(choices) if len(choice) > level]
        node = torch.tensor([nodes[choices[i][:level]] for i in live], device=device)
        token = torch.tensor([choices[i][level] for i in live], device=device)
        scores[:, live] += table[:, node, token]
        prefixes = [
            prefix for prefix, _ in groupby(choices[i][: level + 1] for i in live if len(choices[i]) > level + 1)
        ]
        if not prefixes:
            break
        parent = torch.tensor([nodes[prefix[:-1]] for prefix in prefixes], device=device)
        index = (rows * len(nodes) + parent).flatten()
        if fork is None:
            fork = cache.fork(index)
        else:
            fork.reorder(index)
        codes = torch.tensor([prefix[-1] for prefix in prefixes], device=device).repeat(B)[:, None]
        table = head.logits(read(codes, fork), ()).log_softmax(-1).view(B, len(prefixes), -1)
        nodes = {prefix: i for i, prefix in enumerate(prefixes)}
    return scores


def _check(choices: Sequence[Sequence[int]], end: int | None) -> None:
    if not choices or not all(len(choice) for choice in choices):
        raise ConfigError("choices must be given, and none of them empty")
    if end is not None and any(end in choice for choice in choices):
        raise ConfigError(f"a choice holds the end, {end}, which is added by itself")
