"""The figures of a table's report: against naive versions, planted facts and known limits."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluate_cases import shapes
from PIL import Image

from chiasm.dataset.table import Table
from chiasm.errors import ConfigError
from chiasm.evaluate.data.bias import attributes, balance, check_attributes, crossed
from chiasm.evaluate.data.checks import MEANING, check, thresholds
from chiasm.evaluate.data.coverage import covered_classes, read_taxonomy
from chiasm.evaluate.data.diversity import growth, unit, vendi, words
from chiasm.evaluate.data.leaks import copies, leaks, straddling
from chiasm.evaluate.data.near import near_duplicates
from chiasm.evaluate.data.quality import agreements
from chiasm.evaluate.data.rows import content_digests, draw, read_rows
from chiasm.evaluate.data.words import Attribute, log_odds, spoken_with
from chiasm.types import Label, Media, Record, Text

Make = Callable[..., Table]


def test_vendi_counts_what_is_different() -> None:
    rng = np.random.default_rng(0)
    assert vendi(np.tile(unit(rng.normal(size=(1, 8)).astype(np.float32)), (50, 1))) == pytest.approx(1, abs=1e-4)
    assert vendi(np.eye(12, dtype=np.float32)) == pytest.approx(12)
    three = np.repeat(np.eye(3, dtype=np.float32), 20, 0)
    assert vendi(three) == pytest.approx(3)
    x = unit(rng.normal(size=(40, 6)).astype(np.float32))
    value = np.linalg.eigvalsh(x.astype(float) @ x.T.astype(float) / 40)  # the definition, n × n
    value = value[value > 1e-12]
    assert vendi(x) == pytest.approx(np.exp(-(value * np.log(value)).sum()), rel=1e-6)


def test_words_of_all_scripts() -> None:
    assert words("Don't STOP, the red-hot 2nd one_two!") == ["don't", "stop", "the", "red", "hot", "2nd", "one", "two"]
    assert words("हिन्दी में") == ["हिन्दी", "में"]  # vowel signs belong to their word
    assert words("赤いりんご") == list("赤いりんご")
    assert words("naïve façade") == ["naïve", "façade"]


def test_heaps_exponent_of_open_and_closed_vocabularies() -> None:
    rng = np.random.default_rng(0)
    new = growth([[f"w{n}"] for n in range(3000)], 0)
    closed = growth([[f"w{n}" for n in rng.integers(0, 20, 10)] for _ in range(600)], 0)
    zipf = growth([[f"w{n}" for n in rng.zipf(1.6, 10)] for _ in range(2000)], 0)
    assert new and closed and zipf
    assert new["exponent"] == pytest.approx(1, abs=0.01) and new["ratio"] == 1
    assert closed["exponent"] < 0.15 and closed["types"] == 20
    assert 1 / 1.6 - 0.1 < zipf["exponent"] < 1 / 1.6 + 0.1  # of a Zipf law of exponent a, β = 1/a
    assert growth([["few"]], 0) is None


def people(count: int = 600, seed: int = 0) -> list[Record]:
    """Two attributes that go together, one that does not, and an intersection that never occurs."""
    rng = np.random.default_rng(seed)
    found: list[Record] = []
    for n in range(count):
        who = ["woman", "man"][rng.integers(2)]
        works = ["nurse", "pilot", "cook"][rng.choice(3, p=[0.7, 0.0, 0.3] if who == "woman" else [0.1, 0.6, 0.3])]
        hour = ["morning", "evening"][rng.integers(2)]
        found.append(
            Record(
                f"p{n}",
                texts=(Text(f"the {works} at work in the {hour}", "en"),),
                labels=(Label("who", who), Label("works", works), Label("hour", hour)),
                split="train",
            )
        )
    return found


def test_balance_and_intersections(make_table: Make) -> None:
    rows = read_rows(make_table(people()))
    sample = draw(rows, 16)
    found = {one.name: one for one in attributes(rows, sample)}
    assert set(found) == {"who", "works", "hour"}
    told = balance(found["works"], rows.groups, 0)
    assert sum(value["n"] for value in told["values"].values()) == 600
    cook = told["values"]["cook"]
    assert cook["low"] < 0.3 < cook["high"] and cook["high"] - cook["low"] < 0.12
    tight = crossed(found["who"], found["works"], rows.groups, 0)
    loose = crossed(found["who"], found["hour"], rows.groups, 0)
    assert tight and loose
    assert [(a, b) for a, b, _, _ in tight["missing"]] == [("woman", "pilot")]
    assert tight["association"] > 0.5 and tight["low"] > 0.4
    assert loose["association"] < 0.1 and not loose["missing"]
    assert sum(cell[2] for cell in tight["cells"]) == 600
    with pytest.raises(ConfigError, match=r"wroks: no record has it; there are hour, .*who, works"):
        check_attributes(rows, ["wroks"])


def test_groups_widen_the_interval(make_table: Make) -> None:
    records = [
        replace(record, group=f"g{n // 30}")
        for n, record in enumerate(sorted(people(), key=lambda r: r.labels[0].value))
    ]
    rows = read_rows(make_table(records))
    one = next(a for a in attributes(rows, draw(rows, 16)) if a.name == "who")
    whole, single = balance(one, rows.groups, 0), balance(one, np.arange(600), 0)

    def width(told: dict[str, dict[str, dict[str, float]]]) -> float:
        return told["values"]["man"]["high"] - told["values"]["man"]["low"]

    assert width(whole) > 3 * width(single)


def test_words_of_a_group_and_no_words_where_there_are_none(make_table: Make) -> None:
    rows = read_rows(make_table(people()))
    found = {one.name: one for one in attributes(rows, draw(rows, 16))}
    told = spoken_with(found["who"], rows, "en")
    assert {w["word"]: np.sign(w["log_odds"]) for w in told["woman"]} == {"nurse": 1, "pilot": -1}
    assert all(w["low"] * w["high"] > 0 for w in told["woman"])
    lone = Attribute("random", np.arange(600), [(str(n % 2),) for n in range(600)])
    assert spoken_with(lone, rows, "en") == {}


def test_log_odds_against_the_formula() -> None:
    own, other, prior = np.array([9.0, 1.0, 4.0]), np.array([2.0, 8.0, 4.0]), np.array([3.0, 2.0, 5.0])
    delta, deviation = log_odds(own, other, prior)
    for w in range(3):
        mine = (own[w] + prior[w]) / (own.sum() + prior.sum() - own[w] - prior[w])
        theirs = (other[w] + prior[w]) / (other.sum() + prior.sum() - other[w] - prior[w])
        assert delta[w] == pytest.approx(np.log(mine) - np.log(theirs))
        assert deviation[w] ** 2 == pytest.approx(1 / (own[w] + prior[w]) + 1 / (other[w] + prior[w]))


def test_planted_copies_and_leaks(make_table: Make) -> None:
    records = [
        Record("a", image=(Media(data=b"one"),), texts=(Text("x"),), group="g", split="train"),
        Record("b", image=(Media(data=b"one"),), texts=(Text("y"),), group="h", split="test"),
        Record("c", image=(Media(data=b"two"),), texts=(Text("z"),), group="g", split="validation"),
        Record("d", texts=(Text("Only this"),), split="train"),
        Record("e", texts=(Text("only THIS"),), split="test"),
        Record("f", image=(Media(data=b"three"),), texts=(Text("z"),), split="validation"),
    ]
    rows = read_rows(make_table(records))
    contents, looked = content_digests(rows)
    equal = copies(rows, contents)
    assert [[rows.records[row].id for row in one] for one in equal] == [["a", "b"], ["d", "e"]]
    assert straddling(rows, equal) == {"test ~ train": 2}
    told = leaks(rows, contents, looked, equal)
    assert told["total"] == 2 and told["exact"] == {"test ~ train": 2} and told["near_rows"] == 2
    assert told["texts"] == {"test": 0.5, "validation": 0.0}
    assert looked == 6
    # Beyond the budget of bytes, what is held out is looked at first.
    some, seen = content_digests(rows, most=1)
    assert seen == 6 or some[1]


def test_a_shared_caption_makes_no_near_duplicates(make_table: Make) -> None:
    rng = np.random.default_rng(0)
    whole = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((96, 72), Image.Resampling.BICUBIC)
    other = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((96, 72), Image.Resampling.BICUBIC)
    pictures = {"a": whole, "b": whole.resize((60, 45)), "c": other}
    records = [
        Record(key, (Text(text, "en"),), (Media(data=png(picture)),), split="train")
        for (key, picture), text in zip(pictures.items(), ("One dog", "something else", "one dog."), strict=True)
    ]
    rows = read_rows(make_table(records))
    found, looked = near_duplicates(rows, draw(rows, 16), [])
    assert [[rows.records[row].id for row in one] for one in found] == [["a", "b"]]
    assert looked == 3


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_agreement_finds_swapped_captions(make_table: Make) -> None:
    records = [replace(record, split="train") for record in shapes()]
    wrong = [3, 21, 42, 63]
    swapped = list(records)
    for n, row in enumerate(wrong):
        swapped[row] = replace(records[row], texts=records[wrong[n - 1]].texts)
    rows = read_rows(make_table(swapped))
    one = agreements(rows, draw(rows, 200))["text-image"]
    place = dict(zip(one.at.tolist(), one.place.tolist(), strict=True))
    right = np.mean([place[row] for row in place if row not in wrong])
    assert right > 0.85
    assert np.mean([place[row] for row in wrong]) < 0.45
    assert one.by.startswith("a linear baseline")


def test_taxonomies(tmp_path: Path, make_table: Make) -> None:
    rows = read_rows(make_table(people(40)))
    plain = tmp_path / "classes.txt"
    plain.write_text("nurse\nPilot\n# a remark\nastronaut  # none here\nat work\n", encoding="utf8")
    told = covered_classes(rows, read_taxonomy(plain))
    assert (told["classes"], told["covered"], told["labelled"]) == (4, 3, 2)
    assert told["missing"] == ["astronaut"] and told["found"]["at work"] == 40
    tree = tmp_path / "classes.yaml"
    tree.write_text("medicine: [nurse, surgeon]\nair:\n  civil: [pilot]\n  space: {astronaut: }\n", encoding="utf8")
    assert covered_classes(rows, read_taxonomy(tree))["branches"] == {"medicine": [1, 2], "air": [1, 2]}
    for text in ("a: [unclosed", ""):
        tree.write_text(text, encoding="utf8")
        with pytest.raises(ConfigError):
            read_taxonomy(tree)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_taxonomy(tmp_path / "none.txt")


def test_thresholds() -> None:
    facts = {"figures": dict.fromkeys(MEANING) | {"duplicates": 3, "agreement": 0.7, "leaks": 0}}
    assert check(facts, {"leaks": 0, "duplicates": 3, "agreement": "<0.6"}) == []
    assert check(facts, {"duplicates": 2})[0].startswith("duplicates is 3, which is > 2")
    assert len(check(facts, {"duplicates": ">=3", "agreement": "< 0.8", "vendi": 1})) == 3
    assert "was not measured" in check(facts, {"vendi": "<2"})[0]
    assert thresholds(["duplicates>0", "agreement <= 0.5"]) == {"duplicates": ">0", "agreement": "<= 0.5"}
    with pytest.raises(ConfigError, match="did you mean 'duplicates'"):
        check(facts, {"duplicate": 0})
    for bad in ("duplicates", "duplicates > many", "leaks=0"):
        with pytest.raises(ConfigError):
            thresholds([bad])
