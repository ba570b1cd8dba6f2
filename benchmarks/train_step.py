"""One training step of a CLIP-shaped model: chiasm against Hugging Face's CLIPModel and, where it can be imported, open_clip.

    python benchmarks/train_step.py [--rounds 5] [--threads 1]

Shape: vision 6 × 256, 128 px, patch 16; text 4 × 256, 32 tokens; batch 64; 4 heads; quick GELU, biases, LayerNorm, pre-norm in all:
the same arithmetic. bfloat16 activations, float32 parameters, AdamW (fused), symmetric InfoNCE. "chiasm, lean" is what chiasm's own
recipes use at this shape: squared ReLU in place of quick GELU. The peers run as their users run them, under torch.autocast.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _measure import arguments, cpu_seconds, interleave, peak_mib, report

BATCH, SIZE, PATCH, WIDTH, HEADS, TOKENS, VOCABULARY = 64, 128, 16, 256, 4, 32, 8192
STEPS = 3


def measure(step: Callable[[], object]) -> dict[str, float]:
    step()
    step()
    return {"CPU-seconds a step": cpu_seconds(lambda: [step() for _ in range(STEPS)]) / STEPS, "peak MiB": peak_mib()}


def hugging_face(precision: str) -> dict[str, float]:
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    shared = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": HEADS}
    config = CLIPConfig(
        text_config={
            **shared,
            "num_hidden_layers": 4,
            "max_position_embeddings": TOKENS,
            "vocab_size": VOCABULARY,
            "eos_token_id": 2,
        },
        vision_config={**shared, "num_hidden_layers": 6, "image_size": SIZE, "patch_size": PATCH},
        projection_dim=WIDTH,
    )
    model = CLIPModel(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    pixels = torch.randn(BATCH, 3, SIZE, SIZE)
    ids = torch.randint(3, VOCABULARY, (BATCH, TOKENS))
    ids[:, -1] = 2

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model(input_ids=ids, pixel_values=pixels, return_loss=True).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return measure(step)


def open_clip(precision: str) -> dict[str, float]:
    import torch
    from open_clip.loss import ClipLoss
    from open_clip.model import CLIP

    torch.manual_seed(0)
    model = CLIP(
        WIDTH,
        {"layers": 6, "width": WIDTH, "head_width": WIDTH // HEADS, "patch_size": PATCH, "image_size": SIZE},
        {"layers": 4, "width": WIDTH, "heads": HEADS, "context_length": TOKENS, "vocab_size": VOCABULARY},
        quick_gelu=True,
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    pixels, ids = torch.randn(BATCH, 3, SIZE, SIZE), torch.randint(3, VOCABULARY, (BATCH, TOKENS))
    loss_of = ClipLoss()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(*model(pixels, ids))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return measure(step)


def chiasm(precision: str, activation: str, drop: float = 0.0) -> dict[str, float]:
    import numpy as np
    import torch

    from chiasm.batches.augment import keep_tokens
    from chiasm.config import ImageConfig, ModelConfig, ObjectiveConfig, OptimizerConfig, TextConfig
    from chiasm.objectives.contrastive import Contrastive
    from chiasm.systems.chiasm import make_chiasm
    from chiasm.train.distributed import World
    from chiasm.train.machine import quiet_allocator
    from chiasm.train.optimizer import Optimizer
    from chiasm.train.step import train_step
    from chiasm.types import Batch, Items

    quiet_allocator()  # `chiasm train` does so too
    torch.manual_seed(0)
    config = ModelConfig(
        trunk="separate", width=WIDTH, heads=HEADS, layers=6, activation=activation, embedding=WIDTH,
        text=TextConfig(vocabulary=VOCABULARY, length=TOKENS, layers=4), image=ImageConfig(size=SIZE, patch=PATCH),
    )  # fmt: skip
    model = make_chiasm(config, ObjectiveConfig(), ("text", "image"), VOCABULARY)
    optimizer = Optimizer(model, OptimizerConfig())
    optimizer.set_progress(0.5)
    owner = torch.arange(BATCH)
    keep = keep_tokens(np.random.default_rng(0).random((BATCH, (SIZE // PATCH) ** 2)), drop)
    items = {
        "text": Items(torch.randint(5, VOCABULARY, (BATCH, TOKENS)), torch.ones(BATCH, TOKENS, dtype=torch.bool), owner),
        "image": Items(
            torch.randint(0, 256, (BATCH, SIZE, SIZE, 3), dtype=torch.uint8), torch.ones(BATCH, 1, dtype=torch.bool), owner,
            None if keep is None else torch.from_numpy(keep),
        ),
    }  # fmt: skip
    batch = Batch(tuple(map(str, range(BATCH))), owner, items)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    objective = Contrastive()
    return measure(lambda: train_step(model, objective, optimizer, [batch], dtype, World(), 1.0, 0))


if __name__ == "__main__":
    options = arguments(__doc__ or "")
    contenders = {
        "hugging face, bf16": functools.partial(hugging_face, "bf16"),
        "chiasm, bf16": functools.partial(chiasm, "bf16", "quick_gelu"),
        "chiasm, bf16, lean": functools.partial(chiasm, "bf16", "squared_relu"),
        "chiasm, bf16, half the patches": functools.partial(chiasm, "bf16", "quick_gelu", 0.5),
        "hugging face, fp32": functools.partial(hugging_face, "fp32"),
        "chiasm, fp32": functools.partial(chiasm, "fp32", "quick_gelu"),
    }
    try:
        import open_clip.model
    except ImportError as error:
        print(f"open_clip is left out: {error}")
    else:
        contenders["open_clip, bf16"] = functools.partial(open_clip, "bf16")
    report(interleave(contenders, options.rounds, options.threads), "hugging face, bf16", options.json)
