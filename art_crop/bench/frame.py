"""The names of :mod:`art_crop.bench.results`, where they were before."""

from art_crop.bench.results import Frame, load_run

__all__ = ["Frame", "load_run"]
