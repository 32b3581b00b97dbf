"""pyiqa's PIQE on a real photo, and what happens around metrics that need weights."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art_crop_pyiqa import notice
from art_crop_pyiqa.loading import metric_table
from art_crop_pyiqa.model import _stated_range
from skimage import data

import art_crop
from art_crop.errors import DownloadError, InvalidInputError, WeightsError
from art_crop.models.torchvision_import import import_torchvision

import_torchvision()


@pytest.fixture(scope="module")
def x() -> Any:
    return np.ascontiguousarray(data.coffee()[:224, :320].transpose(2, 0, 1)[None], np.float32) / 255


@pytest.fixture(autouse=True)
def accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(notice.VARIABLE, "accepted")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pyiqa's folder of weights, empty."""
    from pyiqa.utils import download_util

    monkeypatch.setattr(download_util, "DEFAULT_CACHE_DIR", str(tmp_path))
    return tmp_path


def cnniqa_file() -> tuple[str, dict[str, torch.Tensor]]:
    """Name of CNNIQA's weight file, and random weights in its layout."""
    from pyiqa.archs.cnniqa_arch import CNNIQA, default_model_urls

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        state = CNNIQA(pretrained=None).state_dict()
    return default_model_urls["koniq10k"].rpartition("/")[2], state


def test_it_is_listed_with_its_licence_and_listing_imports_neither_torch_nor_pyiqa() -> None:
    records = [r for r in art_crop.list_plugins() if r.name == "pyiqa"]
    assert [r.distribution for r in records] == ["art-crop-pyiqa"]
    assert "non-commercial" in records[0].summary
    code = "import sys, art_crop; art_crop.list_plugins(); print({'torch', 'pyiqa'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_the_licence_is_told_once_before_pyiqa_is_imported() -> None:
    code = (
        "import sys, warnings, art_crop\n"
        "seen = []\n"
        "def show(message, category, *rest): seen.append((category.__name__, 'pyiqa' in sys.modules, str(message)))\n"
        "warnings.showwarning = show\n"
        "warnings.simplefilter('always')\n"
        "for _ in range(2): art_crop.load_model('pyiqa', metric='piqe')\n"
        "told = [s for s in seen if s[0] == 'LicenceNotice']\n"
        "assert len(told) == 1 and not told[0][1] and 'non-commercial' in told[0][2], seen\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != notice.VARIABLE}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_who_accepted_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "_given", False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", notice.LicenceNotice)
        notice.give_notice()


def test_piqe_is_pyiqas_own_number_on_a_scale_of_pyiqas_own(x: Any) -> None:
    import pyiqa

    estimator = art_crop.load_model("pyiqa", metric="piqe")
    expected = pyiqa.create_metric("piqe", device="cpu")(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(estimator.predict(x), expected)
    assert estimator.score_range == (0, 100)
    assert estimator.higher_is_better is False
    assert estimator.query_count == 1


def test_piqe_calls_blocks_of_noise_worse_than_the_photo(x: Any) -> None:
    # Venkatanath et al. 2015: blocking and noise in active blocks raise the score.
    blocky = x.reshape(1, 3, 28, 8, 40, 8).mean((3, 5), keepdims=True).repeat(8, 3).repeat(8, 5).reshape(x.shape)
    estimator = art_crop.load_model("pyiqa", metric="piqe")
    assert estimator.predict(blocky)[0] > estimator.predict(x)[0]


def test_other_ranges_and_layouts_give_the_same_score(x: Any) -> None:
    expected = art_crop.load_model("pyiqa", metric="piqe").predict(x)
    levels = art_crop.load_model("pyiqa", metric="piqe", clip_values=(0, 255)).predict(x * 255)
    last = art_crop.load_model("pyiqa", metric="piqe", channels_first=False).predict(
        np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    )
    np.testing.assert_allclose(levels, expected, atol=1e-3)
    np.testing.assert_array_equal(last, expected)


def test_why_piqe_is_asked_only(x: Any) -> None:
    # pyiqa's own gradient, for a photo that is not flat: exactly 0 everywhere.
    import pyiqa

    photo = torch.from_numpy(x).requires_grad_()
    score = pyiqa.create_metric("piqe", as_loss=True, device="cpu")(photo)
    (gradient,) = torch.autograd.grad(score.sum(), photo)
    assert not gradient.any()
    with pytest.raises(InvalidInputError, match="rounds"):
        art_crop.load_model("pyiqa", metric="piqe", gradients=True)


def test_a_query_attack_of_art_changes_piqe(x: Any) -> None:
    from art.attacks.evasion import SquareAttack

    square = np.ascontiguousarray(x[..., 48:144, 96:192])
    estimator = art_crop.load_model("pyiqa", metric="piqe", input_shape=(3, 96, 96))
    before = estimator.predict(square)
    np.random.seed(0)  # noqa: NPY002  ART draws from the global state
    found = SquareAttack(
        estimator,
        eps=0.05,
        max_iter=40,
        adv_criterion=lambda prediction, y: prediction < 0,
        loss=lambda x, y: estimator.predict(x),
        verbose=False,
    ).generate(square.copy(), before)
    assert estimator.predict(found)[0] < before[0]
    assert np.abs(found - square).max() <= 0.05 + 1e-6
    assert estimator.query_count > 40


def test_missing_weights_name_the_file_and_its_place(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyiqa.archs import cnniqa_arch

    name, _ = cnniqa_file()
    monkeypatch.setitem(cnniqa_arch.default_model_urls, "koniq10k", f"https://127.0.0.1:9/{name}")
    with pytest.raises(DownloadError) as caught:
        art_crop.load_model("pyiqa", metric="cnniqa")
    assert f"https://127.0.0.1:9/{name}" in str(caught.value)
    assert f"put the file at {cache / name}" in str(caught.value)
    monkeypatch.setitem(cnniqa_arch.default_model_urls, "koniq10k", f"http://127.0.0.1:9/{name}")
    with pytest.raises(DownloadError, match="not HTTPS"):
        art_crop.load_model("pyiqa", metric="cnniqa")


def test_missing_files_of_the_hub_are_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DownloadError) as caught:
        art_crop.load_model("pyiqa", metric="topiq_nr")
    for part in ("huggingface.co/timm/resnet50", "`hf download timm/resnet50", str(tmp_path)):
        assert part in str(caught.value)


def test_a_file_put_in_its_place_is_used_and_has_gradients(cache: Path, x: Any) -> None:
    from pyiqa.archs.cnniqa_arch import CNNIQA

    name, state = cnniqa_file()
    torch.save({"params": state}, cache / name)
    estimator = art_crop.load_model("pyiqa", metric="cnniqa")
    bare = CNNIQA(pretrained=None).eval()
    bare.load_state_dict(state)
    with torch.no_grad():
        expected = bare(torch.from_numpy(x)).numpy()[:, 0]
    np.testing.assert_allclose(estimator.predict(x), expected, rtol=1e-5)
    gradient = estimator.loss_gradient(x, estimator.predict(x) + 0.1)
    assert np.abs(gradient).max() > 0
    asked = art_crop.load_model("pyiqa", metric="cnniqa", gradients=False)
    assert not hasattr(asked, "loss_gradient")
    np.testing.assert_allclose(asked.predict(x), expected, rtol=1e-5)


def test_weights_that_run_code_are_refused_and_do_not_run(cache: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(cache / "ran"),)

    name, _ = cnniqa_file()
    torch.save({"params": Evil()}, cache / name)
    with pytest.raises(WeightsError, match="nothing of it was run"):
        art_crop.load_model("pyiqa", metric="cnniqa")
    assert not (cache / "ran").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize(
    ("metric", "named"),
    [
        ("piqee", "piqe"),
        ("lpips", "a reference photo"),
        ("fid", "a set of photos"),
        ("qalign", "runs code"),
        ("pi", "score_range"),
        (3, "metric"),
    ],
)
def test_metrics_that_cannot_be_had_say_why(metric: Any, named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        art_crop.load_model("pyiqa", metric=metric)


def _can_be_read(name: str, stated: str | None) -> bool:
    try:
        low, high = _stated_range(name, stated)
    except InvalidInputError:
        return False
    return low < high


def test_every_stated_range_but_the_open_ones_can_be_read() -> None:
    ranges = {k: v.get("score_range") for k, v in metric_table().items() if v.get("metric_mode") == "NR"}
    unread = {name for name, stated in ranges.items() if not _can_be_read(name, stated)}
    assert len(ranges) > 40
    assert unread == {name for name, stated in ranges.items() if not stated or stated.strip().endswith("~")}


def test_photos_that_piqe_cannot_score_are_refused_in_words() -> None:
    estimator = art_crop.load_model("pyiqa", metric="piqe")
    with pytest.raises(InvalidInputError, match="5x4 px"):
        estimator.predict(np.full((1, 3, 4, 5), 0.5, np.float32))
    with pytest.raises(InvalidInputError, match="black"):
        estimator.predict(np.zeros((1, 3, 32, 32), np.float32))
