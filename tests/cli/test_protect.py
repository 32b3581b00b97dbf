"""``art-crop protect``: a label lost below a perceptual threshold, and proven on the written file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import art_crop
from art_crop.attacks.color_variance import color_threshold
from art_crop.cli.main import app
from art_crop.estimators import PyTorchPhotoClassifier
from art_crop.images import load_photo
from art_crop.images.encoding import Jpeg
from art_crop.objectives import LabelOut
from art_crop.pipeline import Settings
from art_crop.pipeline.craft import Crafter

NAMES = ("cup", "spoon", "saucer", "table")


def protect(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["protect", *map(str, arguments)])


def record_of(folder: Path, name: str = "photo") -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return value


def pixels_of(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def said(result: Result) -> str:
    return " ".join(result.output.split())


class Sharp(torch.nn.Module):
    """A classifier in which a little decides: logits magnified about those of one photo, whose label is a cup."""

    def __init__(self, model: torch.nn.Module, photo: NDArray[np.uint8]) -> None:
        super().__init__()
        self.model = model.eval()
        with torch.no_grad():
            self.centre = model(torch.from_numpy(photo.transpose(2, 0, 1)).float()[None] / 255)
        self.own = torch.tensor([0.5, 0.0, -0.1, -0.2])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = (self.model(x) - self.centre) * 1000 + self.own
        return logits


@pytest.fixture
def classifier(tiny: Any, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small classifier of four classes that goes by a name."""
    network = Sharp(tiny.seeded(tiny.TinyClassifier), photo)
    estimator = PyTorchPhotoClassifier(network, nb_classes=4, labels=NAMES, device="cpu")
    estimator.name = "tiny"
    real = art_crop.load_model
    monkeypatch.setattr(
        art_crop, "load_model", lambda name, **options: estimator if name == "tiny" else real(name, **options)
    )
    return estimator


@pytest.fixture
def own_label(classifier: Any, photo_file: Path) -> int:
    return int(shares(classifier, pixels_of(photo_file)).argmax())


def shares(classifier: Any, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The classifier's probabilities, from its logits by numpy."""
    logits = classifier.predict(pixels[None].transpose(0, 3, 1, 2).astype(np.float32) / 255)[0].astype(np.float64)
    weights: NDArray[np.float64] = np.exp(logits - logits.max())
    return weights / weights.sum()


@pytest.mark.parametrize("attack", ["color-variance", "minimum-color-difference"])
@pytest.mark.parametrize("condition", ["top1", "top1-50"])
def test_the_written_photo_has_another_label_and_keeps_to_the_threshold(
    classifier: Any, own_label: int, photo_file: Path, tmp_path: Path, condition: str, attack: str
) -> None:
    out = tmp_path / "o"
    arguments = (photo_file, "--model", "tiny", "--condition", condition, "--attack", attack, "--out", out)
    result = protect(*arguments)
    assert result.exit_code == 0, result.output
    before, after = pixels_of(photo_file), pixels_of(out / "photo.png")
    found = shares(classifier, after)
    assert found.argmax() != own_label
    assert found[own_label] <= found.max() * (0.5 if condition == "top1-50" else 1) + 1e-6
    photos = torch.from_numpy(before.transpose(2, 0, 1).astype(np.float32))[None] / 255
    bound = color_threshold(photos, 50 / 255).bound[0, 0].numpy() * 255
    assert (np.abs(after.astype(int) - before).max(2) <= bound + 1e-3).all()

    record = record_of(out)
    assert (record["condition"], record["threshold"], record["within_threshold"]) == (condition, 50, 1)
    for view, pixels in (("before", before), ("after", after)):
        expected = shares(classifier, pixels)
        top = record[view]["top"]
        assert [one["label"] for one in top] == list(np.argsort(-expected))
        assert [one["name"] for one in top] == [NAMES[one["label"]] for one in top]
        np.testing.assert_allclose([one["probability"] for one in top], -np.sort(-expected), atol=1e-5)
    assert record["after"]["goal_name"] == NAMES[own_label]
    # Norm and mean of the same map: the mean of squares is at least the square of the mean.
    change = record["change"]
    assert change["ciede2000_l2"] >= change["ciede2000_mean"] * np.sqrt(before.shape[0] * before.shape[1]) > 0
    with Image.open(out / "photo.figure.png") as figure:
        assert figure.size[0] > 1000
    again = protect(*arguments)
    assert again.exit_code == 0, again.output
    assert "earlier run" in said(again)


def test_a_jpeg_is_protected_as_it_is_decoded(
    classifier: Any, own_label: int, photo_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    result = protect(photo_file, "--model", "tiny", "--jpeg", 80, "--no-figure", "--out", out)
    assert result.exit_code == 0, result.output
    with Image.open(out / "photo.jpg") as image:
        assert image.format == "JPEG"
    assert shares(classifier, pixels_of(out / "photo.jpg")).argmax() != own_label
    assert 0 < record_of(out)["within_threshold"] < 1  # the encoder knows no threshold


def test_where_a_jpeg_gives_the_label_back_more_is_tried(classifier: Any, own_label: int, photo_file: Path) -> None:
    settings = Settings(label="other", condition="top1", threshold=50, attack="color-variance", steps=100)
    crafter = Crafter(load_photo(photo_file), settings, Jpeg(80), classifier, classifier)
    attempts = list(crafter.attempts(LabelOut([own_label])))
    assert [attempt.success for attempt in attempts] == [True] * len(attempts)
    ratios = []
    for attempt in attempts:
        found = shares(classifier, attempt.encoded.decoded)
        ratios.append(found[own_label] / np.delete(found, own_label).max())
    assert len(ratios) == 4
    # Each leaves the label further behind; what the encoder really does differs a little from what the search saw.
    assert all(ratio <= 1 - gap + 0.05 for ratio, gap in zip(ratios, (0, 0.5, 0.8, 0.95), strict=True)), ratios


def test_photos_with_another_label_are_skipped_and_counted(
    classifier: Any, own_label: int, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    folder, out, other = tmp_path / "photos", tmp_path / "o", None
    folder.mkdir()
    Image.fromarray(photo).save(folder / "cup.png")
    for colour in np.random.default_rng(0).integers(0, 256, (50, 3)):  # one that the classifier takes for another
        other = np.clip(photo.astype(int) // 4 + colour * 3 // 4, 0, 255).astype(np.uint8)
        if shares(classifier, other).argmax() != own_label:
            break
    assert other is not None
    Image.fromarray(other).save(folder / "other.png")
    options = ("--model", "tiny", "--label", own_label, "--no-figure", "--out", out)
    result = protect(folder, *options)
    assert result.exit_code == 0, result.output
    assert "1 protected, 1 skipped (another label)" in said(result)
    assert f"and not {NAMES[own_label]}" in said(result)
    assert sorted(path.name for path in out.iterdir()) == ["cup.json", "cup.png"]
    assert protect(folder / "other.png", *options).exit_code == 1
    lines = [json.loads(line) for line in protect(folder, *options, "--json").stdout.splitlines()]
    assert ["skipped" in line for line in lines] == [False, True]


def test_a_photo_of_one_colour_fails_and_says_why(classifier: Any, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), (200, 30, 40)).save(tmp_path / "red.png")
    result = protect(tmp_path / "red.png", "--model", "tiny", "--out", tmp_path / "o")
    assert result.exit_code == 1, result.output
    record = record_of(tmp_path / "o", "red")
    assert "one colour" in record["message"]
    assert any("one colour" in note for note in record["notes"])
    assert (tmp_path / "o" / "red.failed.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--condition", "top5"], "top5 needs a model of more than 5 classes, and this one has 4"),
        (["--condition", "top3"], "--condition: one of top1, top1-50, top5"),
        (["--threshold", "0"], "--threshold: a finite number > 0"),
        (["--label", "4"], "--label: a whole number >= 0 and <= 3"),
        (["--model", "gaze-lite"], "a classification model is needed, not gaze-lite; there are: "),
        (["--attack", "gaussian-noise"], "color-variance or minimum-color-difference is needed"),
        (["--attack", "color-varianse"], "did you mean color-variance"),
        (["--param", "condition=top5"], "an option of its own here, --condition"),
        (["--param", "windw=7"], "did you mean 'window'"),
        (["--param", "window=999"], "at least 999 x 999 pixels are needed for a window of 999"),
        (["--out", "protected.jpg"], "a quality is needed (--jpeg)"),
    ],
)
def test_bad_input_is_one_sentence(
    classifier: Any, photo_file: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    result = protect(photo_file, "--model", "tiny", "--out", tmp_path / "o", *arguments)
    assert result.exit_code == 2
    assert words in said(result)
    assert "Traceback" not in result.output


def test_without_the_plugin_the_error_says_what_to_install(
    photo_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("art_crop.plugins.registry.list_plugins", list)
    result = protect(photo_file, "--out", tmp_path / "o")
    assert result.exit_code == 2
    assert "pip install" in said(result)
    assert "art-crop-efficientnet" in said(result)


@pytest.mark.parametrize("attack", ["color-variance", "minimum-color-difference"])
@pytest.mark.parametrize("png", [True, False])
def test_croppers_are_attacked_without_a_budget(
    photo: NDArray[np.uint8], tmp_path: Path, attack: str, png: bool
) -> None:
    Image.fromarray(photo).save(tmp_path / "photo.jpg", quality=92)
    out = tmp_path / "o"
    x = art_crop.load_model("gaze-lite").predict_file(tmp_path / "photo.jpg").salient_point[0]
    hidden = "0.86,0.2,1,0.8" if x < 192 else "0,0.2,0.14,0.8"
    words = ["attack", str(tmp_path / "photo.jpg"), "--show", hidden, "--ratio", "1", "--attack", attack]
    result = CliRunner().invoke(app, [*words, "--out", str(out), "--no-figure", *["--png"] * png])
    assert result.exit_code == 0, result.output
    record = record_of(out)
    assert record["steps"] == 100
    assert not record["success_before"]
    x0, _, x1, _ = (float(side) * 384 for side in hidden.split(","))
    crop = art_crop.load_model("gaze-lite").predict_file(out / record["output_name"], (1.0,)).crops[0]
    assert crop.left <= x0 + 1
    assert crop.left + crop.width >= x1 - 1
    refused = CliRunner().invoke(app, [*words, "--eps", "1", "--out", str(tmp_path / "p")])
    assert refused.exit_code == 2
    assert f"--eps: {attack} has no budget" in " ".join(refused.output.split())
