"""From an order to a file: what a child process does. It imports Pillow and the drawing modules, and little else."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tessera.providers.sandbox import art
from tessera.providers.sandbox.edit import edit, inpaint, load
from tessera.providers.sandbox.lettering import HONEST, LABEL, Caption, caption


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be drawn. ``prompt`` has no directives in it any more; ``folder`` takes the files."""

    prompt: str
    seed: int
    ratio: str
    count: int
    model: str
    enhance: bool
    folder: Path
    images: tuple[Path, ...] = ()
    mask: Path | None = None


def seed(prompt: str, ratio: str, model: str, *, enhance: bool) -> int:
    """The seed of a request that names none: the same for the same request, below 2**32."""
    text = "\x1f".join((prompt, ratio, model, str(enhance)))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4])


def check(images: tuple[Path, ...], mask: Path | None) -> None:
    """Decode the inputs, to know before anything is promised. Raises BadPictureError."""
    for path in images:
        load(path)
    if mask is not None:
        load(mask, "L")


def render(order: Order, index: int) -> Path:
    """Draw variant ``index`` (from 0) and write it as a PNG file. Raises BadPictureError and OSError."""
    size = art.size(order.ratio)
    image = _picture(order, index, size)
    if order.mask is None:
        words = Caption(prompt=order.prompt, facts=_facts(order, index, size), scale=0.8 if order.images else 1.0)
        caption(image, words, art.palette(order.prompt, order.seed))
    path = order.folder / f"sandbox-{index + 1}.png"
    part = path.with_suffix(".part")
    image.save(part, "PNG", pnginfo=_about(order, index), compress_level=4)
    part.replace(path)
    return path


def _picture(order: Order, index: int, size: tuple[int, int]) -> Image.Image:
    if not order.images:
        return art.draw(order.prompt, order.seed, index, size)
    pictures = [load(path) for path in order.images]
    if order.mask is None:
        return edit(order.prompt, order.seed, index, pictures, size)
    return inpaint(order.prompt, order.seed, index, pictures, size, mask=load(order.mask, "L"))


def _facts(order: Order, index: int, size: tuple[int, int]) -> tuple[str, ...]:
    """What the caption says below the prompt."""
    facts = [f"{size[0]} x {size[1]}", order.ratio, f"variant {index + 1} of {order.count}", f"seed {order.seed}"]
    facts += [order.model, f"enhance {'on' if order.enhance else 'off'}"]
    if order.images:
        facts.append(f"{len(order.images)} input{'s' if len(order.images) > 1 else ''}")
    return tuple(facts)


def _about(order: Order, index: int) -> PngInfo:
    """The facts as text in the file, for programs. What is not Latin-1 becomes iTXt."""
    about = PngInfo()
    for key, value in (
        ("prompt", order.prompt.replace("\0", "")),
        ("seed", str(order.seed)),
        ("model", "sandbox"),
        ("upstream-model", order.model),
        ("variant", f"{index + 1}/{order.count}"),
        ("ratio", order.ratio),
        ("Comment", f"{LABEL}: {HONEST}"),
    ):
        about.add_text(key, value.encode("utf-8", "replace").decode())
    return about
