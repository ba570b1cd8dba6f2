"""Keys and values of what a decoder has read already, so that each new token costs one token's work.

    cache = Cache()
    trunk(prompt, memory=memory, cache=cache)      # any chunk, padded on the left or on the right
    trunk(token, cache=cache)                      # one more token a sequence, as often as wanted
    cache.reorder(index)                           # beam search: sequence i goes on from sequence index[i]
    other = cache.fork(index)                      # the same in a cache of its own
    with cache.branches(tree):                     # one chunk of several continuations, which is forgotten afterwards
        trunk(nodes, cache=cache)

For inference only: the buffers are written in place. On a CPU they are float32 whatever the trunk computes in: a single query in half
precision takes three to five times as long there, 16 sequences of 48 tokens 361 µs against 74.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class Tree:
    """Continuations of a sequence that share their beginnings, as one chunk in which a token sees what is cached, those that lead to
    it, and itself (tree attention: SpecInfer, arXiv 2305.09781, 4.2; Medusa, arXiv 2401.10774, 3.2).

    depth: int64 [N], 0 for a token that follows what is cached · seen: bool [N, N], True where the row's token sees the column's.
    """

    def __init__(self, parents: Sequence[int], device: torch.device | None = None) -> None:
        """parents: of each of N tokens the number of the one before it, which stands before it, or −1."""
        depth: list[int] = []
        seen = torch.eye(len(parents), dtype=torch.bool)
        for node, parent in enumerate(parents):
            if not -1 <= parent < node:
                raise ValueError(f"token {node} of a tree follows {parent}, which must stand before it")
            depth.append(0 if parent < 0 else depth[parent] + 1)
            if parent >= 0:
                seen[node] |= seen[parent]
        self.depth, self.seen = torch.tensor(depth, device=device), seen.to(device)

    def __len__(self) -> int:
        return len(self.depth)


class BlockCache:
    """One block's share. memory: keys, values [B, H, M, d] and validity [B, M] of what cross-attention looks at, once it is known."""

    def __init__(self, owner: Cache) -> None:
        # Weakly: a ring would keep the buffers of a cache that nobody has any more until Python looks for rings, gigabytes of them.
        self._owner = weakref.ref(owner)
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.memory: tuple[Tensor, Tensor, Tensor | None] | None = None

    @property
    def owner(self) -> Cache:
        owner = self._owner()
        if owner is None:
            raise ValueError("the cache of this block is gone: keep it as long as its blocks are used")
        return owner

    def belongs(self, owner: Cache) -> None:
        """From now on it is a block of this cache."""
        self._owner = weakref.ref(owner)

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
        count = k.shape[2]
        start = stop if self.owner.tree is not None else stop - count
        if self.keys is None and start:
            raise ValueError(
                f"this block has not read the {start} tokens before: every chunk of a cache goes through the same blocks"
            )
        if self.owner.tree is not None:
            k, v = k.to(_type(k)), v.to(_type(v))
            if self.keys is None or self.values is None:
                return k, v
            return torch.cat([self.keys[:, :, :start], k], 2), torch.cat([self.values[:, :, :start], v], 2)
        if self.keys is None or self.values is None or stop > self.keys.shape[2]:
            self.keys = _larger(self.keys, k, start, max(stop, self.owner.room))
            self.values = _larger(self.values, v, start, max(stop, self.owner.room))
        self.keys.narrow(2, start, count).copy_(k)
        self.values.narrow(2, start, count).copy_(v)
        if start == 0:
            return k, v
        return self.keys.narrow(2, 0, stop), self.values.narrow(2, 0, stop)


class Cache:
    """What all blocks of one trunk have read so far. Buffers double when they are full, so appending is cheap at any length.

    room: tokens that are expected in all, for which there is room from the start; there may be more.
    length: tokens so far, padding included. tree: the present chunk's, within `branches`.
    """

    def __init__(self, room: int = 0) -> None:
        self.length, self.room = 0, room
        self._blocks: dict[int, BlockCache] = {}
        self._batch: int | None = None
        self._positions: Callable[[], Tensor] | Tensor = torch.zeros(1, 0, dtype=torch.int64)
        # Both only once something was padding: bool [B, room] of all tokens, True for those to come; int64 [B, 1] how many are valid.
        self._valid: Tensor | None = None
        self._count: Tensor | None = None
        self._mask: Tensor | None = None
        self.tree: Tree | None = None

    def __getitem__(self, block: int) -> BlockCache:
        if block not in self._blocks:
            self._blocks[block] = BlockCache(self)
        return self._blocks[block]

    @property
    def valid(self) -> Tensor | None:
        """bool [B, length] of all tokens so far; None where all are valid."""
        return None if self._valid is None else self._valid[:, : self.length]

    @property
    def positions(self) -> Tensor:
        """int64 [1 or B, N]: where the present chunk's tokens stand, the number of valid tokens before each, so that padding moves nothing."""
        if not isinstance(self._positions, Tensor):
            self._positions = self._positions()
        return self._positions

    @property
    def has_memory(self) -> bool:
        return any(block.memory is not None for block in self._blocks.values())

    def mask(self, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores of one query a sequence: [B, 1, 1, length]; None where all are valid. Of a tree of N tokens:
        [1 or B, 1, N, length + N].

        One for all blocks, and for all steps until something is padding again: what is to come is not masked."""
        if self.tree is not None:
            if self._mask is None or self._mask.dtype != dtype:
                before = torch.ones(1, self.length, dtype=torch.bool, device=self.tree.seen.device)
                before = (before if self.valid is None else self.valid)[:, None].expand(-1, len(self.tree), -1)
                seen = torch.cat([before, self.tree.seen.expand(len(before), -1, -1)], 2)
                self._mask = (~seen).to(dtype)[:, None].mul_(torch.finfo(dtype).min / 2)
            return self._mask
        if self._valid is None:
            return None
        if self._mask is None or self._mask.dtype != dtype:
            self._mask = (~self._valid).to(dtype)[:, None, None].mul_(torch.finfo(dtype).min / 2)
        return self._mask.narrow(3, 0, self.length)

    def next_positions(self, valid: Tensor, whole: bool | None = None) -> Tensor:
        """Where the tokens of a next chunk, valid: bool [B, N], will stand: int64 [1 or B, N]. For learned positions, which are added
        before the trunk: `embedder(items, dtype, cache.next_positions(items.valid))`. whole: whether all are valid, where that is known."""
        if self.tree is not None:
            return (self.length if self._count is None else self._count) + self.tree.depth[None]
        dense = self._count is None and (bool(valid.all()) if whole is None else whole)
        return _places(valid, self.length, self._count, dense)

    def extend(self, valid: Tensor, whole: bool) -> None:
        """A chunk of tokens, bool [B, N], begins; the trunk says so before its first block. whole: all of them are valid."""
        if self._batch is not None and self._batch != len(valid):
            raise ValueError(f"the cache holds {self._batch} sequences and is given {len(valid)}")
        if self.tree is not None:
            if not whole or valid.shape[1] != len(self.tree):
                raise ValueError(
                    f"a tree of {len(self.tree)} tokens, all valid, is to be read; there are {valid.shape[1]}"
                )
            self._positions = self.next_positions(valid, whole)
            return
        start, count, self._batch = self.length, self._count, len(valid)
        self.length += valid.shape[1]
        dense = count is None and whole
        self._positions = lambda: _places(valid, start, count, dense)
        if dense:
            return
        count = torch.full((len(valid), 1), start, device=valid.device) if count is None else count
        self._count = count + (valid.shape[1] if whole else valid.sum(1, keepdim=True))
        if self._valid is None or self.length > self._valid.shape[1]:
            before, room = self._valid, max(64, self.room, 2 * self.length)
            self._valid = _empty(valid, (len(valid), room), torch.bool).fill_(True)
            if before is not None:
                self._valid[:, :start] = before[:, :start]
            self._mask = None
        if not whole:
            self._valid[:, start : self.length] = valid
            self._mask = None

    @property
    def chunk(self) -> int:
        """Tokens a sequence that the next step reads: one, or those of the tree."""
        return 1 if self.tree is None else len(self.tree)

    @contextmanager
    def branches(self, tree: Tree) -> Generator[None, None, None]:
        """The one chunk that is read within is a tree after what is cached, the same for all sequences. Nothing of it is kept: the
        keys and values before it are neither moved nor changed."""
        if self.tree is not None:
            raise ValueError("a tree is being read: branches of branches are one larger tree")
        positions, mask = self._positions, self._mask
        self.tree, self._mask = tree, None
        try:
            yield
        finally:
            self.tree, self._positions, self._mask = None, positions, mask

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
            block.belongs(self)

    def fork(self, index: Tensor) -> Cache:
        """A cache of its own in which sequence i goes on from sequence index[i] of this one, int64 [B']."""
        if self.tree is not None:
            raise ValueError("a tree is being read, of which nothing is kept: fork before it or after it")
        other = Cache(self.room)
        other.length, other._batch = self.length, len(index)
        other._valid = None if self._valid is None else self._valid[index]
        other._count = None if self._count is None else self._count[index]
        for number, block in self._blocks.items():
            mine = other[number]
            mine.keys, mine.values = _taken(block.keys, index, self.length), _taken(block.values, index, self.length)
            if block.memory is not None:
                k, v, valid = block.memory
                mine.memory = (k[index], v[index], None if valid is None else valid[index])
        return other


def _places(valid: Tensor, start: int, count: Tensor | None, dense: bool) -> Tensor:
    """Positions of a chunk after `start` tokens, of which `count` [B, 1] are valid (None: all). dense: nothing was or is padding."""
    if dense:
        return torch.arange(start, start + valid.shape[1], device=valid.device)[None]
    return ((start if count is None else count) + valid.cumsum(1) - 1).clamp(min=0)


def held(x: Tensor) -> Tensor:
    """Keys or values [B, H, M, d] as a cache holds them: in its type, those of one head next to each other."""
    return x.to(_type(x)).contiguous()


def _type(x: Tensor) -> torch.dtype:
    return torch.float32 if x.device.type == "cpu" else x.dtype


def _larger(buffer: Tensor | None, new: Tensor, start: int, room: int) -> Tensor:
    """A buffer for at least `room` tokens with the first `start` of the old one in it, which it is twice as long as."""
    B, H, _, d = new.shape
    if buffer is not None:
        room = max(room, 2 * buffer.shape[2])
    larger = _empty(new, (B, H, room, d), _type(new))
    if buffer is not None:
        larger[:, :, :start] = buffer[:, :, :start]
    return larger


def _taken(buffer: Tensor | None, index: Tensor, length: int) -> Tensor | None:
    """Sequences `index` of a buffer [B, H, room, d], in as much room."""
    if buffer is None:
        return None
    taken = _empty(buffer, (len(index), *buffer.shape[1:]), buffer.dtype)
    taken[:, :, :length] = buffer[:, :, :length].index_select(0, index)
    return taken


def _empty(like: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    # An ordinary tensor also within inference mode, so that the cache can be gone on with outside of it.
    with torch.inference_mode(False):
        return torch.empty(shape, dtype=dtype, device=like.device)
