"""Weight files that the package does not contain: where they are looked for, and how they are fetched and checked.

A file is fetched only when the user asks for it, over HTTPS, and kept only if it is the expected one to the last bit
(SHA-256). A path that the user gives is taken as it is, for it may hold weights they trained themselves; its hash is
returned so that a record can say which weights were used.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from art_crop.downloads import RemoteFile, cache_folder, download, transfer_bar
from art_crop.errors import InvalidInputError, WeightsError

__all__ = ["FASTGAZE", "FoundWeights", "WeightFile", "cache_folder", "fetch", "file_sha256", "locate"]


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
    known_hash = f"sha256:{weight_file.sha256}"
    remote = RemoteFile(weight_file.file_name, weight_file.url, known_hash, weight_file.size)
    with transfer_bar(weight_file.name, weight_file.size, shown=progress) as tell:
        path = download(remote, cache_folder(), what=weight_file.name, url=url, tell=tell)
    return FoundWeights(path, weight_file.sha256, "cache", official=True)


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
