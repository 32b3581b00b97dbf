"""Photos and teachers: what they give, and one sentence where they cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.training.sources import callable_teacher, estimator_teacher, import_callable, training_photos


def levels(count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 24, 32), generator=generator).to(torch.uint8)


class TestPhotos:
    def test_a_folder(self, tmp_path: Path) -> None:
        for name, size in (("b.png", (700, 350)), ("a.jpg", (40, 60))):
            Image.new("RGB", size, "red").save(tmp_path / name)
        seen: list[int] = []
        found = training_photos([tmp_path], progress=lambda items, count: seen.append(count) or items)  # type: ignore[func-returns-value]
        assert [photo.image.size for photo in found] == [(40, 60), (560, 280)]
        assert all(photo.fixations is None and photo.image.mode == "RGB" for photo in found)
        assert seen == [2]

    def test_fixations_become_fractions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Item:
            fixations = np.array([[0.0, 0.0], [799.0, 599.0], [399.5, 299.5]], np.float32)

            def load(self) -> Any:
                return np.zeros((600, 800, 3), np.uint8)

        class Dataset:
            def __init__(self, root: object) -> None:
                self.train, self.held_out = [Item()], [Item(), Item()]

        monkeypatch.setattr("art_crop.datasets.osie.OSIE", Dataset)
        (photo,) = training_photos([], "anywhere")
        assert photo.image.size == (560, 420)
        assert photo.fixations == pytest.approx(
            np.array([[0.5 / 800, 0.5 / 600], [1 - 0.5 / 800, 1 - 0.5 / 600], [0.5, 0.5]])
        )

    @pytest.mark.slow
    def test_the_held_out_fifth_is_left_out(self, osie_root: Path) -> None:
        from art_crop.datasets.osie import OSIE

        found = training_photos([], osie_root)
        assert len(found) == 560
        first = np.asarray(OSIE(osie_root).train[0].fixations)
        assert found[0].fixations == pytest.approx((first + 0.5) / (800, 600))

    def test_what_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError):
            training_photos([tmp_path / "missing"])
        (tmp_path / "broken.png").write_bytes(b"no photo")
        with pytest.raises(ImageFileError, match="broken"):
            training_photos([tmp_path])


class TestEstimators:
    def test_a_log_density(self, tiny: Any) -> None:
        estimator = tiny.saliency_estimator()
        expected = estimator.predict(levels(5).numpy().astype(np.float32) / 255)
        labels = estimator_teacher(estimator, at_once=2)(levels(5))
        assert labels.shape == expected.shape
        assert labels.float().numpy() == pytest.approx(expected, abs=0.05)  # bfloat16
        assert np.corrcoef(labels.float().numpy().ravel(), expected.ravel())[0, 1] > 0.999

    def test_a_density_becomes_its_logarithm(self, tiny: Any) -> None:
        class Square(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x.mean(1)[:, ::4, ::4].clamp_min(0) ** 2

        estimator = type(tiny.saliency_estimator())(Square(), log_density=False, device="cpu")
        labels = estimator_teacher(estimator)(levels()).exp()
        density = estimator.predict(levels().numpy().astype(np.float32) / 255)
        assert labels.numpy() == pytest.approx(density / density.max((1, 2), keepdims=True), abs=0.02)

    def test_another_range_of_pixels(self, tiny: Any) -> None:
        plain = estimator_teacher(tiny.saliency_estimator())(levels())
        wide = estimator_teacher(tiny.saliency_estimator(clip_values=(0, 255), preprocessing=(0.0, 255.0)))(levels())
        assert wide.float().numpy() == pytest.approx(plain.float().numpy(), abs=0.02)

    def test_models_of_other_things(self, tiny: Any) -> None:
        with pytest.raises(InvalidInputError, match="saliency model"):
            estimator_teacher(tiny.quality_estimator())


class TestFunctions:
    def test_what_it_is_asked(self) -> None:
        asked = []

        def cropper(x: Any) -> Any:
            asked.append(x)
            return x.mean(1)

        callable_teacher(cropper)(levels())
        assert asked[0].dtype == np.float32
        assert asked[0] == pytest.approx(levels().numpy() / 255)

    def test_densities_and_logarithms(self) -> None:
        density = np.array([[[4.0, 1.0], [0.0, 2.0]]])
        teach = callable_teacher(lambda x: density)
        assert teach(levels(1)).exp().numpy()[0] == pytest.approx(np.array([[1, 0.25], [1e-4, 0.5]]))
        log = callable_teacher(lambda x: density.tolist(), gives="log-density")
        assert log(levels(1)).tolist() == density.tolist()
        assert callable_teacher(lambda x: torch.zeros(1, 2, 2))(levels(1)).numpy() == pytest.approx(np.log(1e-4))

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (np.zeros((3, 4)), r"maps of shape \(3, h, w\)"),
            (np.zeros((2, 4, 5)), r"not \(2, 4, 5\)"),
            (np.zeros((3, 1, 4, 5)), "maps of shape"),
            (np.zeros((3, 0, 5)), "maps of shape"),
            (np.full((3, 4, 5), np.nan), "finite"),
            (np.full((3, 4, 5), -0.1), "log-density"),
            (None, "maps"),
            ("maps", "array"),
            ([[1], [1, 2]], "array"),
        ],
    )
    def test_answers_that_are_no_maps(self, answer: Any, message: str) -> None:
        with pytest.raises(InvalidInputError, match=f"teacher.*{message}"):
            callable_teacher(lambda x: answer)(levels())

    def test_by_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "my_cropper_for_tests.py").write_text("def saliency(x):\n    return x.mean(1)\n\nnumber = 3\n")
        monkeypatch.syspath_prepend(tmp_path)
        function = import_callable("my_cropper_for_tests:saliency")
        assert function(np.ones((1, 3, 2, 2))).shape == (1, 2, 2)
        bad = {
            "my_cropper_for_tests": "module:function",
            ":saliency": "module:function",
            "my_cropper_for_tests:": "module:function",
            "my_cropper_for_tests:other": "cannot be imported",
            "no_such_module_at_all:f": "cannot be imported",
            ".relative:f": "cannot be imported",
            "my_cropper_for_tests:number": "not callable",
        }
        for target, message in bad.items():
            with pytest.raises(InvalidInputError, match=f"teacher.*{message}"):
                import_callable(target)
        sys.modules.pop("my_cropper_for_tests")
