"""What ART asks of every attack: its class, its estimator, its parameters.

Ported from ART's own tests, which cannot be imported from outside:
https://github.com/Trusted-AI/adversarial-robustness-toolbox, tests/attacks/utils.py
(backend_test_classifier_type_check_fail, backend_test_random_initialisation_images) and the test_check_params of its
evasion attacks, MIT licence.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from art.attacks.attack import EvasionAttack
from art.exceptions import EstimatorError

from art_crop.errors import InvalidInputError
from art_crop.testing import doubles
from art_crop.testing.checks import refused, same

__all__ = ["COMMON_BAD_PARAMETERS", "AttackContractChecks"]

Array = np.ndarray[Any, Any]
COMMON_BAD_PARAMETERS: Mapping[str, Sequence[Any]] = {
    "norm": ("l7", None),
    "eps": (-1.0, float("nan"), "1"),
    "eps_step": (-1.0, float("nan"), "1"),
    "max_iter": (-1, 1.5, "3"),
    "batch_size": (0, -1, "4"),
    "num_random_init": (-1, 0.5, "1"),
    "momentum": (-0.1, float("nan"), "0"),
    "seed": (-1, 0.5, "0"),
    "minimal": ("yes", None),
    "quantize": ("floor", 2),
    "early_stop": ("yes", None),
    "random_init": ("yes", None),
    "targeted": ("yes", None),
    "verbose": ("yes", 2),
}
"""Values that no attack can mean, by parameter; tried for those that an attack has."""


class AttackContractChecks:
    """Class, estimator, parameters."""

    victim: ClassVar[doubles.Victim] = "saliency"
    """Which kind of model the attack is for."""
    bad_parameters: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """Further values that the constructor and set_params must refuse; an empty sequence switches a common one off."""

    @pytest.fixture
    def make_attack(self) -> Callable[..., Any]:
        """(estimator, **kwargs) -> attack."""
        pytest.fail(
            f"{type(self).__name__}: define a pytest fixture `make_attack` that returns a function "
            "(estimator, **kwargs) -> your attack",
            pytrace=False,
        )

    @pytest.fixture
    def attack(self, estimator: Any, make_attack: Callable[..., Any]) -> Any:
        """The attack with its default parameters."""
        return make_attack(estimator)

    def test_it_is_an_evasion_attack_of_art(self, attack: Any) -> None:
        """By inheritance, with its requirements stated."""
        assert isinstance(attack, EvasionAttack), f"{type(attack).__name__} must inherit from ART's EvasionAttack"
        assert attack.estimator_requirements, "_estimator_requirements is empty: state the estimator classes it needs"
        missing = [name for name in EvasionAttack.attack_params if name not in attack.attack_params]
        assert not missing, f"attack_params must extend EvasionAttack.attack_params; {missing} missing"

    def test_estimators_of_another_kind_are_refused(self, make_attack: Callable[..., Any]) -> None:
        """ART's backend_test_classifier_type_check_fail, with a sentence that names the estimator."""
        for estimator in (doubles.Unusable(model=None, clip_values=(0, 1)), None):
            said = _refusal(make_attack, estimator)
            assert said is not None, (
                f"an estimator {type(estimator).__name__} was accepted; state _estimator_requirements"
            )
            assert "estimator" in said, f"an unusable estimator is refused, and the message does not say so: {said!r}"

    def test_models_of_other_tasks_are_taken_or_refused(self, make_attack: Callable[..., Any]) -> None:
        """A model that the attack cannot use is no reason for anything but a sentence, white box or query-only."""
        for name, estimator in doubles.one_of_each().items():
            said = _refusal(make_attack, estimator)
            assert said is None or "estimator" in said or type(estimator).__name__ in said, (
                f"{name}: refused, and the message names neither the estimator nor its class: {said!r}"
            )

    def test_targeted_is_stated(self, attack: Any) -> None:
        """True or False; ART's attribute."""
        assert isinstance(attack.targeted, bool), f"targeted must be True or False (_targeted), not {attack.targeted!r}"

    def test_every_parameter_can_be_read_and_set_to_itself(self, attack: Any) -> None:
        """And shows in repr."""
        for name in attack.attack_params:
            assert hasattr(attack, name), f"attack_params names {name}, which is no attribute"
            value = getattr(attack, name)
            if name != "summary_writer":
                attack.set_params(**{name: value})
            assert f"{name}=" in repr(attack), f"repr(attack) must show {name}"

    def test_bad_parameters_are_refused_and_do_not_stay(self, estimator: Any, make_attack: Callable[..., Any]) -> None:
        """ART's test_check_params, for the constructor and for set_params, which must take all or none."""
        attack = make_attack(estimator)
        table = {**COMMON_BAD_PARAMETERS, **self.bad_parameters}
        for name, values in table.items():
            if name not in attack.attack_params:
                continue
            for value in values:
                if _takes(make_attack, attack, name):
                    with refused(name, f"the constructor with {name}={value!r}"):
                        make_attack(estimator, **{name: value})
                before = {key: getattr(attack, key) for key in attack.attack_params}
                other = next(
                    (key for key in ("seed", "max_iter", "batch_size") if before.get(key) is not None and key != name),
                    None,
                )
                case = {name: value} if other is None else {other: before[other] + 1, name: value}
                with refused(name, f"set_params({case})"):
                    attack.set_params(**case)
                stayed = [key for key in before if not same(before[key], getattr(attack, key))]
                assert not stayed, (
                    f"set_params({case}) was refused, yet {stayed} changed: check first, or put everything back"
                )

    def test_unknown_keywords_are_refused(
        self, estimator: Any, make_attack: Callable[..., Any], photos: Array, targets: Callable[[int], Any]
    ) -> None:
        """By the constructor, set_params and generate; ART's own attacks swallow them."""
        attack = make_attack(estimator)
        with refused("no_such_keyword", "the constructor with an unknown keyword"):
            make_attack(estimator, no_such_keyword=1)
        with refused("no_such_keyword", "set_params with an unknown keyword"):
            attack.set_params(no_such_keyword=1)
        with refused("no_such_keyword", "generate with an unknown keyword"):
            attack.generate(photos, targets(3), no_such_keyword=1)

    def test_random_initialisation_changes_the_result(
        self, estimator: Any, make_attack: Callable[..., Any], photos: Array, targets: Callable[[int], Any]
    ) -> None:
        """ART's backend_test_random_initialisation_images, where there is such a parameter."""
        attack = make_attack(estimator)
        name = next((key for key in ("random_init", "num_random_init") if key in attack.attack_params), None)
        if name is None or getattr(attack, "minimal", False):
            pytest.skip("this attack begins where it is told to")
        exact = {"quantize": False} if "quantize" in attack.attack_params else {}  # whole levels may hide the noise
        plain, started = (
            make_attack(estimator, **exact, **{name: type(getattr(attack, name))(on)}).generate(photos, targets(3))
            for on in (0, 1)
        )
        assert not np.array_equal(plain, started), f"{name} makes no difference"

    def test_nothing_is_printed_unless_asked_for(
        self, attack: Any, photos: Array, targets: Callable[[int], Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """``verbose=False`` means silence."""
        if getattr(attack, "verbose", None) is not False:
            pytest.skip("this attack is not silent by default, or has no verbose")
        capsys.readouterr()
        attack.generate(photos, targets(3))
        output = "".join(capsys.readouterr())
        assert not output, f"an attack with verbose=False printed {output[:200]!r}"


def _takes(make_attack: Callable[..., Any], attack: Any, name: str) -> bool:
    """Whether the constructor has a parameter of that name, or takes any keyword."""
    parameters = inspect.signature(type(attack).__init__).parameters.values()
    return any(p.name == name or p.kind is p.VAR_KEYWORD for p in parameters)


def _refusal(make_attack: Callable[..., Any], estimator: Any) -> str | None:
    """What the constructor says against an estimator; None where it takes it."""
    try:
        make_attack(estimator)
    except (EstimatorError, InvalidInputError) as error:
        return str(error)
    except Exception as error:
        raise AssertionError(
            f"an unusable estimator: {type(error).__name__}: {error}. Call super().__init__(estimator=...) first, so "
            "that ART raises its EstimatorError"
        ) from error
    return None
