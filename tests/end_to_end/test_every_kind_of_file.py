"""Files of every kind that people have, through `attack` and `crop`, and a check of every claim in a fresh process.

No file ends in a traceback, no claim of a record is denied by Pillow or by the cropper's answer about the written file,
and metadata is identical or named as dropped.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from kinds_of_files import JPEGS, NAMED, OTHERS, REFUSED, SIZES, write
from typer.testing import CliRunner

from art_crop.cli.main import app

CHECK = Path(__file__).with_name("independent_check.py")
PROJECT = Path(__file__).resolve().parents[2]
EVERYTHING = JPEGS | OTHERS | NAMED | SIZES | {name: make for name, (make, _) in REFUSED.items()}
LOWER_LEFT, INNER = "0.02,0.5,0.3,0.8", "0.1,0.6,0.4,0.9"
ONE_BUDGET = ("--steps", "1", "--eps", "1")
Kinds = dict[str, Callable[..., bytes]]


def some(kinds: Kinds, step: int = 3) -> Kinds:
    return dict(list(kinds.items())[::step])


RUNS: dict[str, tuple[Kinds, tuple[str, ...]]] = {
    "JPEGs": (JPEGS, ONE_BUDGET),
    "others": (OTHERS, ONE_BUDGET),
    "names": (NAMED | {name: make for name, (make, _) in REFUSED.items()}, ONE_BUDGET),
    "JPEGs as PNG": (some(JPEGS, 4), ("--png", *ONE_BUDGET)),
    "others as JPEG": (some(OTHERS), ("--jpeg", "85", *ONE_BUDGET)),
    "sizes": (SIZES, ("--peak", "--steps", "1")),
}


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert "Traceback" not in result.output
    return result


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def denied(*arguments: object) -> list[str]:
    """The claims that do not hold, a line each."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, str(CHECK), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_there_are_enough_kinds() -> None:
    assert len(EVERYTHING) >= 170


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_no_claim_about_a_written_file_is_denied(tmp_path: Path, name: str) -> None:
    kinds, options = RUNS[name]
    sources, results = tmp_path / "photos", tmp_path / "out"
    write(sources, kinds)
    before = hashes(sources)
    region, ratio = (INNER, "peak") if "--peak" in options else (LOWER_LEFT, "1")
    wanted = ("--show", region, *options) if ratio == "peak" else ("--show", region, "--ratio", ratio, *options)
    result = run("attack", sources, *wanted, "--no-figure", "--out", results, "--json")
    outcomes = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(outcomes) == len(kinds)
    errors = {Path(outcome["photo"]).name: outcome["error"] for outcome in outcomes if "error" in outcome}
    too_thin = {photo for photo in kinds if photo.startswith(("1x", "200x1"))}
    assert set(errors) == (set(kinds) & set(REFUSED)) | too_thin
    for photo, sentence in errors.items():
        assert photo in sentence
        assert (REFUSED[photo][1] if photo in REFUSED else "the nearest box that holds one") in sentence
    succeeded = all(outcome.get("success") for outcome in outcomes)
    assert result.exit_code == (2 if errors else 0 if succeeded else 1)
    assert len(list(results.glob("*.json"))) == len(kinds) - len(errors)
    assert len(list(results.iterdir())) == 2 * (len(kinds) - len(errors)), "a photo and a record each"
    assert hashes(sources) == before, "sources stay as they are"
    assert denied(sources, results, region, ratio) == []


@pytest.mark.slow
def test_the_cropper_is_asked_about_every_file(tmp_path: Path) -> None:
    write(tmp_path / "photos", EVERYTHING)
    result = run("crop", tmp_path / "photos", "--json")
    assert result.exit_code == 2, "some are no photos"
    assert len(result.stdout.splitlines()) == len(EVERYTHING) - len(REFUSED)
    said = result.stderr.splitlines()
    assert len(said) == len(REFUSED)
    for name, (_, reason) in REFUSED.items():
        assert any(name in line and reason in line for line in said)


def _other_success(record: dict[str, Any]) -> None:
    record["success"] = record["success_after_writing"] = not record["success"]


def _smaller_change(record: dict[str, Any]) -> None:
    record["change"]["l2"] *= 0.99


def _nothing_lost(record: dict[str, Any]) -> None:
    record["not_kept"] = []


@pytest.mark.slow
def test_the_check_denies_what_is_false(tmp_path: Path) -> None:
    kinds = {name: OTHERS[name] for name in ("p texts.png", "p RGBA.png", "p gama.png", "w all.webp", "p grey-16.png")}
    write(tmp_path / "photos", kinds)
    options = ("--show", LOWER_LEFT, "--ratio", "1", *ONE_BUDGET, "--no-figure", "--jpeg", "85")
    run("attack", tmp_path / "photos", *options, "--out", tmp_path / "out")
    changes = [_nothing_lost, _nothing_lost, _nothing_lost, _other_success, _smaller_change]
    expected = ["PNG text", "transparency", "PNG gAMA", "the cropper says", "l2 is"]
    for name, change in zip(kinds, changes, strict=True):
        path = tmp_path / "out" / f"{Path(name).stem}.json"
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))
    lines = denied(tmp_path / "photos", tmp_path / "out", LOWER_LEFT, "1")
    for name, words in zip(kinds, expected, strict=True):
        assert any(name in line and words in line for line in lines), (name, lines)
