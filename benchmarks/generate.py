"""Greedy decoding with the cache against transformers' GPT2LMHeadModel.generate of the same shape: CPU-seconds a new token and sequence.

    python benchmarks/generate.py [--rounds 5] [--threads 1]

4 layers, width 256, vocabulary 4096, a prompt of 16 tokens, 64 new ones.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from _measure import arguments, cpu_seconds, interleave, report

LAYERS, WIDTH, HEADS, VOCABULARY = 4, 256, 4, 4096
PROMPT, NEW = 16, 64
BATCHES = (16, 1)
REPEAT = 3


def ours(precision: str) -> dict[str, float]:
    import torch

    from chiasm.heads.tokens import tied_words
    from chiasm.modalities.embed import TextEmbedder
    from chiasm.nn.generate import greedy
    from chiasm.nn.linear import weights_kept
    from chiasm.nn.transformer import make_transformer
    from chiasm.types import Items

    torch.manual_seed(0)
    embed = TextEmbedder(VOCABULARY, PROMPT + NEW, WIDTH)
    trunk = make_transformer({"text": LAYERS}, width=WIDTH, heads=HEADS, activation="gelu_tanh", causal=True)
    dtype = getattr(torch, precision)

    def run(prompt: Any) -> Any:
        items = Items(prompt, torch.ones_like(prompt, dtype=torch.bool), torch.arange(len(prompt)))
        return greedy(embed, trunk, lambda x: tied_words(x, embed.table), items, NEW, VOCABULARY, dtype=dtype)

    # As a program does that decodes more than one batch.
    with weights_kept():
        return _measure(run)


def theirs(precision: str) -> dict[str, float]:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY, n_positions=PROMPT + NEW, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
            bos_token_id=None, eos_token_id=None,
        )
    )  # fmt: skip
    model = model.eval().to(getattr(torch, precision))

    def run(prompt: Any) -> Any:
        mask = torch.ones_like(prompt)
        found = model.generate(prompt, attention_mask=mask, max_new_tokens=NEW, do_sample=False, pad_token_id=0)
        return found[:, PROMPT:]

    return _measure(run)


def _measure(run: Any) -> dict[str, float]:
    import torch

    found: dict[str, float] = {}
    for batch in BATCHES:
        prompt = torch.randint(VOCABULARY, (batch, PROMPT), generator=torch.Generator().manual_seed(0))
        # Also the warming up of both.
        if run(prompt).shape != (batch, NEW):
            raise SystemExit("not as many new tokens as asked for")
        found[f"CPU-milliseconds a step, batch {batch}"] = (
            cpu_seconds(lambda prompt=prompt: [run(prompt) for _ in range(REPEAT)]) / REPEAT / NEW * 1e3
        )
    return found


if __name__ == "__main__":
    options = arguments(__doc__ or "")
    kinds = {
        f"{name}, {precision}": functools.partial(work, precision)
        for precision in ("float32", "bfloat16")
        for name, work in (("chiasm", ours), ("transformers", theirs))
    }
    report(interleave(kinds, options.rounds, options.threads), "transformers, float32", options.json)
