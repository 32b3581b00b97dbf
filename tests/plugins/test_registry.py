"""Names lead to the objects they promise, and a wrong name to a helpful sentence."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

import art_crop
from art_crop.errors import InvalidInputError, MissingDependencyError, PluginError, PluginWarning
from art_crop.plugins import builtin, catalogue, registry
from art_crop.plugins.loading import HOOKS
from art_crop.plugins.specs import DatasetSpec, ModelSpec, PluginSpec


def shipped() -> Iterator[PluginSpec]:
    """Every record that the built-in hooks give, asked for without the registry."""
    for hook in HOOKS:
        yield from getattr(builtin, hook, tuple)()


def test_every_builtin_target_exists() -> None:
    absent = []
    for spec in shipped():
        module, _, attribute = spec.target.partition(":")
        if not hasattr(importlib.import_module(module), attribute):
            absent.append(spec.target)
    assert absent == []


def test_all_that_ships_is_listed_under_names_of_its_own() -> None:
    keys = [(spec.kind, spec.name) for spec in shipped()]
    assert len(keys) == len(set(keys)) > 20
    assert {(record.kind, record.name) for record in art_crop.list_plugins() if record.distribution == "art-crop"} == {
        *keys
    }


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
    (record,) = [
        record
        for record in art_crop.list_plugins()
        if (record.kind, record.name, record.distribution) == (kind, name, "art-crop")
    ]
    assert record.distribution == "art-crop"
    assert record.version == art_crop.__version__
    assert record.status == "available"
    assert record.summary


def test_attack_is_found_by_name_and_by_class_name() -> None:
    from art_crop.attacks.saliency_peak import SaliencyPeakFGM

    assert art_crop.load_attack("saliency-peak-fgm") is SaliencyPeakFGM
    assert art_crop.load_attack("SaliencyPeakFGM") is SaliencyPeakFGM


def test_every_metric_record_is_loaded_by_its_own_name() -> None:
    from art_crop.attacks.sensitivity_carlini import SENSITIVITY_L2
    from art_crop.metrics import METRICS

    listed = {
        record.name
        for record in art_crop.list_plugins()
        if (record.kind, record.distribution) == ("metric", "art-crop")
    }
    # One needs a model, so it stands beside the attack that uses the same one.
    assert {name: art_crop.load_metric(name) for name in listed} == {**METRICS, "sensitivity-l2": SENSITIVITY_L2}


@pytest.mark.parametrize(
    ("load", "name", "hint"),
    [
        (art_crop.load_model, "gaze-light", "gaze-lite"),
        (art_crop.load_model, "FastGaze", "fastgaze"),
        (art_crop.load_model, "/gaze-lite", "did you mean gaze-lite"),
        (art_crop.load_model, "", "known names: .*gaze-lite"),
        (art_crop.load_attack, "saliency-peak", "saliency-peak-fgm"),
        (art_crop.load_metric, "ciede2000", "ciede2000-mean"),
        (art_crop.load_dataset, "zzz", "known names: .*folder.*osie"),
    ],
)
def test_unknown_name_gives_the_nearest(load, name: str, hint: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInputError, match=hint) as caught:
        load(name)
    assert repr(name) in str(caught.value)


def test_missing_requirement_says_what_to_install(site: Any) -> None:
    site.plugin(
        "needy",
        """
        @hookimpl
        def art_crop_attacks():
            more = ("no-such-package>=2", "pluggy>=1", "pluggy>=99", "other; python_version < '3'")
            yield AttackSpec(name="needy", target="json:JSONDecoder", summary="needs more", requirements=more)
        """,
    )
    with pytest.raises(MissingDependencyError, match=r'pip install "no-such-package>=2" "pluggy>=99"$'):
        art_crop.load_attack("needy")
    (record,) = [record for record in art_crop.list_plugins() if record.name == "needy"]
    assert record.status == "missing: no-such-package>=2, pluggy>=99"


def test_every_kind_reaches_its_loader(site: Any) -> None:
    kinds = ("model", "dataset", "defence", "executor")
    site.plugin(
        "all-kinds",
        "".join(
            f"@hookimpl\ndef art_crop_{kind}s():\n"
            f"    yield {kind.title()}Spec(name='a-{kind}', target='fractions:Fraction', summary='s')\n"
            for kind in kinds
        ),
    )
    for kind in kinds:
        load = getattr(art_crop, f"load_{kind}")
        assert load(f"a-{kind}", numerator=6, denominator=4) == Fraction(3, 2)
        assert load(f"All_Kinds/a-{kind}", numerator=6) == 6
        with pytest.raises(InvalidInputError, match=f"there is no {kind} 'a-{kind}x'; did you mean a-{kind}?"):
            load(f"a-{kind}x")


def test_two_owners_of_one_name(site: Any) -> None:
    site.good("first-dist", "shared-name", "mine", version="1.2")
    site.good("Second_Dist", "shared-name", version="3.4")
    with pytest.raises(PluginError) as caught, pytest.warns(PluginWarning, match="shared-name"):
        art_crop.load_model("shared-name")
    for text in ("first-dist 1.2", "Second_Dist 3.4", "'first-dist/shared-name'", "'second-dist/shared-name'"):
        assert text in str(caught.value)
    assert art_crop.load_model("first-dist/shared-name", numerator=1) == 1
    assert art_crop.load_model("Second.Dist/shared-name", numerator=2) == 2
    assert art_crop.load_model("mine", numerator=3) == 3
    rows = {record.distribution: record for record in art_crop.list_plugins() if record.name == "shared-name"}
    assert rows["first-dist"].status == "ask for first-dist/shared-name"
    assert rows["Second_Dist"].ask_for == "second-dist/shared-name"
    assert site.status("first-dist").status == site.status("Second_Dist").status == "conflict"
    assert "also given by Second_Dist 3.4" in site.status("first-dist").reasons[0]


def test_a_built_in_name_stays_the_built_in(site: Any) -> None:
    site.plugin(
        "taker",
        """
        @hookimpl
        def art_crop_attacks():
            yield AttackSpec(name="gaussian-noise", target="fractions:Fraction", summary="s")
            yield AttackSpec(name="other-name", target="no_such_place:GaussianNoise", summary="s")
        """,
    )
    from art_crop.attacks.gaussian_noise import GaussianNoise

    with pytest.warns(PluginWarning, match="taker 1.0"):
        art_crop.list_plugins()
    for name in ("gaussian-noise", "GaussianNoise", "art-crop/gaussian-noise", "art_crop/GaussianNoise"):
        assert art_crop.load_attack(name) is GaussianNoise
    assert art_crop.load_attack("taker/gaussian-noise") is Fraction
    assert {record.ask_for for record in art_crop.list_plugins() if record.name == "gaussian-noise"} == {
        "gaussian-noise",
        "taker/gaussian-noise",
    }


def test_unknown_names_below_a_distribution(site: Any) -> None:
    site.good("mine", "sharp-eye")
    for wrong in ("mine/sharp-ey", "minx/sharp-eye"):
        with pytest.raises(InvalidInputError, match="did you mean mine/sharp-eye"):
            art_crop.load_model(wrong)
    with pytest.raises(InvalidInputError, match="name: must be text, not int"):
        art_crop.load_model(3)  # type: ignore[arg-type]


OF_A_TASK = """
class Estimator:
    def __init__(self, **options):
        self.options, self.task = options, options.get("is_for", "quality")

def chooses(task="both", size=1):
    found = Estimator(task=task, size=size)
    found.task = task
    return found

@hookimpl
def art_crop_models():
    yield model("scores", "of_tasks_plugin:Estimator", task="quality")
    yield model("says-later", "of_tasks_plugin:Estimator")
    yield model("chooses", "of_tasks_plugin:chooses")
    yield model("a-number")
"""


def test_a_model_is_asked_for_by_its_task(site: Any) -> None:
    site.plugin("of-tasks", OF_A_TASK)
    for name in ("scores", "of-tasks/scores", "says-later"):
        assert art_crop.load_model(name, task="quality", size=3).options == {"size": 3}
    assert art_crop.load_model("gaze-lite", task="saliency", device="cpu").name == "gaze-lite"
    for name, task, options, error in (
        ("gaze-lite", "quality", {}, "model 'gaze-lite' .* is for saliency, not for quality"),
        ("scores", "saliency", {}, "model 'scores' of of-tasks 1.0 is for quality, not for saliency"),
        ("scores", "quality", {"is_for": "saliency"}, "is for saliency, not for quality"),
        ("says-later", "saliency", {}, "model 'says-later' .* is for quality, not for saliency"),
        ("a-number", "saliency", {}, "is for none of the tasks known here, not for saliency"),
        ("scores", "cropping", {}, "one of saliency, quality, classification or None"),
        ("scores", ["quality"], {}, "one of saliency, quality, classification or None"),
    ):
        with pytest.raises(InvalidInputError, match=f"^task: .*{error}"):
            art_crop.load_model(name, task=task, **options)


def test_a_models_own_option_called_task_stays_its_own(site: Any) -> None:
    site.plugin("of-tasks", OF_A_TASK)
    assert art_crop.load_model("chooses").task == "both"
    assert art_crop.load_model("chooses", task="anything", size=2).options == {"task": "anything", "size": 2}
    assert art_crop.load_model("chooses", task="saliency").task == "saliency"


def test_a_models_own_version_and_facts_are_listed(site: Any) -> None:
    site.plugin(
        "facts",
        "@hookimpl\ndef art_crop_models():\n"
        "    yield model('known', task='quality', licence='Apache-2.0', version='2018', weights='json:dumps')",
    )
    (record,) = [record for record in art_crop.list_plugins() if record.distribution == "facts"]
    assert (record.version, record.task, record.licence, record.fetched) == ("2018", "quality", "Apache-2.0", True)
    assert registry.model_weights("known") is json.dumps
    assert registry.model_weights("gaze-lite") == "embedded"


def test_plugins_are_read_once(site: Any) -> None:
    site.plugin("counting", "open(__file__ + '.count', 'a').write('x')\n@hookimpl\ndef art_crop_models(): return []")
    for _ in range(3):
        art_crop.list_plugins()
    assert (site.folder / "counting_plugin.py.count").read_text() == "x"
    site.good("late", "late-one")
    assert "late-one" not in {record.name for record in art_crop.list_plugins()}
    catalogue.forget()
    assert "late-one" in {record.name for record in art_crop.list_plugins()}


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


@pytest.mark.parametrize(
    ("field", "value"),
    [("photos", -1), ("photos", "24"), ("photos", True), ("source", "https://example.org"), ("source", None)],
)
def test_malformed_records_of_datasets_are_refused(field: str, value: object) -> None:
    fields: Any = {"name": "x", "target": "a.b:c", "summary": "s", field: value}
    with pytest.raises(InvalidInputError, match=f"DatasetSpec 'x': {field} must"):
        DatasetSpec(**fields)


def test_a_datasets_source_is_found_by_name(site: Any) -> None:
    site.plugin(
        "with-data",
        """
        from art_crop.plugins import DatasetSpec

        @hookimpl
        def art_crop_datasets():
            yield DatasetSpec(name="sourced", target="x:y", summary="s", source="fractions:Fraction")
            yield DatasetSpec(name="own-affair", target="x:y", summary="s")
            yield DatasetSpec(name="lost", target="x:y", summary="s", source="no_such_module:SOURCE")
        """,
    )
    assert registry.dataset_source("sourced") is Fraction
    assert registry.dataset_source("own-affair") == ""
    assert registry.dataset_source("folder") == "path"
    with pytest.raises(PluginError, match=r"with-data .*no_such_module"):
        registry.dataset_source("lost")
