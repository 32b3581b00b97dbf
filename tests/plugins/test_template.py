"""The five steps of the template plugin's README, from nothing, with its own commands and code, in an environment of
their own that has what the running one has.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

import art_crop

TEMPLATE = Path(__file__).resolve().parents[2] / "plugins" / "art-crop-template"
SCRIPTS = {
    "art-crop": "from art_crop.cli.main import main\nmain()",
    "pytest": "import pytest\nsys.exit(pytest.main())",
    # As its user has it, but without a network: the backend and what the plugin needs are here already.
    "pip": "from pip._internal.cli.main import main\n"
    "sys.exit(main([*sys.argv[1:2], '--no-index', '--no-deps', '--no-build-isolation', *sys.argv[2:]]))",
}


class Walk:
    """A copy of the template beside which the README's commands run."""

    def __init__(self, folder: Path) -> None:
        self.root, self.mine, self.bin = folder / "art_crop", folder / "art-crop-mine", folder / "venv" / "bin"
        shutil.copytree(
            TEMPLATE, self.root / "plugins" / TEMPLATE.name, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        (packages,) = (folder / "venv").glob("lib/python*/site-packages")
        (packages / "beside.pth").write_text(f"import site; site.addsitedir({sysconfig.get_paths()['purelib']!r})\n")
        for name, code in SCRIPTS.items():
            (self.bin / name).write_text(f"#!{self.bin / 'python'}\nimport sys\n{code}\n")
            (self.bin / name).chmod(0o755)
        steps = re.split(r"^\*\*\d\. ", (TEMPLATE / "README.md").read_text("utf-8"), flags=re.MULTILINE)[1:]
        self.blocks = [re.findall(r"```(\w+)\n(.*?)```", step, re.DOTALL) for step in steps]

    def only(self, step: int, language: str) -> str:
        """The one block of a language in a step."""
        (block,) = [text for kind, text in self.blocks[step - 1] if kind == language]
        return str(block)

    def run(self, commands: str, cwd: Path) -> str:
        """What the commands print; they must succeed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PIP_"))}
        environment["PYTHONPATH"] = str(Path(art_crop.__file__).parents[1])
        environment["PATH"] = f"{self.bin}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            ["bash", "-ec", commands], cwd=cwd, env=environment, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.mark.slow
def test_the_five_steps_make_a_plugin(tmp_path: Path) -> None:
    if not TEMPLATE.is_dir():
        pytest.skip("the template is not part of an sdist")
    for needed in ("hatchling", "pip"):
        pytest.importorskip(needed)
    walk = Walk(tmp_path)
    assert len(walk.blocks) == 5

    walk.run(walk.only(1, "bash"), walk.root)
    for path in walk.mine.rglob("*.py"):
        left = re.findall(r"contrast-saliency|peak-in-box|art.crop.template", path.read_text("utf-8"))
        assert not left, f"{path.name}: {left}"
    assert 'mine = "art_crop_mine.plugin"' in (walk.mine / "pyproject.toml").read_text("utf-8")

    (walk.mine / "art_crop_mine" / "model.py").write_text(walk.only(2, "python"))

    plugin = walk.mine / "art_crop_mine" / "plugin.py"
    hook = r"@hookimpl\ndef art_crop_models.*?(?=@hookimpl)"
    changed, count = re.subn(hook, walk.only(3, "python") + "\n\n", plugin.read_text("utf-8"), flags=re.DOTALL)
    assert count == 1
    plugin.write_text(changed)

    tested = walk.run(walk.only(4, "bash"), walk.mine)
    assert re.search(r"\d\d passed", tested)
    assert "failed" not in tested

    (walk.mine / "photos").mkdir()
    for name, pixels in {"photo": data.astronaut(), "photos/chelsea": data.chelsea()}.items():
        Image.fromarray(pixels).resize((320, 240)).save(walk.mine / f"{name}.jpg", quality=95)
    shutil.copy(walk.mine / "photo.jpg", walk.mine / "photos")
    (walk.mine / "mine.toml").write_text(walk.only(5, "toml"))
    use, measure = (text for kind, text in walk.blocks[4] if kind == "bash")
    used = walk.run(use, walk.mine)
    assert re.search(r"art-crop-mine\s.*0\.1\.0", used)
    assert "320x240 px, salient point" in used
    listed = json.loads(walk.run("art-crop plugins --json --strict", walk.mine))
    objects = {(row["kind"], row["name"]) for row in listed["objects"] if row["distribution"] == "art-crop-mine"}
    assert objects == {("model", "my-model"), ("metric", "my-metric"), ("task", "my-task")}
    (record,) = (json.loads(path.read_text("utf-8")) for path in walk.mine.glob("*/photo.json"))
    assert (record["model"], record["success"], record["success_after_writing"]) == ("my-model", True, True)

    assert "4 results in all; 4 computed now" in walk.run(measure, walk.mine)
    report = (walk.mine / "mine-run" / "report.md").read_text("utf-8")
    assert "Share of photos whose salient point came into the box" in report
    assert "my-metric" in report
