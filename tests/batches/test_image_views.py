"""Views of pictures: functions of seed and step alone, plain in evaluation, and masks in the shares that were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from chiasm.batches.draws import Draws
from chiasm.batches.image_views import ClassLabel, Objects, Picture, Regions, TwoPictures
from chiasm.batches.task import Corpus, Facts, Task, TaskMaker, View, assemble, evaluation_batches, usable
from chiasm.batches.views_augment import RECIPES, VIEW_DRAWS, augment_view, random_crop
from chiasm.errors import ConfigError, DataError
from chiasm.modalities.regions import RegionProvider
from chiasm.modalities.text import Tokenizer
from chiasm.types import IGNORE, Batch, Box, Items, Label, Record

SIDE = 32
COLOURS = {"red": (220, 30, 40), "blue": (30, 60, 220), "green": (20, 160, 60), "black": (0, 0, 0)}


@dataclass(frozen=True)
class Arrays:
    """A store of arrays in memory."""

    pictures: np.ndarray

    def get(self, keys: Sequence[tuple[int, int]]) -> list[np.ndarray | None]:
        return [self.pictures[row] for row, _ in keys]


def drawn(n: int) -> tuple[np.ndarray, list[Record]]:
    """Pictures of 1 to 4 squares on white; in every tenth record one label is in no other record, and every 16th has no box."""
    random = np.random.default_rng(0)
    pictures, records = [], []
    for index in range(n):
        canvas = Image.new("RGB", (SIDE, SIDE), "white")
        boxes = []
        for quarter in random.permutation(4)[: random.integers(1, 5)]:
            x, y = quarter % 2 * 16 + int(random.integers(4)), quarter // 2 * 16 + int(random.integers(4))
            name, size = list(COLOURS)[random.integers(4)], int(random.integers(8, 13))
            ImageDraw.Draw(canvas).rectangle((x, y, x + size - 1, y + size - 1), fill=COLOURS[name])
            boxes.append(Box(x / SIDE, y / SIDE, (x + size) / SIDE, (y + size) / SIDE, name))
        if index % 10 == 9:
            boxes[0] = replace(boxes[0], label=f"rare {index}")
        labels = (Label("source", "drawn"), Label("count", str(len(boxes))))
        records.append(Record(f"r{index}", boxes=tuple(boxes) if index % 16 else (), labels=labels))
        pictures.append(np.asarray(canvas))
    return np.stack(pictures), records


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    pictures, records = drawn(160)
    boxes = [np.array([(b.x0, b.y0, b.x1, b.y1) for b in r.boxes], np.float32).reshape(-1, 4) for r in records]
    labels = [[b.label for b in r.boxes] for r in records]
    provider = RegionProvider.fit(pictures, boxes, labels, kind="boxes", width=8, classes=4, crop=4)
    facts = Facts(300, classes=("1", "2", "3"), objects=provider.names, region_width=8)
    ids, rows = [r.id for r in records], range(len(records))
    readable = [index != 5 for index in rows]
    tokenizer = Tokenizer.train(["a square"], 300)
    return Corpus(ids, rows, records, readable, Arrays(pictures), tokenizer, facts, "count", provider)


@pytest.fixture(scope="module")
def gridded(corpus: Corpus) -> Corpus:
    assert isinstance(corpus.pictures, Arrays)
    return replace(
        corpus, regions=RegionProvider.fit(corpus.pictures.pictures, kind="grid", width=8, classes=6, crop=4, grid=3)
    )


def made(
    corpus: Corpus, *views: View, step: int = 0, seed: int = 0, part: int = 0, parts: int = 1, batch: int = 64
) -> Batch:
    return TaskMaker(corpus, [Task("t", views)], batch, seed).make(step, part, parts)


def same(a: Items, b: Items) -> bool:
    names = ("value", "valid", "target", "hidden", "boxes", "classes")
    pairs = [(getattr(a, name), getattr(b, name)) for name in names]
    return all((x is None and y is None) or torch.equal(x, y) for x, y in pairs)


VIEWS = [
    Picture(SIDE, augment="shift"), Picture(SIDE, augment="crop_flip"), TwoPictures(SIDE, "simclr"), TwoPictures(SIDE, "moco_v1"),
    Regions(4, mask=0.3), Regions(4, mask=0.3, whole=True), Objects(3),
]  # fmt: skip


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_a_batch_depends_on_seed_and_step_and_not_on_parts(corpus: Corpus, view: View) -> None:
    whole = made(corpus, view, step=3)
    again = made(corpus, view, step=3)
    halves = [made(corpus, view, step=3, part=part, parts=2) for part in range(2)]
    for role, items in whole.items.items():
        assert same(items, again.items[role])
        for part, half in enumerate(halves):
            mine = slice(32 * part, 32 * part + 32)
            cut = {
                name: None if (x := getattr(items, name)) is None else x[mine]
                for name in ("value", "valid", "target", "hidden", "boxes", "classes")
            }
            assert same(half.items[role], replace(half.items[role], **cut))
    assert whole.ids == halves[0].ids + halves[1].ids


@pytest.mark.parametrize("view", VIEWS[:-1], ids=repr)
def test_seed_and_step_change_what_is_drawn(corpus: Corpus, view: View) -> None:
    task = Task("t", (view,))
    rows = usable(corpus, task)[:24]
    first, step, seed = (
        assemble(corpus, task, rows, Draws(*at, 24, slice(None)), training=True) for at in ((0, 0), (0, 1), (1, 0))
    )
    rows_of = [next(iter(batch.items.values())) for batch in (first, step, seed)]
    assert not same(rows_of[0], rows_of[1]) and not same(rows_of[0], rows_of[2])


@pytest.mark.parametrize("recipe", ["simclr", "cifar", "moco_v1", "moco_v2"])
def test_two_views_differ_in_training_and_are_plain_in_evaluation(corpus: Corpus, recipe: str) -> None:
    view = TwoPictures(SIDE, recipe)  # type: ignore[arg-type]
    batch = made(corpus, view)
    one, two = batch.items["image"].value, batch.items["image2"].value
    # (Two crops may both hold nothing but the white around the squares.)
    assert (one != two).flatten(1).any(1).float().mean() > 0.9
    assert one.dtype == torch.uint8 and one.shape == (64, SIDE, SIDE, 3)
    (plain,) = evaluation_batches(corpus, Task("t", (view,)), 8, 8)
    expected = torch.from_numpy(corpus.picture(plain.identity.numpy()))
    assert torch.equal(plain.items["image"].value, expected) and torch.equal(plain.items["image2"].value, expected)


def test_a_picture_is_plain_without_augmentation_and_scaled_where_the_store_is_larger(corpus: Corpus) -> None:
    batch = made(corpus, Picture(SIDE), Picture(16, role="small"))
    plain = corpus.picture(batch.identity.numpy())
    assert (batch.items["image"].value.numpy() == plain).all()
    small = np.asarray(Image.fromarray(plain[0]).resize((16, 16), Image.Resampling.BILINEAR), np.int64)
    assert np.abs(batch.items["small"].value[0].numpy() - small).max() <= 1
    assert "r5" not in {corpus.ids[p] for p in usable(corpus, Task("t", (Picture(SIDE),)))}


def test_crops_lie_in_the_picture_and_hold_the_share_that_was_drawn() -> None:
    u = np.random.default_rng(0).random((5000, 4))
    box = random_crop(u, 0.08).astype(np.float64)
    assert box.min() >= 0 and box.max() <= 1 + 1e-6
    w, h = (box[:, 2:] - box[:, :2]).T
    np.testing.assert_allclose(w * h, 0.08 + 0.92 * u[:, 0], rtol=1e-4)
    assert (np.abs(np.log(w / h)) <= np.log(4 / 3) + 1e-4).all()


def test_the_whole_picture_in_its_own_colours_comes_back_unchanged() -> None:
    x = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3)).astype(np.uint8)
    u = np.full((4, VIEW_DRAWS), 0.5)
    u[:, 0] = 1.0  # all of the area
    assert (augment_view(x, u, RECIPES["simclr"]) == x).all()  # factors of 1, a turn of 0
    u[:, 4] = 0.4
    assert (augment_view(x, u, RECIPES["crop_flip"]) == x[:, :, ::-1]).all()


def test_colours_are_what_one_change_after_the_other_makes() -> None:
    """Against the definitions (torchvision's adjust_* without the clip between), one order and all four factors."""
    x = np.random.default_rng(0).integers(90, 140, (1, 16, 16, 3)).astype(np.uint8)
    u = np.full((1, VIEW_DRAWS), 0.5)
    u[:, 0], u[:, 9], u[:, 10] = 1.0, 0.0, 0.0  # the order as listed: brightness, contrast, saturation, hue
    u[:, 5:9] = (0.55, 0.7, 0.8, 0.5)
    grey = np.array([0.299, 0.587, 0.114])
    wanted = x[0] * (1 + 0.1 * 0.8)
    wanted = wanted * (1 + 0.4 * 0.8) + (1 - (1 + 0.4 * 0.8)) * (wanted @ grey).mean()
    s = 1 + 0.6 * 0.8
    wanted = wanted * s + (1 - s) * (wanted @ grey)[..., None]
    got = augment_view(x, u, RECIPES["simclr"])[0]
    np.testing.assert_allclose(got, wanted.clip(0, 255), atol=0.51)
    u[:, 11] = 0.0  # grey
    dull = augment_view(x, u, RECIPES["simclr"])[0].astype(int)
    assert np.ptp(dull, axis=-1).max() == 0
    np.testing.assert_allclose(dull[..., 0], (wanted @ grey).clip(0, 255), atol=0.51)


def test_a_turn_of_the_hue_keeps_the_luma_and_changes_the_colour() -> None:
    x = np.tile(np.array([150, 110, 100], np.uint8), (1, 8, 8, 1))
    u = np.full((1, VIEW_DRAWS), 0.5)
    u[:, 0], u[:, 8] = 1.0, 0.95
    turned = augment_view(x, u, RECIPES["simclr"])[0, 0, 0].astype(float)
    grey = np.array([0.299, 0.587, 0.114])
    assert abs(turned @ grey - x[0, 0, 0] @ grey) < 1
    assert np.abs(turned - x[0, 0, 0]).max() > 10


def test_blur_smooths_and_keeps_a_plain_picture() -> None:
    x = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3)).astype(np.uint8)
    x[1] = 77
    u = np.full((2, VIEW_DRAWS), 0.5)
    u[:, 0], u[:, 10], u[:, 12], u[:, 13] = 1.0, 0.99, 0.0, 0.99
    blurred = augment_view(x, u, RECIPES["moco_v2"])
    assert blurred[0].std() < x[0].std() / 2 and (blurred[1] == 77).all()


def test_regions_carry_boxes_classes_and_true_labels(corpus: Corpus) -> None:
    assert corpus.regions is not None
    batch = made(corpus, Regions(4, mask=0.4, side=SIDE))
    items = batch.items["regions"]
    assert (
        items.target is not None and items.hidden is not None and items.boxes is not None and items.classes is not None
    )
    assert items.value.shape == (64, 4, 8) and items.value.dtype == torch.float32 and items.classes.shape == (64, 4, 4)
    for row, position in enumerate(batch.identity.tolist()):
        boxes = corpus.records[position].boxes
        assert items.valid[row].tolist() == [column < len(boxes) for column in range(4)]
        for column, box in enumerate(boxes):
            assert items.boxes[row, column].tolist() == pytest.approx([box.x0, box.y0, box.x1, box.y1])
            if items.target[row, column] != IGNORE:
                assert corpus.regions.names[items.target[row, column]] == box.label
    assert not items.value[~items.valid].any() and not items.classes[~items.valid].any()
    masked = items.target != IGNORE
    agree = items.classes.argmax(-1)[masked] == items.target[masked]
    assert agree.float().mean() > 0.98


@pytest.mark.parametrize("whole", [False, True])
def test_masks_come_in_the_shares_asked_for_and_at_least_once(gridded: Corpus, whole: bool) -> None:
    view = Regions(12, mask=0.15, hide=0.9, whole=whole, side=SIDE)
    batches = [made(gridded, view, step=step, batch=128).items["regions"] for step in range(8)]
    target, hidden, valid = (torch.cat([getattr(b, name) for b in batches]) for name in ("target", "hidden", "valid"))
    masked = target != IGNORE
    assert masked.any(1).all() and not (masked & ~valid).any() and not (hidden & ~masked).any()
    # Of 9 cells 1.35 are masked on average, and one where chance masks none.
    expected = (9 * 0.15 + 0.85**9) / 9
    assert masked[:, int(whole) : 9 + int(whole)].float().mean().item() == pytest.approx(expected, abs=0.02)
    assert (hidden.sum() / masked.sum()).item() == pytest.approx(0.9, abs=0.03)
    assert batches[0].classes is not None
    first = batches[0]
    asked = first.target != IGNORE
    assert torch.equal(first.classes.argmax(-1)[asked], first.target[asked])  # type: ignore[union-attr,index]


def test_the_whole_picture_comes_first_is_never_masked_and_hides_what_is_hidden(corpus: Corpus) -> None:
    assert corpus.regions is not None
    batch = made(corpus, Regions(4, mask=0.9, hide=1.0, whole=True, side=SIDE))
    items = batch.items["regions"]
    assert items.boxes is not None and items.target is not None and items.hidden is not None
    assert items.value.shape[1] == 5 and items.valid[:, 0].all()
    assert (items.boxes[:, 0] == torch.tensor([0.0, 0.0, 1.0, 1.0])).all()
    assert (items.target[:, 0] == IGNORE).all() and not items.hidden[:, 0].any()
    pictures = corpus.picture(batch.identity.numpy()).copy()
    whole = np.tile(np.array([0, 0, 1, 1], np.float32), (64, 1, 1))
    assert not np.allclose(corpus.regions.describe(pictures, whole)[0][:, 0], items.value[:, 0], atol=1e-3)
    # A square of another colour where one is hidden leaves the first region as it was.
    for row, column in torch.nonzero(items.hidden[:, 1:]).tolist():
        x0, y0, x1, y1 = np.rint(items.boxes[row, column + 1].numpy() * SIDE).astype(int)
        pictures[row, y0:y1, x0:x1] = (
            corpus.picture(batch.identity.numpy()[row : row + 1])[0].mean((0, 1)).astype(np.uint8)
        )
    np.testing.assert_allclose(corpus.regions.describe(pictures, whole)[0][:, 0], items.value[:, 0], atol=1e-5)
    plain = made(corpus, Regions(4, whole=True, side=SIDE)).items["regions"]
    assert plain.target is None and plain.hidden is None and plain.value.shape[1] == 5


def test_a_box_of_an_unknown_label_is_seen_and_never_masked(corpus: Corpus) -> None:
    view = Regions(4, mask=1.0, side=SIDE)
    positions = usable(corpus, Task("t", (view,)))
    assert 5 not in positions and 16 not in positions  # unreadable; without boxes
    rare = [p for p in positions if corpus.records[p].boxes[0].label.startswith("rare")]
    alone = [p for p in range(160) if [b.label[:4] for b in corpus.records[p].boxes] == ["rare"]]
    assert rare and not set(alone) & set(positions)
    items = assemble(
        corpus, Task("t", (view,)), np.array(rare), Draws(0, 0, len(rare), slice(None)), training=True
    ).items["regions"]
    assert items.target is not None
    assert items.valid[:, 0].all() and (items.target[:, 0] == IGNORE).all()
    assert torch.equal((items.target != IGNORE)[:, 1:], items.valid[:, 1:])


def test_a_view_says_what_it_lacks(corpus: Corpus, gridded: Corpus) -> None:
    with pytest.raises(DataError, match=r"needs: regions \(a picture with boxes, or data.regions=grid\)"):
        TaskMaker(replace(corpus, regions=None), [Task("t", (Regions(4),))], 8, 0)
    with pytest.raises(ConfigError, match="9 regions"):
        made(gridded, Regions(4))


def test_objects_are_the_known_boxes(corpus: Corpus) -> None:
    batch = made(corpus, Objects(3))
    items = batch.items["objects"]
    assert items.boxes is not None and items.value.shape == (64, 3)
    for row, position in enumerate(batch.identity.tolist()):
        known = [b for b in corpus.records[position].boxes if b.label in corpus.facts.objects][:3]
        assert [corpus.facts.objects[n] for n in items.value[row][items.valid[row]]] == [b.label for b in known]
        assert items.boxes[row, : len(known), 0].tolist() == pytest.approx([b.x0 for b in known])


def test_the_class_is_the_label_of_the_corpus(corpus: Corpus) -> None:
    batch = made(corpus, ClassLabel())
    values = [corpus.records[p].labels[1].value for p in batch.identity.tolist()]
    assert "4" not in values  # no class of facts.classes
    assert batch.labels["class"].tolist() == [("1", "2", "3").index(v) for v in values]
    four = next(p for p in range(160) if corpus.records[p].labels[1].value == "4")
    lost = assemble(corpus, Task("t", (ClassLabel(),)), np.array([four]), Draws(0, 0, 1, slice(None)), training=False)
    assert lost.labels["class"].tolist() == [IGNORE]
