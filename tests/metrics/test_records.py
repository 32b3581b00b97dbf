from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import art_crop
from art_crop import metrics
from art_crop.plugins import builtin

PHOTO_METRICS = (
    metrics.L2,
    metrics.LINF,
    metrics.PSNR,
    metrics.SSIM,
    metrics.CIEDE2000_MEAN,
    metrics.CIEDE2000_P95,
)


@pytest.mark.parametrize("record", PHOTO_METRICS, ids=lambda record: record.name)
def test_direction_and_range_of_photo_metrics_hold(record: metrics.MetricRecord, photo: NDArray[np.uint8]) -> None:
    """More noise is worse in the direction that the record states, and every value is in its range."""
    noise = np.random.default_rng(0).normal(0, 1, photo.shape)
    values = [record(photo, np.clip(np.rint(photo + s * noise), 0, 255).astype(np.uint8)) for s in (2, 8, 32)]
    worse = np.diff(values) * (-1 if record.direction == "higher" else 1)
    assert (worse > 0).all()
    assert all(record.range[0] <= value <= record.range[1] for value in values)


def test_range_ends_of_photo_metrics_are_reached() -> None:
    black, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    assert metrics.LINF(black, white) == metrics.LINF.range[1]
    assert metrics.PSNR(black, white) == metrics.PSNR.range[0]
    assert metrics.PSNR(black, black) == metrics.PSNR.range[1]
    assert metrics.SSIM(black, black) == metrics.SSIM.range[1]


def test_direction_of_saliency_metrics_holds() -> None:
    rng = np.random.default_rng(1)
    spots = np.zeros((60, 80))
    fixations = np.stack([rng.integers(10, 40, 30), rng.integers(10, 50, 30)], axis=1).astype(float)
    for x, y in fixations.astype(int):
        spots[y, x] += 1
    density = gaussian_filter(spots, 4) + 1e-9
    good, bad = gaussian_filter(spots, 6) + 1e-9, density[::-1, ::-1] + 1e-9
    for record in (metrics.NSS, metrics.AUC_JUDD, metrics.CC, metrics.KLD, metrics.SIM):
        truth: Any = fixations if record in (metrics.NSS, metrics.AUC_JUDD) else density
        better, worse = record(good, truth), record(bad, truth)
        assert (better > worse) == (record.direction == "higher"), record.name
        assert record.range[0] <= min(better, worse) <= max(better, worse) <= record.range[1]


def test_every_record_has_its_own_name_and_cannot_be_changed() -> None:
    assert len(metrics.METRICS) == sum(isinstance(value, metrics.MetricRecord) for value in vars(metrics).values())
    for name, record in metrics.METRICS.items():
        assert record.name == name
        assert record.range[0] < record.range[1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        metrics.L2.unit = "grey levels"  # type: ignore[misc]
    with pytest.raises(TypeError):
        metrics.METRICS["l2"] = metrics.PSNR  # type: ignore[index]


@pytest.mark.parametrize("name", [spec.name for spec in builtin.art_crop_metrics()])
def test_the_plugin_table_names_these_records(name: str) -> None:
    record = art_crop.load_metric(name)
    assert record.name == name
    # What weights pixels by a model's answer lies with the attack that does the same.
    assert record is metrics.METRICS.get(name) or name == "sensitivity-l2"


def test_importing_the_table_costs_neither_torch_nor_scipy() -> None:
    script = (
        "import sys, art_crop.metrics; print([m for m in ('torch', 'art', 'scipy', 'skimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
