"""Help, versions and listings: examples everywhere, and no waiting for torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import art_crop
from art_crop.cli.main import app
from art_crop.models import weights

RUN = "import sys; from art_crop.cli.main import app; app(sys.argv[1:], standalone_mode=False)"
HEAVY = "print(sorted({'torch', 'art', 'numpy', 'skimage', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["attack", "--help"],
        ["crop", "-h"],
        ["demo", "--help"],
        ["models", "list"],
        ["datasets"],
        ["datasets", "--json"],
        ["datasets", "fetch", "--help"],
        ["plugins"],
        ["--version"],
    ],
)
def test_help_and_listings_import_nothing_heavy(arguments: list[str]) -> None:
    command = [sys.executable, "-c", f"{RUN}\n{HEAVY}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.strip() == "[]"
    assert done.stdout.strip()


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["attack"],
        ["camouflage"],
        ["crop"],
        ["demo"],
        ["distil"],
        ["protect"],
        ["train-quality"],
        ["train-sensitivity"],
        ["models", "list"],
        ["models", "fetch"],
        ["datasets"],
        ["datasets", "list"],
        ["datasets", "fetch"],
        ["plugins"],
    ],
)
def test_every_command_shows_examples(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    examples = result.output.partition("Examples:")[2]
    assert " ".join(["art-crop", *command]) in examples


def test_defaults_are_in_the_help() -> None:
    text = " ".join(CliRunner().invoke(app, ["attack", "--help"], terminal_width=200).output.split())
    for default in ("0.56 and 1", "PSNR of 40 dB", "gaze-lite", "art-crop-out", "50 million"):
        assert default in text, default


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"art-crop {art_crop.__version__}\n"


def test_listing_says_where_weights_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ART_CROP_CACHE", str(tmp_path))
    monkeypatch.delenv("ART_CROP_FASTGAZE", raising=False)
    rows = {row["name"]: row for row in json.loads(CliRunner().invoke(app, ["models", "list", "--json"]).output)}
    assert rows["gaze-lite"]["weights"] == rows["gaze-lite-human"]["weights"] == "embedded"
    assert rows["fastgaze"]["weights"] == "missing: run `art-crop models fetch fastgaze`"
    assert rows["fastgaze"]["licence"] == "Apache-2.0"
    (tmp_path / "fastgaze.vxm").write_bytes(b"half a download")
    assert "is damaged" in CliRunner().invoke(app, ["models", "list", "--json"]).output
    monkeypatch.setenv("ART_CROP_FASTGAZE", str(tmp_path / "fastgaze.vxm"))
    listed = CliRunner().invoke(app, ["models", "list", "--json"]).output
    assert "from ART_CROP_FASTGAZE" in listed
    assert "not the published file" in listed
    table = CliRunner().invoke(app, ["models", "list"])
    assert table.exit_code == 0
    assert "gaze-lite-human" in table.output


def test_the_embedded_file_is_where_it_is_shipped() -> None:
    from art_crop.models.gaze_lite import EMBEDDED

    assert EMBEDDED.parent == Path(art_crop.__file__).parent / "models" / "data"
    assert EMBEDDED.is_file()


def test_what_is_embedded_is_not_fetched() -> None:
    result = CliRunner().invoke(app, ["models", "fetch", "gaze-lite"])
    assert (result.exit_code, result.output) == (0, "gaze-lite is embedded: nothing to fetch.\n")


def test_fetching(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fastgaze_weights: Path) -> None:
    """The official file, served by this machine itself."""
    import functools
    import http.server
    import threading

    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(fastgaze_weights.parent))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    monkeypatch.setenv("ART_CROP_CACHE", str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        good = CliRunner().invoke(app, ["models", "fetch", "fastgaze", "--url", f"{place}/{fastgaze_weights.name}"])
        wrong = CliRunner().invoke(app, ["models", "fetch", "fastgaze", "--url", f"{place}/none.vxm"])
        server.shutdown()
    assert good.exit_code == 0, good.output
    assert weights.FASTGAZE.sha256 in good.output
    assert (tmp_path / "fastgaze.vxm").read_bytes() == fastgaze_weights.read_bytes()
    assert wrong.exit_code == 0, "the right file is there already, so nothing is fetched"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fetch", "fastgase"], "there is no model 'fastgase'; did you mean fastgaze"),
        (["fetch", "fastgaze", "--url", "http://example.org/x"], "url must start with https://"),
        (["fetch", "fastgaze", "--url", "https://127.0.0.1:9/x"], "cannot fetch fastgaze"),
    ],
)
def test_fetching_what_cannot_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], said: str
) -> None:
    monkeypatch.setenv("ART_CROP_CACHE", str(tmp_path))
    result = CliRunner().invoke(app, ["models", *arguments])
    assert result.exit_code == 2
    assert said in result.output
    assert list(tmp_path.iterdir()) == []


def test_embedded_models_need_no_fetching() -> None:
    result = CliRunner().invoke(app, ["models", "fetch", "gaze-lite"])
    assert result.exit_code == 0
    assert "embedded" in result.output
