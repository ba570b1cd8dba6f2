"""Conversion tasks of every kind in one run: what is drawn, exact resume, what is begun with and tuned, and converting with it."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from joint_cases import drawn_table, joint_config, quantizer, room, session, tasks
from PIL import Image
from train_cases import losses, picture, run_config, sound, weights

from chiasm.batches.draws import Draws
from chiasm.config import BuildConfig, DecodingConfig, RunConfig
from chiasm.dataset.build import build
from chiasm.dataset.table import Table
from chiasm.errors import ConfigError, DataError, MediaError, ModelError
from chiasm.train import checkpoint
from chiasm.train.conversion_data import JointMaker
from chiasm.train.converting import ConvertingModel
from chiasm.train.distributed import World
from chiasm.train.joint import HEADS, JointJob
from chiasm.train.model import load
from chiasm.train.parts import share_out, tokens_of
from chiasm.train.run import train
from chiasm.train.shape import read_shape
from chiasm.types import Record, Text


@dataclass(frozen=True)
class Place:
    """The tables, the quantisers' runs and the tasks over them."""

    rooms: Path
    things: Path
    tasks: dict[str, Any]
    quantizers: dict[str, str]

    def config(self, *overrides: str, only: tuple[str, ...] = ()) -> RunConfig:
        chosen = {name: self.tasks[name] for name in only} if only else self.tasks
        return joint_config(self.rooms, chosen, self.quantizers, *overrides)


@pytest.fixture(scope="module")
def place(things: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("joint")
    rooms = drawn_table([room(i) for i in range(30)], folder / "rooms.lance")
    sessions = drawn_table([session(i) for i in range(16)], folder / "sessions.lance")
    runs = {m: str(quantizer(things, m, folder / m)) for m in ("image", "audio")}
    return Place(rooms, things, tasks(things, sessions), runs)


def job(config: RunConfig, folder: Path) -> JointJob:
    return JointJob(config, folder, World(), torch.device("cpu"), torch.float32, None, None)


@pytest.fixture(scope="module")
def whole(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(place.config(), out)
    return out


@pytest.fixture(scope="module")
def joint(place: Place, tmp_path_factory: pytest.TempPathFactory) -> JointJob:
    return job(place.config(), tmp_path_factory.mktemp("job"))


@pytest.fixture(scope="module")
def model(whole: Path) -> ConvertingModel:
    loaded = load(whole)
    assert isinstance(loaded, ConvertingModel)
    return loaded


# The run.


def test_resumed_it_is_the_run_that_nothing_disturbed(place: Place, whole: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop_after_seven(stage: str, done: int, total: int, info: dict[str, object]) -> None:
        if info.get("step") == 7:
            raise Stop

    with pytest.raises(Stop):
        train(place.config(), tmp_path / "cut", progress=stop_after_seven)
    assert train(place.config(), tmp_path / "cut", resume=True).steps == 12
    assert losses(tmp_path / "cut") == losses(whole)
    assert weights(tmp_path / "cut") == weights(whole)


def test_a_resumed_run_needs_neither_its_quantisers_nor_its_beginning(
    place: Place, whole: Path, tmp_path: Path
) -> None:
    """Their weights travel in its checkpoint."""
    runs = {m: str(quantizer(place.things, m, tmp_path / m)) for m in ("image", "audio")}
    config = replace(place, quantizers=runs).config("train.steps=6")

    class Stop(Exception):
        pass

    def stop_after_four(stage: str, done: int, total: int, info: dict[str, object]) -> None:
        if info.get("step") == 4:
            raise Stop

    with pytest.raises(Stop):
        train(config, tmp_path / "run", progress=stop_after_four)
    for path in runs.values():
        Path(path).rename(f"{path}-moved")
    assert train(config, tmp_path / "run", resume=True).steps == 6


def test_steps_are_logged_by_task_and_every_task_is_validated(joint: JointJob, whole: Path) -> None:
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "losses" in line]
    assert all(set(line["losses"]) == set(line["chance"]) for line in steps)
    assert len({tuple(line["losses"]) for line in steps}) > 3
    figures = [line["validation"] for line in lines if line.get("validation")][-1]
    assert {name.split()[0] for name in figures} == set(joint.data.validation)
    assert len(figures) > 10
    assert all(np.isfinite(f["loss"]) and f["chance"] > 0 for f in figures.values())


def test_validation_changes_nothing(joint: JointJob) -> None:
    before = {name: tensor.clone() for name, tensor in joint.tensors().items()}
    drawn = torch.random.get_rng_state()
    one, two = joint.validate(), joint.validate()
    assert one == two and one is not None
    assert one["caption"]["n"] == len(joint.data.validation["caption"].usable)
    assert all(torch.equal(tensor, before[name]) for name, tensor in joint.tensors().items())
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert all(p.grad is None for p in joint.model.parameters())


def test_every_task_learns_its_training_examples(place: Place, tmp_path: Path) -> None:
    """Steps on one task alone take its loss well below where it began."""
    for name in ("say", "boxes", "mask"):
        config = place.config("train.steps=25", "train.checkpoint_steps=null", "train.validate_every=1", only=(name,))
        found = train(config, tmp_path / name).losses
        assert np.mean(found[-5:]) < 0.85 * np.mean(found[:3]), name


@pytest.mark.slow
def test_two_processes_train_on_parts_of_their_own(place: Place, tmp_path: Path) -> None:
    result = train(place.config("train.processes=2", "train.steps=3"), tmp_path / "run")
    assert result.steps == 3 and all(np.isfinite(result.losses))
    assert isinstance(load(tmp_path / "run"), ConvertingModel)


@pytest.mark.slow
def test_two_processes_leave_alone_what_neither_used(place: Place, tmp_path: Path) -> None:
    """The head of a task that is never drawn: neither weight decay nor momentum may move it."""
    config = place.config(
        "train.processes=2",
        "train.steps=3",
        "tasks.caption.weight=1e9",
        "tasks.mask.weight=1e-9",
        only=("caption", "mask"),
    )
    run = train(config, tmp_path / "run").run
    fresh = job(config, tmp_path / "fresh").tensors()
    after = checkpoint.load(checkpoint.newest(run)).model
    assert all(torch.equal(after[name], tensor) for name, tensor in fresh.items() if name.startswith("mask."))
    assert not torch.equal(after["task_tokens.caption"], fresh["task_tokens.caption"])


# What is drawn.


def test_a_batch_is_a_function_of_step_and_part(place: Place, joint: JointJob, tmp_path: Path) -> None:
    again = job(place.config(), tmp_path).maker
    for step, part in ((0, 0), (5, 1), (9, 0), (5, 1)):
        one, two = joint.make(step, part, 2), again.make(step, part, 2)
        assert (one.task, one.ids) == (two.task, two.ids) and len(one.ids) == 4
        assert one.items.keys() == two.items.keys()
        assert all(torch.equal(one.items[name].value, two.items[name].value) for name in one.items)


def test_each_part_draws_a_task_of_its_own_in_proportion(joint: JointJob) -> None:
    names, shares = list(joint.data.train), joint.maker.shares
    assert shares.sum() == pytest.approx(1)
    drawn = [[joint.make(step, part, 4).task for part in range(4)] for step in range(150)]
    counts = Counter(name for row in drawn for name in row)
    for name, share in zip(names, shares, strict=True):
        assert counts[name] / 600 == pytest.approx(share, abs=4 * (share / 600) ** 0.5), name
    same = np.mean([one == two for row in drawn for one, two in combinations(row, 2)])
    assert same == pytest.approx((shares**2).sum(), abs=0.08), "parts of a step are independent"


def test_processes_share_a_step_by_what_its_parts_cost(place: Place, joint: JointJob) -> None:
    together, apart = (
        JointMaker(joint.data.train, place.config("train.batch=8", f"train.accumulate={n}")) for n in (8, 2)
    )
    uneven: list[float] = []
    for step in range(20):
        alone = [together.make(step, part, 8) for part in range(8)]
        shared = [apart.make(step, part, 8) for part in range(8)]
        key = [(batch.task, batch.ids) for batch in alone]
        assert sorted(key) == sorted((batch.task, batch.ids) for batch in shared), "the same parts in all"
        loads = [[tokens_of(b, place.config().model) for b in shared[i : i + 2]] for i in range(0, 8, 2)]
        uneven.append(max(map(sum, loads)) / max(sum(map(sum, loads)) / 4, max(map(max, loads))))
    assert np.mean(uneven) < 1.35


@pytest.mark.parametrize(
    ("costs", "processes", "expected"),
    [
        ([3, 1, 2, 4], 1, [0, 1, 2, 3]),
        ([3, 1, 2, 4], 2, [1, 3, 0, 2]),
        ([5, 5, 1, 1], 2, [0, 2, 1, 3]),
        ([1, 1, 1, 9], 2, [2, 3, 0, 1]),
        ([2, 7, 5], 3, [1, 2, 0]),
    ],
)
def test_the_costliest_part_goes_to_whoever_has_least(costs: list[float], processes: int, expected: list[int]) -> None:
    assert share_out(costs, processes) == expected


@pytest.mark.parametrize("mixing", [0.0, 0.5, 1.0])
def test_tasks_mix_by_the_number_of_their_records(place: Place, joint: JointJob, mixing: float) -> None:
    data = {name: joint.data.train[name] for name in ("caption", "hear", "next")}
    counts = np.array([len(d.usable) for d in data.values()], np.float64)
    assert len(set(counts)) == 3
    found = JointMaker(data, place.config(f"conversion.mixing={mixing}")).shares
    assert found == pytest.approx(counts**mixing / (counts**mixing).sum())


def test_given_weights_count_against_an_average_task(place: Place, joint: JointJob) -> None:
    data = {name: joint.data.train[name] for name in ("caption", "hear", "say", "paint")}
    found = JointMaker(data, place.config()).shares
    n = np.array([len(data[name].usable) for name in ("caption", "hear")]) ** 0.5
    expected = np.array([*(n / n.mean()), 2.0, 0.5])
    assert found == pytest.approx(expected / expected.sum())


def test_a_task_can_weigh_its_groups_in_its_own_way(place: Place, joint: JointJob, tmp_path: Path) -> None:
    many = joint.data.train["caption"]
    records = [replace(r, group="all" if i else None) for i, r in enumerate(many.split.records)]
    grouped = replace(many, split=replace(many.split, records=records))
    first = records[int(many.usable[0])].id
    for power, share in ((1.0, 1 / len(many.usable)), (0.0, 0.5)):
        data = {"caption": replace(grouped, task=grouped.task.model_copy(update={"group_power": power}))}
        maker = JointMaker(data, place.config("data.group_power=0.5", only=("caption",)))
        drawn = [i for step in range(60) for i in maker.make(step, 0, 1).ids]
        assert drawn.count(first) / len(drawn) == pytest.approx(share, abs=0.03)


def test_a_part_trains_the_token_of_the_whole_and_its_choices_are_the_wholes(place: Place, tmp_path: Path) -> None:
    whole = {"given": ["image", "question"], "wanted": "answer", "where": "id = 'room-0' OR id = 'room-2'"}
    part = {"given": ["image", "question.en"], "wanted": "answer", "part_of": "scene"}
    tasks = {"scene": whole, "more": part, "first": place.tasks["first"]}
    made = job(joint_config(place.rooms, tasks, place.quantizers), tmp_path)
    facts = made.model.facts
    assert set(made.model.task_tokens) == {"scene", "first"}
    assert set(facts.choices["scene"]) == set(facts.choices["more"]) > set(facts.choices["first"])
    batch = made.data.train["more"].batch(made.data.train["more"].usable[:2], None)
    made.model.losses(batch, torch.float32).losses["more"].backward()
    assert made.model.task_tokens["scene"].grad is not None and made.model.task_tokens["first"].grad is None


def test_every_usable_record_gives_an_example_of_any_draw(joint: JointJob) -> None:
    for name, data in joint.data.train.items():
        for step in range(5):
            batch = data.batch(data.usable, Draws(0, step, len(data.usable), slice(None)))
            assert len(set(batch.ids)) == len(data.usable), name
    translate = joint.data.train["translate"]
    assert len(translate.usable) == len(translate.split.records)


def test_the_tokenizer_knows_every_table_and_the_facts_their_names(joint: JointJob) -> None:
    facts = joint.data.facts
    assert facts.objects == ("black", "blue", "green", "red")
    assert set(facts.languages) == {"en", "de"} or set(facts.languages) >= {"en", "de"}
    assert set(facts.choices["scene"]) == {"1", "2", *facts.objects} and set(facts.choices["first"]) <= set(
        facts.objects
    )
    for word in ("schwarz", "block"):
        assert len(joint.data.tokenizer.ids([word])[0]) <= 4, "pieces of the words of both tables were merged"


# What it begins with, and what is trained.


def test_it_begins_with_an_embedding_runs_weights(place: Place, finished: Path, tmp_path: Path) -> None:
    made = job(place.config(f"conversion.init={finished}", only=("caption", "say", "hear")), tmp_path)
    given = checkpoint.load(checkpoint.newest(finished)).model
    before = made.model.state_dict()
    assert all(torch.equal(before[f"space.{name}"], tensor) for name, tensor in given.items())
    made.calibrate(torch.device("cpu"))
    assert all(torch.equal(made.model.state_dict()[f"space.{name}"], tensor) for name, tensor in given.items())


def test_it_begins_with_a_converting_runs_weights_but_for_its_quantisers(
    place: Place, whole: Path, tmp_path: Path
) -> None:
    given = checkpoint.load(checkpoint.newest(whole)).model
    made = job(place.config(f"conversion.init={whole}"), tmp_path).tensors()
    assert made.keys() == given.keys()
    assert all(torch.equal(made[name], tensor) for name, tensor in given.items())
    tables = {"image": place.rooms, "audio": place.things}
    others = replace(place, quantizers={m: str(quantizer(table, m, tmp_path / m)) for m, table in tables.items()})
    second = job(others.config(f"conversion.init={whole}"), tmp_path / "second").tensors()
    moved = {name for name, tensor in given.items() if not torch.equal(second[name], tensor)}
    assert moved and {".".join(name.split(".")[:2]) for name in moved} == {"quantizers.image", "writers.image"}, (
        "codes of another quantiser mean something else"
    )


@pytest.mark.parametrize("kind", ["heads", "adapters"])
def test_tuning_moves_what_it_says(place: Place, whole: Path, tmp_path: Path, kind: str) -> None:
    config = place.config(f"conversion.init={whole}", f"conversion.tune={kind}", "train.steps=6")
    run = train(config, tmp_path / "run").run
    fresh = job(config, tmp_path / "fresh").tensors()
    after = checkpoint.load(checkpoint.newest(run)).model
    assert after.keys() == fresh.keys()
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, fresh[name])}
    assert any(name.startswith("writers") for name in moved) and any(name.startswith("task_tokens") for name in moved)
    inside = {name for name in moved if not name.startswith(HEADS)}
    if kind == "heads":
        assert not inside
    else:
        assert any("adapters" in name for name in inside)
        assert all("adapters" in name or "_norm" in name for name in inside), inside
    loaded = load(run)
    assert isinstance(loaded, ConvertingModel)
    assert loaded.convert(image=picture("red", "small"), to="text", task="caption").text is not None


def test_inputs_are_standardised_also_where_only_a_history_brings_them(place: Place, tmp_path: Path) -> None:
    made = job(place.config(only=("next",)), tmp_path)
    made.calibrate(torch.device("cpu"))
    tensors = made.tensors()
    means = [t for name, t in tensors.items() if name.startswith("space.embedders.image.") and name.endswith(".mean")]
    assert means and not any(torch.all(t == 127.5) for t in means)


# Converting.


RED = picture("red", "small")


def test_a_task_is_found_by_what_is_given_and_wanted(model: ConvertingModel) -> None:
    assert model.tasks_for({"image"}, "text", language="de") == ("german",)
    assert model.tasks_for({"image"}, "boxes") == ("boxes",)
    assert model.tasks_for({"image", "text"}, "answer") == ("scene",)
    assert model.tasks_for({"text"}, "text") == ("translate",), "one that wants a text before one that wants a label"
    assert model.tasks_for({"text", "image"}, "text") == ("scene",)
    assert model.tasks_for({"text"}, "audio") == ("say",)
    assert model.tasks_for({"text"}, "image", task="paint") == ("paint",)


def test_what_it_cannot_do_is_answered_with_what_it_can(model: ConvertingModel) -> None:
    with pytest.raises(
        ConfigError,
        match=r"several tasks make text from image: caption, german; say which with one of\n  --language en",
    ):
        model.convert(image=RED, to="text")
    with pytest.raises(
        ConfigError,
        match=r"cannot make image from audio; the task 'draw' makes it from text(\.en)?: add --text and leave out --audio; from audio it",
    ):
        model.convert(audio=sound("red", "small"), to="image")
    with pytest.raises(ConfigError, match=r"no task 'paraphrase'; it has caption, "):
        model.convert(text="red", task="paraphrase")
    with pytest.raises(ConfigError, match="in 'fr'; it does in de, en"):
        model.convert(image=RED, to="text", language="fr")
    with pytest.raises(ConfigError, match="no voice 'nobody'"):
        model.convert(text="red", to="audio", by="nobody")
    with pytest.raises(ConfigError, match="not a record and text"):
        model.convert(text="red", record=room(0), to="label")
    with pytest.raises(ConfigError, match=r"model\.recommend"):
        model.convert(text="red", to="item")
    with pytest.raises(ConfigError, match=r"bare: the task 'caption' needs image"):
        model.run("caption", [Record("bare")])
    with pytest.raises(ConfigError, match="words to choose from"):
        model.convert(image=RED, to="boxes", choices=["a"])
    with pytest.raises(ConfigError, match="only words and pictures are compared"):
        model.convert(image=RED, to="boxes", decoding=DecodingConfig(kind="sample", candidates=2))


def test_what_cannot_be_read_is_said(model: ConvertingModel, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="given"):
        model.convert(image=b"no picture", to="boxes")
    with pytest.raises(MediaError, match="no such file"):
        model.convert(image=str(tmp_path / "gone.png"), to="boxes")
    with pytest.raises(
        ConfigError, match=r"image is a path, bytes or chiasm\.Media, a Pillow image or a uint8 array, not int"
    ):
        model.convert(image=3, to="boxes")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"not float64 \[4, 4\]"):
        model.convert(image=np.zeros((4, 4)), to="boxes")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"decoding: .*top_q"):
        model.convert(image=RED, to="boxes", decoding={"top_q": 3})
    opened = Image.open(io.BytesIO(RED))
    assert model.convert(image=opened, to="mask").mask is not None
    assert (model.embed(image=np.asarray(opened)) == model.embed(image=RED)).all()
    broken = replace(room(0), image=(replace(room(0).image[0], data=b"-"),))
    assert isinstance(model.readable("caption", broken), MediaError)
    assert model.readable("caption", room(0)) is None and model.readable("first", broken) is None


def test_boxes_are_found_by_cells(place: Place, tmp_path: Path) -> None:
    cells = {"cells": {"given": ["image"], "wanted": "boxes", "order": "parallel", "augment": 0.5}}
    train(
        joint_config(place.rooms, cells, {}, "train.steps=150", "train.batch=16", "train.validate_every=1.0"),
        tmp_path / "r",
    )
    values = losses(tmp_path / "r")
    assert values[-1] < 0.6 * values[0]
    model = load(tmp_path / "r")
    found = model.convert(image=RED, to="boxes").boxes
    assert found is not None
    assert all(0 <= b.x0 < b.x1 <= 1 and 0 <= b.y0 < b.y1 <= 1 and b.score > 0.2 for b in found)


def test_each_kind_of_thing_is_made(model: ConvertingModel) -> None:
    assert model.convert(image=RED, to="text", language="de").text is not None
    drawn = model.convert(text="red", to="image", task="draw").image
    assert drawn is not None and drawn.shape == (16, 16, 3) and drawn.dtype == np.uint8
    said = model.convert(text="red", to="audio").audio
    assert said is not None and said.dtype == np.float32 and len(said)
    mask = model.convert(image=RED, to="mask")
    assert mask.mask is not None and mask.mask.shape == (8, 8) and mask.names[0] == "background"
    assert model.convert(image=RED, to="boxes").boxes is not None
    items = [replace(session(i), id=f"item-{i}") for i in range(5)]
    held = {text.text for text in session(1).texts}
    (found,) = model.recommend("next", [session(1)], items, k=5)
    assert set(found.items or ()) == {r.id for r in items if r.texts[0].text not in held}, (
        "what it holds does not follow"
    )
    (found,) = model.recommend("next", [session(1)], items, k=3, again=True)
    assert found.items is not None and len(set(found.items)) == 3 and set(found.items) <= {r.id for r in items}
    with pytest.raises(ConfigError, match="bare: an item of a catalogue needs"):
        model.recommend("next", [session(1)], [*items, Record("bare")])


def test_what_is_popular_is_recommended_as_much_as_it_is_asked_to_count(
    model: ConvertingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Table(model.config.tasks["next"].table or "")
    held = [{t.text for t in r.texts} for r in sessions.records(sessions.rows("split = 'train'"), ["texts"])]
    assert model.converter.facts.items == {"next": {name: sum(name in s for s in held) for name in set().union(*held)}}
    items = [replace(session(i), id=f"item-{i}") for i in range(4)]
    names = {record.id: record.texts[0].text for record in items}

    def ranked(popularity: float, counts: dict[str, int]) -> list[str]:
        facts = replace(model.converter.facts, items={"next": counts})
        monkeypatch.setattr(model.converter, "facts", facts)
        (found,) = model.recommend("next", [session(1)], items, k=4, popularity=popularity, again=True)
        return [names[i] for i in found.items or ()]

    plain = ranked(0, {})
    assert plain == ranked(1, {}) == ranked(0, {plain[-1]: 9}) == ranked(1, dict.fromkeys(plain, 7))
    frequent = {plain[3]: 10**9, plain[2]: 10**6, plain[1]: 1}
    # What was not counted stands at the mean of the logs: e^11.5 between the two.
    assert ranked(10, frequent) == [plain[3], plain[2], plain[0], plain[1]]


def test_answers_and_labels_are_chosen(model: ConvertingModel) -> None:
    made = model.convert(text="red and blue", to="label")
    assert made.text in model.choices("first") and set(made.scores) == set(model.choices("first"))
    own = model.convert(image=RED, text="which is first", to="answer", choices=["Violet", "red"])
    assert own.text in ("Violet", "red") and set(own.scores) == {"Violet", "red"}
    (free,) = model.run("first", [room(0)], free=True)
    assert free.text is not None and not free.scores


@pytest.mark.parametrize(
    "decoding",
    [
        None,
        DecodingConfig(kind="sample", seed=1),
        DecodingConfig(kind="beam", beams=2),
        DecodingConfig(kind="sample", seed=1, candidates=3),
    ],
)
def test_what_is_streamed_is_what_is_written(model: ConvertingModel, decoding: DecodingConfig | None) -> None:
    shown: list[str] = []
    made = model.convert(image=RED, task="caption", decoding=decoding, show=shown.append)
    assert "".join(shown) == made.text
    shown.clear()
    chosen = model.convert(text="red", to="label", show=shown.append)
    assert "".join(shown) == chosen.text
    assert model.convert(image=RED, to="boxes", show=shown.append).text is None


def test_a_sample_depends_on_its_seed_and_number_alone(model: ConvertingModel) -> None:
    def draw(seed: int, records: list[Record], rows: list[int] | None = None) -> list[bytes]:
        made = model.run("draw", records, decoding=DecodingConfig(kind="sample", seed=seed), rows=rows)
        return [one.image.tobytes() for one in made if one.image is not None]

    records = [room(i) for i in range(3)]
    assert draw(0, records) == draw(0, records)
    assert draw(0, records) != draw(1, records)
    # The same codes; their pixels may round to a neighbour, for a batch of another size is computed by another kernel.
    many, alone = (
        np.frombuffer(b, np.uint8).astype(int) for b in (draw(0, records)[1], draw(0, records[1:2], rows=[1])[0])
    )
    assert np.abs(many - alone).max() <= 1
    assert len(set(draw(0, [room(0)] * 3))) > 1, "each row has a stream of its own"


def test_a_task_guides_what_it_writes_where_nobody_says_otherwise(
    model: ConvertingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [room(i) for i in range(3)]

    def drawn(**asked: float) -> list[bytes]:
        made = model.run("draw", records, decoding=asked)
        return [one.image.tobytes() for one in made if one.image is not None]

    plain, strong = drawn(), drawn(guidance=8.0)
    assert len(plain) == 3 and plain != strong
    guided = {**model.tasks, "draw": model.tasks["draw"].model_copy(update={"guidance": 8.0})}
    monkeypatch.setattr(model, "config", model.config.model_copy(update={"tasks": guided}))
    assert drawn() == strong and drawn(guidance=1.0) == plain


def test_of_candidates_the_nearest_to_what_was_given_is_kept(model: ConvertingModel) -> None:
    options = DecodingConfig(kind="sample", seed=4, candidates=4)
    records = [room(i) for i in range(2)]
    made = model.run("caption", records, decoding=options)
    batch = model._batch("caption", records, lambda medium: medium.data or b"", "en", None)
    every = model._decoder.write(batch, options)
    assert len(every) == 8
    asked = model.embed_items("image", [r.image[0] for r in records])
    for row in range(2):
        mine = every[4 * row : 4 * row + 4]
        near = model.embed_items("text", [Text(one.text or "-") for one in mine]) @ asked[row]
        assert made[row].text == mine[int(near.argmax())].text
    with pytest.raises(ConfigError, match="made of something else"):
        model.convert(text="red", task="translate", decoding=options)


def test_it_still_embeds(model: ConvertingModel) -> None:
    vectors = model.embed_items("text", [Text("red"), Text("blue")])
    assert vectors.shape == (2, model.dimension)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_checkpoint_says_what_its_shape_depends_on(whole: Path, tmp_path: Path, finished: Path) -> None:
    path = checkpoint.newest(whole)
    assert set(read_shape(path)["quantizers"]) == {"image", "audio"}
    with pytest.raises(ModelError, match="no converting model's checkpoint"):
        read_shape(checkpoint.newest(finished))
    (tmp_path / "conversion.json").write_text('{"facts": {}}')
    with pytest.raises(ModelError, match="cannot be understood"):
        read_shape(tmp_path)


# What cannot be begun.


@pytest.mark.parametrize("wanted", ["draw", "say"])
def test_codes_without_a_quantiser_are_refused_before_any_data_is_read(
    place: Place, wanted: str, tmp_path: Path
) -> None:
    config = joint_config(tmp_path / "no.lance", {wanted: {**place.tasks[wanted], "table": None}}, {})
    with pytest.raises(ConfigError, match=r"conversion\.quantizers: a task wants"):
        job(config, tmp_path)


def test_a_trunk_that_does_not_convert_is_refused_before_any_data_is_read(place: Place, tmp_path: Path) -> None:
    config = joint_config(tmp_path / "no.lance", {"a": place.tasks["caption"]}, {}, "model.trunk=separate")
    with pytest.raises(ConfigError, match="trunk=separate"):
        job(config, tmp_path)


def test_a_quantiser_is_one_of_its_modality(place: Place, finished: Path, tmp_path: Path) -> None:
    for path, says, error in (
        (place.quantizers["audio"], "is a run of audio_quantizer, not of image_quantizer", ConfigError),
        (str(finished), "conversion.quantizers.image", ModelError),
        (str(tmp_path / "nothing"), "conversion.quantizers.image", ModelError),
    ):
        with pytest.raises(error, match=says):
            job(joint_config(place.rooms, {"draw": place.tasks["draw"]}, {"image": path}), tmp_path)


@pytest.mark.parametrize(
    ("task", "says", "error"),
    [
        ({"given": ["video"], "wanted": "text"}, "no record of split 'train' has what the task 'a' needs: video and text", DataError),
        ({"given": ["image"], "wanted": "label:mood"}, "needs: image and label:mood", DataError),
        ({"given": ["image"], "wanted": "text", "where": "source = 'none'"}, "no record of split", DataError),
        ({"given": ["image"], "wanted": "text", "where": "nonsense here"}, "nonsense", ConfigError),
        ({"given": ["image"], "wanted": "text", "table": "no.lance"}, "no.lance", DataError),
    ],
)  # fmt: skip
def test_a_table_that_lacks_what_a_task_needs_is_named(
    place: Place, tmp_path: Path, task: dict[str, Any], says: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match=says):
        job(joint_config(place.rooms, {"a": task}, {}), tmp_path)


@pytest.fixture
def beside(tmp_path: Path) -> Callable[[], Path]:
    """A table whose pictures are files beside it."""

    def make() -> Path:
        source = tmp_path / "beside"
        source.mkdir()
        for k, size in enumerate(("small", "large", "wide", "tall")):
            for colour in ("red", "blue"):
                (source / f"{size}-{colour}.png").write_bytes(picture(colour, size))
                (source / f"{size}-{colour}.txt").write_text(f"a {size} {colour} block {k}", encoding="utf8")
        config = BuildConfig(validation=0.2, test=0.0, workers=1, embed_media=False)
        return build(str(source), tmp_path / "beside.lance", config).path

    return make


def test_pictures_that_are_gone_are_left_out_given_or_wanted(
    place: Place, beside: Callable[[], Path], tmp_path: Path
) -> None:
    table = beside()
    chosen = {"draw": place.tasks["draw"], "name": {"given": ["image"], "wanted": "text"}}
    config = joint_config(table, chosen, place.quantizers)
    before = job(config, tmp_path / "all").data.train["draw"]
    gone = {before.split.records[p].id for p in before.usable[:2].tolist()}
    for file in (tmp_path / "beside").glob("*.png"):
        if any(file.stem in name for name in gone):
            file.unlink()
    made = job(config, tmp_path / "some")
    left = made.data.train["draw"]
    assert {left.split.records[p].id for p in left.usable} == {before.split.records[p].id for p in before.usable} - gone
    assert all(np.isfinite(loss) for loss in train(config, tmp_path / "run").losses)
    for file in (tmp_path / "beside").glob("*.png"):
        file.unlink()
    with pytest.raises(DataError, match="not one image"):
        job(joint_config(table, {"draw": chosen["draw"]}, place.quantizers), tmp_path / "none")


def test_a_run_without_tasks_is_what_it_was(place: Place, tmp_path: Path) -> None:
    train(run_config(place.things, "train.steps=1"), tmp_path / "run")
    assert not isinstance(load(tmp_path / "run"), ConvertingModel)
