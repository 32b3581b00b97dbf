"""``art-crop attack``: other attacks, targets that are functions and programs, defences, scores and labels."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

import art_crop
from art_crop.cli.main import app
from art_crop.pipeline.target import parse_value

SHOW = ["--ratio", "1", "--no-figure"]

SERVICE = '''
import numpy as np
import art_crop

MODEL = art_crop.load_model("gaze-lite", device="cpu")


def density(x):
    return np.exp(MODEL.predict(np.asarray(x, np.float32)))


def brightest(x):
    """The brightest column and row of the photo, as a salient point."""
    grey = np.asarray(x).mean(1)
    return np.stack([grey.mean(1).argmax(1), grey.mean(2).argmax(1)], 1)


def score(x):
    return 10 * np.asarray(x).reshape(len(x), -1).mean(1)


def distortion(x):
    """quality-lite the other way round: 0 is best, 10 is worst."""
    return 10 - art_crop.load_model("quality-lite", device="cpu").predict(np.asarray(x, np.float32)) / 10
'''


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of somebody else's."""
    name = f"service_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(SERVICE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.fixture
def hidden(photo_file: Path) -> str:
    """A strip at one side that the square crop hides."""
    x = art_crop.load_model("gaze-lite").predict_file(photo_file).salient_point[0]
    return "0.86,0.2,1,0.8" if x < 192 else "0,0.2,0.14,0.8"


def attack(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["attack", *map(str, arguments)])


def program(folder: Path, body: str) -> str:
    path = folder / "program.py"
    path.write_text(f"import sys\nfrom pathlib import Path\n{body}\n")
    return f"{sys.executable} {path}"


def record_of(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "photo.json").read_text())
    return value


def test_a_function_decides_and_a_surrogate_gives_the_gradients(
    photo_file: Path, hidden: str, service: str, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    result = attack(photo_file, "--show", hidden, *SHOW, "--target", f"{service}:density", "--out", out)
    assert result.exit_code == 0, result.output
    record = record_of(out)
    assert (record["model"], record["surrogate"]) == (f"{service}:density", "gaze-lite")
    assert record["gradients"] > 0
    # The function is the same network, asked about the same pixels: the white box says the same of the file's pixels.
    pixels = np.asarray(Image.open(out / "photo.png")).astype(np.float32)[None].transpose(0, 3, 1, 2) / 255
    saliency = art_crop.load_model("gaze-lite").predict(pixels)[0]
    row, column = np.unravel_index(saliency.argmax(), saliency.shape)
    expected = [int((column + 0.5) * 384 / saliency.shape[1]), int((row + 0.5) * 256 / saliency.shape[0])]
    assert record["after"]["salient_point"] == expected


def test_an_attack_without_gradients_needs_no_surrogate(photo_file: Path, service: str, tmp_path: Path) -> None:
    out = tmp_path / "o"
    target = ("--target", f"{service}:brightest", "--attack", "gaussian-noise", "--param", "smooth=3", "--eps", 3)
    result = attack(photo_file, "--show", "0,0,0.1,0.1", "--peak", "--no-figure", *target, "--out", out)
    assert result.exit_code == 1, result.output  # it did not help, and says so
    record = record_of(out)
    assert (record["surrogate"], record["attack"], record["params"]) == (None, "gaussian-noise", {"smooth": 3})
    assert record["gradients"] == 0
    assert record["change"]["l2"] == pytest.approx(3, rel=0.01)


class TestQueryOnly:
    def test_a_service_that_is_only_asked_and_how_often(self, photo_file: Path, service: str, tmp_path: Path) -> None:
        asked, out = tmp_path / "asked", tmp_path / "o"
        body = f"""
            def counted(x):
                with open({str(asked)!r}, "a") as file:
                    file.write("." * len(x))
                return density(x)
        """
        module = tmp_path / f"{service}.py"
        module.write_text(SERVICE + textwrap.dedent(body))
        options = ("--query-only", "--max-queries", 60, "--target", f"{service}:counted", "--no-figure", "--out", out)
        result = attack(photo_file, "--show", "0.1,0,0.9,1", "--peak", *options)
        assert result.exit_code == 0, result.output
        assert "Nothing to do" in result.output
        hard = (photo_file, "--show", "0,0,0.05,0.08", "--peak", "--eps", 0.3, *options)
        asked.unlink()
        result = attack(*hard, "--overwrite")
        assert result.exit_code == 1, result.output
        assert "try a larger --max-queries" in result.output
        first = json.loads((out / "photo.json").read_text())
        assert (first["gradients"], first["surrogate"], first["attack"]) == (0, None, "tpe-pixel-search")
        grey = 1  # of what kind it is, is seen by one photo that is none of the user's
        assert len(asked.read_text()) == 60 + grey
        again = attack(*hard, "--overwrite")
        assert again.exit_code == 1
        assert len(asked.read_text()) == 60 + 2 * grey + 3, "what was answered is in queries.log, and not asked again"

    def test_a_surrogates_perturbation_is_the_start(
        self, photo_file: Path, hidden: str, service: str, tmp_path: Path
    ) -> None:
        options = ("--query-only", "--target", f"{service}:density", "--model", "gaze-lite", "--out", tmp_path / "o")
        result = attack(photo_file, "--show", hidden, *SHOW, *options, "--eps", 8)
        assert result.exit_code == 0, result.output
        first = record_of(tmp_path / "o")
        assert (first["surrogate"], first["gradients"]) == ("gaze-lite", 10)
        assert first["queries"] <= 5
        result = attack(photo_file, "--show", hidden, *SHOW, *options, "--max-queries", 40, "--overwrite")
        assert result.exit_code == 0, result.output
        smallest = record_of(tmp_path / "o")
        assert smallest["queries"] == 38
        assert smallest["change"]["l2"] < 0.7 * first["change"]["l2"]

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (("--query-only", "--attack", "i-fgsm"), "cannot go with i-fgsm"),
            (("--max-queries", 100), "goes with --query-only"),
            (("--storage", "x.log"), "goes with --query-only"),
            (("--query-only", "--storage", "nosuch://x"), "--storage"),
            (("--query-only", "--max-queries", 0), "max-queries"),
            (("--query-only", "--max-queries", -3), "max-queries"),
        ],
    )
    def test_what_cannot_be_is_said(
        self, photo_file: Path, service: str, tmp_path: Path, options: Any, words: str
    ) -> None:
        target = ("--target", f"{service}:density", "--no-figure", "--out", tmp_path / "o")
        result = attack(photo_file, "--show", "0,0,0.1,0.1", "--peak", *target, *options)
        assert result.exit_code == 2, result.output
        assert words in result.output

    def test_windows_for_other_ratios_are_not_taken_for_maps(
        self, photo_file: Path, service: str, tmp_path: Path
    ) -> None:
        (tmp_path / f"{service}.py").write_text(
            SERVICE + "\ndef crops(x):\n    return MODEL.crop(x, (0.5, 1.0, 2.0))\n"
        )
        result = attack(photo_file, "--show", "bottom", "--query-only", "--target", f"{service}:crops")
        assert result.exit_code == 2, result.output
        assert "answers with 3 crop windows" in result.output


class TestPrograms:
    def test_a_program_is_given_the_very_file(self, photo_file: Path, tmp_path: Path) -> None:
        seen = tmp_path / "seen.txt"
        command = program(tmp_path, f"Path({str(seen)!r}).open('a').write(sys.argv[-1] + chr(10))\nprint(100, 50)")
        out = tmp_path / "o"
        result = attack(
            photo_file, "--show", "0.2,0.1,0.4,0.5", "--peak", "--no-figure", "--target", command, "--out", out
        )
        assert result.exit_code == 0, result.output
        assert "Nothing to do" in result.output
        assert str(photo_file) in seen.read_text().splitlines()
        assert record_of(out)["before"]["salient_point"] == [100, 50]

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ("print('hello world')", "printed 'hello world'"),
            ("print('{')", "printed '{'"),
            ("print('nan 3')", "printed 'nan 3'"),
            ("print(1, 2, 3)", "needed is x y"),
            ("sys.exit('no licence')", "ended with code 1 .*no licence"),
            ("print('{\"score\": 3}')", "a cropper's answer is needed"),
        ],
    )
    def test_nonsense_and_death_are_one_sentence(self, photo_file: Path, tmp_path: Path, body: str, words: str) -> None:
        result = attack(photo_file, "--show", "0,0,0.3,0.3", *SHOW, "--target", program(tmp_path, body))
        assert result.exit_code == 2
        assert "Traceback" not in result.output
        import re

        assert re.search(words, result.output.replace("\n", " ")), result.output

    def test_one_that_hangs_is_ended(self, tmp_path: Path, photo_file: Path) -> None:
        from art_crop.estimators.external import ExternalProgramError, Program

        ask = Program([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.5)
        with pytest.raises(ExternalProgramError, match=r"no answer .* within 0\.5 s"):
            ask(photo_file)

    def test_nothing_goes_through_a_shell(self, tmp_path: Path, photo_file: Path) -> None:
        trace = tmp_path / "trace"
        wanted = (photo_file, "--show", "0,0,0.3,0.3", *SHOW, "--out", tmp_path / "o")
        result = attack(*wanted, "--target", f"nowhere; touch {trace}")
        assert result.exit_code == 2
        assert not trace.exists()
        quoted = f"{program(tmp_path, 'print(3, 4)')} '; touch {trace}'"
        attack(*wanted, "--target", quoted, "--attack", "gaussian-noise", "--eps", 1)
        assert not trace.exists()

    def test_windows_by_ratio(self, tmp_path: Path, photo_file: Path) -> None:
        from art_crop.estimators.external import external_model

        body = "import json\nprint(json.dumps({'crops': {'1.0': [64, 0, 256, 256], '0.5': [0, 10, 384, 192]}}))"
        model = external_model(program(tmp_path, body), ratios=(1.0, 0.5))
        assert model.predict_file(photo_file, (0.5, 1.0)).crops == ((0, 10, 384, 192), (64, 0, 256, 256))
        assert model.query_count == 1


def test_a_score_is_lowered_and_proven_on_the_file(photo_file: Path, service: str, tmp_path: Path) -> None:
    out = tmp_path / "o"
    mean = float(np.asarray(Image.open(photo_file)).mean() / 255 * 10)
    arguments = ("--target", f"{service}:score", "--attack", "contrast-shift", "--eps", 4, "--no-figure", "--out", out)
    result = attack(photo_file, "--below", mean + 1, *arguments)
    assert result.exit_code == 0, result.output
    assert "Nothing to do: the score is" in result.output
    record = record_of(out)
    assert (record["task"], record["wanted"]) == ("quality", {"below": mean + 1})
    assert record["after"]["score"] == pytest.approx(mean, rel=1e-4)


def test_a_surrogate_pulls_the_way_that_the_targets_scale_runs(photo_file: Path, service: str, tmp_path: Path) -> None:
    before = 10 - art_crop.load_model("quality-lite").predict_file(photo_file) / 10
    target = ("--target", f"{service}:distortion", "--scale", "10,0", "--model", "quality-lite", "--png")
    result = attack(photo_file, "--above", before + 1, *target, "--steps", 3, "--no-figure", "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    record = record_of(tmp_path / "o")
    assert record["surrogate"] == "quality-lite"
    assert record["before"]["score"] == pytest.approx(before, abs=1e-4)
    quality = art_crop.load_model("quality-lite").predict_file(tmp_path / "o" / "photo.png")
    assert record["after"]["score"] == pytest.approx(10 - quality / 10, abs=1e-4)
    assert 1 <= record["after"]["score"] - before < 1.5  # the smallest change that does
    assert record["change"]["linf"] * 255 < 10


def test_a_programs_scale_is_stated(photo_file: Path, tmp_path: Path) -> None:
    command = program(tmp_path, "print(-3.5)")
    noise = ("--attack", "gaussian-noise", "--eps", 1, "--no-figure", "--out", tmp_path / "o", "--target", command)
    result = attack(photo_file, "--above", -3, *noise)
    assert result.exit_code == 2
    assert "--above: the model's scale goes from 0 to 100, not -3" in " ".join(result.output.split())
    result = attack(photo_file, "--above", -3, "--scale", "1,-8", *noise)
    assert result.exit_code == 1, result.output  # whatever is done, it says the same
    assert record_of(tmp_path / "o")["after"]["score"] == -3.5


@pytest.mark.parametrize("printed", ["nan", '{"score": NaN}', '{"score": Infinity}'])
def test_a_score_that_is_no_number_is_refused(printed: str, photo_file: Path, tmp_path: Path) -> None:
    target = ("--target", program(tmp_path, f"print('{printed}')"), "--attack", "gaussian-noise", "--eps", 1)
    result = attack(photo_file, "--below", 3, *target, "--no-figure", "--out", tmp_path / "o")
    assert result.exit_code in (2, 3)
    assert "Traceback" not in result.output
    said = " ".join(result.output.split())
    assert "gives NaN or infinity" in said or "printed 'nan'" in said


def test_a_defence_of_a_plugin_stands_before_the_target(
    photo_file: Path, hidden: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from art_crop.pipeline import target

    defences: list[Any] = []

    def load(name: str, **options: Any) -> Any:
        from art.defences.preprocessor import SpatialSmoothingPyTorch

        defences.append((name, options))
        return SpatialSmoothingPyTorch(window_size=options["size"], channels_first=True)

    monkeypatch.setattr(target, "load_defence", load)
    monkeypatch.setattr(target, "find", lambda kind, name: None)
    out = tmp_path / "o"
    result = attack(photo_file, "--show", hidden, *SHOW, "--defence", "median:size=3", "--out", out)
    assert result.exit_code == 0, result.output
    assert defences == [("median", {"size": 3})]
    assert record_of(out)["defences"] == ["median:size=3"]
    assert record_of(out)["success_before_writing"] is record_of(out)["success_after_writing"] is True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "none is given"),
        (["--show", "0,0,1,1", "--below", "3"], "--show and --below together"),
        (["--below", "3", "--ratio", "1"], "go with --show"),
        (["--show", "0,0,.1,.1", "--attack", "gaussian-nois"], "gaussian-nois"),
        (["--show", "0,0,.1,.1", "--param", "smoth=3"], "did you mean 'smoothing'"),
        (["--show", "0,0,.1,.1", "--param", "smoothing"], "KEY=VALUE"),
        (["--show", "0,0,.1,.1", "--defence", "no-such"], "no-such"),
        (["--show", "0,0,.1,.1", "--target", "no_such_module:crop"], "no_such_module"),
        (["--show", "0,0,.1,.1", "--target", "./no-such-program"], "no program"),
        (["--label", "cat", "--model", "gaze-lite"], "class number"),
        (["--label", "other", "--model", "gaze-lite"], "a classification model is needed"),
        (["--below", "3"], "--model"),
        (["--below", "101", "--model", "quality-lite"], "--below: the model's scale goes from 0 to 100, not 101"),
        (["--above", "-1", "--model", "quality-lite"], "--above: the model's scale goes from 0 to 100, not -1"),
        (["--below", "3", "--model", "quality-lite", "--scale", "10,0"], "a model states its own"),
        (["--below", "3", "--target", "quality-lite", "--scale", "10,0"], "quality-lite states its own"),
        (["--below", "3", "--target", "os:listdir", "--scale", "10"], "--scale: the worst and the best score"),
        (["--below", "3", "--target", "os:listdir", "--scale", "5,5"], "scale: two different finite numbers"),
        (["--show", "0,0,.1,.1", "--target", "os:listdir", "--scale", "10,0"], "scale: a saliency model gives no"),
    ],
)
def test_bad_input_is_one_sentence(photo_file: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    result = attack(photo_file, *arguments, "--out", tmp_path / "o")
    assert result.exit_code == 2
    assert words in " ".join(result.output.split()), result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-0.5", -0.5),
        ("true", True),
        ("None", None),
        ("grad-cam", "grad-cam"),
        ("[1, 2.5, x]", [1, 2.5, "x"]),
        ("'7'", "7"),
        ("[]", []),
        ("9" * 5000, float("inf")),
    ],
)
def test_parameters_are_values(text: str, value: Any) -> None:
    assert parse_value(text) == value
