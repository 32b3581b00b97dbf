"""The photo classifier: plain torch's numbers, ART's class, our checks, and the model left as it was."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import CarliniL2Method, DeepFool, FastGradientMethod, ProjectedGradientDescent
from art.defences.preprocessor import FeatureSqueezing
from art.estimators.classification import PyTorchClassifier
from art.estimators.classification.classifier import ClassGradientsMixin, ClassifierMixin
from art.estimators.estimator import LossGradientsMixin, NeuralNetworkMixin
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from art_crop.errors import InvalidInputError
from art_crop.objectives import LabelIs, LabelOut

LABELS = np.array([1, 3, 0])
ONE_HOT = np.eye(4, dtype=np.float32)[LABELS]


def plain(tiny: Any) -> nn.Module:
    return copy.deepcopy(tiny.seeded(tiny.TinyClassifier)).double().eval()


def state(model: nn.Module) -> list[Any]:
    modes = [module.training for module in model.modules()]
    flags = [(p.requires_grad, p.grad is None) for p in model.parameters()]
    return [modes, flags, [v.sum().item() for v in model.state_dict().values()]]


def test_logits_losses_and_gradients_are_plain_torchs(tiny: Any) -> None:
    estimator, x = tiny.classifier(), tiny.photos(3)
    double = torch.from_numpy(x).double().requires_grad_()
    logits = plain(tiny)(double)
    np.testing.assert_allclose(estimator.predict(x), logits.detach().numpy(), atol=1e-5)
    losses = F.cross_entropy(logits, torch.from_numpy(LABELS), reduction="none")
    np.testing.assert_allclose(estimator.compute_loss(x, LABELS), losses.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(estimator.compute_loss(x, LABELS, "mean"), losses.mean().item(), atol=1e-5)
    np.testing.assert_allclose(
        estimator.compute_loss_from_predictions(estimator.predict(x), ONE_HOT), losses.detach().numpy(), atol=1e-5
    )
    (gradient,) = torch.autograd.grad(losses.sum(), double, retain_graph=True)
    np.testing.assert_allclose(estimator.loss_gradient(x, LABELS), gradient.numpy(), rtol=1e-3, atol=1e-7)
    for k in range(4):
        (column,) = torch.autograd.grad(logits[:, k].sum(), double, retain_graph=True)
        np.testing.assert_allclose(estimator.class_gradient(x)[:, k], column.numpy(), rtol=1e-3, atol=1e-7)
        np.testing.assert_allclose(estimator.class_gradient(x, label=k)[:, 0], column.numpy(), rtol=1e-3, atol=1e-7)
    chosen = estimator.class_gradient(x, label=LABELS)
    assert chosen.shape == (3, 1, 3, 24, 32)
    assert np.array_equal(chosen[:, 0], estimator.class_gradient(x)[np.arange(3), LABELS])


def test_gradients_against_float64_finite_differences(tiny: Any) -> None:
    estimator, x = tiny.classifier(), tiny.photos(3)
    network, base = plain(tiny), torch.from_numpy(x).double()

    def cross_entropy(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits, torch.from_numpy(LABELS), reduction="none")

    def margin_to_the_second(logits: Tensor) -> Tensor:
        others = torch.stack([torch.cat([row[:k], row[k + 1 :]]) for row, k in zip(logits, LABELS, strict=True)])
        return logits[range(3), LABELS] - others.sort(1).values[:, -2]

    for wish, loss in (
        (LabelIs(LABELS, loss="cross_entropy"), cross_entropy),
        (LabelOut(LABELS, loss="cross_entropy"), lambda logits: -cross_entropy(logits)),
        (LabelOut(LABELS, k=2), margin_to_the_second),
    ):
        found = estimator.value_and_gradient(torch.from_numpy(x), wish)
        rng = np.random.default_rng(3)
        for _ in range(8):
            at = tuple(int(rng.integers(0, n)) for n in x.shape)
            step = torch.zeros_like(base)
            step[at] = 1e-4
            with torch.no_grad():
                difference = (loss(network(base + step)) - loss(network(base - step)))[at[0]] / 2e-4
            assert float(found.gradient[at]) == pytest.approx(float(difference), rel=2e-3, abs=2e-6)


def test_forms_of_labels(tiny: Any) -> None:
    estimator, x = tiny.classifier(), tiny.photos(3)
    expected = estimator.loss_gradient(x, LABELS)
    for y in (LABELS.tolist(), LABELS[:, None], ONE_HOT, ONE_HOT.astype(np.float64), LABELS.astype(np.float32)):
        assert np.array_equal(estimator.loss_gradient(x, y), expected)
    tensor = estimator.loss_gradient(torch.from_numpy(x), torch.from_numpy(ONE_HOT))
    assert np.array_equal(tensor.numpy(), expected)
    soft = np.full((3, 4), 0.25, np.float32)
    logits = torch.from_numpy(estimator.predict(x))
    np.testing.assert_allclose(estimator.compute_loss(x, soft), -logits.log_softmax(1).mean(1).numpy(), atol=1e-6)


@pytest.mark.parametrize(
    "y",
    [None, [0, 1], [0, 1, 4], [0, 1, -1], [0, 1, 1.5], np.zeros((3, 4)), np.ones((3, 3)), ["a", "b", "c"], 3, -ONE_HOT],
    ids=lambda y: str(y).replace("\n", "")[:20],
)
def test_bad_labels(tiny: Any, y: Any) -> None:
    for call in (tiny.classifier().loss_gradient, tiny.classifier().compute_loss):
        with pytest.raises(InvalidInputError, match=r"^y: "):
            call(tiny.photos(3), y)


def test_bad_photos_keywords_and_classes(tiny: Any) -> None:
    estimator, x = tiny.classifier(), tiny.photos(2)
    for bad in ((x * 255).astype(np.uint8), x * 255, np.where(x > 0.5, np.nan, x), x[0], x.transpose(0, 2, 3, 1)):
        for call in (
            lambda bad=bad: estimator.predict(bad),
            lambda bad=bad: estimator.class_gradient(bad),
            lambda bad=bad: estimator.loss_gradient(bad, [0, 1]),
            lambda bad=bad: estimator.class_gradient(torch.from_numpy(bad)),
        ):
            with pytest.raises(InvalidInputError, match=r"^x: "):
                call()
    for label in (4, -1, [0], [0, 4], "a", 1.0, np.zeros((2, 1), int)):
        with pytest.raises(InvalidInputError, match=r"^label: "):
            estimator.class_gradient(x, label=label)
    estimator.predict(x, training_mode=False, logits=True)
    estimator.loss_gradient(x, [0, 1], sampling=False)  # ShadowAttack says so
    for keywords in ({"logits": False}, {"sampling": True}, {"training_mode": True}, {"batchsize": 1}):
        for call in (
            estimator.predict,
            estimator.class_gradient,
            lambda x, **kw: estimator.loss_gradient(x, [0, 1], **kw),
        ):
            with pytest.raises(InvalidInputError):
                call(x, **keywords)


def test_pixels_a_little_out_of_range_count_as_clipped(tiny: Any) -> None:
    estimator, x = tiny.classifier(), tiny.photos(2)
    outside = x.copy()
    outside[0, :, :4], outside[1, :, :4] = -0.09, 1.09
    expected = np.clip(outside, 0, 1)
    for given, clipped in ((outside, expected), (torch.from_numpy(outside), torch.from_numpy(expected))):
        assert np.array_equal(estimator.loss_gradient(given, [0, 1]), estimator.loss_gradient(clipped, [0, 1]))
        assert np.array_equal(estimator.class_gradient(given), estimator.class_gradient(clipped))
    assert np.array_equal(estimator.predict(outside), estimator.predict(expected))
    assert outside.min() < 0
    with pytest.raises(InvalidInputError, match=r"^x: values lie in"):
        tiny.classifier(slack=0).predict(outside)
    estimator.set_params(slack=3)
    estimator.predict(x * 4 - 1)


def test_layouts_and_micro_batches_give_the_same(tiny: Any) -> None:
    estimator, x = tiny.classifier(), tiny.photos(3)
    last = tiny.classifier(channels_first=False, micro_batch=2)
    flipped = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(last.predict(flipped), estimator.predict(x), atol=1e-6)
    for label in (None, 2, LABELS):
        gradient = last.class_gradient(flipped, label=label)
        assert gradient.shape[2:] == flipped.shape[1:]
        np.testing.assert_allclose(
            gradient.transpose(0, 1, 4, 2, 3), estimator.class_gradient(x, label=label), rtol=1e-4, atol=1e-7
        )


def test_to_arts_attacks_it_is_arts_classifier(tiny: Any) -> None:
    estimator = tiny.classifier()
    assert {PyTorchClassifier, ClassGradientsMixin, ClassifierMixin, LossGradientsMixin, NeuralNetworkMixin} <= set(
        type(estimator).__mro__
    )
    assert estimator.all_framework_preprocessing  # so that PGD takes its torch path
    assert set(estimator.estimator_params) == set(estimator.get_params())
    assert "PyTorchPhotoClassifier" in repr(estimator)
    reference = PyTorchClassifier(
        tiny.seeded(tiny.TinyClassifier),
        nn.CrossEntropyLoss(),
        (3, 24, 32),
        4,
        clip_values=(0, 1),
        preprocessing=None,
        device_type="cpu",
    )
    x = tiny.photos(3)
    for attack, kwargs in (
        (FastGradientMethod, {"eps": 0.05}),
        (ProjectedGradientDescent, {"eps": 0.05, "eps_step": 0.01, "max_iter": 4, "verbose": False}),
        (DeepFool, {"max_iter": 5, "verbose": False}),
        (CarliniL2Method, {"max_iter": 3, "binary_search_steps": 2, "verbose": False}),
    ):
        ours, arts = (attack(e, **kwargs).generate(x.copy()) for e in (estimator, reference))
        assert np.mean(np.abs(ours - arts) > 1e-3) < 1e-3, attack.__name__  # signs of next to no gradient may differ


def test_fgm_keeps_to_its_mask_and_finds_the_smallest_step(tiny: Any) -> None:
    estimator, x = tiny.classifier(), tiny.photos(2)
    mask = np.zeros((1, 24, 32), np.float32)
    mask[:, :12] = 1
    found = FastGradientMethod(estimator, eps=0.05).generate(x, mask=mask)
    assert np.array_equal(found[..., 12:, :], x[..., 12:, :])
    assert not np.array_equal(found[..., :12, :], x[..., :12, :])
    FastGradientMethod(estimator, eps=0.5, eps_step=0.1, minimal=True).generate(x)


def test_the_model_is_left_as_it_was(tiny: Any) -> None:
    estimator, x = tiny.classifier(input_shape=(3, 24, 32)), tiny.photos(3)
    model = estimator.model.train()
    next(model.parameters()).requires_grad_(False)
    before, kept, globally = state(model), x.copy(), torch.random.get_rng_state()
    estimator.predict(x)
    estimator.loss_gradient(x, LABELS)
    estimator.class_gradient(x)
    estimator.custom_loss_gradient(lambda d, p: torch.linalg.vector_norm(d, p), x, x[::-1], "0")
    photos = torch.from_numpy(x).requires_grad_()
    logits, y = estimator._predict_framework(photos, "as it came")
    logits.sum().backward()
    assert photos.grad is not None
    assert y == "as it came"
    assert torch.equal(torch.random.get_rng_state(), globally)
    for attack in (FastGradientMethod(estimator), ProjectedGradientDescent(estimator, max_iter=2, verbose=False)):
        attack.generate(x)
    assert state(model) == before
    assert np.array_equal(x, kept)


def test_custom_loss_gradient_by_hand(tiny: Any) -> None:
    estimator, x, guide = tiny.classifier(), tiny.photos(2), tiny.photos(2, seed=5)
    found = estimator.custom_loss_gradient(lambda d, p: torch.linalg.vector_norm(d, p), x, guide, "0")
    layer, photos = plain(tiny)[0], torch.from_numpy(x).double().requires_grad_()  # type: ignore[index]
    torch.linalg.vector_norm(layer(photos) - layer(torch.from_numpy(guide).double())).backward()
    assert photos.grad is not None
    np.testing.assert_allclose(found, photos.grad.numpy(), rtol=1e-3, atol=1e-6)


def test_defences_of_both_kinds_are_differentiated(tiny: Any) -> None:
    estimator = tiny.classifier(
        clip_values=(0, 255),
        preprocessing=(0.0, 255.0),
        preprocessing_defences=FeatureSqueezing(clip_values=(0, 255), bit_depth=8),
    )
    x = np.rint(tiny.photos(3) * 255).astype(np.float32)
    reference = tiny.classifier()
    np.testing.assert_allclose(estimator.predict(x), reference.predict(x / 255), atol=1e-5)
    np.testing.assert_allclose(
        estimator.class_gradient(x) * 255, reference.class_gradient(x / 255), rtol=1e-3, atol=1e-6
    )


def test_parameters_are_checked_before_they_stay(tiny: Any) -> None:
    estimator = tiny.classifier(labels=list("abcd"))
    assert estimator.labels == ("a", "b", "c", "d")
    x = tiny.photos(1)
    before, parameters = estimator.predict(x), {k: v for k, v in estimator.get_params().items() if k != "clip_values"}
    estimator.set_params(**estimator.get_params())
    for bad in (
        {"nb_classes": 1},
        {"nb_classes": 3},
        {"labels": ["a"]},
        {"labels": "abcd"},
        {"loss": nn.MSELoss()},
        {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)},
        {"optimizer": torch.optim.SGD(estimator.model.parameters(), 0.1)},
        {"use_amp": True},
        {"micro_batch": 0},
        {"model": "a path"},
        {"slack": -1},
        {"nonsense": 1},
    ):
        with pytest.raises(InvalidInputError):
            estimator.set_params(**{"micro_batch": 2, **bad})
        assert {k: v for k, v in estimator.get_params().items() if k != "clip_values"} == parameters
    assert np.array_equal(estimator.predict(x), before)
    for bad in ({"nb_classes": 1}, {"nb_classes": 2.0}, {"labels": [1, 2, 3, 4]}, {"clip_values": (1, 0)}):
        with pytest.raises(InvalidInputError):
            tiny.classifier(**bad)
    with pytest.raises(InvalidInputError, match=r"^model: an output \(N, 5\) is needed, not \(1, 4\)"):
        tiny.classifier(nb_classes=5).predict(x)


def test_copies_pickles_and_files(tiny: Any, tmp_path: Path) -> None:
    estimator, x = tiny.classifier(micro_batch=2, labels=list("abcd")), tiny.photos(2)
    for again in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
        assert np.array_equal(again.predict(x), estimator.predict(x))
        assert (again.nb_classes, again.labels, again.micro_batch) == (4, ("a", "b", "c", "d"), 2)
    assert not np.allclose(estimator.clone_for_refitting().predict(x), estimator.predict(x))
    estimator.save("weights", str(tmp_path))
    written = load_file(tmp_path / "weights.safetensors")
    assert torch.equal(written["0.weight"], estimator.model[0].weight)
    for refuse in (lambda: estimator.fit(x, LABELS), lambda: estimator.fit_generator(None), estimator.reset):
        with pytest.raises(NotImplementedError):
            refuse()
