"""The evaluation of converting runs: what is asked of whom, the arithmetic by a model that is known to be right or wrong, a real tiny run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluate_cases import shapes
from numpy.typing import NDArray

from chiasm.cli.conversions import conversion_tables
from chiasm.cli.evaluate_job import Job, measure_converting
from chiasm.cli.progress import Progress as Bars
from chiasm.config import RunConfig, load_config
from chiasm.dataset.table import Table
from chiasm.declare import TaskConfig
from chiasm.errors import ConfigError
from chiasm.evaluate.conversion.cases import answer_type, cases_of, spread
from chiasm.evaluate.conversion.page import conversion_sections, with_boxes, with_mask
from chiasm.evaluate.conversion.score import f1_score, f1_table
from chiasm.evaluate.conversion.spoken import aligned_distance
from chiasm.evaluate.conversion.tasks import evaluate_conversion, measured_conversions, tasks_of_table
from chiasm.evaluate.metrics.reconstruction import DECIBELS
from chiasm.evaluate.pages.embedded import Embedded
from chiasm.evaluate.pages.report import write_report
from chiasm.modalities.image import read_image
from chiasm.modalities.media import read_bytes
from chiasm.train.converting import load_converting
from chiasm.train.run import train
from chiasm.types import Box, Converted, Media, Question, Record, ScoredBox, Text

Answer = Callable[[str, TaskConfig, Record, str | None], Converted]


@dataclass
class Fake:
    """Converts with the signature of the real model, by a function of the record."""

    table: Path
    declared: Mapping[str, Mapping[str, Any]]
    answer: Answer
    held_out: tuple[str, ...] = ()
    asked: list[Record] = field(default_factory=list[Record])

    @property
    def config(self) -> RunConfig:
        data = {"table": str(self.table), "held_out_makers": list(self.held_out)}
        return load_config(RunConfig, base={"data": data, "tasks": dict(self.declared), "train": {"steps": 1}})

    @property
    def tasks(self) -> Mapping[str, TaskConfig]:
        return self.config.tasks

    def run(
        self,
        task: str,
        records: Sequence[Record],
        *,
        language: str | None = None,
        read: Callable[[Media], bytes] = read_bytes,
    ) -> list[Converted]:
        self.asked += records
        return [self.answer(task, self.tasks[task], record, language) for record in records]

    def recommend(
        self,
        task: str,
        records: Sequence[Record],
        catalogue: Sequence[Record],
        k: int = 10,
        read: Callable[[Media], bytes] = read_bytes,
    ) -> list[Converted]:
        """The item that truly follows first, then all others: the sessions go round in the catalogue's order. What is to be found is not shown."""
        names = [one.id for one in catalogue]
        follows = [names[(names.index(r.texts[-1].text) + 1) % len(names)] for r in records]
        return [Converted(items=(one, *(n for n in names if n != one))) for one in follows]

    def embed_items(
        self, modality: str, items: Sequence[Text | Media], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        raise AssertionError("this model has no space")


def measure(model: Fake, **settings: Any) -> Any:
    found = evaluate_conversion(model, **settings)
    assert json.loads(json.dumps(found.to_json())) == found.to_json(), "plain JSON"
    return found.to_json()


def value(entry: Any, name: str) -> float:
    return entry["metrics"][name]["value"]


def test_right_texts_score_full_and_empty_ones_nothing(shapes_table: Table) -> None:
    declared = {"caption": {"given": ["image"], "wanted": "text.en"}}
    right = Fake(shapes_table.path, declared, lambda _, __, r, ___: Converted(text=r.texts[0].text.upper()))
    splits = measure(right)["caption"]["splits"]
    assert list(splits) == ["test"], "train is not measured, validation only where there is no other"
    test = splits["test"]
    assert (test["n"], test["records"], test["role"]) == (20, 20, "test")
    assert value(test, "exact_match") == 1.0 and value(test, "token_f1") == 1.0
    assert test["metrics"]["exact_match"]["low"] < 1.0, "twenty cases do not prove that it never errs"
    assert len(test["examples"]) == 12 and all(one["right"] for one in test["examples"])
    empty = Fake(shapes_table.path, declared, lambda *_: Converted(text=""))
    test = measure(empty)["caption"]["splits"]["test"]
    assert value(test, "exact_match") == 0.0 and value(test, "chrf") == 0.0 and value(test, "novel") == 0.0


def test_a_writer_that_repeats_what_it_read_is_seen(shapes_table: Table) -> None:
    declared = {"caption": {"given": ["image"], "wanted": "text.en"}}
    parrot = Fake(shapes_table.path, declared, lambda *_: Converted(text="Tiny red circle."))
    test = measure(parrot)["caption"]["splits"]["test"]
    assert value(test, "novel") == 0.0 and test["ceilings"]["true texts"]["novel"]["value"] == 1.0
    assert test["details"]["variety"] == {"distinct_1": 0.05, "distinct_2": 0.05, "vocabulary": 3, "texts": 0.05}
    true = test["details"]["variety_true"]
    # Twenty texts "large COLOUR SHAPE": 1 + 5 + 4 words, 5 + 20 pairs.
    assert true == {"distinct_1": round(10 / 60, 6), "distinct_2": round(25 / 40, 6), "vocabulary": 10, "texts": 1.0}
    assert "10 different words" in test["notes"]["of the true texts"]


def test_voices_are_told_apart(shapes_table: Table) -> None:
    """A model that understands one voice alone: the other one, which training never heard, shows it."""

    def hears(_: str, __: TaskConfig, record: Record, ___: str | None) -> Converted:
        (sound,) = record.audio
        return Converted(text=sound.text if sound.by == "low" else "no idea")

    model = Fake(shapes_table.path, {"hear": {"given": ["audio"], "wanted": "text"}}, hears, held_out=("high",))
    test = measure(model)["hear"]["splits"]["test"]
    assert test["n"] == 40 and test["records"] == 20
    assert test["by"]["seen voices"]["metrics"]["word_error_rate"]["value"] == 0.0
    assert test["by"]["unseen voices"]["metrics"]["words_right"]["value"] == 0.0
    assert value(test, "exact_match") == 0.5 and value(test, "words_right") == 0.5
    assert list(measure(model)["hear"]["splits"]) == ["test"], "training heard every record, in the other voice"


def test_records_that_training_left_out_for_their_maker_are_a_test_as_well(make_table: Callable[..., Table]) -> None:
    table = make_table(
        [
            # A sound of another language by another maker stands before it and is none that the task could be given.
            replace(record, audio=(Media(data=record.audio[0].data, language="de", by="other", text="x"), *own))
            for number, record in enumerate(shapes())
            for own in [tuple(m for m in record.audio if m.by == ("high" if number % 3 == 0 else "low"))]
        ]
    )
    declared = {"hear": {"given": ["audio.en"], "wanted": "text"}}
    model = Fake(table.path, declared, lambda *_: Converted(text="no idea"), held_out=("high",))
    splits = measure(model)["hear"]["splits"]
    outside = [r for r in table.records() if r.split == "train" and r.audio[-1].by == "high"]
    assert list(splits) == ["test", "left_out_makers"] and len(outside) > 5
    left_out = splits["left_out_makers"]
    assert (left_out["n"], left_out["role"]) == (len(outside), "left out")
    assert list(measure(model, splits=["left_out_makers"])["hear"]["splits"]) == ["left_out_makers"]


def test_labels_beside_baselines_that_learn_from_the_same_inputs(shapes_table: Table) -> None:
    declared = {
        "text": {"given": ["text.en"], "wanted": "label:colour"},
        "sound": {"given": ["audio"], "wanted": "label:colour"},
    }
    model = Fake(shapes_table.path, declared, lambda _, __, r, ___: Converted(text="red"))
    found = measure(model)
    text, sound = (found[name]["splits"]["test"] for name in ("text", "sound"))
    assert value(text, "accuracy") == pytest.approx(0.2)
    assert value(text, "macro_f1") == pytest.approx((2 * 4 / 24) / 5, abs=1e-6)
    assert text["baselines"]["text classifier"]["accuracy"]["value"] == 1.0, "the colour is in the words"
    assert text["baselines"]["most frequent"]["accuracy"]["value"] == pytest.approx(0.2)
    assert sound["baselines"]["sound classifier"]["accuracy"]["value"] > 0.6


def test_answers_by_type_beside_what_the_words_give_away(make_table: Callable[..., Table]) -> None:
    def asked(record: Record, place: int) -> Record:
        colour, shape = record.labels[0].value, record.labels[1].value
        return replace(
            record,
            questions=(
                Question("what colour is it?", (colour,)),
                Question("is it a circle?", ("yes" if shape == "circle" else "no",)),
                Question("how many are there?", ("1",)),
            ),
        )

    table = make_table([asked(record, place) for place, record in enumerate(shapes())])

    def answers(_: str, __: TaskConfig, record: Record, ___: str | None) -> Converted:
        (question,) = record.questions
        return Converted(text="no" if question.question.startswith("is") else question.answers[0])

    declared = {"ask": {"given": ["image", "question"], "wanted": "answer"}}
    test = measure(Fake(table.path, declared, answers))["ask"]["splits"]["test"]
    assert test["n"] == 60 and set(test["by"]) == {"yes/no", "number", "other"}
    assert test["by"]["other"]["metrics"]["accuracy"]["value"] == 1.0
    assert test["by"]["yes/no"]["metrics"]["accuracy"]["value"] == 0.75
    blind = {tag: part["baselines"]["blind"]["accuracy"]["value"] for tag, part in test["by"].items()}
    assert blind["number"] == 1.0 and blind["yes/no"] == 0.75 and blind["other"] == pytest.approx(0.2)
    few = measure(Fake(table.path, declared, answers), most=5)["ask"]["splits"]["test"]
    assert few["records"] == 5 and few["n"] == 15


def test_an_optional_field_is_taken_away_and_missed(shapes_table: Table) -> None:
    """Names its colour only while it sees the picture."""

    def names(_: str, __: TaskConfig, record: Record, ___: str | None) -> Converted:
        return Converted(text=record.texts[1].text if record.image else "?")

    model = Fake(shapes_table.path, {"zh": {"given": ["text.en", "image?"], "wanted": "text.zh"}}, names)
    test = measure(model)["zh"]["splits"]["test"]
    bare = test["without"]["image"]
    assert bare["metrics"]["exact_match"]["value"] == 0.0
    assert bare["difference"]["exact_match"]["value"] == 1.0 and bare["difference"]["chrf"]["low"] > 50


def test_drawn_pictures_are_looked_for_among_all_of_the_table(shapes_table: Table) -> None:
    def draws(_: str, __: TaskConfig, record: Record, ___: str | None) -> Converted:
        return Converted(image=read_image(record.image[0].data or b"", 32))

    model = Fake(shapes_table.path, {"draw": {"given": ["text.en"], "wanted": "image"}}, draws)
    test = measure(model)["draw"]["splits"]["test"]
    assert value(test, "top1") == 1.0 and value(test, "ssim") == pytest.approx(1.0)
    assert test["notes"]["gallery"].startswith("80 pictures") and test["ceilings"] == {}
    blank = Fake(shapes_table.path, model.declared, lambda *_: Converted(image=np.zeros((32, 32, 3), np.uint8)))
    assert value(measure(blank)["draw"]["splits"]["test"], "top1") < 0.2


def test_boxes_and_items(make_table: Callable[..., Table]) -> None:
    records = shapes()
    boxed = [replace(r, boxes=(Box(0.2, 0.2, 0.8, 0.8, r.labels[1].value),)) for r in records]
    table = make_table(boxed)

    def finds(_: str, __: TaskConfig, record: Record, ___: str | None) -> Converted:
        box = record.boxes[0]
        spurious = ScoredBox(0.0, 0.0, 0.1, 0.1, box.label, 0.1)
        return Converted(boxes=(ScoredBox(box.x0, box.y0, box.x1, box.y1, box.label, 0.9), spurious))

    test = measure(Fake(table.path, {"find": {"given": ["image"], "wanted": "boxes"}}, finds))["find"]["splits"]["test"]
    assert (
        value(test, "ap50") == pytest.approx(1.0) and value(test, "recall") == 1.0 and value(test, "precision") == 0.5
    )
    assert test["details"]["ap50"] == dict.fromkeys(("bar", "circle", "square", "triangle"), 1.0)


def test_the_next_item_is_ranked_among_all_of_the_table(make_table: Callable[..., Table]) -> None:
    things = shapes()[:8]
    sessions = [
        Record(
            id=f"s{k}",
            texts=tuple(things[(k + i) % 8].texts[0] for i in range(4)),
            image=tuple(things[(k + i) % 8].image[0] for i in range(4)),
            split="test" if k >= 8 else "train",
            source="drawn",
        )
        for k in range(16)
    ]
    table = make_table(sessions)
    model = Fake(
        table.path, {"next": {"given": ["history"], "wanted": "item"}}, lambda *_: Converted()
    )  # fmt: skip
    test = measure(model)["next"]["splits"]["test"]
    assert value(test, "hit_at_1") == 1.0 and value(test, "mrr") == 1.0
    assert test["notes"]["catalogue"] == "8 items"
    assert 0 < test["baselines"]["co-occurrence"]["mrr"]["value"] <= 1
    assert test["baselines"]["popularity"]["hit_at_5"]["value"] == 1.0, "eight items, three of them in the history"


def test_the_page_shows_what_was_drawn_and_said(shapes_table: Table) -> None:
    """Words that no train sound says, so none for a judge: the run's own recogniser listens, which here understands nothing."""

    def makes(task: str, _: TaskConfig, record: Record, __: str | None) -> Converted:
        if task == "draw":
            return Converted(image=read_image(record.image[0].data or b"", 32))
        return Converted(text="?") if task == "hear" else Converted(audio=np.full(1600, 0.1, np.float32))

    declared = {
        "draw": {"given": ["text.en"], "wanted": "image"},
        "say": {"given": ["text.en"], "wanted": "audio"},
        "hear": {"given": ["audio"], "wanted": "text"},
    }
    model = Fake(shapes_table.path, declared, makes)
    found = measure(model, tasks=["draw", "say"], most=4)
    said = found["say"]["splits"]["test"]
    assert (
        value(said, "word_error_rate") == 1.0 and value(said, "mel_distance") > 0 and "hear" in said["notes"]["judge"]
    )
    draw, say = conversion_sections(model, found, Embedded(shapes_table))
    assert draw["title"] == "words (en) → a picture" and len(draw["splits"][0]["cards"]) == 4
    card = draw["splits"][0]["cards"][0]
    assert [one["kind"] for one in (*card["given"], *card["got"], *card["wanted"])] == ["words", "picture", "picture"]
    card = say["splits"][0]["cards"][0]
    assert [one["kind"] for one in (*card["given"], *card["got"], *card["wanted"])] == ["words", "sound", "sound"]


def test_a_dialogue_is_asked_turn_by_turn() -> None:
    task = TaskConfig.model_validate({"given": ["turns"], "wanted": "answer"})
    spoken = Media(data=b"x", kind="turn:1", by="v")
    questions = (Question("a?", ("1", "one")), Question("b?", ("2",)))
    record = Record("d", image=(Media(data=b"y"),), audio=(spoken,), questions=questions)
    first, second = cases_of(record, 7, 0, task, frozenset())
    assert first.asked == "a?" and first.truth == ("1", "one") and not first.record.audio
    assert second.asked == "b?" and second.record.audio == (spoken,) and "spoken turn" in second.tags


def test_small_parts() -> None:
    assert [answer_type(one) for one in ("Yes", "3", "two", "red")] == ["yes/no", "number", "number", "other"]
    assert spread(10, 3).tolist() == [0, 3, 6] and spread(2, 5).tolist() == [0, 1] and spread(0, 5).tolist() == []
    assert f1_score(f1_table(["a", "a", "c"], ["a", "b", "b"]).sum(0)) == pytest.approx((2 / 3 + 0) / 2)
    rng = np.random.default_rng(0)
    sound = rng.integers(0, 255, (20, 80)).astype(np.uint8)
    assert aligned_distance(sound, np.repeat(sound, 2, axis=0)) == 0.0, "said twice as slowly"
    assert aligned_distance(sound[:1], sound[:1] // 2) == pytest.approx(
        np.abs(sound[:1] - (sound[:1] // 2).astype(float)).mean() * DECIBELS, rel=1e-5
    )
    white = np.full((20, 30, 3), 255, np.uint8)
    drawn = with_boxes(white, [Box(0.0, 0.0, 1.0, 1.0, "cow")])
    assert (drawn[0] != 255).any() and (drawn[8:12, 8:22] == 255).all()
    assert (with_mask(white, np.array([[0, 1]]))[:, 20:] != 255).any()


def test_refuses_what_is_not_there(shapes_table: Table) -> None:
    model = Fake(shapes_table.path, {"caption": {"given": ["image"], "wanted": "text.en"}}, lambda *_: Converted())
    with pytest.raises(ConfigError, match="no task 'draw'"):
        evaluate_conversion(model, tasks=["draw"])
    with pytest.raises(ConfigError, match="split 'tset'"):
        evaluate_conversion(model, ["tset"])


def test_a_real_run_end_to_end(shapes_table: Table, tmp_path: Path) -> None:
    """Trained for a few steps: every figure is there, the report shows it, and nothing differs the second time."""
    config = load_config(
        RunConfig,
        base={
            "data": {"table": str(shapes_table.path), "held_out_makers": ["high"]},
            "model": {
                "width": 16,
                "heads": 2,
                "layers": 2,
                "embedding": 8,
                "text": {"vocabulary": 300, "length": 16},
                "image": {"size": 16, "patch": 4},
                "audio": {"seconds": 0.3},
            },
            "train": {"batch": 8, "steps": 4, "threads": 1, "processes": 1, "precision": "fp32"},
            "tasks": {
                "caption": {"given": ["image"], "wanted": "text.en"},
                "hear": {"given": ["audio"], "wanted": "label:colour"},
            },
        },
    )
    run = train(config, tmp_path / "run").run
    model = load_converting(sorted((run / "checkpoints").glob("step-*"))[-1], "cpu")
    assert tasks_of_table(model, shapes_table) == ["caption", "hear"]
    found = evaluate_conversion(model, most=6)
    again = evaluate_conversion(model, most=6)
    assert found.to_json() == again.to_json()
    hear = found.to_json()["hear"]["splits"]["test"]
    assert set(hear["by"]) >= {"seen voices", "unseen voices"} and hear["n"] == 12
    evaluation = measured_conversions(model, shapes_table, found, on_table=True, retrieval=None)
    job = Job(
        run, shapes_table, splits=[], baseline=False, tasks=["caption"], all_tasks=False, most=6, protocols=[], by=[],
        against=None, ratings=None, seed=0, report=None, device="cpu",
    )  # fmt: skip
    shown = measure_converting(job, model, Bars())
    assert shown["conversion"] == {"caption": evaluation["conversion"]["caption"]}
    assert [grid.row_count for grid in conversion_tables(evaluation)] == [4, 2]
    with pytest.raises(ConfigError, match="choose one"):
        measure_converting(replace(job, all_tasks=True), model, Bars())
    with pytest.raises(ConfigError, match="has no space, which downstream would measure"):
        measure_converting(replace(job, tasks=[], protocols=["downstream"]), model, Bars())
    page = write_report(run, shapes_table, model, evaluation, tmp_path / "report.html").read_text(encoding="utf8")
    assert "a picture → words (en)" in page and "<audio controls" in page and "sound classifier" in page
