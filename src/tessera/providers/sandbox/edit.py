"""Edits: pictures that were given, visibly worked on.

Without a mask the whole picture changes its colours and its material, and stays recognisable; several pictures become
one collage first. With a mask only the black area changes, and not one pixel outside of it. That is why such a result
carries no caption: the label stands inside the changed area where there is room, and the rest is in the
file's metadata.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from tessera.providers.sandbox import art
from tessera.providers.sandbox.canvas import SCALE, Board, Field, chance, disc, finish, light, pixel, tint
from tessera.providers.sandbox.lettering import PLATE, plate
from tessera.providers.sandbox.palette import RGB, Palette, along, mix, shade, words
from tessera.providers.sandbox.tiles import leaded, tessellate
from tessera.providers.sandbox.trouble import BadMediaError

MOST = 50_000_000
"""Pixels that are decoded at most: what the largest phone cameras make."""

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP")
_ENOUGH = 3072
"""Pixels a side that no result needs more of; a JPEG file can be decoded at a half, a quarter or an eighth."""

_CELL = 8
"""Pixels: how finely a place for the label is looked for."""


class BadPictureError(BadMediaError):
    """The file is no picture that can be read"""


def load(path: Path, mode: str = "RGB", *, whole: bool = False) -> Image.Image:
    """The picture upright, on white where it is transparent (on black for ``L``, a mask). Raises BadPictureError.

    In ``RGBA`` it keeps its transparency. ``whole`` asks for all its pixels, where a huge one may come reduced.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                if image.width * image.height > MOST:
                    raise BadPictureError(f"{image.width} x {image.height} pixels are too many")
                if not whole:
                    image.draft("RGB", (_ENOUGH, _ENOUGH))
                return _flat(ImageOps.exif_transpose(image), mode)
    except Exception as error:  # decoders fail in many ways on hostile files, and all mean the same
        raise BadPictureError(f"{type(error).__name__}: {error}") from error


def _flat(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda v: v / 256).convert("L")  # sixteen bits to eight
    if mode == "RGBA" or not image.has_transparency_data:
        return image.convert(mode)
    image = image.convert("RGBA")
    ground = Image.new("RGBA", image.size, "black" if mode == "L" else "white")
    return Image.alpha_composite(ground, image).convert(mode)


def fit(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of the picture at the asked size; a picture of that size comes back as it is."""
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)


def collage(pictures: Sequence[Image.Image], size: tuple[int, int]) -> Image.Image:
    """All the pictures on one sheet, in one or two rows, none of them hidden."""
    sheet = Image.new("RGB", size)
    for picture, (left, top, right, bottom) in zip(pictures, _places(len(pictures), size), strict=True):
        sheet.paste(fit(picture, (right - left, bottom - top)), (left, top))
    return sheet


def gutters(count: int, size: tuple[int, int]) -> Image.Image:
    """What lies between the pictures of a collage, as 255 on 0."""
    mask = Image.new("L", size, 255)
    for place in _places(count, size):
        mask.paste(0, place)
    return mask


def _places(count: int, size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """The box of each picture of a collage; a single one takes it all."""
    gap = round(min(size) * 0.012) if count > 1 else 0
    rows = _rows(count, tall=size[1] > size[0])
    for row, columns in enumerate(rows):
        top, bottom = _span(row, len(rows), size[1], gap)
        for column in range(columns):
            left, right = _span(column, columns, size[0], gap)
            yield left, top, right, bottom


def _rows(count: int, *, tall: bool) -> list[int]:
    columns = 1 if tall and count == 2 else 2 if count <= 4 else 3
    rows = math.ceil(count / columns)
    return [(count + row) // rows for row in range(rows)]


def _span(index: int, count: int, length: int, gap: int) -> tuple[int, int]:
    """Where one of ``count`` equal parts begins and ends, with gaps between and around them."""
    room = length - gap * (count + 1)
    return gap * (index + 1) + room * index // count, gap * (index + 1) + room * (index + 1) // count


def edit(prompt: str, seed: int, index: int, pictures: Sequence[Image.Image], size: tuple[int, int]) -> Image.Image:
    """All the pictures, in the prompt's colours and in another material. Without caption."""
    palette = art.palette(prompt, seed)
    name = effect(prompt, seed, index)
    rng = chance("edit", prompt, seed, index, name)
    board = Board(size[0] * SCALE, size[1] * SCALE, palette, rng, prompt)
    base = recolor(collage(pictures, size), palette, 0.5)
    image = EFFECTS[name](board, base, 1.0 if len(pictures) == 1 else 0.62)
    sun = board.width * rng.choice((0.08, 0.92)), board.height * 0.06
    tint(image, palette.glow, light(board.size, sun, max(board.size) * 0.6, 0.42))
    result = finish(image, rng)
    tint(result, shade(palette.land[0], -0.02), gutters(len(pictures), size))
    return result


def inpaint(
    prompt: str, seed: int, index: int, pictures: Sequence[Image.Image], size: tuple[int, int], *, mask: Image.Image
) -> Image.Image:
    """The first picture, changed where the mask is black; every other pixel is that of ``fit(pictures[0], size)``."""
    kept = fit(pictures[0], size)
    area = changed(mask, pictures[0].size, size)
    box = area.getbbox()
    if box is None:
        return kept
    palette = art.palette(prompt, seed)
    patch = (max(64, box[2] - box[0]), max(64, box[3] - box[1]))
    if len(pictures) > 1:
        fresh = art.enlarged(lambda pixels: edit(prompt, seed, index, pictures[1:], pixels), patch)
    else:
        drawn = art.enlarged(lambda pixels: art.draw(prompt, seed, index, pixels), patch)
        fresh = _over(drawn, fit(kept.crop(box), patch))
    sheet = kept.copy()
    sheet.paste(fresh, box[:2])
    tint(sheet, palette.glow, _rim(area))
    result = Image.composite(sheet, kept, _feather(area))
    if spot := _room(area):
        plate(result, spot, palette)
    return result


def changed(mask: Image.Image, source: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """Where the result may differ, as 255 on 0: wholly black in the mask, in the cut and scale of the picture."""
    area = mask.point(lambda v: 255 if v < 128 else 0)
    if area.size != source:
        area = area.resize(source, Image.Resampling.NEAREST)
    return ImageOps.fit(area, size, Image.Resampling.BILINEAR).point(lambda v: 255 if v == 255 else 0)


def _over(fresh: Image.Image, below: Image.Image) -> Image.Image:
    """The new picture, with the forms of the old one still showing through."""
    forms = ImageOps.autocontrast(below.convert("L"), cutoff=1).convert("RGB")
    return Image.blend(fresh, ImageChops.overlay(fresh, forms), 0.5)


def _feather(area: Image.Image) -> Image.Image:
    """The area with a soft inner edge; never faint, and nothing outside."""
    soft = area.filter(ImageFilter.GaussianBlur(3)).point(lambda v: max(128, min(255, (v - 96) * 2)))
    return ImageChops.darker(soft, area)


def _rim(area: Image.Image) -> Image.Image:
    """A thin line just inside the area, so that one sees where it ends."""
    inner = area.filter(ImageFilter.GaussianBlur(5)).point(lambda v: 255 if v > 190 else 0)
    outer = area.filter(ImageFilter.GaussianBlur(5)).point(lambda v: 255 if v > 145 else 0)
    return ImageChops.subtract(outer, inner).filter(ImageFilter.GaussianBlur(0.8)).point(lambda v: v * 3 // 5)


def _room(area: Image.Image) -> tuple[int, int, int, int] | None:
    """A place for the label that lies wholly in the area, as low and as far to the left as can be."""
    wide, tall = area.width // _CELL, area.height // _CELL
    cells = area.crop((0, 0, wide * _CELL, tall * _CELL)).reduce(_CELL)
    rows = [
        sum(1 << x for x in range(wide) if cells.getpixel((x, y)) == 255) for y in range(tall)
    ]  # a number a row, a bit a cell
    for height in (5, 4, 3):
        width = math.ceil(PLATE[0] * height)
        for top in range(tall - height - 1, 0, -1):
            free = rows[top]
            for row in rows[top - 1 : top + height + 1]:  # a cell of air above and below
                free &= row
            first = _run(free, width + 2)
            if first is not None:
                left = (first + 1) * _CELL
                return left, top * _CELL, left + width * _CELL, (top + height) * _CELL
    return None


def _run(bits: int, length: int) -> int | None:
    """The place of the lowest run of so many set bits; None where there is none."""
    for _ in range(length - 1):
        bits &= bits >> 1
    return (bits & -bits).bit_length() - 1 if bits else None


def recolor(picture: Image.Image, palette: Palette, amount: float) -> Image.Image:
    """The picture with its lights and darks in the palette's colours, mixed with its own."""
    grey = ImageOps.autocontrast(picture.convert("L"), cutoff=0.5)
    table = [along(palette.ramp, v / 255) for v in range(256)]
    mapped = Image.merge("RGB", [grey.point([color[channel] for color in table]) for channel in range(3)])
    return Image.blend(picture, mapped, amount)


def effect(prompt: str, seed: int, index: int) -> str:
    """The material of variant ``index``: what the words suggest comes first."""
    found = words(prompt)
    suggested = [name for name, keys in _WORDS.items() if found.has(keys)]
    others = [name for name in EFFECTS if name not in suggested]
    order = [*suggested, *chance("effect", prompt, seed).sample(others, len(others))]
    return order[index % len(order)]


def _mosaic(board: Board, picture: Image.Image, fine: float) -> Image.Image:
    heart = board.width * board.rng.uniform(0.2, 0.8), board.height * board.rng.uniform(0.2, 0.6)
    return tessellate(board, picture, board.unit * 10 * fine, heart, gold=0.008)


def _glass(board: Board, picture: Image.Image, fine: float) -> Image.Image:
    small = picture.resize((board.width // 32, board.height // 32), Image.Resampling.BOX)

    def color(x: float, y: float) -> RGB:
        return shade(pixel(small, x / board.width, y / board.height), board.rng.uniform(-0.03, 0.05))

    return leaded(board, color, round(1000 * _share(board) / fine) + 40, lead=4.5 * fine)


def _brush(board: Board, picture: Image.Image, fine: float) -> Image.Image:
    """Strokes of paint along a gentle current, broad ones first and fine ones where the picture is busy."""
    image = picture.filter(ImageFilter.GaussianBlur(12)).resize(board.size)
    draw = ImageDraw.Draw(image)
    current, turn = Field(board.rng, 3), board.rng.uniform(0, math.tau)
    busy = _busy(picture)
    for wide, count in ((30, 1500), (17, 4000), (8, 9000), (4.2, 14000)):
        for _ in range(round(count * _share(board) / fine)):
            x, y = board.rng.random(), board.rng.random()
            if wide < 18 and pixel(busy, x, y)[0] < board.rng.uniform(10, 120 if wide < 8 else 70):
                continue
            angle = turn + 3.4 * current.at(x, y) + board.rng.gauss(0, 0.12)
            long = fine * board.unit * wide * board.rng.uniform(0.9, 1.9)
            color = shade(pixel(picture, x, y), board.rng.gauss(0, 0.022))
            _stroke(
                draw,
                (x * board.width, y * board.height),
                (long * math.cos(angle), long * math.sin(angle)),
                (fine * board.unit * wide, color),
            )
    return image


def _share(board: Board) -> float:
    """How much of a megapixel the result has: a small patch needs fewer pieces."""
    return min(1.0, board.width * board.height / SCALE**2 / 1024**2)


def _busy(picture: Image.Image) -> Image.Image:
    """Where there is much to see, in grey (as RGB)."""
    small = picture.convert("L").resize((picture.width // 4, picture.height // 4), Image.Resampling.BOX)
    edges = _edges(small).filter(ImageFilter.GaussianBlur(3))
    return ImageOps.autocontrast(edges, cutoff=1).convert("RGB")


def _edges(grey: Image.Image) -> Image.Image:
    """Where lights and darks meet; Pillow leaves the outermost pixels as they were, and they are no edge."""
    edges = Image.new("L", grey.size)
    inner = (2, 2, max(2, grey.width - 2), max(2, grey.height - 2))
    edges.paste(grey.filter(ImageFilter.FIND_EDGES).crop(inner), inner[:2])
    return edges


def _stroke(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], half: tuple[float, float], pen: tuple[float, RGB]
) -> None:
    (x, y), (dx, dy), (wide, color) = at, half, pen
    draw.line((x - dx, y - dy, x + dx, y + dy), fill=color, width=max(1, round(wide)))
    for end in ((x - dx, y - dy), (x + dx, y + dy)):
        disc(draw, end, wide / 2 - 0.5, color)


def _poster(board: Board, picture: Image.Image, fine: float) -> Image.Image:
    """A few flat inks and a dark line around things; ``fine`` changes nothing, as there are no pieces."""
    palette = board.palette
    half = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
    calm = (
        half.filter(ImageFilter.MedianFilter(5))
        .resize(board.size, Image.Resampling.BICUBIC)
        .filter(ImageFilter.GaussianBlur(3))
    )
    grey = ImageOps.autocontrast(calm.convert("L"), cutoff=1)
    inks = (
        palette.land[0],
        mix(palette.land[0], palette.accents[2], 0.6),
        palette.accents[0],
        palette.warm,
        palette.glow,
    )
    flat = [inks[min(4, v * 5 // 256)] for v in range(256)]
    image = Image.merge("RGB", [grey.point([color[channel] for color in flat]) for channel in range(3)])
    image = Image.blend(image, calm, 0.25)
    lines = _edges(calm.convert("L")).filter(ImageFilter.GaussianBlur(2))
    tint(image, palette.land[0], lines.point(lambda v: min(230, max(0, (v - 7) * 26))))
    return image


def _halftone(board: Board, picture: Image.Image, fine: float) -> Image.Image:
    """Dots of ink on paper: large where the picture is dark, coloured as it is there."""
    palette = board.palette
    image = Image.new("RGB", board.size, mix(palette.glow, palette.sky[2], 0.25))
    draw = ImageDraw.Draw(image)
    step, turn = max(board.unit * 10.5 * fine, 5.0 * SCALE), board.rng.choice((0.26, 0.52, 0.79))
    small = picture.resize((round(board.width / step), round(board.height / step)), Image.Resampling.BOX)
    grey = ImageOps.autocontrast(small.convert("L"), cutoff=1).convert("RGB")
    reach = math.ceil(math.hypot(*board.size) / 2 / step) + 1
    for row in range(-reach, reach):
        for column in range(-reach, reach):
            x = board.width / 2 + step * (column * math.cos(turn) - row * math.sin(turn))
            y = board.height / 2 + step * (column * math.sin(turn) + row * math.cos(turn))
            if -step < x < board.width + step and -step < y < board.height + step:
                dark = 1 - pixel(grey, x / board.width, y / board.height)[0] / 255
                color = shade(pixel(small, x / board.width, y / board.height), -0.12)
                disc(draw, (x, y), step * (0.14 + 0.56 * dark**0.7), color)
    return image


# Each effect takes the picture at the size of the result and answers a drawing of the board's size; ``fine`` below 1
# makes its pieces smaller.
EFFECTS: dict[str, Callable[[Board, Image.Image, float], Image.Image]] = {
    "mosaic": _mosaic,
    "brush": _brush,
    "poster": _poster,
    "glass": _glass,
    "halftone": _halftone,
}

_WORDS = {
    "mosaic": "mosaic tile tiles tessera roman byzantine pixel 马赛克",
    "brush": "paint painting oil watercolor watercolour impressionist brush gogh monet ghibli canvas 油画 水彩 绘画",
    "poster": "poster comic cartoon anime flat vector sticker logo 海报 漫画 动漫",
    "glass": "glass window cathedral church crystal 玻璃",
    "halftone": "halftone newspaper retro vintage pop warhol dots 复古 波普",
}
