"""Every way of decoding against a naive one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from chiasm.config import DecodingConfig, load_config
from chiasm.errors import ConfigError, ModelError
from chiasm.modalities.embed import TextEmbedder
from chiasm.nn.beam import length_penalty
from chiasm.nn.cache import Cache
from chiasm.nn.choices import Trie, score_choices
from chiasm.nn.choose import Cycle, pick, truncate
from chiasm.nn.generate import Generated, OneGroup, Reader, generate, greedy, last, prompt_of
from chiasm.nn.linear import Linear, weights_kept
from chiasm.nn.transformer import make_transformer
from chiasm.types import Features, Items, Tokens

WIDTH, SIZES = 16, (5, 4)


class Model:
    """A prefix-LM over `groups` codes a step. Logits are made steep, so that no test hangs on the last bit."""

    def __init__(self, sizes: Sequence[int], causal: bool = False, positions: str = "rotary") -> None:
        torch.manual_seed(3)
        self.sizes, self.groups, self.causal = sizes, len(sizes), causal
        self.trunk = make_transformer({"given": 2, "code": 2}, width=WIDTH, heads=2, causal=causal, positions=positions)
        self.tables = [torch.randn(size, WIDTH) for size in sizes]
        self.read = Reader(self.trunk, lambda codes, positions: self.embed(codes), "code")
        self.calls: list[int] = []

    def embed(self, codes: Tensor) -> Tensor:
        """[..., G] → [..., D]."""
        return sum((table[codes[..., g]] for g, table in enumerate(self.tables)), torch.zeros(()))

    def logits(self, features: Tensor, chosen: Sequence[Tensor]) -> Tensor:
        for group, code in enumerate(chosen):
            features = features + self.tables[group][code]
        self.calls.append(len(features))
        return features @ self.tables[len(chosen)].T

    @torch.no_grad()
    def prefix(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Cache]:
        cache = Cache()
        return last(self.trunk(Tokens(x, valid, (("given", 0, x.shape[1]),)), cache=cache)), cache

    @torch.no_grad()
    def recomputed(self, x: Tensor, codes: Tensor) -> Tensor:
        """One row without a cache: x [N, D], codes [L, G] → features [L + 1, D] that steps 0 … L are predicted from."""
        count, total = len(x), len(x) + len(codes)
        whole = torch.cat([x, self.embed(codes)])[None]
        allowed = torch.ones(1, total, total, dtype=torch.bool).tril()
        if not self.causal:
            allowed[:, :count, :count] = True
        segments = (("given", 0, count), ("code", count, total))
        tokens = Tokens(whole, torch.ones(1, total, dtype=torch.bool), segments)
        return self.trunk(tokens, allowed=allowed).x[0, count - 1 :]

    def log_probability(self, x: Tensor, codes: Tensor) -> float:
        """Of codes [L, G] after x, [N, D]."""
        features, found = self.recomputed(x, codes), 0.0
        for step, code in enumerate(codes):
            for group in range(self.groups):
                logits = self.logits(features[step : step + 1], [c[None] for c in code[:group]])
                found += float(logits.log_softmax(-1)[0, code[group]])
        return found


def given(rows: int = 3) -> tuple[Tensor, Tensor]:
    """Prefixes of 4, 2, 3 … tokens, padded on the right."""
    x = torch.randn(rows, 4, WIDTH, generator=torch.Generator().manual_seed(5))
    return x, torch.arange(4)[None] < (4 - 2 * torch.arange(rows) % 3)[:, None]


def decode(model: Model, length: int = 6, end: int | None = None, pick: Sequence[int] | None = None, **kw: object) -> Generated:  # fmt: skip
    x, valid = given()
    rows = list(range(len(x))) if pick is None else list(pick)
    first, cache = model.prefix(x[rows], valid[rows])
    options = DecodingConfig(**{k: v for k, v in kw.items() if k in DecodingConfig.model_fields})  # type: ignore[arg-type]
    rest = {k: v for k, v in kw.items() if k not in DecodingConfig.model_fields}
    return generate(first, model.read, cache, model, length, end, options, rows=rows, **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("positions", ["rotary", "relative"])
def test_greedy_equals_recomputation(causal: bool, positions: str) -> None:
    """Tokens and scores of a prefix-LM and of a causal decoder, from the features of the whole sequence at every step."""
    model = Model(SIZES, causal, positions)
    found = decode(model)
    x, valid = given()
    for row in range(len(x)):
        own, codes = x[row, valid[row]], torch.zeros(0, 2, dtype=torch.int64)
        for _ in range(6):
            feature, step = model.recomputed(own, codes)[-1:], []
            for _ in SIZES:
                step.append(model.logits(feature, step).argmax(-1))
            codes = torch.cat([codes, torch.stack(step, 1)])
        assert found.codes[row].tolist() == codes.tolist()
        assert abs(float(found.score[row]) - model.log_probability(own, codes)) < 1e-4
    assert found.length.tolist() == [6, 6, 6] and not found.codes.is_inference()


@pytest.mark.parametrize("causal", [False, True])
@torch.no_grad()
def test_each_steps_features_equal_recomputation(causal: bool) -> None:
    model = Model(SIZES, causal)
    x, valid = given()
    features, cache = model.prefix(x, valid)
    codes = torch.stack([torch.randint(size, (3, 9)) for size in SIZES], -1)
    seen = [features]
    for step in range(9):
        seen.append(model.read(codes[:, step], cache))
    for row in range(3):
        expected = model.recomputed(x[row, valid[row]], codes[row])
        torch.testing.assert_close(torch.stack(seen, 1)[row], expected, atol=1e-5, rtol=0)


def test_after_the_end_comes_padding_and_no_score() -> None:
    model = Model(SIZES)
    full = decode(model)
    end = int(full.codes[0, 2, 0])
    found = decode(model, end=end, padding=1)
    steps = [row.index(end) if end in row else len(row) for row in full.codes[..., 0].tolist()]
    assert found.length.tolist() == steps and steps[0] <= 2
    x, valid = given()
    for row, length in enumerate(steps):
        codes = found.codes[row]
        assert codes[:length].tolist() == full.codes[row, :length].tolist()
        assert (codes[length + 1 :] == 1).all() and (length == len(codes) or codes[length].tolist() == [end, 1])
        own = x[row, valid[row]]
        expected = model.log_probability(own, codes[:length])
        if length < len(codes):
            feature = model.recomputed(own, codes[:length])[-1:]
            expected += float(model.logits(feature, []).log_softmax(-1)[0, end])
        assert abs(float(found.score[row]) - expected) < 1e-4


def test_a_row_draws_the_same_in_any_batch() -> None:
    model = Model(SIZES)
    options = {"kind": "sample", "seed": 7, "temperature": 2.0}
    together = decode(model, **options).codes
    for rows in ([0], [2], [2, 0], [1, 0, 2]):
        assert torch.equal(decode(model, pick=rows, **options).codes, together[rows])
    assert torch.equal(decode(model, length=3, **options).codes, together[:, :3])
    assert not torch.equal(decode(model, **{**options, "seed": 8}).codes, together)
    several = decode(model, candidates=4, **options)
    assert torch.equal(several.codes.view(3, 4, 6, 2)[:, 0], together)
    assert len({str(codes.tolist()) for codes in several.codes[:4]}) > 1
    x, valid = given()
    for i in range(12):
        expected = model.log_probability(x[i // 4, valid[i // 4]], several.codes[i])
        assert abs(float(several.score[i]) - expected) < 1e-4


def test_samples_are_as_frequent_as_probable() -> None:
    logits = torch.tensor([[1.0, 0.0, -1.0, 2.0, -torch.inf]])
    uniform = torch.from_numpy(np.random.default_rng(0).random(20_000))
    for temperature in (0.5, 1.0, 3.0):
        options = DecodingConfig(kind="sample", temperature=temperature)
        counts = torch.bincount(pick(logits.expand(20_000, -1), options, uniform), minlength=5)
        expected = (logits[0] / temperature).softmax(-1)
        assert counts[4] == 0
        assert (
            chisquare(counts[:4].numpy(), (expected[:4].double() / expected[:4].double().sum() * 20_000).numpy()).pvalue
            > 0.01
        )
    edge = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    ends = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]]).expand(2, -1)
    assert pick(ends, DecodingConfig(kind="sample"), edge).tolist() == [1, 2]


@pytest.mark.parametrize("top_k", [1, 20])
@pytest.mark.parametrize("top_p", [0.7, 1.0])
def test_drawn_from_the_likeliest_as_from_all(top_k: int, top_p: float) -> None:
    """Among so many codes that only the likeliest are looked at, with ties at the k-th, the draw is that of the whole vocabulary."""
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(500, 300, generator=generator) * 4).round()
    uniform = torch.rand(500, dtype=torch.float64, generator=generator)
    options = DecodingConfig(kind="sample", temperature=1.5, top_k=top_k, top_p=top_p)
    wide = truncate(logits / 1.5, top_k, top_p).softmax(-1).double().cumsum(-1)
    expected = torch.searchsorted(wide, uniform[:, None] * wide[:, -1:], right=True)[:, 0]
    assert torch.equal(pick(logits, options, uniform), expected)
    assert ((logits / 1.5).topk(top_k).values[:, -1] == (logits / 1.5).topk(top_k + 1).values[:, -1]).any()


@pytest.mark.parametrize("top_k", [None, 1, 3, 50])
@pytest.mark.parametrize("top_p", [0.01, 0.5, 0.9, 1.0])
def test_truncation_by_sorting(top_k: int | None, top_p: float) -> None:
    logits = torch.randn(8, 12, generator=torch.Generator().manual_seed(0)) * 2
    found = truncate(logits, top_k, top_p)
    for row, kept in zip(logits, found, strict=True):
        order = row.argsort(descending=True).tolist()[:top_k]
        share = row[order].softmax(-1).tolist()
        expected: list[int] = []
        for place, token in enumerate(order):
            if sum(share[:place]) < top_p:
                expected.append(token)
        assert sorted(expected) == kept.isfinite().nonzero()[:, 0].tolist()
        assert torch.equal(kept[expected], row[expected])


def test_guidance_by_two_passes() -> None:
    model, scale = Model(SIZES), 2.5
    x, valid = given()
    free = torch.randn(1, 1, WIDTH)
    first, cache = model.prefix(
        torch.cat([x, torch.cat([free, torch.zeros(1, 3, WIDTH)], 1).expand(3, -1, -1)]),
        torch.cat([valid, torch.tensor([[True, False, False, False]]).expand(3, -1)]),
    )
    found = generate(first, model.read, cache, model, 5, None, DecodingConfig(guidance=scale))
    plain = decode(model, length=5)
    assert not torch.equal(found.codes, plain.codes)
    for row in range(3):
        codes, score = torch.zeros(0, 2, dtype=torch.int64), 0.0
        for _ in range(5):
            passes = [model.recomputed(prefix, codes)[-1:] for prefix in (x[row, valid[row]], free[0])]
            step: list[Tensor] = []
            for _ in SIZES:
                c, u = (model.logits(feature, step) for feature in passes)
                logits = u + scale * (c - u)
                step.append(logits.argmax(-1))
                score += float(logits.log_softmax(-1).max())
            codes = torch.cat([codes, torch.stack(step, 1)])
        assert found.codes[row].tolist() == codes.tolist()
        assert abs(float(found.score[row]) - score) < 1e-3
    with pytest.raises(ConfigError, match="with and without"):
        decode(model, guidance=2.0)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_beams_equal_exhaustion(alpha: float) -> None:
    model, length, end = Model((4,)), 4, 3
    words = [w for w in range(4) if w != end]
    every = [c for n in range(length) for c in itertools.product(words, repeat=n)]
    found = decode(model, length, end, kind="beam", beams=4**3, candidates=5, length_penalty=alpha)
    x, valid = given()
    for row in range(3):
        ranked: list[tuple[float, float, list[int]]] = []
        for codes in [*((*c, end) for c in every), *itertools.product(words, repeat=length)]:
            value = model.log_probability(x[row, valid[row]], torch.tensor(codes)[:, None])
            ranked.append((value / length_penalty(len(codes), alpha), value, list(codes)))
        ranked.sort(reverse=True)
        for place, (_, value, codes) in enumerate(ranked[:5]):
            i = row * 5 + place
            own = found.codes[i, : int(found.length[i]) + 1, 0].tolist()
            assert own == codes, (row, place)
            assert abs(float(found.score[i]) - value) < 1e-4


def test_few_beams_find_no_worse_than_greedy_does() -> None:
    model = Model((12,))
    plain, beam = decode(model, 8, 0), decode(model, 8, 0, kind="beam", beams=3, length_penalty=0.0)
    assert (beam.score >= plain.score - 1e-4).all()
    one = decode(model, 8, None, kind="beam", beams=1)
    assert torch.equal(one.codes, decode(model, 8, None).codes)


@pytest.mark.parametrize("side", ["left", "right", "mixed"])
@pytest.mark.parametrize("positions", ["rotary", "relative"])
@pytest.mark.parametrize("causal", [False, True])
def test_choices_are_scored_as_each_read_alone(causal: bool, positions: str, side: str) -> None:
    """Some begin others, some are the same; with and without an end; in any portions; whatever is padding. The cache is as before."""
    model = Model((6,), causal, positions)
    if model.trunk.relative is not None:
        torch.nn.init.normal_(model.trunk.relative.table)
    choices = [[3], [0, 1], [2, 1, 4], [0], [2, 1, 3], [0, 1, 1, 2], [0, 1], [4, 4, 4, 4]]
    x, valid = given()
    if side == "left":
        x, valid = x.flip(1), valid.flip(1)
    elif side == "mixed":
        valid = torch.tensor([[True, False, True, True], [False, True, False, True], [True] * 4])
    for end in (5, None):
        expected = torch.zeros(3, len(choices))
        for row, (place, choice) in itertools.product(range(3), enumerate(choices)):
            codes = torch.tensor(choice if end is None else [*choice, end])[:, None]
            expected[row, place] = model.log_probability(x[row, valid[row]], codes)
        for tokens in (1, 12, 4096):
            first, cache = model.prefix(x, valid)
            found = score_choices(first, model.read, cache, model, choices, end, tokens=tokens)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
            assert cache.length == 4 and not found.is_inference()
            code = torch.tensor([[1], [2], [3]])
            features = model.read(code, cache)
            for row in range(3):
                recomputed = model.recomputed(x[row, valid[row]], code[row : row + 1])[-1]
                torch.testing.assert_close(features[row], recomputed, atol=1e-4, rtol=0)


def test_choices() -> None:
    """Constrained decoding by enough beams finds the likeliest of a closed list."""
    model, end = Model((6,)), 5
    choices = [[0], [0, 1], [2, 1, 4], [2, 1, 3], [3], [0, 1, 1, 2]]
    x, valid = given()
    first, cache = model.prefix(x, valid)
    expected = score_choices(first, model.read, cache, model, choices, end)
    trie = Trie(choices, 6, end)
    assert trie.depth == 5
    for kind in ("greedy", "sample", "beam"):
        result = decode(model, trie.depth, end, kind=kind, constraint=trie, beams=6 if kind == "beam" else 4)
        for row in range(3):
            assert result.codes[row, : int(result.length[row]), 0].tolist() in choices
        if kind == "beam":
            plain = decode(model, trie.depth, end, kind=kind, constraint=trie, beams=6, length_penalty=0.0)
            torch.testing.assert_close(plain.score, expected.amax(1), atol=1e-4, rtol=0)
    first, cache = model.prefix(x, valid)
    without = score_choices(first, model.read, cache, model, [[1], [2]], None)
    torch.testing.assert_close(without, model.logits(first, []).log_softmax(-1)[:, [1, 2]], atol=1e-5, rtol=0)


def test_shared_prefixes_of_choices_are_read_once() -> None:
    model = Model((6,))
    x, valid = given()
    first, cache = model.prefix(x, valid)
    model.calls.clear()
    score_choices(first, model.read, cache, model, [[0, 1], [0, 2], [0, 3, 4]], 5)
    assert model.calls == [3, 15]  # the beginning; 0, 0 1, 0 2, 0 3 and 0 3 4


def test_masks_in_turn() -> None:
    model = Model((6,))
    masks = [torch.tensor([True, True, False, False, False, False]), ~torch.tensor([[True] * 4 + [False] * 2] * 3)]
    for options in ({}, {"kind": "sample", "candidates": 2}, {"kind": "beam", "beams": 3}):
        codes = decode(model, constraint=Cycle(masks), **options).codes[..., 0]
        assert (codes[:, 0::2] < 2).all() and (codes[:, 1::2] >= 4).all()

    def second(step: int, group: int, codes: Tensor) -> Tensor | None:
        """The second code of a step is the first one's."""
        return torch.nn.functional.one_hot(codes[:, step, 0], 4).bool() if group else torch.arange(5)[None] < 4

    codes = decode(Model(SIZES), constraint=second).codes
    assert torch.equal(codes[..., 0], codes[..., 1])
    with pytest.raises(ModelError, match="without any code at step 0"):
        decode(model, constraint=Cycle([torch.zeros(6, dtype=torch.bool)]))
    with pytest.raises(ModelError, match="does not fit"):
        decode(model, constraint=Cycle([torch.ones(5, dtype=torch.bool)]))


def test_what_is_written_is_streamed() -> None:
    model = Model(SIZES)
    seen: list[Tensor] = []
    found = decode(model, stream=seen.append)
    assert torch.equal(torch.stack(seen, 1), found.codes)


def test_what_cannot_be_combined_is_said() -> None:
    for wrong in ("kind=greedy candidates=2", "kind=beam candidates=5", "kind=beam guidance=2"):
        with pytest.raises(ConfigError):
            load_config(DecodingConfig, overrides=wrong.split())
    with pytest.raises(ConfigError, match="one code a step"):
        decode(Model(SIZES), kind="beam")
    with pytest.raises(ConfigError, match="no stream"):
        decode(Model((4,)), kind="beam", stream=print)
    for choices in ([], [[]], [[9]], [[5]]):
        with pytest.raises(ConfigError):
            Trie(choices, 6, 5)
    model = Model(SIZES)
    first, cache = model.prefix(*given())
    with pytest.raises(ConfigError, match="single tokens"):
        score_choices(first, model.read, cache, model, [[1]], None)
    with pytest.raises(ConfigError, match="row numbers"):
        generate(first, model.read, cache, model, 1, None, rows=[0])


@torch.no_grad()
def test_a_cache_is_gone_on_with_after_decoding() -> None:
    """A dialogue's next turn: the codes decoded, the last one not read yet."""
    model = Model(SIZES)
    x, valid = given(1)
    first, cache = model.prefix(x, valid)
    codes = generate(first, model.read, cache, model, 70, None).codes
    features = model.read(codes[:, -1], cache)
    torch.testing.assert_close(features[0], model.recomputed(x[0, valid[0]], codes[0])[-1], atol=1e-4, rtol=0)


def test_words_by_greedy_stop_at_the_end() -> None:
    """As the named systems use it: with a memory, padding after the end, in either precision."""
    torch.manual_seed(0)
    embed = TextEmbedder(20, 12, WIDTH)
    torch.nn.init.normal_(embed.table)
    trunk = make_transformer({"text": 2}, width=WIDTH, heads=2, causal=True, cross=True, memory_width=WIDTH)
    memory = Features(torch.randn(4, 3, WIDTH), torch.ones(4, 3, dtype=torch.bool), (("image", 0, 3),))
    prompt = prompt_of(1, Items(torch.zeros(4, 1), torch.ones(4, 1, dtype=torch.bool), torch.arange(4)))
    for dtype in (torch.float32, torch.bfloat16):
        seen = Features(memory.x.to(dtype), memory.valid, memory.segments)

        def head(x: Tensor) -> Tensor:
            return (x.float() @ embed.table.T).detach()

        found = greedy(embed, trunk, head, prompt, 8, 7, dtype=dtype, memory=seen, padding=19)
        if dtype == torch.bfloat16:
            continue
        for row in range(4):
            ids = [1]
            one = Features(memory.x[row : row + 1], memory.valid[:1], memory.segments)
            while len(ids) < 9 and ids[-1] != 7:
                value = torch.tensor([ids])
                tokens = embed(Items(value, torch.ones_like(value, dtype=torch.bool), torch.zeros(1)), torch.float32)
                ids.append(int(head(trunk(tokens, memory=one).x[:, -1]).argmax()))
            assert found[row].tolist() == (ids[1:] + [19] * 8)[: found.shape[1]]


def test_kept_casts_are_those_of_each_call() -> None:
    torch.manual_seed(0)
    layer, x = Linear(8, 4), torch.randn(3, 8).bfloat16()
    with torch.no_grad():
        expected = layer(x)
        with weights_kept():
            for _ in range(6):
                torch.testing.assert_close(layer(x), expected)
        layer.weight.mul_(2)
        assert not torch.equal(layer(x), expected)


@torch.no_grad()
def test_one_group_of_a_prefix_lm() -> None:
    """The example of nn/generate.py, with a word table."""
    model = Model((9,))
    x, valid = given()
    first, cache = model.prefix(x, valid)
    found = generate(first, model.read, cache, OneGroup(lambda f: f @ model.tables[0].T), 5, None)
    assert torch.equal(found.codes, decode(model, 5).codes)
