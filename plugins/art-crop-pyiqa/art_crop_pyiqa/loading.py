"""Making a metric of pyiqa: without code out of weight files, and with an error that helps where a file is missing."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import torch

from art_crop.errors import DownloadError, MissingDependencyError, WeightsError
from art_crop.models.torchvision_import import import_torchvision

__all__ = ["build_metric", "metric_table"]

_URL = re.compile(r"https?://[^\s'\":]+[^\s'\":.,]")


def metric_table() -> dict[str, dict[str, Any]]:
    """Pyiqa's own table of metrics: mode, score range, direction, options."""
    import_torchvision()
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    table: dict[str, dict[str, Any]] = DEFAULT_CONFIGS
    return table


def build_metric(name: str, device: str) -> Any:
    """Pyiqa's network for a metric of its table, on a device; weights are downloaded by pyiqa on first use.

    Raises:
        DownloadError: A weight file cannot be fetched; the message names it and its place on this machine.
        WeightsError: A weight file that holds more than weights, or is damaged.
        MissingDependencyError: The metric needs something that is not installed.
    """
    import_torchvision()
    try:
        # What pyiqa prints about its files belongs on the error stream.
        with (
            contextlib.redirect_stdout(sys.stderr),
            _watched_downloads(),
            _only_weights(),
            torch.random.fork_rng(devices=[]),
        ):
            import pyiqa

            return pyiqa.create_metric(name, as_loss=True, device=torch.device(device)).net
    except ModuleNotFoundError as error:
        cure = 'pip install "setuptools<81"' if error.name == "pkg_resources" else f"pip install {error.name}"
        raise MissingDependencyError(f"pyiqa's {name} needs the module {error.name}: {cure}") from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        url = _wanted_from_hub(error)
        if url is None:
            raise WeightsError(f"pyiqa cannot load {name}: {_first_line(error)}") from error
        raise DownloadError(
            f"pyiqa's {name} needs {url}, which cannot be fetched: on a machine with a network run "
            f"`hf download {_repository(url)}`, and copy what it wrote to {_hub_folder()}"
        ) from error
    except Exception as error:
        if type(error).__name__ != "UnpicklingError":
            raise
        raise WeightsError(
            f"pyiqa cannot load {name}: its weight file holds more than weights, or is damaged; nothing of it was run"
        ) from error


@contextlib.contextmanager
def _watched_downloads() -> Iterator[None]:
    """Pyiqa's downloads over HTTPS only, and with an error that names the file and where it belongs."""
    from pyiqa.utils import download_util

    download = download_util.download_url_to_file

    def fetch(url: str, path: str, *args: Any, **kwargs: Any) -> None:
        advice = f"; put the file at {path} yourself"
        if not url.startswith("https://"):
            raise DownloadError(f"pyiqa's weights at {url} are not fetched, for that is not HTTPS{advice}")
        try:
            download(url, path, *args, **kwargs)
        except (OSError, RuntimeError) as error:
            raise DownloadError(f"cannot fetch {url}: {_first_line(error)}{advice}") from error

    download_util.download_url_to_file = fetch
    try:
        yield
    finally:
        download_util.download_url_to_file = download


@contextlib.contextmanager
def _only_weights() -> Iterator[None]:
    """torch.load reads data only, whatever pyiqa asks of it."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _wanted_from_hub(error: BaseException | None) -> str | None:
    """Address of the file that Hugging Face's client was after, which it tells at the end of a chain of causes."""
    while error is not None:
        request = getattr(error, "request", None)
        match = _URL.search(str(getattr(request, "url", "")) or str(error))
        if match and "/resolve/" in match.group():
            return match.group()
        error = error.__cause__ or error.__context__
    return None


def _repository(url: str) -> str:
    return "/".join(url.split("/resolve/")[0].split("/")[-2:])


def _hub_folder() -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    return str(HF_HUB_CACHE)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
