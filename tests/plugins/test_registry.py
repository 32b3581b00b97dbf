"""Names lead to the objects they promise, and a wrong name to a helpful sentence."""

from __future__ import annotations

import importlib

import pytest

import art_crop
from art_crop.errors import InvalidInputError, MissingDependencyError
from art_crop.plugins import registry
from art_crop.plugins.registry import BUILTIN
from art_crop.plugins.specs import AttackSpec, DatasetSpec, ModelSpec


def test_every_builtin_target_exists() -> None:
    absent = []
    for spec in BUILTIN:
        module, _, attribute = spec.target.partition(":")
        if not hasattr(importlib.import_module(module), attribute):
            absent.append(spec.target)
    assert absent == []


def test_names_are_unique_within_a_kind() -> None:
    keys = [(spec.kind, spec.name) for spec in BUILTIN]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("model", "gaze-lite"),
        ("model", "gaze-lite-human"),
        ("model", "fastgaze"),
        ("attack", "saliency-peak-fgm"),
        ("attack", "gaussian-noise"),
        ("metric", "ciede2000-p95"),
        ("dataset", "osie"),
    ],
)
def test_promised_names_are_listed(kind: str, name: str) -> None:
    (record,) = [record for record in art_crop.list_plugins() if (record.kind, record.name) == (kind, name)]
    assert record.distribution == "art-crop"
    assert record.version == art_crop.__version__
    assert record.status == "available"
    assert record.summary


def test_attack_is_found_by_name_and_by_class_name() -> None:
    from art_crop.attacks.saliency_peak import SaliencyPeakFGM

    assert art_crop.load_attack("saliency-peak-fgm") is SaliencyPeakFGM
    assert art_crop.load_attack("SaliencyPeakFGM") is SaliencyPeakFGM


def test_every_metric_record_is_loaded_by_its_own_name() -> None:
    from art_crop.metrics import METRICS

    listed = {record.name for record in art_crop.list_plugins() if record.kind == "metric"}
    assert {name: art_crop.load_metric(name) for name in listed} == dict(METRICS)


@pytest.mark.parametrize(
    ("load", "name", "hint"),
    [
        (art_crop.load_model, "gaze-light", "gaze-lite"),
        (art_crop.load_model, "FastGaze", "fastgaze"),
        (art_crop.load_attack, "saliency-peak", "saliency-peak-fgm"),
        (art_crop.load_metric, "ciede2000", "ciede2000-mean"),
        (art_crop.load_dataset, "zzz", "known names: folder, osie"),
    ],
)
def test_unknown_name_gives_the_nearest(load, name: str, hint: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInputError, match=hint) as caught:
        load(name)
    assert repr(name) in str(caught.value)


def test_missing_requirement_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    needy = AttackSpec(
        name="needy",
        target="json:JSONDecoder",
        summary="needs more",
        requirements=("no-such-package>=2",),
    )
    monkeypatch.setattr(registry, "BUILTIN", (needy,))
    with pytest.raises(MissingDependencyError, match='pip install "no-such-package>=2"'):
        registry.load_attack("needy")
    assert registry.list_plugins()[0].status == "missing: no-such-package>=2"


def test_keyword_arguments_reach_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        registry,
        "BUILTIN",
        (DatasetSpec(name="fractions", target="fractions:Fraction", summary="a number"),),
    )
    assert registry.load_dataset("fractions", numerator=6, denominator=4) * 2 == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Gaze Lite"),
        ("name", ""),
        ("target", "art_crop.models"),
        ("target", "os.system('x')"),
        ("summary", ""),
        ("summary", "two\nlines"),
    ],
)
def test_malformed_records_are_refused(field: str, value: str) -> None:
    fields = {"name": "x", "target": "a.b:c", "summary": "s", field: value}
    with pytest.raises(InvalidInputError, match=field):
        ModelSpec(**fields)
