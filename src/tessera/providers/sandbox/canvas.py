"""The tools of the pictures: a board to draw on, gradients, noise, light and grain, all in plain Pillow.

Everything is drawn at twice the size and reduced at the end, which smooths every edge. Chance comes from a ``Random``
that was seeded from outside, so that the same request makes the same picture.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from tessera.providers.sandbox.palette import RGB, Palette, along

Point = tuple[float, float]
SCALE = 2
"""How many times larger than the result a picture is drawn."""

_RIM = 178
"""Pillow's radial gradient at the middle of its sides; it goes on to 255 in the corners."""


def chance(*parts: object) -> Random:
    """A source of chance that gives the same numbers for the same parts, on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return Random(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())  # noqa: S311 - art, not secrets


@dataclass(frozen=True, slots=True)
class Board:
    """What a picture is drawn with. ``width`` and ``height`` are those of the drawing, ``SCALE`` times the result's."""

    width: int
    height: int
    palette: Palette
    rng: Random
    prompt: str

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def unit(self) -> float:
        """A thousandth of the side of a square picture; in a long one, less than that of its area's root."""
        return math.sqrt(min(self.size) * math.sqrt(self.width * self.height)) / 1000


def gradient(size: tuple[int, int], stops: Sequence[RGB]) -> Image.Image:
    """Colours from top to bottom."""
    strip = Image.new("RGB", (1, 256))
    strip.putdata([along(stops, y / 255) for y in range(256)])
    return strip.resize(size, Image.Resampling.BICUBIC)


def mesh(size: tuple[int, int], rows: Sequence[Sequence[RGB]]) -> Image.Image:
    """Colours flowing into each other between the points of a coarse grid."""
    coarse = Image.new("RGB", (len(rows[0]), len(rows)))
    coarse.putdata([color for row in rows for color in row])
    middle = coarse.resize((len(rows[0]) * 24, len(rows) * 24), Image.Resampling.BICUBIC)
    return middle.filter(ImageFilter.GaussianBlur(6)).resize(size, Image.Resampling.BICUBIC)


def clouds(size: tuple[int, int], cells: tuple[int, int], rng: Random, octaves: int = 4) -> Image.Image:
    """Soft noise in grey: ``cells`` across and down in the coarsest octave, each further one twice as fine."""
    total = Image.new("L", (size[0] // 4, size[1] // 4), 128)
    weight = 0.5
    for octave in range(octaves):
        columns, rows = cells[0] << octave, cells[1] << octave
        layer = Image.frombytes("L", (columns, rows), rng.randbytes(columns * rows))
        total = Image.blend(total, layer.resize(total.size, Image.Resampling.BICUBIC), weight if octave else 1.0)
        weight *= 0.72
    return total.resize(size, Image.Resampling.BICUBIC)


def light(size: tuple[int, int], center: Point, radius: float, strength: float = 1.0) -> Image.Image:
    """A round glow in grey, brightest at its centre and gone at ``radius``."""
    side = max(2, round(radius * 2))
    spot = Image.radial_gradient("L").point(lambda v: round(255 * strength * max(0.0, 1 - v / _RIM) ** 2))
    glow = Image.new("L", size)
    glow.paste(
        spot.resize((side, side), Image.Resampling.BICUBIC), (round(center[0] - radius), round(center[1] - radius))
    )
    return glow


def tint(image: Image.Image, color: RGB, mask: Image.Image) -> None:
    """Lay a colour over the picture where the grey mask says so."""
    image.paste(color, (0, 0, *image.size), mask)


def paint(size: tuple[int, int], draw: Callable[[ImageDraw.ImageDraw], None]) -> Image.Image:
    """A grey mask with what ``draw`` leaves on it."""
    mask = Image.new("L", size)
    draw(ImageDraw.Draw(mask))
    return mask


def disc(draw: ImageDraw.ImageDraw, center: Point, radius: float, fill: RGB | int) -> None:
    x, y = center
    radius = max(0.0, radius)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def ring(draw: ImageDraw.ImageDraw, center: Point, radius: float, width: float, fill: RGB | int) -> None:
    x, y = center
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=fill, width=max(1, round(width)))


def finish(image: Image.Image, rng: Random) -> Image.Image:
    """Reduce a drawing to the size of the result, darken its corners a little, and give it a light grain."""
    return grain(vignette(image.reduce(SCALE)), rng)


def vignette(image: Image.Image) -> Image.Image:
    edge = Image.radial_gradient("L").point(lambda v: 255 - round(70 * max(0.0, v / 255 - 0.4) ** 1.5))
    factor = edge.resize(image.size, Image.Resampling.BICUBIC)
    return ImageChops.multiply(image, Image.merge("RGB", (factor, factor, factor)))


def grain(image: Image.Image, rng: Random, amount: float = 3.5) -> Image.Image:
    noise = Image.frombytes("L", image.size, rng.randbytes(image.width * image.height))
    noise = noise.point(lambda v: 128 + round((v - 127.5) / 127.5 * amount))
    return ImageChops.add(image, Image.merge("RGB", (noise, noise, noise)), scale=1.0, offset=-128)


def pixel(picture: Image.Image, x: float, y: float) -> RGB:
    """The colour at a place given in 0..1; beyond the picture, that of its rim."""
    place = (
        min(picture.width - 1, max(0, int(x * picture.width))),
        min(picture.height - 1, max(0, int(y * picture.height))),
    )
    color = picture.getpixel(place)
    assert isinstance(color, tuple)
    return color[0], color[1], color[2]


class Field:
    """Smooth chance over the plane: the same place gives the same value, 0..1, and near places near values."""

    def __init__(self, rng: Random, cells: int = 6) -> None:
        self._cells = cells
        self._rows = [[rng.random() for _ in range(cells + 3)] for _ in range(cells + 3)]

    def at(self, x: float, y: float) -> float:
        """The value at a place given in 0..1 of the field's width and height."""
        x, y = min(1.0, max(0.0, x)) * self._cells, min(1.0, max(0.0, y)) * self._cells
        column, row = int(x), int(y)
        u, v = _ease(x - column), _ease(y - row)
        upper, lower = self._rows[row], self._rows[row + 1]
        top = upper[column] + (upper[column + 1] - upper[column]) * u
        bottom = lower[column] + (lower[column + 1] - lower[column]) * u
        return top + (bottom - top) * v


def profile(rng: Random, count: int, waves: float, octaves: int, *, sharp: bool = False) -> list[float]:
    """A skyline as ``count`` heights in 0..1: ``waves`` hills across, finer ones on them; ``sharp`` makes crests."""
    total = [0.0] * count
    weight, sum_of_weights = 1.0, 0.0
    for octave in range(octaves):
        frequency = waves * 2**octave
        knots = [rng.random() for _ in range(math.ceil(frequency) + 2)]
        for index in range(count):
            place = index / max(1, count - 1) * frequency
            knot = int(place)
            value = knots[knot] + (knots[knot + 1] - knots[knot]) * _ease(place - knot)
            total[index] += weight * (1 - abs(2 * value - 1) if sharp else value)
        sum_of_weights += weight
        weight *= 0.46
    return [value / sum_of_weights for value in total]


def _ease(t: float) -> float:
    return t * t * (3 - 2 * t)
