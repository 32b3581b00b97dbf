"""The README's first step, run as it stands: what it makes is a plugin of its own, beside the template."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
LISTED = """
import art_crop
rows = [r for r in art_crop.list_plugins() if r.distribution == "art-crop-mine"]
assert all(r.ask_for == r.name for r in rows), rows
print(sorted((r.kind, r.name) for r in rows))
print(art_crop.load_model("my-model").name, art_crop.load_metric("my-metric").name, art_crop.load_task("my-task").name)
"""


def test_a_copy_is_a_plugin_of_its_own(tmp_path: Path) -> None:
    block = re.search(r"\*\*1\..*?```bash\n(.*?)```", (HERE / "README.md").read_text("utf-8"), re.DOTALL)
    assert block is not None
    root = tmp_path / "art_crop"
    shutil.copytree(HERE, root / "plugins" / HERE.name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    subprocess.run(["bash", "-ec", block[1]], cwd=root, check=True, timeout=60)
    mine = tmp_path / "art-crop-mine"
    # What an installer writes beside the package.
    info = mine / "art_crop_mine-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: art-crop-mine\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[art_crop.plugins]\nmine = art_crop_mine.plugin\n")
    assert 'mine = "art_crop_mine.plugin"' in (mine / "pyproject.toml").read_text()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(mine), *filter(None, sys.path)])}
    listed = subprocess.run(
        [sys.executable, "-c", LISTED], env=environment, cwd=mine, capture_output=True, text=True, timeout=120
    )
    assert listed.stdout.splitlines() == [
        "[('metric', 'my-metric'), ('model', 'my-model'), ('task', 'my-task')]",
        "my-model my-metric my-task",
    ], listed.stderr
    for path in mine.rglob("*.py"):
        left = re.findall(r"contrast-saliency|peak-in-box|art.crop.template", path.read_text("utf-8"))
        assert path.name == "test_steps.py" or not left, f"{path.name}: {left}"
