"""Keys and values of what a decoder has read already, so that each new token costs one token's work.

    cache = Cache()
    trunk(prompt, memory=memory, cache=cache)      # any chunk, padded on the left or on the right
    trunk(token, cache=cache)                      # one more token a sequence, as often as wanted
    cache.reorder(index)                           # beam search: sequence i goes on from sequence index[i]
    other = cache.fork(index)                      # the same in a cache of its own

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
        self._batch: int | None = None
        # Both only once something was padding: bool [B, room] of all tokens, int64 [B, 1] how many of them are valid.
        self._valid: Tensor | None = None
        self._count: Tensor | None = None
        self._mask: Tensor | None = None

    def __getitem__(self, block: int) -> BlockCache:
        if block not in self._blocks:
            self._blocks[block] = BlockCache(self)
        return self._blocks[block]

    @property
    def valid(self) -> Tensor | None:
        """bool [B, length] of all tokens so far; None where all are valid."""
        return None if self._valid is None else self._valid[:, : self.length]

    @property
    def has_memory(self) -> bool:
        return any(block.memory is not None for block in self._blocks.values())

    def mask(self, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores of one query a sequence: [B, 1, 1, length], made once for all blocks; None where all are valid."""
        valid = self.valid
        if valid is None:
            return None
        if self._mask is None or self._mask.dtype != dtype:
            self._mask = (~valid).to(dtype)[:, None, None].mul_(torch.finfo(dtype).min / 2)
        return self._mask

    def next_positions(self, valid: Tensor) -> Tensor:
        """Where the tokens of a next chunk, valid: bool [B, N], will stand: int64 [1 or B, N]. For learned positions, which are added
        before the trunk: `embedder(items, dtype, cache.next_positions(items.valid))`."""
        if self._count is None and bool(valid.all()):
            return torch.arange(self.length, self.length + valid.shape[1], device=valid.device)[None]
        before = self.length if self._count is None else self._count
        return (before + valid.cumsum(1) - 1).clamp(min=0)

    def extend(self, valid: Tensor) -> None:
        """A chunk of tokens, bool [B, N], begins; the trunk says so before its first block."""
        if self._batch is not None and self._batch != len(valid):
            raise ValueError(f"the cache holds {self._batch} sequences and is given {len(valid)}")
        start, self._batch = self.length, len(valid)
        self.positions = self.next_positions(valid)
        self.length += valid.shape[1]
        self._mask = None
        if self._valid is None and bool(valid.all()):
            return
        if self._count is None:
            self._count = torch.full((len(valid), 1), start, device=valid.device)
        if self._valid is None or self.length > self._valid.shape[1]:
            before = self._valid
            self._valid = torch.ones(len(valid), max(64, 2 * self.length), dtype=torch.bool, device=valid.device)
            if before is not None:
                self._valid[:, :start] = before[:, :start]
        self._valid[:, start : self.length] = valid
        self._count = self._count + valid.sum(1, keepdim=True)

    def reorder(self, index: Tensor, start: int = 0) -> None:
        """Sequence i goes on from sequence index[i], int64 [B']; B' may differ from B, so one prompt can become several beams.

        start: the tokens before it, and the memory, are the same in sequences that take each other's place (beams of one prompt), and are
        not moved.
        """
        if start:
            for block in self._blocks.values():
                for buffer in (block.keys, block.values):
                    if buffer is not None:
                        recent = buffer[:, :, start : self.length]
                        recent.copy_(recent.index_select(0, index))
            return
        self.__dict__.update(self.fork(index).__dict__)
        for block in self._blocks.values():
            block.owner = self

    def fork(self, index: Tensor) -> Cache:
        """A cache of its own in which sequence i goes on from sequence index[i] of this one, int64 [B']."""
        other = Cache()
        other.length, other._batch = self.length, len(index)
        other.positions = self.positions if len(self.positions) == 1 else self.positions[index]
        other._valid = None if self._valid is None else self._valid[index]
        other._count = None if self._count is None else self._count[index]
        for number, block in self._blocks.items():
            mine = other[number]
            mine.keys, mine.values = _taken(block.keys, index, self.length), _taken(block.values, index, self.length)
            if block.memory is not None:
                k, v, valid = block.memory
                mine.memory = (k[index], v[index], None if valid is None else valid[index])
        return other


def _room(buffer: Tensor | None, new: Tensor, start: int, stop: int) -> Tensor:
    """The buffer, or one of twice the length with the first `start` tokens in it."""
    if buffer is not None and stop <= buffer.shape[2]:
        return buffer
    B, H, _, d = new.shape
    larger = _empty(new, (B, H, max(64, 2 * stop), d))
    if buffer is not None:
        larger[:, :, :start] = buffer[:, :, :start]
    return larger


def _taken(buffer: Tensor | None, index: Tensor, length: int) -> Tensor | None:
    """Sequences `index` of a buffer [B, H, room, d], in as much room."""
    if buffer is None:
        return None
    taken = _empty(buffer, (len(index), *buffer.shape[1:]))
    taken[:, :, :length] = buffer[:, :, :length].index_select(0, index)
    return taken


def _empty(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    # An ordinary tensor also within inference mode, so that the cache can be gone on with outside of it.
    with torch.inference_mode(False):
        return torch.empty(shape, dtype=like.dtype, device=like.device)
