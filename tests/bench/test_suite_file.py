"""Suites as TOML: every mistake is named with its file, its key and what is allowed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from art_crop.bench.suite import Suite
from art_crop.bench.suite_file import SuiteError, load_suite, shipped_suites

pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")

TABLE = """
[[table]]
columns = "eps"
values = ["share-within-16px", "median l2", "mean psnr"]
paper = { steps = { "1" = [0.5] } }
"""
GOOD = """
name = "mine"
protocol = "second-peak"
metrics = ["psnr"]
seeds = [0, 1]
attacked = ["gaze-lite"]
scored = ["strict"]

[data]
width = 320

[models.gaze-lite]

[models.strict]
plugin = "gaze-lite-human"

[[attack]]
method = "steps"
plugin = "saliency-peak-fgm"
params = { max_iter = 3 }
grid = { eps = [1.0, 2.0] }

[[attack.special]]
when = { eps = 2.0 }
params = { max_iter = 9 }

[[attack]]
method = "noise"
plugin = "gaussian-noise"
attacked = []
"""
GOOD += TABLE


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def suite(folder: Path, text: str = GOOD) -> Suite:
    return load_suite(written(folder, text))


def test_a_suite_becomes_its_settings(tmp_path: Path) -> None:
    found = [(s.method, s.attacked, s.scored, dict(s.params), s.seed) for s in suite(tmp_path).settings()]
    assert found == [
        ("steps", "gaze-lite", "strict", {"max_iter": 3, "eps": 1.0}, 0),
        ("steps", "gaze-lite", "strict", {"max_iter": 3, "eps": 1.0}, 1),
        ("steps", "gaze-lite", "strict", {"max_iter": 9, "eps": 2.0}, 0),
        ("steps", "gaze-lite", "strict", {"max_iter": 9, "eps": 2.0}, 1),
        ("noise", "", "strict", {}, 0),
        ("noise", "", "strict", {}, 1),
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('protocol = "second-peak"', "", ["protocol", "is missing"]),
        (
            'protocol = "second-peak"',
            'protocol = "first-peak"',
            ["protocol", "first-peak", "second-peak", "crop-window"],
        ),
        ('name = "mine"', 'name = "My suite"', ["name", "lower-case"]),
        ('name = "mine"', 'name = "mine"\ntitel = "x"', ["titel", "did you mean 'title'"]),
        ('name = "mine"', 'name = "mine"\nthreads = 0', ["threads", "at least 1"]),
        ('name = "mine"', 'name = "mine"\nthreads = true', ["threads", "whole number", "True"]),
        ("seeds = [0, 1]", "seeds = [1, 1]", ["seeds", "different"]),
        ("seeds = [0, 1]", "seeds = [9007199254740993]", ["seeds", "from 0 to 2**53"]),
        ("seeds = [0, 1]", "seeds = [9223372036854775808]", ["seeds[0]", "64 bits"]),
        ("width = 320", "width = -1", ["data.width", "at least 0"]),
        ("width = 320", 'width = "320"', ["data.width", "whole number", "'320'"]),
        ("width = 320", 'dataset = "foldr"', ["data.dataset", "foldr", "folder"]),
        ("width = 320", "options = { root = 'x' }", ["data.options.root", "--images"]),
        ("width = 320", 'selection = "paper"', ["data.selection", "did you mean 'paper-001'", "'all'"]),
        ("width = 320", "selection_options = { max_maxim = 3 }", ["max_maxim", "did you mean 'max_maxima'"]),
        ('scored = ["strict"]', 'scored = ["stict"]', ["scored[0]", "did you mean 'strict'"]),
        ('scored = ["strict"]', "", ["attack[0].scored", "at least one"]),
        ('plugin = "gaze-lite-human"', 'plugin = "gaze-lite-humann"', ["models.strict.plugin", "gaze-lite-human"]),
        (
            "[models.gaze-lite]",
            "[models.gaze-lite]\noptions = { weights = 'x' }",
            ["gaze-lite.options.weights", "--weights"],
        ),
        ('plugin = "saliency-peak-fgm"', 'plugin = "saliency-peak"', ["attack[0].plugin", "saliency-peak-fgm"]),
        ("grid = { eps = [1.0, 2.0] }", "grid = { eps = 1.0 }", ["attack[0].grid.eps", "a list"]),
        ("grid = { eps = [1.0, 2.0] }", "grid = { eps = [nan] }", ["attack[0].grid.eps[0]", "finite"]),
        ("grid = { eps = [1.0, 2.0] }", "grid = { max_iter = [1] }", ["grid.max_iter", "params as well"]),
        ("params = { max_iter = 3 }", "params = { seed = 3 }", ["attack[0].params.seed", "seeds"]),
        ("when = { eps = 2.0 }", "when = {}", ["attack[0].special[0].when", "empty"]),
        ("when = { eps = 2.0 }", "when = { epss = 2.0 }", ["attack[0].special[0].when.epss", "did you mean 'eps'"]),
        ("when = { eps = 2.0 }", "when = { eps = 3.0 }", ["attack[0].special[0].when.eps", "never 3.0", "1.0, 2.0"]),
        ("params = { max_iter = 9 }", "params = { seed = 9 }", ["attack[0].special[0].params.seed", "seeds"]),
        (
            'method = "noise"\nplugin = "gaussian-noise"\nattacked = []',
            'method = "steps"\nplugin = "gaussian-noise"\nattacked = ["strict", "gaze-lite"]',
            ["attack[1].method", "'steps' stands there already"],
        ),
        ('method = "noise"', 'method = "noise"\nmask = "bnd"', ["attack[1].mask", "did you mean 'band'"]),
        ('metrics = ["psnr"]', 'metrics = ["psn"]', ["metrics[0]", "psnr"]),
        ('metrics = ["psnr"]', 'metrics = ["nss"]', ["metrics[0]", "no measure of two photos"]),
        ('metrics = ["psnr"]', "protocol_options = { peek = 'cell' }", ["protocol_options", "peek", "allowed: peak"]),
        ('metrics = ["psnr"]', "protocol_options = { peak = 'row' }", ["protocol_options", "map-column", "row"]),
        ('name = "mine"', 'name = "mine', ["is not TOML", "line 2"]),
        ('protocol = "second-peak"', 'task = "first-peak"', ["mine.toml: task: ", "first-peak", "second-peak"]),
        ('protocol = "second-peak"', "task = 3", ["mine.toml: task: a text is needed, not 3"]),
        ('name = "mine"', 'name = "mine"\ntask = "crop-window"', ["protocol: is the earlier name of task"]),
        (
            'metrics = ["psnr"]',
            "task_options = {}\nprotocol_options = {}",
            ["protocol_options: is the earlier name of task_options"],
        ),
        ('metrics = ["psnr"]', "task_options = { peek = 1 }", ["mine.toml: task_options: 'peek'"]),
        ('method = "noise"', 'method = "noise"\nsuccess_oracle = 1', ["attack[1].success_oracle", "true or false"]),
        ('method = "noise"', 'method = "noise"\njudged = 1', ["attack[1].judged", "true or false"]),
        (
            'method = "noise"',
            'method = "noise"\njudged = true\nsuccess_oracle = true',
            ["attack[1].judged: is the earlier name of success_oracle"],
        ),
        ('method = "noise"', 'method = "noise"\nsucess_oracle = true', ["did you mean 'success_oracle'"]),
        ('method = "noise"', 'method = "noise"\nskip = [["gaze-lite"]]', ["attack[1].skip[0]", "a pair of texts"]),
        ('method = "noise"', 'method = "noise"\nskip = [["gaze-lite", "x"]]', ["attack[1].skip[0][1]", "'strict'"]),
        ("[models.strict]", "[models.strict]\noptoins = {}", ["models.strict.optoins", "did you mean 'options'"]),
        ("[models.strict]", '[models.strict]\ndefences = ["b"]', ["models.strict.defences[0]", "'b'"]),
        ("params = { max_iter = 3 }", "params = { d = 1979-05-27 }", ["attack[0].params.d", "text, a number"]),
        ("[data]", "[data]\nfirst = [-1]", ["data.first: ", "from 0 to 2**53"]),
        ("[data]", "[limits]\nphoto_seconds = -1\n[data]", ["limits.photo_seconds", "a number of at least 0"]),
        (TABLE, TABLE.replace("columns =", "title = 3\ncolumns ="), ["table[0].title", "a text is needed, not 3"]),
        (TABLE, TABLE.replace("median l2", "medial l2"), ["table[0].values", "did you mean 'median l2'"]),
        (TABLE, TABLE.replace("psnr", "spnr"), ["table[0].values", "did you mean 'psnr'"]),
        (TABLE, TABLE.replace("psnr", "ssim"), ["table[0].values", "'mean ssim'; no result will have it"]),
        (TABLE, TABLE.replace('"eps"', '"epsilon"'), ["table[0].columns", "'epsilon'", "eps"]),
        (TABLE, TABLE.replace("steps =", "stepps ="), ["table[0].paper.stepps", "did you mean 'steps'"]),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in GOOD
    with pytest.raises(SuiteError) as caught:
        suite(tmp_path, GOOD.replace(old, new, 1))
    for word in ("mine.toml", *words):
        assert word in str(caught.value)


def test_a_saliency_attack_on_a_classifier_is_found_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from art_crop.bench import suite_checks
    from art_crop.plugins.catalogue import Entry
    from art_crop.plugins.lookup import find
    from art_crop.plugins.specs import ModelSpec

    def with_classifier(kind: str, name: str) -> Entry:
        if name == "some-classifier":
            spec = ModelSpec(name=name, target="none:none", summary="one", task="classification")
            return Entry(spec, "art-crop-x", "1")
        return find(kind, name)  # type: ignore[arg-type]

    monkeypatch.setattr(suite_checks, "find", with_classifier)
    with pytest.raises(SuiteError, match=r"mine.toml: scored: 'strict' is a classification model.*saliency"):
        suite(tmp_path, GOOD.replace("gaze-lite-human", "some-classifier"))


def test_missing_files_are_said() -> None:
    with pytest.raises(SuiteError, match="there is no such suite"):
        load_suite("/nowhere/mine.toml")


def test_the_hash_is_of_what_decides_numbers(tmp_path: Path) -> None:
    first = suite(tmp_path).sha256
    assert suite(tmp_path, GOOD + "\n# a remark\n").sha256 == first
    assert suite(tmp_path, 'title = "Other"\n' + GOOD).sha256 == first
    assert suite(tmp_path, GOOD + '[[table]]\ntitle = "t"\nvalues = ["success"]\n').sha256 == first
    assert suite(tmp_path, GOOD.replace("width = 320", "width = 321")).sha256 != first
    assert suite(tmp_path, GOOD.replace("max_iter = 9", "max_iter = 8")).sha256 != first


HASHES = {
    "crop_window": "0e6f01fb21be414268113c9906ba3aed",
    "fixed_budget": "192f1630206d9b19417726c385d74f96",
    "icip2022_table1_2": "90fcb4f07959f52c75af9a58b4e9c928",
    "jpeg": "bf2a922bab8e211bd657c883ebaa3cdf",
    "quality_robustness": "ff5a643fde9b21a5f5bdd5305f1a4ab9",
    "minimal": "1fa96033a1fa581a712804fe3bfe97a2",
    "smoke": "2c29b6c4b33d3b460342ab99a0b72049",
    "transfer": "99b9a92f50928b3b232d2dcb5b6d7345",
    "transfer_to_attention_center": "2e578a2882b2b8516bc926ce4af83105",
}
"""Of the shipped suites, shortened: results that were computed with version 0.1 belong to them."""
OURS = ("gaze-lite", "gaze-lite-human", "quality-lite", "fastgaze")


@pytest.mark.parametrize("name", sorted(HASHES))
def test_results_of_shipped_suites_stay_theirs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from art_crop.bench import suite_checks, suite_file
    from art_crop.plugins.catalogue import Entry
    from art_crop.plugins.lookup import find
    from art_crop.plugins.specs import ModelSpec

    def found(kind: Any, name: str) -> Entry:
        if kind != "model" or name in OURS:
            return find(kind, name)
        return Entry(ModelSpec(name=name, target="none:none", summary="one", task="saliency"), "art-crop-tflite", "1")

    monkeypatch.setattr(suite_checks, "find", found)  # models of a plugin that need not be installed
    monkeypatch.setattr(suite_file, "missing", lambda names: [])
    assert load_suite(shipped_suites()[name]).sha256.startswith(HASHES[name])


def test_earlier_names_of_keys_mean_the_same(tmp_path: Path) -> None:
    old = GOOD.replace('method = "noise"', 'method = "noise"\njudged = true')
    old = old.replace('metrics = ["psnr"]', 'metrics = ["psnr"]\nprotocol_options = { peak = "cell" }')
    new = old.replace("judged =", "success_oracle =").replace("protocol_options =", "task_options =")
    new = new.replace("protocol = ", "task = ")
    assert suite(tmp_path, new).resolved() == suite(tmp_path, old).resolved()
    assert suite(tmp_path, new).resolved()["attacks"][1]["judged"] is True
    assert [setting.success_oracle for setting in suite(tmp_path, new).settings()] == [False] * 4 + [True] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("[" + ".".join("a" * 5000) + "]", "nested too deeply"),
        (GOOD.replace("max_iter = 3", "max_iter = " + "1" * 5000), "mine.toml: "),
        (GOOD.replace("max_iter = 3", "max_iter = 0x" + "f" * 5000), r"params.max_iter: .*64 bits"),
        (
            GOOD.replace(
                "grid = { eps = [1.0, 2.0] }",
                f"grid = {{ eps = [2.0], {', '.join(f'p{k} = [1, 2, 3, 4, 5, 6, 7, 8, 9]' for k in range(12))} }}",
            ),
            r"attack\[0\].grid: makes too many settings; a suite has at most 100,000",
        ),
        (GOOD.replace("seeds = [0, 1]", f"seeds = {list(range(60_000))}"), "at most 100,000"),
    ],
    ids=["deep list", "deep table", "long number", "long hexadecimal number", "huge grid", "many seeds"],
)
def test_a_suite_without_bounds_ends_in_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SuiteError, match=words) as caught:
        suite(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", sorted(shipped_suites()))
def test_every_shipped_suite_is_read(name: str) -> None:
    path = shipped_suites()[name]
    needed = {"transfer": "tflite", "transfer_to_attention_center": "tflite", "quality_score": "tflite"}
    of_labels = ("label", "mediaeval2019_color_variance", "mediaeval2019_color_variance_jpeg")
    plugin = (needed | dict.fromkeys(of_labels, "efficientnet")).get(name)
    if plugin and importlib.util.find_spec(f"art_crop_{plugin}") is None:
        words = rf'requirements: this suite needs art-crop-{plugin}: pip install "art-crop-{plugin}"'
        with pytest.raises(SuiteError, match=words):
            load_suite(path)
    else:
        found = load_suite(path)
        assert found.name == name
        assert list(found.settings())


def test_the_papers_tables_are_shipped() -> None:
    assert {"smoke", "icip2022_table1_2", "minimal", "crop_window", "transfer"} <= shipped_suites().keys()


def test_reading_a_suite_imports_no_torch() -> None:
    code = (
        "from art_crop.bench.suite_file import load_suite, shipped_suites; load_suite(shipped_suites()['smoke']);"
        "import sys; print({'torch', 'art', 'pyarrow'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert said.stdout.strip() == "set()"


def test_a_height_needs_a_width_and_survival_needs_qualities(tmp_path: Path) -> None:
    cut = GOOD.replace("width = 320", "width = 320\nheight = 200")
    assert suite(tmp_path, cut).data.height == 200
    assert suite(tmp_path, cut).sha256 != suite(tmp_path).sha256
    with pytest.raises(SuiteError, match=r"data.height: a width is needed"):
        suite(tmp_path, cut.replace("width = 320", "width = 0"))
    survives = GOOD.replace('metrics = ["psnr"]', 'metrics = ["psnr"]\ntask_options = { survives_jpeg = [75] }')
    named = survives.replace('"mean psnr"', '"mean after-jpeg-75"')
    assert suite(tmp_path, named).tables[0]["values"][2] == "mean after-jpeg-75"
    grey = survives.replace("[75]", '[75, "90 4:4:4"]').replace('"mean psnr"', '"mean after-jpeg-90-444"')
    assert suite(tmp_path, grey).tables[0]["values"][2] == "mean after-jpeg-90-444"
    with pytest.raises(SuiteError, match="survives_jpeg"):
        suite(tmp_path, survives.replace("[75]", '["90 4:1:1"]'))
    with pytest.raises(SuiteError, match=r"after-jpeg-60"):
        suite(tmp_path, named.replace("after-jpeg-75", "after-jpeg-60"))
    for wrong in ("[0]", "[75, 75]", "75"):
        with pytest.raises(SuiteError, match="survives_jpeg"):
            suite(tmp_path, survives.replace("[75]", wrong))


SCORES = """
name = "mine"
task = "score"
attacked = ["quality-lite"]
scored = ["quality-lite"]
task_options = { towards = "better", jpeg_quality = 90 }
[models.quality-lite]
[[attack]]
method = "up"
plugin = "i-fgsm"
[[attack]]
method = "down"
plugin = "i-fgsm"
task_options = { towards = "worse" }
"""


def test_an_attack_may_be_given_another_option_of_the_task(tmp_path: Path) -> None:
    found = suite(tmp_path, SCORES)
    assert [setting.task_options for setting in found.settings()] == [{}, {"towards": "worse"}]
    up, down = found.resolved()["attacks"]
    assert "task_options" not in up, "suites that do not use it keep their hash"
    assert down["task_options"] == {"towards": "worse"}
    assert suite(tmp_path, SCORES.replace('"worse"', '"better"')).sha256 != found.sha256
    for new, words in (
        ('towards = "up"', r"attack\[1\].task_options: towards"),
        ("above = 5", r"attack\[1\].task_options: .*exactly one"),
        ("beneath = 5", r"attack\[1\].task_options: 'beneath'"),
        ("jpeg_quality = 50", r"attack\[1\].task_options.jpeg_quality: belongs to the whole suite"),
        ("survives_jpeg = [75]", r"attack\[1\].task_options.survives_jpeg: belongs to the whole suite"),
    ):
        with pytest.raises(SuiteError, match=words):
            suite(tmp_path, SCORES.replace('towards = "worse"', new))


def test_a_model_after_jpeg_is_another_model(tmp_path: Path) -> None:
    from art_crop.bench.resolved import task_sha256

    after = GOOD.replace("[models.gaze-lite]", "[models.gaze-lite]\nafter_jpeg = 75")
    ways = [suite(tmp_path, text).resolved() for text in (GOOD, after)]
    assert len({task_sha256(way, "strict", {}) for way in ways} - {""}) == 2
    with pytest.raises(SuiteError, match=r"models.gaze-lite.after_jpeg: a whole number from 0 to 100"):
        suite(tmp_path, after.replace("75", "101"))


def test_another_model_in_the_place_of_one(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("when = { eps = 2.0 }", 'when = { attacked = "gaze-lite" }'))
    before, after = load_suite(path), load_suite(path, instead={"gaze-lite": "fastgaze"})
    assert [(model.name, model.plugin) for model in after.models] == [
        ("fastgaze", "fastgaze"),
        ("strict", "gaze-lite-human"),
    ]
    pairs = list(zip(before.settings(), after.settings(), strict=True))
    assert all(replace(old, attacked="fastgaze" if old.attacked else "") == new for old, new in pairs)
    assert [new.params["max_iter"] for _, new in pairs if new.method == "steps"] == [9] * 4, "special still holds"
    assert after.sha256 != before.sha256


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        ({"gaze-light": "fastgaze"}, "models: 'gaze-light' is not known here; did you mean 'gaze-lite'"),
        ({"gaze-lite": "fastgaz"}, "models.gaze-lite: there is no model 'fastgaz'; did you mean fastgaze"),
        ({"gaze-lite": "strict"}, "'strict' stands in this suite already"),
    ],
)
def test_a_place_that_cannot_be_taken(tmp_path: Path, instead: dict[str, str], words: str) -> None:
    with pytest.raises(SuiteError) as error:
        load_suite(written(tmp_path, GOOD), instead=instead)
    assert words in str(error.value)


def test_the_reference_of_suites_is_a_suite(tmp_path: Path) -> None:
    """All but the two plugins of others that it names."""
    page = Path(__file__).parents[2].joinpath("benchmarks/suites/README.md").read_text(encoding="utf-8")
    text = page.split("```toml\n")[1].split("```")[0]
    others = ('requirements = ["art-crop-tflite"]', 'defences = ["blur"]', "[defences.blur]", 'plugin = "my-blur"')
    lines = [line for line in text.splitlines() if not line.startswith((*others, "options = { sigma"))]
    assert len(lines) == len(text.splitlines()) - 5
    found = load_suite(written(tmp_path, "\n".join(lines)))
    assert {setting.params["max_iter"] for setting in found.settings()} == {3}
