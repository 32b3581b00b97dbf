"""Facts for a report's pictures, against means taken by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from art_crop.bench.facts import facts_of


def case_of(keep_images: bool, log_density: bool) -> Any:
    recipe = SimpleNamespace(keep_images=keep_images)
    scored = SimpleNamespace(rule=SimpleNamespace(log_density=log_density))
    return SimpleNamespace(place=SimpleNamespace(recipe=recipe), scored=scored)


def seen_of(saliency: Any) -> Any:
    return SimpleNamespace(saliency_map=saliency, salient_point=(3, 4), crops=[(1, 2, 30, 40)], symmetric=False)


def test_maps_are_facts_only_where_photos_are_kept() -> None:
    seen = seen_of(np.zeros((3, 4), np.float32))
    facts = facts_of(case_of(False, True), seen, seen)
    assert not [name for name in facts if name.startswith("saliency")]
    assert facts["salient_point_before"] == [3, 4]
    assert facts["crops_after"] == [[1, 2, 30, 40]]


@pytest.mark.parametrize("log_density", [True, False])
def test_levels_are_means_of_the_density(log_density: bool) -> None:
    density = np.random.default_rng(0).uniform(0.1, 1, (30, 64)).astype(np.float32)
    fine = np.kron(density, np.ones((2, 4), np.float32))  # 60 rows stay, 256 columns become 64
    before, after = (seen_of(np.log(m) if log_density else m) for m in (density, fine))
    facts = facts_of(case_of(True, log_density), before, after)
    small, large = (np.array(facts[f"saliency_{when}"]) for when in ("before", "after"))
    wanted = density.astype(float) if log_density else density.astype(float) - density.min()
    assert small.shape == (30, 64)
    assert np.abs(small - 255 * wanted / wanted.max()).max() <= 0.51
    assert large.shape == (60, 64)
    assert np.abs(large[::2] - small).max() <= 1


def test_an_empty_map_has_no_saliency() -> None:
    seen = seen_of(np.zeros((2, 2), np.float32))
    assert facts_of(case_of(True, False), seen, seen)["saliency_before"] == [[0, 0], [0, 0]]
