"""The one Transformer against Hugging Face's models with the same weights, tiny and random."""

from __future__ import annotations

import pytest
import torch
from nn_cases import close, fill, shake
from torch import Tensor, nn

from chiasm.modalities.embed import ImageEmbedder, TextEmbedder
from chiasm.nn.block import Block
from chiasm.nn.cache import Cache
from chiasm.nn.resnet import IMAGENET_DEVIATION, IMAGENET_MEAN
from chiasm.nn.transformer import Transformer, make_transformer
from chiasm.types import Items, Tokens

transformers = pytest.importorskip("transformers")

WIDTH, HEADS, HIDDEN, LAYERS = 24, 3, 40, 2
LENGTHS = (7, 4, 1)
RIGHT = torch.arange(7)[None] < torch.tensor(LENGTHS)[:, None]


def items(value: Tensor, valid: Tensor, segment: Tensor | None = None) -> Items:
    return Items(value, valid, torch.arange(len(value)), segment=segment)


def blocks(trunk: Transformer) -> list[Block]:
    return [block for block in trunk.blocks if isinstance(block, Block)]


def test_bert() -> None:
    """Post-norm, segments, the embedder's own norm; padding on the right."""
    reference = shake(
        transformers.BertModel(
            transformers.BertConfig(
                hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=HIDDEN,
                vocab_size=30, max_position_embeddings=9,
            )
        )
    )  # fmt: skip
    embedder = TextEmbedder(30, 9, WIDTH, segments=2, norm=1e-12)
    trunk = make_transformer(
        {"all": LAYERS}, width=WIDTH, heads=HEADS, hidden=HIDDEN, norm_first=False, final_norm=False, eps=1e-12
    )
    front = reference.embeddings
    with torch.no_grad():
        embedder.table.copy_(front.word_embeddings.weight)
        embedder.get_parameter("positions").copy_(front.position_embeddings.weight)
        embedder.get_parameter("segments").copy_(front.token_type_embeddings.weight)
    fill(embedder.get_submodule("norm"), front.LayerNorm)
    for block, layer in zip(blocks(trunk), reference.encoder.layer, strict=True):
        own = layer.attention.self
        fill(block.get_submodule("attention.qkv"), own.query, own.key, own.value)
        fill(block.get_submodule("attention.out"), layer.attention.output.dense)
        fill(block.get_submodule("attention_norm"), layer.attention.output.LayerNorm)
        fill(block.get_submodule("experts.all.inner"), layer.intermediate.dense)
        fill(block.get_submodule("experts.all.outer"), layer.output.dense)
        fill(block.get_submodule("expert_norms.all"), layer.output.LayerNorm)
    ids, segment = torch.randint(30, (3, 7)), (torch.arange(7) > 2).long().expand(3, 7)
    expected = reference(ids, RIGHT.long(), token_type_ids=segment).last_hidden_state
    found = trunk(embedder(items(ids, RIGHT, segment), torch.float32)).x
    close(found[RIGHT], expected[RIGHT])


@pytest.fixture(scope="module")
def gpt2() -> tuple[nn.Module, TextEmbedder, Transformer]:
    reference = shake(
        transformers.GPT2Model(
            transformers.GPT2Config(n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_inner=HIDDEN, vocab_size=30, n_positions=16)
        )
    )  # fmt: skip
    embedder = TextEmbedder(30, 16, WIDTH)
    trunk = make_transformer(
        {"all": LAYERS}, width=WIDTH, heads=HEADS, hidden=HIDDEN, activation="gelu_tanh", causal=True
    )
    with torch.no_grad():
        embedder.table.copy_(reference.wte.weight)
        embedder.get_parameter("positions").copy_(reference.wpe.weight)
    fill(trunk.norm, reference.ln_f)
    for block, layer in zip(blocks(trunk), reference.h, strict=True):
        fill(block.get_submodule("attention.qkv"), layer.attn.c_attn, transpose=True)
        fill(block.get_submodule("attention.out"), layer.attn.c_proj, transpose=True)
        fill(block.get_submodule("attention_norm"), layer.ln_1)
        fill(block.get_submodule("experts.all.inner"), layer.mlp.c_fc, transpose=True)
        fill(block.get_submodule("experts.all.outer"), layer.mlp.c_proj, transpose=True)
        fill(block.get_submodule("expert_norms.all"), layer.ln_2)
    return reference, embedder, trunk


@pytest.mark.parametrize("valid", [RIGHT, RIGHT.flip(1)], ids=["right", "left"])
@torch.no_grad()
def test_gpt2_whole_and_with_the_cache(gpt2: tuple[nn.Module, TextEmbedder, Transformer], valid: Tensor) -> None:
    """A padded prompt, then three more tokens: at once in the reference, one by one and as a chunk with the cache here."""
    reference, embedder, trunk = gpt2
    torch.manual_seed(0)
    ids = torch.randint(30, (3, 10))
    valid = torch.cat([valid, torch.ones(3, 3, dtype=torch.bool)], 1)
    positions = (valid.long().cumsum(1) - 1).clamp(min=0)
    expected = reference(ids, attention_mask=valid.long(), position_ids=positions).last_hidden_state
    whole = trunk(embedder(items(ids, valid), torch.float32, positions)).x
    close(whole[valid], expected[valid])
    for ends in ((7, 8, 9, 10), (7, 10), (3, 10)):
        cache, start, parts = Cache(), 0, []
        for end in ends:
            chunk = items(ids[:, start:end], valid[:, start:end])
            parts.append(trunk(embedder(chunk, torch.float32, cache.next_positions(chunk.valid)), cache=cache).x)
            start = end
        close(torch.cat(parts, 1)[valid], expected[valid])


def t5_stack(stack: nn.Module, embedding: Tensor, causal: bool, activation: str) -> tuple[TextEmbedder, Transformer]:
    embedder = TextEmbedder(30, 16, WIDTH, positions=None)
    trunk = make_transformer(
        {"all": LAYERS}, width=WIDTH, heads=HEADS, head_width=5, hidden=HIDDEN, activation=activation, norm="rms_norm",
        bias=False, attention="dot", positions="relative", eps=1e-6, causal=causal, cross=causal,
    )  # fmt: skip
    with torch.no_grad():
        embedder.table.copy_(embedding)
        table = stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        trunk.get_parameter("relative.table").copy_(table)
    fill(trunk.norm, stack.final_layer_norm)
    for block, layer in zip(blocks(trunk), stack.block, strict=True):
        own, last = layer.layer[0].SelfAttention, layer.layer[-1]
        fill(block.get_submodule("attention.qkv"), own.q, own.k, own.v)
        fill(block.get_submodule("attention.out"), own.o)
        fill(block.get_submodule("attention_norm"), layer.layer[0].layer_norm)
        if causal:
            other = layer.layer[1].EncDecAttention
            fill(block.get_submodule("cross.q"), other.q)
            fill(block.get_submodule("cross.kv"), other.k, other.v)
            fill(block.get_submodule("cross.out"), other.o)
            fill(block.get_submodule("cross_norm"), layer.layer[1].layer_norm)
        dense = last.DenseReluDense
        fill(
            block.get_submodule("experts.all.inner"),
            *([dense.wi] if activation == "relu" else [dense.wi_0, dense.wi_1]),
        )
        fill(block.get_submodule("experts.all.outer"), dense.wo)
        fill(block.get_submodule("expert_norms.all"), last.layer_norm)
    return embedder, trunk


@pytest.mark.parametrize(("theirs", "ours"), [("relu", "relu"), ("gated-gelu", "geglu")])
@torch.no_grad()
def test_t5_encoder_and_decoder(theirs: str, ours: str) -> None:
    """Two Transformers: relative positions, no scale, a memory with padding, the cache."""
    reference = shake(
        transformers.T5Model(
            transformers.T5Config(
                d_model=WIDTH, d_kv=5, d_ff=HIDDEN, num_layers=LAYERS, num_heads=HEADS, vocab_size=30, feed_forward_proj=theirs
            )
        )
    )  # fmt: skip
    front, encoder = t5_stack(reference.encoder, reference.shared.weight, False, ours)
    back, decoder = t5_stack(reference.decoder, reference.shared.weight, True, ours)
    ids, target = torch.randint(30, (3, 7)), torch.randint(30, (3, 6))
    target_valid = RIGHT[:, :6]
    expected = reference(
        ids, attention_mask=RIGHT.long(), decoder_input_ids=target, decoder_attention_mask=target_valid.long()
    )
    memory = encoder(front(items(ids, RIGHT), torch.float32))
    close(memory.x[RIGHT], expected.encoder_last_hidden_state[RIGHT])
    found = decoder(back(items(target, target_valid), torch.float32), memory=memory).x
    close(found[target_valid], expected.last_hidden_state[target_valid])
    cache, parts = Cache(), []
    for n in range(6):
        tokens = back(items(target[:, n : n + 1], target_valid[:, n : n + 1]), torch.float32)
        parts.append(decoder(tokens, memory=None if n else memory, cache=cache).x)
    close(torch.cat(parts, 1)[target_valid], expected.last_hidden_state[target_valid])


def test_vit() -> None:
    """Patches, class token, pre-norm; the standardisation is the embedder's."""
    reference = shake(
        transformers.ViTModel(
            transformers.ViTConfig(
                hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=HIDDEN,
                image_size=24, patch_size=8,
            )
        )
    )  # fmt: skip
    embedder = ImageEmbedder(24, 8, WIDTH, class_token=True)
    embedder.standardise(IMAGENET_MEAN, IMAGENET_DEVIATION)
    trunk = make_transformer({"image": LAYERS}, width=WIDTH, heads=HEADS, hidden=HIDDEN, eps=1e-12)
    front = reference.embeddings
    kernel = front.patch_embeddings.projection
    with torch.no_grad():
        embedder.embed.projection.copy_(kernel.weight.permute(0, 2, 3, 1).flatten(1))
        embedder.embed.get_parameter("bias").copy_(kernel.bias)
        embedder.embed.positions.copy_(front.position_embeddings[0])
        embedder.embed.get_parameter("class_token").copy_(front.cls_token[0, 0])
    fill(trunk.norm, reference.layernorm)
    for block, layer in zip(blocks(trunk), reference.layers, strict=True):
        own = layer.attention
        fill(block.get_submodule("attention.qkv"), own.q_proj, own.k_proj, own.v_proj)
        fill(block.get_submodule("attention.out"), own.o_proj)
        fill(block.get_submodule("attention_norm"), layer.layernorm_before)
        fill(block.get_submodule("experts.image.inner"), layer.mlp.fc1)
        fill(block.get_submodule("experts.image.outer"), layer.mlp.fc2)
        fill(block.get_submodule("expert_norms.image"), layer.layernorm_after)
    pictures = torch.randint(256, (2, 24, 24, 3), dtype=torch.uint8)
    pixels = (pictures / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_DEVIATION)
    expected = reference(pixels.permute(0, 3, 1, 2)).last_hidden_state
    found = trunk(embedder(items(pictures, torch.ones(2, 1, dtype=torch.bool)), torch.float32)).x
    close(found, expected)


def test_detr_decoder_layer() -> None:
    """Post-norm with places added to queries and keys but not to values, in the tokens and in the memory."""
    from transformers.models.detr.modeling_detr import DetrDecoderLayer

    config = transformers.DetrConfig(
        d_model=WIDTH, decoder_attention_heads=HEADS, decoder_ffn_dim=HIDDEN, use_timm_backbone=False,
        backbone_config=transformers.ResNetConfig(), use_pretrained_backbone=False, attn_implementation="eager",
    )  # fmt: skip
    layer = shake(DetrDecoderLayer(config))
    trunk = make_transformer(
        {"all": 1}, width=WIDTH, heads=HEADS, hidden=HIDDEN, activation="relu", norm_first=False, final_norm=False,
        cross=True,
    )  # fmt: skip
    (block,) = blocks(trunk)
    own, other = layer.self_attn, layer.encoder_attn
    fill(block.get_submodule("attention.qkv"), own.q_proj, own.k_proj, own.v_proj)
    fill(block.get_submodule("attention.out"), own.o_proj)
    fill(block.get_submodule("attention_norm"), layer.self_attn_layer_norm)
    fill(block.get_submodule("cross.q"), other.q_proj)
    fill(block.get_submodule("cross.kv"), other.k_proj, other.v_proj)
    fill(block.get_submodule("cross.out"), other.o_proj)
    fill(block.get_submodule("cross_norm"), layer.encoder_attn_layer_norm)
    fill(block.get_submodule("experts.all.inner"), layer.mlp.fc1)
    fill(block.get_submodule("experts.all.outer"), layer.mlp.fc2)
    fill(block.get_submodule("expert_norms.all"), layer.final_layer_norm)
    x, places = torch.randn(2, 3, 5, WIDTH)
    memory, memory_places = torch.randn(2, 3, 7, WIDTH)
    mask = torch.zeros(3, 1, 5, 7).masked_fill(~RIGHT[:, None, None], torch.finfo(torch.float32).min)
    expected = layer(x, None, memory_places, places, memory, mask)
    queries = Tokens(x, torch.ones(3, 5, dtype=torch.bool), (("query", 0, 5),))
    found = trunk(queries, memory=Tokens(memory, RIGHT, (("image", 0, 7),)), places=places, memory_places=memory_places)
    close(found.x, expected)
