"""The one loop that decodes step by step, for every output that is written from left to right: words, image and audio codes, boxes.

A prefix-LM: the given tokens see each other, what is written follows causally.

    cache = Cache()
    prefix = trunk(given, cache=cache)                              # a trunk without causality reads the prefix both ways
    read = Reader(trunk, embed, "text")                             # embed(codes [R, G], positions [1 or R, 1]) → [R, D]
    found = generate(last(prefix), read, cache, OneGroup(words), length=32, end=EOS, options=DecodingConfig(kind="sample"))
    text = [tokenizer.decode(row[:n, 0].tolist()) for row, n in zip(found.codes, found.length.tolist())]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from chiasm.config import DecodingConfig
from chiasm.errors import ConfigError
from chiasm.nn.beam import beam_search
from chiasm.nn.cache import Cache
from chiasm.nn.choose import Constraint, Head, Read, allow, draws, guide, log_probability, pick
from chiasm.nn.linear import weights_kept
from chiasm.nn.transformer import Transformer
from chiasm.types import Features, Items, Tokens


class Embedder(Protocol):
    def __call__(self, items: Items, dtype: torch.dtype, positions: Tensor | None = None) -> Tokens: ...


@dataclass(frozen=True, slots=True)
class Generated:
    """What was decoded, for R = B · candidates sequences, those of one row next to each other.

    codes: int64 [R, L, G], L ≤ the length asked for; `padding` after the end · length: int64 [R], steps before the end ·
    score: float32 [R], log-probability of the codes (and the end) as the model has them, with guidance, but before constraint,
    temperature and truncation. Beams: best first; −inf where there are fewer hypotheses than candidates.
    """

    codes: Tensor
    length: Tensor
    score: Tensor


def generate(
    first: Tensor,
    read: Read,
    cache: Cache,
    head: Head,
    length: int,
    end: int | None,
    options: DecodingConfig | None = None,
    *,
    constraint: Constraint | None = None,
    rows: Sequence[int] | None = None,
    padding: int = 0,
    stream: Callable[[Tensor], None] | None = None,
) -> Generated:
    """At most `length` steps after what the cache holds, until every sequence has ended.

    first: [B, D], features of what was read last, from which the first step is predicted · end: the code of group 0 that ends a
    sequence, None where all have the full length; the other groups of that step are not drawn.
    With guidance other than 1, `first` and the cache have 2B sequences: B with the condition, then the same B without it.
    rows: the numbers ≥ 0 by which the rows' random streams are known, 0 … B−1 where None: a row with the same number and seed
    draws the same in any batch. stream: called with each step's codes, int64 [R, G], as they come.
    The cache goes on to the sequences that were decoded; the last step is not read. Raises ConfigError for beams over several
    groups or streamed, ModelError for a constraint that allows nothing.
    """
    options = options or DecodingConfig()
    guided = options.guidance != 1
    if guided and len(first) % 2:
        raise ConfigError(f"guidance needs each sequence with and without its condition, not {len(first)} of them")
    count = len(first) // 2 if guided else len(first)
    numbers = range(count) if rows is None else rows
    if len(numbers) != count:
        raise ConfigError(f"{len(numbers)} row numbers for {count} rows")
    if options.kind == "beam" and (head.groups != 1 or stream is not None):
        raise ConfigError("beam search decodes one code a step and ends with the best: no several groups, no stream")
    with torch.inference_mode(), weights_kept():
        if options.kind == "beam":
            found = beam_search(first, read, cache, head, length, end, options, constraint, padding)
        else:
            found = _write(first, read, cache, head, length, end, options, constraint, numbers, padding, stream)
    # Cloned outside, they are ordinary tensors, fit for training on.
    return Generated(*(part.clone() for part in found))


def _write(
    features: Tensor,
    read: Read,
    cache: Cache,
    head: Head,
    length: int,
    end: int | None,
    options: DecodingConfig,
    constraint: Constraint | None,
    numbers: Sequence[int],
    padding: int,
    stream: Callable[[Tensor], None] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Greedy and sampled: codes, length, score."""
    device, candidates, count = features.device, options.candidates, len(numbers) * options.candidates
    double = options.guidance != 1
    if candidates > 1:
        index = torch.arange(len(features), device=device).repeat_interleave(candidates)
        features = features.index_select(0, index)
        cache.reorder(index)
    groups = head.groups
    uniform = None
    if options.kind == "sample":
        uniform = draws(options.seed, numbers, candidates, length * groups).T.to(
            device if device.type != "mps" else "cpu"
        )
    codes = torch.full((count, length, groups), padding, device=device)
    lengths = torch.full((count,), length, device=device)
    score = torch.zeros(count, device=device)
    alive: Tensor | None = None
    step = 0
    while step < length:
        if step:
            done = codes[:, step - 1]
            features = read(torch.cat([done, done]) if double else done, cache)
        chosen: list[Tensor] = []
        for group in range(groups):
            before = [torch.cat([code, code]) for code in chosen] if double else chosen
            logits = guide(head.logits(features, before), options.guidance)
            allowed = allow(logits, constraint, step, group, codes[:, : step + 1])
            code = pick(allowed, options, None if uniform is None else uniform[step * groups + group])
            gain = log_probability(logits, code)
            if alive is not None:
                code, gain = code.masked_fill(~alive, padding), gain * alive
            score += gain
            codes[:, step, group] = code
            chosen.append(code)
            if group == 0 and end is not None:
                ended = code == end if alive is None else (code == end) & alive
                lengths.masked_fill_(ended, step)
                alive = ~ended if alive is None else alive & ~ended
        step += 1
        if stream is not None:
            stream(codes[:, step - 1].clone())
        if alive is not None and not bool(alive.any()):
            break
    return codes[:, :step], lengths.clamp(max=step), score


class Reader:
    """Read by a trunk: embed, (codes int64 [R, G], positions int64 [1 or R, 1]) → [R, D]; modality: which expert the tokens pass."""

    def __init__(self, trunk: Transformer, embed: Callable[[Tensor, Tensor], Tensor], modality: str) -> None:
        self._trunk, self._embed, self._modality = trunk, embed, modality
        self._valid: Tensor | None = None

    def __call__(self, codes: Tensor, cache: Cache) -> Tensor:
        N = cache.chunk
        shape = (len(codes) // N, N)
        if self._valid is None or self._valid.shape != shape:
            self._valid = torch.ones(shape, dtype=torch.bool, device=codes.device)
        positions = cache.next_positions(self._valid, whole=True)
        if N > 1:
            positions = positions.expand(shape).reshape(-1, 1)
        x = self._embed(codes, positions).view(*shape, -1)
        return self._trunk(Tokens(x, self._valid, ((self._modality, 0, N),)), cache=cache, whole=True).x.flatten(0, 1)


class OneGroup:
    """A Head of one group: words, [R, D] → [R, V]."""

    groups = 1

    def __init__(self, words: Callable[[Tensor], Tensor]) -> None:
        self._words = words

    def logits(self, features: Tensor, chosen: Sequence[Tensor]) -> Tensor:
        return self._words(features).float()


def last(features: Features) -> Tensor:
    """Of each sequence's last valid token, wherever its padding is: [B, D]."""
    x, valid = features.x, features.valid
    place = (valid * torch.arange(1, valid.shape[1] + 1, device=valid.device)).argmax(1)
    return x[torch.arange(len(x), device=x.device), place]


def greedy(
    embed: Embedder,
    trunk: Transformer,
    head: Callable[[Tensor], Tensor],
    prompt: Items,
    length: int,
    end: int,
    *,
    dtype: torch.dtype = torch.float32,
    memory: Features | None = None,
    padding: int = 0,
) -> Tensor:
    """The likeliest tokens that follow each prompt: int64 [B, ≤ length], `end` included and `padding` after it.

    prompt: value int64 [B, N] with at least one valid token a row, padded on either side · head: features [B, D] → logits [B, V] ·
    memory: what an encoder made of the source, one sequence a prompt.
    """
    if length < 1:
        return prompt.value.new_zeros(len(prompt.value), 0)
    cache = Cache(prompt.value.shape[1] + length)

    def words(codes: Tensor, positions: Tensor) -> Tensor:
        return embed(Items(codes, codes >= 0, prompt.owner), dtype, positions).x[:, 0]

    with torch.inference_mode():
        tokens = embed(prompt, dtype, cache.next_positions(prompt.valid))
        first = last(trunk(tokens, memory=memory, cache=cache))
    read = Reader(trunk, words, tokens.segments[0][0])
    return generate(first, read, cache, OneGroup(head), length, end, padding=padding).codes[..., 0]


def prompt_of(token: int, like: Items) -> Items:
    """One and the same first token for every sequence."""
    value = torch.full((len(like.value), 1), token, device=like.value.device)
    return Items(value, torch.ones_like(value, dtype=torch.bool), like.owner)
