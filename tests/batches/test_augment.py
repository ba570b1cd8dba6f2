"""Augmentation: within its bounds, from the numbers it is given, and never in place."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.batches.augment import (
    PICTURE_DRAWS,
    RAND_DRAWS,
    SOUND_DRAWS,
    augment_pictures,
    augment_sound,
    keep_tokens,
    rand_augment,
    shifts,
)


def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 24, 24, 3)).astype(np.uint8)


def test_strength_0_changes_nothing_and_nothing_is_changed_in_place() -> None:
    x = pictures()
    kept = x.copy()
    u = np.random.default_rng(1).random((20, PICTURE_DRAWS))
    assert (augment_pictures(x, u, 0.0, False) == x).all()
    augment_pictures(x, u, 1.0, True)
    assert (x == kept).all()


def test_a_shift_moves_whole_pixels_and_white_moves_in() -> None:
    x = pictures()
    u = np.full((20, PICTURE_DRAWS), 0.5)
    u[:, 0] = 1.0  # down by 24 / 12 = 2 pixels
    moved = augment_pictures(x, u, 1.0, False)
    assert (moved[:, 2:] == x[:, :-2]).all()
    assert (moved[:, :2] == 255).all()


def test_flip_mirrors_half_of_them() -> None:
    x = pictures()
    u = np.full((20, PICTURE_DRAWS), 0.5)
    u[:10, 2] = 0.1
    moved = augment_pictures(x, u, 0.0, True)
    assert (moved[:10] == x[:10, :, ::-1]).all()
    assert (moved[10:] == x[10:]).all()


def test_sound_masks_stay_within_their_share() -> None:
    x = np.full((100, 80), 128, np.uint8)
    for seed in range(50):
        out = augment_sound(x, np.random.default_rng(seed).random(SOUND_DRAWS), 1.0)
        silent = out == 0
        assert silent.all(1).sum() <= 12
        assert silent.all(0).sum() <= 32
    assert (x == 128).all()
    assert (augment_sound(x, np.random.default_rng(0).random(SOUND_DRAWS), 0.0) == x).all()


def test_another_voice_and_pace_move_a_tone_and_stretch_its_length() -> None:
    x = np.zeros((100, 80), np.uint8)
    x[:, 40] = 200
    u = np.full(SOUND_DRAWS, 0.5)
    u[[0, 2, 4]] = 0  # nothing silenced
    u[7], u[8] = 1.0, 0.0
    higher = augment_sound(x, u, 1.0)
    assert higher.shape == (80, 80)
    assert abs(int(higher[0].argmax()) - 46) <= 1
    u[8] = 1.0
    assert len(augment_sound(x, u, 1.0)) == 120
    assert len(augment_sound(x, u, 1.0, 110)) == 110


def test_places_move_with_their_pictures() -> None:
    x = np.full((30, 24, 24, 3), 255, np.uint8)
    x[:, 8:12, 12:16] = 0
    u = np.random.default_rng(0).random((30, PICTURE_DRAWS))
    for step in (1, 2):
        moved = shifts(u, 1.0, 24, step)
        assert (moved % step == 0).all()
        assert len(np.unique(moved)) > 1
        for picture, (down, right) in zip(augment_pictures(x, u, 1.0, False, step), moved, strict=True):
            ys, xs = (picture[..., 0] < 128).nonzero()
            assert (ys.min(), xs.min()) == (8 + down, 12 + right)


@pytest.mark.parametrize(("drop", "kept"), [(0.0, None), (0.5, 18), (0.75, 9), (0.99, 1)])
def test_kept_tokens_are_a_fair_sample(drop: float, kept: int | None) -> None:
    keep = keep_tokens(np.random.default_rng(0).random((2000, 36)), drop)
    if kept is None:
        assert keep is None
        return
    assert keep is not None
    assert keep.shape == (2000, kept)
    assert all(len(set(row)) == kept and list(row) == sorted(row) for row in keep.tolist())
    share = np.bincount(keep.ravel(), minlength=36) / 2000
    assert abs(share - kept / 36).max() < 0.05


def test_rand_augment_changes_each_picture_by_its_own_numbers() -> None:
    x = pictures()
    u = np.random.default_rng(2).random((20, RAND_DRAWS))
    changed = rand_augment(x, u, 15)
    assert changed.shape == x.shape and changed.dtype == np.uint8
    assert (changed != x).any((1, 2, 3)).sum() >= 15
    assert (rand_augment(x[7:9], u[7:9], 15) == changed[7:9]).all()
