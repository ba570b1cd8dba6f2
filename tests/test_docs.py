"""The papers of the house, held against the code: links, names, commands, configuration, the tree, and every Python block is run.

`python tests/test_docs.py` writes docs/configuration.md anew from config.py.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import textwrap
import tomllib
import wave
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
from own_data import make_folder  # noqa: E402

from chiasm.cli.main import app  # noqa: E402
from chiasm.config import BuildConfig, RunConfig, Section, SystemRunConfig, load_config, load_run  # noqa: E402
from chiasm.declare import RecordField  # noqa: E402

READMES = ("README.md", "README.zh-CN.md")
PAGES = [
    *READMES, "CONTRIBUTING.md", "CHANGELOG.md", "LOG.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
]  # fmt: skip
CONFIGURATION = ROOT / "docs" / "configuration.md"

FROM_NOTHING = {*READMES, "docs/own-data.md"}
"""Pages whose Python begins with a folder of files; the others find a table and a run there."""

TINY = ("train.batch=8", "train.threads=1", "train.device=cpu", "model.width=32", "model.heads=2", "model.layers=1",
        "model.embedding=16", "model.text.vocabulary=300", "model.image.size=16", "model.audio.seconds=0.5")  # fmt: skip
QUANTISERS = {
    "image": "{side: 16, width: 8, fine_width: 8, depth: 1, fine_depth: 1}",
    "audio": "{width: 8, depth: 1}",
}
TASKS = (
    "tasks.caption={given: [image], wanted: text}", "tasks.hear={given: [audio], wanted: text}",
    "tasks.draw={given: [text], wanted: image, blank: 0.1}", "tasks.say={given: [text], wanted: audio}",
    "conversion.text_length=8", "conversion.audio_length=12",
)  # fmt: skip
SHORTER = {"minutes=10": "steps=4, settings=TINY"}
"""The one change made to a page's Python before it is run: how long and how large."""


def blocks(page: str, language: str) -> list[tuple[int, str]]:
    """(first line, code) of each fenced block in that language."""
    text = (ROOT / page).read_text(encoding="utf8")
    pattern = rf"^([ \t]*)```{language}\n(.*?)^\1```$"
    return [
        (text[: found.start()].count("\n") + 2, textwrap.dedent(found[2]))
        for found in re.finditer(pattern, text, re.MULTILINE | re.DOTALL)
    ]


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(
        r"^[ \t]*```.*?^[ \t]*```$", "", (ROOT / page).read_text(encoding="utf8"), flags=re.MULTILINE | re.DOTALL
    )


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- links and names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / page).parent / path if path else ROOT / page
        if found.name == "demo.png":  # a screenshot; test_the_readme_is_filled_in asks for it
            continue
        assert found.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors(found), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_named_code_is_in_the_linked_file(page: str) -> None:
    for name, target in re.findall(r"`([\w.]+)` in \[[^\]]+\]\(([^)\s]+)\)", prose(page)):
        text = ((ROOT / page).parent / target).read_text(encoding="utf8")
        assert re.search(rf"\b{name.split('.')[-1]}\b", text), f"{page}: no {name} in {target}"


@pytest.mark.parametrize("page", PAGES)
def test_no_trace_of_where_it_was_written(page: str) -> None:
    assert not re.search(r"/(root|work|opt)/\w", (ROOT / page).read_text(encoding="utf8"))


# --- the READMEs -------------------------------------------------------------------------------------------------------------


def tree(page: str) -> dict[str, str]:
    """The annotated tree: path below src/chiasm → what is said of it."""
    (listing,) = [code for _, code in blocks(page, "text") if code.startswith("src/chiasm/")]
    found: dict[str, str] = {}
    folders: list[str] = []
    for line in listing.splitlines()[1:]:
        indent, name, said = re.fullmatch(r"( *)(\S+)\s*(.*)", line).groups()  # type: ignore[union-attr]
        folders = folders[: len(indent) // 2 - 1]
        found["/".join([*folders, name.rstrip("/")])] = said
        if name.endswith("/"):
            folders.append(name.rstrip("/"))
    return found


@pytest.mark.parametrize("page", READMES)
def test_the_tree_is_the_tree(page: str) -> None:
    source = ROOT / "src" / "chiasm"
    real = {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if "__pycache__" not in path.parts and path.name not in ("__init__.py", "py.typed")
    }
    told = tree(page)
    assert set(told) - {"__init__.py", "py.typed"} == real
    assert not [name for name, said in told.items() if not said]


def test_both_readmes_say_the_same() -> None:
    def commands(page: str) -> list[str]:
        return [re.sub(r"\s+#.*", "", code) for language in ("console", "python") for _, code in blocks(page, language)]

    english, chinese = READMES
    assert commands(english) == commands(chinese)
    assert set(tree(english)) == set(tree(chinese))
    texts = [(ROOT / page).read_text(encoding="utf8") for page in READMES]
    figures = [re.findall(r"\{\{.*?\}\}|\.\d\d+", text) for text in texts]
    assert figures[0] == figures[1]
    assert len(re.findall("^## ", texts[0], re.MULTILINE)) == len(re.findall("^## ", texts[1], re.MULTILINE))


@pytest.mark.parametrize("page", READMES)
def test_the_readme_is_filled_in(page: str) -> None:
    assert "{{" not in (ROOT / page).read_text(encoding="utf8"), "measured figures are missing"
    assert (ROOT / "docs" / "demo.png").is_file(), "the demo's picture is missing"


# --- commands ----------------------------------------------------------------------------------------------------------------


def command_lines() -> Iterator[Any]:
    for page in PAGES:
        for line, code in blocks(page, "console"):
            for number, text in enumerate(code.replace("\\\n", "").splitlines()):
                words = text.removeprefix("$ ").strip()
                if words and not words.startswith("#"):
                    yield pytest.param(words, id=f"{page}:{line + number}")


@pytest.mark.parametrize("words", list(command_lines()))
def test_every_command_parses(words: str) -> None:
    parts = shlex.split(words.partition("#")[0] if '"' not in words else words, comments=True)
    while parts and re.fullmatch(r"[A-Z_]+=\S*", parts[0]):  # environment variables
        parts.pop(0)
    if parts[0] == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf8"), re.MULTILINE)
        assert next(part for part in parts[1:] if "=" not in part) in targets
        return
    if parts[0] == "python" and parts[1].endswith(".py"):
        assert (ROOT / parts[1]).is_file()
        return
    if parts[0] == "torchrun":
        assert parts[parts.index("-m") + 1] == "chiasm"
        parts = parts[parts.index("-m") + 1 :]
    if parts[0] == "chiasm":
        check_chiasm(parts[1:])
    else:
        assert parts[0] in (
            "git",
            "cd",
            "pip",
            "python",
            "pytest",
            "ruff",
            "pyright",
            "tensorboard",
            ".ci/run",
            "source",
            ".",
        )


def check_chiasm(arguments: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    if arguments[0].startswith("-"):
        assert arguments[0] in ("--help", "--version")
        return
    verb, rest = arguments[0], arguments[1:]
    command = group.get_command(group.make_context("chiasm", [verb]), verb)
    if rest == ["--help"]:
        return
    context = command.make_context(verb, list(rest))  # an unknown option or a missing argument ends here
    if rest and verb == "systems" and not rest[0].startswith("-"):
        command.get_command(context, rest[0]).make_context(rest[0], rest[1:])
    overrides = context.params.get("overrides") or ()
    if verb == "build":
        load_config(BuildConfig, None, overrides)
    elif verb == "train":
        recipe = ROOT / rest[0]
        load_run(
            recipe if recipe.is_file() else None, overrides, {"data": {"table": "t.lance"}, "train": {"minutes": 1}}
        )


@pytest.mark.parametrize(
    ("page", "code"), [pytest.param(p, code, id=f"{p}:{line}") for p in PAGES for line, code in blocks(p, "yaml")]
)
def test_every_yaml_block_is_a_configuration(page: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "block.yaml"
    path.write_text(code, encoding="utf8")
    load_config(RunConfig if re.search(r"^data:", code, re.MULTILINE) else BuildConfig, path)


RECIPES = [*sorted((ROOT / "recipes").rglob("*.yaml")), *sorted((ROOT / "src" / "chiasm" / "recipes").glob("*.yaml"))]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_is_valid_and_opens_with_its_command(path: Path) -> None:
    load_config(RunConfig, path)
    head = [line.lstrip("# ") for line in path.read_text(encoding="utf8").splitlines() if line.startswith("#")]
    assert any(line.startswith("command ") for line in head)
    for line in "\n".join(head).replace("\\\n", " ").splitlines():  # a command may take several lines
        found = re.match(r"(?:\w+ +)?(chiasm .*)", line)
        if found:
            check_chiasm(shlex.split(found[1])[1:])


# --- Python and JSON, run ----------------------------------------------------------------------------------------------------


def write_tone(path: Path, hertz: float) -> None:
    samples = (8000 * np.sin(2 * np.pi * hertz * np.arange(4000) / 16000)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.tobytes())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/ (with cat.png, cat.txt, cat.wav), cat.png, word.wav; photos.lance; runs/photos, trained for 4 steps and indexed, and runs/any,
    which converts."""
    import chiasm
    from chiasm.api import run_config
    from chiasm.train.run import train

    root = tmp_path_factory.mktemp("docs")
    folder = make_folder(root / "photos")
    for place, picture in enumerate(sorted(folder.glob("*.png"))):
        write_tone(picture.with_suffix(".wav"), 200 + 30 * place)
    for suffix in (".png", ".txt", ".wav"):
        shutil.copy(folder / f"red_disc{suffix}", folder / f"cat{suffix}")
    shutil.copy(folder / "cat.png", root / "cat.png")
    shutil.copy(folder / "cat.wav", root / "word.wav")
    (folder / "cat.txt").write_text("a cat\n", encoding="utf8")
    data = chiasm.build(folder, root / "photos.lance", test=0.25, validation=0.1)
    data.index(data.train(root / "runs" / "photos", steps=4, settings=TINY))
    for system, change in QUANTISERS.items():
        settings = (
            f"system={system}_quantizer",
            f"change={change}",
            "train.batch=8",
            "train.threads=1",
            "train.device=cpu",
        )
        train(run_config(data.path, settings, steps=1), root / "runs" / system)
    codes = f"conversion.quantizers={{image: {root}/runs/image, audio: {root}/runs/audio}}"
    data.train(root / "runs" / "any", steps=2, settings=(*TINY, *TASKS, codes))
    return root


@pytest.fixture
def place(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Path]:
    def enter(from_nothing: bool) -> Path:
        here = tmp_path / "here"
        shutil.copytree(prepared, here)
        if from_nothing:
            shutil.rmtree(here / "photos.lance")
            shutil.rmtree(here / "runs")
        monkeypatch.chdir(here)
        return here

    return enter


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_of_a_page_runs(page: str, place: Callable[[bool], Path]) -> None:
    place(page in FROM_NOTHING)
    space: dict[str, Any] = {"TINY": TINY, "__name__": "page"}
    for line, code in blocks(page, "python"):
        for long, short in SHORTER.items():
            code = code.replace(long, short)
        exec(compile("\n" * (line - 1) + code, str(ROOT / page), "exec"), space)


RUN_FOR_JSON: Mapping[str, tuple[str, ...]] = {
    "build": ("build", "photos", "again.lance"),
    "train": ("train", "photos.lance", *TINY, "--steps", "2", "--out", "runs/again"),
    "evaluate": ("evaluate", "runs/photos", "photos.lance"),
    "index": ("index", "runs/photos", "photos.lance"),
    "search": ("search", "photos.lance", "a red disc", "-k", "1"),
    "explain": ("explain", "runs/photos", "--image", "cat.png", "--text", "a cat"),
    "convert": ("convert", "runs/any", "--image", "cat.png"),
    "import": ("import", "public", "runs/gpt"),
    "systems": ("systems",),
    "show": ("systems", "show", "vit", "--size", "base"),
    "compare": (
        "systems",
        "compare",
        "clip",
        "--table",
        "photos.lance",
        "--steps",
        "2",
        "train.batch=4",
        "train.threads=1",
    ),
}


def write_public_weights(folder: Path) -> None:
    """A GPT-2 of one small block, as its library writes it."""
    import safetensors.torch
    import torch

    config = {"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 4, "vocab_size": 10}
    shapes = {
        "wte.weight": (10, 8), "wpe.weight": (4, 8), "ln_f.weight": (8,), "ln_f.bias": (8,),
        "h.0.ln_1.weight": (8,), "h.0.ln_1.bias": (8,), "h.0.ln_2.weight": (8,), "h.0.ln_2.bias": (8,),
        "h.0.attn.c_attn.weight": (8, 24), "h.0.attn.c_attn.bias": (24,), "h.0.attn.c_proj.weight": (8, 8),
        "h.0.attn.c_proj.bias": (8,), "h.0.mlp.c_fc.weight": (8, 32), "h.0.mlp.c_fc.bias": (32,),
        "h.0.mlp.c_proj.weight": (32, 8), "h.0.mlp.c_proj.bias": (8,), "surplus": (1,),
    }  # fmt: skip
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    safetensors.torch.save_file(
        {name: torch.ones(shape) for name, shape in shapes.items()}, folder / "model.safetensors"
    )


def documented_json() -> dict[str, Any]:
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf8")
    found = re.findall(r"^### (\w+)\n.*?^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return {verb: json.loads(code) for verb, code in found}


@pytest.mark.parametrize("verb", RUN_FOR_JSON)
def test_json_has_the_documented_shape(verb: str, place: Callable[[bool], Path]) -> None:
    here = place(False)
    if verb == "import":
        write_public_weights(here / "public")
    result = CliRunner().invoke(app, [*RUN_FOR_JSON[verb], "--json"])
    assert result.exit_code == 0, result.stderr
    compare(documented_json()[verb], json.loads(result.stdout), verb)


def compare(told: Any, real: Any, where: str) -> None:
    """Equal keys at every level; "…" in the documentation stands for more of the same."""
    if isinstance(told, dict):
        assert isinstance(real, dict), where
        if "…" not in told:
            assert set(told) == set(real), where
        for key in told.keys() - {"…"}:
            assert key in real, f"{where}.{key}"
            compare(told[key], real[key], f"{where}.{key}")
    elif isinstance(told, list):
        assert isinstance(real, list), where
        if told and real:
            compare(told[0], real[0], f"{where}[0]")
    elif told is not None and real is not None:
        numbers = (int, float)
        assert isinstance(real, type(told)) or (isinstance(told, numbers) and isinstance(real, numbers)), where


def test_exit_codes_are_those_of_the_errors() -> None:
    from chiasm.cli.guard import EXIT_CODES

    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf8")
    told = set(re.findall(r"^\| (\d+) \|", page, re.MULTILINE))
    assert told == set(re.findall(r"^  (\d+) ", EXIT_CODES, re.MULTILINE))


def test_every_reason_of_the_ledger_is_explained() -> None:
    source = "".join(path.read_text(encoding="utf8") for path in (ROOT / "src").rglob("*.py"))
    raised = re.findall(r'(?:MediaError|RowError)\(\s*"(\w+)"|"record", "(\w+)"', source)
    page = (ROOT / "docs" / "own-data.md").read_text(encoding="utf8")
    rows = re.findall(
        r"^\| ((?:`\w+` ?)+)\|", page[page.index("| reason |") : page.index("Reading it again")], re.MULTILINE
    )
    told = {reason for row in rows for reason in re.findall(r"\w+", row)}
    assert {one or two for one, two in raised} - told == set()
    assert not [reason for reason in told if f'"{reason}"' not in source]


# --- dependencies and configuration ------------------------------------------------------------------------------------------


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
    groups = {"": project["project"]["dependencies"], **project["project"]["optional-dependencies"]}
    wanted = {re.split(r"[\[<>=! ]", line)[0] for lines in groups.values() for line in lines}
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf8")
    told = re.findall(r"^\| `([\w.-]+)` \|", page, re.MULTILINE)
    assert set(told) == wanted | set(project["build-system"]["requires"][0].split(">")[:1])
    assert len(told) == len(set(told))


MEANING = {
    "build.seed": "every random choice of the split; the same inputs and seed give the same table",
    "build.text_column": "manifest: the only column to take texts from; none: every column it knows",
    "build.image_column": "manifest: the only column to take pictures from; none: every column it knows",
    "build.audio_column": "manifest: the only column to take sounds from; none: every column it knows",
    "data.train_split": "the split whose rows are drawn",
    "data.validation_split": "the split that the learning curves are measured on; a table without it trains without curves",
    "model.trunk": "multiway: one Transformer whose attention is shared, with a feed-forward expert a modality; "
    "separate: a Transformer a modality",
    "model.width": "D, the width of the tokens; a multiple of heads",
    "model.heads": "attention heads",
    "model.layers": "blocks of the trunk",
    "model.activation": "of the feed-forward network",
    "model.norm": "layer normalisation or its root-mean-square form",
    "model.embedding": "E, the numbers an embedding has",
    "model.text.vocabulary": "entries of the byte-level BPE vocabulary, trained on the train split's texts",
    "model.video.size": "side in pixels to which a clip's pictures are scaled; a multiple of patch",
    "model.video.patch": "side of a tubelet in pixels; (size / patch)² × frames / tubelet tokens a clip",
    "model.image.size": "side in pixels to which pictures are scaled; a multiple of patch",
    "model.image.patch": "side of a patch in pixels: a picture is (size / patch)² tokens",
    "objective.contrastive": "InfoNCE, or SigLIP's pairwise sigmoid loss",
    "optimizer.kind": "AdamW for everything, or Muon for the trunks' matrices with AdamW for the rest",
    "optimizer.learning_rate": "AdamW's peak",
    "optimizer.weight_decay": "of matrices only",
    "optimizer.betas": "AdamW's",
    "train.steps": "end after so many steps; one of steps and minutes is needed",
    "train.minutes": "end after so many minutes of training; with both, whichever comes first",
    "train.seed": "of weights, sampling, augmentation and token dropping",
    "train.precision": "of activations; weights are float32. auto: bfloat16 where the hardware multiplies it natively",
    "train.device": "auto: CUDA, else MPS, else the CPU",
    "train.checkpoint_minutes": "time between two checkpoints",
    "train.tensorboard": "also write TensorBoard events to RUN/tensorboard (needs the extra of that name)",
    "system": "the chiasm model; a named system has a configuration of [its own](#a-run-of-a-named-system)",
    "named.adapters.kind": "bottlenecks after attention and feed-forward part, after the feed-forward part only, or low-rank updates",
    "named.data.train_split": "the split whose records are drawn",
    "named.data.validation_split": "the split that the losses are also measured on; a table without it trains without validation",
}
"""What config.py leaves unsaid because the name says it to those who know the field."""

KINDS: tuple[tuple[type[Section], str], ...] = ((RunConfig, ""), (SystemRunConfig, "named."), (BuildConfig, "build."))
"""The kinds of configuration, each with the prefix by which MEANING tells its keys from the others'."""
ONCE = {"named.optimizer", "named.train"}
"""Sections that an earlier kind has too, and that are explained there."""


def configuration_page() -> str:
    """docs/configuration.md, from config.py."""
    lines = [
        "# Configuration",
        "",
        "Every key, its default and what it does. Written by `python tests/test_docs.py` from",
        "[config.py](../src/chiasm/config.py); a test keeps the two in step. Unknown keys, wrong types and combinations that cannot work are",
        "errors before anything heavy starts, with the nearest right key named.",
        "",
        "A file and the command line say the same: `train.batch` is the key `batch` of the section `train` in YAML, and",
        "`train.batch=512` after `chiasm train TABLE.lance`. Values on the command line are YAML too",
        "(`'data.languages={en: 1, zh: 0.5}'`, quoted for the shell) and win over the file.",
        "",
        "# A run",
        "",
        "`chiasm train RUN.yaml` reads this, and `config.yaml` of a run folder is exactly this. Two keys have no default: `data.table`, and one of",
        "`train.steps` and `train.minutes`.",
        "",
        *_section(RunConfig, ""),
        "# A run of a named system",
        "",
        "With `system` naming one of the [named systems](systems.md), `chiasm train` reads this instead. `optimizer` and `train` are those of",
        "[a run](#a-run); where a system was tried with other defaults than these (`training` of its Spec), it begins with its own.",
        "",
        *_section(SystemRunConfig, "named."),
        "# A build",
        "",
        "`chiasm build SOURCE OUT.lance key=value …`, or `-c BUILD.yaml`; in Python the keyword arguments of `chiasm.build`.",
        "",
        *_section(BuildConfig, "build."),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _section(kind: type[Section], prefix: str) -> list[str]:
    schema = kind.model_json_schema()
    rows: list[str] = []
    below: list[str] = []
    for name, field in kind.model_fields.items():
        key = prefix + name
        shown = key.removeprefix("build.").removeprefix("named.")
        section = _section_of(field.annotation)
        if key in ONCE:
            continue
        if section is not None:
            heading = f"{shown} of a named system" if key.startswith("named.") else shown
            said = [f"{field.description[0].upper()}{field.description[1:]}.", ""] if field.description else []
            below += [f"## {heading}", "", *said, *_section(section, _prefix(key, field.annotation))]
            continue
        meaning = field.description or MEANING[key]
        default = "*none*" if field.is_required() else _value(field.get_default(call_default_factory=True))
        rows.append(
            f"| `{shown}` | {default} | {_values(schema['properties'][name])} | {meaning} |".replace("a|b", "a\\|b")
        )
    table = ["| key | default | values | meaning |", "|---|---|---|---|", *rows, ""] if rows else []
    return [*table, *below]


def _section_of(annotation: Any) -> type[Section] | None:
    """The section that a field holds, also one that may be left out."""
    for kind in (annotation, *get_args(annotation)):
        if (
            isinstance(kind, type) and issubclass(kind, Section) and kind is not RecordField
        ):  # a field of a record is a word
            return kind
    return None


def _prefix(key: str, annotation: Any) -> str:
    """Of the keys below a section: of one of several that are named, its name is between."""
    return f"{key}.NAME." if get_origin(annotation) is Mapping else f"{key}."


def _value(default: Any) -> str:
    if default is None:
        return "–"
    plain = list(default) if isinstance(default, tuple) else default
    return f"`{json.dumps(plain)}`".replace('"', "")


def _values(schema: Mapping[str, Any]) -> str:
    """A JSON schema's type and bounds in words."""
    if "$ref" in schema:
        return "field"
    if "anyOf" in schema:
        return " or ".join("–" if part.get("type") == "null" else _values(part) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "prefixItems" in schema:
        return "list of " + ", ".join(_values(part) for part in schema["prefixItems"])
    if schema["type"] == "array":
        return f"list of {_values(schema['items'])}" if schema.get("items") else "list"
    if schema["type"] == "object":
        of = schema["additionalProperties"]
        return "name: value" if of is True else f"name: {_values(of)}"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true`, `false`"}[
        schema["type"]
    ]
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    bounds = [f"{sign} {schema[name]:g}" for name, sign in signs.items() if name in schema]
    return " ".join([words, ", ".join(bounds)]).strip()


def test_configuration_page_is_in_step() -> None:
    assert CONFIGURATION.read_text(encoding="utf8") == configuration_page(), "run `python tests/test_docs.py`"


def test_nothing_is_explained_twice_or_in_vain() -> None:
    def keys(kind: type[Section], prefix: str) -> Iterator[tuple[str, str | None]]:
        for name, field in kind.model_fields.items():
            section = _section_of(field.annotation)
            if section is not None and prefix + name not in ONCE:
                yield from keys(section, _prefix(f"{prefix}{name}", field.annotation))
            elif section is None:
                yield prefix + name, field.description

    unsaid = {key for kind, prefix in KINDS for key, said in keys(kind, prefix) if not said}
    assert set(MEANING) == unsaid


if __name__ == "__main__":
    os.chdir(ROOT)
    CONFIGURATION.write_text(configuration_page(), encoding="utf8")
