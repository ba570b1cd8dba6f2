"""Public checkpoints of models of pictures: ViT, ResNet, DETR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from chiasm.batches.task import Facts
from chiasm.errors import ModelError
from chiasm.nn.resnet import DEPTHS, IMAGENET_DEVIATION, IMAGENET_MEAN
from chiasm.systems.detr import DetrSize
from chiasm.systems.encoders import ResNetSize, ViTSize
from chiasm.systems.family import MOST_LAYERS, Family, affine, layers, only, whole

Config = Mapping[str, Any]
Tensors = Mapping[str, Tensor]

HALF = (0.5, 0.5, 0.5)
"""Mean and deviation by which ViT's and SigLIP's public weights standardise pictures."""
MOST_PIXELS = 4096


def section(config: Config, name: str) -> Config:
    found = config.get(name)
    if not isinstance(found, Mapping):
        raise ModelError(f"config.json: {name} is missing")
    return cast("Config", found)


def _names(config: Config) -> tuple[str, ...]:
    """The classes in the order of their numbers; the library's default is two of them."""
    names = config.get("id2label")
    if not isinstance(names, Mapping):
        return tuple(f"LABEL_{number}" for number in range(whole(config, "num_labels", default=2)))
    found = {str(number): str(name) for number, name in cast("Mapping[Any, Any]", names).items()}
    if sorted(found) != sorted(map(str, range(len(found)))):
        raise ModelError(f"config.json: id2label must number its {len(found)} classes from 0")
    return tuple(found[str(number)] for number in range(len(found)))


def encoder_size(
    config: Config, activation: str, eps: float, default: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Width, heads, layers, hidden. default: what config.json may leave out."""
    default = default or {}
    only(config, "hidden_act", (activation,), activation)
    only(config, "layer_norm_eps", (eps,), eps)
    return {
        "width": whole(config, "hidden_size", default=default.get("width")),
        "heads": whole(config, "num_attention_heads", default=default.get("heads")),
        "layers": whole(config, "num_hidden_layers", MOST_LAYERS, default.get("layers")),
        "hidden": whole(config, "intermediate_size", default=default.get("hidden")),
    }


def picture_size(config: Config, patch: int | None = None) -> dict[str, int]:
    only(config, "num_channels", (3,), 3)
    side = whole(config, "image_size", MOST_PIXELS, 224)
    patch = whole(config, "patch_size", MOST_PIXELS, patch)
    if side % patch:
        raise ModelError(f"config.json: image_size {side} is not a multiple of patch_size {patch}")
    return {"side": side, "patch": patch}


def patches(kernel: Tensor, to: str, mean: Sequence[float], deviation: Sequence[float]) -> dict[str, Tensor]:
    """The patch projection, channels last, and the numbers by which pixels are standardised, in units of uint8."""
    p = kernel.shape[-1]
    return {
        f"{to}.projection": kernel.permute(0, 2, 3, 1).flatten(1),
        f"{to}.mean": torch.tensor(mean).repeat(p * p) * 255,
        f"{to}.deviation": torch.tensor(deviation).repeat(p * p) * 255,
    }


def _vit_size(config: Config) -> tuple[ViTSize, Facts]:
    only(config, "qkv_bias", (True,), True)
    size = ViTSize(**picture_size(config, 16), **encoder_size(config, "gelu", 1e-12))
    return size, Facts(vocabulary=0, classes=_names(config))


def _vit(tensors: Tensors) -> dict[str, Tensor]:
    ours, front = "trunk.embed.embed", "embeddings.patch_embeddings.projection"
    made = patches(tensors[f"{front}.weight"], ours, HALF, HALF)
    made[f"{ours}.bias"] = tensors[f"{front}.bias"]
    made[f"{ours}.positions"] = tensors["embeddings.position_embeddings"][0]
    made[f"{ours}.class_token"] = tensors["embeddings.cls_token"][0, 0]
    made |= affine(tensors, "trunk.transformer.norm", "layernorm")
    for number in layers(tensors, "encoder.layer."):
        theirs, ours = f"encoder.layer.{number}", f"trunk.transformer.blocks.{number}"
        own = [f"{theirs}.attention.attention.{name}" for name in ("query", "key", "value")]
        made |= affine(tensors, f"{ours}.attention.qkv", *own)
        made |= affine(tensors, f"{ours}.attention.out", f"{theirs}.attention.output.dense")
        made |= affine(tensors, f"{ours}.attention_norm", f"{theirs}.layernorm_before")
        made |= affine(tensors, f"{ours}.experts.image.inner", f"{theirs}.intermediate.dense")
        made |= affine(tensors, f"{ours}.experts.image.outer", f"{theirs}.output.dense")
        made |= affine(tensors, f"{ours}.expert_norms.image", f"{theirs}.layernorm_after")
    return made | (affine(tensors, "head", "classifier") if "classifier.weight" in tensors else {})


def _resnet_numbers(config: Config) -> dict[str, Any]:
    """ResNetSize's fields but the picture's side."""
    only(config, "num_channels", (3,), 3)
    only(config, "hidden_act", ("relu",), "relu")
    only(config, "downsample_in_first_stage", (False,), False)
    only(config, "downsample_in_bottleneck", (False,), False)
    bottleneck = only(config, "layer_type", ("basic", "bottleneck"), "bottleneck") == "bottleneck"
    channels, depths = whole(config, "embedding_size", default=64), config.get("depths", [3, 4, 6, 3])
    if not (
        isinstance(depths, list) and 1 <= len(depths) <= 6 and all(isinstance(d, int) and 1 <= d <= 99 for d in depths)
    ):
        raise ModelError(f"config.json: depths is {depths!r}; expected at most 6 numbers from 1 to 99")
    expected = [channels * 2**stage * (4 if bottleneck else 1) for stage in range(len(depths))]
    only(config, "hidden_sizes", (expected,), [256, 512, 1024, 2048])
    return {"depths": tuple(depths), "bottleneck": bottleneck, "channels": channels, "stem": "imagenet"}


def _resnet_size(config: Config) -> tuple[ResNetSize, Facts]:
    return ResNetSize(side=224, **_resnet_numbers(config)), Facts(vocabulary=0, classes=_names(config))


def _convolution(tensors: Tensors, to: str, kernel: str, norm: str) -> dict[str, Tensor]:
    """A convolution and its batch normalisation. A frozen one does not say how many batches it has seen."""
    made = {
        f"{to}.weight": tensors[f"{kernel}.weight"],
        f"{to}.norm.num_batches_tracked": torch.zeros((), dtype=torch.int64),
    }
    for name in ("weight", "bias", "running_mean", "running_var"):
        made[f"{to}.norm.{name}"] = tensors[f"{norm}.{name}"]
    if f"{norm}.num_batches_tracked" in tensors:
        made[f"{to}.norm.num_batches_tracked"] = tensors[f"{norm}.num_batches_tracked"]
    return made


def _resnet(tensors: Tensors, to: str = "trunk", before: str = "") -> dict[str, Tensor]:
    """`before`: what their names begin with."""

    def convolution(ours: str, theirs: str) -> dict[str, Tensor]:
        return _convolution(tensors, f"{to}.{ours}", f"{theirs}.convolution", f"{theirs}.normalization")

    made = {f"{to}.mean": torch.tensor(IMAGENET_MEAN), f"{to}.deviation": torch.tensor(IMAGENET_DEVIATION)}
    made |= convolution("stem", f"{before}embedder.embedder")
    for stage in layers(tensors, f"{before}encoder.stages."):
        for unit in layers(tensors, f"{before}encoder.stages.{stage}.layers."):
            theirs, ours = f"{before}encoder.stages.{stage}.layers.{unit}", f"stages.{stage}.{unit}"
            for step in layers(tensors, f"{theirs}.layer."):
                made |= convolution(f"{ours}.steps.{step}", f"{theirs}.layer.{step}")
            if f"{theirs}.shortcut.convolution.weight" in tensors:
                made |= convolution(f"{ours}.shortcut", f"{theirs}.shortcut")
    return made | (affine(tensors, "head", "classifier.1") if "classifier.1.weight" in tensors else {})


def _timm_resnet(tensors: Tensors, to: str, before: str) -> dict[str, Tensor]:
    """The same under torchvision's and timm's names, which DETR's first checkpoints have."""
    made = {f"{to}.mean": torch.tensor(IMAGENET_MEAN), f"{to}.deviation": torch.tensor(IMAGENET_DEVIATION)}
    made |= _convolution(tensors, f"{to}.stem", f"{before}conv1", f"{before}bn1")
    for stage in layers(tensors, f"{before}layer"):
        for unit in layers(tensors, f"{before}layer{stage + 1}."):
            theirs, ours = f"{before}layer{stage + 1}.{unit}", f"{to}.stages.{stage}.{unit}"
            for step in (1, 2, 3):
                if f"{theirs}.conv{step}.weight" in tensors:
                    made |= _convolution(
                        tensors, f"{ours}.steps.{step - 1}", f"{theirs}.conv{step}", f"{theirs}.bn{step}"
                    )
            if f"{theirs}.downsample.0.weight" in tensors:
                made |= _convolution(tensors, f"{ours}.shortcut", f"{theirs}.downsample.0", f"{theirs}.downsample.1")
    return made


def _detr_size(config: Config) -> tuple[DetrSize, Facts]:
    only(config, "position_embedding_type", ("sine",), "sine")
    only(config, "activation_function", ("relu",), "relu")
    only(config, "dilation", (False,), False)
    depth = whole(config, "encoder_layers", MOST_LAYERS, 6)
    heads, hidden = whole(config, "encoder_attention_heads", default=8), whole(config, "encoder_ffn_dim", default=2048)
    only(config, "decoder_layers", (depth,), 6)
    only(config, "decoder_attention_heads", (heads,), 8)
    only(config, "decoder_ffn_dim", (hidden,), 2048)
    if config.get("use_timm_backbone", True):
        name = only(config, "backbone", tuple(DEPTHS), "resnet50")
        depths, bottleneck = DEPTHS[name]
        resnet: dict[str, Any] = {"depths": depths, "bottleneck": bottleneck, "channels": 64, "stem": "imagenet"}
    else:
        backbone = section(config, "backbone_config")
        only(backbone, "model_type", ("resnet",))
        resnet = _resnet_numbers(backbone)
    size = DetrSize(
        side=800, **resnet, width=whole(config, "d_model", default=256), heads=heads, layers=depth, hidden=hidden,
        queries=whole(config, "num_queries", default=100),
    )  # fmt: skip
    return size, Facts(vocabulary=0, objects=_names(config))


def _detr(tensors: Tensors) -> dict[str, Tensor]:
    backbone = "backbone.conv_encoder.model."
    timm = f"{backbone}conv1.weight" in tensors
    made = (_timm_resnet if timm else _resnet)(tensors, "embed", backbone)
    made["embed_map.weight"] = tensors["input_projection.weight"].flatten(1)
    made["embed_map.bias"] = tensors["input_projection.bias"]
    made["embed_queries"] = tensors["query_position_embeddings.weight"]
    made |= affine(tensors, "trunk_norm", "decoder.layernorm")
    for side, expert in (("encoder", "image"), ("decoder", "query")):
        for number in layers(tensors, f"{side}.layers."):
            theirs = f"{side}.layers.{number}"
            ours = f"trunk_encoder.blocks.{number}" if side == "encoder" else f"trunk_decoder.{number}.blocks.0"
            q, k, v = (f"{theirs}.self_attn.{name}_proj" for name in "qkv")
            made |= affine(tensors, f"{ours}.attention.qkv", q, k, v)
            made |= affine(tensors, f"{ours}.attention.out", f"{theirs}.self_attn.out_proj")
            made |= affine(tensors, f"{ours}.attention_norm", f"{theirs}.self_attn_layer_norm")
            if side == "decoder":
                q, k, v = (f"{theirs}.encoder_attn.{name}_proj" for name in "qkv")
                made |= affine(tensors, f"{ours}.cross.q", q) | affine(tensors, f"{ours}.cross.kv", k, v)
                made |= affine(tensors, f"{ours}.cross.out", f"{theirs}.encoder_attn.out_proj")
                made |= affine(tensors, f"{ours}.cross_norm", f"{theirs}.encoder_attn_layer_norm")
            made |= affine(tensors, f"{ours}.experts.{expert}.inner", f"{theirs}.fc1")
            made |= affine(tensors, f"{ours}.experts.{expert}.outer", f"{theirs}.fc2")
            made |= affine(tensors, f"{ours}.expert_norms.{expert}", f"{theirs}.final_layer_norm")
    if "class_labels_classifier.weight" in tensors:
        made |= affine(tensors, "head_class", "class_labels_classifier")
        for number in range(3):
            made |= affine(tensors, f"head_box.layers.{number}", f"bbox_predictor.layers.{number}")
    return made


VISION_FAMILIES: tuple[Family, ...] = (
    Family("vit", "vit", _vit_size, _vit, "vit.", unused=("pooler.",)),
    Family("resnet", "resnet", _resnet_size, _resnet, "resnet."),
    # timm's backbone brings a classifier that DETR does not use.
    Family("detr", "detr", _detr_size, _detr, "model.", unused=("backbone.conv_encoder.model.fc.",)),
)
