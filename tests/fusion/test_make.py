"""What holds for every kind of fusion."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fusion_cases import HEADS, LAYERS, LENGTHS, WIDTH, asked, fusion, gradients, parts, without

from chiasm.fusion.fusion import Fused
from chiasm.fusion.make import KINDS, FusionKind, joint_width, make_fusion
from chiasm.types import Features

THREE = ("text", "image", "audio")
each = pytest.mark.parametrize("kind", KINDS)


@each
@pytest.mark.parametrize("modalities", [("text", "image"), THREE], ids=["two", "three"])
def test_one_vector_a_record_and_every_sequence_back(kind: FusionKind, modalities: tuple[str, ...]) -> None:
    given = parts(modalities)
    fused: Fused = fusion(kind, modalities)(given)
    assert fused.joint.shape == (3, joint_width(kind, len(modalities), WIDTH))
    assert fused.joint.isfinite().all()
    assert set(fused.parts) == set(modalities)
    for name, part in fused.parts.items():
        assert part.x.shape == (3, LENGTHS[name], WIDTH)
        assert torch.equal(part.valid, given[name].valid)
        assert part.segments == ((name, 0, LENGTHS[name]),)


@each
def test_padding_changes_nothing(kind: FusionKind) -> None:
    given, made = parts(), fusion(kind)
    padded = {
        name: Features(
            torch.cat([part.x, torch.full((3, 2, WIDTH), 7.0)], 1),
            torch.cat([part.valid, torch.zeros(3, 2, dtype=torch.bool)], 1),
            ((name, 0, part.x.shape[1] + 2),),
        )
        for name, part in given.items()
    }
    plain, more = made(given), made(padded)
    torch.testing.assert_close(more.joint, plain.joint, atol=1e-5, rtol=0)
    for name, part in given.items():
        now, before = more.parts[name].x[:, : LENGTHS[name]][part.valid], plain.parts[name].x[part.valid]
        torch.testing.assert_close(now, before, atol=1e-5, rtol=0)


@each
def test_order_of_modalities_changes_nothing(kind: FusionKind) -> None:
    given, made = parts(THREE), fusion(kind, THREE)
    turned = {name: given[name] for name in ("audio", "text", "image")}
    torch.testing.assert_close(made(turned).joint, made(given).joint, atol=1e-5, rtol=0)


@each
@pytest.mark.parametrize("missing", ["text", "image"])
def test_a_missing_modality_drops_out(kind: FusionKind, missing: str) -> None:
    given, made = parts(ragged=False), fusion(kind)
    lacking = {**given, missing: without(given[missing], 1)}
    changed = {**lacking, missing: replace(lacking[missing], x=lacking[missing].x.clone())}
    changed[missing].x[1] = 5.0  # what stands in the place of an absent modality is never looked at
    whole, less, other = made(given).joint, made(lacking).joint, made(changed).joint
    assert less.isfinite().all()
    torch.testing.assert_close(other, less, atol=1e-6, rtol=0)
    torch.testing.assert_close(less[[0, 2]], whole[[0, 2]], atol=1e-5, rtol=0)
    assert not torch.allclose(less[1], whole[1], atol=1e-3)


@each
def test_a_batch_without_any_picture(kind: FusionKind) -> None:
    given, made = parts(), fusion(kind)
    none = Features(given["image"].x, torch.zeros(3, 4, dtype=torch.bool), given["image"].segments)
    joint = made({**given, "image": none}).joint
    assert joint.isfinite().all()
    one = {**given, "image": without(given["image"], 1)}
    torch.testing.assert_close(joint[1], made(one).joint[1], atol=1e-5, rtol=0)


@each
def test_gradients_reach_every_encoder_and_parameter(kind: FusionKind) -> None:
    given, made = parts(), fusion(kind)
    leaves = {name: replace(part, x=part.x.clone().requires_grad_()) for name, part in given.items()}
    asked(made(leaves).joint).backward()
    for leaf in leaves.values():
        assert leaf.x.grad is not None
        reached = leaf.x.grad.abs().amax(-1) > 0
        if kind == "late_max":  # a token may be largest nowhere after the mean only by accident
            assert reached.any()
        else:
            assert torch.equal(reached, leaf.valid)
    assert not [name for name, size in gradients(made).items() if size == 0]


@each
def test_the_modalities_interact(kind: FusionKind) -> None:
    """The joint vector is more than what either modality says of it, or the head has to do it: concatenation and the sums are additive."""
    made = fusion(kind)
    a = parts(ragged=False)
    shifted = {name: replace(part, x=part.x.roll(1, 0)) for name, part in a.items()}
    both = made(a).joint + made(shifted).joint
    crossed = made({**a, "text": shifted["text"]}).joint + made({**a, "image": shifted["image"]}).joint
    additive = torch.allclose(both, crossed, atol=1e-4)
    assert additive == (kind in ("late_concat", "late_sum", "late_weighted"))


@each
def test_depths_are_comparable(kind: FusionKind) -> None:
    made = make_fusion(kind, ("text", "image"), WIDTH, HEADS, LAYERS)
    early = make_fusion("early", ("text", "image"), WIDTH, HEADS, LAYERS)
    count, least = (sum(p.numel() for p in module.parameters()) for module in (made, early))
    assert least <= count <= 5 * least


def test_an_unknown_kind_is_refused() -> None:
    for kind in ("lately", "late_product"):
        with pytest.raises(ValueError, match="a fusion is one of early, "):
            make_fusion(kind, ("text", "image"), WIDTH, HEADS, LAYERS)  # type: ignore[arg-type]
