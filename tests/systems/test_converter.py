"""The converting model: who sees whom, and that what it decodes step by step is what it would predict all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from chiasm.batches.conversion import ConversionFacts
from chiasm.batches.task import Facts
from chiasm.config import DecodingConfig, RunConfig, load_config
from chiasm.errors import ConfigError
from chiasm.heads.writers import Writer
from chiasm.modalities.text import EOS, Tokenizer
from chiasm.nn.fill import fill
from chiasm.nn.generate import generate
from chiasm.systems.audio_quantizer import AudioQuantizer, AudioQuantizerSize
from chiasm.systems.converter import Converter, Reader, check_converts, make_converter, prefix_mask
from chiasm.systems.image_quantizer import ImageQuantizer, ImageQuantizerSize
from chiasm.train.written import Decoder, text_stream
from chiasm.types import Batch, Items

DTYPE = torch.float32
TOKENIZER = Tokenizer.train(["a red cat", "a blue dog", "Yes", "no"] * 3, 300)
FACTS = ConversionFacts(TOKENIZER.size, ("en", "de"), ("v1",), ("cat", "dog"), {"answer": ("yes", "no")})
SIDE = 16
TASKS: dict[str, Any] = {
    "caption": {"given": ["image", "text?"], "wanted": "text"},
    "draw": {"given": ["text", "image?"], "wanted": "image", "blank": 0.1},
    "paint": {"given": ["text"], "wanted": "image", "order": "parallel"},
    "say": {"given": ["text"], "wanted": "audio"},
    "hum": {"given": ["text"], "wanted": "audio", "order": "parallel"},
    "boxes": {"given": ["image"], "wanted": "boxes"},
    "answer": {"given": ["image", "question"], "wanted": "answer", "together": 3},
    "turns": {"given": ["turns"], "wanted": "answer"},
    "mask": {"given": ["image", "text?"], "wanted": "mask"},
    "next": {"given": ["history"], "wanted": "item"},
    "space": {"given": ["text", "image", "audio"], "wanted": "space"},
}


def config(tasks: dict[str, Any] | None = None, *overrides: str) -> RunConfig:
    base: dict[str, Any] = {
        "data": {"table": "-"},
        "model": {
            "width": 16, "heads": 2, "layers": 2, "embedding": 8, "text": {"vocabulary": 300, "length": 12},
            "image": {"size": SIDE, "patch": 4}, "audio": {"seconds": 0.5},
        },
        "conversion": {"text_length": 6, "audio_length": 5, "boxes": 2, "bins": 8},
        "tasks": TASKS if tasks is None else tasks,
        "train": {"steps": 1},
    }  # fmt: skip
    return load_config(RunConfig, base=base, overrides=overrides)


@pytest.fixture(scope="module")
def model() -> Converter:
    torch.manual_seed(0)
    quantizers = {
        "image": ImageQuantizer(
            ImageQuantizerSize(side=SIDE, patch=8, width=8, fine_width=8, depth=1, fine_depth=1, levels=(3, 3)),
            Facts(vocabulary=0),
        ),
        "audio": AudioQuantizer(AudioQuantizerSize(width=8, depth=1, levels=(3, 3)), Facts(vocabulary=0)),
    }
    made = make_converter(config(), ("text", "image", "audio"), FACTS, quantizers).eval()
    with torch.no_grad():  # a fresh model hardly tells its inputs apart: louder, so that what is seen shows
        for name, parameter in made.named_parameters():
            if ".inner." in name or ".outer." in name:
                continue
            if name.startswith(("writers", "task_tokens", "turns", "languages", "makers", "space.embedders.text")):
                parameter.mul_(10)
    return made


# Batches by hand.


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def texts(lengths: Sequence[int], seed: int = 0, owner: Sequence[int] | None = None) -> Items:
    valid = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    value = torch.randint(5, TOKENIZER.size, valid.shape, generator=rng(seed)) * valid
    return Items(value, valid, torch.arange(len(lengths)) if owner is None else torch.tensor(owner))


def pictures(owner: Sequence[int], seed: int = 0, segment: Sequence[int] | None = None) -> Items:
    value = torch.randint(0, 256, (len(owner), SIDE, SIDE, 3), generator=rng(seed)).to(torch.uint8)
    turns = None if segment is None else torch.tensor(segment)[:, None]
    return Items(value, torch.ones(len(owner), 1, dtype=torch.bool), torch.tensor(owner), segment=turns)


def codes(writer: Writer, lengths: Sequence[int], seed: int = 0) -> Items:
    valid = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    groups = [torch.randint(0, size, valid.shape, generator=rng(seed + g)) for g, size in enumerate(writer.sizes)]
    return Items(torch.stack(groups, -1) * valid[..., None], valid, torch.arange(len(lengths)))


def batch(task: str, items: dict[str, Items], count: int = 2, **labels: Tensor) -> Batch:
    zero = torch.zeros(count, dtype=torch.int64)
    told = {"language": zero + 1, "maker": zero, **labels}
    return Batch(tuple(f"r{i}" for i in range(count)), torch.arange(count), items, told, task)


def given_of(task: str, count: int = 2) -> dict[str, Items]:
    lengths = [4, 7, 5][:count]
    if task in ("caption", "mask"):
        return {"image": pictures(range(count)), "text": texts(lengths)}
    if task in ("boxes",):
        return {"image": pictures(range(count))}
    if task == "answer":
        return {
            "image": pictures(range(count)),
            "asked": texts([3, 5, 4, 6, 2, 3, 3, 3, 4][: 3 * count], 5, sorted([*range(count)] * 3)),
        }
    if task == "turns":
        made = texts(lengths)
        turns = torch.tensor([[2] * 3 + [0] * (made.value.shape[1] - 3)] * count)
        return {
            "image": pictures([0, 0, *range(1, count)][: count + 1], segment=[1, 0, 2, 1][: count + 1]),
            "text": replace(made, segment=turns),
        }
    return {"text": texts(lengths)}


def whole(model: Converter, task: str, lengths: Sequence[int], count: int = 2) -> Batch:
    items = {**given_of(task, count), "wanted": codes(model.writer(model.tasks[task]), lengths)}
    return batch(task, items, count)


def features(model: Converter, of: Batch) -> Tensor:
    task = model.tasks[of.task]
    with torch.no_grad():
        return model._wanted_features(of, task, model.writer(task), of.items["wanted"], DTYPE)


def rewritten(of: Batch, value: Tensor) -> Batch:
    return replace(of, items={**of.items, "wanted": replace(of.items["wanted"], value=value)})


# Who sees whom.


@pytest.mark.parametrize("causal", [True, False])
def test_the_mask_is_what_is_said_of_it(causal: bool) -> None:
    P, K, La, L = 3, 2, 2, 3
    mask = prefix_mask(P, K, La, L, causal)[0]
    for row in range(len(mask)):
        for column in range(len(mask)):
            if column < P:
                expected = True
            elif row < P or (row - P) // (La + L) != (column - P) // (La + L):
                expected = False
            else:
                r, c = (row - P) % (La + L), (column - P) % (La + L)
                expected = c < La or (r >= La and (c <= r or not causal))
            assert bool(mask[row, column]) == expected, (row, column)


@pytest.mark.parametrize("task", ["caption", "draw", "paint", "say", "boxes", "turns"])
def test_what_is_given_does_not_see_what_is_wanted(model: Converter, task: str) -> None:
    of = whole(model, task, [4, 4])
    of = replace(of, labels={**of.labels, "known": torch.ones(2, 4, dtype=torch.bool)}) if task == "paint" else of
    seen: list[Tensor] = []
    hook = model.trunk.register_forward_hook(lambda module, args, made: seen.append(made.x))
    try:
        one = features(model, of)
        other = features(model, rewritten(of, (of.items["wanted"].value + 1) % 7))
    finally:
        hook.remove()
    P = seen[0].shape[1] - one.shape[1]
    assert P > 0
    torch.testing.assert_close(seen[0][:, :P], seen[1][:, :P], rtol=0, atol=1e-6)
    assert not torch.allclose(one, other), "what is wanted sees what was written"


@pytest.mark.parametrize("task", ["caption", "draw", "say", "boxes", "turns", "answer"])
def test_a_step_does_not_see_itself_or_what_follows(model: Converter, task: str) -> None:
    of = whole(model, task, [4, 4, 4, 4, 4, 4] if task == "answer" else [4, 4])
    value = of.items["wanted"].value.clone()
    value[:, 2] = (value[:, 2] + 1) % 7
    one, other = features(model, of), features(model, rewritten(of, value))
    torch.testing.assert_close(one[:, :3], other[:, :3], rtol=0, atol=1e-6)
    assert (one[:, 3] - other[:, 3]).abs().amax(-1).min() > 1e-3


def test_each_group_of_a_step_counts_in_the_next(model: Converter) -> None:
    of = whole(model, "say", [3, 3])
    for group in range(3):
        value = of.items["wanted"].value.clone()
        value[:, 0, group] = (value[:, 0, group] + 1) % 7
        assert not torch.allclose(features(model, of)[:, 1], features(model, rewritten(of, value))[:, 1])


def test_questions_that_share_a_record_see_only_their_own(model: Converter) -> None:
    of = whole(model, "answer", [3] * 6)
    one = features(model, of)
    asked = of.items["asked"]
    value = asked.value.clone()
    value[1, 1] = (value[1, 1] + 1) % 300  # the second question of the first record
    other = features(model, replace(of, items={**of.items, "asked": replace(asked, value=value)}))
    same = [0, 2, 3, 4, 5]
    torch.testing.assert_close(one[same], other[same], rtol=0, atol=1e-6)
    assert not torch.allclose(one[1], other[1])
    written = of.items["wanted"].value.clone()
    written[1, 0] += 1
    torch.testing.assert_close(features(model, rewritten(of, written))[same], one[same], rtol=0, atol=1e-6)


def test_shared_questions_are_what_they_are_one_at_a_time(model: Converter) -> None:
    """Training lays three of them side by side; decoding reads one, step by step from its cache."""
    of = whole(model, "answer", [4] * 6)
    together = features(model, of)
    writer = model.writer(model.tasks["answer"])
    for slot in range(3):
        rows = [slot, 3 + slot]
        asked = of.items["asked"]
        mine = Items(asked.value[rows], asked.valid[rows], torch.arange(2))
        with torch.no_grad():
            first, cache = model.read_given(replace(of, items={"image": of.items["image"], "asked": mine}), DTYPE)
            read = Reader(model, writer, cache.length - 1, DTYPE)
            steps = [first, *(read(of.items["wanted"].value[rows, step], cache) for step in range(3))]
        torch.testing.assert_close(torch.stack(steps, 1), together[rows], rtol=0, atol=1e-5)


def alone(of: Batch, row: int, together: int = 1) -> Batch:
    """One record of a batch as a batch of its own, without the padding that the others made."""
    items: dict[str, Items] = {}
    for name, part in of.items.items():
        mine = (part.owner == row).nonzero()[:, 0]
        if not len(mine):
            continue
        n = int(part.valid[mine].sum(1).max()) if name in ("text", "asked", "wanted", "audio") else None
        cut = {k: getattr(part, k)[mine] for k in ("value", "valid", "segment") if getattr(part, k) is not None}
        if n is not None:
            cut = {k: v[:, :n] for k, v in cut.items()}
        items[name] = replace(part, **cut, owner=torch.zeros(len(mine), dtype=torch.int64))
    labels = {name: value[row : row + 1] for name, value in of.labels.items()}
    return Batch((of.ids[row],), of.identity[row : row + 1], items, labels, of.task)


@pytest.mark.parametrize("task", ["caption", "say", "boxes", "turns", "answer"])
def test_padding_and_the_other_rows_change_nothing(model: Converter, task: str) -> None:
    K = model.tasks[task].together
    of = whole(model, task, [3, 4, 2][:3] if K == 1 else [3, 4, 2, 4, 1, 2, 2, 3, 4], 3)
    if K > 1:
        wanted = of.items["wanted"]
        of = replace(of, items={**of.items, "wanted": replace(wanted, owner=torch.arange(3).repeat_interleave(K))})
    if task == "turns":  # of the first record two pictures, of the last none
        image = of.items["image"]
        kept = Items(image.value[:3], image.valid[:3], torch.tensor([0, 0, 1]), segment=torch.tensor([[1], [0], [2]]))
        of = replace(of, items={**of.items, "image": kept})
    made = features(model, of)
    for row in range(3):
        single = features(model, alone(of, row))
        valid = alone(of, row).items["wanted"].valid
        torch.testing.assert_close(
            made[row * K : row * K + K, : single.shape[1]][valid], single[valid], rtol=0, atol=1e-5
        )


def test_a_batch_without_anything_readable_is_a_batch_of_blanks(model: Converter) -> None:
    of = whole(model, "boxes", [3, 3])
    blank = features(model, replace(of, labels={**of.labels, "blank": torch.ones(2, dtype=torch.bool)}))
    nothing = features(model, replace(of, items={"wanted": of.items["wanted"]}))
    torch.testing.assert_close(nothing, blank, rtol=0, atol=1e-5)


def test_turns_languages_and_makers_tell_apart(model: Converter) -> None:
    of = whole(model, "turns", [3, 3])
    text = of.items["text"]
    assert text.segment is not None
    moved = replace(of, items={**of.items, "text": replace(text, segment=text.segment + 1)})
    assert not torch.allclose(features(model, of), features(model, moved))
    for name in ("language", "maker"):
        other = replace(of, labels={**of.labels, name: torch.zeros(2, dtype=torch.int64) + (name == "maker")})
        assert not torch.allclose(features(model, of), features(model, other)), name


# Decoding.


class Recording:
    """The writer, and the logits that it gave."""

    def __init__(self, writer: Writer) -> None:
        self.writer, self.groups = writer, writer.groups
        self.seen: list[Tensor] = []

    def logits(self, features: Tensor, chosen: Sequence[Tensor]) -> Tensor:
        self.seen.append(self.writer.logits(features, chosen).clone())
        return self.seen[-1]


@pytest.mark.parametrize("kind", ["greedy", "sample"])
@pytest.mark.parametrize("task", ["caption", "draw", "say", "boxes", "turns", "answer"])
def test_decoded_with_the_cache_it_is_what_a_whole_pass_predicts(model: Converter, task: str, kind: str) -> None:
    given = batch(task, given_of(task, 3), 3)
    if task == "answer":
        asked = given.items["asked"]
        one = Items(asked.value[::3], asked.valid[::3], torch.arange(3))
        given = replace(given, items={**given.items, "asked": one})
    writer = model.writer(model.tasks[task])
    with torch.inference_mode():
        first, cache = model.read_given(given, DTYPE)
        head = Recording(writer)
        read = Reader(model, writer, cache.length - 1, DTYPE)
        options = DecodingConfig(kind=kind, seed=3)  # type: ignore[arg-type]
        made = generate(first, read, cache, head, writer.length, writer.end, options)
    R, L, G = made.codes.shape
    if writer.end is None:
        assert L == writer.length == 4
    wanted = Items(made.codes, torch.arange(L)[None] <= made.length[:, None], torch.arange(R))
    with torch.no_grad():
        if task == "answer":  # a whole pass has room for three: the same question three times
            asked = given.items["asked"]
            index = torch.arange(R).repeat_interleave(3)
            thrice = Items(asked.value[index], asked.valid[index], index)
            shown = replace(given, items={**given.items, "asked": thrice})
            several = Items(wanted.value[index], wanted.valid[index], index)
            x = model._wanted_features(shown, model.tasks[task], writer, several, DTYPE)[::3]
        else:
            x = model._wanted_features(given, model.tasks[task], writer, wanted, DTYPE)
        for step in range(L):
            for group in range(G):
                again = writer.logits(x[:, step], [made.codes[:, step, g] for g in range(group)])
                live = made.length >= step if group == 0 else made.length > step
                torch.testing.assert_close(head.seen[step * G + group][live], again[live], rtol=0, atol=1e-4)
                if kind == "greedy":
                    assert torch.equal(again.argmax(-1)[live], made.codes[live, step, group])


def test_guidance_compares_with_what_training_calls_blank(model: Converter) -> None:
    given = batch("draw", given_of("draw"))
    with torch.inference_mode():
        both, _ = model.read_given(given, DTYPE, free=True)
        told, _ = model.read_given(given, DTYPE)
        blank, _ = model.read_given(
            replace(given, labels={**given.labels, "blank": torch.ones(2, dtype=torch.bool)}), DTYPE
        )
        other, _ = model.read_given(batch("draw", {"text": texts([3, 3], 9)}), DTYPE, free=True)
    torch.testing.assert_close(both, torch.cat([told, blank]), rtol=0, atol=1e-5)
    torch.testing.assert_close(other[2:], both[2:], rtol=0, atol=1e-5)
    assert not torch.allclose(told, blank)


@pytest.mark.parametrize("task", ["caption", "draw"])
def test_what_is_hidden_of_what_was_written_has_no_influence(model: Converter, task: str) -> None:
    of = whole(model, task, [4, 4])
    value = of.items["wanted"].value
    recalled = torch.tensor([[True, False, True, True], [False, False, True, False]])
    hidden = replace(of, labels={**of.labels, "recalled": recalled})
    other = (value + 1) % 9
    before = features(model, hidden)
    same = features(model, rewritten(hidden, torch.where(recalled[..., None], value, other)))
    torch.testing.assert_close(same, before, rtol=0, atol=1e-6)
    seen = features(model, rewritten(hidden, torch.where(recalled[..., None], other, value)))
    assert not torch.allclose(seen[0, 1], before[0, 1]), "step 1 reads what step 0 wrote"
    torch.testing.assert_close(seen[:, 0], before[:, 0], rtol=0, atol=1e-6)
    told = features(model, of)
    assert not torch.allclose(told[0, 2], before[0, 2]), "step 2 would read what step 1 wrote"
    with torch.no_grad():
        writer = model.writer(model.tasks[task])
        loss = model.losses(hidden, DTYPE).losses[task]
        # What is hidden from the writer is asked of it all the same.
        every = writer.loss(before.flatten(0, 1), value.flatten(0, 1))
    torch.testing.assert_close(loss, every, rtol=0, atol=1e-5)


def test_guidance_changes_what_is_written_and_a_scale_of_one_does_not(model: Converter) -> None:
    decoder, given = Decoder(model, TOKENIZER, DTYPE), batch("draw", given_of("draw", 3), 3)
    plain, guided = (decoder.write(given, DecodingConfig(guidance=s)) for s in (1.0, 8.0))
    assert any((a.image != b.image).any() for a, b in zip(plain, guided, strict=True))  # type: ignore[union-attr]


def test_parallel_places_see_what_is_known_of_all_others(model: Converter) -> None:
    writer = model.writer(model.tasks["paint"])
    of = whole(model, "paint", [4, 4])
    known = torch.tensor([[True, False, True, False], [False, True, False, False]])
    of = replace(of, labels={**of.labels, "known": known})
    value = of.items["wanted"].value
    with torch.no_grad():
        trained = features(model, of).flatten(0, 1)
        made = model.filling(of, DTYPE, value, known)
        torch.testing.assert_close(made[0].flatten(0, 1), writer.logits(trained, ()), rtol=0, atol=1e-5)
        likeliest = [made[0].flatten(0, 1).argmax(-1)]
        torch.testing.assert_close(made[1].flatten(0, 1), writer.logits(trained, likeliest), rtol=0, atol=1e-5)
        hidden = torch.where(known[..., None], value, (value + 1) % 9)
        torch.testing.assert_close(model.filling(of, DTYPE, hidden, known)[0], made[0], rtol=0, atol=1e-6)
        shown = torch.where(known[..., None], (value + 1) % 9, value)
        assert not torch.allclose(model.filling(of, DTYPE, shown, known)[0][:, 0], made[0][:, 0])
        blank = replace(of, labels={**of.labels, "blank": torch.ones(2, dtype=torch.bool)})
        twice = model.filling(of, DTYPE, torch.cat([value] * 2), torch.cat([known] * 2))
        torch.testing.assert_close(twice[0][2:], model.filling(blank, DTYPE, value, known)[0], rtol=0, atol=1e-5)


def test_pictures_and_sounds_are_filled_in_in_parallel(model: Converter) -> None:
    decoder = Decoder(model, TOKENIZER, DTYPE)
    drawn = [decoder.write(batch("paint", given_of("paint")), DecodingConfig(kind="sample", seed=s)) for s in (0, 0, 1)]
    assert [d[0].image.shape for d in drawn] == [(SIDE, SIDE, 3)] * 3  # type: ignore[union-attr]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(drawn[0], drawn[1], strict=True))  # type: ignore[arg-type]
    assert {one.score for row in drawn for one in row} == {None}, "what comes in parallel has no probability as a whole"
    given = batch("hum", {"text": texts([4] * 12)}, 12)
    found = decoder.write(given, DecodingConfig(kind="sample", seed=2), rounds=2)
    writer = model.writer(model.tasks["hum"])
    with torch.inference_mode():
        sampled = DecodingConfig(kind="sample", seed=2)
        made = fill(lambda c, k: model.filling(given, DTYPE, c, k), 12, writer.length, writer.sizes, 2, sampled)
    ends = [(row == writer.end).nonzero().flatten().tolist() for row in made[..., 0]]
    assert any(ends) and not all(ends), "with this many, some sounds end early and some do not"
    steps = [e[0] if e else writer.length for e in ends]
    lengths = [len(f.audio) for f in found]  # type: ignore[arg-type]
    for i in range(12):
        for j in range(12):
            assert (steps[i] < steps[j]) <= (lengths[i] < lengths[j]), "longer codes are longer sounds"


def test_boxes_are_places_and_classes_in_turn(model: Converter) -> None:
    decoder = Decoder(model, TOKENIZER, DTYPE)
    given = batch("boxes", {"image": pictures(range(16))}, 16)
    found = decoder.write(given, DecodingConfig(kind="sample", seed=1))
    boxes = [box for f in found for box in f.boxes or ()]
    assert len(boxes) > 3
    for box in boxes:
        assert 0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1
        assert box.label in FACTS.objects and 0 < box.score <= 1
    assert all(len(f.boxes or ()) <= 2 for f in found)
    scores = [[box.score for box in f.boxes or ()] for f in found]
    assert scores == [sorted(row, reverse=True) for row in scores]


def test_choices_come_back_as_they_are_spelled_however_many_there_are(model: Converter) -> None:
    decoder = Decoder(model, TOKENIZER, DTYPE)
    given = batch("caption", given_of("caption"))
    few = ["A Red Cat", "Yes"]
    for choices in (few, [*few, *(f"Dog {k}" for k in range(300))]):
        for one in decoder.write(given, DecodingConfig(), choices=choices):
            assert one.text in choices
    scored = decoder.write(given, DecodingConfig(), choices=few)[0]
    assert sum(scored.scores.values()) == pytest.approx(1, abs=1e-4)
    assert scored.text == max(scored.scores, key=lambda name: scored.scores[name])


def test_a_choices_score_is_its_log_probability(model: Converter) -> None:
    """Of each alone, in training's reading of it: among others that begin as it does."""
    of = batch("caption", given_of("caption"))
    choices = ["a red cat", "a", "a red dog", "yes", "a red"]
    expected: list[Tensor] = []
    for choice in choices:
        tokens = [*TOKENIZER.ids([choice])[0], EOS]
        wanted = Items(
            torch.tensor([tokens, tokens])[..., None], torch.ones(2, len(tokens), dtype=torch.bool), torch.arange(2)
        )
        with torch.no_grad():
            logs = model.logits_of(of, wanted, DTYPE).log_softmax(-1)
        expected.append(logs.gather(-1, wanted.value).sum((1, 2)))
    found = Decoder(model, TOKENIZER, DTYPE).write(of, DecodingConfig(), choices=choices)
    logs = torch.stack(expected, 1)
    assert [f.score for f in found] == pytest.approx(logs.amax(1).tolist(), abs=1e-3)
    for one, row in zip(found, logs.softmax(-1).tolist(), strict=True):
        assert list(one.scores.values()) == pytest.approx(row, abs=1e-3)


def test_a_stream_shows_whole_characters() -> None:
    tokens = TOKENIZER.ids(["a red ü cat"])[0]
    shown: list[str] = []
    step = text_stream(TOKENIZER, shown.append)
    for token in (*tokens, EOS):
        step(torch.tensor([[token]]))
    assert "".join(shown) == "a red ü cat" and not any("\ufffd" in piece for piece in shown)
    assert len(shown) > 2


# The other kinds of tasks, and training.


def test_a_mask_has_the_labels_of_the_picture_whatever_stands_beside_it(model: Converter) -> None:
    of = batch("mask", given_of("mask"))
    with torch.no_grad():
        logits = model.mask_logits(of, DTYPE)
        given = model.prefix(of, DTYPE)
        assert model.mask is not None and given.segments[0] == ("image", 0, 16)
        torch.testing.assert_close(logits, model.mask(model.trunk(given).x[:, :16]))
    assert logits.shape == (2, 8, 8, 3)
    (made, _) = Decoder(model, TOKENIZER, DTYPE).write(of, DecodingConfig())
    assert made.names == ("background", "cat", "dog") and made.mask is not None
    assert np.array_equal(made.mask, logits[0].argmax(-1).numpy())


def history(lengths: Sequence[int], seed: int = 0) -> dict[str, Items]:
    owner = [row for row, n in enumerate(lengths) for _ in range(n)]
    turns = [n - 1 - k for n in lengths for k in range(n)]
    return {"history.image": pictures(owner, seed, turns), "history.text": texts([4] * len(owner), seed, owner)}


def test_a_history_is_read_in_its_order_whatever_the_others_length(model: Converter) -> None:
    of = batch("next", history([3, 1]))
    with torch.no_grad():
        query = model.item_query(of, DTYPE)
        torch.testing.assert_close(query.norm(dim=-1), torch.ones(2))
        for row in range(2):
            torch.testing.assert_close(model.item_query(alone(of, row), DTYPE)[0], query[row], rtol=0, atol=1e-5)
        items = dict(of.items)
        for name in items:
            part = items[name]
            order = torch.tensor([1, 0, 2, 3])
            items[name] = replace(part, value=part.value[order], valid=part.valid[order])
        assert not torch.allclose(model.item_query(replace(of, items=items), DTYPE)[0], query[0])


def test_what_follows_is_looked_for_near_the_mean_of_the_history(model: Converter) -> None:
    of = batch("next", history([3, 1]))
    was = model.history_mean
    try:
        with torch.no_grad():
            items = model._fused(of.items["history.image"], of.items["history.text"], DTYPE)
            mean = torch.stack([items[:3].mean(0), items[3]])
            queries: list[torch.Tensor] = []
            for model.history_mean in (0.0, 2.0, 1e6):
                queries.append(model.item_query(of, DTYPE))
        torch.testing.assert_close(queries[1], torch.nn.functional.normalize(queries[0] + 2 * mean, dim=-1))
        torch.testing.assert_close(queries[2], torch.nn.functional.normalize(mean, dim=-1), rtol=0, atol=1e-4)
    finally:
        model.history_mean = was


def test_every_item_of_a_history_is_asked_for_by_those_before_it(model: Converter) -> None:
    lengths = [3, 1, 2]
    made = history(lengths)
    items = {**made, "item.image": pictures([0, 1, 2], 7), "item.text": texts([4] * 3, 7)}
    # The last item of the second history is the first of the first one.
    of = batch("next", items, count=3, item=torch.tensor([0, 1, 2, 3, 4, 5, 6, 0, 7]))
    with torch.no_grad():
        vectors = torch.cat([model._fused(items[f"{s}.image"], items[f"{s}.text"], DTYPE) for s in ("history", "item")])
        asked, wanted = [], []
        start = 0
        for row, n in enumerate(lengths):
            for k in range(1, n + 1):
                part = {
                    name: replace(
                        m,
                        value=m.value[start : start + k],
                        valid=m.valid[start : start + k],
                        owner=torch.zeros(k, dtype=torch.int64),
                        segment=None if m.segment is None else torch.arange(k - 1, -1, -1)[:, None],
                    )
                    for name, m in made.items()
                }
                asked.append(model.item_query(batch("next", part, count=1), DTYPE)[0])
                wanted.append(start + k if k < n else sum(lengths) + row)
            start += n
        same = sum(lengths) + 1
        wanted = [0 if w == same else w for w in wanted]
        logits = model.space.output({"text": vectors}).scale * torch.stack(asked) @ vectors.T
        logits[:, same] = -torch.inf  # each item once
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor(wanted))
        (loss,) = model.losses(of, DTYPE).losses.values()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)


def training(model: Converter, task: str) -> Batch:
    if task == "next":
        items = {**history([2, 3]), "item.image": pictures([0, 1], 7), "item.text": texts([4, 4], 7)}
        return batch(task, items, item=torch.arange(7))
    if task == "space":
        return batch(task, {"text": texts([4, 5]), "image": pictures([0, 1])})
    if task == "mask":
        return batch(task, given_of(task), mask=torch.randint(0, 3, (2, 8, 8), generator=rng()))
    full = {"draw": 4, "paint": 4, "hum": 6}.get(task)
    lengths = [full] * 2 if full else [3, 4]
    of = whole(model, task, lengths * 3 if task == "answer" else lengths)
    if model.tasks[task].order == "parallel":
        known = torch.rand(2, full or 0, generator=rng()) < 0.4
        return replace(of, labels={**of.labels, "known": known})
    return of


@pytest.mark.parametrize("task", list(TASKS))
def test_every_task_has_a_loss_that_teaches_its_parts_and_no_quantiser(model: Converter, task: str) -> None:
    model.zero_grad(set_to_none=True)
    made = model.losses(training(model, task), DTYPE)
    assert made.losses and set(made.losses) == set(made.chance)
    loss = torch.stack(list(made.losses.values())).sum()
    assert torch.isfinite(loss)
    loss.backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any(name.startswith("space.trunks.shared.blocks.0.attention") for name in moved)
    assert not any(name.startswith("quantizers") for name in moved)
    if task not in ("space", "mask"):
        assert f"task_tokens.{task}" in moved
    others = {f"task_tokens.{name}" for name in TASKS if name != task}
    assert not others & moved
    model.zero_grad(set_to_none=True)


def test_what_is_known_is_not_asked(model: Converter) -> None:
    of = training(model, "paint")
    known = of.labels["known"]
    writer = model.writer(model.tasks["paint"])
    with torch.no_grad():
        x = features(model, of)
        expected = writer.loss(x[~known], of.items["wanted"].value[~known])
        torch.testing.assert_close(model.losses(of, DTYPE).losses["paint"], expected)


def test_padded_steps_are_not_asked(model: Converter) -> None:
    of = training(model, "caption")
    value = of.items["wanted"].value.clone()
    value[0, 3] = 99
    with torch.no_grad():
        torch.testing.assert_close(
            model.losses(rewritten(of, value), DTYPE).losses["caption"], model.losses(of, DTYPE).losses["caption"]
        )


# What cannot be made.


@pytest.mark.parametrize("wanted", ["image", "audio"])
def test_codes_need_their_quantiser(wanted: str) -> None:
    asked = config({"a": {"given": ["text"], "wanted": wanted}})
    with pytest.raises(ConfigError, match=f"a task wants {wanted}.*chiasm train TABLE system={wanted}_quantizer"):
        make_converter(asked, ("text", wanted), FACTS, {})
    check_converts(asked, {wanted: "a run"})


def test_only_a_shared_trunk_of_one_depth_converts() -> None:
    tasks = {"a": {"given": ["image"], "wanted": "text"}}
    with pytest.raises(ConfigError, match="trunk=separate embeds only"):
        make_converter(config(tasks, "model.trunk=separate"), ("text", "image"), FACTS, {})
    with pytest.raises(ConfigError, match=r"model.text.layers=1.*all 2 layers"):
        make_converter(config(tasks, "model.text.layers=1"), ("text", "image"), FACTS, {})
    assert make_converter(config(tasks), ("text", "image"), FACTS, {}).mask is None


@pytest.mark.parametrize("task", ["space", "next"])
def test_vectors_are_not_written(model: Converter, task: str) -> None:
    with pytest.raises(ConfigError, match="gives vectors"):
        Decoder(model, TOKENIZER, DTYPE).write(training(model, task), DecodingConfig())
