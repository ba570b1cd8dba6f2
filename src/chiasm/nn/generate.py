"""Greedy decoding: at each step the likeliest token, for a decoder alone (GPT) or one with a memory (T5, the first Transformer)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from chiasm.nn.cache import Cache
from chiasm.nn.transformer import Transformer
from chiasm.types import Features, Items, Tokens


class Embedder(Protocol):
    def __call__(self, items: Items, dtype: torch.dtype, positions: Tensor | None = None) -> Tokens: ...


@torch.no_grad()
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
    """The tokens that follow each prompt: int64 [B, ≤ length], `end` included and `padding` after it.

    prompt: value int64 [B, N] with at least one valid token a row, padded on either side · head: features [B, D] → logits [B, V] ·
    memory: what an encoder made of the source, one sequence a prompt.
    Each token is read once (nn/cache.py); a row that has ended is read no more. Stops when all have.
    """
    cache = Cache()
    value, valid = prompt.value, prompt.valid
    count = len(value)
    ended = torch.zeros(count, dtype=torch.bool, device=value.device)
    found: list[Tensor] = []
    while len(found) < length and not bool(ended.all()):
        items = Items(value, valid, prompt.owner)
        features = trunk(embed(items, dtype, cache.next_positions(valid)), memory=memory, cache=cache).x
        # Padded on the right, a prompt's last token is not its last place.
        last = (valid * torch.arange(1, valid.shape[1] + 1, device=valid.device)).argmax(1)
        token = head(features[torch.arange(count, device=value.device), last]).argmax(-1)
        found.append(token.masked_fill(ended, padding))
        ended = ended | (token == end)
        value, valid = found[-1][:, None], ~ended[:, None]
    return torch.stack(found, 1) if found else prompt.value.new_zeros(count, 0)


def prompt_of(token: int, like: Items) -> Items:
    """One and the same first token for every sequence."""
    value = torch.full((len(like.value), 1), token, device=like.value.device)
    return Items(value, torch.ones_like(value, dtype=torch.bool), like.owner)
