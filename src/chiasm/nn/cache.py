"""Keys and values of what a decoder has read already, so that each new token costs one token's work.

    cache = Cache()
    trunk(prompt, memory=memory, cache=cache)      # any chunk, padded on the left or on the right
    trunk(token, cache=cache)                      # one more token a sequence, as often as wanted
    cache.reorder(index)                           # beam search: sequence i goes on from sequence index[i]

For inference only: the buffers are written in place.
"""

from __future__ import annotations

import torch
from torch import Tensor


class BlockCache:
    """One block's share. memory: keys, values [B, H, M, d] and validity [B, M] of what cross-attention looks at, once it is known."""

    def __init__(self, owner: Cache) -> None:
        self.owner = owner
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.memory: tuple[Tensor, Tensor, Tensor | None] | None = None

    @property
    def valid(self) -> Tensor | None:
        """bool [B, M] of all keys up to and with the present chunk; None where all are valid."""
        return self.owner.valid

    @property
    def positions(self) -> Tensor:
        """int64 [1 or B, N] of the present chunk."""
        return self.owner.positions

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The present chunk's [B, H, N, d] → those of all tokens so far, [B, H, M, d]."""
        stop = self.owner.length
        start = stop - k.shape[2]
        self.keys = _room(self.keys, k, start, stop)
        self.values = _room(self.values, v, start, stop)
        self.keys[:, :, start:stop] = k
        self.values[:, :, start:stop] = v
        return self.keys[:, :, :stop], self.values[:, :, :stop]


class Cache:
    """What all blocks of one trunk have read so far. Buffers double when they are full, so appending is cheap at any length.

    length: tokens so far, padding included · positions: int64 [1 or B, N], where the present chunk's tokens stand: the number of
    valid tokens before each, so that padding moves nothing.
    """

    def __init__(self) -> None:
        self.length = 0
        self.positions = torch.zeros(1, 0, dtype=torch.int64)
        self._blocks: dict[int, BlockCache] = {}
        self._valid: Tensor | None = None
        self._dense = True

    def __getitem__(self, block: int) -> BlockCache:
        if block not in self._blocks:
            self._blocks[block] = BlockCache(self)
        return self._blocks[block]

    @property
    def valid(self) -> Tensor | None:
        """bool [B, length] of all tokens so far; None where all are valid."""
        return None if self._dense else self._valid

    @property
    def has_memory(self) -> bool:
        return any(block.memory is not None for block in self._blocks.values())

    def next_positions(self, valid: Tensor) -> Tensor:
        """Where the tokens of a next chunk, valid: bool [B, N], will stand: int64 [1 or B, N]. For learned positions, which are added
        before the trunk: `embedder(items, dtype, cache.next_positions(items.valid))`."""
        if self._dense and bool(valid.all()):
            return torch.arange(self.length, self.length + valid.shape[1], device=valid.device)[None]
        before = 0 if self._valid is None else self._valid.sum(1, keepdim=True)
        return (before + valid.cumsum(1) - 1).clamp(min=0)

    def extend(self, valid: Tensor) -> None:
        """A chunk of tokens, bool [B, N], begins; the trunk says so before its first block."""
        if self._valid is not None and self._valid.shape[0] != valid.shape[0]:
            raise ValueError(f"the cache holds {self._valid.shape[0]} sequences and is given {valid.shape[0]}")
        self.positions = self.next_positions(valid)
        self._dense = self._dense and bool(valid.all())
        self._valid = valid if self._valid is None else torch.cat([self._valid, valid], 1)
        self.length += valid.shape[1]

    def reorder(self, index: Tensor) -> None:
        """Sequence i goes on from sequence index[i], int64 [B']; B' may differ from B, so one prompt can become several beams."""
        if self._valid is not None:
            self._valid = self._valid[index]
        if self.positions.shape[0] > 1:
            self.positions = self.positions[index]
        for block in self._blocks.values():
            if block.keys is not None and block.values is not None:
                block.keys, block.values = block.keys[index], block.values[index]
            if block.memory is not None:
                k, v, valid = block.memory
                block.memory = (k[index], v[index], None if valid is None else valid[index])


def _room(buffer: Tensor | None, new: Tensor, start: int, stop: int) -> Tensor:
    """The buffer, or one of twice the length with the first `start` tokens in it."""
    if buffer is not None and stop <= buffer.shape[2]:
        return buffer
    B, H, _, d = new.shape
    larger = new.new_empty(B, H, max(64, 2 * stop), d)
    if buffer is not None:
        larger[:, :, :start] = buffer[:, :, :start]
    return larger
