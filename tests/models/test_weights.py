"""Finding and fetching weights, the latter from a real HTTP server on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import art_crop
from art_crop.errors import DownloadError, InvalidInputError, OutputError, WeightsError
from art_crop.models.weights import FASTGAZE, FoundWeights, WeightFile, cache_folder, fetch, locate
from art_crop.plugins.registry import model_weights

CONTENT = bytes(range(256)) * 700
SMALL = WeightFile(
    name="small",
    file_name="small.bin",
    url="https://example.invalid/small.bin",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    licence="MIT",
    environment_variable="ART_CROP_SMALL",
)


class Handler(BaseHTTPRequestHandler):
    """Serves the right file and every wrong one; keeps a list of what was asked."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        answer = getattr(self, "answer_" + self.path.strip("/").replace("-", "_"))
        answer()

    def send(self, body: bytes, length: int | None) -> None:
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client hangs up, as it should on a body without an end
            self.wfile.write(body)

    def answer_right(self) -> None:
        self.send(CONTENT, len(CONTENT))

    def answer_changed(self) -> None:
        self.send(CONTENT[:-1] + b"!", len(CONTENT))

    def answer_missing(self) -> None:
        self.send_error(404)

    def answer_broken(self) -> None:
        self.send_error(503)

    def answer_truncated(self) -> None:
        self.send(CONTENT[:1000], len(CONTENT))

    def answer_short(self) -> None:
        self.send(CONTENT[:1000], 1000)

    def answer_oversized(self) -> None:
        self.send(CONTENT + b"more", len(CONTENT) + 4)

    def answer_endless(self) -> None:
        self.send(CONTENT * 200, None)

    def answer_empty(self) -> None:
        self.send(b"", 0)

    def answer_elsewhere(self) -> None:
        self.redirect("/right")

    def answer_circle(self) -> None:
        self.redirect("/circle")

    def answer_unsafe(self) -> None:
        # 0.0.0.0 leads to this machine too, but is not a name that is allowed without TLS.
        self.redirect(f"http://0.0.0.0:{self.server.server_address[1]}/right")

    def redirect(self, where: str) -> None:
        self.send_response(302)
        self.send_header("Location", where)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Address of the server and the list of requests it has had."""
    asked: list[str] = []
    handler = type("Asked", (Handler,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}", asked
        httpd.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, no environment variable that names weights, no proxy."""
    for variable in (SMALL.environment_variable, FASTGAZE.environment_variable):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ART_CROP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost,0.0.0.0")
    return tmp_path / "cache"


def test_fetched_then_found(server: tuple[str, list[str]], cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    address, asked = server
    found = fetch(SMALL, url=f"{address}/right", progress=False)
    assert found == FoundWeights(cache / "small.bin", SMALL.sha256, "cache", official=True)
    assert found.path.read_bytes() == CONTENT
    assert locate(SMALL) == found
    assert asked == ["/right"]
    assert [entry.name for entry in cache.iterdir()] == ["small.bin"]
    assert capfd.readouterr() == ("", ""), "without a progress bar there is silence"


def test_what_is_there_already_is_not_asked_for_again(server: tuple[str, list[str]]) -> None:
    address, asked = server
    fetch(SMALL, url=f"{address}/right", progress=False)
    asked.clear()
    assert fetch(SMALL, url=f"{address}/missing", progress=False).path.read_bytes() == CONTENT
    assert asked == []


def test_a_damaged_file_in_the_cache_is_named_and_replaced(server: tuple[str, list[str]], cache: Path) -> None:
    address, _ = server
    cache.mkdir()
    (cache / "small.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match=r"is damaged .*run `art-crop models fetch small` to replace it"):
        locate(SMALL)
    fetch(SMALL, url=f"{address}/right", progress=False)
    assert locate(SMALL).official


def test_the_progress_bar_goes_to_the_error_stream(
    server: tuple[str, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    fetch(SMALL, url=f"{server[0]}/right")
    out, err = capfd.readouterr()
    assert out == ""
    assert "small" in err
    assert "179.2/179.2 kB" in err


def test_a_redirection_is_followed(server: tuple[str, list[str]]) -> None:
    assert fetch(SMALL, url=f"{server[0]}/elsewhere", progress=False).path.read_bytes() == CONTENT
    assert server[1] == ["/elsewhere", "/right"]


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("changed", "not the published file"),
        ("missing", "the server answered 404 Not Found"),
        ("broken", "the server answered 503 Service Unavailable"),
        ("truncated", "the connection broke before the file was complete"),
        ("short", "sent 1,000 of the expected 179,200 bytes"),
        ("empty", "sent 0 of the expected 179,200 bytes"),
        ("oversized", "sends more than the expected 179,200 bytes"),
        ("endless", "sends more than the expected 179,200 bytes"),
        ("circle", "the address leads in circles"),
        ("unsafe", "which is not HTTPS"),
    ],
)
@pytest.mark.parametrize("existing", [None, b"an older, damaged file"])
def test_a_failed_download_is_one_sentence_and_changes_nothing(
    server: tuple[str, list[str]], cache: Path, page: str, sentence: str, existing: bytes | None
) -> None:
    if existing is not None:
        cache.mkdir()
        (cache / "small.bin").write_bytes(existing)
    with pytest.raises(DownloadError, match=sentence) as caught:
        fetch(SMALL, url=f"{server[0]}/{page}", progress=False)
    assert "\n" not in str(caught.value)
    assert "cannot fetch small" in str(caught.value)
    kept = {entry.name: entry.read_bytes() for entry in cache.iterdir()}
    assert kept == ({} if existing is None else {"small.bin": existing})


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(DownloadError, match="the server cannot be reached"):
        fetch(SMALL, url="http://127.0.0.1:9/small.bin", progress=False)


def test_a_server_that_does_not_speak_tls(server: tuple[str, list[str]]) -> None:
    with pytest.raises(DownloadError, match=r"certificate is not valid|cannot be reached"):
        fetch(SMALL, url=server[0].replace("http:", "https:") + "/right", progress=False)


def test_a_silent_server_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr("art_crop.downloads._TIMEOUT", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/right"
        with pytest.raises(DownloadError, match="did not answer in time"):
            fetch(SMALL, url=url, progress=False)


@pytest.mark.parametrize(
    "url",
    ["http://example.org/a", "ftp://localhost/a", "file:///etc/passwd", "", "https://", "http://[::1", "small.bin"],
)
def test_only_https_or_this_machine(url: str) -> None:
    with pytest.raises(InvalidInputError, match="url must start with https://"):
        fetch(SMALL, url=url, progress=False)


def test_a_cache_folder_that_cannot_be_written(
    server: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"not a folder")
    monkeypatch.setenv("ART_CROP_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot write small\.bin"):
        fetch(SMALL, url=f"{server[0]}/right", progress=False)
    assert (tmp_path / "file").read_bytes() == b"not a folder"


def test_the_argument_wins_over_the_variable_and_that_over_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir()
    (cache / "small.bin").write_bytes(CONTENT)
    (tmp_path / "mine.bin").write_bytes(b"mine")
    (tmp_path / "same.bin").write_bytes(CONTENT)
    assert locate(SMALL).source == "cache"
    monkeypatch.setenv("ART_CROP_SMALL", str(tmp_path / "same.bin"))
    assert locate(SMALL) == FoundWeights(tmp_path / "same.bin", SMALL.sha256, "environment", official=True)
    retrained = locate(SMALL, tmp_path / "mine.bin")
    assert retrained == FoundWeights(
        tmp_path / "mine.bin", hashlib.sha256(b"mine").hexdigest(), "argument", official=False
    )
    monkeypatch.setenv("ART_CROP_SMALL", "")
    assert locate(SMALL).source == "cache", "an empty variable counts as none"


def test_without_a_file_the_message_says_the_cure() -> None:
    with pytest.raises(WeightsError) as caught:
        locate(FASTGAZE)
    assert str(caught.value) == (
        "the weights of fastgaze are not on this machine: run `art-crop models fetch fastgaze`, "
        "or give weights=path or set ART_CROP_FASTGAZE"
    )


def test_a_path_that_cannot_be_used_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=r"weights: .*nowhere\.bin' cannot be read"):
        locate(SMALL, tmp_path / "nowhere.bin")
    with pytest.raises(WeightsError, match=r"weights: .* is not a file"):
        locate(SMALL, tmp_path)
    with pytest.raises(WeightsError, match=r"weights: .* cannot be read"):
        locate(SMALL, "nul\0byte")
    with pytest.raises(InvalidInputError, match="weights must be a path or None, not int"):
        locate(SMALL, 3)  # type: ignore[arg-type]
    monkeypatch.setenv("ART_CROP_SMALL", str(tmp_path / "nowhere.bin"))
    with pytest.raises(WeightsError, match="the environment variable ART_CROP_SMALL: "):
        locate(SMALL)


def test_the_default_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import platformdirs

    monkeypatch.delenv("ART_CROP_CACHE")
    assert cache_folder() == Path(platformdirs.user_cache_dir("art_crop"))


def test_every_file_of_a_listed_model_is_https_with_a_hash() -> None:
    names = [record.name for record in art_crop.list_plugins() if record.kind == "model"]
    entries = {name: model_weights(name) for name in names if model_weights(name) not in ("", "embedded")}
    assert "fastgaze" in entries
    for name, entry in entries.items():
        assert isinstance(entry, WeightFile)
        assert name == entry.name
        assert entry.url.startswith("https://")
        assert len(bytes.fromhex(entry.sha256)) == 32
        assert entry.size > 0


@pytest.mark.shared
def test_fastgazes_entry_is_the_published_file(fastgaze_weights: Path) -> None:
    found = locate(FASTGAZE, fastgaze_weights)
    assert found.official
    assert fastgaze_weights.stat().st_size == FASTGAZE.size
    assert not locate(replace(FASTGAZE, sha256="0" * 64), fastgaze_weights).official
