"""Public checkpoints of ViT, ResNet, DETR, CLIP and SigLIP, saved by the library that made them, read as our systems: the same outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from chiasm.errors import ModelError
from chiasm.nn.resnet import IMAGENET_DEVIATION, IMAGENET_MEAN
from chiasm.objectives.detection import centre_size
from chiasm.systems import clip
from chiasm.systems.public import read_public
from chiasm.systems.public_vision import HALF
from chiasm.systems.system import System
from chiasm.types import Batch, Items

transformers = pytest.importorskip("transformers")

SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
PICTURE = {"image_size": 24, "patch_size": 8}
BACKBONE = {"embedding_size": 8, "hidden_sizes": [32, 64, 128], "depths": [1, 2, 1], "layer_type": "bottleneck"}


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def shake(model: nn.Module) -> nn.Module:
    """Weights and statistics large enough that a missing one shows."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * (0.2 if parameter.ndim < 4 else 0.05))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return model.eval()


def imported(reference: nn.Module, folder: Path) -> System:
    reference.save_pretrained(folder)
    found = read_public(folder)
    assert not found.left_over and not found.fresh, "every tensor has its place"
    model = found.spec.make(found.size, found.facts)
    model.load_state_dict(found.tensors)
    return model.eval()


def pictures(side: int, count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(256, (count, side, side, 3), dtype=torch.uint8, generator=generator)


def pixels(value: Tensor, mean: Any, deviation: Any) -> Tensor:
    """What the library's models take: standardised floats, channels first."""
    return ((value / 255 - torch.tensor(mean)) / torch.tensor(deviation)).permute(0, 3, 1, 2)


def batch(image: Tensor, text: tuple[Tensor, Tensor] | None = None) -> Batch:
    owner = torch.arange(len(image))
    items = {"image": Items(image, torch.ones(len(image), 1, dtype=torch.bool), owner)}
    if text is not None:
        items["text"] = Items(*text, owner)
    return Batch(tuple(map(str, owner)), owner, items)


@torch.no_grad()
def test_vit(tmp_path: Path) -> None:
    reference = shake(transformers.ViTForImageClassification(transformers.ViTConfig(**SMALL, **PICTURE, num_labels=5)))
    model, value = imported(reference, tmp_path), pictures(24)
    close(
        model.predict(batch(value), torch.float32)["class"],
        reference(pixels(value, HALF, HALF)).logits,
    )


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
@torch.no_grad()
def test_resnet(kind: str, tmp_path: Path) -> None:
    sizes = [8, 16, 32] if kind == "basic" else [32, 64, 128]
    config = transformers.ResNetConfig(**{**BACKBONE, "layer_type": kind, "hidden_sizes": sizes}, num_labels=5)
    reference = shake(transformers.ResNetForImageClassification(config))
    model, value = imported(reference, tmp_path), pictures(50)
    expected = reference(pixels(value, IMAGENET_MEAN, IMAGENET_DEVIATION)).logits
    close(model.predict(batch(value), torch.float32)["class"], expected)


@torch.no_grad()
def test_detr(tmp_path: Path) -> None:
    reference = shake(detr())
    model, value = imported(reference, tmp_path), pictures(64)
    expected = reference(pixels(value, IMAGENET_MEAN, IMAGENET_DEVIATION))
    found = model.predict(batch(value), torch.float32)
    close(found["objects"], expected.logits)
    close(centre_size(found["boxes"]), expected.pred_boxes)


@torch.no_grad()
def test_detr_with_a_frozen_backbone_of_timms_names(tmp_path: Path) -> None:
    """The public DETR-R50's: conv1, bn1, layer1.0.conv1 …, no count of batches, and config.json names the backbone only."""
    torch.manual_seed(0)
    backbone = {"embedding_size": 64, "hidden_sizes": [256, 512, 1024, 2048], "depths": [3, 4, 6, 3]}
    reference = detr(backbone)
    reference.save_pretrained(tmp_path)
    plain = read_public(tmp_path)
    renamed = {timm_name(name): tensor for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    renamed = {name: tensor for name, tensor in renamed.items() if not name.endswith("num_batches_tracked")}
    save_file(renamed, tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    config.update(use_timm_backbone=True, backbone="resnet50", backbone_config=None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = read_public(tmp_path)
    assert not found.left_over and not found.fresh and found.size == plain.size
    assert all(torch.equal(tensor, plain.tensors[name]) for name, tensor in found.tensors.items())


def timm_name(name: str) -> str:
    start = "model.backbone.conv_encoder.model."
    if not name.startswith(start):
        return name
    parts = name.removeprefix(start).replace("embedder.embedder.convolution", "conv1")
    parts = parts.replace("embedder.embedder.normalization", "bn1").replace("shortcut.convolution", "downsample.0")
    parts = parts.replace("shortcut.normalization", "downsample.1")
    if parts.startswith("encoder.stages."):
        _, _, stage, _, unit, *rest = parts.split(".")
        if rest[0] == "layer":
            kind = {"convolution": "conv", "normalization": "bn"}[rest[2]]
            rest = [f"{kind}{int(rest[1]) + 1}", *rest[3:]]
        parts = ".".join([f"layer{int(stage) + 1}", unit, *rest])
    return start + parts


def detr(backbone: dict[str, Any] | None = None) -> nn.Module:
    resnet = transformers.ResNetConfig(
        **(backbone or BACKBONE), out_features=["stage3" if backbone is None else "stage4"]
    )
    return transformers.DetrForObjectDetection(
        transformers.DetrConfig(
            d_model=24, encoder_layers=2, decoder_layers=2, encoder_attention_heads=3, decoder_attention_heads=3,
            encoder_ffn_dim=40, decoder_ffn_dim=40, num_queries=7, num_labels=4, use_timm_backbone=False,
            use_pretrained_backbone=False, backbone_config=resnet, attn_implementation="eager",
        )
    )  # fmt: skip


WORDS = {"vocab_size": 30, "max_position_embeddings": 9, "bos_token_id": 27, "eos_token_id": 28, "pad_token_id": 0}
LENGTHS = torch.tensor([9, 5, 2])
VALID = torch.arange(9)[None] < LENGTHS[:, None]


def padded_words() -> Tensor:
    """<bos> words <eos>, padded."""
    ids = torch.randint(3, 27, (3, 9), generator=torch.Generator().manual_seed(3))
    ids[:, 0], ids[torch.arange(3), LENGTHS - 1] = 27, 28
    return ids.masked_fill(~VALID, 0)


@torch.no_grad()
def test_clip(tmp_path: Path) -> None:
    """With padding, and widths that differ between text and picture."""
    config = transformers.CLIPConfig(
        text_config={**SMALL, **WORDS, "hidden_size": 18}, vision_config={**SMALL, **PICTURE}, projection_dim=20
    )
    reference = shake(transformers.CLIPModel(config))
    model, value, ids = imported(reference, tmp_path), pictures(24), padded_words()
    expected = reference(ids, pixels(value, clip.MEAN, clip.DEVIATION), attention_mask=VALID.long())
    found = model.predict(batch(value, (ids, VALID)), torch.float32)
    close(found["text"], expected.text_embeds)
    close(found["image"], expected.image_embeds)
    logits = found["text"] @ found["image"].T * model.get_parameter("log_scale").exp()
    close(logits / 10, expected.logits_per_text / 10)  # they reach 15


@torch.no_grad()
def test_siglip(tmp_path: Path) -> None:
    """Padding is seen, as in the library where no mask is given. Ours pads on its own, with chiasm's <pad>, which is 0 too."""
    config = transformers.SiglipConfig(
        text_config={**SMALL, **WORDS}, vision_config={**SMALL, **PICTURE}, attn_implementation="eager"
    )
    reference = shake(transformers.SiglipModel(config))
    model, value, ids = imported(reference, tmp_path), pictures(24), padded_words()
    ids[0, 6:] = 0
    expected = reference(ids, pixels(value, HALF, HALF))
    found = model.predict(batch(value, (ids[:, :7], VALID[:, :7])), torch.float32)
    close(found["text"], expected.text_embeds)
    close(found["image"], expected.image_embeds)
    scale, bias = model.get_parameter("log_scale").exp(), model.get_parameter("bias")
    close(found["text"] @ found["image"].T * scale + bias, expected.logits_per_text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"layer_norm_eps": 1e-3}, "layer_norm_eps is 0.001"),
        ({"patch_size": 7}, "not a multiple of patch_size 7"),
        ({"image_size": 10**9}, "image_size is 1000000000"),
        ({"id2label": {"0": "a", "7": "b"}}, "id2label must number"),
    ],
)
def test_a_configuration_that_ours_cannot_do_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    reference = transformers.ViTForImageClassification(transformers.ViTConfig(**SMALL, **PICTURE, num_labels=2))
    reference.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(ModelError, match=message):
        read_public(tmp_path)
