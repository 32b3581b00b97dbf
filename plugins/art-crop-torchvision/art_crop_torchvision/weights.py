"""Weight files of torchvision networks: read without running code, and compared with the network key by key."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import torch
from torch import nn

from art_crop.errors import DownloadError, WeightsError
from art_crop.models.files import read_state
from art_crop.models.weights import file_sha256

__all__ = ["load_weights", "published"]


def load_weights(network: nn.Module, path: str | Path, nb_classes: int) -> str:
    """Put a checkpoint into a network, all keys and all shapes or nothing.

    Args:
        network: The network, made for ``nb_classes`` classes; it is changed.
        path: A file that :func:`art_crop.models.files.read_state` reads.
        nb_classes: For the error message.

    Returns:
        SHA-256 of the file.

    Raises:
        WeightsError: The file is another network's, or for another number of classes; the message says which.
    """
    digest, state = file_sha256(Path(path).expanduser()), read_state(path)
    wanted = network.state_dict()
    missing, extra = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    # Files from before torch 0.4 do not count batches; evaluation does not need the number.
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or extra:
        raise WeightsError(f"weights: {path} is another network's: {_some('missing', missing)}{_some('extra', extra)}")
    other = [key for key in state if state[key].shape != wanted[key].shape]
    rows = {state[key].shape[:1] for key in other}
    if len(rows) == 1 and all(wanted[key].shape[:1] == (nb_classes,) for key in other):
        (found,) = rows.pop()
        raise WeightsError(
            f"weights: {path} is for {found} classes ({other[0]}), not {nb_classes}: give nb_classes={found}"
        )
    if other:
        key = other[0]
        raise WeightsError(
            f"weights: {path} is another network's: {key} has shape {tuple(state[key].shape)}, "
            f"not {tuple(wanted[key].shape)}"
        )
    network.load_state_dict(state, strict=False)
    return digest


def published(url: str) -> Path:
    """A published weight file in torch's own cache folder, downloaded on first use.

    Its name ends in the first digits of its SHA-256, which are checked.

    Raises:
        DownloadError: It cannot be fetched; the message says where to put a file that came another way.
        WeightsError: What is there is not the published file.
    """
    name = Path(urlsplit(url).path).name
    prefix = Path(name).stem.rpartition("-")[2]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix, progress=True)
        except (OSError, RuntimeError) as error:  # RuntimeError is torch.hub's word for another hash
            reason = _first_line(error)
            raise DownloadError(f"cannot fetch {url}: {reason}; put the file at {path} yourself") from error
    if not file_sha256(path).startswith(prefix):
        raise WeightsError(f"{path} is damaged (its SHA-256 does not begin with {prefix}): delete it and try again")
    return path


def _some(what: str, keys: list[str]) -> str:
    listed = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
    return f"{what} {listed}; " if keys else ""


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
