"""The trainable fronts against plain definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.modalities.embed import ImageEmbedder, RegionEmbedder, TextEmbedder, VideoEmbedder, sinusoidal
from chiasm.types import Items


def items(value: Tensor, valid: Tensor | None = None, **more: Tensor) -> Items:
    if valid is None:
        valid = torch.ones(value.shape[:2], dtype=torch.bool)
    return Items(value, valid, torch.arange(len(value)), **more)


def test_a_text_is_the_sum_of_its_tables_normed() -> None:
    torch.manual_seed(0)
    embedder = TextEmbedder(9, 6, 4, segments=2, norm=1e-5, offset=2)
    ids, segment = torch.randint(9, (2, 5)), torch.randint(2, (2, 5))
    table, positions, segments = embedder.table, embedder.get_parameter("positions"), embedder.get_parameter("segments")
    assert positions.shape == (8, 4)
    plain = table[ids] + positions[2:7]
    torch.testing.assert_close(
        embedder(items(ids, segment=segment), torch.float32).x, F.layer_norm(plain + segments[segment], (4,))
    )
    torch.testing.assert_close(embedder(items(ids), torch.float32).x, F.layer_norm(plain + segments[0], (4,)))
    at = torch.tensor([[3, 3, 0, 1, 2], [0, 1, 2, 3, 4]])
    torch.testing.assert_close(
        embedder(items(ids), torch.float32, at).x, F.layer_norm(table[ids] + positions[at + 2] + segments[0], (4,))
    )


def test_positions_that_are_not_learned() -> None:
    ids = torch.randint(9, (2, 5))
    fixed = TextEmbedder(9, 6, 4, positions="sinusoidal")
    torch.testing.assert_close(fixed(items(ids), torch.float32).x, fixed.table[ids] * 2 + sinusoidal(6, 4)[:5])
    assert list(fixed.state_dict()) == ["table"]
    bare = TextEmbedder(9, 6, 4, positions=None)
    torch.testing.assert_close(bare(items(ids), torch.float32).x, bare.table[ids])
    with pytest.raises(ValueError, match="must be learned"):
        TextEmbedder(9, 6, 4, positions="rotary")


def test_defaults_add_no_parameters() -> None:
    assert list(TextEmbedder(9, 6, 4).state_dict()) == ["table", "positions"]
    names = ["projection", "bias", "positions", "mean", "deviation"]
    assert sorted(ImageEmbedder(8, 4, 6).state_dict()) == sorted(f"embed.{name}" for name in names)


@pytest.mark.parametrize("kept", [None, torch.tensor([[3, 1], [0, 2]])])
def test_a_class_token_comes_first_and_is_always_kept(kept: Tensor | None) -> None:
    torch.manual_seed(0)
    embedder = ImageEmbedder(8, 4, 6, class_token=True, bias=False, norm=1e-5)
    embedder.standardise((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    pictures = torch.randint(256, (2, 8, 8, 3), dtype=torch.uint8)
    tokens = embedder(Items(pictures, torch.ones(2, 1, dtype=torch.bool), torch.arange(2), kept), torch.float32)
    standard = (pictures / 255 - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.2, 0.3, 0.4])
    part = embedder.embed
    assert part.class_token is not None
    for i in range(2):
        rows = [part.class_token + part.positions[0]]
        for patch in range(4) if kept is None else kept[i].tolist():
            y, x = divmod(patch, 2)
            values = standard[i, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].flatten()
            rows.append(part.projection @ values + part.positions[1 + patch])
        torch.testing.assert_close(tokens.x[i], F.layer_norm(torch.stack(rows), (6,)), atol=1e-4, rtol=1e-4)
    assert tokens.segments == (("image", 0, tokens.x.shape[1]),)
    assert tokens.valid.all()


def test_what_a_hidden_patch_shows_does_not_matter() -> None:
    torch.manual_seed(0)
    embedder = ImageEmbedder(8, 4, 6)
    valid, hidden = torch.ones(1, 1, dtype=torch.bool), torch.tensor([[False, True, False, False]])
    one, other = torch.randint(256, (2, 1, 8, 8, 3), dtype=torch.uint8)
    other[:, :, :4] = one[:, :, :4]
    other[:, 4:] = one[:, 4:]
    shown = [embedder(items(picture, valid), torch.float32).x for picture in (one, other)]
    blind = [embedder(items(picture, valid, hidden=hidden), torch.float32).x for picture in (one, other)]
    assert not torch.equal(*shown)
    assert torch.equal(*blind)
    torch.testing.assert_close(blind[0][:, [0, 2, 3]], shown[0][:, [0, 2, 3]])
    keep = torch.tensor([[2, 1]])
    kept = embedder(items(one, valid, hidden=hidden, keep=keep), torch.float32).x
    torch.testing.assert_close(kept[0], blind[0][0, [2, 1]])


@pytest.mark.parametrize("box_values", [4, 5, 7])
@pytest.mark.parametrize("norm", [True, False])
def test_regions_are_features_and_places(box_values: int, norm: bool) -> None:
    torch.manual_seed(0)
    embedder = RegionEmbedder(3, 8, box_values, norm)
    boxes = torch.tensor([[[0.1, 0.2, 0.5, 0.8], [0.0, 0.0, 1.0, 1.0]]])
    features = torch.randn(1, 2, 3)
    hidden = torch.tensor([[False, True]])
    tokens = embedder(items(features, boxes=boxes, hidden=hidden), torch.float32)
    places = {
        4: [[0.1, 0.2, 0.5, 0.8], [0, 0, 1, 1]],
        5: [[0.1, 0.2, 0.5, 0.8, 0.24], [0, 0, 1, 1, 1]],
        7: [[0.1, 0.2, 0.5, 0.8, 0.4, 0.6, 0.24], [0, 0, 1, 1, 1, 1, 1]],
    }[box_values]
    seen = torch.stack([features[0, 0], torch.zeros(3)])
    parts = [embedder.features(seen), embedder.boxes(torch.tensor(places, dtype=torch.float32))]
    if norm:
        parts = [F.layer_norm(part, (8,), eps=1e-12) for part in parts]
    expected = F.layer_norm(parts[0] + parts[1], (8,), eps=1e-12)
    torch.testing.assert_close(tokens.x[0], expected, atol=1e-5, rtol=1e-5)
    assert tokens.segments == (("regions", 0, 2),)


def test_regions_need_boxes() -> None:
    with pytest.raises(ValueError, match="boxes"):
        RegionEmbedder(3, 8)(items(torch.randn(1, 2, 3)), torch.float32)
    with pytest.raises(ValueError, match="4, 5 or 7"):
        RegionEmbedder(3, 8, 6)


def test_a_clip_is_cut_into_tubelets_time_by_time() -> None:
    torch.manual_seed(0)
    embedder = VideoEmbedder(4, 2, 8, 4, 6)
    clips = torch.randint(256, (3, 4, 8, 8, 3), dtype=torch.uint8)
    valid = torch.ones(3, 4, dtype=torch.bool)
    valid[1, 3] = valid[2, 2:] = False  # half of a tubelet, and a whole one
    made = embedder(Items(clips, valid, torch.arange(3)), torch.float32)
    assert made.segments == (("video", 0, 8),)
    assert made.valid.tolist() == [[True] * 8, [True] * 8, [True] * 4 + [False] * 4]
    front = embedder.embed
    moments = front.get_parameter("moments")
    for t in range(2):
        for y in range(2):
            for x in range(2):
                cut = clips[:, 2 * t : 2 * t + 2, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].reshape(3, -1)
                plain = (
                    F.linear(cut / 127.5 - 1, front.projection, front.bias) + front.positions[2 * y + x] + moments[t]
                )
                torch.testing.assert_close(made.x[:, 4 * t + 2 * y + x], plain)
    keep = torch.tensor([[0, 5], [2, 7], [1, 4]])
    some = embedder(Items(clips, valid, torch.arange(3), keep), torch.float32)
    torch.testing.assert_close(some.x, made.x.gather(1, keep[..., None].expand(-1, -1, 6)))
    assert some.valid.tolist() == [[True, True], [True, True], [True, False]]


def test_a_clip_is_standardised_by_its_valid_frames() -> None:
    embedder = VideoEmbedder(2, 1, 4, 4, 6)
    clips = torch.randint(100, 256, (50, 2, 4, 4, 3), dtype=torch.uint8)
    valid = torch.ones(50, 2, dtype=torch.bool)
    clips[:, 1], valid[:, 1] = 0, False
    embedder.calibrate(Items(clips, valid, torch.arange(50)))
    torch.testing.assert_close(embedder.embed.mean, clips[:, 0].flatten(1).float().mean(0))
    with pytest.raises(ValueError, match="do not divide"):
        VideoEmbedder(3, 2, 8, 4, 6)
