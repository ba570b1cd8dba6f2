"""Public checkpoints of two encoders that meet in the loss: CLIP and SigLIP. Their library names both alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from chiasm.batches.task import Facts
from chiasm.errors import ModelError
from chiasm.systems import clip
from chiasm.systems.clip import ClipSize
from chiasm.systems.family import MOST_TOKENS, Family, affine, layers, only, whole
from chiasm.systems.public_vision import HALF, encoder_size, patches, picture_size, section
from chiasm.systems.siglip import SiglipSize

BASE = {"width": 768, "heads": 12, "layers": 12, "hidden": 3072}
CLIP_TEXT = {"width": 512, "heads": 8, "layers": 12, "hidden": 2048}
"""What config.json may leave out: the library's defaults."""


def _blocks(tensors: Mapping[str, Tensor], modality: str, side: str) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    for number in layers(tensors, f"{side}.encoder.layers."):
        theirs, ours = f"{side}.encoder.layers.{number}", f"trunk_{modality}.blocks.{number}"
        q, k, v = (f"{theirs}.self_attn.{name}_proj" for name in "qkv")
        made |= affine(tensors, f"{ours}.attention.qkv", q, k, v)
        made |= affine(tensors, f"{ours}.attention.out", f"{theirs}.self_attn.out_proj")
        made |= affine(tensors, f"{ours}.attention_norm", f"{theirs}.layer_norm1")
        made |= affine(tensors, f"{ours}.experts.{modality}.inner", f"{theirs}.mlp.fc1")
        made |= affine(tensors, f"{ours}.experts.{modality}.outer", f"{theirs}.mlp.fc2")
        made |= affine(tensors, f"{ours}.expert_norms.{modality}", f"{theirs}.layer_norm2")
    return made


def _shared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What CLIP and SigLIP have in common: tables, blocks, last norms, temperature."""
    return {
        "embed_text.table": tensors["text_model.embeddings.token_embedding.weight"],
        "embed_text.positions": tensors["text_model.embeddings.position_embedding.weight"],
        "embed_image.embed.positions": tensors["vision_model.embeddings.position_embedding.weight"],
        **_blocks(tensors, "text", "text_model"),
        **_blocks(tensors, "image", "vision_model"),
        **affine(tensors, "trunk_text.norm", "text_model.final_layer_norm"),
        **affine(tensors, "trunk_image.norm", "vision_model.post_layernorm"),
        "log_scale": tensors["logit_scale"].reshape(()),
    }


def _clip_size(config: Mapping[str, Any]) -> tuple[ClipSize, Facts]:
    text, picture = section(config, "text_config"), section(config, "vision_config")
    words = encoder_size(text, "quick_gelu", 1e-5, CLIP_TEXT)
    size = ClipSize(
        **picture_size(picture, 32),
        **encoder_size(picture, "quick_gelu", 1e-5, BASE),
        **{f"text_{name}": value for name, value in words.items()},
        length=whole(text, "max_position_embeddings", default=77),
        embedding=whole(config, "projection_dim", default=512),
    )
    return size, Facts(whole(text, "vocab_size", MOST_TOKENS, 49408))


def _clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    front = "vision_model.embeddings"
    made = _shared(tensors)
    made |= patches(tensors[f"{front}.patch_embedding.weight"], "embed_image.embed", clip.MEAN, clip.DEVIATION)
    made["embed_image.embed.class_token"] = tensors[f"{front}.class_embedding"]
    made |= affine(tensors, "embed_image.embed.norm", "vision_model.pre_layrnorm")  # their spelling
    made |= affine(tensors, "head_text", "text_projection", bias=False)
    return made | affine(tensors, "head_image", "visual_projection", bias=False)


def _siglip_size(config: Mapping[str, Any]) -> tuple[SiglipSize, Facts]:
    text, picture = section(config, "text_config"), section(config, "vision_config")
    only(picture, "vision_use_head", (True,), True)
    size = encoder_size(picture, "gelu_pytorch_tanh", 1e-6, BASE)
    if encoder_size(text, "gelu_pytorch_tanh", 1e-6, BASE) != size:
        raise ModelError("config.json: text_config and vision_config must be of one width and depth")
    only(text, "projection_size", (size["width"],), size["width"])
    length = whole(text, "max_position_embeddings", default=64)
    vocabulary = whole(text, "vocab_size", MOST_TOKENS, 32000)
    return SiglipSize(**picture_size(picture, 16), **size, length=length), Facts(vocabulary)


def _siglip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    front, head = "vision_model.embeddings.patch_embedding", "vision_model.head"
    made = _shared(tensors)
    made |= patches(tensors[f"{front}.weight"], "embed_image.embed", HALF, HALF)
    made["embed_image.embed.bias"] = tensors[f"{front}.bias"]
    made["bias"] = tensors["logit_bias"].reshape(())
    made |= affine(tensors, "head_text", "text_model.head")
    made["head_image.probe"] = tensors[f"{head}.probe"][0, 0]
    width = made["head_image.probe"].shape[0]
    for name in ("weight", "bias"):
        whole_of = tensors[f"{head}.attention.in_proj_{name}"]
        made[f"head_image.attention.q.{name}"] = whole_of[:width]
        made[f"head_image.attention.kv.{name}"] = whole_of[width:]
    made |= affine(tensors, "head_image.attention.out", f"{head}.attention.out_proj")
    made |= affine(tensors, "head_image.norm", f"{head}.layernorm")
    made |= affine(tensors, "head_image.feed_forward.inner", f"{head}.mlp.fc1")
    return made | affine(tensors, "head_image.feed_forward.outer", f"{head}.mlp.fc2")


# The oldest files keep the numbers 0 … N−1 of the places as a tensor.
DUAL_FAMILIES: tuple[Family, ...] = (
    Family("clip", "clip", _clip_size, _clip, fresh=(), unused=("position_ids",)),
    Family("siglip", "siglip", _siglip_size, _siglip, fresh=(), unused=("position_ids",)),
)
