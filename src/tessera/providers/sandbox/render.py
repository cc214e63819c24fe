"""From an order to a file: what a child process does. It imports Pillow and the drawing modules, and little else."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from tessera.providers.sandbox import art
from tessera.providers.sandbox.edit import edit, inpaint, load
from tessera.providers.sandbox.lettering import Caption, caption
from tessera.providers.sandbox.save import SUFFIXES, save
from tessera.providers.sandbox.stamp import stamp
from tessera.providers.sandbox.upscale import target, upscale

UPSCALE, BACKGROUND, SEGMENT = "image.upscale", "image.background", "image.segment"

MOST = 50_000_000
"""Pixels of the largest picture that is made."""

_SMALLEST = 160
"""Pixels of the shorter side below which a caption cannot be read; the label is in the file all the same."""

_KEPT = range(64 * 64, 4_200_000)
"""Pixels of a picture that is painted into at its own size where the request leaves the size to us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be made. ``prompt`` has no directives in it any more; ``folder`` takes the files."""

    prompt: str
    seed: int
    ratio: str
    count: int
    model: str
    enhance: bool
    folder: Path
    images: tuple[Path, ...] = ()
    mask: Path | None = None
    operation: str = "image.generate"
    resolution: str | None = None
    width: int | None = None
    height: int | None = None
    scale: float | None = None
    format: Literal["png", "jpeg", "webp"] = "png"
    watermark: str = ""


def seed(prompt: str, ratio: str, model: str, *, enhance: bool) -> int:
    """The seed of a request that names none: the same for the same request, below 2**32."""
    text = "\x1f".join((prompt, ratio, model, str(enhance)))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4])


def check(order: Order) -> tuple[int, int]:
    """Decode the inputs, to know before anything is promised; answers the size of what would be made.

    Raises BadPictureError, and ValueError where the request's words on the size make no sense.
    """
    sources = [load(path, whole=order.operation == UPSCALE).size for path in order.images]
    if order.mask is not None:
        load(order.mask, "L")
    return size(order, sources[0] if sources else (1, 1))


def size(order: Order, source: tuple[int, int]) -> tuple[int, int]:
    """The size of what an order makes out of a first picture of ``source``. Raises ValueError."""
    if order.operation == UPSCALE:
        return target(source, order.scale, order.resolution)
    if order.operation == BACKGROUND:
        return source
    left = order.ratio == art.AUTO and (order.resolution, order.width, order.height) == (None, None, None)
    if left and order.mask is not None and source[0] * source[1] in _KEPT:
        return source  # not one pixel outside of the mask changes, not even by a change of scale
    return art.extent(order.ratio, order.resolution, order.width, order.height, source)


def render(order: Order, index: int) -> Path:
    """Make variant ``index`` (from 0) and write its file. Raises BadPictureError and OSError."""
    image = _worked(order) if order.operation in (UPSCALE, BACKGROUND) else _drawn(order, index)
    if order.watermark:
        stamp(image, order.watermark)
    path = order.folder / f"sandbox-{index + 1}.{SUFFIXES[_format(order)]}"
    save(image, path, _about(order, index))
    return path


def segments(path: Path, folder: Path) -> list[tuple[Path, str]]:
    """Masks of a picture's subjects and of its ground, each with a name. Raises BadPictureError and OSError."""
    from tessera.providers.sandbox.segment import segments as work  # it needs numpy, the others do not

    return work(path, folder)


def _format(order: Order) -> str:
    """JPEG cannot say what is transparent."""
    return "png" if order.operation == BACKGROUND and order.format == "jpeg" else order.format


def _worked(order: Order) -> Image.Image:
    """The first picture itself, larger or without its ground. It carries no caption: it is the caller's."""
    picture = load(order.images[0], "RGBA", whole=True)
    if order.operation == UPSCALE:
        return upscale(picture, size(order, picture.size))
    from tessera.providers.sandbox.background import cut  # it needs numpy, the others do not

    return cut(picture)


def _drawn(order: Order, index: int) -> Image.Image:
    pictures = [load(path) for path in order.images]
    pixels = size(order, pictures[0].size if pictures else (1, 1))
    image = _picture(order, index, pictures, pixels)
    if order.mask is None and min(pixels) >= _SMALLEST:
        words = Caption(prompt=order.prompt, facts=_facts(order, index, pixels), scale=0.8 if pictures else 1.0)
        caption(image, words, art.palette(order.prompt, order.seed))
    return image


def _picture(order: Order, index: int, pictures: list[Image.Image], pixels: tuple[int, int]) -> Image.Image:
    if not pictures:
        return art.enlarged(lambda small: art.draw(order.prompt, order.seed, index, small), pixels)
    if order.mask is None:
        return art.enlarged(lambda small: edit(order.prompt, order.seed, index, pictures, small), pixels)
    return inpaint(order.prompt, order.seed, index, pictures, pixels, mask=load(order.mask, "L"))


def _facts(order: Order, index: int, pixels: tuple[int, int]) -> tuple[str, ...]:
    """What the caption says below the prompt."""
    facts = [f"{pixels[0]} x {pixels[1]}", order.ratio, f"variant {index + 1} of {order.count}", f"seed {order.seed}"]
    facts += [order.model, f"enhance {'on' if order.enhance else 'off'}"]
    if order.resolution:
        facts.insert(2, order.resolution)
    if order.images:
        facts.append(f"{len(order.images)} input{'s' if len(order.images) > 1 else ''}")
    return tuple(facts)


def _about(order: Order, index: int) -> dict[str, str]:
    """The facts as text in the file, for programs."""
    return {
        "prompt": order.prompt,
        "seed": str(order.seed),
        "model": "sandbox",
        "upstream-model": order.model,
        "operation": order.operation,
        "variant": f"{index + 1}/{order.count}",
        "ratio": order.ratio,
    }
