"""Who may import whom: the contracts of pyproject.toml hold, and they can fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter", reason="import-linter is not installed (extra: dev)")

PROJECT = Path(__file__).resolve().parents[1]
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True, timeout=120)


def test_contracts_hold() -> None:
    result = lint(PROJECT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("functional/broken.py", "import art_crop.metrics", "Modules import only those below them"),
        (
            "metrics/broken.py",
            "import art.estimators",
            "Only estimators, attacks, defences and the test kit import ART",
        ),
        ("metrics/broken.py", "import pytest", "Only the test kit imports pytest"),
        ("functional/broken.py", "def f():\n    import optuna", "Only the TPE attack imports optuna"),
        ("metrics/broken.py", "import ray", "Only the Ray executor imports ray"),
        ("plugins/broken.py", "import art_crop.functional", "Modules import only those below them"),
        ("broken.py", "", "Modules import only those below them"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, module: str, statement: str, contract: str) -> None:
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    shutil.copytree(PROJECT / "art_crop", tmp_path / "art_crop", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "art_crop" / module).write_text(statement)
    result = lint(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contract} BROKEN" in result.stdout


def test_every_folder_of_code_is_a_package() -> None:
    # import-linter reads packages only: a folder without __init__.py would escape every rule.
    folders = {path.parent for path in (PROJECT / "art_crop").rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []
