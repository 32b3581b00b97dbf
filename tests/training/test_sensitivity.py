"""Training where people look: which photos are for what, that it learns, and that it can be repeated and resumed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import gaussian_filter
from skimage import data

from art_crop.errors import InvalidInputError
from art_crop.training.sensitivity import (
    Parts,
    Sampler,
    SeenPhotos,
    SensitivityTraining,
    held_out_errors,
    osie_parts,
    predicted_maps,
    train_sensitivity,
)

pytestmark = pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")


def small_osie(root: Path, count: int = 20) -> Path:
    """A set of its layout: small photos, each looked at in one place by two people."""
    (root / "stimuli").mkdir(parents=True)
    rng, photos = np.random.default_rng(0), []
    for k in range(count):
        left = int(rng.integers(300))
        Image.fromarray(data.coffee()[left : left + 60, left : left + 80]).save(root / "stimuli" / f"{k}.png")
        x, y = 50 + 700 * rng.random(), 50 + 500 * rng.random()
        subjects = np.array([{"fix_x": [x, x + 5], "fix_y": [y, y]}, {"fix_x": x, "fix_y": y + 9}], dtype=object)
        photos.append({"img": f"{k}.png", "subjects": subjects})
    savemat(root / "fixations.mat", {"fixations": np.array(photos, dtype=object)})
    return root


def spots(count: int, seed: int) -> SeenPhotos:
    """Grey photos of 32x32 with a bright square in one of four corners, at which people look."""
    rng = np.random.default_rng(seed)
    levels, maps = torch.full((count, 3, 32, 32), 90, dtype=torch.uint8), torch.zeros(count, 120, 160)
    for k, corner in enumerate(rng.integers(4, size=count)):
        y, x = divmod(int(corner), 2)
        levels[k, :, 16 * y : 16 * y + 16, 16 * x : 16 * x + 16] = 250
        maps[k, 60 * y : 60 * y + 60, 80 * x : 80 * x + 80] = 1
    return SeenPhotos(levels, maps)


def settings(**kwargs: Any) -> SensitivityTraining:
    return SensitivityTraining(**{"epochs": 2, "batch_size": 4, "long_side": 32, **kwargs})


def test_the_parts_are_osies_and_do_not_meet(tmp_path: Path) -> None:
    parts = osie_parts(small_osie(tmp_path / "osie"), 32)
    assert [len(part.levels) for part in parts] == [14, 2, 4]
    assert parts.learnt.levels.shape == (14, 3, 32, 32)
    assert parts.learnt.maps.shape == (14, 120, 160)
    # Held out: 0, 5, 10, 15. Of the others, in their order, the first and the ninth validate: 1 and 11.
    first = np.asarray(Image.open(tmp_path / "osie" / "stimuli" / "1.png"), np.float64).mean((0, 1))
    np.testing.assert_allclose(parts.validation.levels[0].double().mean((1, 2)).numpy(), first, atol=2)
    kept = {tuple(levels.flatten().tolist()) for part in parts for levels in part.levels}
    assert len(kept) == 20
    with pytest.raises(InvalidInputError, match="photos enough"):
        osie_parts(small_osie(tmp_path / "few", count=2), 32)


def test_maps_are_blurred_fixations_from_0_to_1(osie_root: Path) -> None:
    from art_crop.datasets.osie import OSIE
    from art_crop.models.sensitivity import FCNVGG16
    from art_crop.training.sensitivity import _seen

    item = OSIE(osie_root)[3]
    with torch.device("meta"):
        net = FCNVGG16(long_side=64)
    levels, found = _seen(net, item)
    counts = np.zeros((600, 800))
    for x, y in np.rint(item.fixations).astype(int):
        if 0 <= x < 800 and 0 <= y < 600:
            counts[y, x] += 1
    blurred = gaussian_filter(counts, 24, mode="constant").reshape(120, 5, 160, 5).mean((1, 3))
    assert float(found.max()) == 1
    assert np.abs(found.numpy() - blurred / blurred.max()).max() < 0.02
    assert levels.shape == (3, 48, 64)


def test_an_epoch_sees_each_photo_once_and_mirrors_its_map_with_it() -> None:
    photos = spots(10, 0)
    photos.levels[:, 0, 0, 0] = torch.arange(10, dtype=torch.uint8)
    photos.levels[:, 0, 0, 31] = torch.arange(10, dtype=torch.uint8)
    sampler = Sampler(photos, batch_size=4, epochs=2, seed=3)
    batches = [sampler[k] for k in range(len(sampler))]
    assert [len(batch.levels) for batch in batches] == [4, 4, 2] * 2
    orders = [[int(v) for batch in part for v in batch.levels[:, 0, 0, 0]] for part in (batches[:3], batches[3:])]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))
    assert orders[0] != orders[1]
    turned = 0
    for batch in batches:
        for levels, wanted in zip(batch.levels, batch.maps, strict=True):
            assert torch.equal(levels[1, 8::16, 8::16] > 200, wanted[30::60, 40::80] > 0.5)
            turned += not torch.equal(wanted, photos.maps[int(levels[0, 0, 0])])
    assert 0 < turned < 20
    assert int(photos.levels[:, 1].float().mean()) == int(spots(10, 0).levels[:, 1].float().mean())


def test_it_learns_where_the_square_is_and_keeps_the_best_epoch() -> None:
    learnt, validation, held_out = spots(24, 0), spots(8, 1), spots(12, 2)
    figures: list[dict[str, float]] = []
    wanted = settings(epochs=6, batch_size=8, learning_rate=3e-4)
    trained = train_sensitivity(learnt, validation, wanted, report=figures.append)
    errors = held_out_errors(trained.net, Parts(learnt, validation, held_out))
    means = {name: float(error.mean()) for name, error in errors.items()}
    assert means["network"] < 0.7 * min(means["constant predictor"], means["mean training map"])
    level = learnt.maps.double().mean()
    assert means["constant predictor"] == pytest.approx(float((held_out.maps - level).square().mean()), rel=1e-4)
    assert means["mean training map"] == pytest.approx(
        float((held_out.maps - learnt.maps.double().mean(0)).square().mean()), rel=1e-4
    )
    by_epoch = [row["validation"] for row in figures]
    assert trained.error == min(by_epoch)
    assert trained.epoch == 1 + by_epoch.index(min(by_epoch)) == figures[-1]["best"]
    again = (predicted_maps(trained.net, validation.levels) - validation.maps).square().mean()
    assert float(again) == pytest.approx(trained.error, rel=1e-4)
    assert [row["step"] for row in figures] == [3 * k for k in range(1, 7)]


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    learnt, validation = spots(8, 0), spots(4, 1)
    state = torch.get_rng_state()
    whole = train_sensitivity(learnt, validation, settings())
    assert torch.equal(torch.get_rng_state(), state)
    wanted = settings(checkpoint=tmp_path / "run.checkpoint", checkpoint_every=2)

    def stop(batches: Any, total: int, done: int) -> Any:
        for number, batch in enumerate(batches):
            if number == 3:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        train_sensitivity(learnt, validation, wanted, progress=stop)
    resumed = train_sensitivity(learnt, validation, wanted)
    assert (resumed.epoch, resumed.error) == (whole.epoch, whole.error)
    ours = resumed.net.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in whole.net.state_dict().items())
    with pytest.raises(InvalidInputError, match="another seed"):
        train_sensitivity(learnt, validation, settings(checkpoint=tmp_path / "run.checkpoint", seed=1))


def test_bad_settings_are_named() -> None:
    photos = spots(4, 0)
    for change, said in (
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"long_side": 4}, "long"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            train_sensitivity(photos, photos, settings(**change))
    with pytest.raises(InvalidInputError, match="learnt"):
        train_sensitivity(SeenPhotos(photos.levels[:0], photos.maps[:0]), photos, settings())
