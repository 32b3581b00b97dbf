"""Attacks on the deployed cropper, judged on the PNG that was written, decoded again by its exact pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from art_crop.attacks import GaussianNoise, SaliencyPeakFGM
from art_crop.attacks.gaussian_noise import band_mask
from art_crop.estimators import PyTorchSaliencyRegressor
from art_crop.estimators.builtin import fastgaze
from art_crop.geometry import Region
from art_crop.objectives import CropContainsRegion, PeakInRegion

pytestmark = pytest.mark.shared
Array = np.ndarray[Any, Any]
LEFT = Region(0.0, 0.1, 0.3, 0.95)


@pytest.fixture(scope="module")
def cropper(fastgaze_weights: Path) -> PyTorchSaliencyRegressor:
    return fastgaze(weights=fastgaze_weights, device="cpu")


@pytest.fixture(scope="module")
def photos(kodak_root: Path) -> Array:
    """Two photos of odd sizes: halved once, the last row and column dropped."""
    made = []
    for path in sorted(kodak_root.glob("*.png"))[1:3]:
        with Image.open(path) as image:
            made.append(np.asarray(image.convert("RGB").resize((641, 427), Image.Resampling.LANCZOS)))
    return np.stack(made)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Array], list[Path]]:
    def write(adversarial: Array) -> list[Path]:
        paths = []
        for i, one in enumerate(adversarial):
            levels = one.transpose(1, 2, 0).astype(np.float64) * 255
            assert np.abs(levels - levels.round()).max() < 1e-4
            paths.append(tmp_path / f"{i}.png")
            Image.fromarray(levels.round().astype(np.uint8)).save(paths[-1])
        return paths

    return write


def unit_range(photos: NDArray[np.uint8]) -> Array:
    return photos.transpose(0, 3, 1, 2).astype(np.float32) / 255


def in_region(point: tuple[int, int], region: Region, shape: tuple[int, ...]) -> bool:
    """Cells stand on whole pixels: half a pixel of tolerance for their rounding down."""
    x, y = (point[0] + 0.5) / shape[1], (point[1] + 0.5) / shape[0]
    slack = 0.5 / min(shape[:2])
    return region.x0 - slack <= x <= region.x1 + slack and region.y0 - slack <= y <= region.y1 + slack


@pytest.mark.parametrize("kwargs", [{"eps": 0.7}, {"eps": 8.0, "minimal": True}, {"eps": 3.0, "max_iter": 6}])
def test_the_peak_in_the_file_is_where_the_record_says(
    cropper: PyTorchSaliencyRegressor,
    photos: NDArray[np.uint8],
    written: Callable[[Array], list[Path]],
    kwargs: dict[str, Any],
) -> None:
    photos = photos[:1] if kwargs.get("minimal") else photos
    attack, x = SaliencyPeakFGM(cropper, **kwargs), unit_range(photos)
    adversarial = attack.generate(x, LEFT)
    for path, photo, record in zip(written(adversarial), photos, attack.results, strict=True):
        read = np.asarray(Image.open(path)).astype(np.int64)
        assert in_region(cropper.predict_file(path).salient_point, LEFT, photo.shape) == record.success
        l2 = np.sqrt(((read - photo) ** 2).sum()) / 255
        assert record.l2 == pytest.approx(l2, rel=1e-4)
        assert l2 <= kwargs["eps"] * (1 + 1e-6)
    assert not any(record.success_before for record in attack.results)
    if kwargs["eps"] > 1:
        assert all(record.success for record in attack.results)


def test_the_crops_of_the_file_show_the_region(
    cropper: PyTorchSaliencyRegressor, photos: NDArray[np.uint8], written: Callable[[Array], list[Path]]
) -> None:
    region, ratios = Region(0.02, 0.55, 0.27, 0.7), (0.56, 1.0, 2.0)
    attack = SaliencyPeakFGM(cropper, eps=20.0, minimal=True, ratios=ratios)
    paths = written(attack.generate(unit_range(photos[:1]), region))
    height, width = photos.shape[1:3]
    for path, record in zip(paths, attack.results, strict=True):
        for window in cropper.predict_file(path, ratios).crops:
            assert window.left <= region.x0 * width
            assert window.top <= region.y0 * height
            assert window.left + window.width >= region.x1 * width
            assert window.top + window.height >= region.y1 * height
        assert (record.success, record.success_before) == (True, False)


@pytest.mark.slow
def test_the_smallest_is_smaller_than_one_steps_and_noises(
    cropper: PyTorchSaliencyRegressor, photos: NDArray[np.uint8]
) -> None:
    """The papers' claim: at most 0.375 of the noise baselines; and less than one FGM step."""
    x = unit_range(photos)[:1]
    sizes = {}
    for name, attack in {
        "ours": SaliencyPeakFGM(cropper, eps=30.0, minimal=True, max_iter=4),
        "fgm": SaliencyPeakFGM(cropper, eps=30.0, minimal=True, max_iter=1),
        "noise": GaussianNoise(cropper, eps=30.0, minimal=True),
    }.items():
        attack.generate(x, LEFT, mask=band_mask([LEFT], x.shape[2:]) if name == "noise" else None)
        (record,) = attack.results
        sizes[name] = record.l2 if record.success else np.inf
    assert sizes["ours"] < 0.9 * sizes["fgm"]
    assert sizes["ours"] < 0.375 * sizes["noise"]


@pytest.mark.parametrize("eps", [0.4, 6.0])
def test_nothing_outside_a_mask_that_cuts_through_halved_blocks(
    cropper: PyTorchSaliencyRegressor, photos: NDArray[np.uint8], eps: float
) -> None:
    x = unit_range(photos[:1])
    mask = np.zeros(x.shape[2:], np.float32)
    mask[101:301, 33:207] = 1
    mask[::7, ::5] = 0
    for kind in (None, "grad-cam"):
        change = SaliencyPeakFGM(cropper, eps=eps, max_iter=2, mask=kind).generate(x, LEFT, mask=mask) - x  # type: ignore[arg-type]
        assert not change[:, :, mask == 0].any()
        assert change[:, :, mask == 1].any()


def test_alone_and_in_a_batch(cropper: PyTorchSaliencyRegressor, photos: NDArray[np.uint8]) -> None:
    x = unit_range(photos)
    attack = SaliencyPeakFGM(cropper, eps=[0.5, 2.0], max_iter=2)
    together = attack.generate(x, [LEFT, Region(0.6, 0.5, 1, 1)])
    attack.set_params(eps=2.0)
    alone = attack.generate(x[1:], Region(0.6, 0.5, 1, 1))
    assert np.array_equal(alone[0], together[1])


@pytest.mark.parametrize("minimal", [False, True])
@pytest.mark.parametrize("ratios", [None, (0.56, 1.0)])
def test_the_search_at_the_halved_size_tells_the_truth_about_the_photo(
    cropper: PyTorchSaliencyRegressor, photos: Array, minimal: bool, ratios: Any
) -> None:
    """Norms and success of the record, against the full photo; and the same from pixels as from floating point."""
    region = Region(0.1, 0.5, 0.3, 0.7)
    objective: Any = PeakInRegion([region]) if ratios is None else CropContainsRegion([region], ratios)
    assert cropper.halvings((641, 427)) == 1
    attack = SaliencyPeakFGM(cropper, eps=8.0 if minimal else 1.5, max_iter=2, minimal=minimal, ratios=ratios)
    for pixels in photos:
        x = unit_range(pixels[None])
        found = attack.generate(x, region)
        (record,) = attack.results
        change = np.rint(found[0].transpose(1, 2, 0) * 255).astype(int) - pixels
        assert record.l2 == pytest.approx(np.sqrt((change**2).sum()) / 255, rel=1e-4)
        assert record.linf == pytest.approx(np.abs(change).max() / 255, rel=1e-4)
        assert record.l2 <= attack.eps * (1 + 1e-5)
        assert (record.l2 == 0) == (minimal and record.success_before)
        seen = cropper.evaluate(found, objective)
        assert record.success == bool(seen.success)
        assert record.loss == pytest.approx(float(seen.loss), abs=1e-4)
        assert record.success_before == bool(cropper.evaluate(x, objective).success)
        levels = attack.generate_levels(pixels, region)
        assert np.array_equal(levels, pixels + change)
        again = attack.results[0]
        assert (again.success, again.gradients, again.queries, again.curve) == (
            record.success,
            record.gradients,
            record.queries,
            record.curve,
        )
        assert again.l2 == pytest.approx(record.l2, rel=1e-4)
