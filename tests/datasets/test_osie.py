from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import gaussian_filter

from art_crop.datasets.osie import OSIE, SIZE, OSIEItem, fixation_density, gaussian_density
from art_crop.errors import InvalidInputError
from art_crop.metrics.saliency import auc_judd, cc, nss


@pytest.fixture(scope="module")
def osie(osie_root: Path) -> OSIE:
    return OSIE(osie_root)


def item_with(*points: tuple[float, float]) -> OSIEItem:
    return OSIEItem("x.jpg", Path("x.jpg"), (np.array(points, dtype=float).reshape(-1, 2),))


def test_photos_and_fixations_are_those_of_the_data_set(osie: OSIE) -> None:
    assert len(osie) == 700
    assert [osie[0].name, osie[-1].name] == ["1001.jpg", "1700.jpg"]
    assert sum(len(item.fixations) for item in osie) == 98321
    assert all(len(item.by_subject) == 15 for item in osie)
    np.testing.assert_array_equal(osie[7].load(), np.asarray(Image.open(osie[7].path)))
    assert osie[7].load().shape == (SIZE[1], SIZE[0], 3)
    assert osie[7].size == SIZE


def test_fixations_count_pixels_from_zero(osie: OSIE) -> None:
    """The file's first observer of photo 1001 starts at x = 395.5, counted from 1."""
    assert osie[0].by_subject[0][:4, 0].tolist() == pytest.approx([394.5, 389.6, 369.8, 340.2])
    everything = np.concatenate([item.fixations for item in osie])
    assert (everything >= 0).all()
    assert (everything <= np.array(SIZE) - 1).all()


def test_every_fifth_photo_is_held_out(osie: OSIE) -> None:
    assert len(osie.held_out) == 140
    assert len(osie.train) == 560
    assert [item.name for item in osie.held_out[:3]] == ["1001.jpg", "1006.jpg", "1011.jpg"]
    assert not {item.name for item in osie.held_out} & {item.name for item in osie.train}


def test_density_is_scipys_gaussian_filter() -> None:
    """Away from the border, the integral over pixels of a Gaussian is its filter's output (sigma 24 is wide)."""
    points = [(400.0, 300.0), (250.0, 280.0), (520.0, 330.0)]
    impulses = np.zeros((600, 800))
    for x, y in points:
        impulses[int(y), int(x)] += 1 / 3
    filtered = gaussian_filter(impulses, 24.0, truncate=8, mode="constant")
    density = fixation_density(item_with(*points))
    np.testing.assert_allclose(density, filtered, atol=2e-4 * filtered.max())
    assert density.dtype == np.float32


def test_density_near_the_border_is_scaled_to_sum_one() -> None:
    density = fixation_density(item_with((0.0, 0.0)))
    assert density.sum(dtype=np.float64) == pytest.approx(1, abs=1e-5)
    assert density[0, 0] == density.max()
    assert fixation_density(item_with((0.2, 599.0)), sigma_px=0.01)[599, 0] == 1


def test_a_smaller_density_holds_the_mass_of_the_larger(osie: OSIE) -> None:
    full = fixation_density(osie[2])
    small = fixation_density(osie[2], size=(50, 60))
    assert small.shape == (60, 50)
    np.testing.assert_allclose(small, full.reshape(60, 10, 50, 16).sum(axis=(1, 3)), atol=1e-6)


def test_density_of_many_points_is_the_mean_of_its_parts() -> None:
    points = np.random.default_rng(0).random((6000, 2)) * (79, 59) + (360, 270)
    whole = gaussian_density(points, SIZE, sigma_px=24, size=(80, 60))
    parts = [gaussian_density(part, SIZE, sigma_px=24, size=(80, 60)) for part in (points[:3000], points[3000:])]
    np.testing.assert_allclose(whole, (parts[0] + parts[1]) / 2, atol=1e-7)


def test_people_are_predicted_by_their_own_density_and_hardly_by_the_centre(osie: OSIE) -> None:
    """Known figures on the held-out photos: a Gaussian at the centre has NSS 0.76 and AUC-Judd 0.72."""
    y, x = np.mgrid[:600, :800].astype(np.float32)
    centre = np.exp(-((x - 399.5) ** 2 + (y - 299.5) ** 2) / (2 * 150**2))
    some = osie.held_out[::3]
    scores = np.array([(nss(centre, item.fixations), auc_judd(centre, item.fixations)) for item in some])
    assert scores.mean(axis=0) == pytest.approx([0.76, 0.72], abs=0.06)
    own = fixation_density(some[0])
    assert nss(own, some[0].fixations) > 2.5
    assert auc_judd(own, some[0].fixations) > 0.9


def test_half_of_the_observers_predict_the_other_half(osie: OSIE) -> None:
    """Independent of any model: what two groups of people agree on lies far above the centre bias."""
    scores = []
    for item in osie.held_out[::14]:
        one, other = (np.concatenate(item.by_subject[part]) for part in (slice(0, 15, 2), slice(1, 15, 2)))
        first, second = (gaussian_density(group, SIZE, sigma_px=24, size=SIZE) for group in (one, other))
        scores.append((nss(first, other), auc_judd(first, other), cc(first, second)))
    assert (np.mean(scores, axis=0) > (2.2, 0.85, 0.75)).all()


@pytest.mark.parametrize(
    ("item", "arguments", "message"),
    [
        (item_with(), {}, "points must be finite, of shape"),
        (item_with((4, 4)), {"sigma_px": 0}, "sigma_px must be positive"),
        (item_with((4, 4)), {"sigma_px": float("nan")}, "sigma_px must be positive"),
        (item_with((4, 4)), {"size": (0, 4)}, "size must be a width and a height"),
        (item_with((9000, 4)), {}, "points must have mass on the 800 x 600 photo"),
    ],
)
def test_bad_densities_are_refused_by_name(item: OSIEItem, arguments: dict, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        fixation_density(item, **arguments)


def write_set(root: Path, *, name: str = "1.jpg", x: object = 1.0) -> Path:
    (root / "stimuli").mkdir()
    Image.new("RGB", SIZE).save(root / "stimuli" / "1.jpg")
    subjects = np.array([{"fix_x": x, "fix_y": 5.0}, {"fix_x": [3.0, 4.0], "fix_y": [5.0, 6.0]}], dtype=object)
    savemat(root / "fixations.mat", {"fixations": np.array([{"img": name, "subjects": subjects}], dtype=object)})
    return root


def test_a_set_of_one_photo_with_a_single_fixation(tmp_path: Path) -> None:
    item = OSIE(write_set(tmp_path))[0]
    assert [positions.tolist() for positions in item.by_subject] == [[[0.0, 4.0]], [[2.0, 4.0], [3.0, 5.0]]]


def test_damaged_sets_are_refused_in_one_sentence(tmp_path: Path, osie_root: Path) -> None:
    with pytest.raises(InvalidInputError, match="root must be an existing folder"):
        OSIE(tmp_path / "absent")
    with pytest.raises(InvalidInputError, match=r"root must hold the folder stimuli and the file fixations\.mat"):
        OSIE(tmp_path)
    cases = {"missing": {"name": "2.jpg"}, "outside": {"name": "../1.jpg"}, "infinite": {"x": np.inf}}
    for case, change in cases.items():
        (tmp_path / case).mkdir()
        with pytest.raises(InvalidInputError, match="root must hold"):
            OSIE(write_set(tmp_path / case, **change))  # type: ignore[arg-type]
    data = (osie_root / "fixations.mat").read_bytes()
    for content in (b"", b"MATLAB 5.0 MAT-file", data[:5000], b"\x00" * 500):
        (tmp_path / "infinite" / "fixations.mat").write_bytes(content)
        with pytest.raises(InvalidInputError, match=r"root must hold OSIE's fixations\.mat"):
            OSIE(tmp_path / "infinite")
