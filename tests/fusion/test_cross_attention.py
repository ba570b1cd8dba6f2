"""The reader looks at the others in every block; the others stay as they are."""

from __future__ import annotations

from dataclasses import replace

import torch

from chiasm.fusion.cross_attention import CrossFusion
from chiasm.nn.transformer import make_transformer
from chiasm.types import Features


def features(name: str, n: int, width: int = 16) -> Features:
    return Features(torch.randn(2, n, width), torch.ones(2, n, dtype=torch.bool), ((name, 0, n),))


def test_the_reader_alone_changes_and_sees_what_is_valid() -> None:
    torch.manual_seed(0)
    trunk = make_transformer({"all": 2}, width=16, heads=2, cross=True, memory_width=24)
    fusion = CrossFusion(trunk)
    text, image = features("text", 4), features("image", 6, 24)
    fused = fusion({"image": image, "text": text})
    assert torch.equal(fused.parts["image"].x, image.x)
    torch.testing.assert_close(fused.joint, fused.parts["text"].x.mean(1))

    other = image.x.clone()
    other[:, 5] += 1
    moved = fusion({"text": text, "image": replace(image, x=other)}).joint
    assert not torch.allclose(moved, fused.joint)
    hidden = image.valid.clone()
    hidden[:, 5] = False
    blind = [fusion({"text": text, "image": Features(x, hidden, image.segments)}).joint for x in (image.x, other)]
    torch.testing.assert_close(blind[0], blind[1])


def test_two_others_are_one_memory() -> None:
    torch.manual_seed(0)
    fusion = CrossFusion(make_transformer({"all": 1}, width=16, heads=2, cross=True))
    text, image, sound = features("text", 4), features("image", 3), features("audio", 2)
    both = Features(torch.cat([image.x, sound.x], 1), torch.ones(2, 5, dtype=torch.bool), (("image", 0, 5),))
    apart = fusion({"text": text, "image": image, "audio": sound})
    torch.testing.assert_close(apart.joint, fusion({"text": text, "image": both}).joint)
    assert set(apart.parts) == {"text", "image", "audio"}
