"""The outcome of a photo in a sentence or two, in words for somebody who wants their photo shown."""

from __future__ import annotations

import math
from typing import Literal

from art_crop.images.encoding import Encoding, Jpeg
from art_crop.pipeline.craft import Attempt
from art_crop.pipeline.goals import CropView, Goal, View
from art_crop.pipeline.measure import Change

__all__ = ["explain", "pixels_in_words"]


def explain(
    goal: Goal,
    before: View,
    after: View,
    attempt: Attempt,
    change: Change,
    encoding: Encoding,
    *,
    limit: Literal["eps", "max_eps", "threshold", None],
) -> str:
    """Say what happened and why.

    Args:
        goal: What was wanted.
        before: What the target made of the original file.
        after: The same for the file that is written.
        attempt: The photo behind that file.
        change: The file's distance from the original.
        encoding: How it is written.
        limit: The setting that more could be had of; None: steps alone.
    """
    shown, hidden = goal.words(after)
    centred = isinstance(after, CropView) and after.symmetric
    size = f"L2 {change.l2:.3g}" + ("" if change.psnr_db is None else f", PSNR {change.psnr_db:.1f} dB")
    if isinstance(encoding, Jpeg):
        quality = f"quality {encoding.quality}" if encoding.tables is None else f"about quality {encoding.quality}"
        like = f"as JPEG of {quality}" if encoding.tables is None else f"as JPEG with the photo's own tables, {quality}"
        beyond = f", L2 {attempt.eps:.3g} beyond the encoder's own loss" if attempt.eps else ""
        size = f"{size}, {like}" if attempt.own else f"{like}{beyond}"
    if after.success:
        if attempt.eps == 0:
            note = "; to the cropper it is mirror-symmetric, so crops are centred" if centred else ""
            already = "already" if before.success else "as soon as the photo is encoded anew"
            kept = "the file is the photo's own, byte for byte" if attempt.own else "the pixels are unchanged"
            return f"Nothing to do: {shown} {already}, so {kept}{note}."
        was = isinstance(before, CropView) and before.symmetric and not centred
        note = "; the cropper took the photo for mirror-symmetric, and no longer does" if was else ""
        return f"Done: {shown} now ({size}{note})."
    if attempt.note:
        return f"Failed: {hidden}; {attempt.note} ({size})."
    larger = f"Try a larger {limit}" if limit else "Try more steps"
    png = ", or a PNG, for which a smaller change is enough" if encoding.lossy else ""
    png += ": --png (png=True)" if png and limit != "threshold" else ""  # protect writes one unless told otherwise
    if centred:
        return (
            f"Failed: {hidden}; the cropper takes this photo for mirror-symmetric and centres its crops, and more than "
            f"this budget is needed to break that ({size}). {larger}{png}."
        )
    if attempt.success and encoding.lossy:
        return (
            f"Failed: {hidden}; the search saw it succeed, but the file does not hold it ({size}). {larger}, a higher "
            f"quality{png}."
        )
    steps = ("" if png else " or") + " more steps" if limit else ""
    return f"Failed: {hidden} ({size}). {larger}{',' if steps else ''}{steps}{png}."


def pixels_in_words(share: float) -> str:
    """Say a share of a photo's pixels; 100% only where it is all."""
    return "all pixels" if share == 1 else f"{math.floor(share * 1000) / 10:.1f}% of the pixels"
