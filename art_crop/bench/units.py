"""Work items: some photos under one setting; each row has a key that is the hash of all that decides it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from msgspec import to_builtins

from art_crop.bench.suite import Setting, Suite, canonical, digest
from art_crop.errors import InvalidInputError
from art_crop.plugins.registry import load_dataset

__all__ = [
    "UNAVAILABLE",
    "Finished",
    "PhotoRef",
    "Unit",
    "WorkItem",
    "Worker",
    "blank_row",
    "choose_photos",
    "row_key",
    "setting_keys",
]
__all__ += ["work_items"]


UNAVAILABLE = "unavailable"
"""``error_kind`` of what cannot be computed here and now (no disk, no memory, a photo replaced); it is never kept."""


@dataclass(frozen=True)
class PhotoRef:
    """A photo by its name in the dataset, where it lies, and the SHA-256 of its bytes ("": it cannot be read).

    With ``label``, the number of its true class, where the dataset gives one.
    """

    name: str
    path: str
    sha256: str
    label: int | None = None


@dataclass(frozen=True)
class WorkItem:
    """Photos under one setting; what an executor hands to a worker."""

    key: str
    setting: Setting
    setting_key: str
    photos: tuple[PhotoRef, ...]


Unit = WorkItem  # the earlier name


@dataclass
class Finished:
    """What became of a work item: one row a photo, and files to keep by their path in the run's folder."""

    item: WorkItem
    rows: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


class Worker(Protocol):
    """Loads what it needs once, and never raises for the sake of one photo."""

    def work(self, item: WorkItem, /) -> Finished:
        """Compute the rows of a work item."""


def row_key(setting_key: str, photo: PhotoRef) -> str:
    """Hash what decides the row of a photo under a setting."""
    return hashlib.sha256(f"{setting_key}\n{photo.name}\n{photo.sha256}".encode("utf-8", "surrogatepass")).hexdigest()


def blank_row(item: WorkItem, photo: PhotoRef, group: str) -> dict[str, Any]:
    """Begin a row that says which photo and setting it is about, and nothing yet of what was found."""
    setting = item.setting
    eps = setting.params.get("eps")
    return {
        "key": row_key(item.setting_key, photo),
        "unit": item.key,
        "photo": photo.name,
        "photo_sha256": photo.sha256,
        "width": 0,
        "height": 0,
        "group": group,
        "attacked": setting.attacked,
        "scored": setting.scored,
        "attack": setting.plugin,
        "method": setting.method,
        "params": canonical(dict(setting.params)),
        "eps": float(eps) if isinstance(eps, (int, float)) else None,
        "norm": str(setting.params.get("norm", 2)),
        "seed": setting.seed,
        "success": None,
        "success_before": None,
        "l2": None,
        "linf": None,
        "gradients": 0,
        "queries": 0,
        "seconds": 0.0,
        "metrics": {},
        "curve": [],
        "curve_of": "",
        "facts": "{}",
        "image": "",
        "original": "",
        "error": "",
        "error_kind": "",
    }


def setting_keys(suite: Suite, weights_sha256: Mapping[str, str], version: str) -> list[tuple[Setting, str]]:
    """List every setting of a suite with the hash of all that its numbers depend on, photos aside."""
    keys = []
    for setting in suite.settings():
        weights = [weights_sha256.get(name, "") for name in (setting.attacked, setting.scored, *setting.ensemble)]
        keys.append((setting, digest([suite.sha256, version, weights, to_builtins(setting)])))
    if len({key for _, key in keys}) < len(keys):
        raise InvalidInputError(f"suite {suite.name}: two settings are the same; see grid and special")
    return keys


def work_items(keyed: Sequence[tuple[Setting, str]], photos: Sequence[PhotoRef], batch: int) -> list[WorkItem]:
    """List all work: some photos with every setting, then the next, so that workers can keep what they have seen."""
    items = []
    for start in range(0, len(photos), batch):
        some = tuple(photos[start : start + batch])
        content = [(photo.name, photo.sha256) for photo in some]
        items += [WorkItem(digest([key, content]), setting, key, some) for setting, key in keyed]
    return items


def choose_photos(suite: Suite, images: Path | None, every: int = 1, limit: int | None = None) -> list[PhotoRef]:
    """List the photos of a suite's dataset, every n-th as the suite says, with their hashes.

    Args:
        suite: The suite.
        images: The dataset's ``root``; None for a dataset that needs none.
        every: Only every n-th of the photos that the suite means.
        limit: At most so many of those, beside the suite's own limit.

    Raises:
        InvalidInputError: No such folder, or no photos in it.
    """
    data = suite.data
    options = dict(data.options)
    if images is not None:
        options["root"] = images
    try:
        dataset = load_dataset(data.dataset, **options)
    except InvalidInputError as error:
        if images is None or not str(error).startswith("root "):
            raise
        raise InvalidInputError(f"images: {str(error).removeprefix('root ')}") from error
    except TypeError as error:
        if images is None and "'root'" in str(error):
            raise InvalidInputError(
                f"images: dataset {data.dataset!r} is a folder of yours, which is needed"
            ) from error
        cure = "a folder is needed" if images is None else "it takes no folder"
        raise InvalidInputError(f"images: dataset {data.dataset!r} cannot be opened: {cure} ({error})") from error
    indices = sorted({index for start in data.first for index in range(start, len(dataset), data.every)})[::every]
    most = min([len(indices), *([suite.limits.photos] if suite.limits.photos else []), *([limit] if limit else [])])
    chosen = list(_refs(dataset, indices[:most], data.dataset))
    if not chosen:
        raise InvalidInputError(
            f"dataset {data.dataset!r} has {len(dataset)} photos, and the suite begins at number {min(data.first)}"
        )
    return chosen


def _refs(dataset: Any, indices: Sequence[int], name: str) -> Iterator[PhotoRef]:
    for index in indices:
        item = dataset[index]
        if not hasattr(item, "path"):
            raise InvalidInputError(f"dataset {name!r}: its photos are no files, which suites need")
        path = Path(item.path)
        try:
            with path.open("rb") as file:
                content = hashlib.sha256()
                while piece := file.read(1 << 20):
                    content.update(piece)
            sha256 = content.hexdigest()
        except OSError:  # said where it is used, in a row of its own
            sha256 = ""
        # Absolute, for workers may have another working folder.
        label = getattr(item, "label", None)
        label = label if isinstance(label, int) else None
        yield PhotoRef(str(item.name).encode("utf-8", "replace").decode(), str(path.absolute()), sha256, label)
