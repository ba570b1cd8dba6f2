"""Decoding with the cache gives what the whole sequence gives."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import Tensor

from chiasm.modalities.embed import TextEmbedder
from chiasm.nn.cache import Cache, Tree
from chiasm.nn.transformer import Transformer, make_transformer
from chiasm.types import Features, Items, Tokens

WIDTH = 16
POSITIONS = ["learned", "sinusoidal", "rotary", "relative"]


def decoder(
    positions: str, cross: bool = False, attention: str = "scaled_dot", causal: bool = True
) -> tuple[TextEmbedder, Transformer]:
    torch.manual_seed(0)
    added = positions if positions in ("learned", "sinusoidal") else None
    trunk = make_transformer(
        {"text": 2}, width=WIDTH, heads=2, causal=causal, cross=cross, memory_width=12 if cross else None,
        positions=None if added else positions, attention=attention,
    )  # fmt: skip
    if trunk.relative is not None:
        torch.nn.init.normal_(trunk.relative.table)
    return TextEmbedder(20, 200, WIDTH, positions=added), trunk


def embed(embedder: TextEmbedder, ids: Tensor, valid: Tensor, positions: Tensor | None = None) -> Tokens:
    return embedder(Items(ids, valid, torch.arange(len(ids))), torch.float32, positions)


def in_chunks(
    embedder: TextEmbedder,
    trunk: Transformer,
    ids: Tensor,
    valid: Tensor,
    ends: list[int],
    memory: Features | None = None,
) -> Tensor:
    cache, start, parts = Cache(), 0, []
    for end in ends:
        part = valid[:, start:end]
        tokens = embed(embedder, ids[:, start:end], part, cache.next_positions(part))
        parts.append(trunk(tokens, memory=memory if start == 0 else None, cache=cache).x)
        start = end
    return torch.cat(parts, 1)


@pytest.mark.parametrize("attention", ["scaled_dot", "dot", "additive"])
@pytest.mark.parametrize("positions", POSITIONS)
@torch.no_grad()
def test_one_by_one_and_in_chunks(positions: str, attention: str) -> None:
    """Longer than the first buffer, so that it grows."""
    embedder, trunk = decoder(positions, attention=attention)
    ids = torch.randint(20, (2, 150))
    valid = torch.ones(2, 150, dtype=torch.bool)
    whole = trunk(embed(embedder, ids, valid)).x
    for ends in ([1, *range(2, 151)], [10, 90, 150]):
        torch.testing.assert_close(in_chunks(embedder, trunk, ids, valid, ends), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", ["left", "right", "both", "mixed"])
@pytest.mark.parametrize("positions", POSITIONS)
@torch.no_grad()
def test_padded_prompts_give_what_each_sequence_gives_alone(positions: str, side: str) -> None:
    embedder, trunk = decoder(positions, cross=True)
    right = torch.arange(6)[None] < torch.tensor([6, 2, 4])[:, None]
    both = torch.tensor([[False, True, True, False, False, False]] * 2 + [[True] * 6])
    mixed = torch.stack([right[1], right[1].flip(0), right[0]])
    prompt = {"left": right.flip(1), "right": right, "both": both, "mixed": mixed}[side]
    valid = torch.cat([prompt, torch.ones(3, 5, dtype=torch.bool)], 1)
    ids = torch.randint(20, (3, 11))
    seen = torch.arange(4)[None] < torch.tensor([4, 1, 3])[:, None]
    memory = Features(torch.randn(3, 4, 12), seen, (("image", 0, 4),))
    found = in_chunks(embedder, trunk, ids, valid, [6, 7, 9, 10, 11], memory)
    for row in range(3):
        own, length = ids[row : row + 1, valid[row]], int(valid[row].sum())
        alone = trunk(
            embed(embedder, own, torch.ones(1, length, dtype=torch.bool)),
            memory=Features(memory.x[row : row + 1, seen[row]], seen[row : row + 1, seen[row]], (("image", 0, int(seen[row].sum())),)),
        )  # fmt: skip
        torch.testing.assert_close(found[row, valid[row]], alone.x[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("positions", ["learned", "rotary", "relative"])
@torch.no_grad()
def test_beams_go_on_from_the_sequences_they_are_told_to(positions: str) -> None:
    """Two padded prompts become five beams; each beam is its own sequence afterwards."""
    embedder, trunk = decoder(positions, cross=True)
    prompt, valid = torch.randint(20, (2, 4)), torch.tensor([[True] * 4, [True, True, False, False]])
    memory = Features(torch.randn(2, 3, 12), torch.ones(2, 3, dtype=torch.bool), (("image", 0, 3),))
    cache = Cache()
    trunk(embed(embedder, prompt, valid, cache.next_positions(valid)), memory=memory, cache=cache)
    sequences = [prompt[row, valid[row]].tolist() for row in range(2)]
    owner = [0, 1]
    for index in ([0, 0, 1, 1, 1], [4, 0, 0, 3, 1]):
        cache.reorder(torch.tensor(index))
        sequences, owner = [list(sequences[i]) for i in index], [owner[i] for i in index]
        token, new = torch.randint(20, (5, 1)), torch.ones(5, 1, dtype=torch.bool)
        for sequence, number in zip(sequences, token[:, 0].tolist(), strict=True):
            sequence.append(number)
        found = trunk(embed(embedder, token, new, cache.next_positions(new)), cache=cache).x
        for row, sequence in enumerate(sequences):
            own = Features(memory.x[owner[row]][None], memory.valid[:1], memory.segments)
            tokens = embed(embedder, torch.tensor([sequence]), torch.ones(1, len(sequence), dtype=torch.bool))
            expected = trunk(tokens, memory=own).x[0, -1]
            torch.testing.assert_close(found[row, 0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("positions", ["rotary", "relative"])
@torch.no_grad()
def test_in_half_precision(positions: str) -> None:
    embedder, trunk = decoder(positions)
    ids, valid = torch.randint(20, (2, 12)), torch.ones(2, 12, dtype=torch.bool)
    whole = trunk(embedder(Items(ids, valid, torch.arange(2)), torch.bfloat16)).x
    cache, parts = Cache(), []
    for start in range(12):
        items = Items(ids[:, start : start + 1], valid[:, :1], torch.arange(2))
        parts.append(trunk(embedder(items, torch.bfloat16, cache.next_positions(items.valid)), cache=cache).x)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=0.1, rtol=0.05)


@torch.no_grad()
def test_padding_within_inference_mode_and_on_outside_of_it() -> None:
    embedder, trunk = decoder("rotary")
    ids, valid = torch.randint(20, (2, 4)), torch.tensor([[True] * 4, [False, True, True, True]])
    expected = in_chunks(embedder, trunk, torch.cat([ids, ids], 1), torch.cat([valid, valid], 1), [8])
    cache = Cache()
    with torch.inference_mode():
        trunk(embed(embedder, ids, valid, cache.next_positions(valid)), cache=cache)
    found = trunk(embed(embedder, ids, valid, cache.next_positions(valid)), cache=cache).x
    torch.testing.assert_close(found[valid], expected[:, 4:][valid], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_block_that_has_not_read_what_went_before_is_refused() -> None:
    cache = Cache()
    cache.extend(torch.ones(1, 3, dtype=torch.bool), True)
    k = torch.zeros(1, 2, 3, 4)
    cache[0].append(k, k)
    cache.extend(torch.ones(1, 1, dtype=torch.bool), True)
    with pytest.raises(ValueError, match="same blocks"):
        cache[1].append(k[:, :, :1], k[:, :, :1])


@torch.no_grad()
def test_the_memory_is_projected_once() -> None:
    embedder, trunk = decoder("learned", cross=True)
    calls = []
    trunk.blocks[0].get_submodule("cross.kv").register_forward_hook(lambda *_: calls.append(1))
    memory = Features(torch.randn(1, 3, 12), torch.ones(1, 3, dtype=torch.bool), (("image", 0, 3),))
    one = torch.ones(1, 1, dtype=torch.bool)
    cache = Cache()
    for _ in range(3):
        trunk(embed(embedder, torch.zeros(1, 1, dtype=torch.int64), one), memory=memory, cache=cache)
    assert len(calls) == 1
    with pytest.raises(ValueError, match="memory="):
        trunk(embed(embedder, torch.zeros(1, 1, dtype=torch.int64), one), cache=Cache())


@torch.no_grad()
def test_a_cache_holds_one_batch() -> None:
    embedder, trunk = decoder("learned")
    cache = Cache()
    trunk(embed(embedder, torch.zeros(2, 1, dtype=torch.int64), torch.ones(2, 1, dtype=torch.bool)), cache=cache)
    with pytest.raises(ValueError, match="2 sequences"):
        trunk(embed(embedder, torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, 1, dtype=torch.bool)), cache=cache)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("side", ["none", "left", "right", "mixed"])
@pytest.mark.parametrize("positions", POSITIONS)
@torch.no_grad()
def test_a_tree_gives_what_each_of_its_branches_gives(positions: str, side: str, causal: bool) -> None:
    """Each node against the sequence that leads to it, of one row alone; and the cache goes on as if there had been no tree."""
    embedder, trunk = decoder(positions, cross=True, causal=causal)
    right = torch.arange(6)[None] < torch.tensor([6, 2, 4])[:, None]
    mixed = torch.tensor([[True, False, True, True, False, True], [False, True] * 3, [True] * 6])
    valid = {"none": right | True, "left": right.flip(1), "right": right, "mixed": mixed}[side]
    ids, nodes, parents = torch.randint(20, (3, 6)), torch.randint(20, (3, 7)), [-1, 0, 1, 0, -1, 4, 3]
    seen = torch.arange(4)[None] < torch.tensor([4, 1, 3])[:, None]
    memory = Features(torch.randn(3, 4, 12), seen, (("image", 0, 4),))
    cache, tree, all_valid = Cache(), Tree(parents), torch.ones(3, 7, dtype=torch.bool)
    trunk(embed(embedder, ids, valid, cache.next_positions(valid)), memory=memory, cache=cache)
    with cache.branches(tree):
        places = cache.next_positions(all_valid, whole=True)
        found = trunk(embed(embedder, nodes, all_valid, places), cache=cache, whole=True).x
    assert cache.length == 6 and cache.tree is None
    next_ids, one = torch.randint(20, (3, 1)), torch.ones(3, 1, dtype=torch.bool)
    after = trunk(embed(embedder, next_ids, one, cache.next_positions(one)), cache=cache).x
    for row in range(3):
        own = Features(memory.x[row : row + 1], seen[row : row + 1], memory.segments)
        for place in range(7):
            path = [place]
            while parents[path[0]] >= 0:
                path.insert(0, parents[path[0]])
            expected = alone(embedder, trunk, ids[row, valid[row]], nodes[row, path], own)
            torch.testing.assert_close(found[row, place], expected, atol=1e-5, rtol=0)
        expected = alone(embedder, trunk, ids[row, valid[row]], next_ids[row], own)
        torch.testing.assert_close(after[row, 0], expected, atol=1e-5, rtol=0)


def alone(embedder: TextEmbedder, trunk: Transformer, prefix: Tensor, path: Tensor, memory: Features) -> Tensor:
    """The last one's features [D] of a sequence without padding or cache, a prefix that sees itself as the trunk does."""
    ids, P = torch.cat([prefix, path])[None], len(prefix)
    allowed = torch.ones(1, ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    allowed[:, :P, :P] = True
    tokens = embed(embedder, ids, torch.ones_like(ids, dtype=torch.bool))
    return trunk(tokens, memory=memory, allowed=allowed).x[0, -1]


@torch.no_grad()
def test_what_is_no_tree_is_said() -> None:
    embedder, trunk = decoder("rotary")
    for parents in ([0], [1, -1], [-2]):
        with pytest.raises(ValueError, match="must stand before it"):
            Tree(parents)
    cache, ids = Cache(), torch.zeros(1, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match="a tree of 2 tokens"), cache.branches(Tree([-1, 0])):
        trunk(embed(embedder, ids, torch.ones(1, 3, dtype=torch.bool)), cache=cache)
    assert cache.tree is None and cache.length == 0


@torch.no_grad()
def test_a_prefix_read_both_ways_goes_on_one_by_one() -> None:
    """A prefix-LM on a trunk without causality: its mask for the whole, or the cache."""
    torch.manual_seed(0)
    trunk = make_transformer({"text": 2}, width=WIDTH, heads=2, positions="relative")
    x, valid = torch.randn(2, 6, WIDTH), torch.ones(2, 6, dtype=torch.bool)
    allowed = torch.ones(1, 6, 6, dtype=torch.bool).tril()
    allowed[:, :3, :3] = True
    whole = trunk(Tokens(x, valid, (("text", 0, 6),)), allowed=allowed).x
    cache, parts = Cache(), []
    for start, stop in ((0, 3), (3, 4), (4, 6)):
        tokens = Tokens(x[:, start:stop], valid[:, start:stop], (("text", 0, stop - start),))
        parts.append(trunk(tokens, allowed=allowed[:, start:stop, :stop], cache=cache).x)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)


def test_a_cache_goes_with_its_last_holder() -> None:
    """Its buffers are the largest thing of decoding: they may not wait until Python looks for rings."""
    cache = Cache(4)
    block = cache[0]
    block.owner.extend(torch.ones(1, 2, dtype=torch.bool), True)
    fork = cache.fork(torch.tensor([0, 0]))
    fork.reorder(torch.tensor([1]))
    assert fork[0].owner is fork and block.owner is cache
    gone = [weakref.ref(cache), weakref.ref(fork)]
    enabled = gc.isenabled()
    gc.disable()
    try:
        del cache, fork
        assert [one() for one in gone] == [None, None]
    finally:
        if enabled:
            gc.enable()
    with pytest.raises(ValueError, match="keep it as long as"):
        _ = block.owner
