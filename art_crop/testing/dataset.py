"""Conformance of datasets: a sequence of photos, always in the same order, each read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from art_crop.testing.checks import global_state_kept

__all__ = ["DatasetConformance"]


class DatasetConformance:
    """Subclass it, and give it the dataset as the fixture ``dataset`` (any scope)."""

    loads: ClassVar[int] = 2
    """How many photos are read in each check."""

    @pytest.fixture
    def dataset(self) -> Any:
        """The dataset."""
        pytest.fail(f"{type(self).__name__}: define a pytest fixture `dataset` that returns yours", pytrace=False)

    @pytest.fixture
    def make_dataset(self, dataset: Any) -> Callable[[Path], Any] | None:
        """Makes it from a root, for the errors of a wrong folder; None where a dataset has no folder."""
        return type(dataset) if hasattr(dataset, "root") else None

    def test_it_has_a_length_and_as_many_items(self, dataset: Any) -> None:
        """A sequence."""
        count = len(dataset)
        assert count > 0, "an empty dataset: raise an error that says what is missing instead"
        assert sum(1 for _ in dataset) == count, f"len() says {count}, iteration gives another number of items"

    def test_items_have_names_of_their_own(self, dataset: Any) -> None:
        """Names go into reports: unique, the same everywhere, and of a photo that exists."""
        names = [item.name for item in dataset]
        assert all(isinstance(name, str) and name for name in names), "every item needs a name"
        assert len(set(names)) == len(names), "two items have the same name"
        assert not any("\\" in name or Path(name).is_absolute() for name in names), (
            "names must be relative, with forward slashes, so that reports agree between machines"
        )
        for item in list(dataset)[: self.loads]:
            if hasattr(item, "path"):
                assert Path(item.path).is_file(), f"{item.name}: path {item.path} is no file"

    def test_photos_are_uint8_rgb(self, dataset: Any) -> None:
        """(height, width, 3), whatever the file holds."""
        for item in [dataset[i] for i in range(min(self.loads, len(dataset)))]:
            pixels = item.load()
            assert isinstance(pixels, np.ndarray), f"{item.name}: load() must return numpy, not {type(pixels).__name__}"
            assert pixels.dtype == np.uint8, f"{item.name}: load() must return uint8, not {pixels.dtype}"
            assert pixels.ndim == 3, f"{item.name}: (height, width, 3) is needed, not {pixels.shape}"
            assert pixels.shape[2] == 3, f"{item.name}: (height, width, 3) is needed, not {pixels.shape}"
            assert pixels.size, f"{item.name}: a photo without pixels"
            if hasattr(item, "size"):
                size = (pixels.shape[1], pixels.shape[0])
                assert tuple(item.size) == size, f"{item.name}: size says {item.size}, the photo is {size}"

    def test_a_photo_is_read_afresh_each_time(self, dataset: Any) -> None:
        """What one caller paints on it, the next one must not see."""
        item = dataset[0]
        first = item.load()
        kept = first.copy()
        if first.flags.writeable:
            first[:] = 255 - first
        assert np.array_equal(item.load(), kept), (
            "load() returned what the last caller had changed, or changes by itself"
        )

    def test_the_order_is_always_the_same(self, dataset: Any, make_dataset: Callable[[Path], Any] | None) -> None:
        """Twice the same, by index as by iteration, and in a dataset that is opened anew."""
        names = [item.name for item in dataset]
        assert [item.name for item in dataset] == names, "iterating twice gives another order"
        assert [dataset[i].name for i in range(len(dataset))] == names, "indices give another order than iteration"
        if make_dataset is not None and hasattr(dataset, "root"):
            again = [item.name for item in make_dataset(dataset.root)]
            assert set(again) != set(names) or again == names, "opened anew, the dataset has another order: sort it"

    def test_indices_follow_pythons_rules(self, dataset: Any) -> None:
        """Negative ones and slices; IndexError beyond the end."""
        count, last = len(dataset), [item.name for item in dataset][-1]
        assert dataset[-1].name == last, "dataset[-1] must be the last item"
        assert [item.name for item in dataset[: self.loads]] == [
            dataset[i].name for i in range(min(self.loads, count))
        ], "dataset[:n] must give the first n items"
        for index in (count, -count - 1):
            with pytest.raises(IndexError):
                dataset[index]
        with pytest.raises((TypeError, KeyError, ValueError)):
            dataset["no such photo"]

    def test_fixations_lie_on_the_photo(self, dataset: Any) -> None:
        """Where items have any: float (n, 2), x and y in pixels from 0."""
        for item in [dataset[i] for i in range(min(self.loads, len(dataset)))]:
            if not hasattr(item, "fixations"):
                pytest.skip("no fixations")
            points, pixels = np.asarray(item.fixations), item.load()
            assert points.ndim == 2, f"{item.name}: fixations must be (n, 2), not {points.shape}"
            assert points.shape[1] == 2, f"{item.name}: fixations must be (n, 2), not {points.shape}"
            assert np.issubdtype(points.dtype, np.floating), f"{item.name}: fixations must be float, not {points.dtype}"
            assert np.isfinite(points).all(), f"{item.name}: fixations must be finite"
            size = np.array([pixels.shape[1], pixels.shape[0]])
            on_photo = ((points >= -0.5) & (points < size)).all(1).mean()
            assert on_photo >= 0.9, f"{item.name}: {1 - on_photo:.0%} of the fixations lie off the photo; x, y swapped?"

    def test_reading_leaves_global_state_alone(self, dataset: Any) -> None:
        """No shuffling from global random state."""
        with global_state_kept("reading the dataset"):
            [item.name for item in dataset]
            dataset[0].load()

    def test_a_wrong_folder_is_named(self, make_dataset: Callable[[Path], Any] | None, tmp_path: Path) -> None:
        """A folder that is not there, one that is empty, and a file."""
        if make_dataset is None:
            pytest.skip("this dataset has no folder")
        (tmp_path / "empty").mkdir()
        (tmp_path / "file").write_text("no folder")
        for root in (tmp_path / "missing", tmp_path / "empty", tmp_path / "file"):
            try:
                dataset = make_dataset(root)
                len(dataset)
            except (ValueError, TypeError, OSError) as error:
                assert root.name in str(error) or "root" in str(error), f"the message must name the folder: {error}"
            except Exception as error:
                raise AssertionError(
                    f"a folder that is {root.name}: raise InvalidInputError, not {type(error).__name__}: {error}"
                ) from error
            else:
                raise AssertionError(f"a root that is {root.name} was accepted; raise InvalidInputError that names it")
