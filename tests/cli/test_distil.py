"""``art-crop distil`` end to end, and its one-sentence refusals."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from art_crop.cli.main import app
from art_crop.estimators.builtin import gaze_lite

TEACHER = """
import numpy as np

def bright(x):
    return x.mean(1)[:, 8::16, 8::16]

def flat(x):
    return np.zeros(len(x))

def logarithm(x):
    return np.log(bright(x) + 1e-3)
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "service_for_tests.py").write_text(TEACHER)
    (tmp_path / "photos").mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((160, 120)).save(tmp_path / "photos" / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def run(*arguments: object, **options: Any) -> Result:
    given: dict[str, Any] = {
        "--teacher": "service_for_tests:bright",
        "--images": "photos",
        "--out": "out [1].safetensors",
        "--steps": 2,
        "--refine": 0,
        "--batch-size": 2,
        "--device": "cpu",
        **{f"--{name.replace('_', '-')}": value for name, value in options.items()},
    }
    flat = [str(part) for pair in given.items() if pair[1] is not None for part in pair]
    return CliRunner().invoke(app, ["distil", *flat, *map(str, arguments)])


def test_from_photos_to_a_usable_model(work: Path) -> None:
    result = run(seed=3)
    assert result.exit_code == 0, result.output
    out = work / "out [1].safetensors"
    assert f"wrote out [1].safetensors ({out.stat().st_size} bytes)" in result.stdout
    assert "step 2/2" in result.stderr
    assert sorted(path.name for path in work.iterdir() if path.is_file()) == [out.name, "service_for_tests.py"]
    (length,) = struct.unpack("<Q", out.read_bytes()[:8])
    about = json.loads(json.loads(out.read_bytes()[8 : 8 + length])["__metadata__"]["art_crop"])
    wanted = {"network": "gaze-lite", "teacher": "service_for_tests:bright", "photos": 2, "steps": 2, "seed": 3}
    wanted["refine"] = 0
    assert wanted.items() <= about.items()
    estimator = gaze_lite(weights=out, device="cpu")
    assert np.isfinite(estimator.predict(np.zeros((1, 3, 240, 320), np.float32))).all()


def test_the_same_command_gives_the_same_file(work: Path) -> None:
    assert run(out="a.safetensors").exit_code == 0
    assert run(out="b.safetensors").exit_code == 0
    assert run(out="c.safetensors", teacher="service_for_tests:logarithm", gives="log-density").exit_code == 0
    a, b, c = ((work / f"{name}.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_refining_goes_on_from_the_first_phase(work: Path) -> None:
    """In one command, or in two."""
    assert run(out="once.safetensors", refine=2).exit_code == 0
    assert run(out="first.safetensors").exit_code == 0
    result = run(out="second.safetensors", refine=2, start="first.safetensors")
    assert result.exit_code == 0, result.output
    once, first, second = (
        gaze_lite(weights=work / f"{name}.safetensors", device="cpu").model.state_dict()
        for name in ("once", "first", "second")
    )
    assert all(np.array_equal(once[name], second[name]) for name in once)
    assert not all(np.array_equal(first[name], second[name]) for name in once)
    assert not (work / "once.safetensors.unrefined").exists()
    assert (work / "first.safetensors").exists(), "what was given is kept"


def test_the_first_phase_of_another_run_is_not_taken_up(work: Path) -> None:
    assert run(out="a.safetensors").exit_code == 0
    (work / "a.safetensors").rename(work / "b.safetensors.unrefined")
    other = run(out="b.safetensors", refine=1, teacher="service_for_tests:logarithm", gives="log-density")
    assert other.exit_code == 2
    assert "another teacher" in other.stderr
    assert run(out="b.safetensors", refine=1).exit_code == 0
    (work / "c.safetensors.unrefined").write_bytes(b"half a fi")
    assert "another teacher, photos" in run(out="c.safetensors").stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "nowhere.safetensors"}, "nowhere.safetensors"),
        ({"start": "service_for_tests.py"}, "not a safetensors file"),
        ({"images": "nowhere"}, "nowhere"),
        ({"images": "empty"}, "empty"),
        ({"teacher": "no-such-model"}, "no model 'no-such-model'"),
        ({"teacher": "no_such_module:f"}, "cannot be imported"),
        ({"teacher": "service_for_tests:other"}, "cannot be imported"),
        ({"teacher": "service_for_tests:flat"}, "maps of shape"),
        ({"teacher": "service_for_tests:logarithm"}, "log-density"),
        ({"teacher": "gaze-lite", "weights": "service_for_tests.py"}, "safetensors"),
        ({"gives": "nonsense"}, "density"),
        ({"device": "abacus"}, "device"),
        ({"seed": -1}, "seed"),
        ({"fixations": "photos"}, "fixations.mat"),
        ({"out": "missing/out.safetensors"}, "the folder does not exist"),
        ({"out": "photos"}, "it is a folder"),
        ({"checkpoint": "missing/x"}, "the folder does not exist"),
        ({"checkpoint": "service_for_tests.py"}, "not a readable checkpoint"),
        ({"steps": 0}, "steps"),
        ({"batch_size": 1}, "batch-size"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(work: Path, options: dict[str, Any], message: str) -> None:
    (work / "empty").mkdir()
    before = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    result = run(**options)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output
    after = {path: path.read_bytes() for path in work.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert after == before, "nothing is written, nothing is lost"


def test_help_needs_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from typer.testing import CliRunner; from art_crop.cli.main import app; "
        "r = CliRunner().invoke(app, ['distil', '--help']); "
        "assert r.exit_code == 0 and '--teacher' in r.output, r.output; "
        "assert not {'torch', 'art'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
