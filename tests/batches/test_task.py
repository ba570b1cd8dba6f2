"""TaskMaker: a batch is a function of seed and step, whatever the processes, restarts and tasks drawn before."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from text_cases import make_corpus, scene

from chiasm.batches.grounded_views import SceneCaption, TaggedCaption
from chiasm.batches.image_views import Objects, Picture
from chiasm.batches.language_views import Packed, SentencePair, Spans
from chiasm.batches.masking import Mask
from chiasm.batches.sequences import sentences
from chiasm.batches.task import Task, TaskMaker, evaluation_batches, usable
from chiasm.batches.text_views import Asked, Caption, ParallelPair, Translation
from chiasm.errors import DataError
from chiasm.types import Batch, Items, Record, Text

TASKS = (
    Task("words", (Caption(24, mask=Mask(), mismatch=0.5), Objects(4)), 2.0),
    Task("answer", (Asked(24),), 1.0),
    Task("languages", (ParallelPair(48, Mask()),), 1.0),
)


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(count=90)


@pytest.fixture(scope="module")
def pictured():
    return make_corpus(count=50, regions=True)


def cut(items: Items, rows: slice, width: int) -> list[torch.Tensor]:
    """The rows of items, padding of other rows removed."""
    tensors = [items.value, items.valid, items.target, items.segment]
    return [t[rows, :width] for t in tensors if t is not None] + [t[rows] for t in (items.language,) if t is not None]


def assert_same(one: Batch, other: Batch) -> None:
    assert (one.ids, one.task) == (other.ids, other.task)
    assert one.items.keys() == other.items.keys()
    assert one.labels.keys() == other.labels.keys()
    for name, items in one.items.items():
        for a, b in zip(cut(items, slice(None), 999), cut(other.items[name], slice(None), 999), strict=True):
            assert torch.equal(a, b)
    assert all(torch.equal(label, other.labels[name]) for name, label in one.labels.items())


EVERY_VIEW = (
    *TASKS,
    Task("captions", (Caption(24, generate=True, mismatch=0.3), Caption(16, role="again", mask=Mask(static=True)))),
    Task("sentences", (SentencePair(48, Mask()),)),
    Task("packed", (Packed(64, Mask()),)),
    Task("causal", (Packed(64),)),
    Task("spans", (Spans(32),)),
    Task("translation", (Translation(32),)),
    Task("one language", (ParallelPair(48, Mask(), other=False),)),
    Task("tags", (TaggedCaption(48, 3, Mask()),)),
    Task("scene", (SceneCaption(48),)),
)


@pytest.mark.parametrize("task", EVERY_VIEW, ids=lambda task: task.name)
def test_parts_are_slices_of_the_whole_batch(pictured, task: Task) -> None:
    maker = TaskMaker(pictured, [task], 24, seed=5)
    for step in range(4):
        whole = maker.make(step)
        for parts in (2, 3):
            size = 24 // parts
            made = [maker.make(step, part, parts) for part in range(parts)]
            assert sum((batch.ids for batch in made), ()) == whole.ids
            for index, batch in enumerate(made):
                rows = slice(index * size, (index + 1) * size)
                assert batch.task == whole.task
                assert torch.equal(batch.identity, whole.identity[rows])
                for name, items in batch.items.items():
                    width = items.value.shape[1]
                    for a, b in zip(cut(items, slice(None), width), cut(whole.items[name], rows, width), strict=True):
                        assert torch.equal(a, b)
                    assert not whole.items[name].valid[rows, width:].any()
                for name, label in batch.labels.items():
                    assert torch.equal(label, whole.labels[name][rows])


def test_a_step_does_not_depend_on_what_was_made_before(corpus) -> None:
    one, other = TaskMaker(corpus, TASKS, 16, seed=1), TaskMaker(corpus, TASKS, 16, seed=1)
    forward = {step: one.make(step) for step in range(20)}
    for step in (19, 3, 11, 0):
        assert_same(other.make(step), forward[step])
    different = TaskMaker(corpus, TASKS, 16, seed=2)
    assert any(different.make(step).ids != batch.ids for step, batch in forward.items())


def test_tasks_are_drawn_in_proportion_to_their_weights(corpus) -> None:
    maker = TaskMaker(corpus, [Task(t.name, (Objects(2),), t.weight) for t in TASKS], 2, seed=0)
    counts = Counter(maker.make(step).task for step in range(1600))
    # Binomial(1600, 1/2) and (1600, 1/4): standard deviations 20 and 17.
    assert abs(counts["words"] - 800) < 80
    assert abs(counts["answer"] - 400) < 70
    assert abs(counts["languages"] - 400) < 70


def test_only_records_that_every_view_can_use_are_drawn() -> None:
    plain = [Record(f"plain-{n}", (Text(f"only words {n}", "en"),)) for n in range(10)]
    corpus = make_corpus([*plain, *(scene(n) for n in range(10))])
    task = Task("both", (Caption(16), Asked(16)))
    assert usable(corpus, task).tolist() == list(range(10, 20))
    maker = TaskMaker(corpus, [task, Task("text", (Caption(16),))], 10, seed=0)
    seen: dict[str, set[str]] = {"both": set(), "text": set()}
    for step in range(30):
        batch = maker.make(step)
        seen[batch.task].update(batch.ids)
    assert seen["both"] == set(corpus.ids[10:])
    assert seen["text"] == set(corpus.ids)


def test_other_records_are_drawn_from_those_that_the_task_can_use() -> None:
    plain = [Record(f"plain-{n}", (Text(f"only words {n}", "en"),)) for n in range(300)]
    corpus = make_corpus([*plain, *(scene(n) for n in range(4))])
    task = Task("sentences", (SentencePair(64, Mask(replace=0.0, random=0.0)),))
    seconds: set[str] = set()
    for record in corpus.records[300:]:
        seconds |= {*sentences(record.texts[0].text.lower())[1:], record.texts[4].text.lower()}
    for batch in (TaskMaker(corpus, [task], 40, seed=0).make(0), *evaluation_batches(corpus, task, 4, 4)):
        text = batch.items["text"]
        strange = [row[part == 1].tolist() for row, part in zip(text.value, text.segment, strict=True)]
        assert set(corpus.tokenizer.decode(strange)) <= seconds
        if len(batch.ids) == 40:
            assert 8 < batch.labels["next"].sum() < 32, "four records in three hundred are enough"


def test_a_table_that_lacks_what_a_task_needs_is_refused_by_name(corpus) -> None:
    with pytest.raises(DataError, match=r"'see'.*needs: a text, a picture$"):
        TaskMaker(corpus, [Task("see", (Caption(16), Picture(16)))], 4, seed=0)


def test_evaluation_batches_are_the_same_every_time(corpus) -> None:
    task = TASKS[0]
    one, other = (evaluation_batches(corpus, task, 32, 80, seed=3) for _ in range(2))
    assert [len(batch.ids) for batch in one] == [32, 32, 16]
    n = len(usable(corpus, task))
    assert sum((batch.ids for batch in one), ()) == tuple(corpus.ids[i * n // 80] for i in range(80)), (
        "spread over the corpus"
    )
    for a, b in zip(one, other, strict=True):
        assert_same(a, b)
    masks = [batch.items["text"].target.numpy()[:16, :6] for batch in one]
    assert not np.array_equal(masks[0], masks[1]), "each batch has draws of its own"
    first = evaluation_batches(corpus, Task("first", (Caption(40),)), 80, 80)[0]
    assert corpus.tokenizer.decode(first.items["text"].value.numpy()) == [
        corpus.records[i * len(corpus) // 80].texts[0].text.lower() for i in range(80)
    ]
