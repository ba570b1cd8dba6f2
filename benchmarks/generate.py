"""Decoding with the cache against transformers' GPT2LMHeadModel.generate, with the same weights: CPU-milliseconds a step.

    taskset -c 0 env OMP_NUM_THREADS=1 python benchmarks/generate.py [--rounds 5] [--width 256] [--layers 4] [--batches 1 8 64]

Vocabulary 4096, a prompt of 16 tokens, 64 new ones; greedy, and sampled from the 50 likeliest; and 64 choices of one to six tokens scored,
milliseconds a choice (transformers: all of them, padded, after the prompt's repeated cache). Both in one process, in turn, so that the
machine's other work meets both alike; ratios are those of neighbours in time. transformers: SDPA, its own cache, dynamic or static
(`--cache`; not compiled); chiasm: as a program that decodes more than one batch, so weights are packed once. What both write greedily in
float32 is checked to be the same tokens, and the scores to be the same to 1e-3.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from _measure import cpu_seconds, parser

VOCABULARY, PROMPT, NEW, TOP_K = 4096, 16, 64, 50
_draw = random.Random(0)
CHOICES = [[_draw.randrange(VOCABULARY) for _ in range(_draw.randint(1, 6))] for _ in range(NEW)]

Write = Callable[[Any, str], Any]


def theirs(width: int, layers: int, cache: str) -> Any:
    """GPT-2 with weights large enough that it does not repeat itself."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=PROMPT + NEW, n_embd=width, n_layer=layers, n_head=width // 64,
        initializer_range=width**-0.5, bos_token_id=None, eos_token_id=None, attn_implementation="sdpa",
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    model.generation_config.cache_implementation = cache
    return model


def written_by_theirs(model: Any) -> Write:
    import torch

    def write(prompt: Any, kind: str) -> Any:
        if kind == "choices":
            with torch.inference_mode():
                return _scored_by_theirs(model, prompt)
        sampled = {"do_sample": True, "top_k": TOP_K} if kind == "sample" else {"do_sample": False}
        mask = torch.ones_like(prompt)
        return model.generate(prompt, attention_mask=mask, max_new_tokens=NEW, pad_token_id=0, **sampled)[:, PROMPT:]

    return write


def _scored_by_theirs(model: Any, prompt: Any) -> Any:
    """log-probability of each choice: [B, K]."""
    import torch

    read = model(prompt, use_cache=True)
    cache = read.past_key_values
    cache.batch_repeat_interleave(len(CHOICES))
    longest = max(map(len, CHOICES))
    codes = torch.tensor([choice + [0] * (longest - len(choice)) for choice in CHOICES])
    rest = model(codes[:, :-1].repeat(len(prompt), 1), past_key_values=cache).logits
    first = read.logits[:, -1:].repeat_interleave(len(CHOICES), 0)
    logs = torch.cat([first, rest], 1).float().log_softmax(-1).view(len(prompt), len(CHOICES), longest, -1)
    counted = torch.arange(longest) < torch.tensor([len(choice) for choice in CHOICES])[:, None]
    steps = logs.gather(-1, codes.expand(len(prompt), -1, -1)[..., None])[..., 0]
    return (steps * counted).sum(-1)


def written_by_ours(public: Any, dtype: Any) -> Write:
    """The same weights in a chiasm trunk."""
    import torch

    from chiasm.config import DecodingConfig
    from chiasm.heads.tokens import tied_words
    from chiasm.modalities.embed import TextEmbedder
    from chiasm.nn.cache import Cache
    from chiasm.nn.choices import score_choices
    from chiasm.nn.generate import OneGroup, Reader, generate, last
    from chiasm.nn.transformer import make_transformer
    from chiasm.types import Items

    config = public.config
    embed = TextEmbedder(VOCABULARY, PROMPT + NEW, config.n_embd)
    trunk = make_transformer(
        {"text": config.n_layer}, width=config.n_embd, heads=config.n_head, activation="gelu_tanh", causal=True
    )
    pairs = [(embed.table, public.transformer.wte.weight), (embed.positions, public.transformer.wpe.weight)]
    pairs += _both(trunk.norm, public.transformer.ln_f)
    for block, other in zip(trunk.blocks, public.transformer.h, strict=True):
        expert = block.get_submodule("experts.text")
        pairs += _both(block.get_submodule("attention_norm"), other.ln_1)
        pairs += _both(block.get_submodule("expert_norms.text"), other.ln_2)
        pairs += _both(block.get_submodule("attention.qkv"), other.attn.c_attn)
        pairs += _both(block.get_submodule("attention.out"), other.attn.c_proj)
        pairs += _both(expert.get_submodule("inner"), other.mlp.c_fc)
        pairs += _both(expert.get_submodule("outer"), other.mlp.c_proj)
    with torch.no_grad():
        for mine, other in pairs:
            mine.copy_(other)
    options = {kind: DecodingConfig(kind=kind, top_k=TOP_K) for kind in ("greedy", "sample")}

    def words(codes: Any, positions: Any) -> Any:
        return embed(Items(codes, codes >= 0, codes[:, 0]), dtype, positions).x[:, 0]

    def write(prompt: Any, kind: str) -> Any:
        cache = Cache(PROMPT + NEW)
        items = Items(prompt, torch.ones_like(prompt, dtype=torch.bool), torch.arange(len(prompt)))
        with torch.inference_mode():
            first = last(trunk(embed(items, dtype), cache=cache))
        head = OneGroup(lambda x: tied_words(x, embed.table))
        read = Reader(trunk, words, "text")
        if kind == "choices":
            return score_choices(first, read, cache, head, CHOICES, None)
        return generate(first, read, cache, head, NEW, None, options[kind]).codes[..., 0]

    return write


def _both(mine: Any, other: Any) -> list[tuple[Any, Any]]:
    # GPT-2 keeps its matrices [in, out].
    return [(mine.weight, other.weight.T), (mine.bias, other.bias)]


def measure(width: int, layers: int, batches: list[int], rounds: int, cache: str) -> dict[str, dict[str, list[float]]]:
    import torch

    from chiasm.nn.linear import weights_kept

    found: dict[str, dict[str, list[float]]] = {}
    for precision in ("float32", "bfloat16"):
        public = theirs(width, layers, cache)
        dtype = getattr(torch, precision)
        ours = written_by_ours(public, dtype)
        writers = {"chiasm": ours, "transformers": written_by_theirs(public.to(dtype))}
        for batch in batches:
            prompt = torch.randint(VOCABULARY, (batch, PROMPT), generator=torch.Generator().manual_seed(0))
            for kind in ("greedy", "sample", "choices"):
                name = f"{kind:7s} {precision:8s} batch {batch:2d}"
                with weights_kept():
                    found[name] = _in_turn(writers, prompt, kind, rounds, precision == "float32")
                _show(name, found[name])
    return found


def _in_turn(writers: dict[str, Write], prompt: Any, kind: str, rounds: int, equal: bool) -> dict[str, list[float]]:
    # Also the warming up of both.
    first = {name: write(prompt, kind) for name, write in writers.items()}
    if any(made.shape != (len(prompt), NEW) for made in first.values()):
        raise SystemExit("not as many new tokens, or scores, as asked for")
    mine, other = first["chiasm"], first["transformers"]
    same = mine.allclose(other, rtol=0, atol=1e-3) if kind == "choices" else kind == "sample" or mine.equal(other)
    if equal and not same:
        raise SystemExit(f"batch {len(prompt)}: the same weights do not give the same {kind}")
    repeat = max(1, 4 // len(prompt))
    figures: dict[str, list[float]] = {name: [] for name in writers}
    for _ in range(rounds):
        for name, write in writers.items():
            seconds = cpu_seconds(lambda write=write: [write(prompt, kind) for _ in range(repeat)])
            figures[name].append(seconds / repeat / NEW * 1e3)
    return figures


def _show(name: str, figures: dict[str, list[float]]) -> None:
    ratios = [b / a for a, b in zip(figures["chiasm"], figures["transformers"], strict=True)]
    best = {who: min(values) for who, values in figures.items()}
    print(
        f"{name}   chiasm {best['chiasm']:6.2f}   transformers {best['transformers']:6.2f}   best / best "
        f"{best['transformers'] / best['chiasm']:.2f}   median of pairs {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} – {max(ratios):.2f})",
        flush=True,
    )


if __name__ == "__main__":
    options = parser(__doc__ or "")
    options.add_argument("--width", type=int, default=256)
    options.add_argument("--layers", type=int, default=4)
    options.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    options.add_argument("--cache", choices=("dynamic", "static"), default="dynamic", help="transformers' cache")
    given = options.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    print("CPU-milliseconds a step, or a choice, best of the rounds")
    made = measure(given.width, given.layers, given.batches, given.rounds, given.cache)
    if given.json:
        given.json.write_text(json.dumps(made, indent=1), encoding="utf8")
