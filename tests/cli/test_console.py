"""Errors as one sentence with an exit code, and progress that lets the items through."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from art_crop.cli.console import BAD_INPUT, errors_as_sentences, in_options, out, progress, tracked
from art_crop.cli.options import literal
from art_crop.errors import ImageFileError, InvalidInputError


@pytest.mark.parametrize("kind", [InvalidInputError, ImageFileError])
def test_our_errors_are_one_line(kind: type[Exception], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as stopped, errors_as_sentences():
        raise kind("photo [1].png: a sentence about [red]brackets[/red] that is rather long " * 3)
    assert stopped.value.exit_code == BAD_INPUT == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("error: photo [1].png: a sentence about [red]brackets[/red]")


def test_names_do_not_command_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b]0;title\x07\x1b[2J\x9b31m\rphoto.png"
    with pytest.raises(typer.Exit), errors_as_sentences():
        raise ImageFileError(f"{name} is no photo")
    out.print(literal(name))
    said = capsys.readouterr()
    assert said.err == r"error: \x1b]0;title\x07\x1b[2J\x9b31m\x0dphoto.png is no photo" + "\n"
    assert said.out == r"\x1b]0;title\x07\x1b[2J\x9b31m\x0dphoto.png" + "\n"


def test_an_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as stopped, errors_as_sentences():
        raise KeyboardInterrupt
    assert stopped.value.exit_code == 130
    assert capsys.readouterr().err == "stopped\n"


def test_bugs_show_themselves() -> None:
    with pytest.raises(ZeroDivisionError), errors_as_sentences():
        _ = 1 / 0


def test_progress_lets_the_items_through(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tracked(iter("abc"), 3, "reading")) == ["a", "b", "c"]
    assert capsys.readouterr().err.strip() == "", "no bar where nobody watches"


def test_a_log_tells_how_far_it_is_and_how_long_it_takes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("art_crop.cli.console.time.monotonic", lambda: now[0])
    with progress("suite", "loading") as tell:
        for seconds, done, note in ((20, 50, ""), (10, 55, ""), (60, 60, "1 failed"), (50, 65, ""), (500, 90, "")):
            now[0] += seconds
            tell(done, 90, note)
    assert capsys.readouterr().err.splitlines() == [
        "suite: 50 of 90",  # kept from before
        "suite: 60 of 90, about 4 min left, 1 failed",  # 10 in 70 s
        "suite: 90 of 90",
    ]


def test_messages_speak_of_options() -> None:
    assert in_options("max_eps: a number is needed") == "--max-eps: a number is needed"
    assert in_options("photo.jpg: region: it is empty") == "photo.jpg: --show: it is empty"
    assert in_options("Failed. Try a larger eps, or more steps.") == "Failed. Try a larger --eps, or more steps."
    assert in_options("model_eps: the name of a model") == "model_eps: the name of a model"


CLOSED = """
import os, sys
os.close(1)
os.execv(sys.executable, [sys.executable, "-m", "art_crop.cli.main", *sys.argv[1:]])
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["plugins"], ["attack", "--help"]])
def test_a_closed_standard_output_stops_nothing(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", CLOSED, *arguments], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["plugins", "--json"]])
def test_a_full_standard_output_is_said_in_a_sentence(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "art_crop.cli.main", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == BAD_INPUT
    assert done.stderr == "error: cannot write to the standard output: No space left on device\n"
