"""Upscaling: the picture itself at more pixels, a little sharper, and nothing invented."""

import math

from PIL import Image, ImageFilter

from tessera.providers.sandbox import art

FACTOR = 2.0
"""How many times larger where a request says neither a scale nor a resolution."""


def target(source: tuple[int, int], scale: float | None, resolution: str | None) -> tuple[int, int]:
    """The size that a picture of ``source`` gets: ``scale`` times its sides, or as many pixels as ``resolution`` has.

    Never fewer than it has. Raises ValueError for a scale or a resolution that makes no sense.
    """
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"a picture cannot be scaled by {scale}")
    if scale is None:
        scale = FACTOR if resolution is None else (art.area(resolution) / math.prod(source)) ** 0.5
    scale = max(1.0, scale)
    return max(1, round(source[0] * scale)), max(1, round(source[1] * scale))


def upscale(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture at a size, sharpened as far as it was enlarged. An alpha channel is enlarged, but not sharpened."""
    factor = size[0] / picture.width
    if picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (255, 255):
        picture = picture.convert("RGB")
    large = picture.resize(size, Image.Resampling.LANCZOS)
    if factor <= 1:
        return large
    sharp = large.convert("RGB").filter(ImageFilter.UnsharpMask(0.55 * factor, 70, 2))
    if large.mode == "RGBA":
        sharp.putalpha(large.getchannel("A"))
    return sharp
