"""Distortions, their labels, and a short training run: it learns, can be repeated and resumed, and refuses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr
from skimage import data

from art_crop.errors import InvalidInputError, MissingDependencyError
from art_crop.models.quality_lite import QualityLiteNet
from art_crop.training.distortions import DISTORTIONS, label, mixed
from art_crop.training.quality import QualityTraining, Sampler, pristine_photos, train_quality

PHOTO = np.ascontiguousarray(data.coffee()[100:300, 150:370])
LEVELS = (0.0, 0.3, 0.6, 1.0)


def planar(*photos: Any) -> torch.Tensor:
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("kind", sorted(DISTORTIONS))
def test_the_higher_the_level_the_lower_the_label(kind: str) -> None:
    changed = [DISTORTIONS[kind](PHOTO, level, np.random.default_rng(0)) for level in LEVELS]
    for photo in changed:
        assert photo.shape == PHOTO.shape
        assert photo.dtype == np.uint8
    labels = label(planar(*[PHOTO] * 4), planar(*changed)).tolist()
    assert labels == sorted(labels, reverse=True)
    assert labels[0] > 65
    assert labels[-1] < 40


def test_distortions_are_the_streams_own_and_leave_the_photo_alone() -> None:
    before = PHOTO.copy()
    for distort in [*DISTORTIONS.values(), mixed]:
        first, again = (distort(PHOTO, 0.5, np.random.default_rng(3)) for _ in range(2))
        np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(PHOTO, before)


def test_noise_and_blur_are_as_strong_as_they_say() -> None:
    grey = np.full((220, 220, 3), 128, np.uint8)
    noisy = DISTORTIONS["noise"](grey, 0.5, np.random.default_rng(0)).astype(float)
    assert noisy.std() == pytest.approx((1.5 * 60) ** 0.5, rel=0.03)
    point = np.zeros((81, 81, 3), np.uint8)
    point[40, 40] = 255
    for _ in range(2):
        spread = DISTORTIONS["motion-blur"](np.kron(point, np.ones((1, 1, 1), np.uint8)), 0.5, np.random.default_rng(0))
        rows, columns = np.nonzero(spread[..., 0])
        length = np.hypot(rows - 40, columns - 40).max() * 2
        assert length == pytest.approx((1.5 * 18) ** 0.5, abs=3)


def test_a_score_is_the_mean_of_two_similarities_on_a_scale_of_100() -> None:
    changed = DISTORTIONS["blur"](PHOTO, 0.4, np.random.default_rng(0))
    found = label(planar(PHOTO, PHOTO), planar(changed, PHOTO)).tolist()
    from piq import DSSLoss, HaarPSILoss  # after label, which helps torchvision along

    apart = [float(loss()(planar(changed), planar(PHOTO))) for loss in (HaarPSILoss, DSSLoss)]
    assert found == pytest.approx([100 * (1 - (np.mean(apart) / 0.55) ** 0.5), 100], abs=1e-3)


def test_without_piq_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "piq", None)
    with pytest.raises(MissingDependencyError, match=r"art-crop\[training\]"):
        label(planar(PHOTO), planar(PHOTO))
    with pytest.raises(MissingDependencyError, match=r"art-crop\[training\]"):
        train_quality(photos(), settings(workers=1))


@pytest.mark.parametrize(("kind", "level", "score"), [("blur", 0.57, 50), ("noise", 0.605, 50), ("jpeg", 0.12, 85)])
def test_the_scale_means_what_its_description_says(kind: str, level: float, score: float) -> None:
    """Blur of 1.4 pixels, noise of 14 grey levels, JPEG at quality 75."""
    found = []
    for photo in photos():
        changed = DISTORTIONS[kind](photo, level, np.random.default_rng(0))
        found.append(float(label(planar(photo), planar(changed))[0]))
    assert np.mean(found) == pytest.approx(score, abs=10)


def photos() -> list[Any]:
    return [PHOTO, np.ascontiguousarray(data.astronaut()[:300, :400]), np.ascontiguousarray(data.chelsea())]


def settings(**kwargs: Any) -> QualityTraining:
    return QualityTraining(**{"steps": 4, "batch_size": 4, "workers": 0, **kwargs})


def test_it_learns_the_order_of_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QualityLiteNet, "widths", (8, 16, 24, 32, 48))  # as deep, and learns in less time
    figures: list[dict[str, float]] = []
    net = train_quality(photos(), settings(steps=80, batch_size=16), report=figures.append)
    batch = Sampler(photos(), batch_size=96, batches=1, seed=99)[0]
    with torch.no_grad():
        scores, fresh = net(batch.levels.float() / 255), QualityLiteNet().eval()(batch.levels.float() / 255)
    assert spearmanr(scores, batch.scores).statistic > 0.4 > spearmanr(fresh, batch.scores).statistic
    assert float(scores.min()) >= 0
    assert float(scores.max()) <= 100
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())
    assert figures[-1]["step"] == 80


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = train_quality(photos(), settings()).state_dict()
    wanted = settings(checkpoint=tmp_path / "run.checkpoint", checkpoint_every=2)

    def stop(batches: Any, total: int, done: int) -> Any:
        for number, batch in enumerate(batches):
            if number == 3:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        train_quality(photos(), wanted, progress=stop)
    resumed = train_quality(photos(), wanted).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(InvalidInputError, match="another seed"):
        train_quality(photos(), settings(checkpoint=tmp_path / "run.checkpoint", seed=1))


def test_photos_come_from_folders_and_the_last_of_bsds500_are_left_out(tmp_path: Path, shared: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    Image.fromarray(PHOTO[:50]).save(tmp_path / "too-flat.png")
    assert len(pristine_photos([tmp_path])) == 1
    learnt = pristine_photos([], shared / "images" / "bsds500")
    assert len(learnt) == 240
    (tmp_path / "a.png").unlink()
    with pytest.raises(InvalidInputError, match="images"):
        pristine_photos([tmp_path])
    with pytest.raises(InvalidInputError, match="photos"):
        train_quality([], settings())
    with pytest.raises(InvalidInputError, match="batch_size"):
        train_quality(photos(), settings(batch_size=1))
