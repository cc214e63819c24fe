"""The picture that the demo uploads: a small harbour in the morning, drawn here and now."""

import math
from io import BytesIO

from PIL import Image, ImageDraw, ImageFilter

RGB = tuple[int, int, int]

SIDE = 768
FINE = 2
"""Drawn at twice the size and reduced, so that edges are smooth."""

SKY: tuple[RGB, RGB] = ((92, 158, 214), (253, 226, 186))
SEA: tuple[RGB, RGB] = ((104, 172, 190), (22, 84, 124))
HORIZON = 0.56


def harbour() -> bytes:
    """A PNG file of 768 x 768 pixels; the same bytes each time."""
    side = SIDE * FINE
    image = Image.new("RGB", (side, side))
    _blend(image, (0, HORIZON), *SKY)
    _sun(image)
    draw = ImageDraw.Draw(image)
    _hills(draw, side)
    _blend(image, (HORIZON, 1), *SEA)
    _glitter(draw, side)
    _rock(draw, side)
    _lighthouse(draw, side)
    _boat(draw, side, 0.43, 0.73, 1.0, (214, 66, 54))
    _boat(draw, side, 0.13, 0.60, 0.45, (240, 240, 232))
    file = BytesIO()
    image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(file, "PNG", optimize=True)
    return file.getvalue()


def _blend(image: Image.Image, span: tuple[float, float], top: RGB, bottom: RGB) -> None:
    """Fill the rows between two heights (parts of the side) with a gradient."""
    first, last = (round(part * image.height) for part in span)
    draw = ImageDraw.Draw(image)
    for y in range(first, last):
        part = (y - first) / (last - first)
        color = tuple(round(a + (b - a) * part) for a, b in zip(top, bottom, strict=True))
        draw.line((0, y, image.width, y), fill=color)


def _sun(image: Image.Image) -> None:
    glow = Image.new("L", image.size)
    x, y = 0.30 * image.width, 0.40 * image.height
    for radius, strength in ((0.26, 40), (0.15, 90), (0.065, 255)):
        reach = radius * image.width
        ImageDraw.Draw(glow).ellipse((x - reach, y - reach, x + reach, y + reach), fill=strength)
    soft = glow.filter(ImageFilter.GaussianBlur(image.width * 0.012))
    image.paste((255, 244, 214), mask=soft)


def _hills(draw: ImageDraw.ImageDraw, side: int) -> None:
    for base, height, color in ((0.52, 0.05, (150, 170, 186)), (0.555, 0.045, (104, 138, 146))):
        points = [(0.0, HORIZON * side)]
        for step in range(65):
            x = step / 64
            wave = math.sin(x * 7 + base * 40) + 0.5 * math.sin(x * 17 + base * 90)
            points.append((x * side, (base - height * (0.4 + 0.4 * wave)) * side))
        draw.polygon([*points, (side, HORIZON * side)], fill=color)


def _glitter(draw: ImageDraw.ImageDraw, side: int) -> None:
    """The sun on the water: short strokes, wider and fewer towards us."""
    for step in range(46):
        depth = step / 45
        y = HORIZON + 0.008 + (1 - HORIZON) * depth**1.6
        x = 0.30 + 0.09 * math.sin(step * 2.4) * (0.3 + depth)
        half = 0.012 + 0.034 * depth
        thick = max(2, round(side * (0.0016 + 0.004 * depth)))
        draw.line(((x - half) * side, y * side, (x + half) * side, y * side), fill=(255, 236, 196), width=thick)


def _rock(draw: ImageDraw.ImageDraw, side: int) -> None:
    ridge = ((0.62, 0.69), (0.68, 0.655), (0.75, 0.625), (0.84, 0.63), (0.92, 0.66))
    rock = ((0.58, 0.78), *ridge, (1, 0.70), (1, 0.80))
    draw.polygon([(x * side, y * side) for x, y in rock], fill=(72, 70, 78))
    light = (*ridge[:3], (0.73, 0.68), (0.66, 0.74), (0.60, 0.765))
    draw.polygon([(x * side, y * side) for x, y in light], fill=(118, 106, 100))


def _lighthouse(draw: ImageDraw.ImageDraw, side: int) -> None:
    """A tower in red and white that grows narrower, a gallery, a lamp and a roof."""
    foot, head, middle = 0.645, 0.265, 0.79
    for band in range(6):
        low, high = (foot + (head - foot) * (band + more) / 6 for more in (0, 1))
        color = (206, 58, 48) if band % 2 else (246, 242, 232)
        wide, narrow = (0.056 - 0.024 * (foot - y) / (foot - head) for y in (low, high))
        corners = ((middle - wide, low), (middle + wide, low), (middle + narrow, high), (middle - narrow, high))
        draw.polygon([(x * side, y * side) for x, y in corners], fill=color)
    boxes = (
        (0.046, head - 0.014, head + 0.004, (52, 54, 62)),
        (0.024, head - 0.062, head - 0.014, (255, 226, 130)),
    )
    for half, top, bottom, color in boxes:
        draw.rectangle(((middle - half) * side, top * side, (middle + half) * side, bottom * side), fill=color)
    roof = ((middle - 0.036, head - 0.060), (middle + 0.036, head - 0.060), (middle, head - 0.112))
    draw.polygon([(x * side, y * side) for x, y in roof], fill=(206, 58, 48))
    for y in (0.56, 0.44, 0.34):
        window = (middle - 0.008, y, middle + 0.008, y + 0.026)
        draw.rectangle([part * side for part in window], fill=(60, 62, 72))


def _boat(draw: ImageDraw.ImageDraw, side: int, x: float, y: float, size: float, hull: RGB) -> None:
    def at(*points: tuple[float, float]) -> list[tuple[float, float]]:
        return [((x + size * dx) * side, (y + size * dy) * side) for dx, dy in points]

    draw.polygon(at((-0.10, 0), (0.11, 0), (0.075, 0.042), (-0.075, 0.042)), fill=hull)
    draw.polygon(at((-0.004, -0.012), (-0.004, -0.225), (-0.092, -0.012)), fill=(252, 248, 238))
    draw.polygon(at((0.008, -0.012), (0.008, -0.19), (0.082, -0.012)), fill=(236, 220, 190))
    draw.line(at((0.002, 0), (0.002, -0.235)), fill=(86, 62, 48), width=max(2, round(side * 0.005 * size)))
