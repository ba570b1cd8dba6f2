"""The command itself: help, exit codes, stdout and stderr, signals and pipes."""

from __future__ import annotations

import importlib
import inspect
import json
import keyword
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from cli_cases import chiasm, make_folder, ok

from chiasm.cli.guard import guarded
from chiasm.cli.main import VERBS
from chiasm.cli.output import print_json
from chiasm.cli.progress import Progress
from chiasm.errors import ChiasmError, DataError, ModelError, NonFiniteError


def command(*arguments: object, **kwargs: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chiasm", *map(str, arguments)], capture_output=True, text=True, **kwargs
    )  # type: ignore[call-overload]


def test_help_lists_every_verb_and_the_exit_codes() -> None:
    shown = ok("--help").stdout
    for verb in VERBS:
        name = f"{verb}_" if keyword.iskeyword(verb) else verb
        function = getattr(importlib.import_module(f"chiasm.cli.{name}"), name)
        if isinstance(function, typer.Typer):  # a group of commands
            function = function.registered_callback.callback
        first = inspect.getdoc(function).splitlines()[0]
        assert [verb, *first.split()] in [line.split() for line in shown.splitlines()]
    assert "Exit codes:" in shown


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_json_and_exit_codes(verb: str) -> None:
    shown = ok(verb, "--help").stdout
    assert "--json" in shown
    assert "Exit codes:" in shown


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from chiasm.cli.main import main\n"
        "sys.argv = ['chiasm', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'numpy', 'lance', 'pydantic', 'rich', 'yaml')\n"
        "heavy += tuple(f'chiasm.cli.{verb}' for verb in ('build', 'train', 'demo'))\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(("typed", "meant"), [("biuld", "build"), ("serach", "search"), ("evalute", "evaluate")])
def test_did_you_mean(typed: str, meant: str) -> None:
    result = chiasm(typed)
    assert result.exit_code == 2
    assert f"'{meant}'" in result.stderr
    assert result.stdout == ""


def test_wrong_options_exit_2() -> None:
    assert chiasm("build", "--jsno").exit_code == 2
    assert chiasm("build").exit_code == 2
    assert chiasm("search", "t.lance", "-k", "many").exit_code == 2


def test_version() -> None:
    from importlib.metadata import version

    assert ok("--version").stdout.strip() == f"chiasm {version('chiasm')}"


@pytest.mark.parametrize("error", [DataError("a\nb"), ModelError("a"), NonFiniteError("a"), ChiasmError("a")])
def test_errors_end_with_their_exit_code(error: ChiasmError, capsys: pytest.CaptureFixture[str]) -> None:
    def verb() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        guarded(verb)()
    assert ended.value.code == error.exit_code
    assert capsys.readouterr().err == "".join(f"error: {line}\n" for line in str(error).splitlines())


def test_a_bug_is_one_line_and_a_traceback_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def verb() -> None:
        raise ZeroDivisionError("x")

    with pytest.raises(SystemExit) as ended:
        guarded(verb)()
    assert ended.value.code == 1
    assert "unexpected ZeroDivisionError: x" in capsys.readouterr().err
    monkeypatch.setenv("CHIASM_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        guarded(verb)()


def test_a_full_disk_is_the_machines_fault(capsys: pytest.CaptureFixture[str]) -> None:
    def verb() -> None:
        raise OSError(28, "No space left on device", "/x")

    with pytest.raises(SystemExit) as ended:
        guarded(verb)()
    assert ended.value.code == 7
    assert capsys.readouterr().err == "error: No space left on device: /x\n"


def test_traceback_only_in_debug_mode(tmp_path: Path) -> None:
    plain = command("build", tmp_path / "nowhere", tmp_path / "o.lance")
    assert plain.returncode == 3
    assert plain.stderr.count("\n") == 1
    assert plain.stderr.startswith("error: ")
    debug = command("build", tmp_path / "nowhere", tmp_path / "o.lance", env={**os.environ, "CHIASM_DEBUG": "1"})
    assert "Traceback" in debug.stderr


def test_json_is_alone_on_stdout(tmp_path: Path) -> None:
    done = command("build", make_folder(tmp_path / "f"), tmp_path / "t.lance", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["accepted"] == 12
    assert "read 12/12" in done.stderr


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": (2, None)}, "e": "红", "f": Path("x")})
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": None, "b": [None, 1.5], "c": {"d": [2, None]}, "e": "红", "f": "x"}
    assert "红" in out


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "f")
    script = f"{sys.executable} -m chiasm build {folder} {tmp_path}/t.lance | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_ctrl_c_says_what_is_kept_and_ends_with_130() -> None:
    code = (
        "import sys, time, chiasm.dataset.build as room\n"
        "def forever(*_, **__):\n"
        "    print('ready', file=sys.stderr, flush=True)\n"
        "    time.sleep(60)\n"
        "room.build = forever\n"
        "from chiasm.cli.main import main\n"
        "sys.argv = ['chiasm', 'build', 'x', 'y']\n"
        "main()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert (
            process.stderr.read()
            == "what was read and checked is kept: the same command goes on from there\ninterrupted\n"
        )
        assert process.wait(timeout=20) == 130


def test_plain_progress_has_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Progress() as progress:
        progress("read", 0, 100)
        for done in (10, 50, 100):
            now[0] += done / 5
            progress("read", done, 100, {"loss": 1.23456})
        progress("count", 5, None)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "read 0/100"
    assert "read 50 %  12 s left  loss 1.235" in lines
    assert lines[-2].startswith("read 100 %  32.0 s")
    assert lines[-1] == "count 5"


def test_torch_out_of_memory_is_the_machines_fault(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    def verb() -> None:
        torch.empty(2**55, dtype=torch.uint8)

    with pytest.raises(SystemExit) as ended:
        guarded(verb)()
    assert ended.value.code == 7
    assert capsys.readouterr().err.startswith("error: out of memory: a smaller train.batch")
