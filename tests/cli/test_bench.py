"""``art-crop bench run`` as a user meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from art_crop.cli.bench import command_line
from art_crop.cli.main import app

pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: bench)")


def bench(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["bench", "run", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize("command", ["run", "suites", "report", "compare", "leaderboard"])
def test_every_command_shows_examples(command: str) -> None:
    result = CliRunner().invoke(app, ["bench", command, "--help"])
    assert result.exit_code == 0
    assert f"art-crop bench {command}" in " ".join(result.output.partition("Examples:")[2].split())


def test_a_shipped_suite_by_its_name(tmp_path: Path) -> None:
    code, said = bench("smoke", "--out", tmp_path / "run", "--limit", 1, "--device", "cpu")
    assert code == 0
    assert "6 results in all; 6 computed now; 0 kept from before" in said
    code, said = bench("smoke", "--out", tmp_path / "run", "--limit", 1, "--device", "cpu", "--keep-images")
    assert (code, "6 results in all; 0 computed now; 6 kept from before" in said) == (0, True)
    assert "for those from before give another --out" in said


def test_a_model_of_ones_own_gets_its_row_beside_the_suites(tmp_path: Path) -> None:
    common = ("--limit", 1, "--device", "cpu")
    assert bench("smoke", "--out", tmp_path / "a", *common)[0] == 0
    assert bench("smoke", "--out", tmp_path / "b", "--model", "gaze-lite=gaze-lite-human", *common)[0] == 0
    result = CliRunner().invoke(app, ["bench", "leaderboard", str(tmp_path / "a"), str(tmp_path / "b"), "--json"])
    (board,) = json.loads(result.stdout)["boards"]
    assert {card["model"] for card in board["cards"]} == {"gaze-lite", "gaze-lite-human"}


def test_shipped_suites_are_listed() -> None:
    result = CliRunner().invoke(app, ["bench", "suites", "smoke", "minimal", "--json"])
    smoke, minimal = json.loads(result.stdout)
    assert (smoke["name"], smoke["dataset"], smoke["scored"], smoke["settings"]) == (
        *("smoke", "scikit-image", ["gaze-lite"]),
        6,
    )
    assert minimal["attacked"] == ["fastgaze", "gaze-lite"]
    everything = CliRunner().invoke(app, ["bench", "suites"]).stdout
    assert all(name in everything for name in ("icip2022_table1_2", "crop_window", "transfer"))


def test_a_suite_is_checked_without_a_run(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\nprotocol = "second-peek"\n[models.gaze-lite]\n')
    result = CliRunner().invoke(app, ["bench", "suites", str(tmp_path / "mine.toml")])
    assert result.exit_code == 2
    assert "mine.toml: attack: at least one" in " ".join(result.stdout.split())


def test_failed_photos_are_told_by_the_exit_code(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "broken.png").write_bytes(b"no photo")
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\nprotocol = "second-peak"\nscored = ["gaze-lite"]\n[models.gaze-lite]\n'
        '[[attack]]\nmethod = "noise"\nplugin = "gaussian-noise"\n'
    )
    code, said = bench(path, "--images", photos, "--out", tmp_path / "run", "--device", "cpu")
    assert code == 1
    assert "1 failed, such as broken.png" in said
    code, said = bench(path, "--images", photos, "--out", tmp_path / "run", "--device", "cpu")
    assert code == 1, "nothing was computed now, and a photo still has no result"
    assert "1 of those kept had failed: --retry-failed" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("smok",), "did you mean smoke?"),
        (("nowhere.toml",), "there is no such suite"),
        (("smoke", "--weights", "fastgaze"), "NAME=PATH"),
        (("smoke", "--weights", "fastgaze=x"), "the suite's models are gaze-lite"),
        (("smoke", "--weights", "gaze-lite=nowhere.safetensors"), "there is no file"),
        (("smoke", "--model", "gaze-lite"), "OLD=NEW"),
        (("smoke", "--model", "gaze-lit=gaze-lite-human"), "smoke.toml: models: 'gaze-lit' is not known here"),
        (("smoke", "--executor", "locl"), "did you mean local?"),
        (
            ("smoke", "--executor", "in-process", "--workers", 2),
            "--workers: the executor in-process has 1, not 2; choose the executor local",
        ),
        (("smoke", "--executor", "local", "--address", "auto"), "no such option"),
        (("smoke", "--images", "."), "--images: dataset 'scikit-image' cannot be opened: it takes no folder"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(tmp_path: Path, arguments: tuple[object, ...], words: str) -> None:
    code, said = bench(*arguments, "--out", tmp_path / "run")
    assert code == 2
    assert words in said
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "photo.png")
    code, said = bench("smoke", "--out", tmp_path, "--limit", 1, "--device", "cpu")
    assert (code, "no run.json" in said) == (2, True)


def test_the_command_is_kept_without_where_things_lie() -> None:
    given = ["/usr/bin/art-crop", "bench", "run", "smoke", "--out", "/home/me/run", "--weights", "f=/home/me/f.vxm"]
    assert command_line(given) == "art-crop bench run smoke --out run --weights f=f.vxm"
    assert command_line(["x", "~/s.toml", "--out=/home/me/run", "../photos"]) == "art-crop s.toml --out=run photos"
    assert command_line(["x", "--images=/home/me/a=b", "--weights=f=/me/f"]) == "art-crop --images=a=b --weights=f=f"
    windows = ["x", "--images", "C:\\Users\\me\\photos", "--out=D:/me/run", "--address", "ray://h:1"]
    assert command_line(windows) == "art-crop --images photos --out=run --address ray://h:1"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_says_how_to_go_on(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-c", "from art_crop.cli.main import main; main()", "bench", "run", "smoke"]
    command += ["--out", str(tmp_path / "run"), "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    begun = time.monotonic()
    while not list((tmp_path / "run").glob("results/part-*")) and time.monotonic() - begun < 100:
        time.sleep(0.05)
    process.send_signal(number)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "stopped: the same command goes on" in said
