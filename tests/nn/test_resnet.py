"""ResNet against Hugging Face's with the same weights; its shapes, sizes and statistics."""

from __future__ import annotations

import pytest
import torch
from nn_cases import close, fill, shake
from torch import nn

from chiasm.nn.resnet import IMAGENET_DEVIATION, IMAGENET_MEAN, ResNet, make_resnet

# With a linear head of 1,000 classes, as torchvision lists them.
PUBLISHED = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032, "resnet101": 44_549_160}


@pytest.mark.parametrize("bottleneck", [False, True])
@torch.no_grad()
def test_equals_the_public_model(bottleneck: bool) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = [32, 64, 128] if bottleneck else [8, 16, 32]
    reference = shake(
        transformers.ResNetModel(
            transformers.ResNetConfig(
                embedding_size=8, hidden_sizes=sizes, depths=[2, 1, 2],
                layer_type="bottleneck" if bottleneck else "basic",
            )
        )
    )  # fmt: skip
    ours = ResNet((2, 1, 2), bottleneck, width=8).eval()

    def copy(target: nn.Module, source: nn.Module) -> None:
        fill(target, source.convolution)
        norm = source.normalization
        norm.running_mean.normal_(std=0.1)
        norm.running_var.uniform_(0.5, 1.5)
        target.get_submodule("norm").load_state_dict(norm.state_dict())

    copy(ours.stem, reference.embedder.embedder)
    for stage, theirs in zip(ours.stages, reference.encoder.stages, strict=True):
        for unit, layer in zip(stage.children(), theirs.layers, strict=True):
            for step, source in zip(unit.get_submodule("steps").children(), layer.layer, strict=True):
                copy(step, source)
            if "shortcut.weight" in dict(unit.named_parameters()):
                copy(unit.get_submodule("shortcut"), layer.shortcut)
            else:
                assert isinstance(layer.shortcut, nn.Identity)
    pictures = torch.randint(256, (2, 3, 50, 64), dtype=torch.uint8)
    mean, deviation = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    expected = reference((pictures / 255 - mean) / deviation)
    found = ours(pictures)
    scale = expected.last_hidden_state.abs().max()  # shaken weights make features of any size
    close(found / scale, expected.last_hidden_state / scale)
    close(ours.pool(found)[..., None, None] / scale, expected.pooler_output / scale)
    close(ours(pictures / 255) / scale, found / scale)


@pytest.mark.parametrize("name", PUBLISHED)
def test_as_many_parameters_as_the_public_model(name: str) -> None:
    with torch.device("meta"):
        model = make_resnet(name)
    assert sum(p.numel() for p in model.parameters()) + (model.channels + 1) * 1000 == PUBLISHED[name]


@pytest.mark.parametrize(("stem", "shrink"), [("imagenet", 32), ("cifar", 8)])
def test_maps(stem: str, shrink: int) -> None:
    model = make_resnet("resnet18", stem, width=4)
    pictures = torch.randint(256, (2, 3, 64, 32), dtype=torch.uint8)
    found = model(pictures)
    assert found.shape == (2, model.channels, 64 // shrink, 32 // shrink)
    assert model.pool(found).shape == (2, model.channels)
    assert model(pictures, torch.bfloat16).dtype == torch.bfloat16


def test_statistics_move_in_training_only() -> None:
    torch.manual_seed(0)
    model = make_resnet("resnet18", "cifar", width=4)
    pictures = torch.randint(256, (4, 3, 16, 16), dtype=torch.uint8)
    start = {name: value.clone() for name, value in model.named_buffers()}
    model.eval()
    first = model(pictures)
    assert all(torch.equal(value, start[name]) for name, value in model.named_buffers())
    assert torch.equal(model(pictures), first)
    model.train()
    model(pictures)
    moved = [name for name, value in model.named_buffers() if not torch.equal(value, start[name])]
    assert moved == [name for name in start if name not in ("mean", "deviation")]


def test_own_standardisation() -> None:
    model = make_resnet("resnet18", "cifar", width=4).eval()
    pictures = torch.randint(256, (1, 3, 16, 16), dtype=torch.uint8)
    before = model(pictures)
    model.standardise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert not torch.equal(model(pictures), before)
    assert "mean" in model.state_dict()


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="resnet18"):
        make_resnet("resnet42")
    with pytest.raises(ValueError, match="cifar"):
        make_resnet("resnet18", "tiny")
