"""A photo's way through a JPEG file to a cropper: the real codec forward, a smoothed stand-in for gradients."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from art_crop.functional.jpeg import jpeg_surrogate
from art_crop.images.encoding import Jpeg

__all__ = ["draft_scale", "through_jpeg"]


def draft_scale(size: tuple[int, int], target: tuple[int, int]) -> int:
    """At 1 / 1, 2, 4 or 8 of its size a cropper decodes a JPEG (width, height) for a target of that size."""
    (width, height), n = size, 1
    while n < 8 and (width + 1) // 2 >= target[0] and (height + 1) // 2 >= target[1]:
        n, width, height = 2 * n, (width + 1) // 2, (height + 1) // 2
    return n


@lru_cache(maxsize=16)
def _tables(encoding: Jpeg) -> list[Tensor]:
    """The encoder's quantisation steps, (8, 8) each, of luma and chroma; the last one stands for all that follow."""
    with Image.open(io.BytesIO(encoding.encode(np.zeros((16, 16, 3), np.uint8)).data)) as image:
        tables: dict[int, list[int]] = image.quantization
    return [torch.tensor(tables[k], dtype=torch.float32).view(8, 8) for k in sorted(tables)]


class _ThroughJpeg(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, levels: Tensor, encoding: Jpeg, target: tuple[int, int]) -> Tensor:
        ctx.encoding, ctx.scale = encoding, draft_scale((levels.shape[-1], levels.shape[-2]), target)
        ctx.save_for_backward(levels)
        photos = levels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        decoded = []
        for photo in photos:
            with Image.open(io.BytesIO(encoding.encode(photo).data)) as image:
                image.draft(None, (image.width / ctx.scale, image.height / ctx.scale))
                decoded.append(np.asarray(image.convert("RGB")))
        return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).to(levels)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (levels,) = ctx.saved_tensors
        with torch.enable_grad():
            x = levels.detach().float().requires_grad_()
            stand_in = jpeg_surrogate(x, _tables(ctx.encoding), ctx.scale, subsampling=ctx.encoding.subsampling)
            (pulled,) = torch.autograd.grad(stand_in, x, gradient.float())
        return pulled.to(levels), None, None


def through_jpeg(levels: Tensor, quality: int | Jpeg, target: tuple[int, int]) -> Tensor:
    """Encode photos (N, 3, H, W), levels 0..255, and decode as a cropper would.

    Args:
        levels: Photos.
        quality: 1 to 100, with Pillow's defaults (4:2:0); or another way to encode.
        target: (width, height) that the cropper will resize to; it decides the decoder's scale.

    Returns:
        Levels (N, 3, ceil(H/n), ceil(W/n)), exact; their gradient is that of
        :func:`~art_crop.functional.jpeg.jpeg_surrogate`.
    """
    encoding = quality if isinstance(quality, Jpeg) else Jpeg(quality)
    result: Tensor = _ThroughJpeg.apply(levels, encoding, target)  # type: ignore[no-untyped-call]
    return result
