"""Every example that the help and the README print works as printed, on a landscape and on a portrait photo."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import art_crop
from art_crop.cli import attack, crop
from art_crop.cli.main import app

README = Path(__file__).resolve().parents[2] / "README.md"
SERVICE = """
import numpy as np
def crop(x):
    return np.array([[x.shape[3] // 2, x.shape[2] - 10]] * len(x), np.float32)
def score(x):
    return 10 * np.asarray(x).reshape(len(x), -1).mean(1)
"""
PROGRAM = "#!/bin/sh\necho 100 100\n"


def examples() -> list[str]:
    """Those of photos: the others are about plugins, suites and downloads, which have tests of their own."""
    lines = [line.strip() for text in (attack.EXAMPLES, crop.EXAMPLES) for line in text.splitlines()]
    lines += [line.strip() for line in README.read_text(encoding="utf-8").splitlines()] if README.is_file() else []
    said = [line.partition("  #")[0].partition("   #")[0].strip() for line in lines]
    return sorted({line for line in said if line.startswith(("art-crop attack ", "art-crop crop "))})


@pytest.fixture
def here(tmp_path: Path, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the examples name."""
    (tmp_path / "my_service.py").write_text(SERVICE)
    program = tmp_path / "crop.sh"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("portrait", [False, True], ids=["landscape", "portrait"])
@pytest.mark.parametrize("line", examples())
def test_a_printed_example_works(
    here: Path,
    photo: NDArray[np.uint8],
    line: str,
    portrait: bool,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = shlex.split(line)[1:]
    known = {record.name for record in art_crop.list_plugins()}
    for model in {"nima-technical", "efficientnet-lite0"} & set(words) - known:
        pytest.skip(f"{model} is a plugin's, which is not installed")
    if "nima-technical" in words:
        nima = request.getfixturevalue("shared") / "models" / "nima_technical.tflite"
        monkeypatch.setenv("ART_CROP_NIMA_TECHNICAL", str(nima))
    if "fastgaze" in words:
        words += ["--weights", str(request.getfixturevalue("fastgaze_weights"))]
    # As large as people's photos are, for the boxes that the examples give in pixels.
    enlarged = Image.fromarray(photo).resize((960, 640), Image.Resampling.BICUBIC)
    if portrait:
        enlarged = enlarged.transpose(Image.Transpose.ROTATE_90)
    enlarged.save(here / "photo.jpg", quality=92)
    enlarged.save(here / "photo.png")
    (here / "photos").mkdir()
    enlarged.save(here / "photos" / "one.jpg", quality=92)
    if words[0] == "attack":  # quicker, and as well understood
        words += ["--steps", "2", "--no-figure"]
    result = CliRunner().invoke(app, words)
    # Whether a photo can be changed enough is the photo's affair; that the example is understood is ours.
    assert result.exit_code in (0, 1), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
