"""`import art_crop` is cheap and its names appear when they are asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import art_crop

HEAVY = "{'torch', 'art', 'numpy', 'scipy', 'skimage', 'PIL', 'matplotlib', 'typer', 'rich'}"


def run_fresh(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return result.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import art_crop",
        "import art_crop; dir(art_crop); art_crop.__version__",
        "import art_crop; art_crop.list_plugins()",
        "import art_crop\ntry: art_crop.load_model('gaze-light')\nexcept ValueError: pass",
    ],
)
def test_imports_neither_torch_nor_art_nor_numpy(code: str) -> None:
    assert run_fresh(f"{code}\nimport sys; print(sorted({HEAVY} & set(sys.modules)))") == "[]"


def test_the_package_itself_reads_no_plugin() -> None:
    assert run_fresh("import art_crop, sys; print({'pluggy', 'importlib.metadata'} & set(sys.modules))") == "set()"


def test_public_names_are_what_the_registry_defines() -> None:
    from art_crop.plugins import registry

    kinds = ("model", "attack", "metric", "dataset", "defence", "executor")
    for name in ("list_plugins", *(f"load_{kind}" for kind in kinds)):
        assert getattr(art_crop, name) is getattr(registry, name)
        assert name in dir(art_crop)


def test_submodules_appear_on_first_use() -> None:
    assert run_fresh("import art_crop; print(art_crop.errors.ArtCropError.__name__)") == "ArtCropError"
    assert "errors" in dir(art_crop)


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = art_crop.no_such_thing
    assert not hasattr(art_crop, "_private")


@pytest.mark.parametrize(
    ("old", "new", "name"), [("photo", "images", "load_photo"), ("job", "pipeline", "show_region")]
)
def test_modules_that_were_renamed_are_there_for_one_version(old: str, new: str, name: str) -> None:
    code = f"from art_crop.{old} import {name} as a; from art_crop.{new} import {name} as b; print(a is b)"
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "True"
    assert f"art_crop.{old} is called art_crop.{new} now" in done.stderr


HIDE_PYTEST = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pytest", "_pytest"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
import art_crop
"""


@pytest.mark.parametrize("code", ["help(art_crop)", "import inspect; inspect.getmembers(art_crop)"])
def test_members_can_be_listed_without_pytest(code: str) -> None:
    shown = run_fresh(f"{HIDE_PYTEST}{code}\nprint('listed')")
    assert shown.endswith("listed")
    assert "needs pytest" not in shown
    assert "load_model" in shown or "inspect" in code


def test_what_needs_pytest_says_so_without_it() -> None:
    code = (
        "print(hasattr(art_crop, 'testing'))\ntry: import art_crop.testing\nexcept ImportError as error: print(error)"
    )
    assert run_fresh(HIDE_PYTEST + code).splitlines() == [
        "False",
        'art_crop.testing needs pytest: pip install "art-crop[test]"',
    ]


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "art_crop", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["art-crop", art_crop.__version__]


def test_editors_know_what_a_model_is_by_its_name_or_task(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    script = tmp_path / "script.py"
    script.write_text(
        "import art_crop\n"
        "for_editors = art_crop.load_model('gaze-lite', device='cpu')\n"
        "reveal_type(for_editors)\n"
        "reveal_type(art_crop.load_model('fastgaze'))\n"
        "reveal_type(art_crop.load_model(input()))\n"
        "reveal_type(art_crop.load_model(input(), task='saliency', device='cpu'))\n"
        "reveal_type(art_crop.load_model(input(), task='quality'))\n"
        "reveal_type(art_crop.load_model(input(), task='classification'))\n"
        "reveal_type(art_crop.load_model(input(), task='saliency').crop)\n"
    )
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--cache-dir", str(tmp_path), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    shown = [line.split("Revealed type is ")[1] for line in done.stdout.splitlines() if "Revealed" in line]
    saliency = '"art_crop.estimators.saliency.PyTorchSaliencyRegressor"'
    assert shown[:3] == [saliency, saliency, '"Any"'], done.stdout
    white, query_only = "art_crop.estimators", "art_crop.estimators.blackbox"
    assert shown[3:6] == [
        f'"{white}.saliency.PyTorchSaliencyRegressor | {query_only}.BlackBoxSaliencyRegressor"',
        f'"{white}.quality.PyTorchQualityRegressor | {query_only}.BlackBoxQualityRegressor"',
        f'"{white}.classifier.PyTorchPhotoClassifier"',
    ], done.stdout
    assert "ratios: typing.Sequence[float]" in shown[6]
