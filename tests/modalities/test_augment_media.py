"""Changes to pictures, sounds and texts: what they keep, what they change, and by how much."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from chiasm.modalities.audio import RATE
from chiasm.modalities.augment_audio import (
    add_noise,
    gain,
    mask_bands,
    overlay,
    pitch_shift,
    silenced,
    stretch,
)
from chiasm.modalities.augment_image import (
    COLOURS,
    OPERATIONS,
    apply_operations,
    cut_mix,
    draw_operations,
    mix_up,
)
from chiasm.modalities.augment_text import back_off, drop_words, stems, swap_words


def photo(seed: int = 0, high: int = 40, wide: int = 56) -> NDArray[np.uint8]:
    small = np.random.default_rng(seed).integers(30, 220, (5, 7, 3))
    return np.repeat(np.repeat(small, high // 5, 0), wide // 7, 1).astype(np.uint8)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("level", [-1.0, 0.3, 1.0])
def test_every_operation_keeps_the_sides_and_changes_something(name: str, level: float) -> None:
    picture = photo()
    changed = apply_operations(picture, [(name, level)])
    assert changed.shape == picture.shape and changed.dtype == np.uint8
    assert (changed == picture).all() == (name == "identity")


@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y", "color", "contrast"])
def test_no_magnitude_is_no_change(name: str) -> None:
    assert (apply_operations(photo(), [(name, 0.0)]) == photo()).all()


def test_translation_moves_by_its_share_and_fills_with_the_border() -> None:
    picture = np.full((20, 40, 3), 250, np.uint8)
    picture[8:12, 18:22] = 10
    moved = apply_operations(picture, [("translate_x", 0.5)])  # half of 30 % of 40 pixels, to the left
    dark = np.flatnonzero((moved < 100).any((0, 2)))
    assert dark.tolist() == [12, 13, 14, 15]
    assert (moved[:, -6:] == 250).all()


def test_colour_operations_leave_everything_in_its_place() -> None:
    picture = np.full((24, 24, 3), 230, np.uint8)
    picture[6:14, 5:11] = (200, 40, 30)
    for name in COLOURS:
        changed = apply_operations(picture, [(name, 0.4)]).astype(int)
        inside = np.abs(changed[8:12, 7:9] - changed[9, 8]).max()
        outside = np.abs(changed[:4] - changed[0, 0]).max()
        assert inside == 0 and outside == 0, name


def test_operations_are_drawn_evenly_and_by_their_numbers_alone() -> None:
    rng = np.random.default_rng(0)
    names = tuple(OPERATIONS)
    drawn = [draw_operations(rng.random(4), 15, names) for _ in range(2000)]
    counts = {name: sum(one[0] == name for pair in drawn for one in pair) for name in names}
    assert min(counts.values()) > 0.75 * 4000 / 14 and max(counts.values()) < 1.25 * 4000 / 14
    assert {level for pair in drawn for _, level in pair} == {-0.5, 0.5}
    u = np.array([0.1, 0.9, 0.2, 0.7])
    assert draw_operations(u, 15, names) == draw_operations(u.copy(), 15, names)


def test_mixing_keeps_the_share() -> None:
    one, other = np.zeros((30, 30, 3), np.uint8), np.full((12, 18, 3), 200, np.uint8)
    assert mix_up(one, other, 0.75).max() == mix_up(one, other, 0.75).min() == 50
    cut = cut_mix(one, other, 0.75, np.random.default_rng(3))
    assert (cut > 0).all(2).mean() == pytest.approx(0.25, abs=0.02)
    assert (one == 0).all()


def tone(hertz: float, seconds: float = 1.0) -> NDArray[np.float32]:
    time = np.arange(round(RATE * seconds)) / RATE
    return (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def hertz_of(x: NDArray[np.float32]) -> float:
    middle = x[len(x) // 4 : 3 * len(x) // 4]
    size = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 2**17))
    return float(size.argmax() * RATE / 2**17)


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_a_stretch_keeps_the_pitch(rate: float) -> None:
    x = tone(440)
    y = stretch(x, rate)
    assert len(y) == round(len(x) / rate)
    assert hertz_of(y) == pytest.approx(440, abs=3)
    assert np.sqrt((y[4000:-4000] ** 2).mean()) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("semitones", [-3.0, 4.0])
def test_a_shift_moves_the_pitch_and_keeps_the_length(semitones: float) -> None:
    y = pitch_shift(tone(440), semitones)
    assert len(y) == RATE
    assert hertz_of(y) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.01)


def test_levels_are_what_they_say() -> None:
    x = tone(300)
    power = float((x**2).mean())
    noise = add_noise(x, 20, np.random.default_rng(0)) - x
    assert 10 * np.log10(power / float((noise**2).mean())) == pytest.approx(20, abs=0.2)
    over = overlay(x, 0.01 * tone(900, 0.3), 10) - x
    assert 10 * np.log10(power / float((over**2).mean())) == pytest.approx(10, abs=0.2)
    assert float(np.abs(gain(x, -6)).max()) == pytest.approx(0.3 * 10**-0.3, rel=1e-3)
    assert float(np.abs(gain(x, 40)).max()) <= 1  # scaled down whole, not clipped
    assert hertz_of(gain(x, 40)) == pytest.approx(300, abs=1)
    silence = np.zeros(8000, np.float32)
    assert (add_noise(silence, 10, np.random.default_rng(0)) == 0).all()


def test_masks_silence_a_band_and_a_stretch_of_time() -> None:
    x = np.random.default_rng(1).uniform(-0.3, 0.3, 2 * RATE).astype(np.float32)
    masked = mask_bands(x, np.random.default_rng(6), 1.0)
    assert len(masked) == len(x)
    frames = np.abs(np.fft.rfft(masked[: len(x) // 400 * 400].reshape(-1, 400) * np.hanning(400), axis=1))
    assert (np.median(frames, 0) < 0.25 * np.median(frames)).sum() >= 3  # frequencies
    assert (np.median(frames, 1) < 0.25 * np.median(frames)).sum() >= 1  # times
    assert (mask_bands(x, np.random.default_rng(6), 1.0) == masked).all()
    short = tone(400, 0.02)
    assert (mask_bands(short, np.random.default_rng(0), 1.0) == short).all()
    assert silenced(80, 0.999, 1.0, 16) == (65, 80)
    assert silenced(80, 0.0, 0.5, 16) == (40, 40)


def test_words_are_dropped_swapped_and_replaced() -> None:
    rng = np.random.default_rng(0)
    text = " ".join(f"w{n}" for n in range(400))
    kept = drop_words(text, 0.25, rng).split()
    assert 0.68 < len(kept) / 400 < 0.82 and kept == [w for w in text.split() if w in set(kept)]
    assert drop_words("alone", 1.0, rng) == "alone"
    assert sorted(swap_words("a b c d", 2, rng).split()) == ["a", "b", "c", "d"]
    assert swap_words("a b", 1, rng) == "b a" and swap_words("a", 1, rng) == "a"
    assert back_off("A Poodle, and (spaniel)!", {"poodle": "dog", "spaniel": "dog"}, 1.0, rng) == "A Dog, and (dog)!"
    assert back_off("A Poodle", {"poodle": "dog"}, 0.0, rng) == "A Poodle"
    assert stems({"teapots": 1, "teapot": 9, "teap": 3, "tea": 50, "cats": 1}) == {"teapots": "teapot"}
