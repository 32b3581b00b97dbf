"""Models that each break one rule, and which checks of the kit must say so. Run by test_the_kit_catches."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_crop.estimators import PyTorchPhotoClassifier, PyTorchQualityRegressor, PyTorchSaliencyRegressor
from art_crop.testing import ClassifierConformance, QualityModelConformance, SaliencyModelConformance
from art_crop.testing.doubles import TinyClassifier, TinyQuality, TinySaliency, filled, tiny_estimator

SLOPES = {"test_gradient_matches_finite_differences", "test_loss_gradient_matches_differences_of_compute_loss"}


class Broken(SaliencyModelConformance):
    photo_size = (16, 24)
    other_sizes = ((20, 20), (17, 23))
    caught_by: ClassVar[set[str]] = set()
    and_more: ClassVar[bool] = False
    net: ClassVar[type[nn.Module]] = TinySaliency
    wrapper: ClassVar[type[PyTorchSaliencyRegressor]] = PyTorchSaliencyRegressor
    options: ClassVar[dict[str, Any]] = {"log_density": True}

    @pytest.fixture
    def estimator(self) -> Any:
        return self.wrapper(filled(self.net()), device="cpu", **self.options)


class PartlyDetached(TinySaliency):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + super().forward(x.detach().square())


class Backwards(TinySaliency):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(2 * x.detach() - x)


class HardRounding(TinySaliency):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x * 255).round() / 255)


class OverTheBatch(TinySaliency):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0, keepdim=True) * 0.5)


class Noisy(TinySaliency):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0.01 * torch.rand(1, device=x.device)


class Seeding(TinySaliency):
    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().forward(x)


class WritesIntoThePhoto(PyTorchSaliencyRegressor):
    """An estimator that does: of a network that does, the photos are a copy."""

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        found = super().predict(x, *args, **kwargs)
        x *= 0.5
        return found


class Counting(TinySaliency):
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


class OneSizeOnly(TinySaliency):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(len(x), 3, 16, 24))


class Constant(TinySaliency):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(0 * x)


class Unpicklable(TinySaliency):
    def __init__(self) -> None:
        super().__init__()
        self.scale = lambda x: 2 * x

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.scale(super().forward(x))
        return result


class Saturated(TinySaliency):
    """Sound, but nearly every cell is 1 up to the last digits of float32, in which its slopes are lost."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(10 * (super().forward(x) + 0.5))


class TestPartlyDetached(Broken):
    net = PartlyDetached
    says: ClassVar[str] = "set gradient_tolerance above"
    caught_by = SLOPES


class TestSaturated(Broken):
    net = Saturated
    says: ClassVar[str] = "for one that is sound and strongly non-linear set gradient_tolerance above"
    and_more = True
    caught_by = {"test_loss_gradient_matches_differences_of_compute_loss"}


class TestSaturatedWithTheOptionThatTheKitNames(Broken):
    """Nothing is wrong with it, and nothing is caught."""

    net = Saturated
    gradient_tolerance = 1.0


class TestBackwards(Broken):
    net = Backwards
    says: ClassVar[str] = "200%"
    caught_by = SLOPES


class TestHardRounding(Broken):
    net = HardRounding
    caught_by = {*SLOPES, "test_gradients_are_finite_and_shaped_like_the_photos"}


class TestOverTheBatch(Broken):
    net = OverTheBatch
    says: ClassVar[str] = "nothing may be computed over the batch"
    caught_by = {
        "test_a_photo_gets_the_same_alone_and_in_any_batch",
        "test_a_photos_gradient_is_the_same_alone_and_in_any_batch",
    }


class TestNoisy(Broken):
    net = Noisy
    and_more = True
    caught_by = {
        "test_predict_twice_gives_the_same_whatever_the_global_seeds",
        "test_global_state_is_left_alone",
        "test_a_photo_gets_the_same_alone_and_in_any_batch",
    }


class TestSeeding(Broken):
    net = Seeding
    says: ClassVar[str] = "torch's global random state"
    caught_by = {"test_global_state_is_left_alone"}


class TestWritesIntoThePhoto(Broken):
    wrapper = WritesIntoThePhoto
    and_more = True
    caught_by = {"test_the_callers_arrays_are_not_written_into"}


class TestCounting(Broken):
    net = Counting
    says: ClassVar[str] = "buffer calls"
    caught_by = {"test_the_model_is_left_as_it_was_found"}


class TestOneSizeOnly(Broken):
    net = OneSizeOnly
    says: ClassVar[str] = "State the size in input_shape"
    caught_by = {"test_other_photo_sizes_work_or_are_refused_clearly"}


class TestConstant(Broken):
    net = Constant
    caught_by = {"test_predict_depends_on_the_photo", "test_gradients_are_finite_and_shaped_like_the_photos"}


class TestUnpicklable(Broken):
    net = Unpicklable
    says: ClassVar[str] = "lambdas, open files"
    caught_by = {"test_copies_and_pickles_predict_the_same"}


class Negative(TinySaliency):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) - 20


class TestNegativeDensity(Broken):
    net = Negative
    options = {"log_density": False}
    caught_by = {"test_predict_gives_one_finite_float32_row_for_each_photo"}


class MeanGradient(PyTorchSaliencyRegressor):
    def value_and_gradient(self, x: Tensor, objective: Any, *, decide: bool = True) -> Any:
        found = super().value_and_gradient(x, objective, decide=decide)
        return found._replace(gradient=found.gradient / len(x))


class LeavesGradients(PyTorchSaliencyRegressor):
    def value_and_gradient(self, x: Tensor, objective: Any, *, decide: bool = True) -> Any:
        for parameter in self.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        return super().value_and_gradient(x, objective, decide=decide)


class LeavesTraining(PyTorchSaliencyRegressor):
    def predict(self, x: Any, batch_size: int = 128, **kwargs: Any) -> Any:
        result = super().predict(x, batch_size, **kwargs)
        self.model.train()
        return result


class LeavesHooks(PyTorchSaliencyRegressor):
    def predict(self, x: Any, batch_size: int = 128, **kwargs: Any) -> Any:
        self.model.register_forward_hook(lambda module, inputs, output: None)
        return super().predict(x, batch_size, **kwargs)


class InTrainingMode(PyTorchSaliencyRegressor):
    def predict(self, x: Any, batch_size: int = 128, **kwargs: Any) -> Any:
        if not self.model.training:
            return super().predict(x, batch_size, **kwargs)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return self.model(self.to_tensor(x))[:, 0].numpy()


class Doubles(PyTorchSaliencyRegressor):
    def predict(self, x: Any, batch_size: int = 128, **kwargs: Any) -> Any:
        return super().predict(x, batch_size, **kwargs).astype(np.float64)


class Swallows(PyTorchSaliencyRegressor):
    def predict(self, x: Any, batch_size: int = 128, **kwargs: Any) -> Any:
        return super().predict(x, batch_size)


class TakesAnything(PyTorchSaliencyRegressor):
    def predict(self, x: Any, batch_size: int = 128, **kwargs: Any) -> Any:
        good = np.clip(np.nan_to_num(x), 0, 1) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        return super().predict(good, batch_size, **kwargs)


class Hasty(PyTorchSaliencyRegressor):
    def set_params(self, **kwargs: Any) -> None:
        if "clip_values" in kwargs:
            self._clip_values = np.array(kwargs["clip_values"], np.float32)
        super().set_params(**kwargs)


class MeanLoss(PyTorchSaliencyRegressor):
    def compute_loss(self, x: Any, y: Any, reduction: str = "none", **kwargs: Any) -> Any:
        return super().compute_loss(x, y, reduction, **kwargs) / y[0].size


class CropsOutside(PyTorchSaliencyRegressor):
    def crop(self, x: Any, ratios: Any = (1.0,)) -> Any:
        return super().crop(x, ratios) + np.array([5, 0, 0, 0])


class OtherOnFiles(PyTorchSaliencyRegressor):
    def predict_file(self, path: Any, ratios: Any = None) -> Any:
        read = super().predict_file(path, ratios)
        return read._replace(saliency_map=read.saliency_map[:, ::-1])


class TestMeanGradient(Broken):
    wrapper = MeanGradient
    says: ClassVar[str] = "do not average them"
    caught_by = {*SLOPES, "test_a_photos_gradient_is_the_same_alone_and_in_any_batch"}


class TestLeavesGradients(Broken):
    wrapper = LeavesGradients
    says: ClassVar[str] = ".grad of"
    caught_by = {
        "test_the_model_is_left_as_it_was_found",
        "test_the_model_is_left_as_it_was_found_when_it_fails",
    }


class TestLeavesTraining(Broken):
    wrapper = LeavesTraining
    says: ClassVar[str] = "training mode of"
    caught_by = {"test_the_model_is_left_as_it_was_found"}


class TestLeavesHooks(Broken):
    wrapper = LeavesHooks
    says: ClassVar[str] = "hooks of"
    caught_by = {
        "test_the_model_is_left_as_it_was_found",
        "test_the_model_is_left_as_it_was_found_when_it_fails",
        "test_copies_and_pickles_predict_the_same",
    }


class TestInTrainingMode(Broken):
    wrapper = InTrainingMode
    caught_by = {"test_training_mode_makes_no_difference", "test_the_model_is_left_as_it_was_found"}


class TestDoubles(Broken):
    wrapper = Doubles
    caught_by = {"test_predict_gives_one_finite_float32_row_for_each_photo"}


class TestSwallows(Broken):
    wrapper = Swallows
    says: ClassVar[str] = "accepted without a word"
    caught_by = {"test_unknown_keywords_are_refused"}


class TestTakesAnything(Broken):
    wrapper = TakesAnything
    caught_by = {
        f"test_bad_photos_are_refused[photos {what}]"
        for what in ("with a NaN", "with an infinity", "above clip_values", "below clip_values")
    }


class TestHasty(Broken):
    wrapper = Hasty
    says: ClassVar[str] = "was refused, yet"
    caught_by = {"test_set_params_takes_all_or_none"}


class TestMeanLoss(Broken):
    wrapper = MeanLoss
    caught_by = {"test_losses_agree_with_one_another", "test_loss_gradient_matches_differences_of_compute_loss"}


class TestCropsOutside(Broken):
    wrapper = CropsOutside
    caught_by = {"test_crops_are_windows_inside_the_photo", "test_a_lossless_file_gives_what_its_pixels_give"}


class TestOtherOnFiles(Broken):
    wrapper = OtherOnFiles
    caught_by = {"test_a_lossless_file_gives_what_its_pixels_give"}


class TestNoEstimator(SaliencyModelConformance):
    """An author who forgot the fixture: every check says so."""

    caught_by: ClassVar[set[str]] = {"*"}


class Broadcasting(PyTorchQualityRegressor):
    def compute_loss(self, x: Any, y: Any, reduction: str = "none", **kwargs: Any) -> Any:
        if not isinstance(y, np.ndarray) or y.shape != (len(x), 1):
            return super().compute_loss(x, y, reduction, **kwargs)
        return np.square(self.predict(x) - y).sum(1)


class TestBroadcasting(QualityModelConformance):
    photo_size = (16, 24)
    caught_by: ClassVar[set[str]] = {"test_a_column_of_targets_means_the_same"}

    @pytest.fixture
    def estimator(self) -> Any:
        return Broadcasting(filled(TinyQuality()), device="cpu")


class TestOffTheScale(QualityModelConformance):
    photo_size = (16, 24)
    caught_by: ClassVar[set[str]] = {"test_predict_gives_one_finite_float32_row_for_each_photo"}

    @pytest.fixture
    def estimator(self) -> Any:
        return tiny_estimator("quality", score_range=(0, 10))


class ReversedLoss(PyTorchPhotoClassifier):
    def compute_loss(self, x: Any, y: Any, reduction: str = "none", **kwargs: Any) -> Any:
        loss = super().compute_loss(x, y, reduction, **kwargs)
        return -loss if np.ndim(y) == 1 else loss


class TestReversedLoss(ClassifierConformance):
    photo_size = (16, 24)
    caught_by: ClassVar[set[str]] = {
        "test_the_loss_rises_as_the_wanted_logit_falls",
        "test_whole_numbers_and_one_hot_rows_mean_the_same",
    }

    @pytest.fixture
    def estimator(self) -> Any:
        return ReversedLoss(filled(TinyClassifier()), nb_classes=4, device="cpu")
