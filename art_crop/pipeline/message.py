"""The outcome of a photo in a sentence or two, in words for somebody who wants their photo shown."""

from __future__ import annotations

from collections.abc import Sequence

from art_crop.pipeline.goal import Goal, View
from art_crop.pipeline.measure import Change
from art_crop.pipeline.record import Settings
from art_crop.pipeline.search import Attempt

__all__ = ["explain"]


def explain(
    goal: Goal,
    before: View,
    after: View,
    attempt: Attempt,
    change: Change,
    *,
    l2_before_encoding: float,
    hopeless: bool,
    settings: Settings,
) -> str:
    """What happened and why.

    Args:
        goal: What was wanted.
        before: What the cropper made of the original file.
        after: The same for the file that is written.
        attempt: The photo behind that file.
        change: Its distance from the original.
        l2_before_encoding: L2 norm of the attempt's change.
        hopeless: A symmetric photo, whose centred crops miss the region.
        settings: What was asked.
    """
    if goal.ratios is None:
        shown, hidden = "the salient point lies in the region", "the salient point lies outside the region"
    else:
        missing = [ratio for ratio, shows in zip(goal.ratios, after.shows, strict=True) if not shows]
        shown = _crops(goal.ratios, "shows", "show")
        hidden = _crops(missing or goal.ratios, "hides", "hide")
    size = f"L2 {l2_before_encoding:.3g}"
    if settings.jpeg_quality is not None:
        size += f" before encoding as JPEG of quality {settings.jpeg_quality}"
    elif change.psnr_db is not None:
        size += f", PSNR {change.psnr_db:.1f} dB"
    if after.success:
        if attempt.eps == 0:
            centred = "; to the cropper it is mirror-symmetric, so crops are centred" if after.symmetric else ""
            already = "already" if before.success else "as soon as the photo is encoded anew"
            return f"Nothing to do: {shown} {already}, so the pixels are unchanged{centred}."
        return f"Done: {shown} now ({size})."
    larger = f"Try a larger {'max_eps' if settings.eps is None else 'eps'}"
    if hopeless:
        return (
            "Not possible: the cropper takes this photo for mirror-symmetric and centres its crops whatever the "
            f"saliency map says, and {hidden}."
        )
    if attempt.success and settings.jpeg_quality is not None:
        return (
            f"Failed: {hidden}; the pixels would show it, but JPEG quality {settings.jpeg_quality} loses too much "
            f"of the change ({size}). {larger}, or a higher quality."
        )
    return f"Failed: {hidden} ({size}). {larger}, or more steps."


def _crops(ratios: Sequence[float], one: str, many: str) -> str:
    """'the crop of ratio 1 shows the region', 'the crops of ratios 0.56, 1 show the region'."""
    listed = ", ".join(f"{ratio:g}" for ratio in ratios)
    if len(ratios) == 1:
        return f"the crop of ratio {listed} {one} the region"
    return f"the crops of ratios {listed} {many} the region"
