"""`art-crop plugins` and `art-crop models` with other people's distributions installed, as whole processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from art_crop.cli.main import main; main()"]
IMPORTS = "from art_crop.plugins import AttackSpec, ModelSpec, hookimpl\n"
MODEL = """
@hookimpl
def art_crop_models():
    yield ModelSpec(name={!r}, target="fractions:Fraction", summary="[red]odd[/red]")
"""
PLUGINS = {
    "sound": MODEL.format("sound-one"),
    "slow": "import time; time.sleep(1.1)\n" + MODEL.format("slow-one"),
    "exits": "import sys; sys.exit(4)\n",
    "loud": "import os; print('{\"noise\": 1}'); os.write(1, b'more noise')\n" + MODEL.format("loud-one"),
    "rival-a": MODEL.format("wanted-by-two"),
    "rival-b": MODEL.format("wanted-by-two"),
    "taker": MODEL.format("fastgaze"),
    "misspelt": "@hookimpl\ndef art_crop_model():\n    return []\n",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of distributions, most of them broken, and one whose module is not there."""
    folder = tmp_path_factory.mktemp("site")
    for name in (*PLUGINS, "lost"):
        module = name.replace("-", "_") + "_of_the_test"
        info = folder / f"{name.replace('-', '_')}-0.{len(name)}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.{len(name)}\n")
        (info / "entry_points.txt").write_text(f"[art_crop.plugins]\nplugin = {module}\n")
        if name in PLUGINS:
            (folder / f"{module}.py").write_text(IMPORTS + PLUGINS[name])
    return folder


def run(installed: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ART_CROP_")}
    path = os.pathsep.join([str(installed), str(PROJECT)])
    environment = {**kept, "PYTHONPATH": path, "COLUMNS": "200", **variables}
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, env=environment)


def test_everything_broken_is_in_the_json(installed: Path) -> None:
    done = run(installed, "plugins", "--json")
    assert done.returncode == 0, done.stderr
    listing = json.loads(done.stdout)
    plugins = {plugin["distribution"]: plugin for plugin in listing["plugins"]}
    assert {name: plugins[name]["status"] for name in (*PLUGINS, "lost", "art-crop")} == {
        "art-crop": "ok",
        "sound": "ok",
        "slow": "slow",
        "exits": "failed",
        "loud": "ok",
        "rival-a": "conflict",
        "rival-b": "conflict",
        "taker": "conflict",
        "misspelt": "failed",
        "lost": "failed",
    }
    assert plugins["exits"]["version"] == "0.5"
    assert plugins["exits"]["reasons"] == ["importing exits_of_the_test called sys.exit(4)"]
    assert "No module named 'lost_of_the_test'" in plugins["lost"]["reasons"][0]
    assert plugins["misspelt"]["reasons"] == ["art_crop_model is no hook; did you mean art_crop_models?"]
    assert plugins["loud"]["notes"] == ["prints when it is read: '{\"noise\": 1}'"]
    assert plugins["slow"]["notes"][0].startswith("slow: took 1.")
    objects = {(item["distribution"], item["kind"], item["name"]) for item in listing["objects"]}
    assert {("sound", "model", "sound-one"), ("slow", "model", "slow-one"), ("loud", "model", "loud-one")} <= objects
    assert {("art-crop", "model", "fastgaze"), ("taker", "model", "fastgaze")} <= objects
    assert "warning" not in done.stderr.lower()


def test_the_table_says_the_same_and_strict_fails(installed: Path) -> None:
    done = run(installed, "plugins", "--strict", ART_CROP_PLUGINS="sound,exits,absent")
    assert done.returncode == 1
    for text in (
        "sound-one",
        "[red]odd[/red]",
        "exits 0.5",
        "called sys.exit(4)",
        "absent",
        "not named by ART_CROP_PL",
    ):
        assert text in done.stdout, text
    assert "slow-one" not in done.stdout
    assert done.stderr.startswith("error: ")
    assert "exits 0.5: importing exits_of_the_test called sys.exit(4)" in done.stderr
    assert run(installed, "plugins", ART_CROP_PLUGINS="exits", ART_CROP_PLUGINS_STRICT="1").returncode == 1
    assert run(installed, "plugins", "--strict", ART_CROP_PLUGINS="sound").returncode == 0


def test_one_kind(installed: Path) -> None:
    done = run(installed, "plugins", "--kind", "dataset", "--json", ART_CROP_PLUGINS="")
    assert {item["kind"] for item in json.loads(done.stdout)["objects"]} == {"dataset"}
    wrong = run(installed, "plugins", "--kind", "thing", ART_CROP_PLUGINS="")
    assert wrong.returncode == 2
    assert "model, attack, metric, dataset, defence, executor" in wrong.stderr


def test_other_commands_warn_once_and_work(installed: Path) -> None:
    done = run(installed, "models", "list", "--json", ART_CROP_PLUGINS="sound,exits,taker")
    assert done.returncode == 0
    rows = [(row["name"], row["distribution"]) for row in json.loads(done.stdout)]
    assert rows == [
        ("fastgaze", "art-crop"),
        ("fastgaze", "taker"),
        ("fcn-vgg16-sensitivity", "art-crop"),
        ("gaze-lite", "art-crop"),
        ("gaze-lite-human", "art-crop"),
        ("quality-lite", "art-crop"),
        ("sound-one", "sound"),
    ]
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: plugins with problems: exits 0.5 (")
    assert "taker 0.5" in line
    strict = run(installed, "models", "list", ART_CROP_PLUGINS="sound,exits", ART_CROP_PLUGINS_STRICT="1")
    assert (strict.returncode, strict.stdout) == (2, "")


def test_a_plugins_weights_are_fetched_like_ours(tmp_path: Path) -> None:
    import functools
    import hashlib
    import http.server
    import threading

    content = b"weights of somebody else's model"
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "else.bin").write_bytes(content)
    info = tmp_path / "somebody-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebody\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[art_crop.plugins]\nplugin = somebody_plugin\n")
    (tmp_path / "somebody_plugin.py").write_text(
        IMPORTS + "@hookimpl\ndef art_crop_models():\n"
        "    for name, place in (('else', 'WEIGHTS'), ('broken', 'ABSENT'), ('wrong', 'NAME')):\n"
        "        yield ModelSpec(name=name, target='x:y', summary='s', weights=f'somebody_weights:{place}')\n"
    )
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (tmp_path / "somebody_weights.py").write_text(
            "from art_crop.models.weights import WeightFile\nNAME = 'a name'\n"
            f"WEIGHTS = WeightFile(name='else', file_name='else.bin', url='http://127.0.0.1:{server.server_port}/else.bin',"
            f" sha256='{hashlib.sha256(content).hexdigest()}', size={len(content)}, licence='CC0-1.0',"
            " environment_variable='ELSE_WEIGHTS')\n"
        )
        cache = {"ART_CROP_CACHE": str(tmp_path / "cache"), "ART_CROP_PLUGINS": "somebody"}
        before = run(tmp_path, "models", "list", "--json", **cache)
        fetched = run(tmp_path, "models", "fetch", "somebody/else", **cache)
        after = run(tmp_path, "models", "list", "--json", **cache)
        server.shutdown()
    where = {row["name"]: row["weights"] for row in json.loads(before.stdout)}
    assert where["else"] == "missing: run `art-crop models fetch else`"
    assert where["broken"].startswith("cannot be told: somebody 1.0: model 'broken' cannot be loaded")
    assert fetched.returncode == 0, fetched.stderr
    assert "CC0-1.0" in fetched.stdout
    assert (tmp_path / "cache" / "else.bin").read_bytes() == content
    assert {row["name"]: row["weights"] for row in json.loads(after.stdout)}["else"].startswith("fetched: ")
    for name, said in (("broken", "has no attribute 'ABSENT'"), ("wrong", "are a str, not a WeightFile")):
        done = run(tmp_path, "models", "fetch", name, **cache)
        assert done.returncode == 2
        assert said in done.stderr
