import re
import shlex
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from perisphere.cli import main
from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["perisphere", *words])
    with pytest.raises(SystemExit) as stop:
        main.main()
    printed = capsys.readouterr()
    return stop.value.code or 0, printed.out, printed.err


def test_the_version(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "--version")
    assert (code, out) == (0, f"perisphere {main.__version__}\n")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["serch"], "'search'"),
        (["embed"], "'catalog'"),
        (["show", "--colour"], "--colour"),
        (["index", "mend"], "mend"),
    ],
)
def test_wrong_words_are_one_line_and_code_2(monkeypatch, capsys, words, named):
    code, out, err = run(monkeypatch, capsys, *words)
    assert (code, out) == (2, "")
    assert named in err
    assert "--help`" in err
    assert len(err.splitlines()) == 1


def test_no_words_show_the_help(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys)
    assert code == 2
    assert "demo" in out


def test_a_defect_is_one_line_too(monkeypatch, capsys):
    def fail(**_):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(main, "app", fail)
    code, _, err = run(monkeypatch, capsys)
    assert (code, len(err.splitlines())) == (1, 1)
    assert "ZeroDivisionError: by zero" in err


@pytest.mark.parametrize(
    ("error", "code"), [(PerisphereError("a.jpg: is empty. Remove it."), 1), (UsageError("x"), 2)]
)
def test_an_error_is_one_line_on_stderr(monkeypatch, capsys, error, code):
    def fail(**_):
        raise error

    monkeypatch.setattr(main, "app", fail)
    got, out, err = run(monkeypatch, capsys)
    assert (got, out, err) == (code, "", f"error: {error}\n")


def test_debug_shows_the_traceback(tmp_path):
    words = [sys.executable, "-m", "perisphere", "--debug", "show", str(tmp_path / "missing")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")


def every_command(app=main.app, path=()):
    import typer.main

    for name, command in sorted(typer.main.get_command(app).commands.items()):
        if hasattr(command, "commands"):
            yield from (((*path, name, inner)) for inner in sorted(command.commands))
        else:
            yield (*path, name)


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_every_command_explains_itself(words):
    result = CliRunner().invoke(main.app, [*words, "--help"], terminal_width=100)
    assert result.exit_code == 0
    assert "Example" in result.output


def test_help_stays_light():
    heavy = "torch", "faiss", "cv2", "lightning", "matplotlib", "kornia", "polars"
    code = f"import sys, perisphere.cli.main; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _commands(command, path=()):
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _commands(inner, (*path, name))
    else:
        yield path, command


def _examples():
    for _, command in _commands(typer.main.get_command(app)):
        for ticked, indented in re.findall(
            r"`perisphere ([^`]+)`|^ {4,}perisphere (.+)$", command.help, re.M
        ):
            yield " ".join((ticked or indented).split())


@pytest.mark.parametrize("example", list(_examples()))
def test_every_example_of_the_help_is_understood(example):
    command, words = typer.main.get_command(app), shlex.split(example)
    context = command.make_context("perisphere", [], resilient_parsing=True)
    while hasattr(command, "commands"):
        name, command, words = command.resolve_command(context, words)
        assert command is not None, name
    command.make_context(name, words, parent=context)


def test_every_command_shows_an_example():
    commands = dict(_commands(typer.main.get_command(app)))
    assert not [path for path, command in commands.items() if "perisphere " not in command.help]


def test_a_name_that_is_not_utf8_is_printable_in_every_message(monkeypatch, capsys):
    for words in (["show", "caf\udce9"], ["read", "folders", "caf\udce9", "-o", "x"]):
        _, _, err = run(monkeypatch, capsys, *words)
        assert "caf\\xe9: " in err


def test_each_module_can_be_imported_first():
    code = """
import pkgutil, sys, importlib, perisphere.cli
for module in [found.name for found in pkgutil.iter_modules(perisphere.cli.__path__)]:
    for name in [name for name in sys.modules if name.startswith("perisphere.cli")]:
        del sys.modules[name]
    importlib.import_module(f"perisphere.cli.{module}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
