"""Conformance of attacks: what they return, what they leave alone, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from art_crop.geometry import Region
from art_crop.testing import doubles
from art_crop.testing.attack_contract import AttackContractChecks
from art_crop.testing.checks import close, global_state_kept, globally_seeded, model_kept, planar, refused, unchanged
from art_crop.testing.refusals import BAD_PHOTOS

__all__ = ["AttackConformance"]

Array = np.ndarray[Any, Any]
MakeAttack = Callable[..., Any]
Targets = Callable[[int], Any]


class AttackConformance(AttackContractChecks):
    """Subclass it, and give it a function that makes the attack.

    Example:
        >>> import pytest
        >>> from art_crop.testing import AttackConformance
        >>> class TestMyAttack(AttackConformance):
        ...     victim = "saliency"  # or "quality", "classifier": which small built-in model is attacked
        ...
        ...     @pytest.fixture
        ...     def make_attack(self):
        ...         return lambda estimator, **kwargs: MyAttack(estimator, **{"eps": 1.0, **kwargs})
    """

    budgets: ClassVar[tuple[float, ...]] = (0.2, 2.0)
    """Budgets to try, where the attack has an ``eps``; in units of the photo's range."""
    batch_tolerance: ClassVar[float] = 1e-4
    """Largest deviation of a photo's result alone from that in a batch; 0 where none is allowed."""
    always_changes: ClassVar[bool] = True
    """Whether every photo comes back changed; False for attacks that return a photo that needs no change as it is."""

    @pytest.fixture
    def estimator(self) -> Any:
        """The model that is attacked: a small built-in one of the kind ``victim``."""
        return doubles.tiny_estimator(self.victim)

    @pytest.fixture
    def estimator_channels_last(self) -> Any:
        """The same for photos (N, H, W, C); None where there is none."""
        return doubles.tiny_estimator(self.victim, channels_first=False)

    @pytest.fixture
    def photos(self, estimator: Any) -> Array:
        """Three photos (N, 3, H, W) in whole grey levels / 255, in the estimator's layout and range."""
        low, high = (float(value) for value in estimator.clip_values)
        shape = tuple(estimator.input_shape)
        height, width = shape[1:] if estimator.channels_first else shape[:2]
        x = doubles.photos(3, height if height > 0 else 32, width if width > 0 else 48)
        return planar((low + x * (high - low)).astype(np.float32), estimator.channels_first)

    @pytest.fixture
    def targets(self, estimator: Any, photos: Array) -> Targets:
        """Makes y of a length for ``generate``: regions, scores a little worse than the photos', or labels."""

        def make(count: int) -> Any:
            if self.victim == "saliency":
                return [Region(0.5, 0.5, 0.9, 1.0), Region(0.0, 0.0, 0.4, 0.5)] * (count // 2) + [
                    Region(0.5, 0.0, 1.0, 0.5)
                ] * (count % 2)
            if self.victim == "quality":
                low, high = estimator.score_range
                worse = -1 if estimator.higher_is_better else 1
                scores = estimator.predict(photos[:count]) + worse * 0.002 * (high - low)
                return np.clip(scores, low, high).astype(np.float32)
            return np.arange(count) % estimator.nb_classes

        return make

    def test_generate_returns_photos(self, attack: Any, photos: Array, targets: Targets) -> None:
        """ART's check_adverse_example_x: type, shape, finite, in range, changed; and an array of its own."""
        estimator = attack.estimator
        adversarial = attack.generate(photos, targets(3))
        assert isinstance(adversarial, np.ndarray), f"generate must return numpy, not {type(adversarial).__name__}"
        assert adversarial.dtype == np.float32, f"generate must return float32, not {adversarial.dtype}"
        assert adversarial.shape == photos.shape, (
            f"generate must keep the shape {photos.shape}, not {adversarial.shape}"
        )
        assert np.isfinite(adversarial).all(), "generate returned NaN or infinity"
        low, high = (float(value) for value in estimator.clip_values)
        assert adversarial.min() >= low, f"generate left clip_values: {adversarial.min()} is below {low}"
        assert adversarial.max() <= high, f"generate left clip_values: {adversarial.max()} is above {high}"
        assert not np.shares_memory(adversarial, photos), "generate returned the caller's own memory: return a copy"
        moved = np.abs(adversarial - photos).reshape(len(photos), -1).max(1) > 0
        assert moved.all() if self.always_changes else moved.any(), (
            f"generate returned photos {np.flatnonzero(~moved).tolist()} unchanged"
        )

    def test_the_budget_holds(self, estimator: Any, make_attack: MakeAttack, photos: Array, targets: Targets) -> None:
        """The norm of what is returned, and of what a uint8 file of it holds if the attack says ``quantize``."""
        low, high = (float(value) for value in estimator.clip_values)
        if "eps" not in make_attack(estimator).attack_params:
            pytest.skip("this attack states no eps")
        for budget in self.budgets:
            attack = make_attack(estimator, eps=budget * (high - low))
            norm = "inf" if getattr(attack, "norm", 2) in ("inf", np.inf) else str(getattr(attack, "norm", 2))
            found = attack.generate(photos, targets(3)).astype(np.float64)
            eps = np.broadcast_to(np.atleast_1d(np.asarray(attack.eps, np.float64)), len(photos))
            versions = {"": found}
            if getattr(attack, "quantize", False):
                levels = (found - low) / (high - low) * 255
                assert np.abs(levels - np.rint(levels)).max() < 1e-3, (
                    "an attack with quantize set must return whole grey levels: round inside the budget"
                )
                versions[" after rounding to uint8"] = low + np.rint(levels) / 255 * (high - low)
            for state, version in versions.items():
                sizes = _norms(version - photos, norm)
                assert (sizes <= eps * (1 + 1e-4) + 1e-6).all(), (
                    f"the budget is exceeded{state}: norms {sizes.round(4).tolist()}, allowed {eps.tolist()} (eps)"
                )

    def test_the_callers_arrays_are_not_written_into(self, attack: Any, photos: Array, targets: Targets) -> None:
        """Photos and targets; read-only photos must do."""
        y = targets(3)
        with unchanged("generate", photos, y):
            attack.generate(photos, y)
        read_only = photos.copy()
        read_only.flags.writeable = False
        attack.generate(read_only, targets(3))

    def test_strided_and_float64_photos_give_the_same(self, attack: Any, photos: Array, targets: Targets) -> None:
        """How an array lies in memory is no matter."""
        expected = attack.generate(photos, targets(3))
        for case, x in (("other strides", np.asfortranarray(photos)), ("float64", photos.astype(np.float64))):
            found = attack.generate(x, targets(3))
            assert found.dtype == np.float32, f"photos with {case}: the result must be float32, not {found.dtype}"
            assert close(expected, found, self.batch_tolerance), f"photos with {case} give another result"

    def test_channels_last_photos_give_the_same(
        self, estimator: Any, estimator_channels_last: Any, make_attack: MakeAttack, photos: Array, targets: Targets
    ) -> None:
        """(N, H, W, C) in, (N, H, W, C) out."""
        if estimator_channels_last is None or not estimator.channels_first:
            pytest.skip("no estimator with channels_first=False")
        expected = make_attack(estimator).generate(photos, targets(3))
        found = make_attack(estimator_channels_last).generate(planar(photos, False), targets(3))
        assert found.shape == planar(photos, False).shape, f"the layout was changed: {found.shape}"
        assert close(planar(expected, False), found, self.batch_tolerance), "channels-last photos get another result"

    def test_the_same_again_whatever_the_global_seeds(
        self, estimator: Any, make_attack: MakeAttack, photos: Array, targets: Targets
    ) -> None:
        """Randomness comes from the attack's own seed."""
        found = []
        for seed in (1, 2):
            with globally_seeded(seed):
                found.append(make_attack(estimator).generate(photos, targets(3)))
        assert np.array_equal(found[0], found[1]), (
            "the same attack gives two results: draw random numbers from a generator made from the attack's `seed`"
        )

    def test_a_photo_gets_the_same_alone_and_in_any_batch(
        self, estimator: Any, make_attack: MakeAttack, photos: Array, targets: Targets
    ) -> None:
        """Steps, budgets and random streams belong to a photo."""
        y = targets(3)
        together = make_attack(estimator).generate(photos, y)
        for order in ([1], [2, 0]):
            part = make_attack(estimator).generate(np.ascontiguousarray(photos[order]), _taken(y, order))
            assert close(together[order], part, self.batch_tolerance), (
                f"photos {order} get another result than in the whole batch: sum losses over the batch, and let random "
                "streams depend on the seed and the photo, not on its place"
            )

    def test_the_model_and_global_state_are_left_alone(
        self, estimator: Any, make_attack: MakeAttack, photos: Array, targets: Targets
    ) -> None:
        """Mode, requires_grad, .grad, hooks, buffers; random states."""
        attack = make_attack(estimator)
        with global_state_kept("generate"):
            if hasattr(getattr(estimator, "model", None), "named_parameters"):
                with model_kept(estimator.model, "generate"):
                    attack.generate(photos, targets(3))
            else:
                attack.generate(photos, targets(3))

    @pytest.mark.parametrize("case", [case for case in BAD_PHOTOS if case != "text"])
    def test_bad_photos_are_refused(self, attack: Any, photos: Array, targets: Targets, case: str) -> None:
        """By a message that names x."""
        bad = BAD_PHOTOS[case](photos, attack.estimator.clip_values)
        with refused("x", f"generate with {case}"):
            attack.generate(bad, targets(3))

    def test_bad_targets_are_refused(self, attack: Any, photos: Array, targets: Targets) -> None:
        """Too few of them; none at all where the attack is targeted."""
        with refused("y|objective|regions?", "generate with 2 targets for 3 photos"):
            attack.generate(photos, targets(2))
        if attack.targeted:
            with refused("y|objective|regions?", "generate of a targeted attack without targets"):
                attack.generate(photos)

    def test_results_tell_the_truth(self, attack: Any, photos: Array, targets: Targets) -> None:
        """Where the attack keeps ``results``: one for each photo, with the norms of what was returned."""
        adversarial = attack.generate(photos, targets(3))
        results = getattr(attack, "results", None)
        if results is None:
            pytest.skip("this attack keeps no results")
        assert len(results) == len(photos), f"results must have one entry a photo, not {len(results)}"
        delta = adversarial.astype(np.float64) - photos
        for name, norm in (("l2", "2"), ("linf", "inf")):
            told = [float(getattr(result, name)) for result in results if hasattr(result, name)]
            truth = _norms(delta, norm)
            assert not told or np.allclose(told, truth, rtol=1e-3, atol=1e-6), (
                f"results say {name} {told}, the photos that were returned {truth.tolist()}"
            )
        for result, (i, photo) in zip(results, enumerate(adversarial), strict=True):
            assert isinstance(result.success, bool), "results: success must be True or False"
            verdict = self.succeeded(attack.estimator, photo[None], _taken(targets(3), [i]))
            assert verdict is None or verdict == result.success, (
                f"results say success={result.success} of photo {i}, the returned photo says {verdict}"
            )

    def succeeded(self, estimator: Any, photo: Array, y: Any) -> bool | None:
        """Whether a returned photo (1, ...) does what was asked; None, the default, where nobody can say."""
        return None

    def test_masked_pixels_do_not_change(self, attack: Any, photos: Array, targets: Targets) -> None:
        """ART's backend_masked_images, where ``generate`` takes a mask."""
        try:  # ART hides the signature of generate
            attack.generate(photos, targets(3), mask=np.ones(photos.shape, np.float32))
        except (ValueError, TypeError) as error:
            assert "mask" in str(error), f"a mask of ones is refused, and the message does not name it: {error}"
            pytest.skip("generate of this attack takes no mask")
        shape = (1, *photos.shape[2:]) if attack.estimator.channels_first else (*photos.shape[1:3], 1)
        rng = np.random.default_rng(0)
        for size in (shape, photos.shape):
            mask = rng.integers(0, 2, size).astype(np.float32)
            change = attack.generate(photos, targets(3), mask=mask) - photos
            masked = np.broadcast_to(mask == 0, photos.shape)
            assert not change[masked].any(), "pixels changed where the mask is 0"
            assert change[~masked].any(), "nothing changed where the mask is 1"
        with refused("mask", "a mask with a NaN"):
            attack.generate(photos, targets(3), mask=np.full(photos.shape, np.nan))


def _taken(y: Any, order: list[int]) -> Any:
    return y[order] if isinstance(y, np.ndarray) else [y[i] for i in order]


def _norms(delta: Array, norm: str) -> Array:
    flat = delta.reshape(len(delta), -1)
    sizes: Array = np.abs(flat).max(1) if norm == "inf" else np.linalg.norm(flat, float(norm), axis=1)
    return sizes
