"""The step `label`, part by part, over sheets in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_cases import picture
from numpy.typing import NDArray
from record_sheet import RecordSheet

from chiasm.config import BuildConfig, load_config
from chiasm.dataset.label import run
from chiasm.dataset.label_functions import apply_declared, apply_functions
from chiasm.dataset.label_model import ABSTAIN
from chiasm.dataset.label_weak import weak_labels
from chiasm.dataset.labelling import Labelling
from chiasm.errors import ConfigError, DataError, ModelError
from chiasm.types import Label, Media, Record, Text


def config(**label: Any) -> BuildConfig:
    return load_config(BuildConfig, None, [f"label={json.dumps(label)}"])


def named(number: int, text: str, *labels: tuple[str, str], **more: Any) -> Record:
    return Record(f"r{number}", texts=(Text(text),), labels=tuple(Label(*label) for label in labels), **more)


class Points:
    """A trained model of texts and pictures: a text's vector is written in it, a picture's is that of its bytes' name."""

    modalities = ("text", "image")

    def embed_items(self, modality: str, items: Sequence[Any]) -> NDArray[np.float32]:
        rows = [json.loads(item.text if modality == "text" else item.data) for item in items]
        vectors = np.array([row if row else [np.nan, np.nan] for row in rows], np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def point(number: int, vector: Sequence[float], *labels: tuple[str, str], **more: Any) -> Record:
    media = (Media(data=json.dumps(list(vector)).encode()),)
    return Record(f"r{number}", image=media, labels=tuple(Label(*label) for label in labels), **more)


def test_nothing_is_done_unasked() -> None:
    outcome = run(RecordSheet([named(0, "a")]), BuildConfig())
    assert not outcome.labels and not outcome.facts and not outcome.columns


# --- labelling functions -----------------------------------------------------------------------------------------------------


def votes_of(records: Sequence[Record], model: Any = None, **function: Any) -> list[str | None]:
    functions = {"f": function, "g": {"field": "id"}}
    wanted = config(weak={"x": {"functions": functions}}).label.weak["x"].functions
    sheet = RecordSheet(records, {"loudness": [0.1, 0.5, None, 0.9][: len(records)]})
    cast = apply_declared(sheet, {"f": wanted["f"]}, model)
    return [None if vote == ABSTAIN else cast.classes[vote] for vote in cast.votes[:, 0]]


def test_declared_functions() -> None:
    records = [
        named(0, "Two cats, and a CAT! A dog.", ("folder", "pets/cats"), source="zoo"),
        named(1, "concatenation; hot dog stand", ("folder", "pets/dogs"), licence="CC0"),
        named(2, "cat dog"),
        Record("r3", texts=(Text("猫和狗，猫", "zh", "title"),), image=(Media(data=b"x", by="Ann"),)),
    ]
    pets = {"cat": ["cat", "cats", "猫"], "dog": ["dog", "狗"]}
    assert votes_of(records, keywords=pets) == ["cat", "dog", None, "cat"]
    assert votes_of(records, keywords={"food": ["hot dog"]}) == [None, "food", None, None]
    assert votes_of(records, keywords=pets, languages=["zh"]) == [None, None, None, "cat"]
    assert votes_of(records, keywords=pets, kinds=["title"]) == [None, None, None, "cat"]
    assert votes_of(records, patterns={"cat": r"\bcats?\b", "dog": "dogs?"}) == ["cat", "dog", None, None]
    assert votes_of(records, label="folder") == ["pets/cats", "pets/dogs", None, None]
    assert votes_of(records, label="folder", values={"*/cats": "cat", "pets/*": "pet"}) == ["cat", "pet", None, None]
    assert votes_of(records, field="source") == ["zoo", None, None, None]
    assert votes_of(records, field="by") == [None, None, None, "Ann"]
    assert votes_of(records, field="path", values={"r[01]": "low"}) == ["low", "low", None, None]
    assert votes_of(records, measure="loudness", above={"loud": 0.4, "very loud": 0.8}, below={"soft": 0.2}) == [
        "soft", "loud", None, "very loud",
    ]  # fmt: skip


def test_similar_needs_a_lead() -> None:
    records = [point(0, [1, 0.1]), point(1, [0, 1]), point(2, [1, 0.99]), Record("r3"), point(4, [])]
    found = votes_of(records, Points(), similar={"a": ["[1, 0]"], "b": ["[0, 1]"]}, margin=0.1)
    assert found == ["a", "b", None, None, None]
    with pytest.raises(ConfigError, match="trained model"):
        votes_of(records, similar={"a": ["[1, 0]"], "b": ["[0, 1]"]})


def test_a_hard_pattern_takes_no_time() -> None:
    assert votes_of([named(0, "a" * 1900 + "!")], patterns={"x": "(a+)+$", "y": "(a|aa)*b"}) == [None]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ({}, "exactly one"),
        ({"label": "a", "field": "id"}, "exactly one"),
        ({"measure": "blur"}, "above and below"),
        ({"label": "a", "above": {"x": 1}}, "above and below"),
        ({"patterns": {"x": "(a"}}, "patterns: x"),
        ({"patterns": {"x": r"(a)\1"}}, "references back"),
        ({"patterns": {"x": "a(?=b)"}}, "look ahead"),
        ({"keywords": {"x": ["a"]}, "values": {"a": "b"}}, "values belong"),
    ],
)
def test_functions_that_cannot_work(function: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config(weak={"x": {"functions": {"f": function, "g": {"label": "a"}}}})


def test_unknown_measures_and_empty_keywords() -> None:
    with pytest.raises(ConfigError, match="no measure 'blur'; there are: loudness"):
        votes_of([named(0, "a")], measure="blur", above={"x": 1})
    with pytest.raises(ConfigError, match="no letter"):
        votes_of([named(0, "a")], keywords={"x": ["!"]})


# --- weak labels -------------------------------------------------------------------------------------------------------------


def test_weak_labels_fill_what_is_open_and_are_measured() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 600)
    names = ("cat", "dog")
    records: list[Record] = []
    for number, true in enumerate(truth):
        said = [names[true if random.random() < right else 1 - true] for right in (0.9, 0.8, 0.75)]
        own = [("category", names[true])] if number % 10 == 0 else []
        records.append(named(number, said[0], ("a", said[1]), ("b", said[2]), *own))
    functions = {"text": {"keywords": {"cat": ["cat"], "dog": ["dog"]}}, "a": {"label": "a"}, "b": {"label": "b"}}
    outcome = run(RecordSheet(records), config(weak={"category": {"functions": functions, "threshold": 0.8}}))
    facts = outcome.facts["weak"]["category"]
    given = {row: labels[0].value for row, labels in outcome.labels.items()}
    assert not outcome.replaced_labels
    assert not any(row % 10 == 0 for row in given)
    assert facts["labelled"] == len(given) > 300
    assert np.mean([names[truth[row]] == value for row, value in given.items()]) > 0.88
    for name, right in zip(functions, (0.9, 0.8, 0.75), strict=True):
        assert facts["functions"][name]["estimated_accuracy"] == pytest.approx(right, abs=0.08)
        assert facts["functions"][name]["measured_rows"] == 60
    assert facts["measured"]["rows"] == 60
    confidence = outcome.columns["category_confidence"]
    assert confidence.dtype == np.float32
    assert set(np.flatnonzero(np.isfinite(confidence))) == set(given)
    assert (confidence[list(given)] >= 0.8).all()
    json.dumps(outcome.facts, allow_nan=False)


def test_python_functions() -> None:
    records = [named(i, text) for i, text in enumerate(["meow", "woof", "meow woof", ""])]
    functions = {
        "cat": lambda record: "cat" if "meow" in record.texts[0].text else None,
        "dog": lambda record: "dog" if "woof" in record.texts[0].text else None,
    }
    cast = apply_functions(records, functions)  # type: ignore[arg-type]
    assert cast.classes == ("cat", "dog")
    assert cast.votes.tolist() == [[0, -1], [-1, 1], [0, 1], [-1, -1]]
    found = weak_labels(records, functions)  # type: ignore[arg-type]
    assert found.values[3] is None
    assert found.facts["conflict"] == 0.25


def test_functions_of_one_class_say_nothing() -> None:
    functions = {"a": {"keywords": {"cat": ["a"]}}, "b": {"keywords": {"cat": ["b"]}}}
    with pytest.raises(DataError, match=r"label.weak.category: the functions vote only for 'cat'"):
        run(RecordSheet([named(0, "a b")]), config(weak={"category": {"functions": functions}}))


# --- manual labels -----------------------------------------------------------------------------------------------------------


def test_manual_labels_are_counted_to_the_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "id,name,value,annotator\n"
        "r0,category,cat,ann\nr0,category,cat,bob\nr0,category,dog,eve\n"  # outvoted: 1
        "r1,category,dog,ann\nr1,category,cat,bob\n"  # tie: 2
        "r2,category,dog,ann\nr2,category,cat,ann\n"  # superseded: 1
        "r9,category,cat,ann\n,category,cat,ann\nr2,category,,ann\n"  # unknown: 1, missing: 2
        "r2,season,winter\n",
        encoding="utf8",
    )
    records = [named(0, "a", ("category", "bird")), named(1, "b"), named(2, "c", ("category", "cat"))]
    outcome = run(RecordSheet(records), config(manual=str(path)))
    facts = outcome.facts["manual"]
    assert facts["given"] == 11
    assert facts["refused"] == {"outvoted": 1, "tie": 2, "superseded": 1, "unknown_id": 1, "missing": 2}
    assert facts["given"] == facts["used"] + sum(facts["refused"].values())
    assert outcome.replaced_labels == {0: (Label("category", "cat"),)}
    assert outcome.labels == {2: (Label("season", "winter"),)}  # r2's category is as it was
    assert facts["names"]["category"]["annotators"] == 3
    json.dumps(outcome.facts, allow_nan=False)


def test_a_label_said_replaces_all_values_of_its_name(tmp_path: Path) -> None:
    records = [named(0, "a", ("kind", "cat"), ("kind", "dog"), ("size", "big")), named(1, "b", ("kind", "cat"))]
    said = tmp_path / "labels.csv"
    said.write_text("id,name,value\nr0,kind,cat\nr1,kind,cat\n")
    outcome = run(RecordSheet(records), config(manual=str(said)))
    assert dict(outcome.replaced_labels) == {0: (Label("kind", "cat"),)}  # the second was kept because the first agreed
    assert (outcome.facts["labelled"], outcome.facts["replaced"]) == (0, 1)


def test_two_labels_of_one_column() -> None:
    labelling = Labelling.of(RecordSheet([named(0, "a"), named(1, "b")]))
    confidence = np.ones(2)
    labelling.fill("a kind", {0: "x"}, confidence)
    labelling.fill("a kind", {1: "x"}, confidence)
    with pytest.raises(ConfigError, match="'a kind' and 'a-kind' would both write the column 'a_kind_confidence'"):
        labelling.fill("a-kind", {0: "y"}, confidence)


def test_manual_labels_in_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    lines = ['{"id": "r0", "name": "n", "value": 3}', "[1]", "{", '{"id": "r0", "name": "m", "value": [1]}', ""]
    path.write_text("\n".join(lines), encoding="utf8")
    outcome = run(RecordSheet([named(0, "a")]), config(manual=str(path)))
    assert outcome.labels == {0: (Label("n", "3"),)}
    assert outcome.facts["manual"]["refused"] == {"format": 3}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"id,value\nr0,x\n", "no column name"),
        ("a.csv", b"id,name,value\nr7,n,x\n", "none of its 1 lines"),
        ("a.csv", b"id,name,value\n\xff\n", "not UTF-8"),
        ("none.csv", None, "No such file"),
    ],
)
def test_manual_files_that_cannot_be_used(name: str, content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        run(RecordSheet([named(0, "a")]), config(manual=str(tmp_path / name)))


# --- teachers, spreading, clusters, errors -----------------------------------------------------------------------------------


def cloud(n: int, every: int = 4, k: int = 3, spread: float = 0.3) -> tuple[list[Record], list[str]]:
    """Points around k directions; each `every`-th is labelled."""
    random = np.random.default_rng(0)
    truth = random.integers(0, k, n)
    angle = truth * 2 * np.pi / k + spread * random.standard_normal(n)
    values = [f"class {t}" for t in truth]
    records = [
        point(i, [np.cos(a), np.sin(a)], *([("kind", values[i])] if i % every == 0 else []))
        for i, a in enumerate(angle)
    ]
    return records, values


@pytest.mark.parametrize(
    "part", [{"teacher": {"kind": {}}}, {"spread": {"kind": {}}}, {"spread": {"kind": {"method": "gcn"}}}]
)
def test_open_rows_are_labelled_with_calibrated_confidence(part: dict[str, Any]) -> None:
    records, truth = cloud(400)
    outcome = run(RecordSheet(records), config(**part), model=Points())
    by_name = outcome.facts[next(iter(part))]
    assert outcome.facts["labelled"] == len(outcome.labels) > 0
    assert outcome.facts["replaced"] == 0
    facts = by_name["kind"]
    given = {row: labels[0].value for row, labels in outcome.labels.items()}
    assert facts["without"] == 300
    assert facts["labelled"] == len(given) > 200
    assert facts["left"] == 300 - len(given)
    assert np.mean([truth[row] == value for row, value in given.items()]) > 0.95
    assert facts["held_out"] == 20
    assert 0 <= facts["ece_after"] < 0.2
    assert np.isfinite(outcome.columns["kind_confidence"]).sum() == len(given)
    json.dumps(outcome.facts, allow_nan=False)


def test_held_out_rows_do_not_teach() -> None:
    records, _ = cloud(40, every=1)
    held = [Record(r.id, image=r.image, labels=r.labels, split="test") for r in records]
    with pytest.raises(DataError, match="0 rows that may teach"):
        run(RecordSheet(held), config(teacher={"kind": {}}), model=Points())


def test_zero_shot_teacher() -> None:
    records, truth = cloud(300)
    prompts = {f"class {i}": [json.dumps([np.cos(a), np.sin(a)])] for i, a in enumerate(np.arange(3) * 2 * np.pi / 3)}
    part = {"method": "zero_shot", "prompts": prompts, "threshold": 0.6}
    outcome = run(RecordSheet(records), config(teacher={"kind": part}), model=Points())
    facts = outcome.facts["teacher"]["kind"]
    assert np.mean([truth[row] == labels[0].value for row, labels in outcome.labels.items()]) > 0.9
    assert facts["ece_after"] < 0.2
    unlabelled = [Record(r.id, image=r.image) for r in records]
    facts = run(RecordSheet(unlabelled), config(teacher={"kind": part}), model=Points()).facts["teacher"]["kind"]
    assert facts["calibrated"] is False
    with pytest.raises(ConfigError, match="trained model"):
        run(RecordSheet(records), config(teacher={"kind": part}))


def test_clusters_without_any_label() -> None:
    records, truth = cloud(200, every=1000, spread=0.1)
    outcome = run(
        RecordSheet([Record(r.id, image=r.image) for r in records]), config(cluster={"look": {}}), model=Points()
    )
    facts = outcome.facts["cluster"]["look"]
    assert facts["clusters"] == 3
    assert facts["silhouette"] > 0.7
    assert len({(labels[0].value, truth[row]) for row, labels in outcome.labels.items()}) == 3
    assert len(outcome.labels) == sum(facts["sizes"]) == 200


@pytest.mark.parametrize("action", ["report", "mark", "replace", "remove"])
def test_wrong_labels(action: str) -> None:
    records, truth = cloud(300, every=1)
    wrong = {7: "class 0", 90: "class 1", 200: "class 2"}
    wrong = {row: value if truth[row] != value else "class 1" for row, value in wrong.items()}
    wrong = {row: value for row, value in wrong.items() if truth[row] != value}
    for row, value in wrong.items():
        records[row] = Record(records[row].id, image=records[row].image, labels=(Label("kind", value),))
    outcome = run(RecordSheet(records), config(errors={"kind": {"action": action}}), model=Points())
    facts = outcome.facts["errors"]["kind"]
    told = {example["id"]: example["suggested"] for example in facts["examples"]}
    assert len(wrong) >= 2
    assert all(told[f"r{row}"] == truth[row] for row in wrong)
    assert facts["found"] == len(told) <= 12
    assert facts["judged"] == 300
    rows = {int(name[1:]) for name in told}
    assert set(outcome.removed) == (rows if action == "remove" else set())
    assert set(outcome.replaced_labels) == (rows if action == "replace" else set())
    assert set(outcome.labels) == (rows if action == "mark" else set())
    for row in wrong:
        if action == "mark":
            assert outcome.labels[row] == (Label("kind:suggested", truth[row]),)
        if action == "replace":
            assert outcome.replaced_labels[row] == (Label("kind", truth[row]),)
        if action == "remove":
            assert outcome.removed[row].reason == "label_error"
    quality = outcome.columns["kind_quality"]
    assert quality[list(wrong)].max() < np.median(quality)


def test_parts_see_what_those_before_them_gave(tmp_path: Path) -> None:
    records, truth = cloud(200, every=1000)
    path = tmp_path / "labels.csv"
    path.write_text("id,name,value\n" + "".join(f"r{i},kind,{truth[i]}\n" for i in range(60)), encoding="utf8")
    records = [Record(r.id, image=r.image) for r in records]
    sheet = RecordSheet(records, gone=[3, 150])
    outcome = run(sheet, config(manual=str(path), spread={"kind": {}}), model=Points())
    assert outcome.facts["manual"]["refused"] == {"unknown_id": 1}
    assert 3 not in outcome.labels and 150 not in outcome.labels
    assert len(outcome.labels) > 150
    assert np.mean([labels[0].value == truth[row] for row, labels in outcome.labels.items()]) > 0.95


def test_raw_features_need_no_model() -> None:
    """Dark and bright pictures, told apart by a probe on pixels."""
    import io

    from PIL import Image

    records: list[Record] = []
    for number in range(80):
        file = io.BytesIO()
        shade = 40 if number % 2 else 200
        Image.new("RGB", (16, 16), (shade + number % 20, shade, shade)).save(file, "PNG")
        labels = (Label("light", "dark" if number % 2 else "bright"),) if number < 60 else ()
        records.append(Record(f"r{number}", image=(Media(data=file.getvalue()),), labels=labels))
    records.append(Record("broken", image=(Media(data=picture(0)[:40]),)))
    outcome = run(RecordSheet(records), config(teacher={"light": {"threshold": 0.6}}))
    assert {row: labels[0].value for row, labels in outcome.labels.items()} == {
        row: "dark" if row % 2 else "bright" for row in range(60, 80)
    }


def test_a_pipeline_that_is_not_there(tmp_path: Path) -> None:
    function = {"pipeline": {"task": "text-classification", "model": str(tmp_path)}}
    with pytest.raises(ModelError, match=r"no config.json"):
        votes_of([named(0, "a")], **function)
