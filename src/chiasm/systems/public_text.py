"""Public checkpoints of models of text: BERT, RoBERTa (and XLM-R, CamemBERT), GPT-2, T5 (and T5 1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from chiasm.batches.language_views import SENTINELS
from chiasm.batches.task import Facts
from chiasm.errors import ModelError
from chiasm.systems import bert, roberta
from chiasm.systems.bert import BertSize
from chiasm.systems.family import MOST_LAYERS, MOST_TOKENS, Family, affine, layers, only, whole
from chiasm.systems.gpt import GptSize
from chiasm.systems.roberta import FIRST, RobertaSize
from chiasm.systems.t5 import T5Size


def _encoder_size(config: Mapping[str, Any], eps: float) -> dict[str, int]:
    """Width, heads, layers, hidden of BERT and its heirs."""
    only(config, "hidden_act", ("gelu",), "gelu")
    only(config, "position_embedding_type", ("absolute",), "absolute")
    only(config, "layer_norm_eps", (eps,), eps)
    only(config, "is_decoder", (False,), False)
    return {
        "width": whole(config, "hidden_size"),
        "heads": whole(config, "num_attention_heads"),
        "layers": whole(config, "num_hidden_layers", MOST_LAYERS),
        "hidden": whole(config, "intermediate_size"),
    }


def _encoder(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Embedder, trunk and pooler, which BERT and RoBERTa name alike."""
    made = {
        "embed.table": tensors["embeddings.word_embeddings.weight"],
        "embed.positions": tensors["embeddings.position_embeddings.weight"],
        "embed.segments": tensors["embeddings.token_type_embeddings.weight"],
        **affine(tensors, "embed.norm", "embeddings.LayerNorm"),
    }
    for number in layers(tensors, "encoder.layer."):
        theirs, ours = f"encoder.layer.{number}", f"trunk.blocks.{number}"
        own = [f"{theirs}.attention.self.{name}" for name in ("query", "key", "value")]
        made |= affine(tensors, f"{ours}.attention.qkv", *own)
        made |= affine(tensors, f"{ours}.attention.out", f"{theirs}.attention.output.dense")
        made |= affine(tensors, f"{ours}.attention_norm", f"{theirs}.attention.output.LayerNorm")
        made |= affine(tensors, f"{ours}.experts.text.inner", f"{theirs}.intermediate.dense")
        made |= affine(tensors, f"{ours}.experts.text.outer", f"{theirs}.output.dense")
        made |= affine(tensors, f"{ours}.expert_norms.text", f"{theirs}.output.LayerNorm")
    if "pooler.dense.weight" in tensors:
        made |= affine(tensors, "pool.dense", "pooler.dense")
    return made


def _bert_size(config: Mapping[str, Any]) -> tuple[BertSize, Facts]:
    only(config, "type_vocab_size", (2,), 2)
    length = whole(config, "max_position_embeddings")
    size = BertSize(**_encoder_size(config, bert.EPS), length=length)
    return size, Facts(whole(config, "vocab_size", MOST_TOKENS))


def _bert(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    made = _encoder(tensors)
    if "cls.predictions.bias" in tensors:
        made |= affine(tensors, "head_words.dense", "cls.predictions.transform.dense")
        made |= affine(tensors, "head_words.norm", "cls.predictions.transform.LayerNorm")
        made["head_words.bias"] = tensors["cls.predictions.bias"]
    if "cls.seq_relationship.weight" in tensors:
        # Theirs says "follows" first; ours, as every label does, "no" first.
        made |= {name: tensor.flip(0) for name, tensor in affine(tensors, "head_next", "cls.seq_relationship").items()}
    return made


def _roberta_size(config: Mapping[str, Any]) -> tuple[RobertaSize, Facts]:
    only(config, "type_vocab_size", (1,), 1)
    only(config, "pad_token_id", (FIRST - 1,), FIRST - 1)  # positions begin after it
    length = whole(config, "max_position_embeddings") - FIRST
    if length < 1:
        raise ModelError(f"config.json: max_position_embeddings must be more than {FIRST}")
    size = RobertaSize(**_encoder_size(config, roberta.EPS), length=length)
    return size, Facts(whole(config, "vocab_size", MOST_TOKENS))


def _roberta(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    made = _encoder(tensors)
    if "lm_head.bias" in tensors:
        made |= affine(tensors, "head_words.dense", "lm_head.dense")
        made |= affine(tensors, "head_words.norm", "lm_head.layer_norm")
        made["head_words.bias"] = tensors["lm_head.bias"]
    return made


def _gpt_size(config: Mapping[str, Any]) -> tuple[GptSize, Facts]:
    only(config, "activation_function", ("gelu_new",), "gelu_new")
    only(config, "layer_norm_epsilon", (1e-5,), 1e-5)
    only(config, "scale_attn_by_inverse_layer_idx", (False,), False)
    only(config, "scale_attn_weights", (True,), True)
    only(config, "tie_word_embeddings", (True,), True)
    width = whole(config, "n_embd")
    size = GptSize(
        width=width,
        heads=whole(config, "n_head"),
        layers=whole(config, "n_layer", MOST_LAYERS),
        hidden=whole(config, "n_inner", default=4 * width),
        length=whole(config, "n_positions"),
    )
    return size, Facts(whole(config, "vocab_size", MOST_TOKENS))


def _gpt(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    made = {"embed.table": tensors["wte.weight"], "embed.positions": tensors["wpe.weight"]}
    made |= affine(tensors, "trunk.norm", "ln_f")
    for number in layers(tensors, "h."):
        theirs, ours = f"h.{number}", f"trunk.blocks.{number}"
        made |= affine(tensors, f"{ours}.attention.qkv", f"{theirs}.attn.c_attn", transpose=True)
        made |= affine(tensors, f"{ours}.attention.out", f"{theirs}.attn.c_proj", transpose=True)
        made |= affine(tensors, f"{ours}.attention_norm", f"{theirs}.ln_1")
        made |= affine(tensors, f"{ours}.experts.text.inner", f"{theirs}.mlp.c_fc", transpose=True)
        made |= affine(tensors, f"{ours}.experts.text.outer", f"{theirs}.mlp.c_proj", transpose=True)
        made |= affine(tensors, f"{ours}.expert_norms.text", f"{theirs}.ln_2")
    return made


def _t5_size(config: Mapping[str, Any]) -> tuple[T5Size, Facts]:
    kind = only(config, "feed_forward_proj", ("relu", "gated-gelu"), "relu")
    gated = kind == "gated-gelu"
    # T5 1.1 neither scales the features before the output layer nor ties it; the library says so in one way or the other.
    scaled = config.get("tie_word_embeddings") is not False and config.get("scale_decoder_outputs") is not False
    if scaled == gated:
        raise ModelError(
            f"config.json: feed_forward_proj {kind!r} with tie_word_embeddings {scaled} is neither T5 nor T5 1.1"
        )
    only(config, "layer_norm_epsilon", (1e-6,), 1e-6)
    only(config, "relative_attention_num_buckets", (32,), 32)
    only(config, "relative_attention_max_distance", (128,), 128)
    vocabulary = whole(config, "vocab_size", MOST_TOKENS)
    if vocabulary <= SENTINELS:
        raise ModelError(f"config.json: vocab_size {vocabulary} leaves no room beside {SENTINELS} sentinels")
    depth = whole(config, "num_layers", MOST_LAYERS)
    size = T5Size(
        width=whole(config, "d_model"),
        heads=whole(config, "num_heads"),
        head_width=whole(config, "d_kv"),
        layers=depth,
        decoder_layers=whole(config, "num_decoder_layers", MOST_LAYERS, depth),
        hidden=whole(config, "d_ff"),
        length=whole(config, "n_positions", default=512),
        gated=gated,
    )
    return size, Facts(vocabulary - SENTINELS)


def _t5(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    made = {"embed.table": tensors["shared.weight"]}
    if "encoder.block.0.layer.1.DenseReluDense.wi_0.weight" in tensors:
        made["head.weight"] = tensors["lm_head.weight" if "lm_head.weight" in tensors else "shared.weight"]
    for part in ("encoder", "decoder"):
        trunk = f"trunk_{part}"
        made[f"{trunk}.norm.weight"] = tensors[f"{part}.final_layer_norm.weight"]
        first = f"{part}.block.0.layer.0.SelfAttention"
        made[f"{trunk}.relative.table"] = tensors[f"{first}.relative_attention_bias.weight"]
        for number in layers(tensors, f"{part}.block."):
            made |= _t5_block(tensors, f"{part}.block.{number}.layer", f"{trunk}.blocks.{number}", part == "decoder")
    return made


def _t5_block(tensors: Mapping[str, Tensor], theirs: str, ours: str, decoder: bool) -> dict[str, Tensor]:
    def matrices(to: str, *names: str) -> dict[str, Tensor]:
        return affine(tensors, f"{ours}.{to}", *(f"{theirs}.{name}" for name in names), bias=False)

    own, last = "0.SelfAttention", 2 if decoder else 1
    made = matrices("attention.qkv", f"{own}.q", f"{own}.k", f"{own}.v")
    made |= matrices("attention.out", f"{own}.o")
    made |= matrices("attention_norm", "0.layer_norm")
    if decoder:
        other = "1.EncDecAttention"
        made |= matrices("cross.q", f"{other}.q") | matrices("cross.kv", f"{other}.k", f"{other}.v")
        made |= matrices("cross.out", f"{other}.o") | matrices("cross_norm", "1.layer_norm")
    inner = f"{last}.DenseReluDense"
    gated = f"{theirs}.{inner}.wi_0.weight" in tensors
    made |= matrices("experts.text.inner", *((f"{inner}.wi_0", f"{inner}.wi_1") if gated else (f"{inner}.wi",)))
    return made | matrices("experts.text.outer", f"{inner}.wo") | matrices("expert_norms.text", f"{last}.layer_norm")


_ROBERTA = Family(
    "roberta", "roberta", _roberta_size, _roberta, prefix="roberta.", fresh=("head", "pool"),
    unused=("embeddings.position_ids", "lm_head.decoder.weight", "lm_head.decoder.bias"),
)  # fmt: skip

TEXT_FAMILIES: tuple[Family, ...] = (
    Family(
        "bert", "bert", _bert_size, _bert, prefix="bert.", fresh=("head", "pool"),
        unused=("embeddings.position_ids", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"),
    ),
    _ROBERTA,
    replace(_ROBERTA, model_type="xlm-roberta"),
    replace(_ROBERTA, model_type="camembert"),
    # attn.bias and attn.masked_bias are causal masks that old versions kept as buffers.
    Family("gpt2", "gpt", _gpt_size, _gpt, prefix="transformer.", fresh=(), unused=("lm_head.weight", ".attn.bias", ".attn.masked_bias")),
    Family(
        "t5", "t5", _t5_size, _t5, fresh=(),
        unused=(
            "lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight",
            "EncDecAttention.relative_attention_bias.weight",
        ),
    ),
)  # fmt: skip
