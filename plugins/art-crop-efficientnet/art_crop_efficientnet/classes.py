"""The 1000 classes of ImageNet (ILSVRC 2012) in the order of a classifier's logits: sorted by WordNet id."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

__all__ = ["imagenet_classes"]


@lru_cache(maxsize=1)
def imagenet_classes() -> tuple[str, ...]:
    """1000 texts of WordNet id and first word, such as ``"n01440764 tench"``; words repeat, ids do not."""
    text = (resources.files("art_crop_efficientnet") / "imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
