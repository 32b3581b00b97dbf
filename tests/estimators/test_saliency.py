"""The saliency estimator: crops, files, other pixel ranges, and the deployed cropper behind it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.estimators import PyTorchSaliencyRegressor
from art_crop.estimators.builtin import fastgaze
from art_crop.geometry import Region
from art_crop.models.cropper import Cropper
from art_crop.objectives import CropContainsRegion, PeakInRegion

RATIOS = (0.56, 1.0, 2.0)


@pytest.fixture(scope="module")
def gaze(fastgaze_weights: Path) -> PyTorchSaliencyRegressor:
    return fastgaze(weights=fastgaze_weights, device="cpu")


@pytest.fixture
def x(photo: NDArray[np.uint8]) -> NDArray[np.float32]:
    return photo.transpose(2, 0, 1)[None].astype(np.float32) / 255


class Brightness(nn.Module):
    """Mean of each 16 x 16 tile, as a cropper's network or as a plain model."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x.mean(1), 16, ceil_mode=True)


def spot(left: int, top: int, size: tuple[int, int] = (96, 128)) -> NDArray[np.float32]:
    """A grey photo with one bright tile of 16 x 16."""
    x = np.full((1, 3, *size), 0.4, np.float32)
    x[..., top : top + 16, left : left + 16] = 0.9
    return x


def test_a_plain_models_cells_are_tiles() -> None:
    estimator = PyTorchSaliencyRegressor(Brightness(), device="cpu")
    x = np.concatenate([spot(16, 32), spot(96, 64)])
    assert estimator.predict(x).shape == (2, 6, 8)
    assert estimator.salient_points(x).tolist() == [[24, 40], [104, 72]]
    windows = estimator.crop(x, (0.5, 1.0))
    # 64 rows about row 40; 96 columns about column 24 start at the edge, about 104 end at it.
    assert windows.tolist() == [[[0, 8, 128, 64], [0, 0, 96, 96]], [[0, 32, 128, 64], [32, 0, 96, 96]]]
    assert np.issubdtype(windows.dtype, np.integer)
    assert estimator.crop(x).shape == (2, 4, 4)
    with pytest.raises(InvalidInputError, match="ratios"):
        estimator.crop(x, ())


def test_objectives_and_crops_agree_on_real_photos(gaze: PyTorchSaliencyRegressor, x: NDArray[np.float32]) -> None:
    """Success is that the crop windows contain the region, and that the salient point lies in it."""
    batch = np.concatenate([x, x[..., ::-1], x[..., ::-1, :]])
    output = gaze.output(batch)
    windows, points = gaze.crop(batch, RATIOS), gaze.salient_points(batch)
    successes = []
    for left in np.arange(0, 0.85, 0.1):
        for top in (0.1, 0.45, 0.8):
            region = Region(left, top, left + 0.15, top + 0.1)
            x0, y0, x1, y1 = region.pixels(384, 256)
            verdict = CropContainsRegion([region] * 3, RATIOS[1:])(output)
            by_hand = [
                all(
                    l <= x0 + 1e-6 and t <= y0 + 1e-6 and x1 <= l + w + 1e-6 and y1 <= t + h + 1e-6
                    for l, t, w, h in windows[i][1:]  # noqa: E741
                )
                for i in range(3)
            ]
            assert verdict.success.tolist() == by_hand
            successes += by_hand
            wide = Region(max(0, left - 0.1), max(0, top - 0.1), min(1, left + 0.25), min(1, top + 0.2))
            wx0, wy0, wx1, wy1 = wide.pixels(384, 256)
            found = PeakInRegion([wide] * 3)(output).success.tolist()
            strictly = [wx0 + 1 < px < wx1 - 1 and wy0 + 1 < py < wy1 - 1 for px, py in points]
            loosely = [wx0 - 1 <= px <= wx1 + 1 and wy0 - 1 <= py <= wy1 + 1 for px, py in points]
            assert all(low <= bool(f) <= high for low, f, high in zip(strictly, found, loosely, strict=True))
    assert 0 < sum(successes) < len(successes)


def test_symmetric_photos_are_cropped_at_the_middle(gaze: PyTorchSaliencyRegressor, x: NDArray[np.float32]) -> None:
    half = x[..., :192]
    mirrored = np.concatenate([half, half[..., ::-1]], -1)
    batch = np.concatenate([x, mirrored])
    assert gaze.output(batch).symmetric().tolist() == [False, True]
    window = gaze.crop(batch, (1.0,))[1, 0]
    assert window.tolist() == [192 - 128, 0, 256, 256]


def test_fastgazes_gradient_says_where_the_map_goes(gaze: PyTorchSaliencyRegressor, x: NDArray[np.float32]) -> None:
    """Through all roundings: a step of whole grey levels moves the loss about as the gradient says."""
    tensor = torch.from_numpy(x)
    objective = PeakInRegion([Region(0.1, 0.1, 0.4, 0.9)], by="column", loss="cross_entropy")
    found = gaze.value_and_gradient(tensor, objective)
    assert found.gradient is not None
    gradient = found.gradient
    # One grey level for a fifth of the pixels, those with the strongest gradient.
    strong = gradient.abs() >= gradient.abs().flatten().kthvalue(int(gradient.numel() * 0.8)).values
    step = gradient.sign() * strong / 255
    ahead, behind = ((tensor + sign * step).clamp(0, 1) for sign in (1, -1))
    change = float(gaze.evaluate(ahead, objective).loss - gaze.evaluate(behind, objective).loss)
    predicted = float((gradient * (ahead - behind)).sum())
    assert predicted > 0
    assert 0.6 * predicted < change < 1.4 * predicted


def test_a_photo_of_fastgaze_gets_the_same_alone_and_in_a_batch(
    gaze: PyTorchSaliencyRegressor, x: NDArray[np.float32]
) -> None:
    batch = np.concatenate([x, x[..., ::-1], np.clip(x + 0.1, 0, 1)])
    objective = PeakInRegion([Region(0.1, 0.1, 0.4, 0.9)] * 3)
    together = gaze.value_and_gradient(torch.from_numpy(batch), objective)
    alone = gaze.value_and_gradient(torch.from_numpy(batch[1:2].copy()), objective.take([1]))
    assert torch.equal(alone.loss, together.loss[1:2])
    assert alone.gradient is not None
    assert together.gradient is not None
    assert torch.equal(alone.gradient, together.gradient[1:2])
    assert np.array_equal(gaze.predict(batch)[1:2], gaze.predict(batch[1:2]))


def test_other_pixel_ranges_mean_the_same_photo(
    gaze: PyTorchSaliencyRegressor, fastgaze_weights: Path, x: NDArray[np.float32], photo_file: Path
) -> None:
    other = fastgaze(weights=fastgaze_weights, device="cpu", clip_values=(-1, 1))
    bytes_ = fastgaze(weights=fastgaze_weights, device="cpu", clip_values=(0, 255), channels_first=False)
    as_bytes = (x * 255).round().transpose(0, 2, 3, 1)
    expected = gaze.predict(x)
    assert np.array_equal(other.predict(x * 2 - 1), expected)
    assert np.array_equal(bytes_.predict(as_bytes), expected)
    assert bytes_.crop(as_bytes).tolist() == gaze.crop(x).tolist()
    for estimator in (gaze, other, bytes_):
        assert np.array_equal(estimator.predict_file(photo_file).saliency_map, expected[0])
    # A gradient is per unit of the range: 255 times smaller where a pixel counts to 255.
    objective = PeakInRegion([Region(0.1, 0.1, 0.4, 0.9)])
    full = gaze.value_and_gradient(torch.from_numpy(x), objective).gradient
    scaled = bytes_.value_and_gradient(torch.from_numpy(as_bytes.transpose(0, 3, 1, 2).copy()), objective).gradient
    assert full is not None
    assert scaled is not None
    torch.testing.assert_close(scaled * 255, full, rtol=1e-3, atol=1e-6)


def test_bfloat16_gradients_of_fastgaze(fastgaze_weights: Path, gaze: PyTorchSaliencyRegressor, x: Any) -> None:
    half = fastgaze(weights=fastgaze_weights, device="cpu", gradient_dtype="bfloat16")
    objective = PeakInRegion([Region(0.1, 0.1, 0.4, 0.9)], loss="cross_entropy")
    one = half.value_and_gradient(torch.from_numpy(x), objective)
    full = gaze.value_and_gradient(torch.from_numpy(x), objective)
    assert one.gradient is not None
    assert full.gradient is not None
    cosine = torch.nn.functional.cosine_similarity(one.gradient.flatten(), full.gradient.flatten(), dim=0)
    assert float(cosine) > 0.95
    # What is reported of the photo itself is float32's.
    assert np.array_equal(half.predict(x), gaze.predict(x))
    assert torch.equal(one.success, full.success)


def test_files_through_a_plain_model(photo: NDArray[np.uint8], photo_file: Path, tmp_path: Path) -> None:
    for channels_first, clip in ((True, (0.0, 1.0)), (False, (0.0, 255.0))):
        estimator = PyTorchSaliencyRegressor(
            Brightness(), device="cpu", channels_first=channels_first, clip_values=clip
        )
        found = estimator.predict_file(photo_file, (1.0,))
        batch = photo[None].astype(np.float32) * (clip[1] / 255)
        batch = batch.transpose(0, 3, 1, 2) if channels_first else batch
        np.testing.assert_allclose(found.saliency_map, estimator.predict(batch)[0], rtol=1e-5)
        assert list(found.salient_point) == estimator.salient_points(batch)[0].tolist()
        assert list(found.crops[0]) == estimator.crop(batch, (1.0,))[0, 0].tolist()
        assert (found.size, found.symmetric) == ((384, 256), False)
        assert len(estimator.predict_file(photo_file).crops) == 5
        with pytest.raises(ImageFileError):
            estimator.predict_file(tmp_path / "missing.png")


def test_a_new_cropper_decides_files_too(photo_file: Path) -> None:
    class Dark(Brightness):
        def forward(self, x: Tensor) -> Tensor:
            return -super().forward(x)

    estimator = PyTorchSaliencyRegressor(Cropper(Brightness()), device="cpu")
    bright = estimator.predict_file(photo_file)
    estimator.set_params(model=Cropper(Dark()))
    dark = estimator.predict_file(photo_file)
    np.testing.assert_array_equal(dark.saliency_map, -bright.saliency_map)
    assert dark.salient_point != bright.salient_point


def test_kl_loss() -> None:
    estimator = PyTorchSaliencyRegressor(Brightness(), device="cpu", loss="kl", log_density=True)
    x, y = spot(16, 32), np.random.default_rng(0).normal(size=(1, 6, 8)).astype(np.float32)
    p, q = (v.reshape(-1).astype(np.float64) for v in (y, estimator.predict(x)))
    p, q = np.exp(p) / np.exp(p).sum(), np.exp(q) / np.exp(q).sum()
    assert estimator.compute_loss(x, y)[0] == pytest.approx((p * np.log(p / q)).sum(), rel=1e-4)
    estimator.set_params(loss="mse")
    assert estimator.compute_loss(x, y)[0] == pytest.approx(((estimator.predict(x) - y) ** 2).sum(), rel=1e-4)
    with pytest.raises(InvalidInputError, match="loss: one of mse, kl"):
        estimator.set_params(loss="mae")


@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (1, 16), (1,)])
def test_models_that_give_no_map(shape: tuple[int, ...]) -> None:
    class Wrong(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(shape) + x.mean()

    with pytest.raises(InvalidInputError, match=r"model: an output \(N, h, w\) or \(N, 1, h, w\) is needed"):
        PyTorchSaliencyRegressor(Wrong(), device="cpu").predict(spot(0, 0))


def test_fastgaze_survives_pickling_and_knows_its_weights(
    gaze: PyTorchSaliencyRegressor, x: NDArray[np.float32], fastgaze_weights: Path
) -> None:
    import hashlib

    again = pickle.loads(pickle.dumps(gaze))
    assert np.array_equal(again.predict(x), gaze.predict(x))
    assert again.rule is again.model
    assert again.name == "fastgaze"
    assert again.weights_sha256 == hashlib.sha256(fastgaze_weights.read_bytes()).hexdigest()
    fresh = gaze.clone_for_refitting()
    assert fresh.weights_sha256 is None
    assert not np.allclose(fresh.predict(x), gaze.predict(x), atol=0.1)
