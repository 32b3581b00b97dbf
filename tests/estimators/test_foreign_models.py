"""Models as strangers bring them: they write into their input, give NaN, hold other types, sit in other modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from art.defences.preprocessor import Preprocessor
from art.defences.preprocessor.preprocessor import PreprocessorPyTorch
from torch import Tensor, nn

import art_crop
from art_crop import Region
from art_crop.attacks import ContrastShift, GaussianNoise, SaliencyPeakFGM
from art_crop.errors import InvalidInputError
from art_crop.estimators import (
    BlackBoxQualityRegressor,
    BlackBoxSaliencyRegressor,
    PyTorchPhotoClassifier,
    PyTorchQualityRegressor,
    PyTorchSaliencyRegressor,
    SaliencyClassifierView,
)
from art_crop.objectives import PeakInRegion

REGION = Region(0.6, 0.0, 1.0, 1.0)
ATTACKS: dict[str, Callable[..., Any]] = {
    "fgm": SaliencyPeakFGM,
    "smallest": lambda e, **k: SaliencyPeakFGM(e, minimal=True, **k),
    "transfer": lambda e, **k: SaliencyPeakFGM(
        e, averaging=("resize", "jpeg", "blur"), diversity=0.5, smoothing=1.0, features="auto", contrast=0.5, **k
    ),
    "grad-cam": lambda e, **k: SaliencyPeakFGM(e, mask="grad-cam", **k),
    "contrast": ContrastShift,
    "noise": GaussianNoise,
}


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1)).eval()


def photos(count: int = 2, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    x = np.random.default_rng(0).integers(0, 256, (count, 3, *size)) / 255
    return x.astype(np.float32)


class InPlace(nn.Module):
    """Normalises as many do: without a copy."""

    def __init__(self, net: nn.Module, answer: Callable[[Tensor], Tensor] = lambda maps: maps) -> None:
        super().__init__()
        self.net, self.answer = net, answer

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.net(x.sub_(0.5).div_(0.25)))


class Copying(InPlace):
    """The same, and none that could be noticed."""

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.net((x - 0.5) / 0.25))


# -- what a model does to its input ------------------------------------------------------------------------------------


def score(maps: Tensor) -> Tensor:
    return maps.mean((1, 2, 3))


def logits(maps: Tensor) -> Tensor:
    return torch.stack([maps.amax((1, 2, 3)), maps.mean((1, 2, 3)), maps.amin((1, 2, 3))], 1)


KINDS: dict[str, Callable[[type[InPlace]], Any]] = {
    "saliency": lambda c: PyTorchSaliencyRegressor(c(network()), log_density=True, device="cpu"),
    "view": lambda c: SaliencyClassifierView(
        PyTorchSaliencyRegressor(c(network()), log_density=True, device="cpu", input_shape=(3, 24, 32))
    ),
    "quality": lambda c: PyTorchQualityRegressor(c(network(), score), device="cpu"),
    "classifier": lambda c: PyTorchPhotoClassifier(c(network(), logits), nb_classes=3, device="cpu"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_works_in_place_is_as_one_that_copies(kind: str) -> None:
    theirs, ours = KINDS[kind](InPlace), KINDS[kind](Copying)
    x = photos()
    kept, tensor = x.copy(), torch.from_numpy(x.copy())
    y = ours.predict(x) + 1 if kind in ("saliency", "quality") else np.array([0, 1])
    np.testing.assert_array_equal(theirs.predict(x), ours.predict(x))
    np.testing.assert_array_equal(theirs.predict(tensor).numpy(), ours.predict(x))
    for given in (x, tensor):
        np.testing.assert_array_equal(theirs.compute_loss(given, y), ours.compute_loss(given, y))
        np.testing.assert_array_equal(theirs.loss_gradient(given, y), ours.loss_gradient(given, y))
        np.testing.assert_array_equal(
            theirs.get_activations(given, 0, framework=False), ours.get_activations(given, 0, framework=False)
        )
    objective = ours._distance(ours._targets(y, 2))
    found, expected = (one.value_and_gradient(tensor, objective) for one in (theirs, ours))
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert torch.equal(theirs.evaluate(tensor, objective).loss, ours.evaluate(tensor, objective).loss)
    if kind in ("classifier", "view"):
        np.testing.assert_array_equal(theirs.class_gradient(x), ours.class_gradient(x))
        assert torch.equal(theirs._predict_framework(tensor)[0], ours._predict_framework(tensor)[0])
    if kind == "saliency":
        peak = PeakInRegion([REGION] * 2)
        assert torch.equal(theirs.grad_cam(tensor, peak), ours.grad_cam(tensor, peak))
        np.testing.assert_array_equal(theirs.crop(x), ours.crop(x))
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(tensor.numpy(), kept)


@pytest.mark.parametrize("quantize", [True, False])
@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_give_photos_whatever_the_model_does_to_its_input(name: str, quantize: bool) -> None:
    x = photos()
    kept, found = x.copy(), []
    for model in (InPlace, Copying):
        attack = ATTACKS[name](KINDS["saliency"](model), eps=2.0, quantize=quantize)
        found.append(attack.generate(x, REGION))
        assert attack.generate(torch.from_numpy(x), REGION).equal(torch.from_numpy(found[-1]))
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(found[0], found[1])
    assert 0 <= found[0].min() < found[0].max() <= 1


class TorchStep(PreprocessorPyTorch):
    """A defence that works in place, and states an estimate of its gradient."""

    def forward(self, x: Any, y: Any = None) -> tuple[Any, Any]:
        return x.mul_(0.5), y

    def estimate_forward(self, x: Any, y: Any = None) -> Any:
        return x.mul_(0.5)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def _check_params(self) -> None:
        pass


class NumpyStep(Preprocessor):
    """A defence that works in place on arrays, in both directions."""

    def __call__(self, x: Any, y: Any = None) -> tuple[Any, Any]:
        x *= 0.5
        return x, y

    def estimate_gradient(self, x: Any, grad: Any) -> Any:
        x *= 7
        grad *= 0.5
        return grad


@pytest.mark.parametrize("steps", [[TorchStep], [NumpyStep], [TorchStep, NumpyStep], [NumpyStep, TorchStep]])
def test_defences_that_work_in_place(steps: list[type]) -> None:
    x = photos()
    kept, factor = x.copy(), 0.5 ** len(steps)
    defended = PyTorchPhotoClassifier(
        InPlace(network(), logits), nb_classes=3, device="cpu", preprocessing_defences=[step() for step in steps]
    )
    plain = PyTorchPhotoClassifier(Copying(network(), logits), nb_classes=3, device="cpu")
    np.testing.assert_allclose(defended.predict(x), plain.predict(x * factor), rtol=1e-5)
    np.testing.assert_allclose(
        defended.class_gradient(x), plain.class_gradient(x * np.float32(factor)) * factor, rtol=1e-4, atol=1e-7
    )
    np.testing.assert_array_equal(x, kept)


def test_black_boxes_that_write_into_their_argument() -> None:
    def ask(x: np.ndarray) -> np.ndarray:
        x -= 0.5
        answer: np.ndarray = x.mean((1, 2, 3))
        x[:] = np.nan
        return answer

    x = photos()
    kept, tensor = x.copy(), torch.from_numpy(x.copy())
    estimator = BlackBoxQualityRegressor(ask, preprocessing_defences=[NumpyStep()])
    expected = kept.mean((1, 2, 3)) * 0.5 - 0.5
    np.testing.assert_allclose(estimator.predict(x), expected, rtol=1e-5)
    np.testing.assert_allclose(estimator.predict(tensor).numpy(), expected, rtol=1e-5)
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(tensor.numpy(), kept)


def test_an_answer_in_a_buffer_that_is_used_again() -> None:
    class Reuses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.space = network(), torch.zeros(1, 1, 12, 16)

        def forward(self, x: Tensor) -> Tensor:
            return self.space.copy_(self.net(x))

    x = photos()
    expected = PyTorchSaliencyRegressor(network(), device="cpu").predict(x)
    estimator = PyTorchSaliencyRegressor(Reuses(), device="cpu")
    np.testing.assert_array_equal(estimator.predict(x), expected)
    np.testing.assert_array_equal(estimator.output(x).saliency.numpy(), expected)


# -- what is not a number ----------------------------------------------------------------------------------------------


class Poisoned(nn.Module):
    """Gives a number that is none for photos whose first pixel is 0."""

    def __init__(self, value: float, answer: Callable[[Tensor], Tensor] = lambda maps: maps, at: Any = ...) -> None:
        super().__init__()
        self.net, self.value, self.answer, self.at = network(), value, answer, at

    def forward(self, x: Tensor) -> Tensor:
        answer = self.answer(self.net(x))
        return torch.stack([self._row(a) if photo[0, 0, 0] == 0 else a for a, photo in zip(answer, x, strict=True)])

    def _row(self, a: Tensor) -> Tensor:
        mask = torch.zeros_like(a, dtype=torch.bool)
        mask[self.at] = True
        return torch.where(mask, self.value, a)


def poisoned(kind: str, value: float, **kwargs: Any) -> Any:
    if kind == "saliency":
        return PyTorchSaliencyRegressor(Poisoned(value), device="cpu", **kwargs)
    if kind == "view":
        return SaliencyClassifierView(PyTorchSaliencyRegressor(Poisoned(value), device="cpu", **kwargs))
    if kind == "quality":
        return PyTorchQualityRegressor(Poisoned(value, score), device="cpu", **kwargs)
    return PyTorchPhotoClassifier(Poisoned(value, logits), nb_classes=3, device="cpu", **kwargs)


@pytest.mark.parametrize("micro_batch", [None, 2, 3])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", ["saliency", "view", "quality", "classifier"])
def test_the_photo_for_which_a_model_gives_no_number_is_named(kind: str, value: float, micro_batch: int | None) -> None:
    x = np.maximum(photos(3), 1 / 255)
    estimator = poisoned(kind, value, micro_batch=micro_batch)
    y = {"saliency": np.zeros((3, 12, 16), np.float32), "quality": np.zeros(3, np.float32)}.get(kind, np.zeros(3, int))
    assert np.isfinite(estimator.predict(x)).all()
    x[2, 0, 0, 0] = 0
    calls: dict[str, Callable[[], Any]] = {
        "predict": lambda: estimator.predict(x),
        "predict, batch_size": lambda: estimator.predict(x, batch_size=2),
        "tensor": lambda: estimator.predict(torch.from_numpy(x)),
        "output": lambda: estimator.output(x),
        "loss": lambda: estimator.compute_loss(x, y),
        "gradient": lambda: estimator.loss_gradient(x, y),
        "activations": lambda: estimator.get_activations(x, -1),
    }
    if kind == "saliency":
        calls["crop"] = lambda: estimator.crop(x)
        calls["points"] = lambda: estimator.salient_points(x)
        calls["grad-cam"] = lambda: estimator.grad_cam(torch.from_numpy(x), PeakInRegion([REGION] * 3))
    if kind == "classifier":
        calls["classes"] = lambda: estimator.class_gradient(x)
    for call in calls.values():
        with pytest.raises(InvalidInputError, match=r"^model: \w+ gives .*photo 2 of the batch"):
            call()


@pytest.mark.parametrize("micro_batch", [None, 3])
@pytest.mark.parametrize("quantize", [True, False])
@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_name_it_too(name: str, quantize: bool, micro_batch: int | None) -> None:
    x = np.maximum(photos(3), 1 / 255)
    x[1, 0, 0, 0] = 0
    attack = ATTACKS[name](poisoned("saliency", float("nan"), micro_batch=micro_batch), eps=2.0, quantize=quantize)
    with pytest.raises(InvalidInputError, match=r"Poisoned gives NaN .*photo 1 of the batch"):
        attack.generate(x, REGION)


def test_files_too(tmp_path: Any) -> None:
    from art_crop.images import save_photo

    save_photo(tmp_path / "black.png", np.zeros((24, 32, 3), np.uint8))
    for kind in ("saliency", "quality", "classifier"):
        for value in (float("nan"), float("inf")):
            with pytest.raises(InvalidInputError, match=r"^model: Poisoned gives"):
                poisoned(kind, value).predict_file(tmp_path / "black.png")


def test_a_cropper_whose_network_gives_nan(tmp_path: Any) -> None:
    from art_crop.images import save_photo

    estimator = art_crop.load_model("gaze-lite", device="cpu")
    with torch.no_grad():
        estimator.model.network.head.prior[0] = float("nan")
    save_photo(tmp_path / "photo.png", np.zeros((24, 32, 3), np.uint8))
    for call in (
        lambda: estimator.predict(photos()),
        lambda: estimator.predict_file(tmp_path / "photo.png"),
        lambda: SaliencyPeakFGM(estimator, eps=1.0).generate(photos(), REGION),
    ):
        with pytest.raises(InvalidInputError, match=r"^model: Cropper gives NaN"):
            call()


def test_an_impossible_class_or_cell_may_be_minus_infinity() -> None:
    x = photos()
    x[:, 0, 0, 0] = 0
    model = Poisoned(float("-inf"), logits, at=0)
    assert PyTorchPhotoClassifier(model, nb_classes=3, device="cpu").predict(x)[0, 0] == -np.inf
    maps = PyTorchSaliencyRegressor(Poisoned(float("-inf"), at=(0, 0, 0)), log_density=True, device="cpu").predict(x)
    assert maps[0, 0, 0] == -np.inf
    with pytest.raises(InvalidInputError, match="infinite"):  # a density has no such value
        PyTorchSaliencyRegressor(Poisoned(float("-inf"), at=(0, 0, 0)), device="cpu").predict(x)


class Rooted(nn.Module):
    """Finite everywhere; the gradient of the root is not, where a photo is flat."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean((1, 2, 3), keepdim=True)).square().mean((1, 2, 3)).sqrt() + x.mean((1, 2, 3))


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_a_gradient_that_is_no_number_is_named(micro_batch: int | None) -> None:
    x = photos(3)
    x[1] = 0.5
    estimator = PyTorchQualityRegressor(Rooted(), device="cpu", micro_batch=micro_batch)
    assert np.isfinite(estimator.predict(x)).all()
    with pytest.raises(InvalidInputError, match=r"Rooted gives finite numbers and a gradient of NaN .*photo 1 of the"):
        estimator.loss_gradient(x, np.zeros(3))
    for minimal in (True, False):
        attack = SaliencyPeakFGM(estimator, eps=2.0, minimal=minimal)
        with pytest.raises(InvalidInputError, match=r"gradient of NaN .*photo 1 of the"):
            attack.generate(x, np.zeros(3))


def test_photos_that_are_not_finite_are_not_the_models_fault() -> None:
    x = torch.from_numpy(photos())
    x[1, 0, 0, 0] = float("nan")
    with pytest.raises(InvalidInputError, match=r"^x: .*photo 1 of"):
        KINDS["saliency"](Copying).evaluate(x, PeakInRegion([REGION] * 2))


def test_black_boxes_name_the_photo() -> None:
    def ask(x: np.ndarray) -> np.ndarray:
        return np.where(x[:, 0, 0, :1, None] == 0, np.nan, x.mean(1))

    x = np.maximum(photos(3), 1 / 255)
    x[2, 0, 0, 0] = 0
    with pytest.raises(InvalidInputError, match=r"^predict_fn: finite .*photo 2 of the batch"):
        BlackBoxSaliencyRegressor(ask).predict(x, batch_size=2)


# -- types, devices and modes ------------------------------------------------------------------------------------------


def everything(estimator: Any, x: Any) -> None:
    maps = np.asarray(estimator.predict(x))
    assert maps.dtype == np.float32
    assert np.isfinite(maps).all()
    assert np.isfinite(np.asarray(estimator.loss_gradient(x, maps + 1))).all()
    estimator.crop(x)
    estimator.grad_cam(torch.as_tensor(x), PeakInRegion([REGION] * len(x)), "0")
    changed = np.asarray(SaliencyPeakFGM(estimator, eps=2.0).generate(x, REGION))
    assert changed.dtype == np.float32
    assert np.abs(changed - np.asarray(x)).max() > 0


@pytest.mark.parametrize(("dtype", "share"), [(torch.float16, 0.02), (torch.bfloat16, 0.05), (torch.float64, 1e-5)])
def test_models_of_other_types_work(dtype: torch.dtype, share: float) -> None:
    x = photos()
    expected = PyTorchSaliencyRegressor(network(), log_density=True, device="cpu").predict(x)
    estimator = PyTorchSaliencyRegressor(network().to(dtype), log_density=True, device="cpu")
    assert np.abs(estimator.predict(x) - expected).max() < share * np.ptp(expected)
    everything(estimator, x)
    assert {p.dtype for p in estimator.model.parameters()} == {dtype}
    view = SaliencyClassifierView(estimator)
    assert np.isfinite(view.predict(x)).all()
    assert np.isfinite(view.class_gradient(x)).all()


def test_a_model_of_several_types_is_explained() -> None:
    model = network()
    model[2].double()
    with pytest.raises(InvalidInputError, match=r"^model: Sequential: .*types.*model.float\(\)"):
        PyTorchSaliencyRegressor(model, device="cpu").predict(photos())


@pytest.mark.parametrize("kind", ["saliency", "quality", "classifier"])
@pytest.mark.parametrize(
    "answer", [lambda m: (m, "details"), lambda m: {"out": m}, lambda m: [m], lambda m: None, lambda m: m.tolist()]
)
def test_answers_that_are_no_tensor_are_explained(kind: str, answer: Callable[[Tensor], Any]) -> None:
    make = {
        "saliency": lambda m: PyTorchSaliencyRegressor(m, device="cpu"),
        "quality": lambda m: PyTorchQualityRegressor(m, device="cpu"),
        "classifier": lambda m: PyTorchPhotoClassifier(m, nb_classes=3, device="cpu"),
    }[kind]
    for call in (lambda e: e.predict(photos()), lambda e: e.output(photos())):
        with pytest.raises(InvalidInputError, match=r"^model: Copying must give one tensor, not"):
            call(make(Copying(network(), answer)))


@pytest.mark.parametrize(
    "answer", [lambda m: m[:1, 0].repeat(3, 1, 1), lambda m: m.mean(), lambda m: m[:, 0].to_sparse(), lambda m: m + 1j]
)
def test_answers_of_a_wrong_shape_are_explained(answer: Callable[[Tensor], Any]) -> None:
    estimator = PyTorchSaliencyRegressor(Copying(network(), answer), device="cpu", micro_batch=2)
    with pytest.raises(InvalidInputError, match=r"^model: Copying must give real numbers with one row a photo"):
        estimator.predict(photos())


def test_whole_numbers_are_answers_without_a_gradient() -> None:
    estimator = PyTorchQualityRegressor(Copying(network(), lambda m: (score(m) * 100).long()), device="cpu")
    assert estimator.predict(photos()).dtype == np.float32
    with pytest.raises(InvalidInputError, match="no gradient"):
        estimator.loss_gradient(photos(), np.ones(2) * 1000)


def test_an_answer_that_does_not_depend_on_the_photo() -> None:
    class Apart(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = torch.ones(1, requires_grad=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.own.expand(len(x)) * 1

    estimator = PyTorchQualityRegressor(Apart(), device="cpu")
    with pytest.raises(InvalidInputError, match="no gradient with respect to the photo"):
        estimator.loss_gradient(photos(), np.zeros(2))


def test_models_without_parameters_or_submodules() -> None:
    class Light(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.square().mean(1)

    estimator, x = PyTorchSaliencyRegressor(Light(), device="cpu"), photos()
    np.testing.assert_allclose(estimator.predict(x), np.square(x).mean(1), rtol=1e-6)
    assert estimator.layer_names == [""]
    np.testing.assert_array_equal(estimator.get_activations(x, 0), estimator.predict(x))
    assert np.asarray(SaliencyPeakFGM(estimator, eps=2.0).generate(x, REGION)).shape == x.shape


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.Sequential(nn.LazyConv2d(8, 3), nn.Conv2d(8, 1, 1)), "lazy module"),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.LazyBatchNorm2d(), nn.Conv2d(8, 1, 1)), "lazy module"),
        (lambda: network().to("meta"), "meta device"),
    ],
)
def test_weights_without_values_are_refused_at_once(make: Callable[[], nn.Module], said: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^model: .*{said}"):
        PyTorchSaliencyRegressor(make(), device="cpu")
    estimator = PyTorchSaliencyRegressor(network(), device="cpu")
    kept = estimator.model
    with pytest.raises(InvalidInputError, match=f"{said}"):
        estimator.set_params(model=make())
    assert estimator.model is kept


def test_tensors_elsewhere_are_explained() -> None:
    class Elsewhere(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.mean = network(), torch.zeros(1, 3, 1, 1, device="meta")

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x - self.mean)

    with pytest.raises(InvalidInputError, match=r"^model: Elsewhere: .*devices.*buffers"):
        PyTorchSaliencyRegressor(Elsewhere(), device="cpu").predict(photos())


@pytest.mark.parametrize("name", ATTACKS)
def test_whatever_mode_the_caller_is_in(name: str) -> None:
    estimator = KINDS["saliency"](Copying)
    x, y = photos(), np.zeros((2, 12, 16), np.float32)
    attack = ATTACKS[name](estimator, eps=2.0)
    expected = attack.generate(x, REGION)
    gradient = estimator.loss_gradient(x, y)
    with torch.inference_mode():
        np.testing.assert_array_equal(attack.generate(x, REGION), expected)
        made = torch.from_numpy(x) * 1  # an inference tensor
        np.testing.assert_array_equal(attack.generate(made, REGION).numpy(), expected)
        np.testing.assert_array_equal(estimator.loss_gradient(made, torch.from_numpy(y) * 1).numpy(), gradient)
        estimator.grad_cam(made, PeakInRegion([REGION] * 2))
    np.testing.assert_array_equal(estimator.loss_gradient(made, y).numpy(), gradient)
    estimator.evaluate(made, PeakInRegion([REGION] * 2))
    estimator.grad_cam(made, PeakInRegion([REGION] * 2))
    with torch.no_grad():
        np.testing.assert_array_equal(attack.generate(x, REGION), expected)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(estimator.loss_gradient(x, y), gradient)


def test_weights_made_in_inference_mode_predict_and_say_why_there_is_no_gradient() -> None:
    with torch.inference_mode():
        model = network()
    estimator, x = PyTorchSaliencyRegressor(model, log_density=True, device="cpu"), photos()
    np.testing.assert_array_equal(
        estimator.predict(x), PyTorchSaliencyRegressor(network(), log_density=True, device="cpu").predict(x)
    )
    with pytest.raises(InvalidInputError, match=r"^model: Sequential: .*inference_mode"):
        estimator.loss_gradient(x, np.zeros((2, 12, 16)))


@pytest.fixture
def float64_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", ["gaze-lite", "gaze-lite-human"])
@pytest.mark.usefixtures("float64_default")
def test_float64_as_torchs_default(name: str) -> None:
    x = photos(size=(48, 64))
    for options in ({}, {"jpeg_quality": 80}):
        estimator = art_crop.load_model(name, device="cpu", **options)
        maps = estimator.predict(x)
        for attack in ATTACKS.values():
            changed = attack(estimator, eps=2.0).generate(x, REGION)
            assert changed.dtype == np.float32
        torch.set_default_dtype(torch.float32)
        np.testing.assert_array_equal(art_crop.load_model(name, device="cpu", **options).predict(x), maps)
        torch.set_default_dtype(torch.float64)
    everything(PyTorchSaliencyRegressor(network().float(), log_density=True, device="cpu"), photos())
    scorer = PyTorchQualityRegressor(
        Copying(network().float(), lambda m: logits(m).softmax(1)), bin_values=(1, 2, 3), device="cpu"
    )
    assert scorer.predict(photos()).dtype == np.float32
    SaliencyPeakFGM(scorer, eps=2.0).generate(photos(), np.ones(2))


# -- photos as they come -----------------------------------------------------------------------------------------------


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "float64": lambda x: x.astype(np.float64),
    "read-only": read_only,
    "Fortran": np.asfortranarray,
    "negative strides": lambda x: x[::-1, :, ::-1].copy()[::-1, :, ::-1],
    "tensor": torch.from_numpy,
    "float64 tensor": lambda x: torch.from_numpy(x).double(),
    "strided tensor": lambda x: torch.from_numpy(x).to(memory_format=torch.channels_last),
    "tensor that requires gradients": lambda x: torch.from_numpy(x.copy()).requires_grad_(),
    "expanded tensor": lambda x: torch.from_numpy(x[:1]).expand(2, -1, -1, -1),
}


@pytest.mark.parametrize("form", FORMS)
def test_photos_in_any_form(form: str) -> None:
    estimator, plain = KINDS["saliency"](InPlace), photos()
    x = FORMS[form](plain)
    plain = plain[:1].repeat(2, 0) if form == "expanded tensor" else plain
    y = np.zeros((2, 12, 16), np.float32)
    black = BlackBoxSaliencyRegressor(lambda photos: photos.mean(1))
    for one in (estimator, black):
        found = one.predict(x)
        assert isinstance(found, Tensor) == isinstance(x, Tensor)
        np.testing.assert_allclose(found, one.predict(plain), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(one.crop(x), one.crop(plain))
        peak = PeakInRegion([REGION] * 2)
        np.testing.assert_allclose(one.evaluate(x, peak).loss, one.evaluate(plain, peak).loss, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(estimator.loss_gradient(x, y), estimator.loss_gradient(plain, y), rtol=1e-3, atol=1e-5)
    for name, attack in ATTACKS.items():
        for one in (estimator, black) if name in ("contrast", "noise") else (estimator,):
            made = attack(one, eps=2.0)
            found = made.generate(x, REGION)
            assert isinstance(found, Tensor) == isinstance(x, Tensor)
            assert not isinstance(found, Tensor) or not found.requires_grad
            np.testing.assert_array_equal(found, made.generate(plain, REGION))


def test_tensors_are_channels_first_whatever_the_estimator_says() -> None:
    planar = PyTorchSaliencyRegressor(network(), log_density=True, device="cpu")
    packed = PyTorchSaliencyRegressor(network(), log_density=True, device="cpu", channels_first=False)
    x = torch.from_numpy(photos())
    assert torch.equal(packed.predict(x), planar.predict(x))
    mask = torch.ones(1, 1, 24, 32)
    mask[..., :16] = 0
    found = [SaliencyPeakFGM(e, eps=2.0).generate(x, REGION, mask=mask) for e in (planar, packed)]
    assert torch.equal(*found)
    assert torch.equal(found[0][..., :16], x[..., :16])


@pytest.mark.parametrize(
    "bad", [torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(3, 8, 8), torch.full((1, 3, 8, 8), 2.0)]
)
def test_tensors_are_held_to_the_same_rules(bad: Tensor) -> None:
    for estimator in (KINDS["saliency"](Copying), BlackBoxSaliencyRegressor(lambda x: x.mean(1))):
        with pytest.raises(InvalidInputError, match=r"^x: "):
            estimator.predict(bad)
        with pytest.raises(InvalidInputError, match=r"^x: "):
            GaussianNoise(estimator).generate(bad, REGION)
