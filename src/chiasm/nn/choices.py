"""Answers from a closed list (labels, yes or no): decoding that can only write one of them, and the exact probability of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from chiasm.errors import ConfigError
from chiasm.nn.cache import Cache, Tree
from chiasm.nn.choose import Head, Read
from chiasm.nn.linear import weights_kept

WIDEST = 256
"""Tokens of one row's tree that are read at once: each is compared with all of them, also with those that it does not see."""


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
    tokens: int = 2048,
) -> Tensor:
    """log-probability of every choice (and the end after it, where there is one) for each row: float32 [B, K].

    first: [B, D] and the cache as in `generate`; the cache is left as it is. Choices are read as a tree: a prefix that several share
    is read once, and the last token of each never where no end follows. tokens: about how many are read at once, of all rows together;
    trees with more are read in portions. Raises ConfigError for no choice, an empty one, or a head of several groups.
    """
    _check(choices, end)
    if head.groups != 1:
        raise ConfigError(f"choices are sequences of single tokens; this head has {head.groups} groups")
    full = [tuple(choice) if end is None else (*choice, end) for choice in choices]
    device, most = first.device, min(WIDEST, tokens // len(first))
    with torch.inference_mode(), weights_kept():
        # Logits of features in float32: in bfloat16 several of the likeliest are equal, and rounding would choose between them.
        begin = head.logits(first.float(), ()).log_softmax(-1)
        scores = begin[:, torch.tensor([choice[0] for choice in full], device=device)]
        for mine, nodes in _portions(full, most):
            tree = Tree([nodes.get(prefix[:-1], -1) for prefix in nodes], device)
            codes = torch.tensor([prefix[-1] for prefix in nodes], device=device).repeat(len(first))[:, None]
            with cache.branches(tree):
                features = read(codes, cache)
            logits = head.logits(features.float(), ()).view(len(first), len(nodes), -1)
            scores[:, mine] += _following(logits, nodes, [full[i] for i in mine])
    return scores.clone()


def _portions(choices: Sequence[tuple[int, ...]], most: int) -> Iterator[tuple[list[int], dict[tuple[int, ...], int]]]:
    """Numbers of choices, and the nodes of their tree: each prefix to be read and its place. `most` nodes, save where one choice has more.

    In lexical order, in which those with the same beginning are neighbours and a prefix stands before what it begins."""
    mine: list[int] = []
    nodes: dict[tuple[int, ...], int] = {}
    for i in sorted(range(len(choices)), key=choices.__getitem__):
        prefixes = [choices[i][:stop] for stop in range(1, len(choices[i]))]
        if mine and len(nodes) + sum(prefix not in nodes for prefix in prefixes) > most:
            yield mine, nodes
            mine, nodes = [], {}
        for prefix in prefixes:
            nodes.setdefault(prefix, len(nodes))
        if prefixes:
            mine.append(i)
    if mine:
        yield mine, nodes


def _following(logits: Tensor, nodes: dict[tuple[int, ...], int], choices: Sequence[tuple[int, ...]]) -> Tensor:
    """log-probability of all tokens of each choice but the first: [B, K]. logits: float32 [B, N, V] of what follows each node."""
    longest = max(map(len, choices)) - 1
    # Beyond the end of a choice any place will do: it is left out of the sum.
    steps = [[(nodes[c[:t]], c[t]) if t < len(c) else (0, 0) for t in range(1, longest + 1)] for c in choices]
    node, token = torch.tensor(steps, device=logits.device).unbind(-1)
    logs = logits[:, node, token] - logits.logsumexp(-1)[:, node]
    counts = torch.tensor([len(c) - 1 for c in choices], device=logits.device)
    counted = torch.arange(longest, device=logits.device) < counts[:, None]
    return logs.masked_fill(~counted, 0).sum(-1)


def _check(choices: Sequence[Sequence[int]], end: int | None) -> None:
    if not choices or not all(len(choice) for choice in choices):
        raise ConfigError("choices must be given, and none of them empty")
    if end is not None and any(end in choice for choice in choices):
        raise ConfigError(f"a choice holds the end, {end}, which is added by itself")
