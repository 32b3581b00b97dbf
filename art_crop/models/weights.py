"""Weight files that the package does not contain: where they are looked for, and how they are fetched and checked.

A file is fetched only when the user asks for it, over HTTPS, and kept only if it is the expected one to the last bit
(SHA-256). A path that the user gives is taken as it is, for it may hold weights they trained themselves; its hash is
returned so that a record can say which weights were used.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from art_crop.errors import DownloadError, InvalidInputError, OutputError, WeightsError

CACHE_VARIABLE = "ART_CROP_CACHE"
"""Environment variable that names another cache folder than the user's default one."""

_CHUNK = 1 << 16
_TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class WeightFile:
    """A weight file that can be fetched.

    Attributes:
        name: The model's name, as in ``art-crop models fetch NAME``.
        file_name: Its name in the cache folder.
        url: Where it is published.
        sha256: SHA-256 of its bytes, hexadecimal.
        size: Its length in bytes.
        licence: SPDX name of its licence.
        environment_variable: Variable that may hold the path of a file to use instead.
    """

    name: str
    file_name: str
    url: str
    sha256: str
    size: int
    licence: str
    environment_variable: str


@dataclass(frozen=True)
class FoundWeights:
    """A weight file on this machine.

    Attributes:
        path: Where it is.
        sha256: SHA-256 of its bytes, hexadecimal.
        source: What named it: the ``weights`` argument, the environment variable, or the cache folder.
        official: Whether it is the published file, bit for bit.
    """

    path: Path
    sha256: str
    source: Literal["argument", "environment", "cache"]
    official: bool


FASTGAZE = WeightFile(
    name="fastgaze",
    file_name="fastgaze.vxm",
    url="https://raw.githubusercontent.com/twitter-research/image-crop-analysis/main/bin/fastgaze.vxm",
    sha256="b76cefc218ec8969cc62b26ad0f41111800421287e7f2725d808da1d90afbdf7",
    size=489_616,
    licence="Apache-2.0",
    environment_variable="ART_CROP_FASTGAZE",
)


def cache_folder() -> Path:
    """Folder of fetched files: ``ART_CROP_CACHE`` where that is set, else the user's cache folder of this system."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("art_crop"))


def locate(weight_file: WeightFile, weights: str | os.PathLike[str] | None = None) -> FoundWeights:
    """Find a model's weights: the argument, else the environment variable, else the cache folder. Nothing is fetched.

    Args:
        weight_file: Which weights, such as :data:`FASTGAZE`.
        weights: Path of a file to use. Another hash than the published one is allowed and reported in the result.

    Raises:
        WeightsError: There is no file, or the one in the cache is damaged (the message says the command that cures it),
            or the path that was given cannot be read.
    """
    variable = weight_file.environment_variable
    if weights is not None:
        return _given(weight_file, weights, "argument", "weights")
    if os.environ.get(variable):
        return _given(weight_file, os.environ[variable], "environment", f"the environment variable {variable}")
    path = cache_folder() / weight_file.file_name
    cure = f"run `art-crop models fetch {weight_file.name}`"
    if not path.is_file():
        raise WeightsError(
            f"the weights of {weight_file.name} are not on this machine: {cure}, or give weights=path or set {variable}"
        )
    digest = file_sha256(path, "the cached file")
    if digest != weight_file.sha256:
        raise WeightsError(f"{path} is damaged (its SHA-256 is not that of the published file): {cure} to replace it")
    return FoundWeights(path, digest, "cache", official=True)


def fetch(weight_file: WeightFile, *, url: str | None = None, progress: bool = True) -> FoundWeights:
    """Download a model's weights into the cache folder, unless the right file is there already.

    Args:
        weight_file: Which weights, such as :data:`FASTGAZE`.
        url: Another place to fetch the same file from, such as a mirror. HTTPS, or HTTP from this machine itself.
        progress: Show a progress bar on the error stream.

    Raises:
        InvalidInputError: The address is neither HTTPS nor local HTTP.
        DownloadError: The network or the server failed, or what came is not the expected file; nothing is kept of it.
        OutputError: The cache folder cannot be written.
    """
    address = weight_file.url if url is None else url
    if not _is_safe(address):
        raise InvalidInputError(f"url must start with https:// (or http:// for this machine itself), not {address!r}")
    import pooch
    import requests

    try:
        with _quiet_pooch():
            path = pooch.retrieve(
                address,
                known_hash=f"sha256:{weight_file.sha256}",
                fname=weight_file.file_name,
                path=cache_folder(),
                downloader=_Downloader(weight_file, progress),
            )
    except (requests.RequestException, ValueError) as error:
        # ValueError is pooch's word for another hash; urllib3 raises its own kind for addresses it cannot parse.
        reason = _network_reason(error)
        raise DownloadError(f"cannot fetch {weight_file.name} from {address}: {reason}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {weight_file.file_name} in {cache_folder()}: {reason}") from error
    return FoundWeights(Path(path), weight_file.sha256, "cache", official=True)


class _Downloader:
    """Pooch's downloader with a limit: not one byte more than the expected file has, and HTTPS at every redirection."""

    def __init__(self, weight_file: WeightFile, progress: bool) -> None:
        self.weight_file, self.progress = weight_file, progress

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        import requests
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        name, size = self.weight_file.name, self.weight_file.size
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        # Without compression on the way, so that the length is the file's own.
        headers = {"Accept-Encoding": "identity"}
        with (
            requests.get(url, stream=True, timeout=_TIMEOUT, headers=headers) as response,
            Progress(*columns, console=Console(stderr=True), disable=not self.progress) as bar,
            Path(output_file).open("wb") as file,
        ):
            response.raise_for_status()
            unsafe = [step.url for step in (*response.history, response) if not _is_safe(step.url)]
            if unsafe:
                raise DownloadError(f"cannot fetch {name}: {url} leads to {unsafe[0]}, which is not HTTPS")
            task = bar.add_task(name, total=size)
            received = 0
            for piece in response.iter_content(_CHUNK):
                received += len(piece)
                if received > size:
                    raise DownloadError(f"cannot fetch {name}: {url} sends more than the expected {size:,} bytes")
                file.write(piece)
                bar.update(task, completed=received)
        if received < size:
            raise DownloadError(f"cannot fetch {name}: {url} sent {received:,} of the expected {size:,} bytes")


def _given(
    weight_file: WeightFile, weights: object, source: Literal["argument", "environment"], what: str
) -> FoundWeights:
    if not isinstance(weights, (str, os.PathLike)):
        raise InvalidInputError(f"weights must be a path or None, not {type(weights).__name__}")
    path = Path(weights).expanduser()
    digest = file_sha256(path, what)
    return FoundWeights(path, digest, source, official=digest == weight_file.sha256)


def file_sha256(path: Path, what: str = "weights") -> str:
    """SHA-256 of a file, hexadecimal; ``what`` names it in the WeightsError where it cannot be read."""
    try:
        if path.exists() and not path.is_file():  # a pipe would block, a folder has no bytes
            raise WeightsError(f"{what}: {path} is not a file; allowed: the path of a weight file")
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise WeightsError(
            f"{what}: {str(path)!r} cannot be read ({reason}); allowed: the path of a weight file"
        ) from error
    return digest.hexdigest()


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
    return "what came is not the published file (its SHA-256 differs)"


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
