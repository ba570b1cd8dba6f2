"""`chiasm metrics` on files: the figures that stand in docs/metrics.md, and everything that a file may have wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chiasm.cli.main import app

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
RUNNER = CliRunner()

CAPTIONS = [
    {"id": 1, "candidate": "A man's dog isn't here.", "references": ["the dog is here.", "A dog!"]},
    {"id": "two", "candidate": "a cat on a mat", "references": ["a cat sits on a mat"]},
]


def written(folder, rows, name="f.jsonl"):
    path = folder / name
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in rows), encoding="utf8")
    return path


def run(*arguments):
    found = RUNNER.invoke(app, ["metrics", *map(str, arguments)])
    return found.exit_code, found.stdout, found.stderr


def figures(*arguments):
    code, out, err = run(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_captions(tmp_path):
    file = written(tmp_path, CAPTIONS)
    found = figures("caption", file, "--per-item", tmp_path / "items.jsonl")
    assert list(found) == ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider", "cider_d", "meteor"]
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert [one["id"] for one in items] == [1, "two"]
    assert sum(one["cider"] for one in items) / 2 == pytest.approx(found["cider"])
    assert figures("caption", file, "--tokenized") != found, "punctuation and case are words then"


def test_shared_captions(tmp_path, shared_data):
    folder = shared_data("caption_metrics")
    official = json.loads((folder / "audiocaption_example_1.scores.json").read_text())["corpus"]
    found = figures("caption", folder / "audiocaption_example_1.jsonl")
    assert found["cider"] == pytest.approx(official["CIDEr"], abs=1e-6)
    assert found["meteor"] == pytest.approx(official["METEOR"], abs=0.01)


def test_answers(tmp_path):
    file = written(tmp_path, [{"id": 1, "prediction": "The dog", "answers": ["dog", "dog", "cat", "a dog"]}])
    assert figures("vqa", file) == {"accuracy": 75.0}
    assert set(figures("vqa", file, "--open")) == {"accuracy", "cider"}


def test_several_files_side_by_side(tmp_path):
    files = [written(tmp_path, CAPTIONS[:n], f"{n}.jsonl") for n in (1, 2)]
    assert list(figures("caption", *files)) == [str(one) for one in files]
    code, out, _ = run("caption", *files)
    assert code == 0 and "1.jsonl" in out and "rouge_l" in out


def test_files_of_different_items_are_told(tmp_path):
    one, two = written(tmp_path, CAPTIONS, "one.jsonl"), written(tmp_path, CAPTIONS[:1], "two.jsonl")
    code, _, said = run("caption", one, two, "--json")
    assert code == 0 and "1 in all files, 1 more in " in said and said.strip().endswith("one.jsonl")
    assert run("caption", one, one, "--json")[2] == ""


def test_languages(tmp_path):
    file = written(tmp_path, [{"id": 1, "candidate": "红苹果", "references": ["红苹果在桌上"]}])
    assert figures("caption", file, "--language", "zh") == figures("caption", file, "--language", "zh-Hans")
    assert (
        figures("caption", file, "--language", "zh")["bleu_1"] > figures("caption", file, "--language", "de")["bleu_1"]
    )
    for code in ("xx", "chinese", ""):
        found = run("caption", file, "--language", code)
        assert found[0] == 2 and "no language of ISO 639-1; there are zh and ja" in found[2]


def documented():
    """Each example of docs/metrics.md: (kind, lines, what is printed)."""
    found = []
    for block in re.findall(r"### (\w+)\n(.*?)(?=\n##|\Z)", DOCS.read_text(encoding="utf8"), re.S):
        parts = re.findall(r"```json\w*\n(.*?)```", block[1], re.S)
        found.append((block[0], parts[0].strip().splitlines(), json.loads(parts[1])))
    return found


@pytest.mark.parametrize(("kind", "lines", "wanted"), documented(), ids=lambda one: one if isinstance(one, str) else "")
def test_documented_examples(tmp_path, kind, lines, wanted):
    found = figures(kind, written(tmp_path, lines))
    assert set(found) == set(wanted)
    assert found == pytest.approx(wanted, abs=5e-5)


def test_every_kind_is_documented():
    from chiasm.cli.metrics import NAMES
    from chiasm.evaluate.metrics.kinds import KINDS

    assert [kind for kind, _, _ in documented()] == list(KINDS)
    assert ", ".join(KINDS) == NAMES


@pytest.mark.parametrize(
    ("kind", "rows", "message"),
    [
        ("caption", [], "holds no line"),
        ("caption", ["", "  "], "holds no line"),
        ("caption", [CAPTIONS[0], "{"], "line 2: not JSON"),
        ("caption", ["[]"], "line 1: expected an object"),
        ("caption", [{"candidate": "a", "references": ["a"]}], "line 1: 'id' is missing"),
        ("caption", [CAPTIONS[0], CAPTIONS[0]], "line 2: id '1' was there before, on line 1"),
        ("caption", [{"id": 1, "references": ["a"]}], "line 1: 'candidate' is missing"),
        ("caption", [{"id": 1, "candidate": 5, "references": ["a"]}], "line 1: 'candidate' must be a text"),
        ("caption", [{"id": 1, "candidate": "a" * 20_001, "references": ["a"]}], "at most 20,000 characters"),
        ("caption", [{"id": 1, "candidate": "a", "references": []}], "'references' must be a list of at least one text"),
        ("caption", [{"id": 1, "candidate": "a", "references": "a"}], "'references' must be a list"),
        ("caption", [{"id": 1, "candidate": "a", "references": [None]}], "'references' must be a text"),
        ("caption", [{"id": True, "candidate": "a", "references": ["a"]}], "'id' must be a name"),
        ("vqa", [{"id": 1, "prediction": "a", "answers": []}], "'answers' must be a list"),
        ("retrieval", [{"id": 1, "ranked": ["a"], "relevant": []}], "at least one item of a gain"),
        ("retrieval", [{"id": 1, "ranked": ["a", "a"], "relevant": ["a"]}], "names an item twice"),
        ("retrieval", [{"id": 1, "ranked": ["a"], "relevant": {"a": "x"}}], "'relevant' must be a finite number"),
        ("classification", [{"id": 1, "prediction": "a", "label": "b", "scores": {"a": 1}}], "probabilities of the same classes"),
        ("classification", [{"id": 1, "prediction": "a", "label": None}], "'label' must be a name"),
        ("detection", [{"id": 1, "found": [], "truth": []}], "no line has a true box"),
        ("detection", [{"id": 1, "found": [], "truth": [{"label": "a", "box": [5, 0, 1, 1]}]}], "line 1: truth[0]: 'box' must be left"),
        ("detection", [{"id": 1, "found": [{"label": "a", "box": [0, 0, 1, 1]}], "truth": []}], "found[0]: 'score' is missing"),
        ("segmentation", [{"id": 1, "prediction": [[0, 1], [1]], "truth": [[0]]}], "rows of one length"),
        ("segmentation", [{"id": 1, "prediction": [[0.5]], "truth": [[0]]}], "whole numbers from 0"),
        ("generation", [{"id": 1}], "nothing to measure"),
        ("generation", [{"id": 1, "made": [1, 2], "real": [1]}, {"id": 2, "made": [1], "real": [1]}], "line 2: 'made' must be of 2"),
        ("language", [{"id": 1, "log_likelihood": 0.5, "tokens": 1}], "from -inf to 0"),
        ("language", [{"id": 1, "log_likelihood": -1}], "'tokens' or 'bytes' is missing"),
        ("representation", [{"id": 1, "a": [], "b": [1]}], "'a' must be a list"),
        ("representation", [{"id": 1, "a": ["1"], "b": ["NaN"]}], "'b' must be a list of finite numbers"),
        ("asr", [{"id": 1, "prediction": "a"}], "'reference' is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(tmp_path, kind, rows, message):
    code, out, err = run(kind, written(tmp_path, rows), "--json")
    assert (code, out) == (3, "")
    assert message in err and "f.jsonl" in err


def test_wrong_use(tmp_path):
    file = written(tmp_path, CAPTIONS)
    assert run("captions", file)[0] == 2
    assert run("caption", tmp_path / "none.jsonl")[0] == 3
    assert run("caption", file, "--open")[0] == 2
    ranked = written(tmp_path, [{"id": 1, "ranked": ["a"], "relevant": ["a"]}], "r.jsonl")
    assert "takes none apart" in run("retrieval", ranked, "--language", "de")[2]
    assert run("caption", file, file, "--per-item", tmp_path / "o")[0] == 2
    language = written(tmp_path, [{"id": 1, "log_likelihood": -1, "tokens": 1}], "l.jsonl")
    assert run("language", language, "--per-item", tmp_path / "o")[0] == 2


def test_hostile_lines(tmp_path):
    (tmp_path / "long.jsonl").write_bytes(b'{"id": "' + b"x" * (17 << 20) + b'"}\n')
    code, _, err = run("caption", tmp_path / "long.jsonl")
    assert code == 3 and "line 1" in err
    (tmp_path / "deep.jsonl").write_bytes(b"[" * 100_000 + b"\n")
    assert run("caption", tmp_path / "deep.jsonl")[0] == 3
    (tmp_path / "bytes.jsonl").write_bytes(b'{"id": "\xff"}\n')
    assert "not UTF-8" in run("caption", tmp_path / "bytes.jsonl")[2]
