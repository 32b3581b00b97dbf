"""Files that are fetched on demand: over HTTPS, checked to the last bit before anything else sees them.

Nothing is fetched unless the user asks for it. A file appears under its name only when it is whole and has the
expected hash; what came otherwise is thrown away.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from art_crop.errors import DownloadError, InvalidInputError, OutputError

__all__ = ["CACHE_VARIABLE", "RemoteFile", "cache_folder", "download", "transfer_bar"]

CACHE_VARIABLE = "ART_CROP_CACHE"
"""Environment variable that names another cache folder than the user's default one."""

Tell = Callable[[int], object]
"""Called with how many bytes have come since it was last called."""

_CHUNK = 1 << 16
_TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class RemoteFile:
    """A file somewhere else, and how to know it.

    Attributes:
        name: The name it is kept under.
        url: Where it is published.
        known_hash: ``"sha256:..."``, or ``"md5:..."`` where its publishers give no other; empty where something else
            decides whether it is the right one.
        size: Its length in bytes; with ``exact`` false the most that is accepted.
        exact: Whether the length is known.
    """

    name: str
    url: str
    known_hash: str
    size: int
    exact: bool = True


def cache_folder() -> Path:
    """Folder of fetched files: ``ART_CROP_CACHE`` where that is set, else the user's cache folder of this system."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("art_crop"))


def download(
    file: RemoteFile, folder: Path, *, what: str, url: str | None = None, tell: Tell | None = None, resume: bool = False
) -> Path:
    """Fetch a file into a folder, unless the right one is there already.

    Args:
        file: Which.
        folder: Where it goes; made where it is missing.
        what: How messages name what is fetched.
        url: Another place to fetch the same file from, such as a mirror. HTTPS, or HTTP from this machine itself.
        tell: Hears of the bytes that have come.
        resume: Keep what has come of a broken transfer beside it as ``NAME.part``, and go on from there next time.

    Raises:
        InvalidInputError: The address is neither HTTPS nor local HTTP.
        DownloadError: The network or the server failed, or what came is not the expected file.
        OutputError: The folder cannot be written.
    """
    address = file.url if url is None else url
    if not _is_safe(address):
        raise InvalidInputError(f"url must start with https:// (or http:// for this machine itself), not {address!r}")
    import pooch
    import requests

    try:
        with _quiet_pooch():
            path = pooch.retrieve(
                address,
                known_hash=file.known_hash or None,
                fname=file.name,
                path=folder,
                downloader=_Downloader(file, what, tell or (lambda _: None), folder if resume else None),
            )
    except (requests.RequestException, ValueError) as error:
        # ValueError is pooch's word for another hash; urllib3 raises its own kind for addresses it cannot parse.
        raise DownloadError(f"cannot fetch {what} from {address}: {_network_reason(error)}") from error
    except OSError as error:
        raise OutputError(f"cannot write {file.name} in {folder}: {error.strerror or error}") from error
    return Path(path)


@contextmanager
def transfer_bar(what: str, total: int | None, *, shown: bool) -> Iterator[Tell]:
    """A progress bar on the error stream for bytes that come; yields what is called with how many more came."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task(what, total=total, visible=False)  # nothing comes where the file is there already
        yield lambda more: bar.update(task, advance=more, visible=True)


class _Downloader:
    """Pooch's downloader with a limit: not one byte more than the expected file has, and HTTPS at every redirection."""

    def __init__(self, file: RemoteFile, what: str, tell: Tell, parts: Path | None) -> None:
        self.file, self.what, self.tell, self.parts = file, what, tell, parts

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        if self.parts is None:
            self._receive(url, Path(output_file), 0)
            return
        part = self.parts / f"{self.file.name}.part"
        begun = part.stat().st_size if part.is_file() else 0
        if not begun or begun < self.file.size or not self.file.exact:
            self._receive(url, part, begun)
        part.replace(output_file)

    def _receive(self, url: str, path: Path, begun: int) -> None:
        import requests

        # Without compression on the way, so that the length is the file's own.
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={begun}-"} if begun else {})}
        with requests.get(url, stream=True, timeout=_TIMEOUT, headers=headers) as response:
            if begun and response.status_code == requests.codes.requested_range_not_satisfiable:
                path.unlink()
                self._receive(url, path, 0)
                return
            response.raise_for_status()
            unsafe = [step.url for step in (*response.history, response) if not _is_safe(step.url)]
            if unsafe:
                raise DownloadError(f"cannot fetch {self.what}: {url} leads to {unsafe[0]}, which is not HTTPS")
            # A server that does not know ranges sends all of it, and so does one whose file is another one by now.
            goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {begun}-")
            received = begun if begun and goes_on and response.status_code == requests.codes.partial_content else 0
            self.tell(received)
            with path.open("ab" if received else "wb") as file:
                for piece in response.iter_content(_CHUNK):
                    received += len(piece)
                    if received > self.file.size:
                        limit = "expected" if self.file.exact else "allowed"
                        raise DownloadError(
                            f"cannot fetch {self.what}: {url} sends more than the {limit} {self.file.size:,} bytes"
                        )
                    file.write(piece)
                    self.tell(len(piece))
        if self.file.exact and received < self.file.size:
            raise DownloadError(
                f"cannot fetch {self.what}: {url} sent {received:,} of the expected {self.file.size:,} bytes"
            )


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL)
        )
    except ValueError:
        return False


def _network_reason(error: Exception) -> str:
    """What went wrong, in words; the libraries' own texts are chains of object descriptions."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}".rstrip()
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (requests.Timeout, "the server did not answer in time"),
        (requests.exceptions.SSLError, "the server's certificate is not valid here"),
        (requests.exceptions.ProxyError, "the proxy refuses or cannot be reached"),
        (requests.exceptions.ChunkedEncodingError, "the connection broke before the file was complete"),
        (requests.ConnectionError, "the server cannot be reached, or the connection broke"),
        (requests.TooManyRedirects, "the address leads in circles"),
        (requests.RequestException, "the address cannot be used"),
    )
    for kind, reason in kinds:
        if isinstance(error, kind):
            return reason
    return "what came is not the published file (its hash differs)"


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Without pooch's announcements: the progress bar says the same, and scripts asked for silence."""
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
