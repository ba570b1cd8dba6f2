"""The public surface: what `import chiasm` offers, and that it is all there and lazy."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import chiasm
from chiasm import api, config, errors, types

PUBLIC = [
    "Dataset", "DecodingConfig", "Label", "Media", "Question", "Record", "Text", "__version__", "build", "errors", "load",
]  # fmt: skip


def test_all_names_are_listed_and_there() -> None:
    assert sorted(chiasm.__all__) == PUBLIC
    assert {name: getattr(chiasm, name) is not None for name in PUBLIC} == dict.fromkeys(PUBLIC, True)
    assert set(PUBLIC) <= set(dir(chiasm))


def test_names_are_the_real_things() -> None:
    assert chiasm.Record is types.Record
    assert chiasm.Text is types.Text
    assert chiasm.Media is types.Media
    assert chiasm.Label is types.Label
    assert chiasm.Question is types.Question
    assert chiasm.DecodingConfig is config.DecodingConfig
    assert chiasm.errors is errors
    assert chiasm.load is api.load
    assert chiasm.build is api.build
    assert chiasm.Dataset is api.Dataset
    assert chiasm.__version__ == version("chiasm")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        _ = chiasm.serach


def test_every_error_has_a_documented_exit_code() -> None:
    from chiasm.cli.guard import EXIT_CODES

    def tree(kind: type[errors.ChiasmError]) -> list[type[errors.ChiasmError]]:
        return [kind, *(below for child in kind.__subclasses__() for below in tree(child))]

    codes = {kind.exit_code for kind in tree(errors.ChiasmError)}
    listed = {int(line.split()[0]) for line in EXIT_CODES.splitlines() if line.strip()[:1].isdigit()}
    assert codes <= listed
    assert {0, 130} <= listed


def test_dataset_types_cost_no_torch() -> None:
    code = "import sys, chiasm; chiasm.Record; chiasm.Dataset; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
